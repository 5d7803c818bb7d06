"""Clouds of haloes: batches and their symmetries, baselines, transfer, and a small study."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from omnilearn_lab.simulation.haloes import Grid, Universes
from omnilearn_lab.tasks import haloes
from omnilearn_lab.training import TrainConfig

BRIEF = TrainConfig(epochs=2, batch_size=4, learning_rate=1e-3, optimizer="adamw", validations_per_epoch=1)
NETWORK = {"width": 16, "n_layers": 1, "n_heads": 2, "n_head_layers": 1, "n_neighbors": 4}


def universes(n=12, n_haloes=10, seed=1):
    """Haloes that fall towards the middle of their box, the faster the larger omega_m."""
    rng = np.random.default_rng(seed)
    position = rng.uniform(0, 50, (n, n_haloes, 3)).astype(np.float32)
    parameters = np.stack([rng.uniform(0.1, 0.5, n), rng.uniform(0.6, 1.0, n)], 1)
    velocity = (100 * parameters[:, :1, None] * (25 - position)).astype(np.float32)
    return Universes(position, velocity, np.ones((n, n_haloes)), parameters, 50.0, {"source": "simulated"})


def study(task="velocities", **changes):
    values = {"arms": {"scratch": BRIEF}, "sizes": {4: 1, 8: 1}, "pretraining": BRIEF, "seeds": (1, 2)}
    return haloes.HaloSettings(task, **values | {"network": NETWORK} | changes)


def test_positions_and_targets_have_their_units():
    sets = universes(3)
    batch = haloes.halo_batch(sets)
    assert batch.features.abs().max() <= 1 and len(batch) == 3
    assert batch.particle_target[0].numpy() == pytest.approx(sets.velocity[0, 0] / haloes.SPEED)
    back = haloes.PRIOR[0] + (batch.jet.numpy() + 1) / 2 * (haloes.PRIOR[1] - haloes.PRIOR[0])
    assert back == pytest.approx(sets.parameters, rel=1e-5)


def test_turned_clouds_keep_distances_and_angles_to_velocities():
    batch = haloes.halo_batch(universes(8))
    batches = haloes.CubeBatches(batch, 4, seed=3)
    turned, plain = batches.batch(1), haloes.Batches(batch, 4, seed=3).batch(1)
    assert torch.equal(batches.batch(1).features, turned.features)
    assert not torch.equal(turned.features, plain.features)
    for of in (lambda b: torch.cdist(b.features[:10], b.features[:10]),
               lambda b: b.features @ b.particle_target.T):  # fmt: skip
        blocks = [of(b)[:10, :10] for b in (turned, plain)]
        assert torch.allclose(*blocks, atol=1e-5)


def test_r2_is_one_for_the_truth_and_zero_for_the_mean():
    target = np.random.default_rng(1).normal(size=(40, 2))
    result = haloes.HaloResult(target, target.copy(), haloes.NAMES["parameters"], 5)
    assert set(result.values().values()) == {1.0} and set(result.errors().values()) == {0.0}
    mean = replace(result, guess=np.broadcast_to(target.mean(0), target.shape))
    assert list(mean.values().values()) == pytest.approx([0, 0])
    noisy = replace(result, guess=target + np.random.default_rng(2).normal(size=target.shape))
    assert all(0.05 < error < 1 for error in noisy.errors().values())
    nearly = replace(noisy, guess=noisy.guess + 1e-3)
    for name, influence in noisy.influences.items():  # the same universes are drawn for both
        assert np.linalg.norm(influence - nearly.influences[name]) < 0.02 * noisy.errors()[name]


def test_linear_theory_finds_the_flow_of_a_plane_wave():
    """Haloes displaced by a wave flow along it: v is proportional to the displacement."""
    grid, rng = Grid(10, 50.0), np.random.default_rng(1)
    position = np.stack([grid.points() + rng.normal(0, 0.2, (1000, 3)) for _ in range(6)])
    wave = np.sin(2 * np.pi * position[..., :1] / 50) * np.array([1.0, 0, 0])
    moved = ((position + wave) % 50).astype(np.float32)
    sets = replace(universes(6, 1000), position=moved, velocity=(300 * wave).astype(np.float32))
    data = haloes.HaloData.split(sets, 1, 2)
    assert haloes.linear_theory(data, size=10, smoothing=0.05).values()["r2_velocity"] > 0.9
    backwards = haloes.linear_theory(data, size=10, smoothing=0.05).guess * data.test.velocity.reshape(2, -1)
    assert backwards.sum() > 0


def test_least_squares_finds_a_force_that_it_contains():
    sets = universes(9, 12)
    law = np.stack([haloes._pair_sums(p / 50.0, 10, 3)[:, 4].reshape(12, 3) for p in sets.position])
    data = haloes.HaloData.split(replace(sets, velocity=law), 1, 3)
    assert haloes.least_squares(data).values()["r2_velocity"] > 0.99


def test_two_point_tells_clustered_from_scattered_haloes():
    rng = np.random.default_rng(1)
    spread = rng.uniform(0.1, 0.5, 40)  # more matter: haloes farther from their centres
    centres = rng.uniform(0, 50, (40, 6, 3))
    near = rng.normal(0, 10, (40, 10, 6, 3)) * spread[:, None, None, None]
    position = ((centres[:, None] + near).reshape(40, 60, 3) % 50).astype(np.float32)
    parameters = np.stack([spread, np.full(40, 0.8) + rng.normal(0, 0.01, 40)], 1)
    sets = replace(universes(40, 60), position=position, velocity=position, parameters=parameters)
    assert haloes.two_point(haloes.HaloData.split(sets, 1, 12)).values()["r2_omega_m"] > 0.8


def test_a_study_measures_every_arm_size_and_seed(tmp_path):
    data = haloes.HaloData.split(universes(14), 2, 4)
    chosen = study("parameters", arms={"scratch": BRIEF, "coarse": BRIEF, "blobs": BRIEF})
    sources = {"coarse": universes(16, seed=2), "blobs": haloes.blobs(16, 10)}
    starts = haloes.pretrain_haloes(sources, chosen, tmp_path)
    curve = haloes.compare_haloes(data, chosen, starts, workers=1, progress=False)
    assert curve.sizes.tolist() == [4, 8]
    assert curve.values("blobs", "r2_omega_m").shape == (2, 2)
    assert np.isfinite(curve.values("coarse", "r2_sigma_8")).all()
    zero = haloes.apply_haloes(starts["coarse"], data.test, "parameters")
    assert zero.n_train == 0 and zero.guess.shape == (4, 2)


def test_training_learns_velocities_that_follow_from_positions():
    """A halo flees from its four nearest neighbours: what the neighbourhood block sees."""
    sets = universes(40, 12)
    steps = sets.position[:, :, None] - sets.position[:, None]
    steps -= 50 * np.round(steps / 50)
    near = np.linalg.norm(steps, axis=-1).argsort(2)[:, :, 1:5]
    mean = np.take_along_axis(steps, near[..., None], 2).mean(2)
    data = haloes.HaloData.split(replace(sets, velocity=(60 * mean).astype(np.float32)), 4, 8)
    training = replace(BRIEF, epochs=25, learning_rate=5e-3, weight_decay=0.0)
    result = haloes.train_haloes(data, study(), haloes.HaloArm("scratch", training))
    assert result.values()["r2_velocity"] > 0.5 and result.n_train == 28


def test_blobs_have_as_many_centres_as_their_class_says():
    batch = haloes.blobs(30, 50, seed=4)
    assert batch.features.abs().max() <= 1 and set(batch.label.tolist()) <= set(range(haloes.N_KINDS))
    assert torch.equal(haloes.blobs(30, 50, seed=4).features, batch.features)
    from scipy.spatial import cKDTree

    near = [cKDTree(x + 1, boxsize=2.0).query(x + 1, k=6)[0][:, 5].mean() for x in
            batch.features.view(30, 50, 3).double().numpy()]  # fmt: skip
    assert np.corrcoef(near, batch.label)[0, 1] > 0.6
