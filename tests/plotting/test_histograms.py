"""Histograms lose nothing silently."""

from __future__ import annotations

import hist
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting import HistogramAxis
from omnilearn_lab.plotting.histograms import as_axis, fill_histogram

AXIS = HistogramAxis("Jet mass", np.linspace(0, 10, 6), "GeV")
VALUES = hnp.arrays(
    float,
    st.integers(1, 60),
    elements=st.one_of(st.floats(-20, 20), st.sampled_from([np.inf, -np.inf, np.nan])),
)


@given(values=VALUES)
@settings(max_examples=60, deadline=None)
def test_every_entry_is_inside_outside_or_undefined(values):
    values = np.append(values, 5.0)
    filled = fill_histogram(values, AXIS)
    flow = filled.hist.values(flow=True)
    assert flow.sum() + filled.n_undefined == filled.n_entries == len(values)
    assert flow[0] == (values[np.isfinite(values)] < 0).sum()
    assert flow[-1] == (values[np.isfinite(values)] > 10).sum()


@given(values=hnp.arrays(float, 30, elements=st.floats(-20, 20)), weight=st.floats(0.1, 10))
@settings(max_examples=40, deadline=None)
def test_agrees_with_filling_a_hist(values, weight):
    values = np.append(values[values != 10], 5.0)  # hist leaves the last edge out
    weights = np.linspace(0.5, 1.5, len(values)) * weight
    reference = hist.Hist(hist.axis.Variable(AXIS.edges), storage=hist.storage.Weight())
    reference.fill(values, weight=weights)
    filled = fill_histogram(values, AXIS, weights=weights)
    np.testing.assert_allclose(filled.hist.values(flow=True), reference.values(flow=True))
    np.testing.assert_allclose(filled.hist.variances(flow=True), reference.variances(flow=True))


def test_the_last_edge_belongs_to_the_last_bin():
    filled = fill_histogram([0.5, 1.0, 1.1], HistogramAxis("Thrust", [0.0, 0.8, 1.0]))
    assert filled.hist.values().tolist() == [1, 1] and filled.outside == pytest.approx(1 / 3)


def test_density_integrates_to_one_inside_the_range():
    filled = fill_histogram([1, 2, 3, 50], AXIS, weights=[1, 2, 1, 7])
    height, error, spread = filled.density()
    assert (height * np.diff(AXIS.edges)).sum() == pytest.approx(1)
    assert error[1] == pytest.approx(np.sqrt(2**2 + 1) / 4 / 2)
    assert np.all(spread == 0)


def test_sets_of_weights_give_mean_and_spread():
    filled = fill_histogram([1.0, 3.0], AXIS, weights=[[1.0, 1.0], [3.0, 1.0]])
    np.testing.assert_allclose(filled.hist.values()[:2], [2, 1])
    np.testing.assert_allclose(filled.spread[:2], [np.sqrt(2), 0])


def test_effective_number():
    assert fill_histogram([1, 1, 1], AXIS).n_effective == pytest.approx(3)
    assert fill_histogram([1, 1], AXIS, weights=[3, 1]).n_effective == pytest.approx(16 / 10)


def test_histograms_pass_through_with_flow():
    given_hist = hist.Hist(hist.axis.Variable(AXIS.edges), storage=hist.storage.Weight()).fill([-1, 1, 3, 99])
    filled = fill_histogram(given_hist, AXIS)
    np.testing.assert_allclose(filled.hist.values(flow=True), given_hist.values(flow=True))
    assert filled.outside == 0.5


def test_plain_counts_have_poisson_variances():
    counts = hist.Hist(hist.axis.Variable(AXIS.edges)).fill([1, 1, 3])
    np.testing.assert_allclose(fill_histogram(counts, AXIS).hist.variances(), counts.values())


def test_histogram_with_other_bins_is_refused():
    with pytest.raises(FigureError, match="other bins"):
        fill_histogram(hist.Hist(hist.axis.Regular(3, 0, 1)).fill([0.5]), AXIS)


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        ([], None, "N > 0"),
        ([[1.0]], None, "shape"),
        ([1.0], [1.0, 2.0], "weights"),
        ([1.0], [np.nan], "not-a-number"),
        ([50.0], None, "widen the range"),
        ([-np.inf], None, "1 of them undefined"),
    ],
)
def test_bad_values(values, weights, message):
    with pytest.raises(FigureError, match=message):
        fill_histogram(values, AXIS, weights=weights)


@pytest.mark.parametrize("edges", [[1.0], [0, 0], [1, 0], [0, np.inf], [[0, 1]]])
def test_bad_edges(edges):
    with pytest.raises(FigureError, match="rising"):
        HistogramAxis("x", edges)


def test_axes_by_name():
    assert as_axis("mass").unit == "GeV"
    with pytest.raises(FigureError, match="did you mean 'mass'"):
        as_axis("mas")
    with pytest.raises(FigureError, match="HistogramAxis"):
        as_axis(3)
