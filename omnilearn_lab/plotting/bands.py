"""Several repetitions of one curve: their mean and spread on a common x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting.style import LineLook

_BAND_ALPHA, _SEED_ALPHA = 0.22, 0.35


class Band(NamedTuple):
    """Mean curve and its spread over repeated trainings.

    Attributes
    ----------
    x, mean, spread : array, shape (K,)
        ``spread`` is the standard deviation over the repetitions (n - 1 in the denominator),
        zero where there is one repetition only.
    n_repetitions : int
        Different ones: 1 where all are the same, as of a training that does not depend on its seed.
    meaning : str
        What the spread is: ``"seeds"``, or ``"stat"`` for a statistical uncertainty.
    """

    x: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    n_repetitions: int
    meaning: str = "seeds"

    @property
    def errors(self) -> dict[str, np.ndarray]:
        """The spread under its name, or nothing where there is none."""
        return {self.meaning: self.spread} if np.any(self.spread) else {}


def band_of(curves: Sequence[tuple[Any, Any]], *, x: np.ndarray | None = None) -> Band:
    """Average curves over the x range that all of them cover.

    Curves with different points are interpolated linearly. Outside the common range nothing is
    averaged: a mean over the few repetitions that ran longest would jump.

    Parameters
    ----------
    curves : sequence of (x, y), each array of shape (K_i,)
        ``x`` rising.
    x : array, optional
        Points to average at; default: all points of all curves within the common range.

    Returns
    -------
    Band

    Raises
    ------
    FigureError
        For no curve, empty or unequal arrays, values that are not finite, or no common range.

    Examples
    --------
    >>> band = band_of([([1, 2, 3], [4.0, 3.0, 2.0]), ([1, 2], [6.0, 5.0])])
    >>> band.x, band.mean
    (array([1., 2.]), array([5., 4.]))
    """
    pairs = different([curve_arrays(curve) for curve in curves])
    if not pairs:
        raise FigureError("there is no curve to average; pass at least one (x, y) pair")
    grid = _common_points([points for points, _ in pairs]) if x is None else np.asarray(x, dtype=float)
    values = np.stack([np.interp(grid, points, heights) for points, heights in pairs])
    spread = values.std(axis=0, ddof=1) if len(pairs) > 1 else np.zeros(len(grid))
    return Band(grid, values.mean(axis=0), spread, len(pairs))


def curve_arrays(curve: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return one curve as two checked float arrays."""
    try:
        points, heights = (np.asarray(values, dtype=float) for values in curve)
    except (TypeError, ValueError) as error:
        raise FigureError("a curve must be a pair (x, y) of number arrays") from error
    if points.ndim != 1 or points.shape != heights.shape or not len(points):
        raise FigureError(
            f"a curve has x of shape {points.shape} and y of shape {heights.shape}; "
            "two one-dimensional arrays of the same, non-zero length are needed"
        )
    for name, values in (("x", points), ("y", heights)):
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise FigureError(f"{name} of a curve is not finite at point {row}; remove that point")
    if np.any(np.diff(points) < 0):
        raise FigureError("x of a curve falls; sort the points by x first")
    return points, heights


def named(series: Mapping[str, Any], what: str) -> list[tuple[str, Any]]:
    """Return a mapping's items, or say that it is empty or no mapping."""
    if not isinstance(series, Mapping):
        raise FigureError(f"{what} must be a mapping of label to numbers, not {type(series).__name__}")
    if not series:
        raise FigureError(f"{what} is empty; give at least one labelled entry")
    return [(str(label), value) for label, value in series.items()]


def different(curves: Sequence[tuple[np.ndarray, ...]]) -> list[tuple[np.ndarray, ...]]:
    """Return all repetitions, or one where all are the same: it does not depend on the seed."""
    same = all(np.array_equal(a, b) for other in curves[1:] for a, b in zip(other, curves[0], strict=True))
    return list(curves[:1] if same else curves)


def draw_band(ax: Axes, band: Band, look: LineLook, label: str) -> None:
    """Draw the mean as a line, the spread as a band; a single point gets a marker."""
    marker = "o" if len(band.x) == 1 else None
    ax.plot(band.x, band.mean, color=look.color, linestyle=look.linestyle, label=label, marker=marker)
    if band.errors:
        low, high = band.mean - band.spread, band.mean + band.spread
        ax.fill_between(band.x, low, high, color=look.color, alpha=_BAND_ALPHA, linewidth=0)


def draw_repetitions(ax: Axes, curves: Sequence[tuple[Any, Any]], look: LineLook) -> None:
    """Draw every repetition as a faint thin line under the band."""
    for curve in curves:
        ax.plot(*curve_arrays(curve), color=look.color, alpha=_SEED_ALPHA, linewidth=0.7, label="_seed")


def repetitions(value: Any, is_single: bool) -> list[Any]:
    """Return a list of repetitions, also for one that was given without a list around it."""
    items = [value] if is_single else list(value)
    if not items:
        raise FigureError("a series has no repetition; give at least one")
    return items


def counted(label: str, n: int) -> str:
    """Return the label with the number of seeds behind it, where it depends on the seed."""
    return label if n == 1 else f"{label} (mean, spread of {n} seeds)"


def _common_points(all_points: Sequence[np.ndarray]) -> np.ndarray:
    low = max(points[0] for points in all_points)
    high = min(points[-1] for points in all_points)
    if low > high:
        raise FigureError(f"the curves share no x: one starts at {low:g}, another ends at {high:g}")
    merged = np.unique(np.concatenate(all_points))
    return merged[(merged >= low) & (merged <= high)]
