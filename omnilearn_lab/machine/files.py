"""The one way to write a file: beside the target under a name of its own, then in its place, in one step.

The HDF5 library cannot close a file that it cannot write: it keeps what is left, and ends the process with a
segmentation fault later. So it never hears of the failure: it writes to a file object that notes the first
error, takes everything after it without writing, and the file that is being made is thrown away.
Reading believes nothing: every failure is one error of ours, and no size is taken on trust. Text in HDF5
files lies in heaps, and a damaged heap makes the library loop for ever: `watched` looks at them first.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnilearn_lab.errors import DataFileError, OmniLearnLabError, is_file, is_folder, translated

if TYPE_CHECKING:
    import h5py


StrPath = str | os.PathLike[str]
"""A path, as text or as an object."""

_log = logging.getLogger(__name__)
_WAITING = "another process works on '%s'; waiting for it"
MARK = ".partial-"  # in the name of every file and folder that is being written
_ORPHAN = re.compile(re.escape(MARK) + r"[0-9a-f]{16}(\.[^/]*)?$")
_DAY = 86_400.0  # seconds without a write after which nobody is writing any more
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_path(target: StrPath) -> Iterator[Path]:
    """Yield the path of a new file beside the target; it replaces the target when the block ends well.

    The new file did not exist before (no file of anybody's is touched and no link is followed), has the
    target's ending, and the modes that the umask and the folder ask for. After an error it is removed and
    the target is as it was. What is written is on the disk before the target is replaced. What a process
    that was killed left behind is removed a day later by whoever writes in the folder next.

    Parameters
    ----------
    target
        The folder must exist.

    Yields
    ------
    Path

    Raises
    ------
    DataFileError
        When the folder cannot be written or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "numbers.txt") as path:
    ...     _ = path.write_text("1 2 3")
    >>> [file.name for file in folder.iterdir()]
    ['numbers.txt']
    """
    target = Path(target)
    path = _partial(target)
    with _told(target, path):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | _NO_LINK, 0o666)
        try:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            _sweep(target.parent, os.fstat(descriptor).st_mtime)
        finally:
            os.close(descriptor)
        try:
            yield path
            with path.open("rb+") as file:
                os.fchmod(file.fileno(), mode)  # a library may have put a private file in its place
                os.fsync(file.fileno())
            path.replace(target)
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: StrPath) -> Iterator[Path]:
    """Yield the path of a new folder, which gets the target's name when the block ends well.

    Raises
    ------
    DataFileError
        When the folder cannot be made, the disk is full, or the target is there already and not empty.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "jets"
    >>> with atomic_folder(target) as folder:
    ...     _ = (folder / "a.txt").write_text("1")
    >>> [file.name for file in target.iterdir()]
    ['a.txt']
    """
    target = Path(target)
    path = _partial(target)
    with _told(target, path):
        make_folder(path)
        _sweep(target.parent, path.stat().st_mtime)
        try:
            yield path
            path.rename(target)
        finally:
            shutil.rmtree(path, ignore_errors=True)


def write_text(target: StrPath, text: str) -> Path:
    """Write a text file in one step, and return its path.

    Examples
    --------
    >>> import tempfile
    >>> write_text(Path(tempfile.mkdtemp()) / "a.json", "{}").read_text()
    '{}'
    """
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")
    return Path(target)


def write_arrays(target: StrPath, arrays: Mapping[str, Any]) -> Path:
    """Write named arrays, compressed, in one atomic step.

    Raises
    ------
    DataFileError
        When the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = write_arrays(Path(tempfile.mkdtemp()) / "a.npz", {"x": [1, 2]})
    >>> read_arrays(path)["x"].tolist()
    [1, 2]
    """
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    with atomic_path(target) as partial:
        partial.write_bytes(buffer.getbuffer())
    return Path(target)


def read_arrays(path: StrPath) -> dict[str, Any]:
    """Read the arrays of an ``.npz`` file; nothing in it is executed.

    Raises
    ------
    DataFileError
        When the file is missing or damaged (the archive has checksums).
    """
    import numpy as np

    with (
        translated(DataFileError, f"'{path}' cannot be read", "remove it, and make or get it again"),
        np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file,
    ):
        return {name: file[name] for name in file.files}


def make_folder(folder: StrPath) -> Path:
    """Make a folder and those above it; where a group may write above, it may write in them too.

    Raises
    ------
    DataFileError
        When it cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> make_folder(Path(tempfile.mkdtemp()) / "a" / "b").is_dir()
    True
    """
    folder = _named(Path(folder))
    with _told(folder, folder):
        missing = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for place in reversed(missing):
            above, ours = place.parent.stat().st_mode, place.stat().st_mode
            with suppress(PermissionError):
                place.chmod(stat.S_IMODE(ours | above & (stat.S_IWGRP | stat.S_ISGID)))
    return folder


def open_partial(path: Path) -> int:
    """Open a partial file of ours for appending, and return its descriptor.

    Raises
    ------
    DataFileError
        When something else has that name: a link, a folder, a pipe, or a file with a second name.
    """
    with _told(path, path):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | _NO_LINK, 0o666)
            about = os.fstat(descriptor)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise
            raise _not_ours(path) from error
        if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
            os.close(descriptor)
            raise _not_ours(path)
    return descriptor


@contextmanager
def locked(path: StrPath, timeout: float = -1) -> Iterator[None]:
    """Hold ``<path>.lock`` during a block; whoever may write in the folder may take the lock.

    Parameters
    ----------
    path
        What the lock is for.
    timeout
        Seconds to wait; for ever by default.

    Raises
    ------
    DataFileError
        When the lock cannot be made or opened, or is still held after ``timeout``.

    Examples
    --------
    >>> import tempfile
    >>> with locked(Path(tempfile.mkdtemp()) / "a.h5"):
    ...     pass
    """
    from filelock import FileLock, Timeout

    lock = Path(f"{path}.lock")
    with _told(lock, lock):
        _make_lock(lock)
        holder = FileLock(lock, timeout=timeout)
        try:
            with suppress(Timeout):
                holder.acquire(timeout=0)
            if not holder.is_locked:
                _log.log(logging.WARNING if timeout else logging.DEBUG, _WAITING, path)
                holder.acquire()
        except Timeout as error:
            raise DataFileError(f"'{path}' is in use by another process; wait until it has ended") from error
    try:
        yield
    finally:
        holder.release()


def _make_lock(lock: Path) -> None:
    """An empty file that everybody may lock who may write in its folder."""
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _NO_LINK, 0o666)
    except FileExistsError:
        if not stat.S_ISREG(lock.lstat().st_mode):
            raise _not_ours(lock) from None
        return
    try:
        shared = lock.parent.stat().st_mode & 0o022
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | shared | shared << 1)
    finally:
        os.close(descriptor)


def _named(path: Path) -> Path:
    if "\0" in str(path):
        raise DataFileError(f"nothing can be named {str(path)!r}; choose another name")
    return path


def _partial(target: Path) -> Path:
    if not _named(target).name:
        raise DataFileError(f"'{target}' names no file; name one in it")
    ending = "".join(target.suffixes[-2:])
    ending = ending if len(ending) <= 20 else target.suffix[-20:]
    name = os.fsencode(target.name)[:100].decode(errors="ignore")
    return target.with_name(f".{name}{MARK}{secrets.token_hex(8)}{ending}")


def _sweep(folder: Path, now: float) -> None:
    """Remove what was being written a day before ``now``, by the clock that stamps the folder's files."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _ORPHAN.search(entry.name) or not entry.name.startswith("."):
                continue
            if now - entry.stat(follow_symlinks=False).st_mtime > _DAY:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink(missing_ok=True)


@contextmanager
def _told(target: Path, path: Path) -> Iterator[None]:
    """Turn what the system refuses about the file being written into an error of ours."""
    try:
        yield
    except DataFileError:
        raise
    except OSError as error:
        is_ours = error.filename is None or Path(str(error.filename)) in (path, target)
        is_refused = error.errno in _REFUSALS or error.filename is not None
        if not (is_ours and is_refused):
            raise
        remedy = "make room" if error.errno in _FULL else "check the folder and its permissions"
        raise DataFileError(
            f"cannot write '{target}' ({error.strerror or error}); {remedy}, or choose another folder; "
            "what was there before is unchanged"
        ) from error


def _not_ours(path: Path) -> DataFileError:
    return DataFileError(
        f"'{path}' is a link, a folder, or has a second name: it was not made here and is left alone; "
        "look at it and move it away"
    )


@contextmanager
def atomic_hdf5(target: StrPath, *, copy_of: StrPath | None = None) -> Iterator[h5py.File]:
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


def append_rows(file: h5py.File, name: str, values: Any, **options: Any) -> None:
    """Write rows behind those that a dataset has; where there is none, make it.

    Parameters
    ----------
    file
        Open for writing.
    name
        Of the dataset.
    values : array
    **options
        Of `h5py.Group.create_dataset`, for the first rows.
    """
    if name not in file:
        file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]), **options)
        return
    file[name].resize(len(file[name]) + len(values), axis=0)
    file[name][len(file[name]) - len(values) :] = values


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


_BELIEVED = 1 << 27  # bytes that any file may ask for
_DENSEST = 5000  # bytes of content per byte of file: zeros, well compressed


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a library raises on the content of a file into `DataFileError`.

    Parameters
    ----------
    path
        The file, for the message.
    kind
        What it was read as.

    Examples
    --------
    >>> with reading(Path(__file__), "jetclass"):
    ...     raise RecursionError("too deep")
    Traceback (most recent call last):
    omnilearn_lab.errors.DataFileError: '...' is not a readable 'jetclass' file (RecursionError: too ...
    """
    if not is_file(path):
        what = "a folder; name a file in it" if is_folder(path) else "not an existing file; check the path"
        raise DataFileError(f"'{path}' is {what}, or fetch the dataset first")
    try:
        yield
    except OmniLearnLabError:
        raise
    except Exception as error:
        code = getattr(error, "errno", None)
        if isinstance(error, PermissionError):
            text = f"'{path}' may not be read by this user; ask its owner for permission (chmod a+r)"
        elif code in (errno.ENOSPC, errno.EDQUOT):
            text = f"'{path}' cannot be read: the disk for temporary files is full; free space, or set TMPDIR"
        else:
            text = (
                f"'{path}' is not a readable '{kind}' file ({type(error).__name__}: {_one_line(error)}); it "
                "may be truncated or of another format: fetch it again, or choose another reader"
            )
        raise DataFileError(text) from error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:300]}..."


def check_size(n_bytes: int, path: Path, what: str) -> None:
    """Refuse content that is far larger than its file can hold, before memory is asked for it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     check_size(10**12, Path(file.name), "data")
    Traceback (most recent call last):
    omnilearn_lab.errors.DataFileError: '...': 'data' claims 1,000 GB in a file of 0 bytes; ...
    """
    if n_bytes > _BELIEVED and n_bytes > _DENSEST * (size := path.stat().st_size):
        raise DataFileError(
            f"'{path}': '{what}' claims {n_bytes / 1e9:,.0f} GB in a file of {size:,} bytes; "
            "it is damaged: fetch or make it again"
        )


# ---- HDF5, read with care ------------------------------------------------------------------------


def check_dataset(
    item: h5py.Dataset, path: Path, *, owner: h5py.Group | None = None, text: bool = False
) -> None:
    """Refuse a dataset of unbelievable size, kept in other files, or of text where numbers are needed.

    Parameters
    ----------
    item
    path
        Its file, for messages.
    owner
        Where it was looked up; it must lie in the same file.
    text
        Text and lists of different lengths are accepted; read them through `watched`.

    Raises
    ------
    DataFileError
    """
    from h5py.h5f import get_name

    name = item.name.lstrip("/")
    check_size(item.nbytes, path, name)
    is_linked = owner is not None and get_name(item.id) != get_name(owner.id)
    if is_linked or item.is_virtual or item.external:
        raise DataFileError(
            f"'{path}': the values of '{name}' are kept in other files, which are not opened; copy them "
            "into one file (h5repack, or read and write them with h5py)"
        )
    if item.dtype.hasobject and not item.dtype.names and not text:
        raise DataFileError(f"'{path}': '{name}' holds text or objects, and numbers are needed")


def attributes(item: h5py.HLObject, *names: str) -> dict[str, Any]:
    """Return the attributes of an object in an HDF5 file: those of these names that it has, or all.

    Raises
    ------
    DataFileError
        When the text in them is damaged in a way that would make the HDF5 library loop for ever.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("a.h5", "w", driver="core", backing_store=False) as file:
    ...     file.attrs["year"] = 2026
    ...     print(attributes(file, "year", "month"))
    {'year': 2026}
    """
    stored = [name for name in item.attrs if not names or name in names]
    plain = [name for name in stored if _is_plain(item, name)]
    values = {name: item.attrs[name] for name in plain}
    if len(plain) < len(stored):
        with watched(item) as again:
            values |= {name: again.attrs[name] for name in stored if name not in values}
    return values


def _is_plain(item: h5py.HLObject, name: str) -> bool:
    """Whether an attribute holds its own values: numbers, or text of one length."""
    import h5py

    kind = h5py.h5a.open(item.id, name.encode()).get_type()
    classes = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM, h5py.h5t.OPAQUE)
    is_text = kind.get_class() == h5py.h5t.STRING
    return kind.get_class() in classes or (is_text and not kind.is_variable_str())


@contextmanager
def watched(item: h5py.HLObject) -> Iterator[Any]:
    """Yield an object of an HDF5 file again, from the file opened such that damaged text is an error.

    The same object is found by its address: links are not followed.

    Raises
    ------
    DataFileError
        While it is read.
    """
    import h5py

    path = Path(item.file.filename)
    with path.open("rb", buffering=0) as raw:
        watch = _Watch(raw, path)
        try:
            with h5py.File(watch, "r") as file:
                yield file[item.ref]
        except Exception:
            watch.check()  # the cause, not what followed from it
            raise


_HEAP = b"GCOL\x01\0\0\0"
_SMALL_READ = 1 << 16  # bytes: larger ones are no heaps, whose signature is read in a first small step
_LARGEST_HEAP = 1 << 24  # bytes that are looked at
_HEAP_HEADER = 16  # bytes, also of every object in it; free space counts its own


class _Watch(_Disk):
    """A file that HDF5 reads, which looks at every heap of texts that passes by."""

    def __init__(self, raw: io.FileIO, path: Path) -> None:
        super().__init__(raw)
        self._path = path

    def readinto(self, buffer: Any) -> int:
        start = self._position
        n_read = super().readinto(buffer)
        if n_read <= _SMALL_READ:
            place = bytes(buffer[:n_read]).find(_HEAP)
            if place >= 0 and self._is_endless(start + place):
                self._error = DataFileError(
                    f"'{self._path}': the text at byte {start + place} is damaged (a heap without an end); "
                    "fetch or make the file again"
                )
                raise self._error
        return n_read

    def _is_endless(self, start: int) -> bool:
        """Whether a walk over the objects of a heap would stay at one place: free space without a size."""
        size = int.from_bytes(os.pread(self._raw.fileno(), 8, start + 8), "little")
        heap = os.pread(self._raw.fileno(), min(size, _LARGEST_HEAP), start)
        place = _HEAP_HEADER
        while place + _HEAP_HEADER <= len(heap):
            number = int.from_bytes(heap[place : place + 2], "little")
            length = int.from_bytes(heap[place + 8 : place + 16], "little")
            if number == 0 and length < _HEAP_HEADER:
                return True
            place += length if number == 0 else _HEAP_HEADER + -(-length // 8) * 8
        return False
