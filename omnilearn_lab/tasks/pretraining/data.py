"""The jets of a pretraining: in memory where they fit, else streamed from files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import psutil

from omnilearn_lab.catalog import catalog, load, open_store
from omnilearn_lab.catalog.published import CONVERTED
from omnilearn_lab.catalog.simulated import SimulatedSet
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets, read_jets
from omnilearn_lab.machine import locked, make_folder, write_text
from omnilearn_lab.models import Batch
from omnilearn_lab.settings import settings
from omnilearn_lab.training import Shard, StreamConfig, StreamingBatches, processes_here

Streaming = Literal["auto", "always", "never"]
"""When training jets are streamed from files: when they do not fit into memory, or always, or never."""

_BYTES_PER_JET = 16_000  # measured: 5.2 GB for 325,000 JetClass jets of 40 particles and their inputs
_SHARE_OF_MEMORY = 0.5


@settings
class JetSource:
    """Which jets to load.

    Parameters
    ----------
    dataset, source, seed
        As for `omnilearn_lab.catalog.load`.
    n_jets : mapping of split to int
    streaming
        One of `Streaming`, for the training jets.
    """

    dataset: str
    source: str
    seed: int
    n_jets: Mapping[str, int]
    streaming: Streaming = "auto"

    def load(self, split: str) -> Jets:
        """Load or simulate the jets of a split."""
        return load(self.dataset, split, source=self.source, max_jets=self.n_jets[split], seed=self.seed)

    def files(self) -> list[Path]:
        """Return ML-ready files with the training jets: converted published ones, or the simulated set."""
        store = open_store()
        converted = store.find(f"{self.dataset}/{CONVERTED}/train")
        if converted is not None and self.source != "simulated":
            return sorted(converted.glob("*.h5"))
        recipe = catalog()[self.dataset].recipe
        if recipe is None or self.source == "published":
            return []
        wanted = SimulatedSet(str(recipe), "quick", "train", self.n_jets["train"], self.seed)
        made = store.find(wanted.file_name)
        return [made] if made is not None else []


@dataclass(frozen=True, eq=False)
class PretrainingData:
    """Training jets, or the files that hold them, and jets for validation and for the final measurement.

    Parameters
    ----------
    train : Jets or sequence of Path
    validation, test : Jets
    """

    train: Jets | Sequence[Path]
    validation: Jets
    test: Jets

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.validation.class_names

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the training jets come from."""
        first = self.train if isinstance(self.train, Jets) else read_jets(self.train[0], 0, 1)
        return first.provenance

    def inputs(
        self, transform: Callable[[Jets], Batch], batch_size: int, *, seed: int, shard: Shard
    ) -> Batch | StreamingBatches:
        """Return the training jets as a trainer takes them.

        Parameters
        ----------
        transform
            From jets to network inputs.
        batch_size
            Jets of an update, over all processes.
        seed
            Fixes the order of streamed jets.
        shard : Shard
            This process' share; streamed files are read by one process each, block by block.
        """
        if isinstance(self.train, Jets):
            return transform(self.train)
        own = shard.part(batch_size)
        config = StreamConfig(seed=seed, shard=shard)
        return StreamingBatches(self.train, own.stop - own.start, config, transform=transform)


def settled(source: JetSource, directory: str | os.PathLike[str]) -> JetSource:
    """Return the source with "auto" decided once for a run, so that all its processes and starts agree.

    Free memory differs between processes and from day to day, and streamed jets come in another order. The
    first process to ask leaves its answer in ``streaming.txt`` of the run directory.

    Raises
    ------
    ConfigError
        As `load_pretraining_data`; then nothing is decided.
    """
    if source.streaming != "auto":
        return source
    path = Path(directory) / "streaming.txt"
    make_folder(path.parent)
    with locked(path):
        if not path.is_file():
            write_text(path, _way(source))
    return replace(source, streaming=path.read_text())


def load_pretraining_data(source: JetSource) -> PretrainingData:
    """Load validation and test jets, and the training jets or the names of their files.

    Raises
    ------
    ConfigError
        When the training jets fit neither into memory nor lie in files that can be streamed.
    """
    way = _way(source) if source.streaming == "auto" else source.streaming
    if way == "never":
        return PretrainingData(source.load("train"), source.load("val"), source.load("test"))
    if not source.files() and fits_in_memory(source.n_jets["train"]):
        source.load("train")  # simulates and leaves a file
    return PretrainingData(_files(source), source.load("val"), source.load("test"))


def _way(source: JetSource) -> str:
    if fits_in_memory(source.n_jets["train"]):
        return "never"
    _files(source)
    return "always"


def _files(source: JetSource) -> list[Path]:
    files = source.files()
    if not files:
        raise ConfigError(
            f"{source.n_jets['train']:,} jets of '{source.dataset}' do not fit into memory and no ML-ready "
            f"files hold them; convert the published files (omnilearn-lab data convert {source.dataset}), or "
            "use fewer jets"
        )
    return files


def fits_in_memory(n_jets: int, *, available: int | None = None) -> bool:
    """Whether the inputs of so many jets leave half of the memory free, in every process of this machine.

    Parameters
    ----------
    n_jets
    available
        Bytes; what the machine has by default.

    Examples
    --------
    >>> fits_in_memory(50_000, available=2_000_000_000), fits_in_memory(10**6, available=2_000_000_000)
    (True, False)
    """
    bytes_here = psutil.virtual_memory().available if available is None else available
    return n_jets * _BYTES_PER_JET * processes_here(os.environ) < _SHARE_OF_MEMORY * bytes_here
