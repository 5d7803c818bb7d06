"""Batches of packed jets in an order fixed by the seed, from memory or files; a training can resume anywhere.

A trainer asks for ``batch(step)``, this process' jets of an update: `Batches` has all jets in memory,
`StreamingBatches` reads files.

An epoch goes through all jets once. Files are cut into blocks of neighbouring rows; the blocks are laid end
to end in a random order, each rank gets a stretch of equal length and reads a window of blocks at a time;
within a window all jets are shuffled. So disk reads stay sequential, memory holds two windows, and every
batch is a function of (seed, step) alone: a training resumes in the middle of an epoch by asking for its next
step. With another number of ranks the jets come in another order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import h5py
import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from omnilearn_lab.errors import DataFileError, TrainingError, translated
from omnilearn_lab.features import pet_batch
from omnilearn_lab.jets import Jets, read_jets
from omnilearn_lab.machine import StrPath
from omnilearn_lab.models import Batch
from omnilearn_lab.models.batch import PER_PARTICLE
from omnilearn_lab.settings import settings
from omnilearn_lab.training.distributed import Shard, this_shard
from omnilearn_lab.training.losses import Whole

Fingerprint = dict[str, list[float]]
"""What `project` says of each column."""

_CHUNK, _GOLDEN = 1 << 20, (math.sqrt(5) - 1) / 2


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
    chosen = {n: v[take if n in PER_PARTICLE else rows] for n, v in jets.tensors().items() if n != "offsets"}
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
    columns = jets.tensors() | {"counts": jets.counts}
    return {name: project(values) for name, values in columns.items() if name != "offsets"}


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


_HEAD = 64  # jets of a file by which it is known again


@settings
class StreamConfig:
    """How files are read.

    Parameters
    ----------
    block_rows
        Neighbouring jets read at once.
    window_blocks
        Blocks that are shuffled together; two windows of jets are in memory at a time.
    seed
        Fixes the order of jets.
    shard : Shard

    Raises
    ------
    ConfigError
        For sizes below one.
    """

    block_rows: Annotated[int, Field(ge=1)] = 2048
    window_blocks: Annotated[int, Field(ge=1)] = 16
    seed: int = 0
    shard: Shard = Shard()


class _Block(NamedTuple):
    file: int
    start: int
    stop: int


class _Plan(NamedTuple):
    windows: list[list[_Block]]
    ends: np.ndarray  # (W,): jets up to the end of each window


class _Window(NamedTuple):
    jets: Batch
    rows: np.ndarray  # (M, 2): file and row of every jet
    order: np.ndarray  # (M,): the shuffled jets


class StreamingBatches:
    """Batches over ML-ready HDF5 files, with the interface of `omnilearn_lab.training.Batches`.

    Parameters
    ----------
    paths
        Files in the ML-ready layout; they are read in sorted order of their names.
    batch_size
        Jets per batch *of this process*.
    config : StreamConfig
    transform
        From jets to network inputs.

    Raises
    ------
    DataFileError
        For a missing or damaged file.
    TrainingError
        When there are fewer jets than one batch.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from omnilearn_lab.jets import Jets, write_jets
    >>> jet = {"pt": np.ones(10), "eta": np.zeros(10), "phi": np.zeros(10), "mass": np.arange(10.0)}
    >>> ones = np.ones(10)
    >>> cloud = {"deta": 0 * ones, "dphi": 0 * ones, "pt": 2 * ones, "energy": 2 * ones}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_jets(Jets.build(cloud, np.arange(11), jet), folder + "/jets.h5")
    ...     stream = StreamingBatches([path], 4, StreamConfig(seed=1))
    ...     stream.steps_per_epoch, stream.rows(0).shape, len(stream.batch(0))
    (2, (4, 2), 4)
    """

    jets_per_event = 1

    def __init__(
        self,
        paths: Sequence[StrPath],
        batch_size: int,
        config: StreamConfig | None = None,
        *,
        transform: Callable[[Jets], Batch] = pet_batch,
    ) -> None:
        self.paths = sorted(Path(p) for p in paths)
        self.batch_size = batch_size
        self.config = config or StreamConfig()
        self._transform = transform
        self._blocks = _cut(self.paths, self.config.block_rows)
        self._plans: dict[int, _Plan] = {}
        self._windows: dict[tuple[int, int], Future[_Window]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="jets")
        self._n_own = self.n_jets // self.config.shard.n_ranks
        if self._n_own < batch_size:
            raise TrainingError(
                f"{len(self.paths)} files hold {self._n_own} jets per rank; one batch needs {batch_size}"
            )

    @property
    def n_jets(self) -> int:
        """Jets of all files."""
        return _n_jets(self._blocks)

    @property
    def jets_per_update(self) -> int:
        """Jets that all processes together take at once."""
        return self.batch_size * self.config.shard.n_ranks

    def fingerprint(self) -> Fingerprint:
        """Return what tells these files from others: how many jets each holds, and its first ones."""
        lengths = [0] * len(self.paths)
        for block in self._blocks:
            lengths[block.file] = block.stop
        heads = (read_jets(path, 0, _HEAD) for path, n in zip(self.paths, lengths, strict=True) if n)
        first = Batch.stack([self._transform(jets) for jets in heads])
        return fingerprint(first) | {"files": project(torch.tensor(lengths))}

    @property
    def steps_per_epoch(self) -> int:
        """Complete batches per epoch, the same on every rank and in every epoch."""
        return self._n_own // self.batch_size

    def batch(self, step: int) -> Batch:
        """Return the jets of update ``step`` (from 0)."""
        parts = [select(window.jets, torch.from_numpy(rows)) for window, rows in self._locate(step)]
        return parts[0] if len(parts) == 1 else Batch.stack(parts)

    def rows(self, step: int) -> np.ndarray:
        """Return (file number, row) of the jets of update ``step``, shape (batch_size, 2)."""
        return np.concatenate([window.rows[rows] for window, rows in self._locate(step)])

    def _locate(self, step: int) -> list[tuple[_Window, np.ndarray]]:
        """Return the windows that hold a batch, mostly one, and which of their jets it takes."""
        epoch, position = divmod(step, self.steps_per_epoch)
        start = position * self.batch_size
        stop = start + self.batch_size
        ends = self._plan(epoch).ends
        first, last = np.searchsorted(ends, [start, stop - 1], side="right")
        windows = self._fetch(epoch, range(first, last + 1))
        begins = [end - len(window.order) for end, window in zip(ends[first:], windows, strict=False)]
        return [
            (window, window.order[max(start - begin, 0) : stop - begin])
            for window, begin in zip(windows, begins, strict=True)
        ]

    def _plan(self, epoch: int) -> _Plan:
        """Return this rank's windows of an epoch."""
        if epoch not in self._plans:
            order = np.random.default_rng([self.config.seed, epoch]).permutation(len(self._blocks))
            start = self.config.shard.rank * self._n_own
            own = list(_stretch((self._blocks[i] for i in order), start, start + self._n_own))
            size = self.config.window_blocks
            windows = [own[i : i + size] for i in range(0, len(own), size)]
            self._plans = {epoch: _Plan(windows, np.cumsum([_n_jets(blocks) for blocks in windows]))}
        return self._plans[epoch]

    def _fetch(self, epoch: int, numbers: range) -> list[_Window]:
        """Return windows of an epoch; where it is one, the next is read meanwhile."""
        plan = self._plan(epoch).windows
        ahead = numbers.stop if len(numbers) == 1 else numbers.start
        wanted = {(epoch, n) for n in (*numbers, ahead) if n < len(plan)}
        self._windows = {key: window for key, window in self._windows.items() if key in wanted}
        for key in sorted(wanted - self._windows.keys()):
            self._windows[key] = self._reader.submit(self._read, plan[key[1]], key)
        return [self._windows[epoch, n].result() for n in numbers]

    def _read(self, blocks: list[_Block], key: tuple[int, int]) -> _Window:
        parts, rows = [], []
        for block in blocks:
            jets = read_jets(self.paths[block.file], block.start, block.stop)
            if len(jets) != block.stop - block.start:
                raise DataFileError(
                    f"'{self.paths[block.file]}' has jets without particles between rows {block.start} and "
                    f"{block.stop}; convert it with omnilearn-lab data convert, which drops them"
                )
            parts.append(self._transform(jets))
            rows.append(
                np.stack([np.full(len(jets), block.file), np.arange(block.start, block.stop)], axis=1)
            )
        shuffle = np.random.default_rng([self.config.seed, *key, self.config.shard.rank])
        jets = Batch.stack(parts)
        return _Window(jets, np.concatenate(rows), shuffle.permutation(len(jets)))


def _cut(paths: Sequence[Path], block_rows: int) -> list[_Block]:
    blocks = []
    for number, path in enumerate(paths):
        problem = f"'{path}' is not a readable ML-ready HDF5 file"
        with translated(DataFileError, problem, "delete it and make it again"), h5py.File(path, "r") as file:
            n_rows = len(file["pid"])
        blocks += [_Block(number, i, min(i + block_rows, n_rows)) for i in range(0, n_rows, block_rows)]
    return blocks


def _n_jets(blocks: Sequence[_Block]) -> int:
    return sum(block.stop - block.start for block in blocks)


def _stretch(blocks: Iterable[_Block], start: int, stop: int) -> Iterator[_Block]:
    """Yield the blocks, whole or in part, that hold the jets [start, stop) of blocks laid end to end."""
    for file, first, last in blocks:
        low, high = first + max(start, 0), min(first + stop, last)
        if low < high:
            yield _Block(file, low, high)
        start, stop = start - (last - first), stop - (last - first)
