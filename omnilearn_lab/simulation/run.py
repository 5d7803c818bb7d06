"""Simulate a dataset: in numbered pieces, in parallel, reproducibly, resumable."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn_lab.errors import DataFileError, OmniLearnLabError, SimulationError, translated
from omnilearn_lab.jets import Jets, PairedJets
from omnilearn_lab.machine import as_finished, locked, make_folder, read_arrays, write_arrays
from omnilearn_lab.simulation.events import EventSource
from omnilearn_lab.simulation.recipes import Recipe, recipe
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
    write_arrays(path, arrays | {"checksum": np.array(_checksum(arrays))})


def read_chunk(path: Path, recipe: Recipe) -> Selected | None:
    """Read jets written by `write_chunk`; None when the file is damaged in any way.

    Returns
    -------
    dict of level name to Jets, or None
    """
    damaged = translated(DataFileError, f"'{path}' is damaged", "it is made again")
    with contextlib.suppress(OmniLearnLabError), damaged:
        arrays = read_arrays(path)
        if str(arrays.pop("checksum")) == _checksum(arrays):
            return {level: _from_arrays(arrays, level, recipe.class_names) for level in recipe.levels}
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


_CHUNK = 1000  # jets (or pairs) per piece
_WEIGHT_BINS, _JETS_PER_BIN = 40, 25  # of the weights that flatten pt spectra


def simulate(
    what: Recipe | str,
    n_jets: int,
    *,
    seed: int = 1,
    workers: int | Any | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
) -> Jets:
    """Simulate the jets of a recipe.

    The jets depend on recipe, number and seed alone, not on the workers. Asking for more jets with
    the same seed gives the same jets and further ones, in another order. Different seeds give
    independent jets.

    Parameters
    ----------
    what : Recipe or str
        A recipe, or the name of one (profile "quick").
    n_jets : int
        Shared out to the samples by their fractions.
    seed : int
        Not negative.
    workers : int or executor, optional
        Number of processes; all usable cores by default, 1 to stay in this process. Anything with
        ``submit(function, argument)`` that returns futures also works, such as a Dask client.
    cache : path, optional
        Directory in which finished pieces are kept: an interrupted simulation goes on where it was.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Jets
        In random order (pairs of one event stay together), with provenance.

    Raises
    ------
    SimulationError
        For an unknown recipe, an impossible number, or a recipe whose events do not pass its selection.
    DataFileError
        When the cache cannot be written.

    Examples
    --------
    >>> jets = simulate("h1_dis", 4, workers=1, progress=False)
    >>> len(jets), jets.class_names
    (4, ('djangoh_like', 'rapgap_like'))
    """
    chosen = recipe(what) if isinstance(what, str) else what
    return _simulate_levels(chosen, n_jets, seed, workers=workers, cache=cache, progress=progress)[
        chosen.levels[0]
    ]


def simulate_pairs(
    what: Recipe | str,
    n_jets: int,
    *,
    seed: int = 1,
    workers: int | Any | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
) -> PairedJets:
    """Simulate jets at particle and at detector level, event by event; parameters as in `simulate`.

    Raises
    ------
    SimulationError
        Also for a recipe that has one level only.
    """
    chosen = recipe(what) if isinstance(what, str) else what
    if set(chosen.levels) != {"truth", "detector"}:
        raise SimulationError(f"recipe '{chosen.name}' has one level only; use simulate() for it")
    return PairedJets(
        **_simulate_levels(chosen, n_jets, seed, workers=workers, cache=cache, progress=progress)
    )


def _simulate_levels(
    chosen: Recipe, n_jets: int, seed: int, *, workers: Any, cache: str | Path | None, progress: bool
) -> Selected:
    chunks = _plan(chosen, n_jets, seed)
    with cache_directory(chosen, seed, cache) as directory:
        parts = _collect(chunks, directory, workers, progress)
    joined = {level: Jets.concatenate([part[level] for part in parts]) for level in chosen.levels}
    order = _order(n_jets, chosen.jets_per_unit, seed)
    source = _provenance(chosen, n_jets, seed) | {"n_events": sum(map(events_used, parts))}
    if chosen.weighting == "equal_pt":
        joined = {level: jets.with_jet(weight=_equal_pt_weight(jets)) for level, jets in joined.items()}
    return {
        level: replace(jets[order], provenance=source | {"level": level}) for level, jets in joined.items()
    }


def _plan(chosen: Recipe, n_jets: int, seed: int) -> list[Chunk]:
    """Cut the work into pieces, sample by sample."""
    if n_jets < 1 or n_jets % chosen.jets_per_unit:
        raise SimulationError(
            f"n_jets is {n_jets}; recipe '{chosen.name}' needs a positive multiple of {chosen.jets_per_unit}"
        )
    if seed < 0:
        raise SimulationError(f"seed is {seed}; it must not be negative")
    units = _share(n_jets // chosen.jets_per_unit, [sample.fraction for sample in chosen.samples])
    return [
        Chunk(chosen, sample, number, min(_CHUNK, total - number * _CHUNK), seed)
        for sample, total in enumerate(units)
        for number in range(-(-total // _CHUNK))
    ]


def _share(total: int, fractions: Sequence[float]) -> list[int]:
    """Split a number by fractions; what is left over goes to the largest remainders."""
    exact = total * np.array(fractions, dtype=float) / np.sum(fractions)
    shares = np.floor(exact).astype(int)
    shares[np.argsort(shares - exact, kind="stable")[: total - shares.sum()]] += 1
    return shares.tolist()


def _collect(chunks: list[Chunk], directory: Path | None, workers: Any, progress: bool) -> list[Selected]:
    """Return the pieces in order: from the cache where they are there, else made now."""
    from tqdm.auto import tqdm

    if isinstance(workers, int) and workers < 1:
        raise SimulationError(f"workers is {workers}; at least 1 is needed")
    found = {i: part for i, chunk in enumerate(chunks) if (part := cached(chunk, directory)) is not None}
    missing = [i for i in range(len(chunks)) if i not in found]
    if missing and directory is not None and is_read_only(directory):
        raise DataFileError(
            f"{len(missing)} of {len(chunks)} pieces are not in the cache '{directory}', which you may read "
            "but not write; choose another cache directory, or cache=None"
        )
    total = sum(chunk.n_jets for chunk in chunks)
    title = f"simulating {chunks[0].recipe.name}"
    with tqdm(total=total, desc=title, unit="jet", disable=not progress, mininterval=0.5) as bar:
        bar.update(sum(chunks[i].n_jets for i in found))
        for i, part in as_finished(make_chunk, {i: (chunks[i],) for i in missing}, workers):
            if directory is not None:
                write_chunk(directory / chunks[i].file_name, part)
            found[i] = part
            bar.update(chunks[i].n_jets)
    return [found[i] for i in range(len(chunks))]


def _order(n_jets: int, per_unit: int, seed: int) -> np.ndarray:
    """Random order of the jets that keeps units together."""
    units = np.random.default_rng(seed).permutation(n_jets // per_unit)
    return (units[:, None] * per_unit + np.arange(per_unit)).ravel()


def _equal_pt_weight(jets: Jets) -> np.ndarray:
    """Weights that make the spectrum of ln pt flat in every class, with mean 1 per class.

    Bins hold equal numbers of jets of the class, so that no weight rests on a handful of them.
    """
    log_pt = np.log(jets.jet["pt"].astype(np.float64))
    weight = np.ones(len(jets))
    for label in np.unique(jets.label):
        mine = np.flatnonzero(jets.label == label)
        n_bins = max(1, min(_WEIGHT_BINS, len(mine) // _JETS_PER_BIN))
        edges = np.quantile(log_pt[mine], np.linspace(0, 1, n_bins + 1))
        width = np.diff(edges)[np.clip(np.searchsorted(edges, log_pt[mine]) - 1, 0, n_bins - 1)]
        weight[mine] = width / width.mean() if width.mean() > 0 else 1.0
    return weight


def _provenance(chosen: Recipe, n_jets: int, seed: int) -> dict[str, Any]:
    return {
        "source": "simulated",
        "recipe": chosen.name,
        "title": chosen.title,
        "profile": chosen.profile,
        "version": chosen.version,
        "digest": chosen.digest(),
        "seed": seed,
        "n_jets": n_jets,
        "detector": chosen.detector or "none",
        "jet_radius": chosen.window.radius,
        "pythia": importlib.metadata.version("pythia8mc"),
        "fastjet": importlib.metadata.version("fastjet"),
    }
