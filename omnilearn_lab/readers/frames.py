"""Rows of pandas data frames in HDF5 files, in either of pandas' two layouts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnilearn_lab.errors import DataFileError, MissingDependencyError

__all__ = ["Frame", "open_frame"]


@dataclass(frozen=True)
class Frame:
    """A data frame on disk."""

    store: Any
    key: str
    n_rows: int

    def select(self, start: int, stop: int) -> Any:
        """Return rows ``start:stop`` as a pandas DataFrame; the rest is not read."""
        return self.store.select(self.key, start=start, stop=stop)


@contextmanager
def open_frame(path: Path, key: str | None = None) -> Iterator[Frame]:
    """Open the frame ``key`` of a pandas HDF5 file; without ``key``, its only frame.

    Raises
    ------
    DataFileError
        When there is no such frame.
    MissingDependencyError
        When pandas or PyTables is not installed.
    """
    try:
        import pandas as pd
        import tables
    except ImportError as error:
        raise MissingDependencyError(
            f"reading '{path}' needs pandas and tables ({error}); install them with pip"
        ) from error
    try:
        with pd.HDFStore(str(path), mode="r") as store:
            keys = store.keys()
            wanted = f"/{key}" if key else (keys[0] if len(keys) == 1 else "")
            if wanted not in keys:
                raise DataFileError(f"'{path}' has no frame '{key or 'of its own'}'; found {keys}")
            yield Frame(store, wanted, _n_rows(store.get_storer(wanted)))
    except tables.HDF5ExtError as error:
        raise OSError(str(error).strip().splitlines()[-1]) from error


def _n_rows(storer: Any) -> int:
    return int(storer.nrows if storer.is_table else storer.shape[0])
