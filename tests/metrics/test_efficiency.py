"""Efficiencies, rejections, significances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import (
    background_rejection,
    max_sic,
    p_value_to_sigma,
    roc,
    sic_curve,
    significance,
)
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

TIGHT = 1e-12


@st.composite
def samples(draw, *, weighted=True):
    """Scores with many ties, both classes present, weights that may vanish for some jets."""
    n = draw(st.integers(2, 60))
    scores = draw(st.lists(st.integers(-4, 4).map(lambda i: i / 4), min_size=n, max_size=n))
    labels = [0, 1] + draw(st.lists(st.integers(0, 1), min_size=n - 2, max_size=n - 2))
    weight = st.sampled_from([0.0, 0.25, 1.0, 7.5]) if weighted else st.just(1.0)
    weights = [1.0, 0.5] + draw(st.lists(weight, min_size=n - 2, max_size=n - 2))
    return np.array(scores), np.array(labels), np.array(weights)


@given(samples())
def test_roc_equals_scikit_learn(sample):
    scores, labels, weights = sample
    curve = roc(scores, labels, weights=weights)
    kept = weights > 0  # scikit-learn keeps thresholds of jets without weight; they move nothing
    fpr, tpr, thresholds = roc_curve(
        labels[kept], scores[kept], sample_weight=weights[kept], drop_intermediate=False
    )
    np.testing.assert_allclose(curve.background_efficiency, fpr, atol=TIGHT)
    np.testing.assert_allclose(curve.signal_efficiency, tpr, atol=TIGHT)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert curve.auc == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights), abs=1e-10)


@given(samples(weighted=False))
def test_area_is_the_probability_that_signal_scores_higher(sample):
    scores, labels, _ = sample
    difference = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    expected = np.mean((difference > 0) + 0.5 * (difference == 0))
    assert roc(scores, labels).auc == pytest.approx(expected, abs=TIGHT)


@given(samples())
def test_a_constant_factor_on_the_weights_changes_nothing(sample):
    scores, labels, weights = sample
    one, other = roc(scores, labels, weights=weights), roc(scores, labels, weights=1e3 * weights)
    assert other.auc == pytest.approx(one.auc)
    assert other.n_background == pytest.approx(one.n_background)
    np.testing.assert_allclose(other.n_background_passed, one.n_background_passed)


def test_float32_scores_and_boolean_labels_are_taken():
    rng = np.random.default_rng(3)
    scores, labels = rng.random(500, dtype=np.float32), rng.random(500) < 0.4
    assert roc(scores, labels).auc == pytest.approx(roc_auc_score(labels, scores))


def published_rejection(scores, labels, target):
    """The evaluation scripts' rule, spelled out with scikit-learn's default thinning."""
    fpr, tpr, _ = roc_curve(labels, scores)
    return 1 / fpr[np.argmax(tpr > target)]


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 0.3, 0.5, 0.8]), st.sampled_from([None, 1, 2]))
def test_published_rule_equals_the_scripts(seed, target, digits):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 2000)
    scores = rng.normal(labels * 1.0)
    scores = scores if digits is None else scores.round(digits)
    found = background_rejection(
        scores, labels, signal_efficiency=target, method="published", min_background=1
    )
    assert found.value == pytest.approx(published_rejection(scores, labels, target), rel=1e-9)


def test_interpolation_between_tied_points_by_hand():
    # thresholds 2: (tpr 0.4, fpr 0.1); threshold 1: (tpr 0.8, fpr 0.5)
    scores = [2] * 4 + [1] * 4 + [0] * 2 + [2] * 10 + [1] * 40 + [0] * 50
    labels = [1] * 10 + [0] * 100
    assert background_rejection(scores, labels, signal_efficiency=0.4).value == pytest.approx(1 / 0.1)
    middle = background_rejection(scores, labels, signal_efficiency=0.6)
    assert middle.background_efficiency == pytest.approx(0.3)
    assert middle.n_background_passed == pytest.approx(30)


def test_binomial_uncertainty_by_hand():
    scores = np.append(np.ones(10), np.repeat([1.0, 0.0], [25, 75]))
    result = background_rejection(scores, np.repeat([1, 0], [10, 100]), signal_efficiency=1.0)
    assert result.value == 4 and not result.is_limit
    assert result.uncertainty / result.value == pytest.approx(np.sqrt(0.75 / 25))


def test_uncertainty_covers_repeated_samples():
    rng = np.random.default_rng(11)
    pulls = []
    truth = 1 / stats.norm.sf(1.5)
    for _ in range(300):
        scores = np.append(1.5 + rng.normal(size=8_000), rng.normal(size=2_000))
        weights = rng.choice([0.5, 2.0], size=10_000)
        result = background_rejection(scores, np.repeat([1, 0], [8_000, 2_000]), weights=weights)
        pulls.append((1 / result.value - 1 / truth) / (result.uncertainty / result.value**2))
    assert abs(np.mean(pulls)) < 0.2
    assert 0.9 < np.std(pulls) < 1.15


@pytest.mark.parametrize("n_passed", [0, 1, 9])
def test_few_survivors_give_a_limit_never_infinity(n_passed):
    scores = np.append(np.ones(5), np.repeat([2.0, 0.0], [n_passed, 1000 - n_passed]))
    labels = np.repeat([1, 0], [5, 1000])
    result = background_rejection(scores, labels, signal_efficiency=0.5)
    assert result.is_limit and np.isfinite(result.value) and np.isnan(result.uncertainty)
    # at an efficiency equal to 1/value, seeing n_passed or fewer has 5 % probability
    assert stats.binom.cdf(n_passed, 1000, 1 / result.value) == pytest.approx(0.05, abs=1e-9)
    assert str(result).startswith("> ")


def test_ten_survivors_are_a_measurement():
    scores = np.append(np.ones(5), np.repeat([2.0, 0.0], [10, 990]))
    result = background_rejection(scores, np.repeat([1, 0], [5, 1000]))
    assert not result.is_limit and result.value == pytest.approx(100)


def test_one_jet_of_each_class():
    result = background_rejection([1.0, 0.0], [1, 0])
    assert result.is_limit and result.value == pytest.approx(1 / 0.95)
    assert roc([1.0, 0.0], [1, 0]).auc == 1.0
    assert roc([0.5, 0.5], [1, 0]).auc == 0.5


def test_published_rule_at_full_efficiency_is_nan_not_infinite():
    result = background_rejection([0.1, 0.9], [0, 1], signal_efficiency=1.0, method="published")
    assert np.isnan(result.value) and result.is_limit


def test_several_efficiencies_keep_their_order():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 5000)
    results = background_rejection(rng.normal(labels), labels, signal_efficiency=[0.5, 0.3])
    assert [r.signal_efficiency for r in results] == [0.5, 0.3]
    assert results[1].value > results[0].value


@pytest.mark.parametrize(
    ("scores", "labels", "weights", "message"),
    [
        ([0.1, 0.2], [1, 1], None, "no background"),
        ([0.1, 0.2], [0, 0], None, "no signal"),
        ([0.1, 0.2], [0, 1], [1, 0], "no signal"),
        ([0.1, 0.2], [0, 1], [0, 0], "sum to zero"),
        ([0.1, 0.2], [0, 1], [1, -1], "negative"),
        ([0.1, np.nan], [0, 1], None, "index 1"),
        ([0.1, np.inf], [0, 1], None, "not finite"),
        ([0.1, 0.2], [0, 2], None, "0..1"),
        ([0.1, 0.2], [0, 0.5], None, "whole numbers"),
        ([0.1, 0.2], [0, np.nan], None, "whole numbers"),
        ([0.1, 0.2], [0, 1, 1], None, "shape"),
        ([0.1, 0.2], [0, 1], [1.0], "shape"),
        ([0.1, 0.2], [0, 1], [1.0, np.nan], "not finite"),
        ([[0.1, 0.2]], [0], None, "one-dimensional"),
        ([], [], None, "at least one jet"),
    ],
)
def test_bad_input_is_named(scores, labels, weights, message):
    with pytest.raises(MetricError, match=message):
        roc(scores, labels, weights=weights)


@pytest.mark.parametrize("efficiency", [0.0, -0.1, 1.1, np.nan])
def test_efficiency_outside_its_domain(efficiency):
    with pytest.raises(MetricError, match="signal_efficiency"):
        background_rejection([0.0, 1.0], [0, 1], signal_efficiency=efficiency)


def test_unknown_method_names_the_known_ones():
    with pytest.raises(MetricError, match="did you mean 'published'"):
        background_rejection([0.0, 1.0], [0, 1], method="publishd")


def sample(seed=0, n=20_000):
    rng = np.random.default_rng(seed)
    labels = np.repeat([1, 0], n)
    return rng.normal(2.0 * labels), labels


def test_published_rule_without_count_floor_equals_the_scripts():
    scores, labels = sample()
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    keep = fpr > 1e-4
    best = max_sic(roc(scores, labels), min_background=0)
    assert best.value == pytest.approx(np.max(tpr[keep] / np.sqrt(fpr[keep])))


def test_floor_removes_points_of_few_background_jets():
    scores, labels = sample()
    points = sic_curve(roc(scores, labels), min_background=25)
    assert points.n_background_passed.min() >= 25
    assert np.all(points.uncertainty <= points.significance_improvement / 10)


def test_floor_keeps_a_lucky_point_from_winning():
    scores = np.append(np.arange(1000.0) + 5000, np.arange(1000.0))  # one background jet sits on top
    scores[-1] = 1e4
    labels = np.repeat([1, 0], 1000)
    floorless = max_sic(roc(scores, labels), min_background=0, min_background_efficiency=0)
    assert floorless.value == pytest.approx(np.sqrt(1000))
    assert max_sic(roc(scores, labels)).value == pytest.approx(1 / np.sqrt(0.01))


def test_random_scores_gain_nothing():
    rng = np.random.default_rng(1)
    best = max_sic(roc(rng.random(200_000), rng.integers(0, 2, 200_000)), min_background=400)
    assert best.value == pytest.approx(1.0, abs=4 * best.uncertainty + 1e-3)


def test_too_little_background_is_an_error():
    with pytest.raises(MetricError, match="10 background jets"):
        max_sic(roc(np.arange(12.0), np.arange(12) > 5))


def test_the_error_of_an_area_is_the_scatter_over_samples():
    rng = np.random.default_rng(4)
    labels = np.repeat([1, 0], [120, 200])
    curves = [roc(rng.normal(labels * 1.2), labels) for _ in range(400)]
    assert np.mean([c.auc_error for c in curves]) == pytest.approx(np.std([c.auc for c in curves]), rel=0.12)


def test_asimov_formula_by_hand_and_in_its_limit():
    assert significance(10, 10) == pytest.approx(np.sqrt(2 * (20 * np.log(2) - 10)))
    assert significance(10, 1e6) == pytest.approx(10 / 1e3, rel=1e-4)
    assert significance(0, 5) == 0


def test_published_bookkeeping_of_injected_signal():
    assert significance(600, 100_000) == pytest.approx(1.9, abs=0.01)
    assert significance(1500, 100_000) == pytest.approx(4.74, abs=0.03)


@given(st.floats(0.1, 1e3), st.floats(0.1, 1e5), st.floats(1e-3, 1e3))
def test_a_background_uncertainty_only_lowers_it(s, b, error):
    lowered = significance(s, b, background_uncertainty=error)
    assert 0 <= lowered <= significance(s, b) * (1 + 1e-6)


def test_background_uncertainty_in_its_limits():
    assert significance(10, 1e6, background_uncertainty=2e3) == pytest.approx(
        10 / np.sqrt(1e6 + 4e6), rel=1e-3
    )
    assert significance(10, 50, background_uncertainty=1e-3) == pytest.approx(significance(10, 50), rel=1e-4)


@given(st.floats(1e-300, 0.999))
def test_p_value_equals_scipy(p):
    assert p_value_to_sigma(p) == pytest.approx(stats.norm.isf(p), abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: significance(5, 0), "background > 0"),
        (lambda: significance(-1, 5), "signal >= 0"),
        (lambda: significance(1, np.nan), "nan"),
        (lambda: significance(1, 5, background_uncertainty=-1), "uncertainty >= 0"),
        (lambda: p_value_to_sigma(0.0), "1/"),
        (lambda: p_value_to_sigma(1.0), "between 0 and 1"),
        (lambda: p_value_to_sigma(np.nan), "between 0 and 1"),
    ],
)
def test_bad_counts_are_named(call, message):
    with pytest.raises(MetricError, match=message):
        call()
