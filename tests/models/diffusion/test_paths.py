"""Cosine schedule and perturbed jets against the original's numbers and by hand."""

import pathlib

import numpy as np
import pytest
import torch
from omnilearn_lab.models import Batch
from omnilearn_lab.models.diffusion import cosine_level, perturb

FIXTURE = pathlib.Path(__file__).resolve().parents[4] / "shared" / "fixtures" / "pet_v1_keras_small.npz"


def make_batch():
    features = torch.randn(9, 13, generator=torch.Generator().manual_seed(0))
    return Batch(features, features[:, :2], torch.tensor([0, 2, 9]), torch.zeros(2, 4), torch.tensor([1, 0]))


def test_amplitudes_lie_on_the_unit_circle():
    alpha, sigma = cosine_level(torch.linspace(0, 1, 11, dtype=torch.float64))
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(11, dtype=torch.float64))
    assert alpha[0] > 0.9999 and sigma[-1] > 0.9999 and (alpha.diff() < 0).all()


@pytest.mark.skipif(not FIXTURE.is_file(), reason=f"no parity fixture {FIXTURE}")
def test_schedule_and_perturbed_jets_equal_the_original():
    arrays = np.load(FIXTURE)
    level = cosine_level(torch.from_numpy(arrays["sched_t"]))
    for ours, key in zip(level, ("sched_alpha", "sched_sigma"), strict=True):
        np.testing.assert_allclose(ours.numpy(), arrays[key], rtol=1e-6)
    mask = torch.from_numpy(arrays["mask"]).bool()
    batch = Batch.from_padded(torch.from_numpy(arrays["x"]), mask, jet=torch.from_numpy(arrays["jet"]))
    noise = torch.from_numpy(arrays["eps"])[mask][:, :3]
    ours = perturb(batch, torch.from_numpy(arrays["t"])[:, 0], noise)
    np.testing.assert_allclose(ours.batch.features.numpy(), arrays["x_pert"][mask], rtol=1e-6, atol=1e-6)


def test_perturbed_jets_by_hand():
    batch, time = make_batch(), torch.tensor([0.0, 0.5])
    noise = torch.ones(9, 3)
    noisy, target, alpha, sigma = perturb(batch, time, noise)
    half = 0.5**0.5
    clean = batch.features[:, :3]
    torch.testing.assert_close(noisy.features[2:, :3], half * clean[2:] + half, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(target[2:], half - half * clean[2:], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(noisy.features[:2, :3], clean[:2], rtol=1e-3, atol=1e-3)
    assert (noisy.features[:, 3:] == 0).all() and torch.equal(noisy.points, noisy.features[:, :2])
    assert torch.equal(noisy.label, batch.label) and alpha.shape == sigma.shape == (2,)


def test_number_of_diffused_columns_and_drawn_noise():
    torch.manual_seed(0)
    first = perturb(make_batch(), torch.tensor([0.3, 0.9]), n_diffused=13)
    second = perturb(make_batch(), torch.tensor([0.3, 0.9]), n_diffused=13)
    assert first.target.shape == (9, 13) and not torch.equal(first.target, second.target)
