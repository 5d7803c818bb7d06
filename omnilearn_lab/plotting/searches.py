"""Searches: mass spectra with the fit beside a window, and what weak supervision gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting.bands import named
from omnilearn_lab.plotting.data import Column, Table, attach_data
from omnilearn_lab.plotting.figure import describe, new_axes, new_ratio_axes
from omnilearn_lab.plotting.style import experiment_label, in_house_style, line_look

_QUANTILES = (0.16, 0.5, 0.84)
_LEGEND_ROOM = 6.0


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
    hunts: Mapping[str, Hunt],
    *,
    x_label: str = "Dijet mass [GeV]",
    source: str | None = None,
    ax: Any = None,
) -> Figure:
    r"""Events against mass, with the fit to the sidebands, and the pulls below.

    Points carry the square root of the count; lines are the fits, with their uncertainty; the signal
    region, which no fit has seen, is shaded. Pulls are :math:`(n - f)/\sqrt{f + \delta f^2}`. Bins have the
    widths of the fit: counts are per bin.

    Parameters
    ----------
    hunts : mapping of label to bump hunt
        Such as the same data after harder and harder cuts.
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
    top, bottom = 1.0, np.inf
    for i, (label, hunt) in enumerate(named(hunts, "hunts")):
        counts, curve, error = (
            np.asarray(v, dtype=float) for v in (hunt.counts, hunt.curve, hunt.curve_uncertainty)
        )
        _check(label, hunt.edges, counts, curve, error)
        color, centres = line_look(i).color, (hunt.edges[1:] + hunt.edges[:-1]) / 2
        text = f"{label} ({hunt.significance:+.1f}$\\sigma$)"
        main.errorbar(
            centres, counts, yerr=np.sqrt(counts), fmt="o", color=color, markersize=4, label=text, capsize=0
        )
        main.plot(centres, curve, color=color, linewidth=1.4, label="_fit")
        main.fill_between(
            centres, np.maximum(curve - error, 1e-3), curve + error, color=color, alpha=0.25, linewidth=0
        )
        pull = (counts - curve) / np.sqrt(np.maximum(curve + error**2, 1e-9))
        pulls.plot(centres, pull, "o", color=color, markersize=3.5)
        top, bottom = max(top, counts.max()), min(bottom, curve.min())
        attach_data(figure, _spectrum_table(label, hunt, x_label, pull))
    for axes in (main, pulls):
        axes.axvspan(*hunt.signal_region, color="0.6", alpha=0.18, linewidth=0)
    pulls.axhline(0, color="0.4", linewidth=1)
    low = max(0.3, 0.5 * bottom)
    main.set(ylabel="Events per bin", yscale="log", ylim=(low, _LEGEND_ROOM * max(top, 2 * low)))
    pulls.set(xlabel=x_label, ylabel="Pull", ylim=(-4.5, 4.5))
    main.legend(loc="upper right")
    experiment_label(main, source)
    texts = ", ".join(f"{label} {hunt.significance:+.1f} sigma" for label, hunt in hunts.items())
    left, right = hunt.signal_region
    describe(figure, f"Mass spectrum with sideband fit; excess between {left:g} and {right:g}: {texts}.")
    return figure


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
        Shapes (K,) and (S, K): `omnilearn_lab.tasks.SicScan.points` gives them.
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
        axes.plot(x, middle, color=look.color, linestyle=look.linestyle, marker="o", label=label)
        axes.fill_between(x, low, high, color=look.color, alpha=0.22, linewidth=0)
        for row in values:
            axes.plot(x, row, ".", color=look.color, alpha=0.5, markersize=5, label="_training")
        attach_data(figure, _injection_table(label, x, (low, middle, high)))
        texts.append(f"{label} " + ", ".join(f"{m:.3g} at {n:g}" for n, m in zip(x, middle, strict=True)))
    if random is not None:
        mean, spread = random
        axes.axhspan(mean - spread, mean + spread, color="0.6", alpha=0.35, linewidth=0, label="random score")
    axes.set(xlabel="Injected signal events", ylabel=r"Largest $\epsilon_S/\sqrt{\epsilon_B}$")
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    axes.legend(loc="upper left")
    if n_background is not None:
        root = np.sqrt(n_background)
        second = axes.secondary_xaxis(-0.2, functions=(lambda s: s / root, lambda z: z * root))
        second.set_xlabel(r"$S/\sqrt{B}$ before any cut")
    experiment_label(axes, source)
    describe(figure, f"Largest significance improvement against injected events: {'; '.join(texts)}.")
    return figure


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
    return Table(
        label,
        (Column(x_label, bins),),
        (
            Column("Events", np.asarray(hunt.counts)),
            Column("Fit", np.asarray(hunt.curve), errors={"fit": np.asarray(hunt.curve_uncertainty)}),
            Column("Pull", pull),
        ),
    )


def _injection_table(label: str, x: np.ndarray, bands: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Table:
    low, middle, high = bands
    error = np.stack([middle - low, high - middle], axis=1)
    return Table(
        label,
        (Column("Injected signal events", x),),
        (Column("Largest significance improvement", middle, errors={"seeds": error}),),
    )
