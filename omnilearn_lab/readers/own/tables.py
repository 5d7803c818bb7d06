"""ROOT trees and HDF5 files behind one face: named columns, rows on demand, always as jagged arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from omnilearn_lab.errors import DataFileError, nearest
from omnilearn_lab.machine import check_dataset, watched
from omnilearn_lab.readers.base import count_entries, open_root

_TREES = ("TTree", "TNtuple", "ROOT::RNTuple")
ROOT_ENDINGS = (".root",)
HDF5_ENDINGS = (".h5", ".hdf5", ".hdf", ".he5")


class Column(NamedTuple):
    """Rows of one column: ``values`` flat, ``counts`` per row (none: one value per row).

    ``inner`` : where rows are lists of lists, the length of each inner list, row after row.
    """

    values: np.ndarray
    counts: np.ndarray | None
    inner: np.ndarray | None = None


class Table:
    """An open file of columns, whose names are found whatever their capitals."""

    path: Path
    name: str
    n_rows: int
    names: list[str]

    def column(self, name: str, start: int, stop: int) -> Column:
        """Return rows ``start:stop`` of a column."""
        raise NotImplementedError

    def find(self, name: str) -> str | None:
        """Return how the file spells a name, capitals apart; none when it has no such column."""
        if name in self.names:
            return name
        alike = [other for other in self.names if other.casefold() == name.casefold()]
        return alike[0] if len(alike) == 1 else None

    def _found(self, name: str) -> str:
        spelt = self.find(name)
        if spelt is None:
            raise DataFileError(f"'{self.path}' has no column '{name}'; {nearest(name, self.names)}")
        return spelt


def is_root(path: Path) -> bool:
    """Whether a file is a ROOT file, by its ending in any capitals."""
    return path.suffix.lower() in ROOT_ENDINGS


@contextmanager
def open_table(path: Path, tree: str = "", columns: Sequence[str] = ()) -> Iterator[Table]:
    """Open a ROOT or HDF5 file.

    Parameters
    ----------
    path
    tree
        Of a ROOT file; the only one when empty.
    columns
        Names that will be read: of an HDF5 file with datasets of several lengths, the first that is there
        says how many rows count.

    Raises
    ------
    DataFileError
        When there is no such tree, or several and none is named.
    """
    if is_root(path):
        with open_root(path) as file:
            yield _Tree(find_tree(file, path, tree), path)
    elif path.suffix.lower() in HDF5_ENDINGS:
        with h5py.File(path, "r") as file:
            yield _Hdf5(file, path, columns)
    else:
        endings = ", ".join((*ROOT_ENDINGS, *HDF5_ENDINGS))
        raise DataFileError(f"'{path}' ends in '{path.suffix}'; files of your own end in {endings}")


def trees_in(file: Any) -> list[str]:
    """Return the paths of all trees of an open ROOT file, without cycles."""
    kinds = file.classnames(recursive=True)
    return sorted({key.partition(";")[0] for key, kind in kinds.items() if kind in _TREES})


def datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return all datasets of an open HDF5 file by their paths."""
    items: dict[str, h5py.Dataset] = {}
    file.visititems(lambda name, item: items.update({name: item} if isinstance(item, h5py.Dataset) else {}))
    return items


def find_tree(file: Any, path: Path, name: str) -> Any:
    """Return a tree of an open ROOT file: the one named, or the only one; of two cycles the newest."""
    trees = trees_in(file)
    base, _, cycle = name.partition(";")
    wanted = base if base in trees else ""
    if not wanted:
        inside = [tree for tree in trees if not base or tree.rpartition("/")[2] == base]
        wanted = inside[0] if len(inside) == 1 else ""
    if not wanted or (cycle and f"{wanted};{cycle}" not in file.classnames(recursive=True)):
        raise DataFileError(f"'{path}' has no tree '{name}' (name one with tree=...); {nearest(name, trees)}")
    return file[f"{wanted};{cycle}" if cycle else wanted]


class _Tree(Table):
    def __init__(self, tree: Any, path: Path) -> None:
        self._tree, self.path, self.name = tree, path, tree.name
        self.n_rows = count_entries(tree, path)
        self.names = list(dict.fromkeys(tree.keys(full_paths=False)))

    def column(self, name: str, start: int, stop: int) -> Column:
        import awkward as ak

        array = self._tree[self._found(name)].array(entry_start=start, entry_stop=stop)
        if array.ndim > 3 or ak.fields(array) or "?" in str(array.type):
            raise DataFileError(
                f"'{self.path}': column '{name}' holds {array.type}; numbers, lists of numbers, or lists of "
                "lists of numbers are needed"
            )
        if array.ndim == 1:
            return Column(np.asarray(array), None)
        counts = np.asarray(ak.num(array))
        if array.ndim == 2:
            return Column(np.asarray(ak.flatten(array)), counts)
        inner = np.asarray(ak.flatten(ak.num(array, axis=2)))
        return Column(np.asarray(ak.flatten(array, axis=None)), counts, inner)


class _Hdf5(Table):
    """Columns are datasets (``jets/pt``), compound fields (``tracks.pt``), or slices (``data[3]``)."""

    def __init__(self, file: Any, path: Path, columns: Sequence[str]) -> None:
        self._file, self.path, self.name = file, path, path.name
        items = datasets(file)
        self.names = [
            f"{name}.{part}" if part else name
            for name, item in items.items()
            for part in (item.dtype.names or ("",))
        ]
        lengths = [len(item) for item in items.values() if item.ndim]
        first = next((name for name in columns if self.find(name)), None)
        self.n_rows = max(lengths, default=0) if first is None else len(self._item(first)[0])

    def find(self, name: str) -> str | None:
        base, index = _split(name)
        spelt = super().find(base)
        return spelt if spelt is None or index is None else f"{spelt}[{index}]"

    def _item(self, name: str) -> tuple[Any, str, int | None]:
        base, index = _split(self._found(name))
        dataset, _, part = (base, "", "") if base in self._file else base.rpartition(".")
        return self._file[dataset], part, index

    def column(self, name: str, start: int, stop: int) -> Column:
        item, part, index = self._item(name)
        if item.ndim == 0 or len(item) != self.n_rows:
            raise DataFileError(
                f"'{self.path}': '{name}' has shape {item.shape}, and {self.n_rows} rows are expected; "
                "columns of one map must have the same length, or rows would be mixed up"
            )
        check_dataset(item, self.path, text=True)
        with watched(item) if item.dtype.hasobject else nullcontext(item) as sound:
            values = _values(sound, part, slice(start, stop))
        if index is not None:
            if values.ndim < 2 or index >= values.shape[-1]:
                raise DataFileError(f"'{self.path}': '{name}' asks for column {index} of shape {item.shape}")
            values = values[..., index]
        if values.dtype == object:
            return _joined(values, self.path, name)
        if values.ndim == 1:
            return Column(values, None)
        if values.ndim > 3:
            raise DataFileError(
                f"'{self.path}': '{name}' has shape {item.shape}; up to (rows, jets, particles) can be "
                "read (take one column of a larger one with 'name[3]')"
            )
        counts = np.full(len(values), values.shape[1])
        inner = None if values.ndim == 2 else np.full(counts.sum(), values.shape[2])
        return Column(values.reshape(-1), counts, inner)


def _split(name: str) -> tuple[str, int | None]:
    """Take ``data[3]`` apart."""
    base, index = re.fullmatch(r"(.*?)(?:\[(\d+)\])?", name, re.DOTALL).groups()
    return base, None if index is None else int(index)


def _values(item: Any, part: str, rows: slice) -> np.ndarray:
    values = item.fields(part)[rows] if part else item[rows]
    if h5py.check_string_dtype(item.dtype[part] if part else item.dtype) is None:
        return values
    return np.array([t.decode() if isinstance(t, bytes) else str(t) for t in values.reshape(-1)])


def _joined(values: np.ndarray, path: Path, name: str) -> Column:
    """Rows of different lengths as HDF5 stores them."""
    parts = [np.asarray(row) for row in values]
    if not all(part.ndim == 1 and part.dtype.kind in "iufb" for part in parts):
        raise DataFileError(
            f"'{path}': column '{name}' holds objects; numbers or lists of numbers are needed"
        )
    counts = np.array([len(part) for part in parts], dtype=np.int64)
    return Column(np.concatenate(parts) if parts else np.zeros(0, np.float32), counts)
