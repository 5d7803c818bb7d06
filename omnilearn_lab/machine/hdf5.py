"""Writing HDF5 where the disk may be full: an error of ours, never a dead kernel.

The HDF5 library cannot close a file that it cannot write: it keeps what is left, and ends the process with a
segmentation fault later. So it never hears of the failure: it writes to a file object that notes the first
error, takes everything after it without writing, and the file that is being made is thrown away.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from omnilearn_lab.machine.files import atomic_path

if TYPE_CHECKING:
    import h5py


@contextmanager
def atomic_hdf5(
    target: str | os.PathLike[str], *, copy_of: str | os.PathLike[str] | None = None
) -> Iterator[h5py.File]:
    """Yield an HDF5 file to write into; it replaces the target when the block ends well.

    Call `check_disk` after each large step of a long block, to stop early when the disk is full.

    Parameters
    ----------
    target
        See `atomic_path`.
    copy_of
        Start from a copy of this file instead of an empty one.

    Yields
    ------
    h5py.File

    Raises
    ------
    DataFileError
        When the folder cannot be written or the disk is full; the target is as it was.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with atomic_hdf5(path) as file:
    ...     file["x"] = [1, 2]
    >>> path.read_bytes()[1:4]
    b'HDF'
    """
    import h5py

    with atomic_path(target) as path:
        if copy_of is not None:
            shutil.copyfile(copy_of, path)
        with path.open("rb+", buffering=0) as raw:
            disk = _Disk(raw)
            try:
                with h5py.File(disk, "w" if copy_of is None else "r+") as file:
                    file._disk = disk
                    yield file
            except Exception:
                disk.check()  # the cause, not what followed from it
                raise
            disk.check()


def check_disk(file: h5py.File) -> None:
    """Raise the error that writing into a file of `atomic_hdf5` met, if any.

    Raises
    ------
    OSError
        `atomic_hdf5` turns it into a DataFileError.
    """
    file.flush()
    file._disk.check()


class _Disk(io.RawIOBase):
    """A file that never fails: after the first error it swallows what is written, and tells when asked."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw, self._error, self._position, self._end = raw, None, 0, 0

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        end = max(self._end, os.fstat(self._raw.fileno()).st_size)
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: end}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._raw.fileno(), len(buffer), self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._keep(lambda: self._write_all(view))
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        size = self._position if size is None else size
        self._keep(lambda: os.ftruncate(self._raw.fileno(), size))
        return size

    def _write_all(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            done += os.pwrite(self._raw.fileno(), view[done:], self._position + done)

    def _keep(self, action: Any) -> None:
        if self._error is None:
            try:
                action()
            except OSError as error:
                self._error = error
