"""Batches of packed jets in an order fixed by the seed, so that a training can resume anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from omnilearn_lab.errors import TrainingError
from omnilearn_lab.models import Batch

__all__ = ["Batches", "Fingerprint", "fingerprint", "is_same", "project", "select"]

Fingerprint = dict[str, list[float]]
"""What `project` says of each column."""

_CHUNK, _GOLDEN = 1 << 20, (math.sqrt(5) - 1) / 2

_PER_PARTICLE = frozenset({"features", "points", "pid", "extra", "particle_label"})


def select(jets: Batch, rows: Tensor) -> Batch:
    """Return some jets of a packed batch, in the order of ``rows``.

    Parameters
    ----------
    jets : Batch
    rows : int64 Tensor, shape (M,)
        Jet numbers; repetitions are fine.

    Returns
    -------
    Batch

    Examples
    --------
    >>> jets = Batch(torch.arange(3.0)[:, None], torch.zeros(3, 2), torch.tensor([0, 1, 3]), torch.eye(2))
    >>> select(jets, torch.tensor([1])).features[:, 0]
    tensor([1., 2.])
    """
    counts = jets.counts[rows]
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    first = torch.repeat_interleave(jets.offsets[:-1][rows] - offsets[:-1], counts)
    take = first + torch.arange(int(offsets[-1]))
    columns = {f.name: getattr(jets, f.name) for f in fields(jets) if f.name != "offsets"}
    chosen = {
        name: value[take if name in _PER_PARTICLE else rows]
        for name, value in columns.items()
        if value is not None
    }
    return Batch(offsets=offsets, **chosen)


def fingerprint(jets: Batch) -> Fingerprint:
    """Return a few numbers per column, by which a run knows its jets again: see `project`.

    Examples
    --------
    >>> jets = Batch(torch.zeros(3, 1), torch.zeros(3, 2), torch.tensor([0, 1, 3]), torch.eye(2))
    >>> other = jets.replace(offsets=torch.tensor([0, 2, 3]))
    >>> [is_same(fingerprint(jets), fingerprint(j)) for j in (jets, other)]
    [True, False]
    """
    columns = {f.name: getattr(jets, f.name) for f in fields(jets) if f.name != "offsets"}
    columns["counts"] = jets.counts
    return {name: project(values) for name, values in columns.items() if values is not None}


def project(values: Tensor) -> list[float]:
    """Return three numbers about N values x: N, sum(r x) with fixed r in [-1/2, 1/2), and |x|.

    The sum moves by about |x| / sqrt(N) where one of the values is another, and by 1e-7 |x| where they were
    computed by another kind of processor: an exact hash would take the same jets for others there. As r is
    the fractional part of k times that of k times the golden ratio, less 1/2, no machine draws it otherwise.

    Examples
    --------
    >>> [round(number, 3) for number in project(torch.tensor([3.0, 4.0]))]
    [2, -1.028, 5.0]
    """
    along, square = 0.0, 0.0
    flat = values.flatten()
    for start in range(0, len(flat), _CHUNK):
        part = flat[start : start + _CHUNK].double().nan_to_num(0.0, 0.0, 0.0)
        k = torch.arange(start, start + len(part), dtype=torch.float64)
        r = (k * (k * _GOLDEN).frac_()).frac_().sub_(0.5)
        along, square = along + float(r @ part), square + float(part @ part)
    return [len(flat), along, math.sqrt(square)]


def is_same(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two fingerprints are of the same jets: sums agree within 1e-5 of |x|."""
    return one.keys() == other.keys() and all(
        a[0] == b[0] and max(abs(a[1] - b[1]), abs(a[2] - b[2])) <= 1e-5 * max(a[2], b[2])
        for a, b in ((one[name], other[name]) for name in one)
    )


class Batches:
    """Shuffled batches over jets held in memory.

    The order of epoch e is a permutation drawn from (seed, e): the batch of any update can be made
    without replaying the ones before it. The last, incomplete batch of an epoch is left out of training.

    Parameters
    ----------
    jets : Batch
        All jets, packed.
    batch_size
    seed

    Raises
    ------
    TrainingError
        When there are no jets.
    """

    def __init__(self, jets: Batch, batch_size: int, *, seed: int = 0) -> None:
        if len(jets) == 0:
            raise TrainingError("there are no jets to train on; check the selection")
        self.jets = jets
        self.batch_size = min(batch_size, len(jets))
        self.seed = seed
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    @property
    def n_jets(self) -> int:
        """Jets in all."""
        return len(self.jets)

    def fingerprint(self) -> Fingerprint:
        """Return what tells these jets from others."""
        return fingerprint(self.jets)

    @property
    def steps_per_epoch(self) -> int:
        """Complete batches in one epoch."""
        return len(self.jets) // self.batch_size

    def rows(self, step: int) -> np.ndarray:
        """Return the jet numbers of update ``step`` (from 0), shape (batch_size,)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            generator = np.random.default_rng([self.seed, epoch])
            self._order = (epoch, generator.permutation(len(self.jets)))
        return self._order[1][position * self.batch_size : (position + 1) * self.batch_size]

    def batch(self, step: int) -> Batch:
        """Return the jets of update ``step``."""
        return select(self.jets, torch.from_numpy(self.rows(step)))

    def in_order(self) -> Iterator[Batch]:
        """Yield all jets once, in their own order; the last batch may be smaller."""
        for number in range(math.ceil(len(self.jets) / self.batch_size)):
            first = number * self.batch_size
            last = min(first + self.batch_size, len(self.jets))
            yield select(self.jets, torch.arange(first, last))
