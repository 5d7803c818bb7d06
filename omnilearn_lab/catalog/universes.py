"""Universes of the catalogue: our own simulations, kept on disk, and the published clouds of CosmoBench."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from omnilearn_lab.catalog.entries import entry
from omnilearn_lab.catalog.store import open_store
from omnilearn_lab.errors import CatalogError, DataFileError, nearest
from omnilearn_lab.simulation.haloes import UNIVERSES, Universes, read_cosmobench, simulate_universes

_FILES = {
    "quijote": "Quijote_BSQ_rockstar_10_top5000_{split}.hdf5",
    "camels_sam": "CAMELS-SAM_LH_gal_99_top5000_{split}.hdf5",
}


def load_universes(
    name: str,
    n_universes: int,
    *,
    split: str = "train",
    seed: int = 1,
    changes: dict[str, Any] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Universes:
    """Return simulated universes, made now or taken from the data folder, or the first published clouds.

    Parameters
    ----------
    name
        A recipe of `omnilearn_lab.simulation.haloes.UNIVERSES`, or "quijote" or "camels_sam" of CosmoBench.
    n_universes
    split
        Of the published clouds.
    seed
        Of a simulation.
    changes
        Fields of the recipe that differ; for published clouds, arguments of
        `omnilearn_lab.simulation.haloes.read_cosmobench`.
    data_dir
        The data folder; see `omnilearn_lab.catalog.open_store`.

    Raises
    ------
    CatalogError
        For an unknown name.
    DataFileError
        When published files are not there: the message says where to put them.
    """
    store, changes = open_store(data_dir), changes or {}
    if name in UNIVERSES:
        recipe = replace(UNIVERSES[name], **changes)
        return simulate_universes(recipe, n_universes, seed=seed, cache=store.target("simulated"))
    if name not in _FILES:
        raise CatalogError(f"there are no universes '{name}'; {nearest(name, [*UNIVERSES, *_FILES])}")
    file = f"{name}/{_FILES[name].format(split=split)}"
    if (path := store.find(file)) is None:
        raise DataFileError(
            f"'{store.target(file)}' is not there; get it from the pages of CosmoBench "
            f"({entry(name).availability}: {entry(name).selection}), or simulate universes: {list(UNIVERSES)}"
        )
    return read_cosmobench(path, n_universes=n_universes, **changes)
