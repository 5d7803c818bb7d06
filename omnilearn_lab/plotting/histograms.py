"""From values to ``hist.Hist``: nothing lost silently, neither outside the range nor without a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from omnilearn_lab.errors import FigureError, nearest
from omnilearn_lab.metrics import weighted_hist

if TYPE_CHECKING:
    import hist


@dataclass(frozen=True, eq=False)
class HistogramAxis:
    """What an observable is called, its unit, and its bins.

    Parameters
    ----------
    label : str
        Axis title without unit; mathtext is fine.
    edges : array, shape (K + 1,)
        Rising bin edges.
    unit : str
        Such as ``"GeV"``; empty for numbers without dimension.

    Examples
    --------
    >>> HistogramAxis("Jet mass", [0, 50, 100], "GeV").title
    'Jet mass [GeV]'
    """

    label: str
    edges: np.ndarray
    unit: str = ""

    def __post_init__(self) -> None:
        edges = np.asarray(self.edges, dtype=float)
        if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or np.any(np.diff(edges) <= 0):
            raise FigureError(f"'{self.label}' needs at least two rising, finite bin edges; found {edges}")
        object.__setattr__(self, "edges", edges)

    @property
    def title(self) -> str:
        """Label with unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


@dataclass(frozen=True, eq=False)
class FilledHistogram:
    """A histogram together with what did not fit into it.

    Parameters
    ----------
    hist : hist.Hist
        One axis with under- and overflow, weighted storage: go on with it as you like.
    n_entries : int
        Values given.
    n_undefined : int
        Values that are infinite or not a number (ln rho of a jet without groomed mass, say).
    spread : array, shape (K,)
        Standard deviation of the bin contents over several sets of weights; zero for one set.
    """

    hist: hist.Hist
    n_entries: int
    n_undefined: int = 0
    spread: np.ndarray | float = 0.0

    @property
    def edges(self) -> np.ndarray:
        """Bin edges, shape (K + 1,)."""
        return self.hist.axes[0].edges

    @property
    def inside(self) -> float:
        """Sum of weights inside the range."""
        return float(self.hist.values().sum())

    @property
    def n_effective(self) -> float:
        """Effective number of entries inside the range, (sum w)^2 / sum w^2."""
        return self.inside**2 / float(self.hist.variances().sum())

    @property
    def outside(self) -> float:
        """Fraction of the weight that lies below or above the range."""
        total = float(self.hist.values(flow=True).sum())
        return (total - self.inside) / total if total else 0.0

    def density(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return density, statistical and spread uncertainty, normalised to the weight inside the range."""
        scale = 1 / (self.inside * np.diff(self.edges))
        statistical = np.sqrt(self.hist.variances())
        return self.hist.values() * scale, statistical * scale, self.spread * scale


def fill_histogram(values: Any, axis: HistogramAxis, *, weights: Any = None) -> FilledHistogram:
    """Fill a weighted histogram and count what does not fit.

    Parameters
    ----------
    values : array, shape (N,), or a histogram
        Infinite values and not-a-number are left out and counted. A one-dimensional ``hist.Hist``
        (or any histogram with the UHI interface) passes through if its edges are those of the axis.
    axis
    weights : array, shape (N,) or (S, N), optional
        With S sets (one per trained network, say) the histogram holds their mean, and their
        standard deviation per bin becomes ``spread``.

    Returns
    -------
    FilledHistogram

    Raises
    ------
    FigureError
        For no values, wrong shapes, or nothing inside the range.

    Examples
    --------
    >>> import numpy as np
    >>> mass = HistogramAxis("Jet mass", [0, 50, 100], "GeV")
    >>> filled = fill_histogram([10.0, 60.0, 70.0, 120.0, -np.inf], mass)
    >>> filled.hist.values(), filled.outside, filled.n_undefined
    (array([1., 2.]), 0.25, 1)
    """
    if hasattr(values, "axes") and hasattr(values, "variances"):
        return _from_histogram(values, axis)
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not len(array):
        raise FigureError(f"'{axis.label}' has values of shape {array.shape}; (N,) with N > 0 is needed")
    sets = _weight_sets(weights, len(array), axis.label)
    keep = np.isfinite(array)
    contents = [_contents(array[keep], axis.edges, row[keep]) for row in sets]
    mean = np.mean([c[0] for c in contents], axis=0)
    variance = np.mean([c[1] for c in contents], axis=0)
    spread = np.std([c[0][1:-1] for c in contents], axis=0, ddof=1) if len(sets) > 1 else 0.0
    histogram = weighted_hist(axis.edges, mean, variance, axis.title)
    return _need_inside(FilledHistogram(histogram, len(array), int((~keep).sum()), spread), axis)


def as_axis(observable: Any) -> HistogramAxis:
    """Return the axis of an observable given by name or by anything with label, unit and edges."""
    if isinstance(observable, HistogramAxis):
        return observable
    if isinstance(observable, str):
        from omnilearn_lab.observables import OBSERVABLES

        if observable not in OBSERVABLES:
            raise FigureError(f"no observable '{observable}'; {nearest(observable, OBSERVABLES)}")
        observable = OBSERVABLES[observable]
    try:
        return HistogramAxis(observable.label, observable.edges, observable.unit)
    except AttributeError as error:
        raise FigureError(
            "an observable is a name, or has label, edges and unit, as HistogramAxis(label, edges, unit)"
        ) from error


def observable_axes(edges: Mapping[str, Any]) -> dict[str, HistogramAxis]:
    """Return the axes of observables in bins of your own; names that are not known serve as titles.

    Parameters
    ----------
    edges : mapping of observable to array, shape (K + 1,)

    Examples
    --------
    >>> [axis.title for axis in observable_axes({"mass": [0, 10, 75], "my number": [0, 1]}).values()]
    ['$m$ [GeV]', 'my number']
    """
    from omnilearn_lab.observables import OBSERVABLES

    known = {name: (item.label, item.unit) for name, item in OBSERVABLES.items()}
    axes = {}
    for name, bins in edges.items():
        label, unit = known.get(name, (name, ""))
        axes[name] = HistogramAxis(label, bins, unit)
    return axes


def _contents(values: np.ndarray, edges: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of weights and squared weights with flow bins; bins are closed on the left, the last on both."""
    index = np.searchsorted(edges, values, side="right")
    index[values == edges[-1]] -= 1
    size = len(edges) + 1
    return np.bincount(index, weights, size), np.bincount(index, weights**2, size)


def _from_histogram(histogram: Any, axis: HistogramAxis) -> FilledHistogram:
    if len(histogram.axes) != 1:
        raise FigureError(f"'{axis.label}' needs a histogram of one axis, found {len(histogram.axes)}")
    given = np.asarray(histogram.axes[0].edges)
    if given.shape != axis.edges.shape or not np.allclose(given, axis.edges):
        raise FigureError(
            f"the histogram of '{axis.label}' has other bins than the axis; use its edges for the axis"
        )
    values = np.asarray(histogram.values(), dtype=float)
    variances = histogram.variances()
    flow = _flow_of(histogram, values, values if variances is None else np.asarray(variances, dtype=float))
    made = weighted_hist(axis.edges, *flow, axis.title)
    return _need_inside(FilledHistogram(made, int(round(values.sum()))), axis)


def _flow_of(histogram: Any, values: np.ndarray, variances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the flow bins of a boost-histogram; other UHI histograms have none to show."""
    pads: Sequence[np.ndarray] = (np.pad(values, 1), np.pad(variances, 1))
    try:
        full, full_variances = histogram.values(flow=True), histogram.variances(flow=True)
    except TypeError:
        return pads[0], pads[1]
    if len(full) != len(pads[0]) or full_variances is None:
        return pads[0], pads[1]
    return np.asarray(full, dtype=float), np.asarray(full_variances, dtype=float)


def _weight_sets(weights: Any, n: int, label: str) -> np.ndarray:
    sets = np.ones((1, n)) if weights is None else np.atleast_2d(np.asarray(weights, dtype=float))
    if sets.ndim != 2 or sets.shape[1] != n or not len(sets):
        raise FigureError(
            f"weights of '{label}' have shape {np.shape(weights)}; ({n},) or (sets, {n}) is needed"
        )
    if not np.isfinite(sets).all():
        raise FigureError(f"weights of '{label}' hold infinities or not-a-number; clip or remove them")
    return sets


def _need_inside(filled: FilledHistogram, axis: HistogramAxis) -> FilledHistogram:
    if not filled.inside > 0:
        raise FigureError(
            f"nothing of '{axis.label}' lies between {axis.edges[0]:g} and {axis.edges[-1]:g} {axis.unit} "
            f"({filled.n_entries} entries, {filled.n_undefined} of them undefined); widen the range"
        )
    return filled
