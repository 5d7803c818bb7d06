"""Where data files live: a data folder, which may be shared and read-only, and a cache of the user's own."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from omnilearn_lab.errors import DataFileError, translated

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


def open_store(data_dir: str | os.PathLike[str] | None = None) -> Store:
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
