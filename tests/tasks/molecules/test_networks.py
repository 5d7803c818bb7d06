"""What the three ways to make forces conserve, and that energies and forces fit together."""

import numpy as np
import pytest
import torch
from omnilearn_lab.models.checkpoints import transfer
from omnilearn_lab.simulation.molecules import shipped_molecules
from omnilearn_lab.tasks.molecules.networks import ContinuousFilters, MoleculePET, pairs_of
from omnilearn_lab.tasks.molecules.study import Scales, molecule_batch, turn, turned

SMALL = {"width": 16, "n_layers": 1, "n_heads": 2, "n_head_layers": 1, "n_neighbors": 4}


@pytest.fixture(scope="module")
def batch():
    molecules = shipped_molecules().select(np.array([0, 20, 40]))
    return molecule_batch(molecules, Scales.of(molecules))


def network(kind, *, ratio=0.3, **changes):
    torch.manual_seed(1)
    sizes = SMALL | changes
    model = ContinuousFilters(ratio=ratio) if kind == "schnet" else MoleculePET(kind, ratio=ratio, **sizes)
    with torch.no_grad():
        for parameter in model.parameters():  # also what starts at zero
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("kind", ["pairs", "gradient", "schnet"])
def test_symmetric_forces_conserve_momentum_and_turn_along(kind, batch):
    model = network(kind)
    energy, force = model.energy_and_forces(batch)
    assert force.abs().max() > 1e-2
    total = batch.packing.sum_rows(force.detach())
    assert total.abs().max() < 2e-5 * force.abs().max() * len(force)
    moved, turns = turned(batch, 5)
    energy_moved, force_moved = model.energy_and_forces(moved)
    assert torch.allclose(energy_moved, energy, atol=1e-4)
    assert torch.allclose(force_moved, turn(force, turns), atol=1e-3 * force.abs().max().item())


@pytest.mark.parametrize("kind", ["pairs", "gradient", "schnet"])
def test_symmetric_forces_have_no_torque(kind, batch):
    force = network(kind).energy_and_forces(batch)[1].detach()
    torque = batch.packing.sum_rows(torch.linalg.cross(batch.features[:, :3], force))
    assert torque.abs().max() < 2e-4 * force.abs().max() * len(force)


def test_a_direct_head_conserves_and_turns_nothing_by_itself(batch):
    model = network("direct")
    force = model.energy_and_forces(batch)[1].detach()
    assert batch.packing.sum_rows(force).abs().max() > 1e-2
    moved, turns = turned(batch, 5)
    assert (model.energy_and_forces(moved)[1] - turn(force, turns)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["gradient", "schnet"])
def test_gradient_forces_are_the_slope_of_the_energy(kind, batch):
    model, ratio, step = network(kind).double(), 0.3, 1e-4
    batch = batch.replace(features=batch.features.double())
    force = model.energy_and_forces(batch)[1]
    direction = torch.randn(len(force), 3, generator=torch.Generator().manual_seed(2)).double()
    moves = (step * torch.nn.functional.pad(direction, (0, 2)) * sign for sign in (1, -1))
    above, below = (
        model.energy_and_forces(batch.replace(features=batch.features + move))[0].sum() for move in moves
    )
    slope = -ratio * (above - below).item() / (2 * step)
    assert (force * direction).sum().item() == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("kind", ["pairs", "direct", "gradient", "schnet"])
def test_training_reaches_every_parameter_and_atoms_have_no_order(kind, batch):
    model = network(kind)
    energy, force = model.energy_and_forces(batch)
    n = batch.counts.tolist()
    starts = batch.offsets.tolist()[:-1]
    order = torch.cat([torch.randperm(k) + start for k, start in zip(n, starts, strict=True)])
    shuffled = batch.replace(features=batch.features[order], pid=batch.pid[order])
    other, force_other = model.energy_and_forces(shuffled)
    assert torch.allclose(other, energy, atol=1e-4)
    assert torch.allclose(force_other, force[order], atol=1e-4)
    energy, force = model.train().energy_and_forces(batch)
    (energy.square().sum() + force.square().sum()).backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert not {name for name in silent if "norm_in" not in name and "embedding" not in name}


def test_a_new_network_starts_at_the_reference(batch):
    for kind in ("pairs", "direct", "gradient"):
        energy, force = MoleculePET(kind, **SMALL).eval().energy_and_forces(batch)
        assert energy.abs().max() < 1e-6 and force.abs().max() < 1e-6


def test_every_pair_of_a_molecule_is_there_once(batch):
    first, second = pairs_of(batch)
    n = batch.counts
    assert len(first) == (n * (n - 1) // 2).sum() and (first != second).all()
    assert (batch.packing.jet[first] == batch.packing.jet[second]).all()


def test_jets_fill_all_but_a_few_per_cent_and_the_rest_is_named():
    model = MoleculePET("pairs")
    outcome = transfer("v2_tiny", model)
    taken, new = sum(outcome.taken.values()), sum(outcome.new.values())
    assert taken / (taken + new) > 0.95
    assert {"generator.out.weight", "body.embedding.first.weight", "push.0.weight"} <= set(outcome.new)
    assert model.fresh == set(outcome.new) and f"{taken:,} of" in str(outcome)


@pytest.mark.parametrize(("n_neighbors", "jumps"), [(4, True), (40, False)])
def test_the_energy_jumps_where_neighbours_change_and_nowhere_else(n_neighbors, jumps):
    every = shipped_molecules()
    largest = every.select(np.full(300, np.argmax(every.counts)))
    still = molecule_batch(largest, Scales.of(every))
    move = torch.randn(largest.counts[0], 3, generator=torch.Generator().manual_seed(1)).repeat(300, 1)
    far = torch.linspace(0, 0.1, 300).repeat_interleave(int(largest.counts[0]))
    features = torch.cat([still.features[:, :3] + far[:, None] * move, still.features[:, 3:]], 1)
    energy = network("pairs", n_neighbors=n_neighbors).energy_and_forces(still.replace(features=features))[0]
    steps = energy.detach().diff().abs()
    assert (steps.max() > 10 * steps.median()) == jumps
