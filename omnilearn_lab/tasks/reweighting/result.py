"""How well a reweighting went: distances to the target, calibration, effective sample size."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omnilearn_lab.display import label, number
from omnilearn_lab.errors import DataFileError, JetsError, translated
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import atomic_path
from omnilearn_lab.metrics import CalibrationCurve
from omnilearn_lab.metrics.distances import TriangularDiscriminator, published_edges, triangular_discriminator
from omnilearn_lab.observables import SIX, observables
from omnilearn_lab.training import History

if TYPE_CHECKING:
    import pandas as pd

    from omnilearn_lab.tasks.common.comparison import Comparison

_N_BINS, _INSIDE = 20, (0.005, 0.995)
_NUMBERS = ("effective_sample_size", "n_clipped", "seconds", "n_train")


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


@dataclass(frozen=True, eq=False)
class ReweightingResult:
    """What a reweighting gave, measured on jets that it was not fitted to (if such were given).

    Parameters
    ----------
    weights : array, shape (N,)
        Of the measured source jets, their own weights included.
    distances : mapping of observable to DistanceChange
        Triangular discriminators to the target before and after.
    effective_sample_size
        Number of unweighted jets that the weighted source is worth; jets with a clipped ratio count as none.
    n_clipped
        Source jets whose logit was clipped: their ratio is not known, only a limit.
    calibration : CalibrationCurve
        Of the classifier's probability, source and target having equal totals.
    history : History
    seconds
        Of fit and measurement.
    n_train
        Jets fitted, both samples together.
    """

    weights: np.ndarray
    distances: Mapping[str, DistanceChange]
    effective_sample_size: float
    n_clipped: int
    calibration: CalibrationCurve
    history: History
    seconds: float
    n_train: int

    @property
    def n_test(self) -> int:
        """Source jets measured."""
        return len(self.weights)

    @property
    def effective_fraction(self) -> float:
        """Effective sample size over the number of jets; stronger weights leave less, which is no fault."""
        return self.effective_sample_size / len(self.weights)

    @property
    def smaller_is_better(self) -> tuple[str, ...]:
        """All `values`."""
        return tuple(self.values())

    def values(self) -> dict[str, float]:
        """Return flat numbers for a results file.

        Discriminators after reweighting, calibration error, and the best validation loss where a network
        was trained.
        """
        numbers = {name: change.after.value for name, change in self.distances.items()}
        numbers["calibration_error"] = self.calibration.expected_calibration_error
        return numbers | ({"best_val_loss": self.history.best()["loss"]} if self.history.records else {})

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to an ``.npz`` file (arrays and one JSON text, no pickles)."""
        path = Path(path).with_suffix(".npz")
        about = {
            "distances": {name: _plain(asdict(change)) for name, change in self.distances.items()},
            "calibration": _plain(asdict(self.calibration)),
            "history": self.history.records,
        }
        about |= {name: getattr(self, name) for name in _NUMBERS}
        with atomic_path(path) as partial:
            np.savez(partial, weights=self.weights, about=json.dumps(about))
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ReweightingResult:
        """Read what `save` wrote.

        Raises
        ------
        DataFileError
            When the file is missing or not one of these.
        """
        with translated(DataFileError, f"'{path}' is no saved reweighting", "give a file of save()"):
            with np.load(path, allow_pickle=False) as file:
                weights, about = file["weights"], json.loads(str(file["about"]))
            distances = {
                name: DistanceChange(
                    **{when: TriangularDiscriminator(**_arrays(d)) for when, d in change.items()}
                )
                for name, change in about.pop("distances").items()
            }
            calibration = CalibrationCurve(**_arrays(about.pop("calibration")))
            history = History(about.pop("history"))
            return cls(weights, distances, calibration=calibration, history=history, **about)


def improved(results: Sequence[ReweightingResult]) -> list[str]:
    """Return the observables that are closer to the target than before, on average over trainings."""
    after = {name: np.mean([r.distances[name].after.value for r in results]) for name in results[0].distances}
    return [name for name, change in results[0].distances.items() if after[name] < change.before.value]


def distance_table(comparison: Comparison[ReweightingResult]) -> pd.DataFrame:
    """Return 1000 times the discriminators: before, after (mean and spread over seeds), and the floor.

    ``bootstrap`` is the statistical uncertainty of one value after the last kind of training.
    """
    import pandas as pd

    *_, last = comparison.results.values()
    rows = {}
    for name, change in last[0].distances.items():
        after = {label(arm): comparison.spread(arm, name) for arm in comparison.results}
        rows[name] = (
            {"before": number(change.before.value, change.before.uncertainty)}
            | {label: str(s) for label, s in after.items()}
            | {"bootstrap": f"{change.after.uncertainty:.2f}", "floor": f"{change.after.floor:.2f}"}
        )
    return pd.DataFrame(rows).T


def _edges_of(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Equal bins over nearly all values of each column."""
    return {name: np.linspace(*np.quantile(v, _INSIDE), _N_BINS + 1) for name, v in columns.items()}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays as lists, below any depth; not-a-number stays, as Python's JSON allows."""
    return {
        name: _plain(v) if isinstance(v, Mapping) else v.tolist() if isinstance(v, np.ndarray) else v
        for name, v in values.items()
    }


def _arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as arrays again; ``outside`` is a pair."""
    return {
        name: tuple(v) if name == "outside" else np.array(v) if isinstance(v, list) else v
        for name, v in values.items()
    }
