"""Batches from ML-ready HDF5 files of any size: shuffled through a bounded window, sharded, resumable.

An epoch goes through all jets once. Files are cut into blocks of neighbouring rows; the blocks are put in
a random order, dealt out to the ranks, and read a window of blocks at a time; within a window all jets are
shuffled. So disk reads stay sequential, memory holds two windows, and every batch is a function of
(seed, step) alone: a training resumes in the middle of an epoch by asking for its next step.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
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
from omnilearn_lab.training.batches import fingerprint, select
from omnilearn_lab.training.distributed import Shard

__all__ = ["StreamConfig", "StreamingBatches"]


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
        self._plans: dict[int, list[list[_Block]]] = {}
        self._windows: dict[tuple[int, int], Future[_Window]] = {}
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="jets")
        shard = self.config.shard
        smallest = sum(b.stop - b.start for b in self._blocks) // shard.n_ranks
        if smallest < batch_size:
            raise TrainingError(
                f"{len(self.paths)} files hold {smallest} jets per rank; one batch needs {batch_size}"
            )
        if not all(self._n_batches(self._plan(0, rank)) for rank in range(shard.n_ranks)):
            raise TrainingError(
                f"{len(self._blocks)} blocks of {self.config.block_rows} jets leave one of {shard.n_ranks} "
                "processes without a batch; set block_rows lower, or start fewer processes"
            )

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits of names and lengths of all files, and of their first jets."""
        lengths = {self.paths[block.file].name: block.stop for block in self._blocks}
        first = self._transform(read_jets(self.paths[0], 0, self._blocks[0].stop))
        return hashlib.sha256(f"{lengths} {fingerprint(first)}".encode()).hexdigest()[:16]

    @property
    def steps_per_epoch(self) -> int:
        """Complete batches per epoch, the same on every rank."""
        return min(self._n_batches(self._plan(0, rank)) for rank in range(self.config.shard.n_ranks))

    def batch(self, step: int) -> Batch:
        """Return the jets of update ``step`` (from 0)."""
        window, rows = self._locate(step)
        return select(window.jets, torch.from_numpy(rows))

    def rows(self, step: int) -> np.ndarray:
        """Return (file number, row) of the jets of update ``step``, shape (batch_size, 2)."""
        window, rows = self._locate(step)
        return window.rows[rows]

    def _locate(self, step: int) -> tuple[_Window, np.ndarray]:
        epoch, position = divmod(step, self.steps_per_epoch)
        n_batches = [_n_jets(w) // self.batch_size for w in self._plan(epoch, self.config.shard.rank)]
        ends = np.cumsum(n_batches)
        number = int(np.searchsorted(ends, position, side="right"))
        position -= int(ends[number]) - n_batches[number]
        window = self._window(epoch, number)
        return window, window.order[position * self.batch_size : (position + 1) * self.batch_size]

    def _plan(self, epoch: int, rank: int) -> list[list[_Block]]:
        """Return the windows of an epoch on one rank; the last, short window joins the one before."""
        if epoch not in self._plans:
            self._plans = {epoch: [self._deal(epoch, r) for r in range(self.config.shard.n_ranks)]}
        return self._plans[epoch][rank]

    def _deal(self, epoch: int, rank: int) -> list[list[_Block]]:
        order = np.random.default_rng([self.config.seed, epoch]).permutation(len(self._blocks))
        mine = [self._blocks[i] for i in order[rank :: self.config.shard.n_ranks]]
        size = self.config.window_blocks
        windows = [mine[i : i + size] for i in range(0, len(mine), size)]
        if len(windows) > 1 and _n_jets(windows[-1]) < self.batch_size:
            windows[-2:] = [windows[-2] + windows[-1]]
        return windows

    def _n_batches(self, plan: list[list[_Block]]) -> int:
        return sum(_n_jets(blocks) // self.batch_size for blocks in plan)

    def _window(self, epoch: int, number: int) -> _Window:
        """Return a window, and start reading the one after it."""
        plan = self._plan(epoch, self.config.shard.rank)
        wanted = {(epoch, n) for n in (number, number + 1) if n < len(plan)}
        self._windows = {key: window for key, window in self._windows.items() if key in wanted}
        for key in sorted(wanted - self._windows.keys()):
            self._windows[key] = self._reader.submit(self._read, plan[key[1]], key)
        return self._windows[epoch, number].result()

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
