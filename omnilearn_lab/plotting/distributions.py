"""Distributions of observables with ratio panel, uncertainties, and what lies outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnilearn_lab.display import plain
from omnilearn_lab.errors import FigureError, nearest
from omnilearn_lab.plotting.data import Column, Table, attach_data
from omnilearn_lab.plotting.figure import (
    PaperFigure,
    describe,
    finish,
    named,
    new_axes,
    new_ratio_axes,
    ratio_panels,
)
from omnilearn_lab.plotting.histograms import FilledHistogram, HistogramAxis, as_axis, fill_histogram
from omnilearn_lab.plotting.style import in_house_style, line_look

_OUTSIDE_SHOWN = 0.0005
_HEADROOM = 1.08  # of the highest point; more where the legend needs it
_RATIO_RANGE = (0.5, 1.5)


@dataclass(frozen=True)
class HistogramOptions:
    """How distributions are drawn.

    Parameters
    ----------
    weights : mapping of label to array, shape (N,) or (S, N)
        Weights of some or all samples; S sets of weights give a model band.
    log_y
        Logarithmic axis of the main panel.
    ratio_range
        Limits of the ratio panel; 0.85 to 1.15 in the published unfolding figures.
    reference_points
        Draw the sample that ratios are taken to as black points with error bars.
    discriminator
        Write the triangular discriminator (times 1000) to the reference into the legend.
    """

    weights: Mapping[str, Any] = field(default_factory=dict)
    log_y: bool = False
    ratio_range: tuple[float, float] = _RATIO_RANGE
    reference_points: bool = False
    discriminator: bool = False

    def __post_init__(self) -> None:
        low, high = self.ratio_range
        if not low < 1 < high:
            raise FigureError(f"ratio_range is {self.ratio_range}; it must hold 1 between its ends")


COMPARISON = HistogramOptions(ratio_range=(0.7, 1.3), reference_points=True, discriminator=True)
"""Options of a comparison with a reference; pass them to `omnilearn_lab.plotting.observable_grid`
for several observables at once."""


@in_house_style
def observable_distributions(
    samples: Mapping[str, Any],
    observable: Any,
    *,
    ratio_to: str | None = None,
    options: HistogramOptions | None = None,
    source: str | None = None,
    ax: Any = None,
) -> Figure:
    """Normalised distributions of one observable, with their ratio to one of the samples.

    Each is normalised to the weight inside the range. Shaded: statistical uncertainty
    (square root of the sum of squared weights) and, with several sets of weights, the spread
    between them added in quadrature. Values outside the range or undefined are left out of the
    picture; the legend says how many.

    Parameters
    ----------
    samples : mapping of label to values, shape (N,), or to a histogram
        A ``hist.Hist`` (or any UHI histogram) must have the bins of the observable.
    observable
        A name in `omnilearn_lab.observables.OBSERVABLES`, or a `HistogramAxis`.
    ratio_to
        Label of the sample to divide by; without it there is no ratio panel.
    options
        Weights and looks.
    source
        What the data are, for the label above the axes.
    ax
        Axes, or with ``ratio_to`` a pair (main, ratio); default: a new figure.

    Returns
    -------
    Figure
        One table per label, with errors ``stat`` and ``model``.

    Raises
    ------
    FigureError
        For empty samples, nothing in the range, an unknown observable or label.

    Examples
    --------
    >>> mass = HistogramAxis("Jet mass", [0, 50, 100, 150, 200], "GeV")
    >>> observable_distributions({"QCD": [40.0, 60.0, 70.0], "top": [160.0, 170.0, 80.0]}, mass)
    <figure: Distribution of Jet mass [GeV]: QCD (3 entries), top (3 entries).>
    """
    axis, options = as_axis(observable), options or HistogramOptions()
    _check_labels(samples, ratio_to, options)
    if ratio_to is None:
        figure, main = new_axes(ax)
        panels = (main, None)
    else:
        figure, main, ratio = new_ratio_axes(ax)
        panels = (main, ratio)
    draw_distributions(panels, samples, axis, ratio_to, options)
    _legend(main, samples)
    return finish(main, source=source)


@in_house_style
def observable_grid(
    samples: Mapping[str, Mapping[str, Any]],
    *,
    axes: Mapping[str, Any] | None = None,
    ratio_to: str | None = None,
    options: HistogramOptions | None = None,
    source: str | None = None,
) -> Figure:
    """Distributions of several observables side by side, three to a row, with ratio panels.

    Parameters
    ----------
    samples : mapping of label to {observable: values}
        All samples hold the same observables.
    axes
        `HistogramAxis` by observable; default: looked up by name.
    ratio_to, options, source
        As in `observable_distributions`.

    Returns
    -------
    Figure
        Tables are named ``"observable, label"``.

    Raises
    ------
    FigureError
        When samples hold different observables, and as in `observable_distributions`.

    Examples
    --------
    >>> axes = {"mass": HistogramAxis("Jet mass", [0, 100, 200], "GeV")}
    >>> figure = observable_grid({"QCD": {"mass": [40.0]}, "top": {"mass": [160.0]}}, axes=axes)
    >>> figure.figure_data.names
    ('mass, QCD', 'mass, top')
    """
    options = options or HistogramOptions()
    columns = _columns(samples)
    _check_labels(samples, ratio_to, options)
    n_across = min(3, len(columns))
    n_down = -(-len(columns) // n_across)
    figure = PaperFigure(figsize=(4.1 * n_across, (4.2 if ratio_to else 3.4) * n_down))
    parts = np.atleast_1d(figure.subfigures(n_down, n_across)).ravel()
    for i, (name, values) in enumerate(columns.items()):
        axis = as_axis((axes or {}).get(name, name))
        panels = ratio_panels(parts[i]) if ratio_to else (parts[i].add_subplot(), None)
        draw_distributions(panels, values, axis, ratio_to, options, prefix=f"{name}, ")
        _legend(panels[0], samples, fontsize=8.5)
    return finish(figure, source=source)


@in_house_style
def unfolding_comparison(
    results: Mapping[str, Any],
    observable: Any,
    *,
    reference: str = "truth",
    options: HistogramOptions = COMPARISON,
    source: str | None = None,
    ax: Any = None,
) -> Figure:
    r"""Truth as points; prior, unfolded result and other methods as lines, with their ratio to the truth.

    The legend gives the triangular discriminator
    :math:`10^3\Delta = \frac{10^3}{2}\sum_k (a_k - b_k)^2/(a_k + b_k)` of bin fractions inside
    the range, and the value that two samples of this size would show if they came from the same
    distribution (the floor).

    Parameters
    ----------
    results : mapping of label to values, shape (N,), or to a histogram
        Such as ``{"truth": ..., "prior": ..., "unfolded": ..., "IBU": ...}``. Binned results
        (iterative Bayesian unfolding) are given as ``hist.Hist``.
    observable
        As in `omnilearn_lab.plotting.observable_distributions`.
    reference
        Label of the truth.
    options
        ``options.weights`` holds the weights of each label, shape (N,) or, with a repeated
        unfolding, (S, N). Change them with ``dataclasses.replace(COMPARISON, weights=...)``.
    source, ax
        As in `omnilearn_lab.plotting.observable_distributions`.

    Returns
    -------
    Figure
        One table per label; its description holds the discriminator.

    Raises
    ------
    FigureError
        For an unknown reference and as in `omnilearn_lab.plotting.observable_distributions`.

    References
    ----------
    OmniFold, arXiv:1911.09107, eq. 5; OmniLearn, arXiv:2404.16091, Table VIII.

    Examples
    --------
    >>> import numpy as np
    >>> from omnilearn_lab.plotting import HistogramAxis
    >>> mass, rng = HistogramAxis("Jet mass", np.linspace(0, 75, 11), "GeV"), np.random.default_rng(0)
    >>> samples = {"truth": rng.gamma(4, 5, 500), "prior": rng.gamma(4, 6, 500)}
    >>> unfolding_comparison(samples, mass).figure_data.names
    ('truth', 'prior')
    """
    return observable_distributions(
        results, observable, ratio_to=reference, options=options, source=source, ax=ax
    )


@in_house_style
def unfolding_steps(
    steps: Mapping[str, tuple[Mapping[str, Any], HistogramOptions]],
    observable: Any,
    source: str | None = None,
) -> Figure:
    """Steps of an unfolding side by side, each as `unfolding_comparison` with its own samples and weights.

    Parameters
    ----------
    steps : mapping of title to (results, options)
    observable, source
        As in `observable_distributions`.
    """
    axis = as_axis(observable)
    figure = PaperFigure(figsize=(4.1 * len(steps), 4.2))
    parts = np.atleast_1d(figure.subfigures(1, len(steps)))
    for part, (title, (samples, options)) in zip(parts, steps.items(), strict=True):
        panels = ratio_panels(part)
        draw_distributions(panels, samples, axis, "truth", options, prefix=f"{title}, ")
        panels[0].set_title(title, loc="right", fontsize=10)
        _legend(panels[0], samples, fontsize=8.5)
    return finish(figure, source=source)


@in_house_style
def reweighting_comparison(
    target: Any,
    nominal: Any,
    observable: Any,
    *,
    weights: Mapping[str, Any],
    options: HistogramOptions = COMPARISON,
    source: str | None = None,
) -> Figure:
    """Target as points, the nominal sample before and after reweighting as lines.

    Parameters
    ----------
    target, nominal : array, shape (N,) and (M,)
        Values of the observable.
    observable
        As in `omnilearn_lab.plotting.observable_distributions`.
    weights : mapping of label to array, shape (M,) or (S, M)
        Weights of the nominal sample from one or several methods.
    options
        Looks; ``options.weights`` may give event weights for ``"target"`` and ``"nominal"``.
    source
        As in `omnilearn_lab.plotting.observable_distributions`.

    Returns
    -------
    Figure
        As `unfolding_comparison`, with labels ``target``, ``nominal`` and those of ``weights``.

    Raises
    ------
    FigureError
        For no weights, and as in `unfolding_comparison`.

    Examples
    --------
    >>> import numpy as np
    >>> from omnilearn_lab.plotting import HistogramAxis
    >>> width = HistogramAxis("Width", [0.0, 0.5, 1.0])
    >>> figure = reweighting_comparison(
    ...     [0.2, 0.3, 0.7], [0.2, 0.7], width, weights={"fine-tuned": [2.0, 1.0]})
    >>> figure.figure_data["fine-tuned"].dependent[0].values.round(3)
    array([1.333, 0.667])
    """
    if not weights:
        raise FigureError("weights is empty; give the weights of at least one reweighting")
    samples = {"target": target, "nominal": nominal} | dict.fromkeys(weights, nominal)
    options = replace(options, weights={**options.weights, **weights})
    return unfolding_comparison(samples, observable, reference="target", options=options, source=source)


def draw_distributions(
    panels: tuple[Axes, Axes | None],
    samples: Mapping[str, Any],
    axis: HistogramAxis,
    ratio_to: str | None,
    options: HistogramOptions,
    prefix: str = "",
) -> None:
    """Draw all samples into one or two panels and attach their numbers."""
    main, ratio = panels
    weights = options.weights
    filled = {k: fill_histogram(v, axis, weights=weights.get(k)) for k, v in named(samples, "samples")}
    reference = filled.get(ratio_to) if ratio_to else None
    for i, (label, histogram) in enumerate(filled.items()):
        text = _legend_text(label, histogram, reference if options.discriminator else None)
        draw = _draw_points if options.reference_points and label == ratio_to else _draw_steps
        draw(main, histogram, i, text)
        if ratio is not None and reference is not None:
            _draw_ratio(ratio, histogram, reference, i, None if label == ratio_to else options.ratio_range)
        against = reference if options.discriminator and histogram is not reference else None
        attach_data(main.get_figure(root=True), _table(prefix + label, histogram, axis, against))
    _finish(main, ratio, axis, options, ratio_to)
    text = ", ".join(f"{k} ({f.n_entries:,} entries)" for k, f in filled.items())
    describe(main.get_figure(root=True), f"Distribution of {axis.title}: {text}.")


def _draw_steps(ax: Axes, filled: FilledHistogram, index: int, label: str) -> None:
    look = line_look(index)
    height, statistical, spread = filled.density()
    total = np.hypot(statistical, spread)
    ax.stairs(height, filled.edges, linewidth=1.6, label=label, baseline=None, **look._asdict())
    ax.stairs(height + total, filled.edges, baseline=height - total, fill=True, color=look.color, alpha=0.22)


def _draw_points(ax: Axes, filled: FilledHistogram, index: int, label: str) -> None:
    height, statistical, spread = filled.density()
    middle = (filled.edges[1:] + filled.edges[:-1]) / 2
    look = {"fmt": "o", "color": "black", "markersize": 4, "linewidth": 1.1, "zorder": 4}
    ax.errorbar(middle, height, yerr=np.hypot(statistical, spread), label=label, **look)


def _draw_ratio(
    ax: Axes,
    filled: FilledHistogram,
    reference: FilledHistogram,
    index: int,
    limits: tuple[float, float] | None,
) -> None:
    """Draw density over reference density, with arrows for what is outside the limits.

    The reference, which has no limits, is the grey band of its own uncertainty around 1.
    """
    look, color = line_look(index), line_look(index).color
    height, statistical, spread = filled.density()
    below = reference.density()[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(below > 0, height / below, np.nan)
        error = np.where(below > 0, np.hypot(statistical, spread) / below, np.nan)
    if limits is None:
        band = np.nan_to_num(error)
        ax.stairs(1 + band, filled.edges, baseline=1 - band, fill=True, color="0.55", alpha=0.35)
        return
    middle = (filled.edges[1:] + filled.edges[:-1]) / 2
    ax.stairs(value, filled.edges, linewidth=1.3, baseline=None, **look._asdict())
    ax.errorbar(middle, value, yerr=error, fmt="none", color=color, linewidth=0.9)
    low, high = limits
    for edge, marker, outside in ((low, "v", value < low), (high, "^", value > high)):
        if outside.any():
            at = np.full(outside.sum(), edge)
            ax.plot(middle[outside], at, marker, color=color, markersize=4, clip_on=False, in_layout=False)


def _finish(
    main: Axes, ratio: Axes | None, axis: HistogramAxis, options: HistogramOptions, ratio_to: str | None
) -> None:
    main.set_ylabel(f"Normalised entries / {axis.unit}" if axis.unit else "Normalised entries")
    main.set_xlim(axis.edges[0], axis.edges[-1])
    main.set_yscale("log" if options.log_y else "linear")
    bottom = main if ratio is None else ratio
    bottom.set_xlabel(axis.title)
    if ratio is not None:
        ratio.axhline(1, color="0.4", linewidth=0.8, linestyle=":")
        ratio.set_ylim(*options.ratio_range)
        ratio.set_ylabel(f"Ratio to\n{ratio_to}", loc="center", fontsize=10)


def _legend_text(label: str, filled: FilledHistogram, reference: FilledHistogram | None) -> str:
    """Say what lies outside the axis, or, as there is no room for both, how far the reference is."""
    if reference is not None and reference is not filled:
        value, floor = triangular(filled, reference)
        return rf"{label} ($10^3\,\Delta$ = {_per_mille(value)}, floor {_per_mille(floor)})"
    notes = []
    if filled.outside > _OUTSIDE_SHOWN:
        notes.append(f"{100 * filled.outside:.1f}% outside")
    if filled.n_undefined:
        notes.append(f"{100 * filled.n_undefined / filled.n_entries:.1f}% undefined")
    return f"{label} ({', '.join(notes)})" if notes else label


def _legend(ax: Axes, samples: Mapping[str, Any], fontsize: float = 10.5) -> None:
    """Make the legend in the order of the samples (matplotlib puts points last), above the data under it."""
    order = [str(name) for name in samples]
    entries = list(zip(*ax.get_legend_handles_labels(), strict=True))
    entries.sort(key=lambda entry: order.index(_sample_of(entry[1], order)))
    size, figure = ax.get_position(), ax.get_figure(root=True)
    part = ax.get_figure(root=False).bbox
    wide, high = (size.width * part.width / figure.dpi, size.height * part.height / figure.dpi)
    longest = max(len(plain(text)) for _, text in entries)
    share = (
        min(1.0, (0.52 * longest + 4.5) * fontsize / 72 / wide),
        min(0.75, (1.45 * len(entries) + 2.2) * fontsize / 72 / high),
    )
    side = _make_room(ax, share)
    ax.legend(*zip(*entries, strict=True), loc=f"upper {side}", fontsize=fontsize)


def _make_room(ax: Axes, share: tuple[float, float]) -> str:
    """Raise the axis where a legend of a share of the panel covers data; return the side to put it."""
    left, right = ax.get_xlim()
    x, y = (np.concatenate(values) for values in zip(*_heights(ax), strict=True))
    place, highest = (x - left) / (right - left), float(y.max())
    near = {"right": place > 1 - share[0], "left": place < share[0]}
    tops = {side: float(y[rows].max(initial=0.0)) for side, rows in near.items()}
    side = min(tops, key=lambda name: tops[name])
    if ax.get_yscale() == "log":
        low = ax.get_ylim()[0]
        above = max(np.log(highest * _HEADROOM / low), np.log(max(tops[side], low) / low) / (1 - share[1]))
        ax.set_ylim(low, low * np.exp(above))
    else:
        ax.set_ylim(0, max(highest * _HEADROOM, tops[side] / (1 - share[1])))
    return side


def _heights(ax: Axes) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield places and heights of everything drawn, steps and points with their uncertainties."""
    for patch in ax.patches:
        steps = patch.get_data()
        yield (steps.edges[1:] + steps.edges[:-1]) / 2, np.nan_to_num(steps.values)
    for container in ax.containers:
        points, _, bars = container
        yield np.asarray(points.get_xdata(), dtype=float), np.nan_to_num(points.get_ydata())
        for bar in bars:
            ends = np.array(bar.get_segments())
            yield ends[:, 1, 0], np.nan_to_num(ends[:, 1, 1])


def _sample_of(text: str, order: list[str]) -> str:
    return max((label for label in order if text.startswith(label)), key=len)


def _per_mille(value: float) -> str:
    """Return 1000 times a discriminator with two digits and no exponent."""
    return f"{1000 * value:.0f}" if value >= 0.01 else f"{1000 * value:.2g}"


def triangular(filled: FilledHistogram, reference: FilledHistogram) -> tuple[float, float]:
    """Return the triangular discriminator of two histograms, and its floor for samples of their size."""
    a, b = filled.hist.values() / filled.inside, reference.hist.values() / reference.inside
    total = a + b
    delta = 0.5 * np.sum(np.divide((a - b) ** 2, total, out=np.zeros_like(total), where=total > 0))
    floor = (total > 0).sum() / 4 * (1 / filled.n_effective + 1 / reference.n_effective)
    return float(delta), float(floor)


def _table(
    name: str, filled: FilledHistogram, axis: HistogramAxis, reference: FilledHistogram | None
) -> Table:
    height, statistical, spread = filled.density()
    errors = {"stat": statistical} | ({"model": spread} if np.any(spread) else {})
    bins = np.stack([filled.edges[:-1], filled.edges[1:]], axis=1)
    flow = filled.hist.values(flow=True)
    note = (
        f"normalised to the weight inside the range; below {flow[0]:g}, inside {filled.inside:g}, "
        f"above {flow[-1]:g}, undefined {filled.n_undefined} of {filled.n_entries} entries"
    )
    if reference is not None:
        value, floor = triangular(filled, reference)
        note += f"; triangular discriminator x 1000: {1000 * value:.6g}, floor {1000 * floor:.3g}"
    unit = f"1/{axis.unit}" if axis.unit else ""
    return Table(
        name, (Column(axis.label, bins, axis.unit),), (Column("Density", height, unit, errors),), note
    )


def _columns(samples: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Turn {sample: {observable: values}} inside out."""
    items = named(samples, "samples")
    names = list(items[0][1])
    for label, values in items:
        if set(values) != set(names):
            raise FigureError(
                f"'{label}' holds {sorted(values)}, the first sample {sorted(names)}; all must agree"
            )
    if not names:
        raise FigureError("the samples hold no observable")
    return {name: {label: values[name] for label, values in items} for name in names}


def _check_labels(samples: Mapping[str, Any], ratio_to: str | None, options: HistogramOptions) -> None:
    for label in (*options.weights, *([ratio_to] if ratio_to is not None else [])):
        if label not in samples:
            raise FigureError(f"no sample '{label}'; {nearest(label, samples)}")
