"""One reader per published format, and readers for your own ROOT and HDF5 files."""

from __future__ import annotations

from typing import Any

from omnilearn_lab.errors import CatalogError, nearest
from omnilearn_lab.readers.aspen import Aspen
from omnilearn_lab.readers.atlas_flavour import GN2_TRACK_INPUTS, AtlasFlavour
from omnilearn_lab.readers.atlas_omnifold import EventTable, iterate_atlas_omnifold, read_atlas_omnifold
from omnilearn_lab.readers.atlas_top import AtlasTop
from omnilearn_lab.readers.base import RawJets, Reader
from omnilearn_lab.readers.cms_mod import CmsMod
from omnilearn_lab.readers.columns import PRESETS, ColumnMap, column_map
from omnilearn_lab.readers.convert import ConvertOptions, convert
from omnilearn_lab.readers.energyflow import EnergyFlow
from omnilearn_lab.readers.h1 import H1
from omnilearn_lab.readers.jetclass import JetClass
from omnilearn_lab.readers.jetclass2 import JETCLASS2_CLASSES, JetClass2
from omnilearn_lab.readers.jetnet import JetNet
from omnilearn_lab.readers.lhco import Lhco, LhcoClustered
from omnilearn_lab.readers.ml_ready import MLReady
from omnilearn_lab.readers.omnifold import LevelPair, OmniFold, read_level_pairs
from omnilearn_lab.readers.omnilearn_v1 import OmniLearnV1
from omnilearn_lab.readers.own import DryRun, OwnFormat, from_hdf5, from_root
from omnilearn_lab.readers.top_tagging import TopTagging
from omnilearn_lab.readers.write_back import add_columns

__all__ = [
    "GN2_TRACK_INPUTS",
    "H1",
    "JETCLASS2_CLASSES",
    "PRESETS",
    "READERS",
    "Aspen",
    "AtlasFlavour",
    "AtlasTop",
    "CmsMod",
    "ColumnMap",
    "ConvertOptions",
    "DryRun",
    "EnergyFlow",
    "EventTable",
    "JetClass",
    "JetClass2",
    "JetNet",
    "LevelPair",
    "Lhco",
    "LhcoClustered",
    "MLReady",
    "OmniFold",
    "OmniLearnV1",
    "OwnFormat",
    "RawJets",
    "Reader",
    "TopTagging",
    "add_columns",
    "column_map",
    "convert",
    "from_hdf5",
    "from_root",
    "iterate_atlas_omnifold",
    "make_reader",
    "read_atlas_omnifold",
    "read_level_pairs",
]

_ALL = (
    Aspen,
    AtlasFlavour,
    AtlasTop,
    CmsMod,
    EnergyFlow,
    H1,
    JetClass,
    JetClass2,
    JetNet,
    Lhco,
    LhcoClustered,
    MLReady,
    OmniFold,
    OmniLearnV1,
    TopTagging,
)
READERS: dict[str, type[Reader]] = {reader.name: reader for reader in _ALL}
"""Reader classes by the name that the catalogue uses."""


def make_reader(name: str, **options: Any) -> Reader:
    """Return a reader by name.

    Parameters
    ----------
    name
        A key of `READERS`.
    **options
        Fields of that reader's class.

    Raises
    ------
    CatalogError
        For an unknown name or option.

    Examples
    --------
    >>> make_reader("top_tagging", bad_jets="drop").bad_jets
    'drop'
    """
    if name == "atlas_omnifold":
        raise CatalogError("these files are tables without particles; read them with read_atlas_omnifold")
    if name not in READERS:
        raise CatalogError(f"there is no reader '{name}'; {nearest(name, READERS)}")
    known = READERS[name].__dataclass_fields__
    for option in options:
        if option not in known:
            raise CatalogError(f"reader '{name}' has no option '{option}'; {nearest(option, known)}")
    return READERS[name](**options)
