"""Samplers: parity with the published one, and recovery of distributions whose velocity is known."""

import pathlib

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.models import PET, Batch, JetInputs, PETConfig, PublishedPET, SamplerConfig, sample
from omnilearn_lab.models.diffusion import (
    SOLVERS,
    cosine_level,
    denoise,
    denoising_path,
    follow,
    midpoint_ddim,
)
from omnilearn_lab.models.published.v1 import load_keras

FIXTURES = pathlib.Path(__file__).resolve().parents[4] / "shared" / "fixtures"
MEAN, SPREAD = 0.7, 0.4


def gaussian_velocity(state, time):
    """The exact velocity when the data are normal with MEAN and SPREAD."""
    alpha, sigma = cosine_level(torch.tensor(time, dtype=state.dtype))
    variance = (alpha * SPREAD) ** 2 + sigma**2
    epsilon = sigma * (state - alpha * MEAN) / variance
    clean = MEAN + alpha * SPREAD**2 * (state - alpha * MEAN) / variance
    return alpha * epsilon - sigma * clean


def gaussian_solution(noise):
    """The flow of a Gaussian is linear: standard scores are kept (alpha(1) is 4.5e-5, not 0)."""
    alpha, sigma = cosine_level(torch.tensor(1.0, dtype=noise.dtype))
    score = (noise - alpha * MEAN) / torch.sqrt((alpha * SPREAD) ** 2 + sigma**2)
    alpha, sigma = cosine_level(torch.tensor(0.0, dtype=noise.dtype))
    return alpha * MEAN + torch.sqrt((alpha * SPREAD) ** 2 + sigma**2) * score


def solve(method, n_steps, noise):
    if method == "published":
        return midpoint_ddim(gaussian_velocity, noise, n_steps)
    return follow(gaussian_velocity, noise, n_steps, method=method)


def rms(method, n_steps):
    noise = torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (solve(method, n_steps, noise) - gaussian_solution(noise)).square().mean().sqrt().item()


LIMITS = {"heun": 1e-3, "midpoint": 1e-3, "ralston3": 1e-5, "rk4": 1e-5}


@pytest.mark.parametrize(("method", "limit"), LIMITS.items())
def test_samplers_recover_a_gaussian(method, limit):
    assert rms(method, 192 // SOLVERS[method].n_evaluations) < limit


def test_published_sampler_recovers_a_gaussian():
    assert rms("published", 300) < 2e-3


def mixture_velocity(state, time):
    """The exact velocity of three Gaussians of different widths (weight, mean, spread)."""
    alpha, sigma = cosine_level(torch.tensor(time, dtype=state.dtype))
    clean, total = torch.zeros_like(state), torch.zeros_like(state)
    for weight, mean, spread in ((0.5, -1.0, 0.3), (0.3, 1.0, 0.1), (0.2, 0.5, 0.8)):
        variance = (alpha * spread) ** 2 + sigma**2
        share = weight * torch.exp(-((state - alpha * mean) ** 2) / (2 * variance)) / variance.sqrt()
        clean += share * (mean + alpha * spread**2 * (state - alpha * mean) / variance)
        total += share
    return (alpha * state - clean / total.clamp(min=1e-300)) / sigma


@pytest.mark.parametrize("n_evaluations", [12, 24, 48, 96])
def test_the_default_has_the_smallest_error_at_equal_cost(n_evaluations):
    noise = torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = follow(mixture_velocity, noise, 1000, method="rk4")
    found = {"published": midpoint_ddim(mixture_velocity, noise, n_evaluations // 2)}
    for method, tableau in SOLVERS.items():
        n_steps = n_evaluations // tableau.n_evaluations
        found[method] = follow(mixture_velocity, noise, n_steps, method=method)
    errors = {method: (state - exact).square().mean().sqrt().item() for method, state in found.items()}
    assert min(errors, key=errors.get) == SamplerConfig().method, errors


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no parity fixtures in {FIXTURES}")
@pytest.mark.parametrize("name", ["pet_v1_keras_small", "pet_v1_keras214_tiny"])
@pytest.mark.parametrize("n_steps", [1, 5])
def test_parity_with_the_published_sampler(name, n_steps):
    arrays = np.load(FIXTURES / f"{name}.npz")
    mask = torch.from_numpy(arrays["mask"]).bool()
    model = PublishedPET.of(load_keras(FIXTURES / f"{name}.weights.h5"), padded_length=mask.shape[1])
    batch = Batch.from_padded(torch.zeros(*mask.shape, 13), mask, jet=torch.from_numpy(arrays["jet"]))
    label = torch.from_numpy(arrays["label"])

    def velocity(state, time):
        features = torch.nn.functional.pad(state, (0, 10))
        noisy = batch.replace(features=features, points=features[:, :2])
        return model.velocity(noisy, torch.full((len(batch),), time), label)

    noise = torch.from_numpy(arrays["sampler_x_init"])[mask][:, :3]
    with torch.no_grad():
        ours = midpoint_ddim(velocity, noise, n_steps)
    expected = torch.from_numpy(arrays[f"sampler_out_{n_steps}"])[mask][:, :3]
    assert (ours - expected).abs().max() <= 1.5e-5 * expected.abs().max()  # facts/models.md 5.3: 1.3e-5


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return PET(PETConfig(width=16, n_layers=1, n_heads=2, n_classes=3, layer_scale=0.1)).eval()


COUNTS, JET = torch.tensor([3, 1, 12, 7, 5]), torch.arange(20.0).view(5, 4) / 20
JETS = JetInputs(COUNTS, JET)


@pytest.mark.parametrize("method", ["ralston3", "published"])
def test_samples_depend_on_the_seed_and_not_on_the_batch_size(model, method):
    first = sample(model, JETS, config=SamplerConfig(3, method, seed=1))
    again = sample(model, JETS, config=SamplerConfig(3, method, seed=1, batch_size=2))
    other = sample(model, JETS, config=SamplerConfig(3, method, seed=2))
    assert first.particles.shape == (28, 3) and first.offsets.tolist() == [0, 3, 4, 16, 23, 28]
    scale = first.particles.abs().max()
    assert (first.particles - again.particles).abs().max() < 1e-4 * scale
    assert (first.particles - other.particles).abs().max() > 1e-2


def test_label_and_guidance_matter(model):
    config, label = SamplerConfig(3), torch.tensor([0, 1, 2, 0, 1])
    plain = sample(model, JETS, config=config).particles
    labelled = sample(model, JETS._replace(label=label), config=config).particles
    guided = sample(model, JETS._replace(label=label), config=SamplerConfig(3, guidance=2.0)).particles
    assert not torch.allclose(plain, labelled) and not torch.allclose(labelled, guided)


def test_progress_bar_is_shown_on_request(model, capsys):
    sample(model, JETS, config=SamplerConfig(2, show_progress=True))
    assert "sampling" in capsys.readouterr().err


def test_bad_requests_are_errors(model):
    with pytest.raises(JetsError, match="at least one particle"):
        sample(model, JetInputs(torch.tensor([3, 0]), JET[:2]))
    with pytest.raises(ConfigError, match="did you mean 'ralston3'"):
        SamplerConfig(method="ralston")
    with pytest.raises(ConfigError, match="n_steps"):
        SamplerConfig(n_steps=0)


def error_of(config, velocity=mixture_velocity):
    noise = torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = follow(velocity, noise, 1000, method="rk4")
    return (denoise(velocity, noise, config) - exact).square().mean().sqrt().item()


@pytest.mark.parametrize("n_steps", [50, 100, 300])
def test_the_default_needs_four_times_fewer_evaluations_than_the_published_sampler(n_steps):
    published = SamplerConfig(n_steps, "published")
    ours = SamplerConfig(published.n_evaluations // 4 // 3)
    assert ours.n_evaluations * 4 <= published.n_evaluations
    assert error_of(ours) < error_of(published)


def test_ddim_is_of_first_order():
    errors = [error_of(SamplerConfig(n, "ddim")) for n in (50, 100, 200)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.2)


def test_evaluations_are_counted():
    counted = {}
    for method in (*SOLVERS, "ddim", "published"):
        calls = []

        def velocity(state, time, calls=calls):
            calls.append(time)
            return mixture_velocity(state, time)

        denoise(velocity, torch.ones(1), SamplerConfig(4, method))
        counted[method] = len(calls)
    assert counted == {method: SamplerConfig(4, method).n_evaluations for method in counted}
    assert SamplerConfig(4, guidance=1.0).n_evaluations == 24


def test_the_path_ends_at_the_sample(model):
    batch = Batch(torch.zeros(28, 13), torch.zeros(28, 2), torch.tensor([0, 3, 4, 16, 23, 28]), JET)
    config = SamplerConfig(3, seed=4)
    path = denoising_path(model, batch, config=config)
    assert len(path) == 4
    end = sample(model, JETS, config=config).particles
    assert (path[-1] - end).abs().max() < 1e-4 * end.abs().max()
