"""Searches: mass spectra with the fit beside a window, and what weak supervision gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting.data import Table, attach_data
from omnilearn_lab.plotting.figure import finish, named, new_axes, new_ratio_axes
from omnilearn_lab.plotting.style import in_house_style, line_look

_QUANTILES = (0.16, 0.5, 0.84)
_LEGEND_ROOM, _FARTHEST_PULL = 6.0, 5.0  # farther pulls are arrows at the edge


class Hunt(Protocol):
    """What `mass_spectrum` draws; `omnilearn_lab.tasks.BumpHunt` is one.

    Attributes
    ----------
    edges : array, shape (K + 1,)
    counts, curve, curve_uncertainty : array, shape (K,)
        Observed events, and the fit with its error.
    signal_region : (float, float)
    significance : float
    """

    edges: np.ndarray
    counts: np.ndarray
    curve: np.ndarray
    curve_uncertainty: np.ndarray
    signal_region: tuple[float, float]
    significance: float


@in_house_style
def mass_spectrum(
    hunts: Mapping[str, Hunt], *, x_label: str = "Dijet mass [GeV]", source: str | None = None, ax: Any = None
) -> Figure:
    r"""Events against mass, with the fit to the sidebands, and the pulls below.

    Points carry the square root of the count; lines are the fits, with their uncertainty; the signal
    region, which no fit has seen, is shaded. Pulls are :math:`(n - f)/\sqrt{f + \delta f^2}`. Bins may differ
    in width: events are shown per one round width, so that a smooth spectrum looks smooth.

    Parameters
    ----------
    hunts : mapping of label to bump hunt
        Such as the same data after harder and harder cuts, and a control sample without signal.
    x_label
        Axis title with its unit.
    source
        What the data are, for the label above the axes.
    ax
        A pair (main, pulls) of axes; default: a new figure.

    Returns
    -------
    Figure
        One table per label.

    Raises
    ------
    FigureError
        For no spectrum, or arrays that do not fit together.
    """
    figure, main, pulls = new_ratio_axes(ax)
    items = named(hunts, "hunts")
    width = _shown_width(np.concatenate([np.diff(hunt.edges) for _, hunt in items]))
    drawn = [_draw_hunt((main, pulls), i, label, hunt, width) for i, (label, hunt) in enumerate(items)]
    for (label, hunt), pull in zip(items, (pull for _, _, pull in drawn), strict=True):
        attach_data(figure, _spectrum_table(label, hunt, x_label, pull))
    for left, right in {tuple(hunt.signal_region) for _, hunt in items}:
        for axes in (main, pulls):
            axes.axvspan(left, right, color="0.6", alpha=0.18, linewidth=0)
    pulls.axhline(0, color="0.4", linewidth=1)
    low = max(0.3, 0.5 * min(bottom for bottom, _, _ in drawn))
    top = max(1.0, *(top for _, top, _ in drawn))
    main.set(yscale="log", ylim=(low, _LEGEND_ROOM * max(top, 2 * low)))
    main.set_ylabel(f"Events / {width:.3g} {x_label.partition(' [')[2].rstrip(']')}".rstrip())
    pulls.set(xlabel=x_label, ylabel="Pull", ylim=(-1.1 * _FARTHEST_PULL, 1.1 * _FARTHEST_PULL))
    main.legend(loc="upper right")
    texts = "; ".join(_sentence(*item) for item in items)
    return finish(main, f"Mass spectrum with sideband fit; {texts}.", source)


def _draw_hunt(
    axes: tuple[Axes, Axes], index: int, label: str, hunt: Hunt, width: float
) -> tuple[float, float, np.ndarray]:
    """Draw one spectrum per ``width`` and its pulls; return its lowest and highest point, and the pulls."""
    counts, curve, error = (np.asarray(v, float) for v in (hunt.counts, hunt.curve, hunt.curve_uncertainty))
    _check(label, hunt.edges, counts, curve, error)
    (main, pulls), color = axes, line_look(index).color
    centres, scale = (hunt.edges[1:] + hunt.edges[:-1]) / 2, width / np.diff(hunt.edges)
    look = {"fmt": "o", "color": color, "markersize": 4, "capsize": 0, "xerr": np.diff(hunt.edges) / 2}
    text = f"{label} ({_signed(hunt.significance)}$\\sigma$)"
    main.errorbar(centres, counts * scale, yerr=np.sqrt(counts) * scale, label=text, **look)
    main.plot(centres, curve * scale, color=color, linewidth=1.4, label="_fit")
    low, high = np.maximum(curve - error, 1e-3) * scale, (curve + error) * scale
    main.fill_between(centres, low, high, color=color, alpha=0.25, linewidth=0)
    pull = (counts - curve) / np.sqrt(np.maximum(curve + error**2, 1e-9))
    is_near = np.abs(pull) <= _FARTHEST_PULL
    pulls.plot(centres[is_near], pull[is_near], "o", color=color, markersize=3.5)
    for is_far, edge, marker in ((pull > _FARTHEST_PULL, 1, "^"), (pull < -_FARTHEST_PULL, -1, "v")):
        height = np.full(is_far.sum(), edge * _FARTHEST_PULL)
        pulls.plot(centres[is_far], height, marker, color=color, markersize=5)
    return float((curve * scale).min()), float((counts * scale).max()), pull


def _shown_width(widths: np.ndarray) -> float:
    """Return the width that events are shown per: that of all bins, or a round one near the median.

    >>> _shown_width(np.array([100.0, 100.0])), _shown_width(np.array([333.3, 400.0, 325.0]))
    (100.0, 300.0)
    """
    middle = float(np.median(widths))
    if np.allclose(widths, middle):
        return middle
    return float(f"{middle:.0e}")


def _signed(significance: float) -> str:
    """Return a significance with one digit, and no minus before a zero."""
    return f"{round(significance, 1) + 0.0:+.1f}"


def _sentence(label: str, hunt: Hunt) -> str:
    left, right = hunt.signal_region
    return f"{label}: excess of {_signed(hunt.significance)} sigma between {left:g} and {right:g}"


@in_house_style
def sic_against_injection(
    points: Mapping[str, tuple[Any, Any]],
    *,
    random: tuple[float, float] | None = None,
    n_background: int | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Largest significance improvement against the signal that was hidden in the data.

    Lines are medians over trainings, bands hold the central 68 %, points are the trainings.

    Parameters
    ----------
    points : mapping of label to (injections, values)
        Shapes (K,) and (S, K): `omnilearn_lab.tasks.search.InjectionScan.points` gives them.
    random : (mean, spread), optional
        Largest SIC of a random score with the same test events.
    n_background
        Background events among the data, for a second axis with S / sqrt(B).
    source, ax
        As in `omnilearn_lab.plotting.loss_curves`.

    Returns
    -------
    Figure
        One table per label.

    Raises
    ------
    FigureError
        For shapes that do not fit, or values that are not finite.

    Examples
    --------
    >>> sic_against_injection({"scratch": ([0, 50], [[1.1, 1.4], [1.0, 2.0]])}, random=(1.1, 0.1))
    <figure: Largest significance improvement against injected events: scratch 1.05 at 0, 1.7 at 50.>
    """
    figure, axes = new_axes(ax)
    texts = []
    for i, (label, value) in enumerate(named(points, "points")):
        x, values = _injections(label, value)
        look, (low, middle, high) = line_look(i), np.quantile(values, _QUANTILES, axis=0)
        axes.plot(x, middle, marker="o", label=label, **look._asdict())
        axes.fill_between(x, low, high, color=look.color, alpha=0.22, linewidth=0)
        for row in values:
            axes.plot(x, row, ".", color=look.color, alpha=0.5, markersize=5, label="_training")
        seeds = {"seeds": np.stack([middle - low, high - middle], 1)}
        best = "Largest significance improvement", middle, seeds
        attach_data(figure, Table.of(label, ("Injected signal events", x), best))
        texts.append(f"{label} " + ", ".join(f"{m:.3g} at {n:g}" for n, m in zip(x, middle, strict=True)))
    if random is not None:
        mean, spread = random
        axes.axhspan(mean - spread, mean + spread, color="0.6", alpha=0.35, linewidth=0)
        axes.axhline(mean, color="0.4", linestyle=":", linewidth=1.2, label="random score")
    axes.set(xlabel="Injected signal events", ylabel=r"Largest $\epsilon_S/\sqrt{\epsilon_B}$")
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    axes.legend(loc="upper left")
    if n_background is not None:
        root = np.sqrt(n_background)
        second = axes.secondary_xaxis(-0.2, functions=(lambda s: s / root, lambda z: z * root))
        second.set_xlabel(r"$S/\sqrt{B}$ before any cut")
    title = "Largest significance improvement against injected events"
    return finish(axes, f"{title}: {'; '.join(texts)}.", source)


def _check(label: str, edges: Any, *columns: np.ndarray) -> None:
    n = len(edges) - 1
    if n < 1 or any(c.shape != (n,) or not np.isfinite(c).all() for c in columns):
        raise FigureError(
            f"'{label}': counts, curve and its error must be finite and one per bin, found "
            f"{[c.shape for c in columns]} for {n} bins"
        )


def _injections(label: str, value: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    try:
        x, values = (np.asarray(v, dtype=float) for v in value)
    except (TypeError, ValueError) as error:
        raise FigureError(f"'{label}' must be a pair (injections, values)") from error
    values = np.atleast_2d(values)
    if x.ndim != 1 or values.ndim != 2 or values.shape[1] != len(x) or not len(x):
        raise FigureError(f"'{label}' has injections {x.shape} and values {values.shape}; (K,) and (S, K)")
    if not (np.isfinite(x).all() and np.isfinite(values).all()):
        raise FigureError(f"'{label}' holds numbers that are not finite; leave those trainings out")
    return x, values


def _spectrum_table(label: str, hunt: Hunt, x_label: str, pull: np.ndarray) -> Table:
    bins = np.stack([hunt.edges[:-1], hunt.edges[1:]], axis=1)
    fit = ("Fit", hunt.curve, {"fit": hunt.curve_uncertainty})
    return Table.of(label, (x_label, bins), ("Events", hunt.counts), fit, ("Pull", pull))
