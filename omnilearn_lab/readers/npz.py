"""Arrays inside ``.npz`` files, read row by row: a compressed array never has to fit in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from omnilearn_lab.errors import DataFileError, nearest

__all__ = ["NpzFile", "open_npz"]

_BLOCK = 1 << 22


class NpzFile:
    """The arrays of an ``.npz`` file, by name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez_compressed(f"{folder}/a.npz", X=np.arange(6.0).reshape(3, 2))
    ...     with open_npz(Path(folder) / "a.npz") as file:
    ...         file.rows("X", 1, 2).tolist(), file.n_rows("X")
    ([[2.0, 3.0]], 3)
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive, self._path = archive, path
        self._open: dict[str, _Column] = {}

    @property
    def names(self) -> list[str]:
        """Names of the arrays."""
        return [name.removesuffix(".npy") for name in self._archive.namelist()]

    def n_rows(self, name: str) -> int:
        """Return the length of an array, from its header."""
        return self._column(name).shape[0]

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Return rows ``start:stop``; reading on is cheap, going back starts over."""
        column = self._column(name)
        if column.position > start:
            del self._open[name]
            column = self._column(name)
        return column.read(start, stop)

    def _column(self, name: str) -> _Column:
        if name not in self._open:
            if name not in self.names:
                raise DataFileError(
                    f"'{self._path}' has no array '{name}'; {nearest(name, self.names)}; is it another file?"
                )
            self._open[name] = _Column(self._archive.open(f"{name}.npy"), f"'{self._path}', array '{name}'")
        return self._open[name]


class _Column:
    """One array being read in order."""

    def __init__(self, stream: IO[bytes], place: str) -> None:
        self._stream, self._place = stream, place
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise DataFileError(f"{place} has numpy format {version}; 1.0 and 2.0 are accepted")
        self.shape, is_fortran, self._dtype = read(stream)
        if self._dtype.hasobject:
            raise DataFileError(f"{place} holds Python objects, which are never loaded; save plain numbers")
        if is_fortran and len(self.shape) > 1:
            raise DataFileError(f"{place} is in column order; save it with numpy.ascontiguousarray")
        self._row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self._dtype.itemsize
        self.position = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        stop = min(stop, self.shape[0])
        skip = (start - self.position) * self._row_bytes
        while skip > 0:
            skip -= len(self._exactly(min(skip, _BLOCK)))
        data = self._exactly(max(0, stop - start) * self._row_bytes)
        self.position = max(start, stop)
        return np.frombuffer(data, dtype=self._dtype).reshape(-1, *self.shape[1:])

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
