"""Batches from ML-ready HDF5 files of any size: shuffled through a bounded window, sharded, resumable.

An epoch goes through all jets once. Files are cut into blocks of neighbouring rows; the blocks are laid end
to end in a random order, each rank gets a stretch of equal length and reads a window of blocks at a time;
within a window all jets are shuffled. So disk reads stay sequential, memory holds two windows, and every
batch is a function of (seed, step) alone: a training resumes in the middle of an epoch by asking for its next
step. With another number of ranks the jets come in another order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch

from omnilearn_lab.errors import ConfigError, DataFileError, TrainingError
from omnilearn_lab.features import pet_batch
from omnilearn_lab.jets import Jets, read_jets
from omnilearn_lab.models import Batch
from omnilearn_lab.training.batches import Fingerprint, fingerprint, project, select
from omnilearn_lab.training.distributed import Shard

_HEAD = 64  # jets of a file by which it is known again


@dataclass(frozen=True)
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

    block_rows: int = 2048
    window_blocks: int = 16
    seed: int = 0
    shard: Shard = Shard()

    def __post_init__(self) -> None:
        if self.block_rows < 1 or self.window_blocks < 1:
            raise ConfigError(
                f"block_rows is {self.block_rows}, window_blocks {self.window_blocks}; at least 1 is needed"
            )


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
        paths: Sequence[str | os.PathLike[str]],
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
        try:
            with h5py.File(path, "r") as file:
                n_rows = len(file["pid"])
        except (OSError, KeyError) as error:
            raise DataFileError(
                f"'{path}' is not a readable ML-ready HDF5 file ({error}); delete it and make it again"
            ) from error
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
