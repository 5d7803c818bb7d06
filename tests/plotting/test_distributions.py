"""What distributions show is what was filled."""

from __future__ import annotations

from dataclasses import replace

import hist
import numpy as np
import pytest
from matplotlib.patches import StepPatch
from omnilearn_lab.errors import FigureError
from omnilearn_lab.metrics.reweighting import triangular_discriminator
from omnilearn_lab.plotting import (
    COMPARISON,
    HistogramAxis,
    HistogramOptions,
    figure_data,
    observable_distributions,
    observable_grid,
    reweighting_comparison,
    unfolding_comparison,
)
from omnilearn_lab.plotting.distributions import triangular
from omnilearn_lab.plotting.histograms import fill_histogram

AXIS = HistogramAxis("Jet mass", [0, 50, 100, 200], "GeV")
QCD = np.array([10.0, 20.0, 60.0, 150.0])
TOP = np.array([160.0, 170.0, 60.0, 250.0, -np.inf])


def steps(ax):
    return [patch for patch in ax.patches if isinstance(patch, StepPatch) and not patch.get_fill()]


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_lines_are_densities_and_bands_statistical():
    figure = observable_distributions({"QCD": QCD}, AXIS)
    expected = np.array([2, 1, 1]) / 4 / np.diff(AXIS.edges)
    np.testing.assert_allclose(steps(figure.axes[0])[0].get_data().values, expected)
    band = next(p for p in figure.axes[0].patches if p.get_fill())
    np.testing.assert_allclose(
        band.get_data().values, expected + np.sqrt([2, 1, 1]) / 4 / np.diff(AXIS.edges)
    )


def test_axes_carry_units():
    ax = observable_distributions({"QCD": QCD}, AXIS).axes[0]
    assert ax.get_xlabel() == "Jet mass [GeV]"
    assert ax.get_ylabel() == "Normalised entries / GeV"


def test_legend_says_what_is_left_out():
    figure = observable_distributions({"QCD": QCD, "top": TOP}, AXIS)
    assert texts(figure.axes[0]) == ["QCD", "top (25.0% outside, 20.0% undefined)"]
    assert "above 1, undefined 1 of 5" in figure_data(figure)["top"].description


def test_ratio_panel_divides_by_the_reference():
    figure = observable_distributions({"QCD": QCD, "top": TOP}, AXIS, ratio_to="QCD")
    main, ratio = figure.axes
    top, qcd = (figure_data(figure)[name].dependent[0].values for name in ("top", "QCD"))
    np.testing.assert_allclose(steps(ratio)[0].get_data().values, top / qcd)
    assert ratio.get_xlabel() == "Jet mass [GeV]"
    assert main.get_xlabel() == ""


def test_ratios_beyond_the_panel_are_arrows_at_its_edge():
    few, many = np.repeat([25.0, 75.0, 150.0], (10, 10, 10)), np.repeat([25.0, 75.0, 150.0], (40, 10, 1))
    options = HistogramOptions(ratio_range=(0.5, 1.5))
    figure = observable_distributions({"true": few, "made": many}, AXIS, ratio_to="true", options=options)
    arrows = {line.get_marker(): line.get_xydata().tolist() for line in figure.axes[1].get_lines()}
    assert (arrows["^"], arrows["v"]) == ([[25.0, 1.5]], [[150.0, 0.5]])


def test_empty_reference_bins_have_no_ratio():
    figure = observable_distributions({"a": [60.0, 10.0], "b": [10.0]}, AXIS, ratio_to="b")
    assert np.isnan(steps(figure.axes[1])[0].get_data().values[1:]).all()


def test_model_band_adds_to_the_statistical_one():
    options = HistogramOptions(weights={"a": [[1.0, 1.0], [3.0, 1.0]]})
    figure = observable_distributions({"a": [10.0, 60.0]}, AXIS, options=options)
    errors = figure_data(figure)["a"].dependent[0].errors
    assert errors["model"][0] == pytest.approx(np.sqrt(2) / 3 / 50)
    band = next(p for p in figure.axes[0].patches if p.get_fill()).get_data()
    total = np.hypot(errors["stat"], errors["model"])
    np.testing.assert_allclose(band.values - band.baseline, 2 * total)


def test_single_entry():
    figure = observable_distributions({"QCD": [60.0]}, AXIS, ratio_to="QCD")
    np.testing.assert_allclose(figure_data(figure)["QCD"].dependent[0].values, [0, 1 / 50, 0])


@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("low", [20, 60, 160])
def test_legends_cover_no_data(low, log_y):
    rng = np.random.default_rng(0)
    axis = HistogramAxis("Jet mass", np.linspace(0, 200, 41), "GeV")
    shapes = {f"method number {i}": rng.normal(low, 12, 500) for i in range(6)}
    options = HistogramOptions(log_y=log_y, discriminator=True, reference_points=True)
    figures = [
        observable_distributions(shapes, axis, ratio_to="method number 0", options=options),
        observable_grid(
            {k: {"a": v, "b": v} for k, v in shapes.items()},
            axes=dict.fromkeys("ab", axis),
            ratio_to="method number 0",
            options=options,
        ),
    ]
    for figure in figures:
        figure.draw_without_rendering()
        for ax in (ax for ax in figure.axes if ax.get_legend()):
            box = ax.get_legend().get_window_extent()
            for patch in ax.patches:
                steps = patch.get_data()
                points = np.column_stack([(steps.edges[1:] + steps.edges[:-1]) / 2, steps.values])
                points = points[np.isfinite(points).all(axis=1) & (points[:, 1] > 0)]
                assert not box.count_contains(ax.transData.transform(points))


def test_bad_labels_and_ranges():
    with pytest.raises(FigureError, match="did you mean 'QCD'"):
        observable_distributions({"QCD": QCD}, AXIS, ratio_to="QCDs")
    with pytest.raises(FigureError, match="no sample 'top'"):
        observable_distributions({"QCD": QCD}, AXIS, options=HistogramOptions(weights={"top": [1.0]}))
    with pytest.raises(FigureError, match="ratio_range"):
        HistogramOptions(ratio_range=(1.1, 2.0))
    with pytest.raises(FigureError, match="empty"):
        observable_distributions({}, AXIS)
    with pytest.raises(FigureError, match="two axes"):
        observable_distributions({"QCD": QCD}, AXIS, ratio_to="QCD", ax=3)


def test_grid_has_one_panel_pair_per_observable_and_one_label():
    samples = {
        "QCD": {"mass": QCD, "tau": [0.1, 0.5]},
        "top": {"mass": TOP, "tau": [0.2, 0.3]},
    }
    axes = {"mass": AXIS, "tau": HistogramAxis(r"$\tau_{21}$", [0, 0.5, 1])}
    figure = observable_grid(samples, axes=axes, ratio_to="QCD", source="simulation")
    assert len(figure.axes) == 4
    assert figure_data(figure).names == ("mass, QCD", "mass, top", "tau, QCD", "tau, top")
    assert "simulation" in figure.get_suptitle()


def test_grid_needs_the_same_observables_everywhere():
    with pytest.raises(FigureError, match="all must agree"):
        observable_grid({"QCD": {"mass": QCD}, "top": {"width": [0.1]}})


def test_labels_that_begin_alike_keep_their_order():
    figure = observable_distributions({"top b": QCD, "top": QCD, "t": QCD}, AXIS)
    assert texts(figure.axes[0]) == ["top b", "top", "t"]


WIDTH = HistogramAxis("Width", [0, 1, 2])


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_discriminator_by_hand():
    a, b = fill_histogram([0.5, 0.5, 0.5, 1.5], WIDTH), fill_histogram([0.5, 1.5], WIDTH)
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
    low, high = fill_histogram([0.5], WIDTH), fill_histogram([1.5], WIDTH)
    assert triangular(low, low)[0] == 0
    assert triangular(low, high)[0] == pytest.approx(1)


def test_floor_is_what_equal_distributions_show():
    rng, axis = np.random.default_rng(0), HistogramAxis("x", np.linspace(0, 1, 21))
    trials = [triangular(*(fill_histogram(rng.random(2000), axis) for _ in range(2))) for _ in range(200)]
    deltas, floors = np.array(trials).T
    assert deltas.mean() == pytest.approx(floors.mean(), rel=0.1)


def test_truth_is_drawn_as_points_and_stands_first_in_the_legend():
    figure = unfolding_comparison({"truth": [0.5, 1.5], "prior": [0.5, 0.5, 1.5]}, WIDTH)
    points = figure.axes[0].containers[0].lines[0]
    np.testing.assert_allclose(points.get_ydata(), [0.5, 0.5])
    assert legend(figure)[0] == "truth"
    # fractions 2/3, 1/3 against 1/2, 1/2: 500 (1/36) (6/7 + 6/5); floor 500 (1/3 + 1/2)
    assert r"$10^3\,\Delta$ = 29, floor 417" in legend(figure)[1]


def test_weights_and_histograms_stand_beside_values():
    ibu = hist.Hist(hist.axis.Variable(WIDTH.edges), storage=hist.storage.Weight())
    ibu.view()["value"], ibu.view()["variance"] = [10.0, 30.0], [10.0, 30.0]
    results = {"truth": [0.5, 1.5], "prior": [0.5, 1.5], "unfolded": [0.5, 1.5], "IBU": ibu}
    options = replace(COMPARISON, weights={"unfolded": [3.0, 1.0]})
    data = figure_data(unfolding_comparison(results, WIDTH, options=options))
    np.testing.assert_allclose(data["unfolded"].dependent[0].values, [0.75, 0.25])
    np.testing.assert_allclose(data["IBU"].dependent[0].values, [0.25, 0.75])
    assert "triangular discriminator x 1000: 66.6667" in data["IBU"].description
    assert "triangular" not in data["truth"].description


def test_reweighting_needs_weights():
    with pytest.raises(FigureError, match="weights is empty"):
        reweighting_comparison([0.5], [0.5], WIDTH, weights={})


def test_reweighting_to_the_target_has_ratio_one():
    figure = reweighting_comparison([0.5, 0.5, 1.5], [0.5, 1.5], WIDTH, weights={"exact": [2.0, 1.0]})
    target, exact = (figure_data(figure)[name].dependent[0].values for name in ("target", "exact"))
    np.testing.assert_allclose(exact, target)
    assert legend(figure)[2].startswith(r"exact ($10^3\,\Delta$ = 0,")
