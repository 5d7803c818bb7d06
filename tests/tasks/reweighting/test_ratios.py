"""Density ratios: known ratios are recovered, duplicates cost half, bad input is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, JetsError, TrainingError
from omnilearn_lab.tasks.reweighting.ratios import LogisticRatio, RatioConfig, _network, fit_ratio
from omnilearn_lab.tasks.reweighting.samples import check_weights
from omnilearn_lab.training import TrainConfig

MLP = RatioConfig(
    network="mlp", hidden=(32, 32), training=TrainConfig(epochs=8, batch_size=128, learning_rate=1e-3)
)


def gaussians(n=3000, shift=0.5, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (n, 1)), rng.normal(shift, 1, (n, 1))


def ones(samples):
    return tuple(np.ones(len(s)) for s in samples)


@pytest.mark.parametrize("config", [RatioConfig(network="logistic"), MLP], ids=["logistic", "mlp"])
def test_known_log_ratio_is_recovered(config):
    samples = gaussians()
    model = fit_ratio(samples, ones(samples), config)
    x = np.linspace(-1.5, 2, 15)
    error = model.logits(x) - (0.5 * x - 0.125)
    assert np.sqrt(np.mean(error**2)) < 0.12  # statistics of 3000 events allow about 0.05


def test_logistic_is_exact_for_correlated_gaussians():
    rng = np.random.default_rng(3)
    covariance = np.array([[1.0, 0.6], [0.6, 1.5]])
    source = rng.normal(size=(200_000, 2))
    target = rng.multivariate_normal([0.3, -0.2], covariance, 200_000)
    model = LogisticRatio.fit((source, target), ones((source, target)), 2)
    x = rng.normal(size=(500, 2))
    d, inverse = x - [0.3, -0.2], np.linalg.inv(covariance)
    truth = 0.5 * (
        (x**2).sum(1) - np.einsum("ni,ij,nj->n", d, inverse, d) - np.log(np.linalg.det(covariance))
    )
    assert np.sqrt(np.mean((model.logits(x) - truth) ** 2)) < 0.04


def test_the_ridge_is_chosen_on_jets_kept_aside():
    """Forty numbers of noise beside one that matters, few jets: a penalty helps, and is chosen."""
    rng = np.random.default_rng(1)
    samples = tuple(rng.normal(size=(2, 150, 41)))
    samples[1][:, 0] += 0.5
    config = RatioConfig(network="logistic", degree=1)
    ridges = (1e-4, 1e-2, 1e-1, 1.0)
    loose, tuned = (
        fit_ratio(samples, ones(samples), setting) for setting in (config, replace(config, ridges=ridges))
    )
    fresh = rng.normal(size=(5000, 41))
    truth = 0.5 * fresh[:, 0] - 0.125
    errors = [np.sqrt(np.mean((model.logits(fresh) - truth) ** 2)) for model in (loose, tuned)]
    assert errors[1] < 0.7 * errors[0]


def test_weights_act_like_repeated_events():
    source, target = gaussians(500)
    weights = np.random.default_rng(0).integers(0, 4, 500).astype(float)
    repeated = np.repeat(target, weights.astype(int), axis=0)
    weighted = LogisticRatio.fit((source, target), (np.ones(500), weights), 2)
    counted = LogisticRatio.fit((source, repeated), (np.ones(500), np.ones(len(repeated))), 2)
    x = np.linspace(-1, 1, 9)[:, None]
    # standardisation differs between the two, and so does the tiny ridge
    np.testing.assert_allclose(weighted.logits(x), counted.logits(x), atol=1e-3)


def test_same_jets_with_two_sets_of_weights():
    source = gaussians()[0]
    target_weights = np.exp(0.5 * source[:, 0] - 0.125)
    model = fit_ratio((source, source), (np.ones(3000), target_weights), MLP)
    x = np.linspace(-1.5, 1.5, 9)
    truth = 0.5 * x - 0.125 - np.log(target_weights.mean())  # both get the same total weight
    assert np.sqrt(np.mean((model.logits(x) - truth) ** 2)) < 0.12
    assert len(model.history.records) > 0


def test_start_goes_on_from_a_network_and_leaves_it_alone():
    samples = gaussians(500)
    first = fit_ratio(samples, ones(samples), MLP)
    before = first.logits(samples[0])
    idle = RatioConfig(network="mlp", hidden=(32, 32), training=TrainConfig(epochs=0.1, learning_rate=1e-9))
    second = fit_ratio(samples, ones(samples), idle, start=first)
    np.testing.assert_allclose(second.logits(samples[0]), before, atol=1e-5)
    fit_ratio(samples, ones(samples), MLP, start=first)
    np.testing.assert_array_equal(first.logits(samples[0]), before)


def test_validation_rows_depend_on_seed_and_size_only():
    samples = gaussians(400)
    models = [fit_ratio(samples, ones(samples), MLP) for _ in range(2)]
    np.testing.assert_array_equal(models[0].logits(samples[1]), models[1].logits(samples[1]))


def test_run_directory_resumes_and_refuses_other_data(tmp_path):
    samples = gaussians(300)
    first = fit_ratio(samples, ones(samples), MLP, run_directory=tmp_path)
    again = fit_ratio(samples, ones(samples), MLP, run_directory=tmp_path)
    np.testing.assert_array_equal(first.logits(samples[0]), again.logits(samples[0]))
    assert len(again.history) == len(first.history)
    other = gaussians(300, seed=2)
    with pytest.raises(TrainingError, match="other jets"):
        fit_ratio(other, ones(other), MLP, run_directory=tmp_path)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, -2.0, 1.0], "1 of the 3 weights of source are negative"),
        ([0.0, 0.0, 0.0], "sum to zero"),
        ([1.0, np.nan, 1.0], "not finite"),
        ([1.0, 1.0], "one per jet"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(JetsError, match=message):
        check_weights("source", weights, 3)


def test_all_weight_in_the_other_part():
    source = np.arange(10.0)[:, None]
    weights = np.zeros(10)
    weights[3] = 1.0
    with pytest.raises(TrainingError, match="more jets are needed"):
        fit_ratio((source, source + 1), (weights, np.ones(10)), MLP)


@pytest.mark.parametrize(
    "change",
    [{"network": "pett"}, {"validation_fraction": 0.0}, {"clip": 0.0}, {"degree": 0}, {"hidden": (0,)}],
)
def test_bad_settings(change):
    with pytest.raises(ConfigError):
        RatioConfig(**change)


def test_networks_and_samples_must_fit():
    samples = gaussians(20)
    with pytest.raises(ConfigError, match="source: network 'pet' cannot read ndarray"):
        fit_ratio(samples, ones(samples), RatioConfig())
    with pytest.raises(JetsError, match="source has 1 columns and target 2"):
        fit_ratio((samples[0], np.ones((20, 2))), ones(samples), MLP)


@pytest.mark.parametrize("network", ["mlp", "pet", "pet_v2", "pfn"])
def test_weights_start_at_one(network):
    config = RatioConfig(network=network)
    made = _network((np.ones((5, 2)), np.zeros((5, 2))), config)
    layer = [m for m in made.modules() if isinstance(m, torch.nn.Linear) and m.out_features == 1]
    assert len(layer) == 1
    assert not layer[0].weight.any()
    assert not layer[0].bias.any()
