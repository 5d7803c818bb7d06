"""How far two samples are apart, observable by observable, before and after weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics.distances import TriangularDiscriminator, published_edges, triangular_discriminator
from omnilearn_lab.observables import SIX, observables

__all__ = ["DistanceChange", "discriminator", "distance_changes", "observable_edges", "observables_of"]

_N_BINS, _INSIDE = 20, (0.005, 0.995)


@dataclass(frozen=True)
class DistanceChange:
    """Triangular discriminator to the target before and after reweighting (both times 1000)."""

    before: TriangularDiscriminator
    after: TriangularDiscriminator

    @property
    def improves(self) -> bool:
        """Whether the distance became smaller."""
        return self.after.value < self.before.value

    def __str__(self) -> str:
        return f"{self.before.value:.2g} -> {self.after}"


def observable_edges(n_bins: int | None = None) -> dict[str, np.ndarray]:
    """Return bins for the six observables, in their published ranges.

    Parameters
    ----------
    n_bins
        None takes the published number. Samples of a few thousand jets need fewer: the floor of the
        discriminator grows with the number of bins.

    Examples
    --------
    >>> {name: len(edges) - 1 for name, edges in observable_edges(20).items()}["mass"]
    20
    """
    edges = {name: published_edges(name) for name in SIX}
    if n_bins is None:
        return edges
    return {name: np.linspace(e[0], e[-1], n_bins + 1) for name, e in edges.items()}


def observables_of(sample: Jets | np.ndarray, names: Sequence[str] = SIX) -> dict[str, np.ndarray]:
    """Return named observables of jets, or all columns of a table, by name.

    Examples
    --------
    >>> observables_of(np.array([[1.0, 2.0]]))
    {'column 0': array([1.]), 'column 1': array([2.])}
    """
    if isinstance(sample, Jets):
        return observables(sample, list(names))
    return {f"column {i}": column for i, column in enumerate(np.asarray(sample, dtype=float).T)}


def discriminator(
    reference: np.ndarray,
    sample: np.ndarray,
    edges: np.ndarray,
    *,
    weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
) -> TriangularDiscriminator:
    """Return the triangular discriminator; undefined values (ungroomed jets) count as outside the range.

    Examples
    --------
    >>> discriminator(np.array([0.5, -np.inf]), np.array([0.5, 0.5]), np.array([0.0, 1.0])).value
    0.0
    """
    below = edges[0] - 1.0
    values = (np.where(np.isfinite(x), x, below) for x in (reference, sample))
    return triangular_discriminator(*values, edges, weights=weights)


def distance_changes(
    samples: tuple[Jets | np.ndarray, Jets | np.ndarray],
    own_weights: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray,
    *,
    edges: Mapping[str, np.ndarray] | None = None,
) -> dict[str, DistanceChange]:
    """Return distances of (source, target) before and after the source gets ``weights``.

    Raises
    ------
    JetsError
        For edges of an observable that these samples do not have.
    """
    source, target = (observables_of(sample, list(edges or SIX)) for sample in samples)
    bins = edges or (observable_edges() if isinstance(samples[0], Jets) else _edges_of(target))
    unknown = set(bins) - set(source)
    if unknown:
        raise JetsError(f"edges are given for {sorted(unknown)}; these samples have {sorted(source)}")
    changes = {}
    for name, edge in bins.items():
        before, after = (
            discriminator(target[name], source[name], edge, weights=(own_weights[1], w))
            for w in (own_weights[0], weights)
        )
        changes[name] = DistanceChange(before, after)
    return changes


def _edges_of(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Equal bins over nearly all values of each column."""
    return {name: np.linspace(*np.quantile(v, _INSIDE), _N_BINS + 1) for name, v in columns.items()}
