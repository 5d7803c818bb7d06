"""The straight path of PET v2: perturbation, noise, samplers."""

import math

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.models import Batch
from omnilearn_lab.models.diffusion import (
    JetInputs,
    NoiseConfig,
    SamplerConfig,
    denoise,
    perturb_flow,
    sample,
)
from omnilearn_lab.models.pet_v2 import PETv2, PETv2Config
from tests.models.test_pet_v2 import TOLERANCE, error, load_case, make_batch, needs_fixtures


@needs_fixtures
@pytest.mark.parametrize("case", ["gen_cond", "pretrain"])
def test_perturbation_equals_published(case):
    arrays = load_case(case)[1]
    mask, time = torch.from_numpy(arrays["mask"]), torch.from_numpy(arrays["t"])
    moved = perturb_flow(make_batch(arrays), time, torch.from_numpy(arrays["eps"])[mask])
    assert error(moved.batch.features, arrays["z"][arrays["mask"]]) < 1e-6
    assert error(moved.target, arrays["v"][arrays["mask"]]) < 1e-6
    torch.testing.assert_close(moved.alpha, 1 - time)


@needs_fixtures
@pytest.mark.parametrize("n_points", [2, 5])
@pytest.mark.parametrize("case", ["gen_cond", "gen_full"])
def test_samples_equal_published(case, n_points):
    model, arrays = load_case(case)
    mask = np.arange(20) < arrays["gen_nparts"][:, None]
    inputs = make_batch(arrays | {"mask": mask})
    config = SamplerConfig(n_points - 1, "midpoint")

    def velocity(state, time):
        moved = inputs.replace(features=state, points=state[:, :2])
        return model.velocity(moved, state.new_full((len(moved),), time), moved.label)

    with torch.no_grad():
        made = denoise(velocity, torch.from_numpy(arrays["gen_x0"][mask]), config, path="straight")
    assert error(made, arrays[f"gen_out_nsteps{n_points}"][mask]) < TOLERANCE


def test_noise_has_the_stated_moments():
    noise = NoiseConfig().draw(200_000, torch.Generator().manual_seed(1)).double()
    np.testing.assert_allclose(noise.mean(0), NoiseConfig().mean, atol=0.015)
    np.testing.assert_allclose(noise.std(0), NoiseConfig().spread, rtol=0.01)


def test_samplers_recover_a_gaussian():
    """For normal data the velocity of the path is known, and so is the end of each line."""
    mean, spread = torch.tensor([0.5, -1.0, 2.0, 3.0]), torch.tensor([0.2, 0.5, 1.0, 2.0])
    noise = NoiseConfig()
    mu, s = torch.tensor(noise.mean), torch.tensor(noise.spread)

    def velocity(z, t):
        variance = (1 - t) ** 2 * spread**2 + t**2 * s**2
        slope = (t * s**2 - (1 - t) * spread**2) / variance
        return mu - mean + slope * (z - (1 - t) * mean - t * mu)

    start = noise.draw(50_000, torch.Generator().manual_seed(0))
    for method, n_steps in (("midpoint", 40), ("ralston3", 20), ("rk4", 20)):
        made = denoise(velocity, start, SamplerConfig(n_steps, method), path="straight")
        exact = mean + spread * (start - mu) / s
        assert (made - exact).abs().max() < 0.02 * spread.max(), method


def tiny_generator(**overrides):
    torch.manual_seed(0)
    sizes = {"width": 16, "n_layers": 1, "n_heads": 2, "n_head_layers": 1, "mode": "generator"}
    return PETv2(PETv2Config(**{**sizes, **overrides})).eval()


def test_samples_depend_on_the_seed_and_not_on_the_batches():
    model = tiny_generator(n_classes=3, n_condition=2)
    counts = torch.tensor([4, 1, 13])
    jets = JetInputs(counts, label=torch.tensor([0, 1, 2]), condition=torch.rand(3, 2))
    one = sample(model, jets, config=SamplerConfig(2, "midpoint", seed=3))
    split = sample(model, jets, config=SamplerConfig(2, "midpoint", seed=3, batch_size=2))
    other = sample(model, jets, config=SamplerConfig(2, "midpoint", seed=4))
    assert one.particles.shape == (18, 4) and one.offsets.tolist() == [0, 4, 5, 18]
    torch.testing.assert_close(one.particles, split.particles)
    assert (one.particles - other.particles).abs().max() > 0.1


def test_bad_requests_are_named():
    with pytest.raises(JetsError, match="at least one particle"):
        sample(tiny_generator(n_classes=1), JetInputs(torch.tensor([2, 0])))
    jets = JetInputs(torch.tensor([2]))
    with pytest.raises(ConfigError, match="cosine path"):
        sample(tiny_generator(n_classes=1), jets, config=SamplerConfig(method="ddim"))
    with pytest.raises(ConfigError, match="spread"):
        NoiseConfig(spread=(1.0, 1.0, 1.0, 0.0))


def test_perturbed_jets_keep_what_is_not_noise():
    x = torch.randn(5, 4)
    batch = Batch(x, x[:, :2], torch.tensor([0, 2, 5]), torch.zeros(2, 0), pid=torch.arange(5))
    moved = perturb_flow(batch, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(moved.batch.features[:2], x[:2])
    torch.testing.assert_close(moved.batch.features[2:] - x[2:], moved.target[2:])
    assert moved.batch.pid is batch.pid
    assert math.isclose(moved.sigma[1].item(), 1.0)
