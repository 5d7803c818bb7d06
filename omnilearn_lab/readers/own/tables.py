"""ROOT trees and HDF5 files behind one face: named columns, rows on demand, always as jagged arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from omnilearn_lab.errors import DataFileError, nearest

_TREES = ("TTree", "ROOT::RNTuple")


class Column(NamedTuple):
    """Rows of one column: ``values`` flat, and ``counts`` per row (none: one value per row)."""

    values: np.ndarray
    counts: np.ndarray | None


class Table(Protocol):
    """An open file of columns."""

    name: str
    n_rows: int
    names: list[str]

    def column(self, name: str, start: int, stop: int) -> Column:
        """Return rows ``start:stop`` of a column."""


@contextmanager
def open_table(path: Path, tree: str = "") -> Iterator[Table]:
    """Open a ROOT (``.root``) or HDF5 file.

    Raises
    ------
    DataFileError
        When there is no such tree, or several and none is named.
    """
    if path.suffix == ".root":
        import uproot

        with uproot.open(path) as file:
            yield _Tree(find_tree(file, path, tree), path)
    else:
        import h5py

        with h5py.File(path, "r") as file:
            yield _Hdf5(file, path)


def find_tree(file: Any, path: Path, name: str) -> Any:
    """Return a tree of an open ROOT file: the one named, or the only one."""
    found = sorted({key.partition(";")[0] for key, kind in file.classnames().items() if kind in _TREES})
    wanted = name or (found[0] if len(found) == 1 else "")
    if wanted not in found:
        raise DataFileError(f"'{path}' has no tree '{name}' (name one with tree=...); {nearest(name, found)}")
    return file[wanted]


class _Tree:
    def __init__(self, tree: Any, path: Path) -> None:
        self._tree, self._path, self.name = tree, path, tree.name
        self.n_rows, self.names = int(tree.num_entries), list(tree.keys(full_paths=False))

    def column(self, name: str, start: int, stop: int) -> Column:
        import awkward as ak

        if name not in self.names:
            raise _missing(self._path, name, self.names)
        array = self._tree[name].array(entry_start=start, entry_stop=stop)
        if array.ndim == 1:
            return Column(np.asarray(array), None)
        return Column(np.asarray(ak.flatten(array)), np.asarray(ak.num(array)))


class _Hdf5:
    """Columns are datasets (``jets/pt``), compound fields (``tracks.pt``), or slices (``data[3]``)."""

    def __init__(self, file: Any, path: Path) -> None:
        import h5py

        self._file, self._path, self.name = file, path, path.name
        datasets: dict[str, Any] = {}
        file.visititems(
            lambda name, item: datasets.update({name: item}) if isinstance(item, h5py.Dataset) else None
        )
        self.names = [
            f"{name}.{part}" if part else name
            for name, item in datasets.items()
            for part in (item.dtype.names or ("",))
        ]
        lengths = {len(item) for item in datasets.values() if item.ndim}
        self.n_rows = max(lengths, default=0)

    def column(self, name: str, start: int, stop: int) -> Column:
        base, index = re.fullmatch(r"(.*?)(?:\[(\d+)\])?", name).groups()
        dataset, _, part = base.rpartition(".") if base not in self._file else (base, "", "")
        if (dataset or base) not in self._file:
            raise _missing(self._path, name, self.names)
        item = self._file[dataset or base]
        if part and part not in (item.dtype.names or ()):
            raise _missing(self._path, name, self.names)
        values = item.fields(part)[start:stop] if part else item[start:stop]
        if index is not None:
            values = values[..., int(index)]
        if len(item) != self.n_rows or values.ndim > 2:
            raise DataFileError(
                f"'{self._path}': '{name}' has shape {item.shape}; ({self.n_rows},) or ({self.n_rows}, P) is "
                "expected (take one column of a larger one with 'name[3]')"
            )
        if values.ndim == 1:
            return Column(values, None)
        return Column(values.reshape(-1), np.full(len(values), values.shape[1]))


def _missing(path: Path, name: str, names: list[str]) -> DataFileError:
    return DataFileError(f"'{path}' has no column '{name}'; {nearest(name, names)}")
