"""Published files on this machine, and whether they are what they should be."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omnilearn_lab.catalog.archives import unpacked_name
from omnilearn_lab.catalog.checks import checksum, matches
from omnilearn_lab.catalog.schema import DataFile
from omnilearn_lab.catalog.store import Store
from omnilearn_lab.machine import locked, write_text

log = logging.getLogger(__name__)
_RECORD = "received.json"
_CHECKSUM = re.compile("(md5|sha256|adler32):[0-9a-f]+")
_LARGEST_RECORD = 50_000_000  # bytes


@dataclass(frozen=True)
class FileStatus:
    """What `verify` found about one file.

    Attributes
    ----------
    name
    state
        ``ok``: the publisher's checksum; ``unverified``: there, but the publisher gives no checksum;
        ``unpacked``: only the folder that its archive was unpacked into is there; ``wrong``: another
        checksum or size than expected; ``missing``.
    detail
        The checksum; for an unverified file the one of the day it came, where that is recorded.

    Examples
    --------
    >>> FileStatus("a.h5", "unverified").is_here
    True
    """

    name: str
    state: Literal["ok", "unverified", "unpacked", "wrong", "missing"]
    detail: str = ""

    @property
    def is_here(self) -> bool:
        """Whether the file need not be fetched."""
        return self.state not in ("wrong", "missing")


def place(name: str, file: DataFile, store: Store) -> Path:
    """Return where a file is (the folder, for an unpacked archive), or else belongs."""
    here = store.find(f"{name}/{unpacked_name(file.name)}") or store.find(f"{name}/{file.name}")
    return here or store.target(f"{name}/{file.name}")


def check_file(name: str, file: DataFile, store: Store, *, thorough: bool = False) -> FileStatus:
    """Compare a local file with the catalogue, or with what was recorded when it was fetched.

    A file of the recorded size and time is not read again unless ``thorough``.
    """
    path = store.find(f"{name}/{file.name}")
    if path is None:
        return _absent(name, file, store)
    entry = _recorded(path.parents[len(Path(file.name).parts) - 1]).get(file.name, {})
    if file.size is not None and path.stat().st_size != file.size:
        return FileStatus(file.name, "wrong", f"{path.stat().st_size} bytes instead of {file.size}")
    expected = file.checksum or entry.get("checksum")
    if expected is None:
        return FileStatus(file.name, "unverified", "neither a published nor a recorded checksum")
    is_checked = entry.get("checksum") == expected and entry.get("stamp") == _stamp(path)
    if (thorough or not is_checked) and not matches(path, expected):
        return FileStatus(file.name, "wrong", f"the checksum is not {expected}")
    if file.checksum:
        return FileStatus(file.name, "ok", expected)
    return FileStatus(file.name, "unverified", f"no published checksum; as when it came: {expected}")


def _absent(name: str, file: DataFile, store: Store) -> FileStatus:
    unpacked = store.find(f"{name}/{unpacked_name(file.name)}")
    if unpacked is not None:
        return FileStatus(file.name, "unpacked", str(unpacked))
    return FileStatus(file.name, "missing", f"{file.url or 'no address'}; belongs at '{store.target(name)}'")


def record(folder: Path, file: DataFile, path: Path) -> None:
    """Note checksum, size and time of a file that has just been checked, and lies at ``path``."""
    noted = file.checksum or checksum(path)
    entry = {"checksum": noted, "source": file.checksum_source, "url": file.url, "stamp": _stamp(path)}
    with locked(folder / _RECORD):
        write_text(folder / _RECORD, json.dumps(_recorded(folder) | {file.name: entry}, indent=1))


def _recorded(folder: Path) -> dict[str, dict[str, Any]]:
    """The notes of a folder; those that are not in our form count as none."""
    path = folder / _RECORD
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_RECORD:
            return {}
        notes = json.loads(path.read_text(encoding="utf-8"))
        return {name: entry for name, entry in notes.items() if _is_note(entry)}
    except (ValueError, AttributeError, RecursionError):
        log.warning("'%s' is damaged; checksums are computed again", path)
        return {}


def _is_note(entry: Any) -> bool:
    noted = entry.get("checksum") if isinstance(entry, dict) else None
    return isinstance(noted, str) and _CHECKSUM.fullmatch(noted) is not None


def _stamp(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns]
