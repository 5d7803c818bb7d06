"""A downloader that goes on where it stopped, for files of many GB and connections that drop."""

from __future__ import annotations

import errno
import logging
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnilearn_lab.catalog.checksums import checksum
from omnilearn_lab.errors import DownloadError

if TYPE_CHECKING:
    import requests

__all__ = ["DownloadSettings", "ResumingDownloader"]

log = logging.getLogger(__name__)
_BLOCK = 1 << 16
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
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

    retries: int = 5
    pause: float = 1.0
    timeout: float = 30.0


class _Interrupted(Exception):
    """An attempt ended early; another one may go on."""


class ResumingDownloader:
    """A downloader for Pooch that keeps what arrived in ``<name>.part`` and asks for the rest.

    Servers that refuse ranges, answer with another range, or serve a file that changed in the
    meantime make it start over. The result has the expected size, or there is none.

    Parameters
    ----------
    target
        Final path of the file; the part lies beside it.
    size
        Expected bytes, where known.
    expected
        Checksum to test here: for kinds that Pooch does not know.
    settings : DownloadSettings
    report
        Called with the change of the number of bytes at hand.
    """

    def __init__(
        self,
        target: Path,
        *,
        size: int | None = None,
        expected: str | None = None,
        settings: DownloadSettings | None = None,
        report: Callable[[int], Any] = lambda change: None,
    ) -> None:
        self.part = target.with_name(target.name + ".part")
        self._tag = target.with_name(target.name + ".part.etag")
        self._target, self._size, self._expected = target, size, expected
        self._settings, self._report = settings or DownloadSettings(), report

    def __call__(self, url: str, output_file: str, pooch: Any = None, check_only: bool = False) -> None:
        """Download ``url`` and move the complete file to ``output_file``."""
        failures = 0
        self._report(self._have())
        while True:
            before = self._have()
            try:
                self._attempt(url)
                break
            except _Interrupted as error:
                failures = 1 if self._have() > before else failures + 1
                log.info("'%s': %s; %d bytes at hand", self._target.name, error, self._have())
                if failures > self._settings.retries:
                    raise DownloadError(self._by_hand(url, str(error))) from error
            time.sleep(min(self._settings.pause * 2 ** (failures - 1), _LONGEST_PAUSE))
        self._check(url)
        self.part.replace(output_file)
        self._tag.unlink(missing_ok=True)

    def _attempt(self, url: str) -> None:
        """Ask for what is missing and write it."""
        import requests

        have = self._have()
        if self._size is not None and have == self._size:
            return
        try:
            with requests.get(
                url, headers=self._headers(have), stream=True, timeout=self._settings.timeout
            ) as response:
                self._receive(response, url, have)
        except requests.RequestException as error:
            raise _Interrupted(f"{type(error).__name__}: {error}") from error
        except DownloadError:
            raise
        except OSError as error:
            raise DownloadError(self._cannot_write(error)) from error

    def _headers(self, have: int) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self._tag.is_file():
                headers["If-Range"] = self._tag.read_text()
        return headers

    def _receive(self, response: requests.Response, url: str, have: int) -> None:
        if response.status_code == 416:
            self._start_over()
            raise _Interrupted("the server has no such range")
        if response.status_code in _TEMPORARY:
            raise _Interrupted(f"the server answers {response.status_code}")
        if response.status_code not in (200, 206):
            raise DownloadError(self._by_hand(url, f"the server answers {response.status_code}"))
        if url.startswith("https:") and not response.url.startswith("https:"):
            raise DownloadError(self._by_hand(url, f"it leads to the insecure address {response.url}"))
        if response.status_code == 206 and not self._is_range(response, have):
            self._start_over()
            raise _Interrupted("the server sent another range than asked for")
        if response.status_code == 200:
            self._start_over()
        self._check_space(response)
        self._write(response)
        self._check_length(response)

    def _check_space(self, response: requests.Response) -> None:
        coming = response.headers.get("Content-Length", "")
        free = shutil.disk_usage(self.part.parent).free
        if coming.isdigit() and int(coming) > free:
            raise DownloadError(
                f"'{self._target.name}' needs {int(coming)} more bytes, and '{self.part.parent}' has {free} "
                "free; make room or choose another data folder, then try again"
            )

    def _is_range(self, response: requests.Response, have: int) -> bool:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != have:
            return False
        return self._size is None or found[2] in ("*", str(self._size))

    def _write(self, response: requests.Response) -> None:
        tag = response.headers.get("ETag", "")
        if tag and not tag.startswith("W/"):
            self._tag.write_text(tag)
        with self.part.open("ab") as file:
            for block in response.iter_content(_BLOCK):
                file.write(block)
                self._report(len(block))

    def _check_length(self, response: requests.Response) -> None:
        """Compare what is at hand with the announced or the catalogued length."""
        announced = response.headers.get("Content-Range", "").rpartition("/")[2]
        announced = announced or response.headers.get("Content-Length", "")
        total = self._size or (int(announced) if announced.isdigit() else None)
        if total is not None and self._have() < total:
            raise _Interrupted(f"the connection ended after {self._have()} of {total} bytes")
        if total is not None and self._have() > total:
            have = self._have()
            self._start_over()
            raise _Interrupted(f"the server sent {have} bytes instead of {total}")

    def _check(self, url: str) -> None:
        if self._expected is None:
            return
        found = checksum(self.part, self._expected.partition(":")[0])
        if found != self._expected:
            self._start_over()
            raise ValueError(f"checksum of '{url}' is {found}, not {self._expected}")

    def _start_over(self) -> None:
        self._report(-self._have())
        self.part.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _by_hand(self, url: str, reason: str) -> str:
        return (
            f"'{self._target.name}' could not be downloaded from {url} ({reason}); "
            "check the connection and try again, it will go on where it stopped; "
            f"or download it elsewhere and put it at '{self._target}'"
        )

    def _cannot_write(self, error: OSError) -> str:
        full = error.errno == errno.ENOSPC
        reason = "the disk is full" if full else str(error)
        return (
            f"writing '{self.part}' failed: {reason}; make room or choose another data folder, "
            f"then try again: the {self._have()} bytes that arrived are kept"
        )
