"""Arrays inside ``.npz`` files, read row by row: a compressed array never has to fit in memory."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from omnilearn_lab.errors import DataFileError

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
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
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
