"""One reader per published format, and readers for your own ROOT and HDF5 files."""

from omnilearn_lab.readers.base import ConvertOptions, Reader, Source, convert, make_reader, readers
from omnilearn_lab.readers.own.columns import column_map
from omnilearn_lab.readers.own.inspect import inspect
from omnilearn_lab.readers.own.reader import OwnFormat, from_file
from omnilearn_lab.readers.own.write_back import add_columns
from omnilearn_lab.readers.published.atlas import GN2_TRACK_INPUTS, read_atlas_omnifold
from omnilearn_lab.readers.published.references import OmniFold, read_level_pairs

__all__ = [
    "ConvertOptions", "GN2_TRACK_INPUTS", "OmniFold", "OwnFormat", "Reader", "Source", "add_columns",
    "column_map", "convert", "from_file", "inspect", "make_reader", "read_atlas_omnifold", "read_level_pairs",
    "readers",
]  # fmt: skip
