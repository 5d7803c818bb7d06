"""Likelihood ratios, effective sizes, calibration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import calibration_curve, density_ratio, effective_sample_size
from sklearn.calibration import calibration_curve as sk_curve


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=50), st.floats(1e-150, 1e150))
def test_effective_size_lies_between_one_and_n_whatever_the_unit(weights, unit):
    size = effective_sample_size(weights)
    assert 1 - 1e-9 <= size <= len(weights) + 1e-9
    assert effective_sample_size(np.array(weights) * unit) == pytest.approx(size)


def test_effective_size_by_hand():
    assert effective_sample_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_sample_size([1.0, 0.0, 0.0]) == 1.0


def test_the_optimal_logit_recovers_a_known_ratio():
    """Two normals of unit width at 0 and 1: the log-likelihood ratio is x - 1/2."""
    source = np.random.default_rng(0).normal(size=200_000)
    result = density_ratio(source - 0.5)
    assert np.average(source, weights=result.weights) == pytest.approx(1.0, abs=0.02)
    assert result.effective_sample_size == pytest.approx(200_000 / np.e, rel=0.05)  # 1 / E[r^2] = 1/e
    assert result.n_clipped == 0


def test_clip_bounds_the_weights_and_counts():
    result = density_ratio([-50.0, 0.0, 11.0, 10.0])
    assert result.weights == pytest.approx([np.exp(-10), 1, np.exp(10), np.exp(10)])
    assert result.n_clipped == 2


def test_base_weights_multiply():
    result = density_ratio([np.log(2), 0.0], base_weights=[3.0, 0.0])
    assert result.weights == pytest.approx([6.0, 0.0]) and result.effective_sample_size == 1.0


def test_published_rule_sets_infinite_ratios_to_one():
    """What f / (1 - f) with nan_to_num(posinf=1) gives in float32."""
    logits = np.array([-2.0, 0.0, 3.0, 30.0])
    with np.errstate(divide="ignore"):
        f = (1 / (1 + np.exp(-logits))).astype(np.float32)
        expected = np.nan_to_num(f / (1 - f), posinf=1)
    result = density_ratio(logits, rule="published")
    np.testing.assert_array_equal(result.weights, expected)
    assert result.weights[-1] == 1.0 and result.n_clipped == 1


@pytest.mark.parametrize("rule", ["clip", "published"])
def test_samples_without_overlap_are_worth_nothing(rule):
    """Every ratio is the same bound: equal weights, which Kish's formula alone would call perfect."""
    result = density_ratio(np.full(50, 40.0), rule=rule)
    assert np.ptp(result.weights) == 0
    assert (result.n_clipped, result.effective_sample_size) == (50, 0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: density_ratio([np.nan]), "not finite"),
        (lambda: density_ratio([]), "at least one jet"),
        (lambda: density_ratio([0.0], clip=0.0), "clip must be positive"),
        (lambda: density_ratio([0.0], rule="publish"), "did you mean 'published'"),
        (lambda: density_ratio([0.0], base_weights=[-1.0]), "base_weights"),
        (lambda: effective_sample_size([]), "at least one jet"),
        (lambda: effective_sample_size([0.0, 0.0]), "sum to zero"),
        (lambda: effective_sample_size([1.0, -1.0]), "negative"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(MetricError, match=message):
        call()


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
def test_bad_input_is_named_of_calibration(probability, n_bins, message):
    with pytest.raises(MetricError, match=message):
        calibration_curve(probability, [0, 1], n_bins=n_bins)
