"""One reader per published format, and readers for your own ROOT and HDF5 files."""

from __future__ import annotations

from typing import Any

from omnilearn_lab.errors import CatalogError, nearest
from omnilearn_lab.readers.base import RawJets, Reader
from omnilearn_lab.readers.jetclass import JetClass
from omnilearn_lab.readers.top_tagging import TopTagging

__all__ = ["READERS", "JetClass", "RawJets", "Reader", "TopTagging", "make_reader"]

READERS: dict[str, type[Reader]] = {reader.name: reader for reader in (JetClass, TopTagging)}
"""Reader classes by the name that the catalogue uses."""


def make_reader(name: str, **options: Any) -> Reader:
    """Return a reader by name.

    Parameters
    ----------
    name
        A key of :data:`READERS`.
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
    if name not in READERS:
        raise CatalogError(f"there is no reader '{name}'; {nearest(name, READERS)}")
    known = READERS[name].__dataclass_fields__
    for option in options:
        if option not in known:
            raise CatalogError(f"reader '{name}' has no option '{option}'; {nearest(option, known)}")
    return READERS[name](**options)
