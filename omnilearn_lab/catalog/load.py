"""``load("top_tagging")``: any dataset of the catalogue, published or simulated, in one line."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from omnilearn_lab.catalog.entries import catalog, files
from omnilearn_lab.catalog.published import find_published, load_published, where_to_put
from omnilearn_lab.catalog.schema import DatasetEntry
from omnilearn_lab.catalog.simulated import SimulatedSet, load_simulated
from omnilearn_lab.catalog.store import open_store
from omnilearn_lab.errors import CatalogError, DataFileError, nearest
from omnilearn_lab.jets import Jets

__all__ = ["LoadOptions", "Source", "check_request", "load"]

log = logging.getLogger(__name__)
Source = Literal["auto", "simulated", "published"]


@dataclass(frozen=True)
class LoadOptions:
    """How `load` goes about its work; the defaults suit a laptop.

    Attributes
    ----------
    data_dir
        Data folder; see `omnilearn_lab.catalog.open_store`.
    catalog_file
        A catalogue file of the user's own.
    variant
        Another version of the dataset, such as ``herwig``; see the entry's files.
    max_particles
        Keep the hardest particles only; none keeps all.
    n_simulated
        Jets to simulate when ``max_jets`` is not given.
    profile
        How the stand-in is simulated: ``quick`` or ``production``.
    simulation
        Further arguments of `omnilearn_lab.simulation.simulate`, such as ``workers``.

    Examples
    --------
    >>> LoadOptions(max_particles=30).n_simulated
    10000
    """

    data_dir: str | os.PathLike[str] | None = None
    catalog_file: str | os.PathLike[str] | None = None
    variant: str | None = None
    max_particles: int | None = None
    n_simulated: int = 10_000
    profile: str = "quick"
    simulation: Mapping[str, Any] = field(default_factory=dict)


def load(
    name: str,
    split: str = "train",
    *,
    source: Source = "auto",
    max_jets: int | None = None,
    seed: int = 1,
    options: LoadOptions | None = None,
) -> Jets:
    """Load jets of a dataset of the catalogue.

    Parameters
    ----------
    name
        A dataset, see `omnilearn_lab.catalog.catalog`.
    split
        ``train``, ``val`` or ``test``. Simulated splits have different seeds; published ones are
        the publisher's, or disjoint fractions of the files where there are none.
    source
        ``published``: the published files, which must be there. ``simulated``: the stand-in,
        simulated now or taken from the cache. ``auto``: published when there, else simulated.
    max_jets
        Number of jets; none means all published jets, or ``options.n_simulated`` simulated ones.
    seed
        Fixes the simulation, and the choice and order of published jets.
    options
        Folders and limits.

    Returns
    -------
    Jets
        In random order; ``provenance`` names dataset, split, source and seed.

    Raises
    ------
    CatalogError
        For an unknown dataset, split or source, or a dataset without stand-in.
    DataFileError
        When published files are asked for and are not there: the message says where to put them.

    Examples
    --------
    >>> load("top_taging")
    Traceback (most recent call last):
    omnilearn_lab.errors.CatalogError: dataset 'top_taging' is not in the catalogue; known: ... 'top_tagging'?
    """
    options = options or LoadOptions()
    item = catalog(options.catalog_file)[name]
    check_request(name, item, split, source)
    if source != "simulated" or options.variant not in item.recipe_variants:
        files(item, split, variant=options.variant)  # names an unknown variant
    if max_jets is not None and max_jets < 1:
        raise CatalogError(f"max_jets is {max_jets}; at least 1 is needed")
    store = open_store(options.data_dir)
    found = None
    if source != "simulated":
        found = find_published(name, item, split, store, variant=options.variant)
    if found is None and (source == "published" or item.recipe is None):
        raise DataFileError(where_to_put(name, item, split, store))
    if found is None:
        recipe = item.recipe_variants.get(options.variant or "", str(item.recipe))
        wanted = SimulatedSet(recipe, options.profile, split, max_jets or options.n_simulated, seed)
        jets, used = load_simulated(wanted, store, options.simulation), "simulated"
    else:
        jets, used = load_published(found, max_jets=max_jets, seed=seed), "published"
    log.info("%s/%s: %d %s jets", name, split, len(jets), used)
    jets = jets if options.max_particles is None else jets.truncate(options.max_particles)
    facts = {"dataset": name, "split": split, "source": used, "seed": seed}
    facts |= {"variant": options.variant} if options.variant else {}
    return replace(jets, class_names=_class_names(item, jets, used), provenance={**jets.provenance, **facts})


def _class_names(item: DatasetEntry, jets: Jets, used: str) -> tuple[str, ...]:
    """The catalogue's class names, unless the stand-in has classes of its own."""
    is_own = item.stand_in_keeps_names and used == "simulated"
    return jets.class_names if is_own or len(item.classes) != len(jets.class_names) else item.classes


def check_request(name: str, item: DatasetEntry, split: str, source: str) -> None:
    """Refuse a split, source or variant that the dataset does not have; the message names the nearest."""
    if split not in item.splits:
        raise CatalogError(f"dataset '{name}' has no split '{split}'; {nearest(split, item.splits)}")
    if source not in get_args(Source):
        raise CatalogError(f"there is no source '{source}'; {nearest(source, get_args(Source))}")
    if source == "simulated" and item.recipe is None:
        raise CatalogError(f"dataset '{name}' has no simulated stand-in; use source='published'")
