"""Event weights and weighted histograms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import calibration_curve, density_ratio, effective_sample_size
from omnilearn_lab.metrics.reweighting import published_edges, triangular_discriminator, weighted_chi2
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


def test_none_or_all_of_few_jets_is_no_certainty():
    curve = calibration_curve([0.05, 0.95, 0.95, *[0.55] * 1000], [0, 1, 1, *[0, 1] * 500])
    one, many, two = curve.uncertainty[[0, 5, 9]]
    assert (one, two) == pytest.approx((1 / 4, 1 / 6))  # Wilson: (1 / 2n) / (1 + 1 / n)
    assert many == pytest.approx(np.sqrt(0.25 / 1000), rel=1e-3)


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


UNIT = np.linspace(0, 1, 11)


def test_discriminator_by_hand():
    reference, sample = [0.5] * 3 + [1.5], [0.5] + [1.5] * 3
    result = triangular_discriminator(reference, sample, [0, 1, 2])
    assert result.value == pytest.approx(1000 * 0.5 * 2 * 0.5**2 / 1.0)
    assert result.floor == pytest.approx(1000 * 2 / 4 * (1 / 4 + 1 / 4))


def test_disjoint_distributions_give_the_maximum():
    assert triangular_discriminator([0.5], [1.5], [0, 1, 2]).value == pytest.approx(1000)


@given(st.integers(0, 1000), st.floats(0.1, 100))
def test_symmetric_bounded_and_free_of_units(seed, unit):
    rng = np.random.default_rng(seed)
    a, b = rng.random(50), rng.beta(2, 2, 60)
    weights = rng.random(50), rng.random(60)
    result = triangular_discriminator(a, b, UNIT, weights=weights, uncertainty="published")
    swapped = triangular_discriminator(
        unit * b, unit * a, unit * UNIT, weights=(3 * weights[1], weights[0]), uncertainty="published"
    )
    assert 0 <= result.value <= 1000
    assert swapped.value == pytest.approx(result.value)


def test_equal_to_the_density_form():
    """The papers write densities and bin widths; shares of a total are the same thing."""
    rng = np.random.default_rng(0)
    a, b = rng.random(500), rng.beta(2, 3, 500)
    p, q = (np.histogram(x, UNIT, density=True)[0] for x in (a, b))
    assert triangular_discriminator(a, b, UNIT).value == pytest.approx(
        1000 * 0.5 * np.sum(0.1 * (p - q) ** 2 / (p + q))
    )


def test_what_lies_outside_is_left_out_and_reported():
    inside = triangular_discriminator([0.1, 0.6], [0.2], [0, 0.5, 1])
    more = triangular_discriminator([0.1, 0.6, 7.0, -1.0], [0.2], [0, 0.5, 1])
    assert more.value == inside.value and more.outside == (0.5, 0.0)


def test_the_last_edge_belongs_to_the_last_bin():
    assert triangular_discriminator([0.0, 0.5, 1.0], [1.0], [0, 0.5, 1]).reference.tolist() == pytest.approx(
        [1 / 3, 2 / 3]
    )


@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_floor_is_the_mean_over_equal_samples(spread):
    rng = np.random.default_rng(3)
    found = []
    for _ in range(150):
        weights = rng.lognormal(0, spread, 400), rng.lognormal(0, spread, 800)
        samples = rng.random(400), rng.random(800)
        found.append(triangular_discriminator(*samples, UNIT, weights=weights, uncertainty="published"))
    values, floors = [r.value for r in found], [r.floor for r in found]
    # ten shares that sum to one fluctuate in nine directions
    assert np.mean(values) == pytest.approx(0.9 * np.mean(floors), rel=0.15)


def test_bootstrap_uncertainty_equals_the_spread_of_repeated_samples():
    rng = np.random.default_rng(4)
    draw = lambda: triangular_discriminator(rng.beta(2, 2, 800), rng.random(800), UNIT)  # noqa: E731
    repeats = [draw() for _ in range(100)]
    assert np.mean([r.uncertainty for r in repeats]) == pytest.approx(
        np.std([r.value for r in repeats]), rel=0.25
    )


def test_published_uncertainty_by_the_scripts_recipe():
    """Contents drawn uniformly within their errors, norms kept: 1/sqrt(3) of a Gaussian error."""
    rng = np.random.default_rng(5)
    a, b = rng.beta(2, 2, 20_000), rng.random(20_000)
    result = triangular_discriminator(a, b, UNIT, uncertainty="published")
    gauss = triangular_discriminator(a, b, UNIT)
    assert result.value == gauss.value
    assert result.uncertainty == pytest.approx(gauss.uncertainty / np.sqrt(3), rel=0.3)


def test_without_trials_everything_else_is_the_same():
    rng = np.random.default_rng(3)
    samples, weights = (rng.random(300), rng.random(200)), (None, rng.random(200))
    with_trials, without = (
        triangular_discriminator(*samples, UNIT, weights=weights, uncertainty=kind)
        for kind in ("bootstrap", "none")
    )
    assert (without.value, without.floor) == (with_trials.value, with_trials.floor)
    assert np.isnan(without.uncertainty) and with_trials.uncertainty > 0


def test_the_seed_fixes_the_uncertainty():
    a, b = np.random.default_rng(0).random((2, 100))
    one, two, other = (triangular_discriminator(a, b, UNIT, seed=s).uncertainty for s in (0, 0, 1))
    assert one == two != other


def test_one_event_is_defined():
    result = triangular_discriminator([0.5], [0.5], [0, 1])
    assert result.value == 0 and np.isfinite(result.uncertainty) and result.floor == 500


def test_published_binning():
    assert {name: len(published_edges(name)) - 1 for name in ("mass", "multiplicity", "z_g")} == {
        "mass": 49, "multiplicity": 79, "z_g": 49,
    }  # fmt: skip
    np.testing.assert_array_equal(published_edges("tau_21"), np.linspace(0, 1.2, 50))
    with pytest.raises(MetricError, match="did you mean 'tau_21'"):
        published_edges("tau21")


def test_chi2_by_hand():
    # counts 60, 40 against 50, 50, shapes: (0.1)^2 / (0.006 + 0.005) + (0.1)^2 / (0.004 + 0.005)
    result = weighted_chi2([0.5] * 60 + [1.5] * 40, [0.5] * 50 + [1.5] * 50, [0, 1, 2])
    assert result.value == pytest.approx(0.01 / 0.011 + 0.01 / 0.009)
    assert result.pulls.tolist() == pytest.approx([-0.1 / 0.011**0.5, 0.1 / 0.009**0.5])
    counts = weighted_chi2([0.5] * 60 + [1.5] * 40, [0.5] * 50, [0, 1, 2], compare="counts")
    assert counts.value == pytest.approx(100 / 110 + 40) and counts.n_degrees_of_freedom == 2


@pytest.mark.parametrize("compare", ["shape", "counts"])
def test_p_values_are_uniform_for_equal_distributions(compare):
    rng = np.random.default_rng(6)
    p_values = []
    for _ in range(300):
        sizes = (5000, 5000) if compare == "shape" else rng.poisson(5000, 2)
        weights = tuple(rng.choice([0.5, 1.5], n) for n in sizes)
        result = weighted_chi2(*(rng.random(n) for n in sizes), UNIT, weights=weights, compare=compare)
        p_values.append(result.p_value)
    # Kolmogorov-Smirnov distance to the uniform distribution, 1 % critical value
    distance = np.abs(np.sort(p_values) - (np.arange(300) + 0.5) / 300).max()
    assert distance < 1.63 / np.sqrt(300)


def test_empty_bins_are_not_counted():
    result = weighted_chi2([0.5, 1.5], [0.5, 1.5], [0, 1, 2, 3])
    assert (result.value, result.n_degrees_of_freedom, result.p_value, result.pulls[2]) == (0, 1, 1, 0)


@pytest.mark.parametrize("metric", [triangular_discriminator, weighted_chi2])
@pytest.mark.parametrize(
    ("reference", "edges", "weights", "message"),
    [
        ([0.5], [1.0], None, "at least two"),
        ([0.5], [1, 0], None, "must rise"),
        ([5.0], [0, 1], None, "reference: nothing between 0 and 1"),
        ([0.5], [0, 1], [0.0], "sum to zero"),
        ([0.5, 5.0], [0, 1], [0.0, 1.0], "nothing between"),
        ([0.5], [0, 1], [-1.0], "negative"),
        ([np.nan], [0, 1], None, "not finite"),
        ([], [0, 1], None, "at least one jet"),
    ],
)
def test_bad_histograms_are_named(metric, reference, edges, weights, message):
    with pytest.raises(MetricError, match=message):
        metric(reference, [0.5], edges, weights=(weights, None))


def test_unknown_choices_and_a_single_bin():
    with pytest.raises(MetricError, match="known: bootstrap, none, published"):
        triangular_discriminator([0.5], [0.5], [0, 1], uncertainty="poisson")
    with pytest.raises(MetricError, match="known: counts, shape"):
        weighted_chi2([0.5], [0.5], [0, 1], compare="form")
    with pytest.raises(MetricError, match="two populated bins"):
        weighted_chi2([0.5], [0.5], [0, 1])
