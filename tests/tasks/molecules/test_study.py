"""Molecules as batches, their symmetries and units, and a small study."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from omnilearn_lab.models.adapters import adapted_layers
from omnilearn_lab.simulation.molecules import dynamics, shipped_molecules, thermal_velocities
from omnilearn_lab.tasks.molecules import (
    NAMES,
    MoleculeData,
    MoleculeSettings,
    NetworkForces,
    compare_molecules,
)
from omnilearn_lab.tasks.molecules.study import (
    MoleculeArm,
    MoleculeResult,
    Scales,
    TurnedBatches,
    counts_by_element,
    molecule_batch,
    predict,
    train_molecules,
)
from omnilearn_lab.training import Batches, TrainConfig

BRIEF = TrainConfig(epochs=1, batch_size=16, learning_rate=2e-3, optimizer="adamw", validations_per_epoch=1)
SMALL = {"width": 16, "n_layers": 1, "n_heads": 2, "n_head_layers": 1, "n_neighbors": 4}


@pytest.fixture(scope="module")
def data():
    every = shipped_molecules()
    few = every.select((every.molecule < 14) & (np.arange(len(every)) % 2 == 0))
    return MoleculeData.split(replace(few, names=few.names[:14]), 2, 4)


def study(**changes):
    values = {"arms": {"scratch": MoleculeArm(training=BRIEF)}, "sizes": {8: 1}, "network": SMALL}
    return MoleculeSettings(**values | changes)


def test_no_molecule_is_in_two_sets(data):
    sets = [set(each.molecule) for each in data]
    assert [len(each) for each in sets] == [8, 2, 4, 8] and not sets[0] & sets[1] | sets[0] & sets[2]
    assert data.first(3).n_train == 3 and len(data.first(3).train) == 21


def test_the_second_test_has_other_geometries_of_the_same_molecules(data):
    assert set(data.seen.molecule) == set(data.train.molecule) and len(data.seen) == 8
    assert not set(data.seen.energy) & set(data.train.energy)
    assert set(data.first(3).seen.molecule) == {0, 1, 2}
    one_each = shipped_molecules().select(slice(None, None, 16))  # as in OMol25: nothing is held out
    assert [len(each) for each in MoleculeData.split(one_each, 10, 50)] == [100, 10, 50, 0]


def test_targets_have_their_units(data):
    scales = Scales.of(data.train)
    batch = molecule_batch(data.test, scales)
    assert scales.elements == pytest.approx([-14, -57, -79, -111], abs=3)  # eV: an electron pair is 27
    counts = counts_by_element(data.test)
    assert (counts.sum(1) == data.test.counts).all()
    energy = counts @ scales.elements + batch.jet[:, 0].numpy() * scales.energy * data.test.counts
    assert energy == pytest.approx(data.test.energy, abs=1e-4)
    assert batch.particle_target.numpy() * scales.force == pytest.approx(data.test.force, abs=1e-5)
    centre = batch.packing.sum_rows(batch.features[:, :3])
    assert centre.abs().max() < 1e-4 and set(batch.pid.tolist()) <= {1, 2, 3, 4}
    assert torch.cdist(batch.features[:4, :3], batch.features[:4, :3]).numpy() == pytest.approx(
        np.linalg.norm(data.test.position[:4, None] - data.test.position[:4], axis=-1), abs=1e-3
    )


def test_turned_molecules_keep_distances_and_angles_to_forces(data):
    batch = molecule_batch(data.train, Scales.of(data.train))
    moved, still = TurnedBatches(batch, 8, seed=3).batch(1), Batches(batch, 8, seed=3).batch(1)
    assert not torch.allclose(moved.features, still.features)
    n = int(still.counts[0])
    for of in (lambda b: b.features[:n, :3] @ b.features[:n, :3].T,
               lambda b: b.features[:n, :3] @ b.particle_target[:n].T):  # fmt: skip
        assert torch.allclose(of(moved), of(still), atol=1e-3)
    handed = torch.linalg.det(torch.linalg.lstsq(still.features[:n, :3], moved.features[:n, :3]).solution)
    assert handed == pytest.approx(1, abs=1e-3)  # turned, not mirrored


def test_errors_are_zero_for_the_truth_and_known_for_shifts(data):
    sets = data.test
    exact = MoleculeResult(sets, sets.energy.copy(), sets.force.copy(), 5)
    assert set(exact.values().values()) == {0.0} and set(exact.errors().values()) == {0.0}
    off = MoleculeResult(sets, sets.energy + 0.01 * sets.counts, sets.force + 0.1, 5)
    assert off.values() == pytest.approx({"energy_mae": 10, "force_mae": 100, "turning": 0}, rel=1e-4)
    mixed = replace(off, energy=sets.energy + 0.01 * sets.molecule * sets.counts)
    assert mixed.errors()["energy_mae"] > 1 and mixed.errors()["force_mae"] < 1e-3
    double = replace(mixed, energy=sets.energy + 0.02 * sets.molecule * sets.counts)
    gap = double.influences["energy_mae"] - mixed.influences["energy_mae"]  # the same molecules are drawn
    assert np.linalg.norm(gap) == pytest.approx(mixed.errors()["energy_mae"], rel=1e-6)


def test_forces_and_energies_are_learned(data):
    """What a small network can fit of eight molecules in eighty updates."""
    training = replace(BRIEF, epochs=20, learning_rate=1e-2, validations_per_epoch=0.2, weight_decay=0.0)
    data = data._replace(validation=data.train, test=data.train)
    result = train_molecules(data, study(), MoleculeArm(training=training))
    assert result.values()["force_mae"] < 0.9 * 1000 * np.abs(data.test.force).mean()
    assert result.turning < 1e-2 and result.n_train == 8
    direct = MoleculeArm(forces="direct", training=replace(training, epochs=2))
    assert train_molecules(data, study(), direct).turning > 10


def test_a_study_measures_every_arm_size_and_seed(data, tmp_path):
    arms = {
        "scratch": MoleculeArm(training=BRIEF),
        "direct": MoleculeArm(forces="direct", is_turned=False, training=BRIEF),
        "gradient": MoleculeArm(forces="gradient", training=BRIEF),
        "schnet": MoleculeArm(network="schnet", training=BRIEF),
    }
    chosen = study(arms=arms, sizes={2: 1, 4: 0.5}, seeds=(1, 2))
    curve = compare_molecules(data, chosen, workers=1, progress=False)
    assert curve.sizes.tolist() == [2, 4]
    assert all(np.isfinite(curve.values(arm, name)).all() for arm in arms for name in NAMES)
    assert curve.values("schnet", "force_mae").shape == (2, 2)
    assert curve.comparisons[1].smaller_is_better == NAMES


def test_adapters_train_what_is_new_to_the_body(data):
    training = replace(BRIEF, trainable="adapters", adapter_rank=2, epochs=0.5)
    arm = MoleculeArm("v2_tiny", training=training)
    chosen = study(network={})
    result = train_molecules(data.first(2), chosen, arm)
    assert len(adapted_layers(result.network)) > 10
    trained = {name for name, p in result.network.body.named_parameters() if p.requires_grad}
    assert {"embedding.first.weight", "local.mlp.first.weight", "species.weight"} <= trained
    assert "token" not in trained and "embedding.second.weight" not in trained
    before, _ = chosen.started(arm, 1)
    for name in ("body.embedding.first.weight", "body.embedding.second.weight"):
        moved = not torch.equal(before.state_dict()[name], result.network.state_dict()[name])
        assert moved == (name == "body.embedding.first.weight")


def test_a_fitted_network_moves_a_molecule(data):
    """Its forces along lines leave the molecule's momentum alone."""
    result = train_molecules(data, study(), MoleculeArm(training=BRIEF))
    assert result.on(data.test).values() == pytest.approx(result.values())
    assert len(result.on(data.seen).energy) == len(data.seen)
    atoms = data.test.atoms(0)
    numbers, position = data.test.numbers[atoms], data.test.position[atoms].astype(float)
    forces = NetworkForces(result, numbers)
    energy, force = forces(position)
    every = predict(result.network, data.test, result.scales)
    assert energy == pytest.approx(every[0][0], abs=1e-3) and force == pytest.approx(
        every[1][atoms], abs=1e-3
    )
    assert np.abs(force.sum(0)).max() < 1e-4
    velocity = thermal_velocities(numbers, 100.0, np.random.default_rng(1))
    run = dynamics(forces, numbers, (position, velocity), n_steps=5, step=0.2)
    assert np.isfinite(run.total).all() and run.position.shape == (5, len(numbers), 3)
