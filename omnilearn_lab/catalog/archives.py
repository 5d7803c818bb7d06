"""Unpacking archives: never elsewhere, never more than was stated, never half."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from omnilearn_lab.catalog.store import inside
from omnilearn_lab.errors import DataFileError, DownloadError, translated
from omnilearn_lab.machine import atomic_folder

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
