"""Triangular discriminator and chi-square of weighted histograms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics.distances import published_edges, triangular_discriminator, weighted_chi2

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
def test_bad_input_is_named(metric, reference, edges, weights, message):
    with pytest.raises(MetricError, match=message):
        metric(reference, [0.5], edges, weights=(weights, None))


def test_unknown_choices_and_a_single_bin():
    with pytest.raises(MetricError, match="known: bootstrap, published"):
        triangular_discriminator([0.5], [0.5], [0, 1], uncertainty="poisson")
    with pytest.raises(MetricError, match="known: counts, shape"):
        weighted_chi2([0.5], [0.5], [0, 1], compare="form")
    with pytest.raises(MetricError, match="two populated bins"):
        weighted_chi2([0.5], [0.5], [0, 1])
