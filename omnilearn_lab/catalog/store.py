"""Published files on this machine: where they live, whether they are what they should be, unpacked safely."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import NamedTuple

from omnilearn_lab.errors import DataFileError, DownloadError, translated
from omnilearn_lab.machine import StrPath, atomic_folder

DATA_VARIABLE = "OMNILEARN_LAB_DATA"
"""Environment variable that names the data folder."""

_REMEDY = f"give another folder with data_dir=... or the environment variable {DATA_VARIABLE}"


@dataclass(frozen=True)
class Store:
    """A place to look for data files, and a place to write them.

    Attributes
    ----------
    own
        Folder that this user can write; looked at first.
    shared
        Read-only folder that several users share, or none.
    """

    own: Path
    shared: Path | None = None

    def find(self, name: str) -> Path | None:
        """Return the path of an existing file or folder, or none."""
        for root in filter(None, (self.own, self.shared)):
            if (path := inside(root, name)).exists():
                return path
        return None

    def target(self, name: str) -> Path:
        """Return the path where a file of that name is to be written."""
        return inside(self.own, name)


def inside(root: Path, name: str) -> Path:
    """Return ``root / name``, refusing names that leave ``root``; links set by the user may lead anywhere.

    Examples
    --------
    >>> inside(Path("/data"), "../etc/passwd")
    Traceback (most recent call last):
    omnilearn_lab.errors.DataFileError: '../etc/passwd' leaves the data folder '/data'; use a name inside it
    """
    if "\0" not in name and not Path(name).is_absolute() and ".." not in Path(name).parts:
        return root / name
    raise DataFileError(f"{name!r} leaves the data folder '{root}'; use a name inside it")


def open_store(data_dir: StrPath | None = None) -> Store:
    """Find the data folder: the argument, else ``OMNILEARN_LAB_DATA``, else the user's cache folder.

    A data folder that exists and cannot be written is used as a shared one, with the user's
    cache folder on top.

    Parameters
    ----------
    data_dir
        A folder; it is made when it does not exist.

    Returns
    -------
    Store

    Raises
    ------
    DataFileError
        When no folder can be written.
    """
    asked = data_dir or os.environ.get(DATA_VARIABLE)
    if not asked:
        return Store(_made(_user_cache()))
    with translated(DataFileError, f"'{asked}' is no data folder", _REMEDY):
        folder = Path(asked).expanduser()
        if not folder.is_dir() or _is_writable(folder):
            return Store(_made(folder))
        try:
            return Store(_made(_user_cache()), shared=folder)
        except DataFileError:
            return Store(folder)  # there is no place for a cache: what is there can still be read


def _user_cache() -> Path:
    from platformdirs import user_cache_path

    with translated(DataFileError, "this user has no home folder", _REMEDY):
        return user_cache_path("omnilearn_lab")


def _made(folder: Path) -> Path:
    with translated(DataFileError, f"the data folder '{folder}' cannot be made", _REMEDY):
        folder.mkdir(parents=True, exist_ok=True)
    if not _is_writable(folder):
        raise DataFileError(f"the data folder '{folder}' cannot be written; {_REMEDY}")
    return folder


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


_BLOCK = 1 << 20
_PAGE = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)


def checksum(path: Path, kind: str = "sha256") -> str:
    """Return ``kind:digits`` of a file, read in blocks.

    Parameters
    ----------
    path
    kind
        ``md5``, ``sha256`` or ``adler32``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     checksum(Path(file.name), "adler32")
    'adler32:00000001'
    """
    with path.open("rb") as file:
        if kind != "adler32":
            make = partial(hashlib.new, kind, usedforsecurity=False)
            return f"{kind}:{hashlib.file_digest(file, make).hexdigest()}"
        blocks = iter(partial(file.read, _BLOCK), b"")
        return f"{kind}:{reduce(lambda value, block: zlib.adler32(block, value), blocks, 1):08x}"


def matches(path: Path, expected: str) -> bool:
    """Tell whether a file has the checksum ``kind:digits``."""
    return checksum(path, expected.partition(":")[0]) == expected


def is_web_page(start: bytes) -> bool:
    """Tell whether a file that begins so is a page for browsers: a login form, or an error.

    Examples
    --------
    >>> is_web_page(b"<!DOCTYPE html><title>Sign in</title>"), is_web_page(b"PAR1")
    (True, False)
    """
    return _PAGE.match(start) is not None


def format_fault(path: Path, name: str) -> str | None:
    """Return what is wrong with a file's first and last bytes, by the format that its name tells.

    Parameters
    ----------
    path
        The file.
    name
        Its name, when it is complete.

    Returns
    -------
    str or None
        None for a file that begins and ends as its format asks for; an empty text where the format has no
        such marks, so that nothing is known.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "jets.parquet"
    >>> _ = path.write_bytes(b"PAR1 and then the connection ended")
    >>> format_fault(path, path.name)
    'it does not end as a parquet file does'
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(1024)
        file.seek(max(0, size - 66_000))
        tail = file.read()
    if is_web_page(head):
        return "it is a web page"
    form = next((form for endings, form in _FORMATS.items() if name.endswith(endings)), None)
    if form is None:
        return ""
    if not head.startswith(form.mark, form.place):
        return f"it does not begin as {form.kind} file does"
    if form.told_size is not None:
        end = form.told_size(head)
        return None if size >= end else f"it has {size} of the {end} bytes that it tells"
    if form.ends_well is None:
        return ""
    return None if form.ends_well(tail, size) else f"it does not end as {form.kind} file does"


def _told_by_hdf5(head: bytes) -> int:
    version, width = head[8], head[13] if head[8] < 2 else head[9]
    place = {0: 24, 1: 28}.get(version, 12) + 2 * width  # after base address and one more address
    return int.from_bytes(head[place : place + width], "little")


def _told_by_root(head: bytes) -> int:
    is_large = int.from_bytes(head[4:8], "big") >= 1_000_000
    return int.from_bytes(head[12 : 20 if is_large else 16], "big")


class _Format(NamedTuple):
    """How files of a format begin, and what tells that they are complete."""

    kind: str
    mark: bytes
    place: int = 0
    told_size: Callable[[bytes], int] | None = None
    ends_well: Callable[[bytes, int], bool] | None = None


_FORMATS = {
    (".h5", ".hdf5"): _Format("an HDF5", b"\x89HDF\r\n\x1a\n", told_size=_told_by_hdf5),
    (".root",): _Format("a ROOT", b"root", told_size=_told_by_root),
    (".parquet",): _Format("a parquet", b"PAR1", ends_well=lambda tail, _: tail.endswith(b"PAR1")),
    (".zip", ".npz"): _Format("a zip", b"PK", ends_well=lambda tail, _: b"PK\x05\x06" in tail),
    (".tar",): _Format("a tar", b"ustar", 257, None, lambda tail, n: n % 512 == 0 and not any(tail[-1024:])),
    (".gz", ".tgz"): _Format("a gzip", b"\x1f\x8b"),
}


_ENDINGS = (".tar.gz", ".tar", ".zip")  # of files that are unpacked into a folder beside them
_MEMBERS = 1_000_000  # in one archive
_RATIO, _SMALL = 200, 100_000_000  # unpacked bytes: so many times the archive's, and always as many as these


def unpacked_name(name: str) -> str:
    """Return the folder that an archive is unpacked into; other names stay as they are.

    Examples
    --------
    >>> unpacked_name("JetClass_Pythia_val_5M.tar"), unpacked_name("train.h5")
    ('JetClass_Pythia_val_5M', 'train.h5')
    """
    ending = next((ending for ending in _ENDINGS if name.endswith(ending)), "")
    return name.removesuffix(ending)


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a ``.tar``, ``.tar.gz`` or ``.zip`` file; the folder appears only when complete.

    Parameters
    ----------
    archive
    folder
        Target; nothing is done when it is there already.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DataFileError
        When the archive is damaged, holds names that leave the folder, or states sizes that cannot be
        meant: more than 200 times its own.
    DownloadError
        When the disk has no room for it.
    """
    if folder.is_dir():
        return folder
    extract = _extract_zip if archive.suffix == ".zip" else _extract_tar
    with translated(DataFileError, f"'{archive}' cannot be unpacked", "delete it and fetch it again"):
        try:
            with atomic_folder(folder) as partial:
                for _ in _within_limits(extract(archive, partial), archive):
                    os.utime(partial)  # somebody is still writing here
        except OSError as error:
            causes = (error, error.__cause__)
            if any(getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT) for cause in causes):
                raise _no_room(archive, folder) from error
            raise
    return folder


def _within_limits(sizes: Iterator[int], archive: Path) -> Iterator[int]:
    """Pass on the stated sizes of members, each before it is written, while they can be meant."""
    limit = max(_SMALL, _RATIO * archive.stat().st_size)
    free = shutil.disk_usage(archive.parent).free
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if total > limit or number >= _MEMBERS:
            raise DataFileError(
                f"'{archive}' of {archive.stat().st_size} bytes states {number + 1} files with {total} "
                f"bytes; at most {_MEMBERS} files and {limit} bytes are accepted: it is damaged or not what "
                "it should be; delete it, compare its address with the record's page, and fetch it again"
            )
        if total > free:
            raise _no_room(archive, archive.parent)
        yield size


def _no_room(archive: Path, folder: Path) -> DownloadError:
    return DownloadError(
        f"unpacking '{archive}' into '{folder}' failed: the disk is full; make room and try again"
    )


def _extract_zip(archive: Path, folder: Path) -> Iterator[int]:
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            inside(folder, member.filename)
            yield member.file_size
            file.extract(member, folder)


def _extract_tar(archive: Path, folder: Path) -> Iterator[int]:
    with tarfile.open(archive) as file:
        for member in file:
            yield member.size
            file.extract(member, folder, filter=_safe)


def _safe(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """What tarfile holds for safe, with the modes that the umask asks for instead of the packer's."""
    return tarfile.data_filter(member, folder).replace(mode=None, deep=False)  # type: ignore[arg-type]
