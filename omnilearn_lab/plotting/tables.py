"""Numbers side by side: published and ours, or several methods over several metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import offset_copy

from omnilearn_lab.display import label, plain
from omnilearn_lab.errors import FigureError, nearest
from omnilearn_lab.plotting.data import Table, attach_data
from omnilearn_lab.plotting.figure import (
    PaperFigure,
    finish,
    free_legend,
    named,
    new_axes,
    plain_log_ticks,
)
from omnilearn_lab.plotting.style import PALETTE, in_house_style, line_look
from omnilearn_lab.published import PublishedTable
from omnilearn_lab.published.tables import OWN, Measured, measured

_MARKERS, _LINES = "osD^vP", ("-", ":", "--", "-.")
_FLATTENED = 3.0  # times narrower without its farthest rows: those are drawn at the edge
_MOST_INSIDE = 6  # entries of a legend within the axes
_HATCHES = ("", "////", "....", "\\\\\\\\", "xx", "++", "oo")


class Row(NamedTuple):
    """One line of a panel: who, how much, whether it is ours, and whether it is a lower limit."""

    name: str
    number: Measured
    is_own: bool
    is_limit: bool

    @property
    def text(self) -> str:
        return "≥ " * self.is_limit + f"{self.number.value:.4g}"


@in_house_style
def published_vs_ours(
    table: PublishedTable | Mapping[str, Mapping[str, Any]],
    *,
    metrics: Sequence[str] = (),
    ours: Iterable[str] = (),
    log_x: Iterable[str] = (),
    source: str | None = None,
) -> Figure:
    """Published numbers and the reader's own, one panel per metric, one line per algorithm.

    A lower limit is a point with an arrow towards larger values.

    Parameters
    ----------
    table
        A `omnilearn_lab.published.PublishedTable`, joined with own results by its ``join``,
        or a mapping of metric to {algorithm: result} with results as for `measured`.
    metrics
        Which of the table's metrics, in order; default: all.
    ours
        Algorithms of a plain mapping that are not published but the reader's.
    log_x
        Metrics with a logarithmic axis.
    source
        What the reader's own numbers were obtained on.

    Returns
    -------
    Figure
        One table per metric with errors ``total``.

    Raises
    ------
    FigureError
        For an unknown metric, or a metric without any number.

    Examples
    --------
    >>> published_vs_ours({"AUC": {"OmniLearn": 0.9872, "tiny PET": (0.981, 0.001)}}, ours=["tiny PET"])
    <figure: Published and own results: AUC of OmniLearn 0.9872, tiny PET 0.981 (ours).>
    """
    panels, labels = _panels(table, set(ours))
    chosen = list(metrics) or list(panels)
    for name in (*chosen, *log_x):
        if name not in panels:
            raise FigureError(f"no metric '{name}' in the table; {nearest(name, panels)}")
    order = _order(panels, chosen)
    width, height = 2.0 + 2.5 * len(chosen), max(2.4, 0.27 * len(order) + 1.4)
    figure = PaperFigure(figsize=(width, height))
    axes = figure.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
    for ax, name in zip(axes, chosen, strict=True):
        ax.set_xscale("log" if name in set(log_x) else "linear")
        ax.margins(x=0.12)
        _draw_panel(ax, panels[name], order, log_x=name in set(log_x))
        if name not in set(log_x):
            ax.locator_params(axis="x", nbins=4)
        ax.set_xlabel(labels[name], loc="center")
        attach_data(figure, _panel_table(plain(labels[name]), panels[name]))
    _name_rows(axes[0], order, {row.name for rows in panels.values() for row in rows if row.is_own})
    has_published = any(not row.is_own and _is_known(row) for name in chosen for row in panels[name])
    if source and has_published:
        source = f"filled: this work ({source}); open: published"
    sentences = (_sentence(label(name), panels[name]) for name in chosen)
    return finish(figure, f"Published and own results: {'; '.join(sentences)}.", source)


@in_house_style
def metric_bars(
    values: Mapping[str, Mapping[str, Any]],
    *,
    y_label: str,
    x_label: str = "",
    log_y: bool = False,
    lines: Mapping[str, float | Mapping[str, float]] = MappingProxyType({}),
    source: str | None = None,
) -> Figure:
    """Bars of several methods, grouped by metric, observable or class, with their spread.

    On a logarithmic axis, which has no zero for a bar to start from, they are points.

    Parameters
    ----------
    values : mapping of method to {group: result}
        Results as for `measured`; a group that a method lacks leaves a gap.
    y_label, x_label
        Axis titles, with units where there are any.
    log_y
        Logarithmic axis.
    lines
        What the results are to be seen against, such as the ideal, a floor, or the value before: one
        number, or one for each group. The axis reaches to them.
    source
        As in `omnilearn_lab.plotting.loss_curves`.

    Returns
    -------
    Figure
        One table per method and per line.

    Raises
    ------
    FigureError
        For empty input or results of unknown form.

    Examples
    --------
    >>> metric_bars({"scratch": {"mass": [2.0, 4.0]}, "fine-tuned": {"mass": 1.0}}, y_label="Distance")
    <figure: Bars of Distance: scratch, m 3; fine-tuned, m 1.>
    """
    items = [(name, {k: measured(v) for k, v in named(row, name)}) for name, row in named(values, "values")]
    groups = list(dict.fromkeys(group for _, row in items for group in row))
    is_wide = len(items) + len(lines) > _MOST_INSIDE  # with the legend beside the axes
    figure, ax = new_axes(width=max(6.4, 0.35 * len(groups) * len(items) + 2) + 2 * is_wide)
    width = 0.8 / len(items)
    for i, (name, row) in enumerate(items):
        at = np.array([groups.index(group) + (i - (len(items) - 1) / 2) * width for group in row])
        _draw_bars(ax, i, label(name, is_math=True), (at, *zip(*row.values(), strict=True)), log_y or width)
        attach_data(figure, _bar_table(name, row, y_label))
    ax.set_xticks(range(len(groups)), [label(group, is_math=True) for group in groups])
    ax.tick_params(axis="x", which="both", length=0)
    if not log_y and ax.get_ylim()[0] < 0:
        ax.axhline(0, color="0.3", linewidth=0.8)
    limits = (-0.6, len(groups) - 0.4)
    ax.set(xlabel=x_label, ylabel=y_label, yscale="log" if log_y else "linear", xlim=limits)
    for i, (name, level) in enumerate(lines.items()):
        levels = level if isinstance(level, Mapping) else dict.fromkeys(groups, level)
        row = {group: Measured(float(levels[group]), math.nan) for group in groups if group in levels}
        _draw_levels(ax, i, name, {groups.index(group): m.value for group, m in row.items()})
        attach_data(figure, _bar_table(name, row, y_label))
    if log_y:
        plain_log_ticks(ax)
    free_legend(ax, **({"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if is_wide else {}))
    texts = [f"{k}, " + ", ".join(f"{label(g)} {m.value:.4g}" for g, m in row.items()) for k, row in items]
    return finish(ax, f"Bars of {y_label}: {'; '.join(texts)}.", source)


def _draw_bars(ax: Axes, index: int, name: str, points: tuple[Any, Any, Any], width: float | bool) -> None:
    """Draw one method's bars from zero; its points where the width is True."""
    at, heights, errors = points
    errors, color = np.nan_to_num(errors), line_look(index).color
    if width is True:
        look = {"fmt": _MARKERS[index % len(_MARKERS)], "markersize": 7, "capsize": 2}
        ax.errorbar(at, heights, yerr=errors, color=color, label=name, **look)
        return
    look = {"hatch": _HATCHES[index % len(_HATCHES)], "edgecolor": "black", "linewidth": 0.6, "alpha": 0.75}
    ax.bar(at, heights, width * 0.92, yerr=errors, color=color, label=name, **look)


def _draw_levels(ax: Axes, index: int, name: str, levels: Mapping[int, float]) -> None:
    """Draw a short line over each group."""
    look = {"colors": "0.25", "linestyles": _LINES[index % len(_LINES)], "linewidth": 1.3, "zorder": 3}
    at, heights = np.array(list(levels)), np.array(list(levels.values()))
    ax.hlines(heights, at - 0.45, at + 0.45, label=name, **look)


def _panels(table: Any, ours: set[str]) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """Return the rows of each metric, and how metrics are written."""
    if isinstance(table, PublishedTable):
        panels: dict[str, list[Row]] = {name: [] for name in table.metrics}
        for n in table:
            name = f"{n.algorithm} ({n.subset})" if n.subset else n.algorithm
            value = Measured(n.value, n.uncertainty)
            panels[n.metric].append(Row(name, value, n.evidence == OWN, n.is_limit))
        return panels, {m: _in_math(m, text) for m, text in table.labels.items()}
    panels = {
        metric: [Row(n, measured(v), n in ours, getattr(v, "is_limit", False)) for n, v in named(row, metric)]
        for metric, row in named(table, "table")
    }
    return panels, {m: label(m, is_math=True) for m in panels}


def _order(panels: Mapping[str, list[Row]], chosen: Sequence[str]) -> list[str]:
    """Return the algorithms that have a number in one of the chosen panels, in the table's order."""
    empty = [name for name in chosen if not any(_is_known(row) for row in panels[name])]
    if empty or not chosen:
        raise FigureError(f"there is no number for {', '.join(empty) or 'any metric'}")
    rows = [row for name in chosen for row in panels[name]]
    known = {row.name for row in rows if _is_known(row)}
    return [name for name in dict.fromkeys(row.name for row in rows) if name in known]


def _is_known(row: Row) -> bool:
    return math.isfinite(row.number.value)


def _in_math(metric: str, text: str) -> str:
    """Return the mathtext of a column's heading."""
    if text == label(metric):
        return label(metric, is_math=True)
    return text.replace("ε_B", r"$\epsilon_B$").replace("ε_S", r"$\epsilon_S$")


def _draw_panel(ax: Axes, rows: list[Row], order: list[str], *, log_x: bool) -> None:
    known = list(filter(_is_known, rows))
    numbers = [row.number._replace(error=math.nan) if row.is_limit else row.number for row in known]
    low, high = _limits(numbers, log_x=log_x)
    for row in known:
        color, at = PALETTE[1] if row.is_own else "0.25", order.index(row.name)
        fill, value = color if row.is_own else "white", row.number.value
        if low <= value <= high:
            error = None if row.is_limit or math.isnan(row.number.error) else row.number.error
            look = {"fmt": "o", "color": color, "markerfacecolor": fill, "markersize": 6}
            ax.errorbar(value, at, xerr=error, **look)
            if row.is_limit:
                _draw_arrow(ax, value, at, color)
        else:
            _draw_outside(ax, row.text, at, color, is_left=value < low)
    if any(not low <= row.number.value <= high for row in known):
        ax.set_xlim(low, high)
    ax.set_ylim(len(order) - 0.5, -0.5)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.tick_params(axis="y", which="both", length=0)


def _limits(rows: Sequence[Measured], *, log_x: bool) -> tuple[float, float]:
    """Return the range to show: all values, or all but the fewest that flatten the others and their errors.

    >>> _limits([Measured(v, math.nan) for v in (0.72, 0.980, 0.985, 0.982, 0.987)], log_x=False)
    (0.97916, 0.98784)
    >>> _limits([Measured(v, 0.1) for v in (1.0, 2.0, 3.0)], log_x=False)
    (-inf, inf)
    """
    is_log = log_x and min(row.value for row in rows) > 0
    values, errors = np.array(rows).T
    errors = np.zeros(len(rows)) if is_log else np.nan_to_num(errors)
    order = np.argsort(values)
    places = np.log(values[order]) if is_log else values[order]
    ends = np.array([places - errors[order], places + errors[order]])
    for n_out in range(1, len(rows) // 3 + 1):
        ways = [ends[:, i : len(rows) - n_out + i] for i in range(n_out + 1)]
        best = min(ways, key=np.ptp)
        if best.shape[1] >= 3 and 0 < np.ptp(best) < np.ptp(ends) / _FLATTENED:
            margin = 0.12 * np.ptp(best)
            low, high = round(float(best.min() - margin), 12), round(float(best.max() + margin), 12)
            return (math.exp(low), math.exp(high)) if is_log else (low, high)
    return -math.inf, math.inf


def _draw_outside(ax: Axes, text: str, at: int, color: str, *, is_left: bool) -> None:
    """Write a value that lies beyond the axis at its edge, with an arrow."""
    x, side, shown = (0.02, "left", f"◀ {text}") if is_left else (0.98, "right", f"{text} ▶")
    ax.text(x, at, shown, transform=ax.get_yaxis_transform(), color=color, ha=side, va="center", fontsize=9)


def _draw_arrow(ax: Axes, value: float, at: int, color: str) -> None:
    """Say that the true value is larger: an arrow from the point to the right."""
    tip = offset_copy(ax.transData, ax.get_figure(root=True), x=20, units="points")
    look = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (value, at), (value, at), xycoords=tip, textcoords="data", arrowprops=look)


def _name_rows(ax: Axes, order: list[str], own: set[str]) -> None:
    ax.set_yticks(range(len(order)), order)
    for text in ax.get_yticklabels():
        if text.get_text() in own:
            text.set(fontweight="bold", color=PALETTE[1])


def _panel_table(label: str, rows: list[Row]) -> Table:
    values = label, [r.number.value for r in rows], {"total": [r.number.error for r in rows]}
    origin = [("this work" if r.is_own else "published") + ", lower limit" * r.is_limit for r in rows]
    return Table.of(label, ("Algorithm", [r.name for r in rows]), values, ("Origin", origin))


def _bar_table(label: str, row: Mapping[str, Measured], y_label: str) -> Table:
    values, errors = ([m[i] for m in row.values()] for i in (0, 1))
    return Table.of(label, ("Group", list(row)), (y_label, values, {"total": errors}))


def _sentence(metric: str, rows: list[Row]) -> str:
    known = filter(_is_known, rows)
    return f"{metric} of " + ", ".join(f"{r.name} {r.text}{' (ours)' * r.is_own}" for r in known)
