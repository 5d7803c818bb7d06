"""The same jets before and after the detector: what unfolding starts from."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from omnilearn_lab.catalog.entries import catalog, files
from omnilearn_lab.catalog.load import LoadOptions, Source, check_request
from omnilearn_lab.catalog.published import PublishedFiles, find_published, where_to_put
from omnilearn_lab.catalog.simulated import SimulatedSet, load_simulated
from omnilearn_lab.catalog.store import Store, open_store
from omnilearn_lab.errors import CatalogError, DataFileError
from omnilearn_lab.jets import Jets
from omnilearn_lab.readers import OmniFold, read_level_pairs

if TYPE_CHECKING:
    from omnilearn_lab.simulation import PairedJets

__all__ = ["load_pairs"]

log = logging.getLogger(__name__)


def load_pairs(
    name: str = "omnifold_zjets",
    split: str = "train",
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
    item = catalog(options.catalog_file)[name]
    if item.reader != OmniFold.name:
        raise CatalogError(f"dataset '{name}' has one level only; use load() for it")
    check_request(name, item, split, source)
    files(item, split, variant=options.variant)
    store = open_store(options.data_dir)
    found = (
        None if source == "simulated" else find_published(name, item, split, store, variant=options.variant)
    )
    if found is None and source == "published":
        raise DataFileError(where_to_put(name, item, split, store))
    if found is not None:
        pairs, used = _published(found, max_jets, seed), "published"
    else:
        n_jets = max_jets or options.n_simulated
        wanted = SimulatedSet(str(item.recipe), options.profile, split, n_jets, seed)
        pairs, used = _simulated(wanted, store, options), "simulated"
    log.info("%s/%s: %d %s pairs of jets", name, split, len(pairs), used)
    return pairs


def _simulated(wanted: SimulatedSet, store: Store, options: LoadOptions) -> PairedJets:
    from dataclasses import replace

    from omnilearn_lab.simulation import PairedJets

    levels = (
        load_simulated(replace(wanted, level=n), store, options.simulation) for n in ("truth", "detector")
    )
    return PairedJets(*levels)


def _published(found: PublishedFiles, max_jets: int | None, seed: int) -> PairedJets:
    from omnilearn_lab.simulation import PairedJets

    reader = found.reader if isinstance(found.reader, OmniFold) else OmniFold()
    parts, missing = [], max_jets
    for path in found.paths:
        parts.append(read_level_pairs(path, stop=missing, reader=reader))
        missing = None if missing is None else missing - len(parts[-1].particle)
        if missing is not None and missing <= 0:
            break
    order = np.random.default_rng(seed).permutation(sum(len(part.particle) for part in parts))
    truth, detector = (Jets.concatenate(level)[order] for level in zip(*parts, strict=True))
    return PairedJets(truth, detector)
