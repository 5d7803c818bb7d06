"""Clouds of haloes or atoms: our own simulations, kept on disk, and published ones (CosmoBench, OMol25)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from omnilearn_lab.catalog.entries import entry
from omnilearn_lab.catalog.store import open_store
from omnilearn_lab.errors import CatalogError, DataFileError, nearest
from omnilearn_lab.machine import StrPath
from omnilearn_lab.simulation.haloes import UNIVERSES, Universes, read_cosmobench, simulate_universes
from omnilearn_lab.simulation.molecules import (
    MOLECULES,
    Molecules,
    read_omol25,
    shipped_molecules,
    simulate_molecules,
)

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
    data_dir: StrPath | None = None,
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


def load_molecules(
    name: str = "shipped",
    n_molecules: int | None = None,
    *,
    seed: int = 1,
    changes: dict[str, Any] | None = None,
    data_dir: StrPath | None = None,
) -> Molecules:
    """Return molecules with energies [eV] and forces [eV/Angstrom].

    Parameters
    ----------
    name
        "shipped" for those that come with the package, a recipe of
        `omnilearn_lab.simulation.molecules.MOLECULES` to make them now or take them from the data folder, or
        "omol25" for files of it in the data folder.
    n_molecules
        The first ones; None takes all that are there, which a recipe does not know.
    seed, changes
        Of a simulation: fields of the recipe that differ.
    data_dir
        The data folder; see `omnilearn_lab.catalog.open_store`.

    Raises
    ------
    CatalogError
        For an unknown name, or more molecules than there are.
    MissingDependencyError
        Without the packages of the extra ``molecules`` that are needed.
    DataFileError
        When published files are not there: the message says where to put them.
    """
    store = open_store(data_dir)
    if name in MOLECULES:
        if n_molecules is None:
            raise CatalogError(f"how many molecules of the recipe '{name}'? Give n_molecules")
        recipe = replace(MOLECULES[name], **changes or {})
        return simulate_molecules(recipe, n_molecules, seed=seed, cache=store.target("simulated"))
    if name == "shipped":
        molecules = shipped_molecules()
    elif name == "omol25":
        if (path := store.find("omol25")) is None:
            raise DataFileError(
                f"'{store.target('omol25')}' is not there; put .aselmdb files into it "
                f"({entry(name).availability}: {entry(name).selection}), or take 'shipped'"
            )
        molecules = read_omol25(path, n_molecules=n_molecules)
    else:
        known = [*MOLECULES, "shipped", "omol25"]
        raise CatalogError(f"there are no molecules '{name}'; {nearest(name, known)}")
    if n_molecules is None:
        return molecules
    if n_molecules > len(molecules.names):
        raise CatalogError(f"{n_molecules} molecules were asked for, '{name}' has {len(molecules.names)}")
    few = molecules.select(molecules.molecule < n_molecules)
    return replace(few, names=molecules.names[:n_molecules])
