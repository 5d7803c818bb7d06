"""Unpacking archives without letting them write elsewhere."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path

from omnilearn_lab.catalog.store import inside
from omnilearn_lab.errors import DataFileError, DownloadError

__all__ = ["unpack"]


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
        When the archive is damaged, or holds names that leave the folder.
    DownloadError
        When the disk is full.
    """
    if folder.is_dir():
        return folder
    partial = folder.with_name(folder.name + ".unpacking")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _extract(archive, partial)
        partial.rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise DataFileError(
            f"'{archive}' cannot be unpacked ({type(error).__name__}: {error}); delete it and fetch it again"
        ) from error
    except OSError as error:
        if isinstance(error, DataFileError):
            raise
        raise DownloadError(
            f"unpacking '{archive}' into '{folder}' failed ({error}); "
            "is the disk full? make room and try again"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _extract(archive: Path, folder: Path) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                inside(folder, name)
            file.extractall(folder)
        return
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
