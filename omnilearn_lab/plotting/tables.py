"""Numbers side by side: published and ours, or several methods over several metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnilearn_lab.errors import FigureError, nearest
from omnilearn_lab.plotting.bands import named
from omnilearn_lab.plotting.data import Column, Table, attach_data, titled_column
from omnilearn_lab.plotting.figure import PaperFigure, describe, new_axes
from omnilearn_lab.plotting.style import PALETTE, experiment_label, figure_label, in_house_style, line_look
from omnilearn_lab.published import PublishedTable

_OWN = "this work"
_HATCHES = ("", "////", "....", "\\\\\\\\", "xx", "++", "oo")


class Measured(NamedTuple):
    """A number with its uncertainty (NaN when unknown)."""

    value: float
    error: float


class Row(NamedTuple):
    """One line of a panel: who, how much, and whether it is ours."""

    name: str
    number: Measured
    is_own: bool


def measured(result: Any) -> Measured:
    """Return value and uncertainty of a result in any of the usual forms.

    Parameters
    ----------
    result
        A number, ``(value, uncertainty)``, a list or array with one value per seed (mean and
        standard deviation), or an object with ``mean`` and ``std`` or ``value`` and ``uncertainty``.

    Raises
    ------
    FigureError
        For anything else, or no value.

    Examples
    --------
    >>> measured([1.0, 3.0]).value, measured((2.0, 0.5)), measured(4)
    (2.0, Measured(value=2.0, error=0.5), Measured(value=4.0, error=nan))
    """
    for value, error in (("mean", "std"), ("value", "uncertainty")):
        if not isinstance(result, np.ndarray) and hasattr(result, value) and hasattr(result, error):
            return Measured(float(getattr(result, value)), float(getattr(result, error)))
    if isinstance(result, tuple) and len(result) == 2:
        return Measured(float(result[0]), float(result[1]))
    values = np.atleast_1d(np.asarray(result, dtype=float))
    if values.ndim != 1 or not len(values) or isinstance(result, tuple):
        raise FigureError(
            f"{result!r} is no result; give a number, (value, uncertainty), or a list over seeds"
        )
    return Measured(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan)


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
        _draw_panel(ax, panels[name], order)
        ax.set_xlabel(labels.get(name, name), loc="center")
        ax.set_xscale("log" if name in set(log_x) else "linear")
        attach_data(figure, _panel_table(labels.get(name, name), panels[name]))
    _name_rows(axes[0], order, {row.name for rows in panels.values() for row in rows if row.is_own})
    figure_label(figure, source and f"filled: this work ({source}); open: published")
    describe(figure, "Published and own results: " + "; ".join(_sentence(n, panels[n]) for n in chosen) + ".")
    return figure


@in_house_style
def metric_bars(
    values: Mapping[str, Mapping[str, Any]],
    *,
    y_label: str,
    x_label: str = "",
    log_y: bool = False,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Bars of several methods, grouped by metric, observable or class, with their spread.

    Parameters
    ----------
    values : mapping of method to {group: result}
        Results as for `measured`; a group that a method lacks leaves a gap.
    y_label, x_label
        Axis titles, with units where there are any.
    log_y
        Logarithmic axis.
    source, ax
        As in `omnilearn_lab.plotting.loss_curves`.

    Returns
    -------
    Figure
        One table per method.

    Raises
    ------
    FigureError
        For empty input or results of unknown form.

    Examples
    --------
    >>> metric_bars({"scratch": {"mass": [2.0, 4.0]}, "fine-tuned": {"mass": 1.0}}, y_label="Distance")
    <figure: Bars of Distance: scratch, mass 3; fine-tuned, mass 1.>
    """
    items = [
        (label, {k: measured(v) for k, v in named(row, label)}) for label, row in named(values, "values")
    ]
    groups = list(dict.fromkeys(group for _, row in items for group in row))
    figure, ax = new_axes(ax, width=max(6.4, 0.35 * len(groups) * len(items) + 2))
    width = 0.8 / len(items)
    for i, (label, row) in enumerate(items):
        at = [groups.index(group) + (i - (len(items) - 1) / 2) * width for group in row]
        heights, errors = (np.array(c) for c in zip(*row.values(), strict=True))
        ax.bar(
            at,
            heights,
            width * 0.92,
            yerr=np.nan_to_num(errors),
            color=line_look(i).color,
            alpha=0.75,
            hatch=_HATCHES[i % len(_HATCHES)],
            edgecolor="black",
            linewidth=0.6,
            label=label,
        )
        attach_data(figure, _bar_table(label, row, y_label))
    ax.set_xticks(range(len(groups)), groups)
    ax.tick_params(axis="x", which="both", length=0)
    ax.set(
        xlabel=x_label, ylabel=y_label, yscale="log" if log_y else "linear", xlim=(-0.6, len(groups) - 0.4)
    )
    _make_room(ax, 0.06 * len(items), log_y=log_y)
    ax.legend()
    experiment_label(ax, source)
    texts = [f"{label}, " + ", ".join(f"{k} {m.value:.4g}" for k, m in row.items()) for label, row in items]
    describe(figure, f"Bars of {y_label}: {'; '.join(texts)}.")
    return figure


def _make_room(ax: Axes, share: float, *, log_y: bool) -> None:
    """Raise the upper end of the axis, for a legend above the highest bar and its error."""
    low, high = ax.get_ylim()
    ax.set_ylim(top=high * (high / low) ** share if log_y else high + share * (high - low))


def _panels(table: Any, ours: set[str]) -> tuple[dict[str, list[Row]], dict[str, str]]:
    """Return the rows of each metric, and how metrics are written."""
    if isinstance(table, PublishedTable):
        panels: dict[str, list[Row]] = {name: [] for name in table.metrics}
        for n in table:
            name = f"{n.algorithm} ({n.subset})" if n.subset else n.algorithm
            panels[n.metric].append(Row(name, Measured(n.value, n.uncertainty), n.evidence == _OWN))
        return panels, {name: _in_math(label) for name, label in table.labels.items()}
    panels = {m: [Row(a, measured(v), a in ours) for a, v in named(r, m)] for m, r in named(table, "table")}
    return panels, {}


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


def _in_math(label: str) -> str:
    """Set the published tables' efficiencies in mathtext."""
    return label.replace("ε_B", r"$\epsilon_B$").replace("ε_S", r"$\epsilon_S$")


def _draw_panel(ax: Axes, rows: list[Row], order: list[str]) -> None:
    for row in filter(_is_known, rows):
        color = PALETTE[1] if row.is_own else "0.25"
        error = None if math.isnan(row.number.error) else row.number.error
        ax.errorbar(
            row.number.value,
            order.index(row.name),
            xerr=error,
            marker="o",
            color=color,
            markerfacecolor=color if row.is_own else "white",
            markersize=6,
            linestyle="none",
        )
    ax.set_ylim(len(order) - 0.5, -0.5)
    ax.grid(axis="y", color="0.9", linewidth=0.8)
    ax.tick_params(axis="y", which="both", length=0)
    ax.margins(x=0.12)
    ax.locator_params(axis="x", nbins=4)


def _name_rows(ax: Axes, order: list[str], own: set[str]) -> None:
    ax.set_yticks(range(len(order)), order)
    for text in ax.get_yticklabels():
        if text.get_text() in own:
            text.set(fontweight="bold", color=PALETTE[1])


def _panel_table(label: str, rows: list[Row]) -> Table:
    values = Column(label, [r.number.value for r in rows], errors={"total": [r.number.error for r in rows]})
    origin = Column("Origin", ["this work" if r.is_own else "published" for r in rows])
    return Table(label, (Column("Algorithm", [r.name for r in rows]),), (values, origin))


def _bar_table(label: str, row: Mapping[str, Measured], y_label: str) -> Table:
    values, errors = ([m[i] for m in row.values()] for i in (0, 1))
    return Table(label, (Column("Group", list(row)),), (titled_column(y_label, values, {"total": errors}),))


def _sentence(metric: str, rows: list[Row]) -> str:
    known = filter(_is_known, rows)
    return f"{metric} of " + ", ".join(f"{r.name} {r.number.value:.4g}{' (ours)' * r.is_own}" for r in known)
