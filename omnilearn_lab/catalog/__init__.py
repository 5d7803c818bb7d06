"""The data catalogue: every dataset of the papers, published or simulated, in one line of code."""

from omnilearn_lab.catalog.entries import CatalogView, catalog, citation, entry, files
from omnilearn_lab.catalog.fetch import FetchOptions, fetch, verify
from omnilearn_lab.catalog.load import LoadOptions, load
from omnilearn_lab.catalog.local import FileStatus
from omnilearn_lab.catalog.pairs import load_pairs
from omnilearn_lab.catalog.schema import DataFile, DatasetEntry, json_schema, read_catalogue
from omnilearn_lab.catalog.store import Store, open_store
from omnilearn_lab.catalog.survey import SurveyRow, survey

__all__ = [
    "CatalogView",
    "DataFile",
    "DatasetEntry",
    "FetchOptions",
    "FileStatus",
    "LoadOptions",
    "Store",
    "SurveyRow",
    "catalog",
    "citation",
    "entry",
    "fetch",
    "files",
    "json_schema",
    "load",
    "load_pairs",
    "open_store",
    "read_catalogue",
    "survey",
    "verify",
]
