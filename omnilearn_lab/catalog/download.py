"""Getting published files: several at once, each going on where it stopped, checked, never half-written."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from omnilearn_lab.catalog.entries import DataFile
from omnilearn_lab.catalog.store import Store, checksum, format_fault, is_web_page, matches, unpacked_name
from omnilearn_lab.errors import DataFileError, DownloadError
from omnilearn_lab.machine import locked, write_text
from omnilearn_lab.machine.files import open_partial
from omnilearn_lab.settings import settings

if TYPE_CHECKING:
    import requests


log = logging.getLogger(__name__)
_BLOCK = 1 << 16
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_PAUSE = 60.0


@settings
class DownloadSettings:
    """How patient a download is.

    Attributes
    ----------
    retries
        Attempts in a row that may bring nothing before giving up.
    pause
        Seconds before the second attempt; doubled for every further one, up to a minute.
    timeout
        Seconds to wait for a connection, or for the next bytes.
    """

    retries: Annotated[int, Field(ge=0)] = 5
    pause: Annotated[float, Field(ge=0)] = 1.0
    timeout: Annotated[float, Field(gt=0)] = 30.0


class _Interrupted(Exception):
    """An attempt ended early; another one may go on."""


class OfflineError(DownloadError):
    """Nothing leads to the server, not even its name or the proxy: waiting will not help."""


class Download:
    """One file on its way: what arrived is kept in ``<name>.part``, and only the rest is asked for.

    Servers that refuse ranges, answer with another range, or serve a file that changed in the
    meantime make it start over. Every address on the way is an https address where the first is. A page
    for browsers in place of the file, and a file whose completeness nothing tells, are refused.

    Parameters
    ----------
    target
        Final path of the file; the part lies beside it.
    file : DataFile
        Address, and size and checksum where known.
    patience : DownloadSettings
    report
        Called with the change of the number of bytes at hand.
    """

    def __init__(
        self,
        target: Path,
        file: DataFile,
        patience: DownloadSettings | None = None,
        report: Callable[[int], Any] = lambda change: None,
    ) -> None:
        self.part = target.with_name(target.name + ".part")
        self._about = target.with_name(target.name + ".part.json")
        self._target, self._file, self._url = target, file, str(file.url)
        self._patience, self._report = patience or DownloadSettings(), report
        self._was_reached = False

    def fetch(self) -> Path:
        """Return the part, complete and checked; it still needs its name, see `finish`.

        Raises
        ------
        DownloadError
            When the file cannot be fetched, or arrives twice with a wrong checksum.
        """
        self._report(self._have())
        for last in (False, True):  # a corrupt copy is fetched once more
            self._complete()
            expected = self._file.checksum
            fault = format_fault(self.part, self._target.name) if expected is None else None
            if not fault and (expected is None or matches(self.part, expected)):
                return self.part
            self._start_over()
            if last:
                raise DownloadError(self._wrong(fault))
            log.warning("'%s' arrived damaged; fetching it once more", self._file.name)
        raise DownloadError(self._wrong(None))

    def finish(self) -> None:
        """Give the complete part its name."""
        self.part.replace(self._target)
        self._about.unlink(missing_ok=True)

    def _complete(self) -> None:
        """Try until everything is here."""
        failures = most = 0
        while (have := self._have()) != self._size() or have == 0:
            most = max(most, have)
            try:
                self._attempt(have)
                return
            except _Interrupted as error:
                failures = 1 if self._have() > most else failures + 1
                log.info("'%s': %s; %d bytes at hand", self._target.name, error, self._have())
                if failures > self._patience.retries:
                    raise DownloadError(self._by_hand(str(error))) from error
            time.sleep(min(self._patience.pause * 2 ** (failures - 1), _LONGEST_PAUSE))

    def _attempt(self, have: int) -> None:
        """Ask for what is missing and write it."""
        import requests
        import urllib3

        try:
            with _session() as session:
                answer = session.get(
                    self._url, headers=self._headers(have), stream=True, timeout=self._patience.timeout
                )
                with answer:
                    self._receive(answer, have)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            cause = getattr(next(iter(error.args), None), "reason", error)  # without urllib3's wrapping
            if not self._was_reached and (reason := _offline(cause)):
                raise OfflineError(self._by_hand(reason)) from error
            raise _Interrupted(f"{type(cause).__name__}: {cause}") from error
        except (DownloadError, DataFileError):
            raise
        except OSError as error:
            raise DownloadError(self._cannot_write(error)) from error

    def _headers(self, have: int) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if etag := self._noted("etag", str):
                headers["If-Range"] = etag
        return headers

    def _receive(self, answer: requests.Response, have: int) -> None:
        self._was_reached = True
        length = re.fullmatch(r"bytes \*/(\d+)", answer.headers.get("Content-Range", ""))
        if answer.status_code == 416 and length and int(length[1]) == have and self._file.size is None:
            self._note(size=have)
            return  # it was complete
        if answer.status_code == 416:
            self._start_over()
            raise _Interrupted("the server has no such range")
        if answer.status_code in _TEMPORARY:
            raise _Interrupted(f"the server answers {answer.status_code}")
        if answer.status_code not in (200, 206):
            raise DownloadError(self._by_hand(f"the server answers {answer.status_code}"))
        if answer.status_code == 206 and not self._is_range(answer, have):
            self._start_over()
            raise _Interrupted("the server sent another range than asked for")
        self._check_space(answer)
        blocks = self._blocks(answer)
        if answer.status_code == 200:
            self._start_over()
        announced = answer.headers.get("Content-Range", "").rpartition("/")[2]
        announced = announced or answer.headers.get("Content-Length", "")
        total = self._file.size or (int(announced) if announced.isdigit() else None)
        self._note(etag=_strong_tag(answer), size=total)
        self._write(blocks, total)
        self._check_length(answer, total)

    def _blocks(self, answer: requests.Response) -> Iterator[bytes]:
        """The answer's bytes as they were sent; a page for browsers is no data."""
        blocks = answer.raw.stream(_BLOCK, decode_content=False)
        first = next(blocks, b"")
        is_page = answer.headers.get("Content-Type", "").startswith("text/html") or is_web_page(first)
        if is_page and answer.status_code == 200 and not self._target.name.endswith((".html", ".htm")):
            raise DownloadError(
                f"{self._url} gave a web page instead of the file '{self._target.name}': a login or an error "
                "page? Open it in a browser; where it asks you to sign in, do that, download the file there, "
                f"and put it at '{self._target}'"
            )
        return itertools.chain([first], blocks)

    def _check_space(self, answer: requests.Response) -> None:
        coming = answer.headers.get("Content-Length", "")
        free = shutil.disk_usage(self.part.parent).free
        if coming.isdigit() and int(coming) > free:
            raise DownloadError(
                f"'{self._target.name}' needs {int(coming)} more bytes, and '{self.part.parent}' has {free} "
                "free; make room or choose another data folder, then try again"
            )

    def _is_range(self, answer: requests.Response, have: int) -> bool:
        sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not sent or int(sent[1]) != have:
            return False
        return self._size() is None or sent[2] in ("*", str(self._size()))

    def _write(self, blocks: Iterator[bytes], total: int | None) -> None:
        have = self._have()
        with os.fdopen(open_partial(self.part), "ab") as file:
            for block in blocks:
                file.write(block)
                self._report(len(block))
                have += len(block)
                if total is not None and have > total:
                    break
            file.flush()
            os.fsync(file.fileno())

    def _check_length(self, answer: requests.Response, total: int | None) -> None:
        """Compare what is at hand with the announced or the catalogued length."""
        have = self._have()
        if total is not None and have < total:
            raise _Interrupted(f"the connection ended after {have} of {total} bytes")
        if total is not None and have > total:
            self._start_over()
            raise _Interrupted(f"the server sent more than {total} bytes")
        is_told = total is not None or answer.headers.get("Transfer-Encoding", "").lower() == "chunked"
        if not is_told and self._file.checksum is None:
            fault = format_fault(self.part, self._target.name)
            if fault == "":
                raise DownloadError(self._by_hand("nothing tells whether it arrived complete"))
            if fault is not None:
                raise _Interrupted(fault)
        if total is None:
            self._note(size=have)

    def _start_over(self) -> None:
        self._report(-self._have())
        self.part.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def _have(self) -> int:
        return self.part.lstat().st_size if self.part.is_file() and not self.part.is_symlink() else 0

    def _size(self) -> int | None:
        """The size that the complete file has, from the catalogue or the server."""
        return self._file.size or self._noted("size", int)

    def _note(self, **facts: Any) -> None:
        write_text(self._about, json.dumps(facts))

    def _noted(self, name: str, kind: type) -> Any:
        try:
            value = json.loads(self._about.read_text(encoding="utf-8")).get(name)
        except (OSError, ValueError, AttributeError, RecursionError):
            return None
        return value if type(value) is kind and value else None

    def _wrong(self, fault: str | None) -> str:
        hint = {"reported": " (reported by a third party: compare it with the record's page)"}
        expected = f"the checksum {self._file.checksum} is expected{hint.get(self._file.checksum_source, '')}"
        return (
            f"'{self._file.name}' from {self._url} arrived twice with a wrong checksum or end: "
            f"{fault or expected}; nothing was kept. Try again later, or put a good copy at '{self._target}'"
        )

    def _by_hand(self, reason: str) -> str:
        return (
            f"'{self._target.name}' could not be downloaded from {self._url} ({reason}); "
            "check the connection and try again, it will go on where it stopped; "
            f"or download it elsewhere and put it at '{self._target}'"
        )

    def _cannot_write(self, error: OSError) -> str:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else str(error)
        return (
            f"writing '{self.part}' failed: {reason}; make room or choose another data folder, "
            f"then try again: the {self._have()} bytes that arrived are kept"
        )


def _offline(cause: Any) -> str:
    """Say why no attempt will reach a server; empty where another one may."""
    import urllib3

    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return "its server is not known here: is there a network?"
    if isinstance(cause, urllib3.exceptions.ProxyError):
        return "the proxy that the variable https_proxy names does not answer"
    return "the network is unreachable" if "unreachable" in str(cause) else ""


def _session() -> requests.Session:
    """A session that leaves https for no other kind of address, on no hop."""
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> str | None:
            where = super().get_redirect_target(resp)
            is_leaving = where is not None and not re.match("(?i)https://|//|(?![a-z][a-z0-9+.-]*:)", where)
            if is_leaving and resp.url.lower().startswith("https:"):
                raise DownloadError(
                    f"{resp.url} leads to the insecure address {where}; nothing was fetched from there: get "
                    "the file from the record's page, or report the address"
                )
            return where

    return Session()


def _strong_tag(answer: requests.Response) -> str | None:
    tag = answer.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else None


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
