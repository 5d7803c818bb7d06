"""Calibration curve and expected calibration error."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import calibration_curve
from sklearn.calibration import calibration_curve as sk_curve


def test_bins_equal_scikit_learn():
    rng = np.random.default_rng(0)
    probability = rng.beta(2, 3, 5000)
    labels = rng.random(5000) < probability
    curve = calibration_curve(probability, labels, n_bins=12)
    observed, predicted = sk_curve(labels, probability, n_bins=12)
    filled = curve.fraction > 0
    np.testing.assert_allclose(curve.observed[filled], observed)
    np.testing.assert_allclose(curve.predicted[filled], predicted)


def test_a_calibrated_score_has_errors_of_statistical_size():
    rng = np.random.default_rng(1)
    probability = rng.random(100_000)
    curve = calibration_curve(probability, rng.random(100_000) < probability)
    pulls = (curve.observed - curve.predicted) / curve.uncertainty
    assert np.abs(pulls).max() < 4
    assert curve.expected_calibration_error < 0.01


def test_an_overconfident_score_is_found():
    rng = np.random.default_rng(2)
    labels = rng.random(50_000) < 0.5
    claimed = np.where(labels == (rng.random(50_000) < 0.7), 0.9, 0.1)
    assert calibration_curve(claimed, labels).expected_calibration_error == pytest.approx(0.2, abs=0.02)


def test_weights_act_like_repetition():
    probability, labels, counts = (
        np.array([0.1, 0.2, 0.8, 0.9]),
        np.array([0, 1, 1, 1]),
        np.array([1, 2, 3, 4]),
    )
    weighted = calibration_curve(probability, labels, weights=counts, n_bins=4)
    repeated = calibration_curve(np.repeat(probability, counts), np.repeat(labels, counts), n_bins=4)
    np.testing.assert_allclose(weighted.observed, repeated.observed)
    assert weighted.expected_calibration_error == pytest.approx(repeated.expected_calibration_error)


def test_many_classes_use_the_confidence():
    table = [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]
    curve = calibration_curve(table, [0, 1, 1], n_bins=5)
    assert curve.observed[3] == pytest.approx(0.5) and curve.observed[4] == 1.0


def test_the_edge_values_fall_into_the_outer_bins():
    curve = calibration_curve([0.0, 1.0], [0, 1], n_bins=3)
    assert curve.fraction.tolist() == [0.5, 0, 0.5]
    assert np.isnan(curve.observed[1])


@pytest.mark.parametrize(
    ("probability", "n_bins", "message"),
    [([0.5, 1.2], 10, "not logits"), ([0.5, -0.1], 10, "not logits"), ([0.5, 0.4], 0, "at least 1")],
)
def test_bad_input_is_named(probability, n_bins, message):
    with pytest.raises(MetricError, match=message):
        calibration_curve(probability, [0, 1], n_bins=n_bins)
