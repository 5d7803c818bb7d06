"""Simulated stand-ins, kept on disk so that the same question is simulated only once."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from omnilearn_lab import __version__
from omnilearn_lab.catalog.checks import checksum
from omnilearn_lab.catalog.schema import SplitName
from omnilearn_lab.catalog.store import Store
from omnilearn_lab.errors import DataFileError, OmniLearnLabError, translated
from omnilearn_lab.jets import Jets, read_jets, write_jets
from omnilearn_lab.machine import locked, make_folder, write_text
from omnilearn_lab.settings import settings, to_mapping

log = logging.getLogger(__name__)
_SPLITS = ("train", "val", "test")


@settings
class SimulatedSet:
    """What identifies a simulated data set.

    Attributes
    ----------
    recipe
        Name of a simulation recipe.
    profile
        ``quick`` or ``production``.
    split
        ``train``, ``val`` or ``test``; splits have different seeds.
    n_jets
        Number of jets.
    seed
        The seed that the user gave.
    level
        ``truth`` or ``detector``, for sets that hold the same jets at both levels.
    version
        Version of this package.
    """

    recipe: str
    profile: str
    split: SplitName
    n_jets: Annotated[int, Field(gt=0, le=10**9)]
    seed: Annotated[int, Field(ge=0)]
    level: str = ""
    version: str = __version__

    @property
    def file_name(self) -> str:
        """Path below the data folder; it changes with the settings of the recipe."""
        from omnilearn_lab import simulation

        digest = simulation.recipe(self.recipe, profile=self.profile).digest()
        level = f"-{self.level}" if self.level else ""
        name = f"{self.split}-n{self.n_jets}-seed{self.seed}{level}-v{self.version}.h5"
        return f"simulated/{self.recipe}-{digest}/{name}"


def split_seed(seed: int, split: str) -> int:
    """Return the simulation's seed for one split: splits are independent by construction.

    Examples
    --------
    >>> len({split_seed(1, split) for split in ("train", "val", "test")})
    3
    """
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(_SPLITS.index(split),))
    return int(sequence.generate_state(1)[0] >> 1)


def load_simulated(wanted: SimulatedSet, store: Store, arguments: Mapping[str, Any] | None = None) -> Jets:
    """Return a simulated set from disk, or simulate and keep it.

    Two processes that ask for the same set at once simulate it once: the second one waits.
    A damaged file is noticed by its checksum and made again.

    Parameters
    ----------
    wanted
    store
        Where sets are kept.
    arguments
        Further arguments of `omnilearn_lab.simulation.simulate`.

    Returns
    -------
    Jets
        As read back from disk, so that the first and every later call give the same numbers.
    """
    if (jets := _kept(wanted, store)) is not None:
        return jets
    path = store.target(wanted.file_name)
    make_folder(path.parent)
    with locked(path):
        if (jets := _kept(wanted, store)) is not None:
            return jets
        made = _simulate(wanted, path.parent, arguments or {})
        write_jets(made, path, max_particles=int(made.counts.max(initial=1)))
        _note(wanted, path)
        return read_jets(path)


def _note(wanted: SimulatedSet, path: Path) -> None:
    """Write beside a finished file what it is."""
    write_text(_sidecar(path), json.dumps(to_mapping(wanted) | {"checksum": checksum(path)}, indent=1))


def _simulate(wanted: SimulatedSet, folder: Path, arguments: Mapping[str, Any]) -> Jets:
    from omnilearn_lab import simulation

    seed = split_seed(wanted.seed, wanted.split)
    log.info("simulating %d jets of '%s' (%s)", wanted.n_jets, wanted.recipe, wanted.split)
    recipe = simulation.recipe(wanted.recipe, profile=wanted.profile)
    if not wanted.level:
        return simulation.simulate(recipe, wanted.n_jets, seed=seed, cache=folder / "parts", **arguments)
    pairs = simulation.simulate_pairs(recipe, wanted.n_jets, seed=seed, cache=folder / "parts", **arguments)
    return getattr(pairs, wanted.level)


def _kept(wanted: SimulatedSet, store: Store) -> Jets | None:
    """Return the jets of a finished file; its note is written last, so a file without one is not finished."""
    note = store.find(f"{wanted.file_name}.json")
    return None if note is None else _read(note.with_suffix(""), wanted)


def _read(path: Path, wanted: SimulatedSet) -> Jets | None:
    """Return the jets of a file that is intact, else none."""
    if not os.access(path, os.R_OK):
        log.warning("this user may not read '%s' (its owner can allow it); simulating it again", path)
        return None
    try:
        with translated(DataFileError, "it cannot be read", "it is made again"):
            if json.loads(_sidecar(path).read_text())["checksum"] != checksum(path):
                raise DataFileError("its checksum is not the one noted when it was written")
            jets = read_jets(path)
    except OmniLearnLabError as error:
        log.warning("the cached file '%s' is damaged (%s); simulating it again", path, error)
        return None
    if len(jets) != wanted.n_jets:
        log.warning("'%s' holds %d jets, not %d; simulating it again", path, len(jets), wanted.n_jets)
        return None
    return jets


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")
