"""What distributions show is what was filled."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import StepPatch
from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting import (
    HistogramAxis,
    HistogramOptions,
    figure_data,
    observable_distributions,
    observable_grid,
)

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


def test_logarithmic_axis_leaves_room_for_the_legend():
    figure = observable_distributions({"QCD": QCD}, AXIS, options=HistogramOptions(log_y=True))
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[0].get_ylim()[1] > 2 * 2 / 4 / 50


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
