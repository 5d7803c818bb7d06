"""Comparisons with a reference and their triangular discriminator."""

from __future__ import annotations

from dataclasses import replace

import hist
import numpy as np
import pytest
from omnilearn_lab.errors import FigureError
from omnilearn_lab.metrics import triangular_discriminator
from omnilearn_lab.plotting import (
    COMPARISON,
    HistogramAxis,
    figure_data,
    fill_histogram,
    reweighting_comparison,
    unfolding_comparison,
)
from omnilearn_lab.plotting.distributions import triangular

AXIS = HistogramAxis("Width", [0, 1, 2])


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_discriminator_by_hand():
    a, b = fill_histogram([0.5, 0.5, 0.5, 1.5], AXIS), fill_histogram([0.5, 1.5], AXIS)
    delta, floor = triangular(a, b)
    assert delta == pytest.approx(0.5 * (0.25**2 / 1.25 + 0.25**2 / 0.75))
    assert floor == pytest.approx(2 / 4 * (1 / 4 + 1 / 2))


def test_discriminator_and_floor_agree_with_the_metric():
    rng, axis = np.random.default_rng(0), HistogramAxis("x", np.linspace(-3, 3, 21))
    a, b, weights = rng.normal(0, 1, 900), rng.normal(0.3, 1, 700), rng.uniform(0.5, 2, 700)
    inside = np.abs(b) < 3
    filled = fill_histogram(b[inside], axis, weights=weights[inside])
    a = a[np.abs(a) < 3]
    expected = triangular_discriminator(a, b[inside], axis.edges, weights=(None, weights[inside]))
    delta, floor = triangular(filled, fill_histogram(a, axis))
    assert 1000 * delta == pytest.approx(expected.value)
    assert 1000 * floor == pytest.approx(expected.floor)


def test_discriminator_is_zero_for_equal_and_one_for_disjoint_samples():
    low, high = fill_histogram([0.5], AXIS), fill_histogram([1.5], AXIS)
    assert triangular(low, low)[0] == 0
    assert triangular(low, high)[0] == pytest.approx(1)


def test_floor_is_what_equal_distributions_show():
    rng, axis = np.random.default_rng(0), HistogramAxis("x", np.linspace(0, 1, 21))
    trials = [triangular(*(fill_histogram(rng.random(2000), axis) for _ in range(2))) for _ in range(200)]
    deltas, floors = np.array(trials).T
    assert deltas.mean() == pytest.approx(floors.mean(), rel=0.1)


def test_truth_is_drawn_as_points_and_stands_first_in_the_legend():
    figure = unfolding_comparison({"truth": [0.5, 1.5], "prior": [0.5, 0.5, 1.5]}, AXIS)
    points = figure.axes[0].containers[0].lines[0]
    np.testing.assert_allclose(points.get_ydata(), [0.5, 0.5])
    assert legend(figure)[0] == "truth"
    # fractions 2/3, 1/3 against 1/2, 1/2: 500 (1/36) (6/7 + 6/5); floor 500 (1/3 + 1/2)
    assert r"$10^3\,\Delta$ = 29, floor 417" in legend(figure)[1]


def test_weights_and_histograms_stand_beside_values():
    ibu = hist.Hist(hist.axis.Variable(AXIS.edges), storage=hist.storage.Weight())
    ibu.view()["value"], ibu.view()["variance"] = [10.0, 30.0], [10.0, 30.0]
    results = {"truth": [0.5, 1.5], "prior": [0.5, 1.5], "unfolded": [0.5, 1.5], "IBU": ibu}
    options = replace(COMPARISON, weights={"unfolded": [3.0, 1.0]})
    data = figure_data(unfolding_comparison(results, AXIS, options=options))
    np.testing.assert_allclose(data["unfolded"].dependent[0].values, [0.75, 0.25])
    np.testing.assert_allclose(data["IBU"].dependent[0].values, [0.25, 0.75])
    assert "triangular discriminator x 1000: 66.6667" in data["IBU"].description
    assert "triangular" not in data["truth"].description


def test_reweighting_needs_weights():
    with pytest.raises(FigureError, match="weights is empty"):
        reweighting_comparison([0.5], [0.5], AXIS, weights={})


def test_reweighting_to_the_target_has_ratio_one():
    figure = reweighting_comparison([0.5, 0.5, 1.5], [0.5, 1.5], AXIS, weights={"exact": [2.0, 1.0]})
    target, exact = (figure_data(figure)[name].dependent[0].values for name in ("target", "exact"))
    np.testing.assert_allclose(exact, target)
    assert legend(figure)[2].startswith(r"exact ($10^3\,\Delta$ = 0,")
