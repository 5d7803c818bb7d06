"""Which published files are on this machine, and whether they are what they should be."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from omnilearn_lab.catalog.checksums import checksum, matches
from omnilearn_lab.catalog.published import unpacked_name
from omnilearn_lab.catalog.schema import DataFile
from omnilearn_lab.catalog.store import Store

__all__ = ["FileStatus", "check_file", "place", "record"]

log = logging.getLogger(__name__)
_RECORD = "received.json"


@dataclass(frozen=True)
class FileStatus:
    """What `verify` found about one file.

    Attributes
    ----------
    name
    state
        ``ok``; ``recorded``: as when it was downloaded, the publisher gives no checksum;
        ``unpacked``: only the folder that its archive was unpacked into is there; ``unknown``: there,
        and nothing to compare with; ``wrong``: another checksum or size; ``missing``.
    detail

    Examples
    --------
    >>> FileStatus("a.h5", "unknown").is_here
    True
    """

    name: str
    state: Literal["ok", "recorded", "unpacked", "unknown", "wrong", "missing"]
    detail: str = ""

    @property
    def is_here(self) -> bool:
        """Whether the file need not be fetched."""
        return self.state not in ("wrong", "missing")


def place(name: str, file: DataFile, store: Store) -> Path:
    """Return where a file is (the folder, for an unpacked archive), or else belongs."""
    found = store.find(f"{name}/{unpacked_name(file.name)}") or store.find(f"{name}/{file.name}")
    return found or store.target(f"{name}/{file.name}")


def check_file(name: str, file: DataFile, store: Store, *, thorough: bool = False) -> FileStatus:
    """Compare a local file with the catalogue, or with what was recorded when it was fetched.

    A file of the recorded size and time is not read again unless ``thorough``.
    """
    path = store.find(f"{name}/{file.name}")
    if path is None:
        return _absent(name, file, store)
    known = _recorded(path.parents[len(Path(file.name).parts) - 1]).get(file.name, {})
    if file.size is not None and path.stat().st_size != file.size:
        return FileStatus(file.name, "wrong", f"{path.stat().st_size} bytes instead of {file.size}")
    expected = file.checksum or known.get("checksum")
    if expected is None:
        return FileStatus(file.name, "unknown", "neither a published nor a recorded checksum")
    is_checked = known.get("checksum") == expected and known.get("stamp") == _stamp(path)
    if (thorough or not is_checked) and not matches(path, expected):
        return FileStatus(file.name, "wrong", f"the checksum is not {expected}")
    return FileStatus(file.name, "ok" if file.checksum else "recorded", expected)


def _absent(name: str, file: DataFile, store: Store) -> FileStatus:
    unpacked = store.find(f"{name}/{unpacked_name(file.name)}")
    if unpacked is not None:
        return FileStatus(file.name, "unpacked", str(unpacked))
    return FileStatus(file.name, "missing", f"{file.url or 'no address'}; belongs at '{store.target(name)}'")


def record(folder: Path, file: DataFile) -> None:
    """Note checksum, size and time of a file that has just been checked."""
    path = folder / file.name
    noted = file.checksum or checksum(path)
    entry = {"checksum": noted, "source": file.checksum_source, "url": file.url, "stamp": _stamp(path)}
    with FileLock(folder / f"{_RECORD}.lock"):
        partial = folder / f"{_RECORD}.part"
        partial.write_text(json.dumps(_recorded(folder) | {file.name: entry}, indent=1))
        partial.replace(folder / _RECORD)


def _recorded(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / _RECORD
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except ValueError:
        log.warning("'%s' is damaged; checksums are computed again", path)
        return {}


def _stamp(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns]
