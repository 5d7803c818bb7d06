"""Batches of packed jets in an order fixed by the seed, so that a training can resume anywhere.

A trainer asks for ``batch(step)``, this process' jets of an update: `Batches` has all jets in memory,
`omnilearn_lab.training.StreamingBatches` reads files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from omnilearn_lab.errors import TrainingError
from omnilearn_lab.models import Batch
from omnilearn_lab.training.distributed import this_shard
from omnilearn_lab.training.parts import Whole

Fingerprint = dict[str, list[float]]
"""What `project` says of each column."""

_CHUNK, _GOLDEN = 1 << 20, (math.sqrt(5) - 1) / 2

_PER_PARTICLE = frozenset({"features", "points", "pid", "extra", "particle_label", "particle_target"})


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
    """Shuffled batches over jets held in memory, or this process' share of them.

    The order of epoch e is a permutation drawn from (seed, e): the batch of any update can be made
    without replaying the ones before it. The last, incomplete batch of an epoch is left out of training.

    Parameters
    ----------
    jets : Batch
        All jets, packed; those of an event one after the other.
    batch_size
        Jets per update; events, where an event has several jets.
    seed
    jets_per_event
        So many jets in a row stay together.

    Raises
    ------
    TrainingError
        When there are no jets.

    Examples
    --------
    >>> jets = Batch(torch.zeros(6, 1), torch.zeros(6, 2), torch.arange(7), torch.zeros(6, 0))
    >>> batches = Batches(jets, 2, seed=1, jets_per_event=2)
    >>> batches.steps_per_epoch, batches.rows(0).tolist()
    (1, [0, 1, 2, 3])
    """

    def __init__(self, jets: Batch, batch_size: int, *, seed: int = 0, jets_per_event: int = 1) -> None:
        if len(jets) == 0:
            raise TrainingError("there are no jets to train on; check the selection")
        self.jets, self.seed, self.jets_per_event = jets, seed, jets_per_event
        self.batch_size = min(batch_size * jets_per_event, len(jets))
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    @property
    def n_jets(self) -> int:
        """Jets in all."""
        return len(self.jets)

    @property
    def jets_per_update(self) -> int:
        """Jets that all processes together take at once."""
        return self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Complete batches in one epoch."""
        return len(self.jets) // self.batch_size

    def fingerprint(self) -> Fingerprint:
        """Return what tells these jets from others."""
        return fingerprint(self.jets)

    def rows(self, step: int) -> np.ndarray:
        """Return the jet numbers of update ``step`` (from 0), shape (batch_size,)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            generator = np.random.default_rng([self.seed, epoch])
            self._order = (epoch, generator.permutation(len(self.jets) // self.jets_per_event))
        size = self.batch_size // self.jets_per_event
        events = self._order[1][position * size : (position + 1) * size]
        return (events[:, None] * self.jets_per_event + np.arange(self.jets_per_event)).ravel()

    def batch(self, step: int) -> Batch:
        """Return this process' jets of update ``step``."""
        events = self.rows(step).reshape(-1, self.jets_per_event)
        return select(self.jets, torch.from_numpy(events[this_shard().part(len(events))].ravel()))

    def in_order(self) -> Iterator[Batch]:
        """Yield all jets once, in their own order; the last batch may be smaller."""
        for rows in torch.arange(len(self.jets)).split(self.batch_size):
            yield select(self.jets, rows)

    def smaller(self, reason: str) -> Batches:
        """Return the same jets in batches of half the size.

        Raises
        ------
        TrainingError
            When a batch is a single event already; the message gives the reason.
        """
        n_events = self.batch_size // 2 // self.jets_per_event
        if not n_events:
            raise TrainingError(f"memory does not suffice for one validation jet ({reason})")
        return Batches(self.jets, n_events, seed=self.seed, jets_per_event=self.jets_per_event)


class Portion(NamedTuple):
    """This process' jets of an update, in one part or more."""

    parts: list[Batch]
    sums: Tensor  # number of jets, number of particles, and the sums of `Whole`: float64, on the host

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Jets and particles of each part."""
        return [(len(part), len(part.features)) for part in self.parts]


class Feed:
    """Hand out the jets of each update on the device.

    For an accelerator the host prepares the next update meanwhile (which jets, the plan of their blocks,
    page-locked copies), and they travel on a stream of their own: nothing waits for the device.

    Parameters
    ----------
    batches : Batches or StreamingBatches
    device
    """

    def __init__(self, batches: Any, device: torch.device) -> None:
        self.batches, self.device = batches, device
        self._worker = None if device.type == "cpu" else ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._next: dict[tuple[int, int], Future[Portion]] = {}
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def take(self, step: int, n_parts: int) -> Portion:
        """Return this process' jets of update ``step``, cut into parts of whole events."""
        if self._worker is None:
            return self._moved(self._prepared(step, n_parts))
        asked = self._next.get((step, n_parts)) or self._worker.submit(self._prepared, step, n_parts)
        self._next = {(step + 1, n_parts): self._worker.submit(self._prepared, step + 1, n_parts)}
        if self._stream is None:
            return self._moved(asked.result())
        present = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self._stream):
            portion = self._moved(asked.result())
        present.wait_stream(self._stream)
        for part in portion.parts:
            for value in (*vars(part).values(), *vars(part.packing).values()):
                if isinstance(value, Tensor):
                    value.record_stream(present)
        return portion

    def close(self) -> None:
        """Forget what was prepared."""
        self._next = {}
        if self._worker is not None:
            self._worker.shutdown(cancel_futures=True)

    def _prepared(self, step: int, n_parts: int) -> Portion:
        batch = self.batches.batch(step)
        sums = torch.cat([torch.tensor([len(batch), len(batch.features)]), Whole.of(batch).to_vector()])
        parts = [batch]
        if n_parts > 1:
            events = torch.arange(len(batch)).view(-1, self.batches.jets_per_event)
            parts = [select(batch, rows.flatten()) for rows in events.chunk(n_parts)]
        if self._worker is not None:
            parts = [p.pin_memory() if self._stream else p.planned(one_block=True) for p in parts]
        return Portion(parts, sums)

    def _moved(self, portion: Portion) -> Portion:
        return portion._replace(parts=[part.to(self.device) for part in portion.parts])
