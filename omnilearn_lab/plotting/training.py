"""Figures of trainings: loss against epochs, and a metric against the number of jets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnilearn_lab.errors import FigureError, nearest
from omnilearn_lab.metrics import time_to_target
from omnilearn_lab.plotting.data import Table, attach_data
from omnilearn_lab.plotting.figure import (
    Band,
    band_of,
    counted,
    curve_arrays,
    describe,
    draw_band,
    draw_repetitions,
    finish,
    free_legend,
    named,
    new_axes,
    repetitions,
)
from omnilearn_lab.plotting.style import in_house_style, line_look

_X_LABELS = {
    "epochs": "Epoch",
    "steps": "Optimizer step",
    "seconds": "Training time [s]",
    "jets": "Jets seen",
}
_LOSS = "val_loss"
_MOST_LINES_INSIDE = 4  # with more, the legend stands beside the axes, off the bands
_MOST_NAMED_SIZES = 5  # ticks of a logarithmic axis that are written out
_LEGEND_ROOM = 0.2
_FAR = 3  # ranges of all later losses
_HISTORY_COLUMNS = {"epochs": "epoch", "steps": "step"}


class Crossing(NamedTuple):
    """Where a curve first gets down to a target; ``x`` is NaN when it never does."""

    label: str
    x: float


@in_house_style
def loss_curves(
    histories: Mapping[str, Any],
    *,
    x: str = "epochs",
    baseline: str | None = None,
    log_y: bool = False,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Validation loss of several trainings, each the mean over its seeds with its spread.

    The line is the mean over seeds, the band one standard deviation to either side, and the thin
    lines are the seeds themselves. With a baseline, its best mean loss is marked, and where every
    other curve first reaches it. Losses before the first update that would flatten all others are cut.

    Parameters
    ----------
    histories : mapping of label to seeds
        Seeds are ``(x, loss)`` pairs of arrays, shape (K,), `omnilearn_lab.training.History`,
        or objects with ``val_loss`` and the attribute named by ``x``. A single one needs no list.
    x
        ``"epochs"``, ``"steps"``, ``"seconds"``, ``"jets"``, or an axis title with its unit for
        pairs of arrays.
    baseline
        Label of the training to beat, usually the one from scratch.
    log_y
        Logarithmic loss axis.
    source
        What the data are, for the label above the axes; see `omnilearn_lab.plotting.source_label`.
    ax
        Axes to draw into; default: a new figure.

    Returns
    -------
    Figure
        Its tables: one per label, with the spread as error ``seeds``, and ``speed-up`` with a baseline.

    Raises
    ------
    FigureError
        For empty, unequal or non-finite curves, seeds without a common range, or an unknown baseline.

    Examples
    --------
    >>> scratch, tuned = ([1, 2, 3], [0.5, 0.4, 0.35]), ([1, 2, 3], [0.4, 0.3, 0.28])
    >>> loss_curves({"scratch": scratch, "fine-tuned": tuned}, baseline="scratch")
    <figure: Validation loss against epoch: scratch ends at 0.35, fine-tuned ends at 0.28.
    The best loss of scratch is 0.35; fine-tuned reaches it at 2.>
    """
    series = {label: _pairs(value, x) for label, value in named(histories, "histories")}
    if baseline is not None and baseline not in series:
        raise FigureError(f"baseline '{baseline}' is not among the histories; {nearest(baseline, series)}")
    title = _X_LABELS.get(x, x)
    bands = {label: band_of(curves) for label, curves in series.items()}
    figure, ax = new_axes(ax)
    for i, (label, curves) in enumerate(series.items()):
        if bands[label].n_repetitions > 1:
            draw_repetitions(ax, curves, line_look(i))
        draw_band(ax, bands[label], line_look(i), counted(label, bands[label].n_repetitions))
    ends = ", ".join(f"{label} ends at {band.mean[-1]:.4g}" for label, band in bands.items())
    describe(figure, f"Validation loss against {_lower(title)}: {ends}.")
    attach_data(
        figure, *(_band_table(label, band, title, "Validation loss") for label, band in bands.items())
    )
    if baseline is not None:
        _mark_speedup(ax, bands, baseline, title)
    ax.set(xlabel=title, ylabel="Validation loss", yscale="log" if log_y else "linear")
    if not log_y:
        _cut_start(ax, list(bands.values()))
    free_legend(ax)
    return finish(ax, source=source)


@in_house_style
def scaling_curve(
    results: Mapping[str, tuple[Any, Any]],
    *,
    x_label: str = "Training jets",
    y_label: str = "Metric",
    lines: Mapping[str, float] | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """A metric against the size of the training set, one line per method.

    Parameters
    ----------
    results : mapping of label to (sizes, values)
        ``sizes`` of shape (K,); ``values`` of shape (K,) or, with seeds, (S, K).
    x_label, y_label
        Axis titles, with units where there are any.
    lines
        What the metric is to be seen against, such as a baseline, a floor, or a paper's value: labelled
        horizontal lines.
    source, ax
        As in `loss_curves`.

    Returns
    -------
    Figure
        One table per label.

    Raises
    ------
    FigureError
        For shapes that do not fit, or sizes that are not positive.

    Examples
    --------
    >>> scaling_curve({"scratch": ([100, 1000], [[0.80, 0.90], [0.82, 0.92]])}, y_label="AUC")
    <figure: AUC against training jets: scratch from 0.81 at 100 to 0.91 at 1000.>
    """
    is_wide = len(results) > _MOST_LINES_INSIDE  # with the legend beside the axes
    figure, ax = new_axes(ax, **({"width": 9.6} if is_wide else {}))
    bands = {label: _scaling_band(label, value) for label, value in named(results, "results")}
    for i, (label, band) in enumerate(bands.items()):
        look = line_look(i)
        draw_band(ax, band, look, counted(label, band.n_repetitions))
        ax.plot(band.x, band.mean, "o", color=look.color, label="_points")
        attach_data(figure, _band_table(label, band, x_label, y_label))
    for label, value in (lines or {}).items():
        ax.axhline(value, color="0.45", linestyle=":", linewidth=1.2)
        look = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        ax.annotate(label, (0.01, value), (0, 3), fontsize=9, color="0.3", **look)
    ax.set(xlabel=x_label, ylabel=y_label, xscale="log")
    sizes = np.unique(np.concatenate([band.x for band in bands.values()]))
    if len(sizes) <= _MOST_NAMED_SIZES:
        ax.set_xticks(sizes, [f"{size:,.10g}" for size in sizes])
        ax.set_xticks([], minor=True)
    ax.margins(y=_LEGEND_ROOM)
    free_legend(ax, **({"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if is_wide else {}))
    text = ", ".join(
        f"{k} from {b.mean[0]:.4g} at {b.x[0]:g} to {b.mean[-1]:.4g} at {b.x[-1]:g}" for k, b in bands.items()
    )
    return finish(ax, f"{y_label} against {_lower(x_label)}: {text}.", source)


def _pairs(value: Any, x: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the seeds of one label as checked (x, loss) arrays."""
    is_pair = isinstance(value, tuple) and len(value) == 2 and not isinstance(value[0], tuple)
    single = _is_history(value) or (is_pair and not _is_history(value[0]))
    return [curve_arrays(_pair(item, x)) for item in repetitions(value, single)]


def _is_history(item: Any) -> bool:
    return hasattr(item, _LOSS) or hasattr(item, "column")


def _pair(item: Any, x: str) -> tuple[Any, Any]:
    if not _is_history(item):
        return item
    if hasattr(item, "column"):
        return item.column(_HISTORY_COLUMNS.get(x, x)), item.column("loss")
    if not hasattr(item, x):
        have = [name for name in _X_LABELS if hasattr(item, name)]
        raise FigureError(f"a history has no '{x}'; {nearest(x, have)}")
    return getattr(item, x), getattr(item, _LOSS)


def _cut_start(ax: Axes, bands: Sequence[Band]) -> None:
    """End the axis above what follows the first update where the start is many times farther away."""
    start = max((b.mean + b.spread)[b.x <= 0].max(initial=-np.inf) for b in bands)
    later = np.concatenate([[b.mean - b.spread, b.mean + b.spread] for b in bands], axis=1)
    later = later[:, np.concatenate([b.x > 0 for b in bands])]
    span = np.ptp(later) if later.size else 0.0
    if span > 0 and start > later.max() + _FAR * span:
        ax.set_ylim(later.min() - 0.2 * span, later.max() + span)


def _mark_speedup(ax: Axes, bands: Mapping[str, Band], baseline: str, title: str) -> None:
    """Draw the baseline's best loss and where the other curves first reach it."""
    reference = bands[baseline]
    lowest = int(np.argmin(reference.mean))
    target, where = float(reference.mean[lowest]), float(reference.x[lowest])
    others = [(i, label) for i, label in enumerate(bands) if label != baseline]
    crossings = [
        Crossing(label, time_to_target(bands[label].mean, target, time=bands[label].x)) for _, label in others
    ]
    ax.axhline(target, color="0.35", linestyle=":", linewidth=1.1, zorder=1)
    color = line_look(list(bands).index(baseline)).color
    look = {"linestyle": "none", "markeredgecolor": "white"}
    best = f"best of {baseline}: {target:.4g} at {where:.3g}"
    ax.plot(where, target, marker="*", markersize=13, color=color, label=best, **look)
    for (i, label), crossing in zip(others, crossings, strict=True):
        if np.isfinite(crossing.x):
            y = np.interp(crossing.x, bands[label].x, bands[label].mean)
            text = f"reached by {label} at {crossing.x:.3g}"
            ax.plot(crossing.x, y, "o", markersize=8, color=line_look(i).color, label=text, **look)
    _record_speedup(ax, crossings, Crossing(baseline, where), target, title)


def _record_speedup(
    ax: Axes, crossings: Sequence[Crossing], best: Crossing, target: float, title: str
) -> None:
    figure = ax.get_figure(root=True)
    names = [best.label, *(c.label for c in crossings)]
    reached = np.array([best.x, *(c.x for c in crossings)])
    note = f"where the best mean loss of {best.label}, {target:.6g}, is reached"
    attach_data(figure, Table.of("speed-up", ("Training", names), (title, reached), note=note))
    texts = [
        f"{c.label} reaches it at {c.x:.3g}" if np.isfinite(c.x) else f"{c.label} never reaches it"
        for c in crossings
    ]
    describe(figure, f"The best loss of {best.label} is {target:.4g}; {', '.join(texts)}.")


def _band_table(label: str, band: Band, x_name: str, y_name: str) -> Table:
    n = band.n_repetitions
    note = f"mean and standard deviation over {n} seeds" if n > 1 else "one seed, or all seeds alike"
    return Table.of(label, (x_name, band.x), (y_name, band.mean, band.errors), note=note)


def _scaling_band(label: str, value: tuple[Any, Any]) -> Band:
    sizes, values = np.asarray(value[0], dtype=float), np.atleast_2d(np.asarray(value[1], dtype=float))
    if sizes.ndim != 1 or values.ndim != 2 or values.shape[1] != len(sizes) or not len(sizes):
        raise FigureError(
            f"'{label}' has sizes of shape {sizes.shape} and values of shape {values.shape}; "
            "(K,) and (K,) or (seeds, K) are needed"
        )
    if sizes.min() <= 0:
        raise FigureError(f"'{label}' has a training set of {sizes.min():g} jets; the axis is logarithmic")
    order = np.argsort(sizes)
    return band_of([(sizes[order], row[order]) for row in values])


def _lower(title: str) -> str:
    return title[0].lower() + title[1:] if title else title
