"""Classifiers in the plane of efficiencies: ROC, background rejection, significance improvement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnilearn_lab.display import number
from omnilearn_lab.errors import FigureError
from omnilearn_lab.metrics import RocCurve, SicCurve, roc, sic_curve
from omnilearn_lab.plotting.data import Table, attach_data
from omnilearn_lab.plotting.figure import (
    Band,
    band_of,
    different,
    draw_band,
    finish,
    named,
    new_axes,
    repetitions,
)
from omnilearn_lab.plotting.style import in_house_style, line_look
from omnilearn_lab.published import PublishedTable

_GRID = np.unique(np.concatenate([np.linspace(0.0, 1.0, 201), 1 - np.geomspace(1e-4, 5e-3, 20)]))
_SIGNAL, _BACKGROUND = r"Signal efficiency $\epsilon_S$", r"Background efficiency $\epsilon_B$"
_SIC = r"Significance improvement $\epsilon_S/\sqrt{\epsilon_B}$"
_MIN_BACKGROUND = 10
_REJECTION_METRIC = "rejection_at_"
_MARKERS, _GREYS = "osD^vP", ("0.0", "0.35", "0.55")


@in_house_style
def roc_curves(scores: Mapping[str, Any], *, source: str | None = None, ax: Axes | None = None) -> Figure:
    r"""Signal efficiency against background efficiency, with the AUC in the legend.

    With several seeds, the line is the mean background efficiency at fixed signal efficiency,
    the band its standard deviation.

    Parameters
    ----------
    scores : mapping of label to seeds
        Each seed is ``(scores, labels)`` or ``(scores, labels, weights)``, arrays of shape (N,) with
        label 1 for signal, or a `omnilearn_lab.metrics.RocCurve`. A single one needs no list.
    source, ax
        As in `omnilearn_lab.plotting.loss_curves`.

    Returns
    -------
    Figure
        One table per label, at about 220 signal efficiencies.

    Raises
    ------
    FigureError, MetricError
        For empty input, or scores and labels that do not fit.

    Examples
    --------
    >>> roc_curves({"tiny PET": ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])})
    <figure: ROC curves. AUC: tiny PET 0.7500.>
    """
    curves = _all_curves(scores)
    figure, ax = new_axes(ax, height=5.2)
    for i, (label, seeds) in enumerate(curves.items()):
        band = band_of([(c.signal_efficiency, c.background_efficiency) for c in seeds], x=_GRID)
        text = f"{label}, AUC {_mean_spread([c.auc for c in seeds], 4)}"
        draw_band(ax, band, line_look(i), text, is_upright=True)
        attach_data(figure, _efficiency_table(label, band, "Background efficiency"))
    ax.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1, label="random")
    ax.set(xlabel=_BACKGROUND, ylabel=_SIGNAL, xlim=(0, 1), ylim=(0, 1.0))
    ax.legend(loc="lower right")
    areas = ", ".join(f"{k} {_mean_spread([c.auc for c in v], 4)}" for k, v in curves.items())
    return finish(ax, f"ROC curves. AUC: {areas}.", source)


@in_house_style
def rejection_vs_efficiency(
    scores: Mapping[str, Any],
    *,
    published: PublishedTable | Mapping[str, Sequence[tuple[float, ...]]] | None = None,
    names: tuple[str, str] = ("Signal", "Background"),
    min_background: float = _MIN_BACKGROUND,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    r"""Background rejection :math:`1/\epsilon_B` against signal efficiency, with published points.

    A line starts where ``min_background`` background jets pass in every seed: below that, a
    rejection is counting noise. The band is the standard deviation over seeds, or for one seed
    the binomial uncertainty.

    Parameters
    ----------
    scores
        As in `roc_curves`.
    published : mapping of label to points, or PublishedTable, optional
        Points are ``(signal_efficiency, rejection)`` or ``(signal_efficiency, rejection, uncertainty)``;
        of a table, its metrics ``rejection_at_...`` are drawn.
    names
        Of signal and background, for the axes.
    min_background
        Fewest background jets above threshold.
    source, ax
        As in `omnilearn_lab.plotting.loss_curves`.

    Returns
    -------
    Figure
        One table per label and per published set.

    Raises
    ------
    FigureError
        When no signal efficiency has enough background jets.

    Examples
    --------
    >>> import numpy as np
    >>> values, labels = np.arange(200) / 200, np.arange(200) >= 100
    >>> figure = rejection_vs_efficiency({"ours": (values, labels)}, published={"paper": [(0.5, 12.0, 1.0)]})
    >>> figure_names = [table.name for table in figure.figure_data.tables]
    >>> figure_names
    ['ours', 'paper (published)']
    """
    figure, ax = new_axes(ax)
    curves = _all_curves(scores)
    for i, (label, seeds) in enumerate(curves.items()):
        band = _rejection_band(label, seeds, min_background)
        draw_band(ax, band, line_look(i), _seed_label(label, len(seeds)))
        attach_data(figure, _efficiency_table(label, band, "Background rejection"))
    for i, (label, points) in enumerate(_points(published).items()):
        _draw_published(ax, label, points, i)
    signal, background = names
    titles = rf"{signal} efficiency $\epsilon_S$", rf"{background} rejection $1/\epsilon_B$"
    ax.set(xlabel=titles[0], ylabel=titles[1], yscale="log", xlim=(0, 1))
    ax.set_ylim(bottom=1)
    ax.legend()
    text = (
        f"{background} rejection against {signal[:1].lower()}{signal[1:]} efficiency for {', '.join(curves)}."
    )
    return finish(ax, text, source)


@in_house_style
def sic_curves(
    scores: Mapping[str, Any],
    *,
    min_background: float = _MIN_BACKGROUND,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    r"""Significance improvement :math:`\epsilon_S/\sqrt{\epsilon_B}` against signal efficiency.

    Parameters
    ----------
    scores, min_background, source, ax
        As in `rejection_vs_efficiency`.

    Returns
    -------
    Figure
        One table per label. The largest value above the floor is in the legend.

    Raises
    ------
    FigureError
        When no point has enough background jets.

    Examples
    --------
    >>> import numpy as np
    >>> values, labels = np.arange(200) / 200, np.arange(200) >= 150
    >>> sic_curves({"ours": (values, labels)})
    <figure: Significance improvement against signal efficiency. Largest: ours 3.87.>
    """
    figure, ax = new_axes(ax)
    best = {}
    for i, (label, seeds) in enumerate(_all_curves(scores).items()):
        kept = [sic_curve(c, min_background=min_background) for c in seeds]
        best[label] = _mean_spread([k.significance_improvement.max() for k in kept], 2)
        band = _sic_band(kept)
        draw_band(ax, band, line_look(i), f"{_seed_label(label, len(seeds))}, max {best[label]}")
        attach_data(figure, _efficiency_table(label, band, "Significance improvement"))
    ax.axhline(1, color="0.6", linestyle=":", linewidth=1)
    ax.set(xlabel=_SIGNAL, ylabel=_SIC, xlim=(0, 1))
    ax.set_ylim(bottom=0)
    ax.legend()
    texts = ", ".join(f"{label} {value}" for label, value in best.items())
    return finish(ax, f"Significance improvement against signal efficiency. Largest: {texts}.", source)


def _all_curves(scores: Mapping[str, Any]) -> dict[str, list[RocCurve]]:
    """Curves of every label, one per seed; one alone where they do not depend on the seed."""
    return {label: _different([_curve(s) for s in _seeds(v)]) for label, v in named(scores, "scores")}


def _different(curves: list[RocCurve]) -> list[RocCurve]:
    return curves[: len(different([(c.signal_efficiency, c.background_efficiency) for c in curves]))]


def _seeds(value: Any) -> list[Any]:
    is_single = isinstance(value, RocCurve) or (
        isinstance(value, tuple) and not isinstance(value[0], RocCurve | tuple)
    )
    return repetitions(value, is_single)


def _curve(seed: Any) -> RocCurve:
    if isinstance(seed, RocCurve):
        return seed
    if not isinstance(seed, tuple | list) or len(seed) not in (2, 3):
        raise FigureError("a seed must be (scores, labels), (scores, labels, weights) or a RocCurve")
    return roc(seed[0], seed[1], weights=seed[2] if len(seed) == 3 else None)


def _rejection_band(label: str, seeds: Sequence[RocCurve], min_background: float) -> Band:
    """Return mean and spread of 1/eps_B where all seeds have enough background jets."""
    counts = np.min([np.interp(_GRID, c.signal_efficiency, c.n_background_passed) for c in seeds], axis=0)
    x = _GRID[(counts >= max(min_background, 1e-9)) & (_GRID > 0)]
    if not len(x):
        raise FigureError(
            f"'{label}' has fewer than {min_background:g} background jets at every signal efficiency; "
            "evaluate more background jets or lower min_background"
        )
    values = np.stack([1 / np.interp(x, c.signal_efficiency, c.background_efficiency) for c in seeds])
    if len(seeds) > 1:
        return Band(x, values.mean(axis=0), values.std(axis=0, ddof=1), len(seeds))
    counting = [seeds[0].rejection(float(t), min_background=0).uncertainty for t in x]
    return Band(x, values[0], np.array(counting), 1, "stat")


def _points(published: Any) -> Mapping[str, Sequence[tuple[float, ...]]]:
    """Return published rejections as points, by algorithm."""
    if not isinstance(published, PublishedTable):
        return published or {}
    points: dict[str, list[tuple[float, ...]]] = {}
    for n in published:
        if n.metric.startswith(_REJECTION_METRIC) and np.isfinite(n.value):
            efficiency = float(n.metric.removeprefix(_REJECTION_METRIC))
            points.setdefault(n.algorithm, []).append(
                (efficiency, n.value, float(np.nan_to_num(n.uncertainty)))
            )
    return points


def _draw_published(ax: Axes, label: str, points: Sequence[tuple[float, ...]], index: int) -> None:
    x, y, error = np.array([(*point, 0.0)[:3] for point in points], dtype=float).T
    look = {"markerfacecolor": "white", "markeredgewidth": 1.6, "markersize": 7, "zorder": 5}
    look |= {"fmt": _MARKERS[index % len(_MARKERS)], "color": _GREYS[index % len(_GREYS)]}  # not the reader's
    name = f"{label} (published)"
    ax.errorbar(x, y, yerr=error, label=name, **look)
    columns = ("Signal efficiency", x), ("Background rejection", y, {"total": error})
    attach_data(ax.get_figure(root=True), Table.of(name, *columns))


def _sic_band(kept: Sequence[SicCurve]) -> Band:
    """Average over seeds on the grid, within the range that all seeds cover."""
    curves = [_increasing(k.signal_efficiency, k.significance_improvement) for k in kept]
    low, high = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    grid = np.unique([low, *_GRID[(low < _GRID) & (high > _GRID)], high])
    return band_of(curves, x=grid)


def _increasing(x: np.ndarray, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the best point at each signal efficiency, so that the curve has one value per x."""
    last = np.append(np.flatnonzero(np.diff(x) > 0), len(x) - 1)
    first = np.append(0, last[:-1] + 1)
    return x[last], np.maximum.reduceat(heights, first)


def _efficiency_table(label: str, band: Band, name: str) -> Table:
    return Table.of(label, ("Signal efficiency", band.x), (name, band.mean, band.errors))


def _seed_label(label: str, n: int) -> str:
    return label if n == 1 else f"{label} ({n} seeds)"


def _mean_spread(values: Sequence[float], decimals: int) -> str:
    mean = float(np.mean(values))
    return f"{mean:.{decimals}f}" if len(values) == 1 else number(mean, float(np.std(values, ddof=1)))
