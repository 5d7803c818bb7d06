"""Finished pieces of simulations on disk, one directory per recipe and seed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.machine import locked, make_folder
from omnilearn_lab.simulation.chunks import Chunk, read_chunk
from omnilearn_lab.simulation.recipes import Recipe
from omnilearn_lab.simulation.selection import Selected

__all__ = ["cache_directory", "cached"]

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def cache_directory(chosen: Recipe, seed: int, cache: str | Path | None) -> Iterator[Path | None]:
    """Yield the directory of this simulation, held by this process alone, or None without a cache."""
    if cache is None:
        yield None
        return
    pythia = importlib.metadata.version("pythia8mc")
    directory = Path(cache) / f"{chosen.name}-{chosen.profile}-{chosen.digest()}-pythia{pythia}-seed{seed}"
    _check_writable(directory)
    with locked(directory / "simulation"):
        yield directory


def _check_writable(directory: Path) -> None:
    try:
        make_folder(directory)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise DataFileError(
            f"cannot write into the cache {directory}: {error}; choose another directory or cache=None"
        ) from error


def cached(chunk: Chunk, directory: Path | None) -> Selected | None:
    """Return a piece from the cache when it is there, sound, and large enough."""
    if directory is None or not (path := directory / chunk.file_name).exists():
        return None
    parts = read_chunk(path, chunk.recipe)
    if parts is None:
        _log.warning("%s is damaged; simulating it again", path)
        return None
    if len(parts[chunk.recipe.levels[0]]) < chunk.n_jets:
        return None
    return {level: jets[: chunk.n_jets] for level, jets in parts.items()}
