"""Arrays and frames in files, read row by row, bounded in memory, never unpickled: npz, and pandas' HDF5.

pandas reads its files through PyTables, which unpickles attributes: opening a stranger's file runs the code
that it holds. Here the arrays are read as arrays. The names of the columns, which one of the layouts
keeps in pickles, are taken from these by a list of harmless operations; anything else in a pickle, and any
block of Python objects, is refused by name.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from omnilearn_lab.errors import DataFileError, MissingDependencyError, nearest, translated
from omnilearn_lab.machine import attributes, check_dataset

_BLOCK = 1 << 22


class NpzFile(Mapping):
    """The arrays of an ``.npz`` file, by name; a slice of one is read when it is asked for.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez_compressed(f"{folder}/a.npz", X=np.arange(6.0).reshape(3, 2))
    ...     with open_npz(Path(folder) / "a.npz") as file:
    ...         file["X"][1:2].tolist(), len(file["X"])
    ([[2.0, 3.0]], 3)
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive, self._path = archive, path
        self._names = [name.removesuffix(".npy") for name in archive.namelist()]
        self._open: dict[str, NpzArray] = {}

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __getitem__(self, name: str) -> NpzArray:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._open:
            self._open[name] = NpzArray(self._archive, name, self._path)
        return self._open[name]


class NpzArray:
    """One array, read in order; going back starts over."""

    def __init__(self, archive: zipfile.ZipFile, name: str, path: Path) -> None:
        self._archive, self._name, self._place = archive, name, f"'{path}', array '{name}'"
        self._start()
        content = self._row_bytes * len(self)
        if content != self._stored:
            raise DataFileError(
                f"{self._place} claims shape {self.shape}, {content:,} bytes, and has {self._stored:,}; "
                "the file is damaged: fetch it again"
            )

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(len(self))
        if self._position > start:
            self._start()
        skip = (start - self._position) * self._row_bytes
        while skip > 0:
            skip -= len(self._exactly(min(skip, _BLOCK)))
        data = self._exactly(max(0, stop - start) * self._row_bytes)
        self._position = max(start, stop)
        return np.frombuffer(data, dtype=self._dtype).reshape(-1, *self.shape[1:])

    def _start(self) -> None:
        self._stream = self._archive.open(f"{self._name}.npy")
        version = np.lib.format.read_magic(self._stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
            version
        )
        if read is None:
            raise DataFileError(f"{self._place} has numpy format {version}; 1.0 and 2.0 are accepted")
        self.shape, is_fortran, self._dtype = read(self._stream)
        if self._dtype.hasobject:
            raise DataFileError(
                f"{self._place} holds Python objects, which are never loaded; save plain numbers"
            )
        if is_fortran and len(self.shape) > 1:
            raise DataFileError(f"{self._place} is in column order; save it with numpy.ascontiguousarray")
        self._row_bytes = math.prod(self.shape[1:]) * self._dtype.itemsize
        self._stored = self._archive.getinfo(f"{self._name}.npy").file_size - self._stream.tell()
        self._position = 0

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise DataFileError(f"{self._place} ends early; the file is truncated: fetch it again")
        return data


@contextmanager
def open_npz(path: Path) -> Iterator[NpzFile]:
    """Open an ``.npz`` file for reading in order; nothing is unpickled."""
    with zipfile.ZipFile(path) as archive:
        yield NpzFile(archive, path)


_LONGEST_PICKLE = 1 << 24
_PLAIN_VALUES = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
_PLAIN_VALUES |= {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE"}
_PLAIN_VALUES |= {"BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class Block:
    """Some rows of a frame.

    Parameters
    ----------
    parts
        Arrays of the file, each shape (rows, columns of that part).
    place
        By column name: the part, and the column in it.
    path
        The file, for messages.
    """

    def __init__(self, parts: Sequence[np.ndarray], place: dict[Any, tuple[int, int]], path: Path) -> None:
        self._parts, self._place, self._path = parts, place, path

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one column, shape (rows,)."""
        part, position = self._find(name)
        return self._numbers(part, name)[:, position]

    def matrix(self, names: Sequence[Any]) -> np.ndarray:
        """Return columns side by side, shape (rows, len(names)); the widest of their number types."""
        places = np.array([self._find(name) for name in names]).reshape(-1, 2)
        used = np.unique(places[:, 0])
        if len(used) == 1:
            values = self._numbers(int(used[0]), names[0])
            at = places[:, 1]
            in_order = len(at) == at[-1] - at[0] + 1 and np.all(np.diff(at) == 1)
            return values[:, at[0] : at[-1] + 1] if in_order else values[:, at]
        return np.stack([self[name] for name in names], axis=1)

    def _find(self, name: Any) -> tuple[int, int]:
        if name not in self._place:
            raise DataFileError(
                f"'{self._path}' has no '{name}'; {nearest(str(name), map(str, self._place))}; "
                "is it of another format, or an incomplete download?"
            )
        return self._place[name]

    def _numbers(self, part: int, name: Any) -> np.ndarray:
        values = self._parts[part]
        if values.dtype.kind not in "fiub":
            raise DataFileError(
                f"'{self._path}': column '{name}' holds {values.dtype}, and numbers are needed; "
                "write the frame again without this column"
            )
        return values


class Frame:
    """A data frame on disk.

    Attributes
    ----------
    columns
        Names of the columns, as the file orders them; numbers, where the frame has no names.
    n_rows
    """

    columns: list[Any]
    n_rows: int

    def rows(self, start: int, stop: int) -> Block:
        """Return rows ``start:stop``; the rest is not read."""
        raise NotImplementedError


class _FixedFrame(Frame):
    """pandas' fixed layout: ``axis0`` are columns, ``axis1`` rows; one dataset per type of number."""

    def __init__(self, group: Any, path: Path) -> None:
        self._path, self._values = path, []
        self._place: dict[Any, tuple[int, int]] = {}
        about = attributes(group)
        encoding = _text(about.get("encoding", b"UTF-8"))
        self.columns = _names(_dataset(group, "axis0", path), encoding, path)
        index = _dataset(group, "axis1", path)
        self.n_rows = 0 if _is_empty(index, path) else len(index)
        for number in range(int(about.get("nblocks", 0))):
            items = _names(_dataset(group, f"block{number}_items", path), encoding, path)
            values = _dataset(group, f"block{number}_values", path)
            is_turned = not attributes(values, "transposed").get("transposed", False)
            if values.ndim == 2 and self.n_rows:
                width, length = values.shape if is_turned else values.shape[::-1]
                if (width, length) != (len(items), self.n_rows):
                    raise DataFileError(
                        f"'{path}': '{values.name}' has shape {values.shape}, for {len(items)} columns and "
                        f"{self.n_rows} rows; the file is damaged: fetch it again"
                    )
            self._values.append((values, is_turned))
            self._place |= {name: (number, position) for position, name in enumerate(items)}

    def rows(self, start: int, stop: int) -> Block:
        parts = []
        for values, is_turned in self._values:
            if not self.n_rows or values.ndim != 2:
                parts.append(np.zeros((0, 1 + max(at for _, at in self._place.values()))))
            else:
                parts.append(values[:, start:stop].T if is_turned else values[start:stop])
        return Block(parts, self._place, self._path)


class _TableFrame(Frame):
    """pandas' table layout: one compound dataset; column names are pickled lists in its attributes."""

    def __init__(self, group: Any, path: Path) -> None:
        self._path, self._table = path, _dataset(group, "table", path)
        self.n_rows = len(self._table)
        self._fields = [name for name in self._table.dtype.names if name != "index"]
        self._place: dict[Any, tuple[int, int]] = {}
        about = attributes(self._table)
        for number, field in enumerate(self._fields):
            stored = about.get(f"{field}_kind")
            place = f"{self._table.name}@{field}_kind"
            names = [field] if stored is None else _pickled(stored, place, path)
            width = int(np.prod(self._table.dtype[field].shape, dtype=np.int64))
            if not isinstance(names, list) or len(names) != width:
                raise DataFileError(
                    f"'{path}': attribute '{field}_kind' of '{self._table.name}' does not name the {width} "
                    "columns; the file is damaged: fetch it again"
                )
            self._place |= {name: (number, position) for position, name in enumerate(names)}
        axes = _pickled(attributes(group).get("non_index_axes"), f"{group.name}@non_index_axes", path)
        in_order = axes[0][1] if isinstance(axes, list) and axes else None
        self.columns = in_order if isinstance(in_order, list) else list(self._place)

    def rows(self, start: int, stop: int) -> Block:
        stored = self._table[start:stop]
        parts = [stored[field].reshape(len(stored), -1) for field in self._fields]
        return Block(parts, self._place, self._path)


@contextmanager
def open_frame(path: Path, key: str | None = None) -> Iterator[Frame]:
    """Open the frame ``key`` of a pandas HDF5 file; without ``key``, its only frame.

    Raises
    ------
    DataFileError
        When there is no such frame, it holds Python objects, or an attribute holds a pickled one.
    MissingDependencyError
        When the file is compressed in a way that needs a library that is not installed.
    """
    with h5py.File(path, "r") as file:
        kinds: dict[str, str] = {}

        def note(name: str, item: Any) -> None:
            if "pandas_type" in item.attrs:
                kinds[name] = _text(attributes(item, "pandas_type")["pandas_type"])

        file.visititems(note)
        wanted = key or (next(iter(kinds)) if len(kinds) == 1 else "")
        if wanted not in kinds:
            raise DataFileError(
                f"'{path}' has no frame '{key or 'of its own'}'; found {sorted(f'/{name}' for name in kinds)}"
            )
        _refuse_objects(file[wanted], path)
        make = {"frame": _FixedFrame, "frame_table": _TableFrame}.get(kinds[wanted])
        if make is None:
            raise DataFileError(
                f"'{path}': '/{wanted}' is a pandas {kinds[wanted]!r:.40}; a 'frame' or 'frame_table' is "
                "needed: write it again with DataFrame.to_hdf, or fetch it again"
            )
        yield make(file[wanted], path)


def _dataset(group: Any, name: str, path: Path) -> Any:
    """Return a dataset of plain values that this machine can decompress."""
    if name not in group or not isinstance(group[name], h5py.Dataset):
        raise DataFileError(f"'{path}': '{group.name}' has no '{name}'; is it an incomplete download?")
    item = group[name]
    if item.dtype.hasobject:
        raise DataFileError(
            f"'{path}': '{item.name}' holds Python objects, which are never loaded; write the frame again "
            "with columns of numbers only"
        )
    check_dataset(item, path, owner=group)
    plan = item.id.get_create_plist()
    for number in range(plan.get_nfilters()):
        code, _, _, what = plan.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            needs, remedy = (
                f"'{path}' is compressed with {_text(what)}",
                "pip install hdf5plugin, or use gzip",
            )
            with translated(MissingDependencyError, needs, remedy):
                import hdf5plugin  # noqa: F401  registers its filters
    return item


def _names(dataset: Any, encoding: str, path: Path) -> list[Any]:
    if _is_empty(dataset, path):
        return []
    values = dataset[()]
    if values.dtype.kind == "S":
        return [value.decode(encoding) for value in values.tolist()]
    if values.dtype.kind not in "iuf" or values.ndim != 1:
        raise DataFileError(f"'{path}': '{dataset.name}' holds no names of columns ({values.dtype})")
    return values.tolist()


def _is_empty(dataset: Any, path: Path) -> bool:
    """Whether a dataset stands for an array without entries, which PyTables cannot write."""
    shape = _pickled(attributes(dataset, "shape").get("shape"), f"{dataset.name}@shape", path)
    return shape is not None and 0 in np.atleast_1d(shape)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


# ---- pickles, looked at and never run ------------------------------------------------------------


def _refuse_objects(group: Any, path: Path) -> None:
    """Refuse a group in which an attribute holds more than plain values, in any depth."""

    def look(name: str, item: Any) -> None:
        for key, value in attributes(item).items():
            if isinstance(value, bytes) and value.endswith(b"."):
                _pickled(value, f"{item.name}@{key}", path)

    look("", group)
    group.visititems(look)


def _pickled(value: Any, place: str, path: Path) -> Any:
    """Return the plain value that a pickle spells; text that is no pickle as it is.

    Raises
    ------
    DataFileError
        When the pickle asks for anything else than lists, tuples, mappings, text and numbers.
    """
    if not isinstance(value, bytes) or not value or len(value) > _LONGEST_PICKLE:
        return value
    try:
        steps = [(step.name, argument) for step, argument, _ in pickletools.genops(value)]
    except ValueError:  # plain text
        return value
    machine = _PlainPickle()
    for name, argument in steps:
        if not machine.step(name, argument):
            what = str(argument or name).replace(" ", ".")
            raise DataFileError(
                f"'{path}': '{place}' holds a pickled object ({what}), which would run code when it is "
                "loaded; nothing was run: do not trust this file, fetch it again from its publisher"
            )
    return machine.stack[-1] if machine.stack else None


class _PlainPickle:
    """The operations of a pickle that build plain values; all others are turned down.

    >>> machine = _PlainPickle()
    >>> all(machine.step(op.name, arg) for op, arg, _ in pickletools.genops(b"(lp0\\nI1\\naVE_0\\na."))
    True
    >>> machine.stack
    [[1, 'E_0']]
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> bool:
        """Do one operation; whether it is a harmless one."""
        if name in _PLAIN_VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            n = _TUPLES[name]
            self.stack[-n:] = [tuple(self.stack[-n:])]
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[int(argument)] = self.stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self._memo[int(argument)])
        else:
            return name in ("PROTO", "FRAME", "STOP") or self._collect(name)
        return True

    def _collect(self, name: str) -> bool:
        """Operations that take several values from the stack."""
        if name == "APPEND":
            value = self.stack.pop()
            self.stack[-1].append(value)
        elif name == "SETITEM":
            value, key = self.stack.pop(), self.stack.pop()
            self.stack[-1][key] = value
        elif name in ("APPENDS", "SETITEMS", "LIST", "TUPLE", "DICT"):
            at = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
            values = self.stack[at + 1 :]
            del self.stack[at:]
            pairs = zip(values[::2], values[1::2], strict=True) if name in ("SETITEMS", "DICT") else ()
            if name == "APPENDS":
                self.stack[-1].extend(values)
            elif name == "SETITEMS":
                self.stack[-1].update(pairs)
            else:
                self.stack.append({"LIST": values, "TUPLE": tuple(values), "DICT": dict(pairs)}[name])
        else:
            return False
        return True
