"""``load("top_tagging")``: any dataset of the catalogue, published or simulated, in one line.

`load_pairs` gives the same jets before and after the detector, which is what unfolding starts from.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np
from pydantic import Field

from omnilearn_lab.catalog.entries import catalog, files
from omnilearn_lab.catalog.published import PublishedFiles, find_published, load_published, where_to_put
from omnilearn_lab.catalog.schema import DatasetEntry, SplitName
from omnilearn_lab.catalog.simulated import SimulatedSet, load_simulated
from omnilearn_lab.catalog.store import Store, open_store
from omnilearn_lab.errors import CatalogError, DataFileError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.readers import OmniFold, read_level_pairs
from omnilearn_lab.settings import settings

if TYPE_CHECKING:
    from omnilearn_lab.simulation import PairedJets

log = logging.getLogger(__name__)
Source = Literal["auto", "simulated", "published"]


@settings
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
    max_particles: Annotated[int, Field(gt=0)] | None = None
    n_simulated: Annotated[int, Field(gt=0)] = 10_000
    profile: str = "quick"
    simulation: Mapping[str, Any] = Field(default_factory=dict)


def load(
    name: str,
    split: SplitName = "train",
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
    item, published, store = _look_up(name, split, source, max_jets, options)
    if published is None:
        recipe = item.recipe_variants.get(options.variant or "", str(item.recipe))
        wanted = SimulatedSet(recipe, options.profile, split, max_jets or options.n_simulated, seed)
        jets, used = load_simulated(wanted, store, options.simulation), "simulated"
    else:
        jets, used = load_published(published, max_jets=max_jets, seed=seed), "published"
    log.info("%s/%s: %d %s jets", name, split, len(jets), used)
    jets = jets if options.max_particles is None else jets.truncate(options.max_particles)
    facts = {"dataset": name, "split": split, "source": used, "seed": seed}
    facts |= {"variant": options.variant} if options.variant else {}
    facts |= {"unverified": True} if published is not None and published.is_unverified else {}
    return replace(jets, class_names=_class_names(item, jets, used), provenance={**jets.provenance, **facts})


def load_pairs(
    name: str = "omnifold_zjets",
    split: SplitName = "train",
    *,
    source: Source = "auto",
    max_jets: int | None = None,
    seed: int = 1,
    options: LoadOptions | None = None,
) -> PairedJets:
    """Load jets at particle level and at detector level; parameters as in `load`.

    Returns
    -------
    PairedJets
        ``truth`` and ``detector``, of equal length: row i of both comes from one event.

    Raises
    ------
    CatalogError
        Also for a dataset that has one level only.

    Examples
    --------
    >>> load_pairs("jetclass")
    Traceback (most recent call last):
    omnilearn_lab.errors.CatalogError: dataset 'jetclass' has one level only; use load() for it
    """
    options = options or LoadOptions()
    if catalog(options.catalog_file)[name].reader != OmniFold.name:
        raise CatalogError(f"dataset '{name}' has one level only; use load() for it")
    item, published, store = _look_up(name, split, source, max_jets, options)
    if published is not None:
        pairs, used = _published_pairs(published, max_jets, seed), "published"
    else:
        n_jets = max_jets or options.n_simulated
        wanted = SimulatedSet(str(item.recipe), options.profile, split, n_jets, seed)
        pairs, used = _simulated_pairs(wanted, store, options), "simulated"
    log.info("%s/%s: %d %s pairs of jets", name, split, len(pairs), used)
    return pairs


def _look_up(
    name: str, split: SplitName, source: str, max_jets: int | None, options: LoadOptions
) -> tuple[DatasetEntry, PublishedFiles | None, Store]:
    """Return the entry, the published files where they are to be used, and the store; refuse what is not."""
    item = catalog(options.catalog_file)[name]
    if split not in item.splits:
        raise CatalogError(f"dataset '{name}' has no split '{split}'; {nearest(split, item.splits)}")
    if source not in get_args(Source):
        raise CatalogError(f"there is no source '{source}'; {nearest(source, get_args(Source))}")
    if source == "simulated" and item.recipe is None:
        raise CatalogError(f"dataset '{name}' has no simulated stand-in; use source='published'")
    if source != "simulated" or options.variant not in item.recipe_variants:
        files(item, split, variant=options.variant)  # names an unknown variant
    if max_jets is not None and max_jets < 1:
        raise CatalogError(f"max_jets is {max_jets}; at least 1 is needed")
    store = open_store(options.data_dir)
    published = None
    if source != "simulated":
        published = find_published(name, item, split, store, variant=options.variant)
    if published is None and (source == "published" or item.recipe is None):
        raise DataFileError(where_to_put(name, item, split, store))
    return item, published, store


def _class_names(item: DatasetEntry, jets: Jets, used: str) -> tuple[str, ...]:
    """The catalogue's class names, unless the stand-in has classes of its own."""
    is_own = item.stand_in_keeps_names and used == "simulated"
    return jets.class_names if is_own or len(item.classes) != len(jets.class_names) else item.classes


def _simulated_pairs(wanted: SimulatedSet, store: Store, options: LoadOptions) -> PairedJets:
    from omnilearn_lab.simulation import PairedJets

    levels = (
        load_simulated(replace(wanted, level=n), store, options.simulation) for n in ("truth", "detector")
    )
    return PairedJets(*levels)


def _published_pairs(published: PublishedFiles, max_jets: int | None, seed: int) -> PairedJets:
    from omnilearn_lab.simulation import PairedJets

    reader = published.reader if isinstance(published.reader, OmniFold) else OmniFold()
    parts, missing = [], max_jets
    for path in published.paths:
        parts.append(read_level_pairs(path, stop=missing, reader=reader))
        missing = None if missing is None else missing - len(parts[-1].particle)
        if missing is not None and missing <= 0:
            break
    order = np.random.default_rng(seed).permutation(sum(len(part.particle) for part in parts))
    truth, detector = (Jets.concatenate(level)[order] for level in zip(*parts, strict=True))
    return PairedJets(truth, detector)
