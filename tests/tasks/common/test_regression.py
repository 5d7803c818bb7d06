"""A momentum is learnt as a correction to what was measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.tasks.common import (
    ClassifierComparisonSettings,
    Comparison,
    RegressionData,
    compare_regressors,
)
from omnilearn_lab.tasks.common.regression import RegressionResult
from omnilearn_lab.training import Regression, TrainConfig
from tests.conftest import random_jets


def make_jets(n, seed):
    """Jets whose response depends on how many particles they have."""
    jets = random_jets(n, seed=seed)
    response = 1 + 0.05 * (jets.counts - jets.counts.mean())
    noise = np.random.default_rng(seed).lognormal(0, 0.02, n)
    return jets.with_jet(true_pt=jets.jet["pt"] / np.clip(response, 0.3, None) * noise)


@pytest.fixture(scope="module")
def data():
    jets = {
        name: make_jets(n, i) for i, (name, n) in enumerate({"train": 300, "val": 80, "test": 300}.items())
    }
    return RegressionData.from_jets(jets, "true_pt", jet_radius=0.8)


def test_resolution_is_half_the_central_68_percent_and_has_an_error():
    rng = np.random.default_rng(1)
    result = RegressionResult(rng.normal(1.03, 0.1, 4000), 10)
    values, errors = result.values(), result.errors()
    assert values["resolution"] == pytest.approx(0.1, abs=0.006) and values["bias"] == pytest.approx(
        0.03, abs=0.006
    )
    again = [RegressionResult(rng.normal(1.03, 0.1, 4000), 10).values() for _ in range(60)]
    for name in ("resolution", "bias"):
        assert errors[name] == pytest.approx(np.std([one[name] for one in again]), rel=0.35)


def test_the_error_of_a_difference_is_its_spread_over_test_samples():
    def pair(rng):
        truth, noise = rng.normal(1.0, 0.1, 2000), rng.normal(0, 0.03, 2000)
        return [RegressionResult(ratio, 10) for ratio in (truth, truth + noise)]

    rng = np.random.default_rng(2)
    scratch, tuned = pair(rng)
    comparison = Comparison({"scratch": [scratch], "finetuned": [tuned]}, seeds=(1,))
    (error,) = comparison.shared_errors("resolution", "finetuned")
    again = [[one.values()["resolution"] for one in pair(rng)] for _ in range(150)]
    assert error == pytest.approx(np.std(np.diff(again)), rel=0.25)
    assert error < 0.6 * np.hypot(scratch.errors()["resolution"], tuned.errors()["resolution"])
    (same,) = Comparison({"scratch": [tuned], "finetuned": [tuned]}, seeds=(1,)).shared_errors(
        "resolution", "finetuned"
    )
    assert same == 0


def test_trees_undo_what_one_factor_cannot(data):
    raw, trees = data.calibrated(), data.boosted_trees()
    assert raw.values()["bias"] < 0.05
    assert trees.values()["resolution"] < 0.6 * raw.values()["resolution"]
    perfect = data.result(data.targets["test"])
    assert perfect.values() == {"resolution": 0.0, "bias": 0.0}


def test_networks_are_compared_like_classifiers(data):
    training = TrainConfig(epochs=2, batch_size=50)
    settings = ClassifierComparisonSettings("tiny", seeds=(1, 2), scratch=training, finetuned=training)
    comparison = compare_regressors(data, settings, workers=1, progress=False)
    assert set(comparison.results) == {"scratch", "finetuned", "frozen"}
    assert comparison.values("frozen", "resolution")[0] == comparison.values("frozen", "resolution")[1]
    assert comparison.values("frozen", "resolution")[0] < data.calibrated().values()["resolution"]
    assert len(set(comparison.values("scratch", "resolution"))) == 2
    record = comparison.beside("measured", data.calibrated()).record()
    assert record.smaller_is_better == ["resolution", "bias"] and record.gains["resolution"].n == 2


def test_what_cannot_be_learnt_is_named():
    jets = {name: make_jets(20, 0) for name in ("train", "val", "test")}
    with pytest.raises(ConfigError, match="did you mean 'true_pt'"):
        RegressionData.from_jets(jets, "tru_pt")
    with pytest.raises(ConfigError, match=r"no jets for \['test'\]"):
        RegressionData.from_jets({name: jets[name] for name in ("train", "val")}, "true_pt")
    zero = jets["train"].with_jet(true_pt=np.where(np.arange(20) == 3, 0, jets["train"].jet["true_pt"]))
    with pytest.raises(JetsError, match="not positive for 1 of 20 jets"):
        RegressionData.from_jets(jets | {"train": zero}, "true_pt")


def test_the_prior_of_a_regression_is_the_mean_of_its_own_targets(data):
    batch = data.batches["test"]
    torch.testing.assert_close(Regression(target="condition").prior(batch, 1), batch.condition.mean(0))
