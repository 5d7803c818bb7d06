"""Published and own numbers side by side."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import FigureError
from omnilearn_lab.metrics import spread
from omnilearn_lab.plotting import figure_data, metric_bars, published_vs_ours
from omnilearn_lab.plotting.figure import draw_behind
from omnilearn_lab.published import published_results


def table():
    paper = published_results("top_tagging").select(("PFN", "OmniLearn"))
    return paper.join({"tiny PET": {"auc": (0.97, 0.002), "accuracy": (0.91, 0.001)}})


def test_points_of_a_joined_table():
    figure = published_vs_ours(table(), metrics=["accuracy", "auc"])
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert set(names) == {"PFN", "OmniLearn", "tiny PET"}
    points = {
        (float(c.lines[0].get_xdata()[0]), names[int(c.lines[0].get_ydata()[0])])
        for c in figure.axes[1].containers
    }
    assert points == {(0.9819, "PFN"), (0.9872, "OmniLearn"), (0.97, "tiny PET")}


def test_missing_numbers_leave_a_gap_but_keep_the_row():
    figure = published_vs_ours(table(), metrics=["accuracy", "auc"])
    assert len(figure.axes[0].containers) == 2
    assert np.isnan(figure_data(figure)["Accuracy"].dependent[0].values).sum() == 1


def test_own_rows_stand_out_in_shape_and_colour():
    figure = published_vs_ours({"AUC": {"paper": 0.98, "ours": 0.97}}, ours=["ours"])
    paper, ours = (c.lines[0] for c in figure.axes[0].containers)
    assert paper.get_markerfacecolor() == "white"
    assert ours.get_markerfacecolor() == ours.get_color() != paper.get_color()
    assert figure_data(figure)["AUC"].dependent[1].values.tolist() == ["published", "this work"]


def test_metric_labels_are_typeset():
    figure = published_vs_ours(table(), metrics=["rejection_at_0.5"], log_x=["rejection_at_0.5"])
    assert "epsilon_B" in figure.axes[0].get_xlabel()
    assert figure.axes[0].get_xscale() == "log"


def test_bad_tables():
    with pytest.raises(FigureError, match="did you mean 'AUC'"):
        published_vs_ours({"AUC": {"a": 1.0}}, metrics=["AUCC"])
    with pytest.raises(FigureError, match="empty"):
        published_vs_ours({})
    with pytest.raises(FigureError, match="no number"):
        published_vs_ours({"AUC": {"a": np.nan}})


def test_bars_have_the_mean_as_height_and_leave_gaps():
    values = {"scratch": {"mass": [2.0, 4.0], "width": 1.0}, "tuned": {"width": (0.5, 0.1)}}
    figure = metric_bars(values, y_label="Distance [GeV]")
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == [3.0, 1.0, 0.5]
    assert figure.axes[0].patches[2].get_center()[0] > 1
    assert figure_data(figure)["scratch"].dependent[0].unit == "GeV"
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["$m$", "$w$"]


def test_on_a_logarithmic_axis_points_stand_where_bars_would_start_anywhere():
    values = {"scratch": {"mass": [2.0, 4.0]}, "fine-tuned": {"mass": 1.3}}
    figure = metric_bars(values, y_label="Distance over its floor", log_y=True, lines={"ideal": 1.0})
    ax = figure.axes[0]
    assert not ax.patches and [c.lines[0].get_ydata()[0] for c in ax.containers] == [3.0, 1.3]
    assert ax.get_ylim()[0] < 1.0  # the ideal is in the picture
    assert {"ideal", "scratch"} <= {text.get_text() for text in ax.get_legend().get_texts()}
    assert figure_data(figure)["ideal"].dependent[0].values.tolist() == [1.0]


def test_lines_may_differ_from_group_to_group():
    values = {"OmniFold": {"mass": 2.0, "width": 1.0}}
    figure = metric_bars(values, y_label="x", lines={"before": {"mass": 5.0}, "floor": {"width": 0.5}})
    before, floor = (c.get_segments() for c in figure.axes[0].collections[-2:])
    assert len(before) == len(floor) == 1
    assert before[0][0, 1] == 5.0 and before[0][:, 0].mean() == pytest.approx(0)
    assert floor[0][:, 0].mean() == pytest.approx(1)


def test_one_far_row_does_not_flatten_the_others():
    rows = {"a": 0.9850, "b": 0.9858, "c": 0.9872, "d": 0.9880, "mine": 0.72}
    figure = published_vs_ours({"AUC": rows}, ours=["mine"])
    ax = figure.axes[0]
    assert ax.get_xlim()[0] > 0.98
    assert [text.get_text() for text in ax.texts] == ["◀ 0.72"]
    assert len(ax.containers) == 4
    assert figure_data(figure)["AUC"].dependent[0].values[-1] == 0.72
    near = published_vs_ours({"AUC": rows | {"mine": 0.981}}, ours=["mine"])
    assert not near.axes[0].texts and len(near.axes[0].containers) == 5


def test_two_far_rows_do_not_flatten_the_others_and_errors_are_seen_whole():
    rows = {c: 0.98 + i / 1000 for i, c in enumerate("abcdef")}
    figure = published_vs_ours({"AUC": rows | {"mine": 0.72, "other": 0.64}}, ours=["mine", "other"])
    assert figure.axes[0].get_xlim()[0] > 0.97
    spread = {
        "a": (0.122, 0.01),
        "b": (0.135, 0.01),
        "c": (0.115, 0.02),
        "d": (0.11, 0.02),
        "e": (0.22, 0.02),
    }
    figure = published_vs_ours({"Accuracy": spread}, ours=spread)
    left, right = figure.axes[0].get_xlim()
    assert left < 0.09 and right > 0.24, "a range without an error bar's end"


def test_a_figure_without_published_rows_does_not_speak_of_them():
    own = published_vs_ours({"AUC": {"a": 0.9}}, ours=["a"], source="here")
    assert "published" not in own.get_suptitle() and "here" in own.get_suptitle()
    both = published_vs_ours({"AUC": {"a": 0.9, "b": 0.8}}, ours=["a"], source="here")
    assert "open: published" in both.get_suptitle()


def test_raw_keys_reach_no_axis():
    figure = published_vs_ours({"rejection_at_0.5": {"a": 1.0}, "ln_rho": {"a": 2.0}})
    assert [ax.get_xlabel() for ax in figure.axes] == [r"$1/\epsilon_B$ at $\epsilon_S$ = 50 %", r"$\ln\rho$"]
    assert figure_data(figure).names == ("1/ε_B at ε_S = 50 %", "ln ρ")


@pytest.mark.parametrize("n", [3, 6])
def test_a_long_legend_of_bars_stands_beside_them(n):
    values = {f"method {i}": {"mass": 2.0 + i, "width": 10.0} for i in range(n)}
    figure = metric_bars(values, y_label="Distance", log_y=True, lines={"before": 12.0, "floor": 1.0})
    ax = figure.axes[0]
    figure.canvas.draw()
    legend = ax.get_legend().get_window_extent()
    assert (legend.x0 >= ax.get_window_extent().x1) == (n == 6)
    assert legend.x1 <= figure.bbox.x1


@pytest.mark.parametrize(("groups", "n"), [(("mass", "width"), 2), (("width", "pt"), 2), (("pt", "eta"), 0)])
def test_recorded_bars_stand_behind_their_groups_and_not_where_none_is_the_same(groups, n):
    def bars(names, factor=1.0):
        return metric_bars({"scratch": {k: factor * len(k) for k in names}}, y_label="x", log_y=True)

    figure = bars(("mass", "width"))
    assert not draw_behind(figure, figure_data(bars(("mass", "width"))), "recorded"), "the same again"
    drawn = draw_behind(figure, figure_data(bars(groups, 2.0)), "recorded")
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert (drawn > 0, "recorded" in texts) == (n > 0, n > 0)
    if drawn:
        behind = next(line for line in figure.axes[0].get_lines() if line.get_linewidth() > 4)
        place = ["mass", "width"].index("width")
        assert (place, 10.0) in zip(*behind.get_data(), strict=True)
        assert behind.get_linestyle() == "None", "nothing leads from one group to the next"


def test_the_floor_of_a_recorded_run_stands_behind_the_own_floor_and_the_axis_reaches_to_it():
    def bars(floor, mass=2.0):
        lines = {"before": 9.0, "floor": {"mass": floor, "width": floor}}
        return metric_bars({"scratch": {"mass": mass, "width": 3.0}}, y_label="x", log_y=True, lines=lines)

    figure = bars(1.0)
    ax = figure.axes[0]
    draw_behind(figure, figure_data(bars(0.25, 1.5)), "recorded")
    behind = [lines for lines in ax.collections if lines.get_linewidth()[0] > 4]
    heights = {float(y) for lines in behind for part in lines.get_segments() for y in part[:, 1]}
    assert heights == {9.0, 0.25}
    assert ax.get_ylim()[0] < 0.25
    assert "recorded" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_bars_of_nothing():
    with pytest.raises(FigureError, match="empty"):
        metric_bars({}, y_label="x")
    with pytest.raises(FigureError, match="scratch is empty"):
        metric_bars({"scratch": {}}, y_label="x")


def test_lower_limits_are_drawn_as_arrows_and_written_as_limits():
    own = {"limit": {"rejection_at_0.5": spread([300.0, 500.0], n_limits=1)}}
    own |= {"value": {"rejection_at_0.5": spread([300.0, 500.0])}}
    joined = published_results("top_tagging").select(("OmniLearn",)).join(own)
    assert joined.number("limit", "rejection_at_0.5").printed == "≥ 400"
    plain = {"R": {"limit": spread([300.0, 500.0], n_limits=1), "value": 400.0}}
    for table, metric in ((joined, "rejection_at_0.5"), (plain, "R")):
        figure = published_vs_ours(table, metrics=[metric], ours=["limit", "value"] * (table is plain))
        arrows = [text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]
        assert len(arrows) == 1
        (column,) = figure_data(figure).tables
        names, origin = column.independent[0].values.tolist(), column.dependent[1].values.tolist()
        assert origin[names.index("limit")] == "this work, lower limit"
        assert origin[names.index("value")] == "this work"
        assert "limit ≥ 400 (ours)" in repr(figure)
