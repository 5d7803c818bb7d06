"""A simulation in numbered pieces, each with a seed and, in the cache, a file of its own."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnilearn_lab.errors import DataFileError, OmniLearnLabError, SimulationError, translated
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import atomic_path, locked, make_folder
from omnilearn_lab.simulation.events import EventSource
from omnilearn_lab.simulation.recipes import Recipe
from omnilearn_lab.simulation.selection import Selected
from omnilearn_lab.simulation.selectors import SELECTORS

_log = logging.getLogger(__name__)

_BATCH = 250  # events; part of what fixes the jets
_MAX_EMPTY = 40  # batches without a single jet before giving up
_MAX_CHUNKS = 100_000  # per sample, for event numbers
_EVENTS_PER_CHUNK = 10_000_000
_MAX_SEED = 900_000_000  # of Pythia


@dataclass(frozen=True)
class Chunk:
    """One piece of work.

    Parameters
    ----------
    recipe : Recipe
    sample, number : int
        Which sample, and the how-manieth piece of it.
    n_units : int
        Jets, or pairs of jets where the recipe makes pairs. A smaller number gives the first of the same.
    seed : int
        Of the whole simulation.
    """

    recipe: Recipe
    sample: int
    number: int
    n_units: int
    seed: int

    @property
    def file_name(self) -> str:
        """Name of this piece in the cache."""
        return f"{self.recipe.samples[self.sample].name}-{self.number:05d}.npz"

    @property
    def n_jets(self) -> int:
        """Jets per level."""
        return self.n_units * self.recipe.jets_per_unit


def make_chunk(chunk: Chunk) -> Selected:
    """Simulate one piece.

    Returns
    -------
    dict of level name to Jets
        All of ``chunk.n_jets`` jets.

    Raises
    ------
    SimulationError
        When the selection lets (almost) nothing through.
    """
    sample = chunk.recipe.samples[chunk.sample]
    streams = [_stream(chunk, variant) for variant in range(len(sample.variants))]
    parts, n_found, n_empty = [], 0, 0
    while n_found < chunk.n_jets:
        part = _alternate([next(stream) for stream in streams], chunk.recipe.jets_per_unit)
        n_empty = 0 if part else n_empty + 1
        if n_empty > _MAX_EMPTY:
            raise SimulationError(
                f"recipe '{chunk.recipe.name}', sample '{sample.name}': no jet in "
                f"{n_empty * _BATCH} events; check its pt window and hard-process range"
            )
        if part:
            parts.append(part)
            n_found += len(part[chunk.recipe.levels[0]])
    return {
        level: Jets.concatenate([p[level] for p in parts])[: chunk.n_jets] for level in chunk.recipe.levels
    }


def _stream(chunk: Chunk, variant: int) -> Iterator[Selected]:
    """Yield the jets of one variant, batch after batch; event numbers are unique in the whole simulation."""
    recipe, sample = chunk.recipe, chunk.recipe.samples[chunk.sample]
    root = np.random.SeedSequence(chunk.seed, spawn_key=(chunk.sample, chunk.number, variant))
    rng = np.random.default_rng(root.spawn(1)[0])
    settings = (*recipe.settings, *recipe.active.settings, *sample.settings, *sample.variants[variant])
    source = EventSource(settings, int(root.generate_state(1, np.uint64)[0] % _MAX_SEED) + 1)
    first = (chunk.sample * _MAX_CHUNKS + chunk.number) * _EVENTS_PER_CHUNK + variant * _BATCH
    while True:
        found = SELECTORS[recipe.selector](recipe, sample, source.batch(_BATCH), rng)
        yield {level: jets.with_jet(event=jets.jet["event"] + first) for level, jets in found.items()}
        first += _BATCH * len(sample.variants)


def _alternate(found: list[Selected], per_unit: int) -> Selected:
    """Join the variants so that their jets take turns."""
    found = [f for f in found if f]
    if len(found) < 2:
        return found[0] if found else {}
    joined = {level: Jets.concatenate([f[level] for f in found]) for level in found[0]}
    sizes = [len(next(iter(f.values()))) for f in found]
    turn = np.concatenate([np.arange(size) // per_unit for size in sizes])
    variant = np.repeat(np.arange(len(found)), sizes)
    order = np.lexsort((variant, turn))
    return {level: jets[order] for level, jets in joined.items()}


def events_used(parts: Selected) -> int:
    """Return how many events had to be generated for these jets, up to the last one that gave a jet."""
    event = next(iter(parts.values())).jet["event"]
    return int(event.max() % _EVENTS_PER_CHUNK) + 1


# ---- files ---------------------------------------------------------------------------------------


def write_chunk(path: Path, parts: Selected) -> None:
    """Write jets to a file that appears complete or not at all, with a checksum inside.

    Raises
    ------
    DataFileError
        When the file cannot be written (disk full, no permission).
    """
    arrays = _to_arrays(parts)
    buffer = io.BytesIO()
    np.savez(buffer, checksum=np.array(_checksum(arrays)), **arrays)
    with atomic_path(path) as partial:
        partial.write_bytes(buffer.getbuffer())


def read_chunk(path: Path, recipe: Recipe) -> Selected | None:
    """Read jets written by `write_chunk`; None when the file is damaged in any way.

    Returns
    -------
    dict of level name to Jets, or None
    """
    try:
        with translated(DataFileError, f"'{path}' is damaged", "it is made again"):
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if str(arrays.pop("checksum")) != _checksum(arrays):
                return None
            return {level: _from_arrays(arrays, level, recipe.class_names) for level in recipe.levels}
    except OmniLearnLabError:
        return None


def _to_arrays(parts: Selected) -> dict[str, np.ndarray]:
    arrays = {}
    for level, jets in parts.items():
        arrays[f"{level}/offsets"] = jets.offsets
        arrays |= {f"{level}/particles/{name}": values for name, values in jets.particles.items()}
        arrays |= {f"{level}/jet/{name}": values for name, values in jets.jet.items()}
    return arrays


def _from_arrays(arrays: dict[str, np.ndarray], level: str, class_names: tuple[str, ...]) -> Jets:
    def columns(kind: str) -> dict[str, np.ndarray]:
        prefix = f"{level}/{kind}/"
        return {
            name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)
        }

    return Jets(columns("particles"), arrays[f"{level}/offsets"], columns("jet"), class_names)


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape} ".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def cache_directory(chosen: Recipe, seed: int, cache: str | Path | None) -> Iterator[Path | None]:
    """Yield the directory of this simulation, or None without a cache.

    One that may be written is held by this process alone; one that may only be read serves its pieces.
    """
    if cache is None:
        yield None
        return
    pythia = importlib.metadata.version("pythia8mc")
    directory = Path(cache) / f"{chosen.name}-{chosen.profile}-{chosen.digest()}-pythia{pythia}-seed{seed}"
    if is_read_only(directory):
        yield directory
        return
    make_folder(directory)
    with locked(directory / "simulation"):
        yield directory


def is_read_only(directory: Path) -> bool:
    """Say whether this user may read a folder that is there, but not write into it."""
    return directory.is_dir() and not os.access(directory, os.W_OK | os.X_OK)


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, NotImplementedError):
        return str(path.stat().st_uid)


def cached(chunk: Chunk, directory: Path | None) -> Selected | None:
    """Return a piece from the cache when it is there, sound, and large enough."""
    if directory is None or not (path := directory / chunk.file_name).exists():
        return None
    if not os.access(path, os.R_OK):
        raise DataFileError(
            f"you may not read '{path}' (owner {_owner(path)}); ask its owner to let you, "
            "or choose another cache directory, or cache=None"
        )
    parts = read_chunk(path, chunk.recipe)
    if parts is None:
        _log.warning("%s is damaged; simulating it again", path)
        return None
    if len(parts[chunk.recipe.levels[0]]) < chunk.n_jets:
        return None
    return {level: jets[: chunk.n_jets] for level, jets in parts.items()}
