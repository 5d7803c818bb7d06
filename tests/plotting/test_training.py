"""Loss and scaling figures show the numbers they are given."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting import figure_data, loss_curves, scaling_curve
from omnilearn_lab.plotting.figure import draw_behind
from omnilearn_lab.plotting.style import SIMULATED

EPOCHS = np.arange(1, 6)
SEEDS = [(EPOCHS, np.array([0.50, 0.45, 0.41, 0.40, 0.42]) + shift) for shift in (0.0, 0.02)]


def line(ax, label):
    return next(item for item in ax.lines if item.get_label().startswith(label))


def test_line_is_the_mean_and_band_the_spread_over_seeds():
    ax = loss_curves({"scratch": SEEDS}).axes[0]
    expected = np.mean([y for _, y in SEEDS], axis=0)
    np.testing.assert_allclose(line(ax, "scratch").get_xdata(), EPOCHS)
    np.testing.assert_allclose(line(ax, "scratch").get_ydata(), expected)
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    half = 0.02 / np.sqrt(2)
    assert band.max() == pytest.approx(expected.max() + half)
    assert band.min() == pytest.approx(expected.min() - half)


def test_every_seed_is_drawn_faintly():
    ax = loss_curves({"scratch": SEEDS}).axes[0]
    seeds = [item.get_ydata() for item in ax.lines if item.get_label() == "_seed"]
    np.testing.assert_allclose(seeds, [y for _, y in SEEDS])


def test_one_seed_has_no_band():
    assert not loss_curves({"scratch": SEEDS[0]}).axes[0].collections


def test_speedup_is_where_the_other_curve_first_reaches_the_best_baseline_loss():
    tuned = (EPOCHS, [0.44, 0.42, 0.39, 0.38, 0.37])
    figure = loss_curves({"scratch": SEEDS[0], "tuned": tuned}, baseline="scratch")
    table = figure_data(figure)["speed-up"]
    assert table.independent[0].values.tolist() == ["scratch", "tuned"]
    np.testing.assert_allclose(table.dependent[0].values, [4, 3])
    assert "tuned reaches it at 3" in figure.alt_text


def test_a_curve_that_never_reaches_the_baseline_is_said_so():
    worse = (EPOCHS, np.full(5, 0.6))
    figure = loss_curves({"scratch": SEEDS[0], "tuned": worse}, baseline="scratch")
    assert np.isnan(figure_data(figure)["speed-up"].dependent[0].values[1])
    assert "tuned never reaches it" in figure.alt_text


@pytest.mark.parametrize(("start", "is_cut"), [(0.70, False), (2.0, True)])
def test_a_far_start_does_not_flatten_the_rest(start, is_cut):
    figure = loss_curves(
        {"scratch": ([0, 1, 2], [start, 0.69, 0.68]), "tuned": ([0, 1, 2], [0.7, 0.69, 0.69])}
    )
    low, high = figure.axes[0].get_ylim()
    assert low < 0.68
    assert 0.69 < high < 0.8
    assert (high < start) == is_cut


def test_a_single_loss_after_the_start_leaves_the_axis_alone():
    low, high = loss_curves({"scratch": ([0, 1], [2.0, 0.7])}).axes[0].get_ylim()
    assert low < 0.7 < 2.0 < high


def test_histories_with_attributes():
    history = SimpleNamespace(epochs=[1, 2], seconds=[3.0, 7.0], val_loss=[0.5, 0.4])
    figure = loss_curves({"scratch": [history, history]}, x="seconds")
    assert figure.axes[0].get_xlabel() == "Training time [s]"
    np.testing.assert_allclose(line(figure.axes[0], "scratch").get_xdata(), [3, 7])
    column = figure_data(figure)["scratch"].independent[0]
    assert (column.name, column.unit) == ("Training time", "s")


def test_a_history_without_the_attribute_names_what_it_has():
    with pytest.raises(FigureError, match="no 'step'; known: epochs"):
        loss_curves({"scratch": SimpleNamespace(epochs=[1], val_loss=[0.5])}, x="step")


def test_seeds_of_different_length_are_averaged_where_all_run():
    figure = loss_curves({"scratch": [SEEDS[0], (EPOCHS[:3], SEEDS[1][1][:3])]})
    np.testing.assert_allclose(figure_data(figure)["scratch"].independent[0].values, [1, 2, 3])


def test_one_entry_is_a_visible_point():
    assert line(loss_curves({"scratch": ([1], [0.5])}).axes[0], "scratch").get_marker() == "o"


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ({}, "histories is empty"),
        ({"scratch": []}, "no repetition"),
        ({"scratch": ([], [])}, "non-zero length"),
        ({"scratch": ([1, 2], [0.5])}, "shape"),
        ({"scratch": ([1, 2], [0.5, np.nan])}, "not finite at point 1"),
        ({"scratch": ([2, 1], [0.5, 0.4])}, "falls"),
        ({"scratch": [([1, 2], [1, 1]), ([3, 4], [1, 1])]}, "share no x"),
        ([1, 2], "mapping"),
    ],
)
def test_bad_histories(histories, message):
    with pytest.raises(FigureError, match=message):
        loss_curves(histories)


def test_unknown_baseline_names_the_nearest():
    with pytest.raises(FigureError, match="did you mean 'scratch'"):
        loss_curves({"scratch": SEEDS}, baseline="scrach")


def test_label_says_what_the_data_are_only_when_told():
    assert SIMULATED in loss_curves({"a": SEEDS}, source=SIMULATED).axes[0].get_title(loc="left")
    assert loss_curves({"a": SEEDS}).axes[0].get_title(loc="left") == ""


def test_scaling_curve_sorts_sizes_and_averages_seeds():
    figure = scaling_curve({"scratch": ([1000, 100], [[0.9, 0.8], [0.92, 0.82]])}, y_label="AUC")
    table = figure_data(figure)["scratch"]
    np.testing.assert_allclose(table.independent[0].values, [100, 1000])
    np.testing.assert_allclose(table.dependent[0].values, [0.81, 0.91])
    assert figure.axes[0].get_xscale() == "log"
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["100", "1,000"]


@pytest.mark.parametrize(("n_lines", "is_outside"), [(2, False), (5, True)])
def test_many_lines_have_their_legend_beside_the_axes(n_lines, is_outside):
    values = np.array([[0.0, 1.0], [0.1, 1.1]])  # of two seeds, which the legend says
    lines = {f"network {i}": ([16, 64], values + i) for i in range(n_lines)}
    figure = scaling_curve(lines, y_label="AUC")
    figure.canvas.draw()
    axes = figure.axes[0]
    assert (axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1) == is_outside
    assert axes.get_window_extent().width > axes.get_window_extent().height


def test_recorded_sizes_beyond_the_readers_own_are_seen_and_named():
    figure = scaling_curve({"tuned": ([500, 2000, 6000], [0.94, 0.95, 0.95])}, y_label="AUC")
    earlier = scaling_curve({"tuned": ([2000, 6500, 24_000], [0.95, 0.96, 0.97])}, y_label="AUC")
    draw_behind(figure, figure_data(earlier), "recorded")
    ax = figure.axes[0]
    ticks = [text.get_text() for text in ax.get_xticklabels()]
    assert sorted(ticks, key=len) == ["500", "2,000", "6,000", "24,000"]
    assert ax.get_xlim()[0] < 500 and 24_000 < ax.get_xlim()[1] < 50_000 and ax.get_ylim()[1] >= 0.97


def test_a_legend_beside_the_axes_stays_there_when_a_recorded_run_is_drawn_behind():
    curves = {f"arm {i}": ([100, 1_000_000], [0.8 + 0.01 * i, 0.9]) for i in range(6)}
    figure = scaling_curve(curves, y_label="AUC")
    earlier = {name: (sizes, [auc - 0.01 for auc in values]) for name, (sizes, values) in curves.items()}
    assert draw_behind(figure, figure_data(scaling_curve(earlier, y_label="AUC")), "recorded")
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["100", "1,000,000"]
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()][-1] == "recorded"
    figure.canvas.draw()
    assert legend.get_window_extent().x0 >= ax.get_window_extent().x1 - 1, "no line lies under it"


def test_lines_to_compare_with_are_named_and_within_the_axes():
    ax = scaling_curve({"scratch": ([10, 100], [0.5, 0.4])}, y_label="AUC", lines={"a guess": 0.69}).axes[0]
    assert [text.get_text() for text in ax.texts if "guess" in text.get_text()] == ["a guess"]
    assert ax.get_ylim()[0] < 0.4 and ax.get_ylim()[1] > 0.69


def test_no_band_lies_under_the_legend():
    steps = np.linspace(0, 10, 20)
    figure = loss_curves({"wide": [(steps, level + 0 * steps) for level in (0.0, 1.0)]})
    figure.canvas.draw()
    ax = figure.axes[0]
    box = ax.get_legend().get_window_extent()
    areas = [path.transformed(band.get_transform()) for band in ax.collections for path in band.get_paths()]
    assert not any(path.intersects_bbox(box, filled=True) for path in areas)


def test_no_recorded_curve_lies_under_the_legend():
    def curves(sizes, start, width):
        ways = {"pretrained": start, "none": start - 0.002, "shipped": 0.984}
        seeds = {name: [[auc + width * k for _ in sizes] for k in (-1, 0, 1)] for name, auc in ways.items()}
        return scaling_curve({name: (sizes, values) for name, values in seeds.items()}, y_label="AUC")

    figure = curves([500, 2000, 6000], 0.944, 0.004)
    draw_behind(figure, figure_data(curves([500, 6500, 24_000], 0.961, 0.0)), "recorded")
    figure.canvas.draw()
    ax = figure.axes[0]
    box = ax.get_legend().get_window_extent()
    drawn = [
        line.get_path().transformed(line.get_transform()) for line in ax.get_lines() if len(line.get_xdata())
    ]
    assert not any(path.intersects_bbox(box, filled=False) for path in drawn)


def test_scaling_curve_rejects_bad_shapes_and_sizes():
    with pytest.raises(FigureError, match="shape"):
        scaling_curve({"scratch": ([1, 2], [0.5])})
    with pytest.raises(FigureError, match="logarithmic"):
        scaling_curve({"scratch": ([0, 2], [0.5, 0.6])})
