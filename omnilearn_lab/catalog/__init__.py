"""The data catalogue: every dataset of the papers, published or simulated, in one line of code."""

from omnilearn_lab.catalog.conversion import DatasetConversion, convert_dataset, convert_files, evenly
from omnilearn_lab.catalog.entries import CatalogView, catalog, citation, entry, files
from omnilearn_lab.catalog.fetch import FetchOptions, fetch, verify
from omnilearn_lab.catalog.load import LoadOptions, load
from omnilearn_lab.catalog.local import FileStatus
from omnilearn_lab.catalog.pairs import load_pairs
from omnilearn_lab.catalog.schema import DataFile, DatasetEntry, json_schema, read_catalogue
from omnilearn_lab.catalog.store import Store, open_store
from omnilearn_lab.catalog.survey import SurveyRow, survey
from omnilearn_lab.catalog.validation import (
    MeanCheck,
    StandIn,
    StandInCheck,
    check_stand_in,
    check_stand_ins,
    stand_ins,
)

__all__ = [
    "CatalogView", "DataFile", "DatasetConversion", "DatasetEntry", "FetchOptions", "FileStatus",
    "LoadOptions", "MeanCheck", "StandIn", "StandInCheck", "Store", "SurveyRow", "catalog", "check_stand_in",
    "check_stand_ins", "citation", "convert_dataset", "convert_files", "entry", "evenly", "fetch", "files",
    "json_schema", "load", "load_pairs", "open_store", "read_catalogue", "stand_ins", "survey", "verify",
]  # fmt: skip
