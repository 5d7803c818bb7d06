"""Significance, p-values and the ABCD closure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import abcd_closure, p_value_to_sigma, significance
from scipy import stats


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


def test_abcd_by_hand():
    result = abcd_closure([12.0], [100.0], [1000.0], [50.0])
    assert result.predicted.tolist() == [5.0]
    assert result.uncertainty[0] == pytest.approx(5 * np.sqrt(1 / 100 + 1 / 1000 + 1 / 50))
    assert result.ratio.tolist() == [2.4] and result.mean_ratio == pytest.approx(2.4)
    assert result.ratio_uncertainty[0] == pytest.approx(np.sqrt(1 / 5 + 0.031))
    assert (result.n_degrees_of_freedom, result.p_value) == (0, 1.0)


def test_abcd_closes_on_independent_cuts():
    rng = np.random.default_rng(1)
    means, chi2 = [], []
    for _ in range(300):
        result = abcd_closure(*(rng.poisson(n, 8) for n in (50, 500, 5000, 500)))
        means.append((result.mean_ratio - 1) / result.mean_ratio_uncertainty)
        chi2.append(result.chi2)
    assert abs(np.mean(means)) < 0.3 and np.std(means) == pytest.approx(1, abs=0.15)
    assert np.mean(chi2) == pytest.approx(7, rel=0.15)


def test_an_empty_signal_bin_is_a_measurement():
    assert abcd_closure([0.0], [10.0], [100.0], [10.0]).ratio[0] == 0


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
        (lambda: abcd_closure([1, 1], [1, 0], [1, 1], [1, 1]), r"bins \[1\]"),
        (lambda: abcd_closure([1], [np.nan], [1], [1]), r"bins \[0\]"),
        (lambda: abcd_closure([-1], [1], [1], [1]), r"bins \[0\]"),
        (lambda: abcd_closure([1, 2], [1], [1], [1]), "one count per bin"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(MetricError, match=message):
        call()
