"""What unfolding starts from: simulated events at two levels, with those that pass only one of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.simulation import PairedJets
from omnilearn_lab.tasks.reweighting.ratios import Sample, check_sample, check_weights

__all__ = ["PairedSample", "rows_of"]


def rows_of(sample: Sample, rows: np.ndarray) -> Sample:
    """Return chosen jets, or rows of a table (a vector is a table of one column)."""
    if isinstance(sample, Jets):
        return sample[rows]
    table = np.asarray(sample, dtype=np.float64)
    return (table[:, None] if table.ndim == 1 else table)[rows]


@dataclass(frozen=True, eq=False)
class PairedSample:
    """N simulated events at particle level (truth) and at detector level.

    Events that pass the particle-level selection only are *missed* (the detector is not fully efficient);
    those that pass the detector-level selection only are *fakes*. A level that was not passed is never
    read: a table may hold not-a-number there, and jets anything.

    Parameters
    ----------
    truth, detector : Jets, or table of shape (N, K) or (N,)
    weight : array, shape (N,), optional
        Weights of the simulation; the jets' own (truth level), or ones.
    pass_truth, pass_detector : bool array, shape (N,), optional
        Which events pass; all by default.

    Raises
    ------
    JetsError
        For levels of different length, bad weights, not-a-number in a level that was passed, or no
        event that passes both levels.

    Examples
    --------
    >>> sample = PairedSample(np.zeros(3), np.array([0.1, np.nan, 0.2]), pass_detector=[True, False, True])
    >>> sample.efficiency, sample.fake_share
    (0.6666666666666666, 0.0)
    """

    truth: Sample
    detector: Sample
    weight: ArrayLike | None = None
    pass_truth: ArrayLike | None = None
    pass_detector: ArrayLike | None = None

    def __post_init__(self) -> None:
        n = len(self.truth)
        if len(self.detector) != n:
            raise JetsError(
                f"{n} events at particle level and {len(self.detector)} at detector level; row i of both "
                "must be the same event: pair them by event number first"
            )
        own = self.truth.weight if isinstance(self.truth, Jets) and self.weight is None else self.weight
        object.__setattr__(self, "weight", check_weights("the simulation", own, n))
        for name in ("pass_truth", "pass_detector"):
            object.__setattr__(self, name, _mask(name, getattr(self, name), n))
        if not (self.weight[self.pass_truth & self.pass_detector] > 0).any():
            raise JetsError("no simulated event passes both levels; loosen the selection")
        check_sample("truth", rows_of(self.truth, self.pass_truth))
        check_sample("detector", rows_of(self.detector, self.pass_detector))

    def __len__(self) -> int:
        return len(self.truth)

    @classmethod
    def of(cls, pairs: PairedJets | PairedSample, **options: Any) -> PairedSample:
        """Return pairs of jets as a sample; one that is a sample already stays as it is."""
        return pairs if isinstance(pairs, cls) else cls(pairs.truth, pairs.detector, **options)

    def select(self, rows: np.ndarray) -> PairedSample:
        """Return some events."""
        levels = {name: rows_of(getattr(self, name), rows) for name in ("truth", "detector")}
        columns = {name: getattr(self, name)[rows] for name in ("weight", "pass_truth", "pass_detector")}
        return PairedSample(**levels, **columns)

    def scaled(self, factor: float | np.ndarray) -> PairedSample:
        """Return the events with their weights multiplied."""
        return replace(self, weight=self.weight * factor)

    @property
    def efficiency(self) -> float:
        """Share of the events at particle level that are also seen at detector level."""
        both = self.pass_truth & self.pass_detector
        return float(self.weight[both].sum() / self.weight[self.pass_truth].sum())

    @property
    def fake_share(self) -> float:
        """Share of the events at detector level that do not belong to the particle level."""
        fakes = self.pass_detector & ~self.pass_truth
        return float(self.weight[fakes].sum() / self.weight[self.pass_detector].sum())


def _mask(name: str, values: ArrayLike | None, n: int) -> np.ndarray:
    mask = np.ones(n, dtype=bool) if values is None else np.asarray(values)
    if mask.dtype != bool or mask.shape != (n,):
        raise JetsError(
            f"{name} has shape {mask.shape} and type {mask.dtype}; bool of shape ({n},) is needed"
        )
    return mask
