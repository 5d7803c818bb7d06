"""The data catalogue: every dataset of the papers, published or simulated, in one line of code."""

from omnilearn_lab.catalog.clouds import load_molecules, load_universes
from omnilearn_lab.catalog.conversion import DatasetConversion, convert_dataset, convert_files, evenly
from omnilearn_lab.catalog.entries import CatalogView, DatasetEntry, catalog, citation, entry, files
from omnilearn_lab.catalog.fetch import FetchOptions, fetch, verify
from omnilearn_lab.catalog.load import LoadOptions, load, load_pairs
from omnilearn_lab.catalog.stand_ins import MeanCheck, StandInCheck, check_stand_ins
from omnilearn_lab.catalog.store import open_store

__all__ = [
    "CatalogView", "DatasetConversion", "DatasetEntry", "FetchOptions", "LoadOptions", "MeanCheck",
    "StandInCheck", "catalog", "check_stand_ins", "citation", "convert_dataset", "convert_files", "entry",
    "evenly", "fetch", "files", "load", "load_molecules", "load_pairs", "load_universes", "open_store",
    "verify",
]  # fmt: skip
