"""Is a file what it should be? Checksums, in the kinds that publishers give, and each format's own marks."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable
from pathlib import Path

_BLOCK = 1 << 20
_PAGE = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)


class _Adler32:
    """Adler-32 with the interface of `hashlib`."""

    def __init__(self) -> None:
        self._value = 1

    def update(self, block: bytes) -> None:
        self._value = zlib.adler32(block, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


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
    digest = _Adler32() if kind == "adler32" else hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return f"{kind}:{digest.hexdigest()}"


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
    for endings, check in _FORMATS.items():
        if name.endswith(endings):
            return check(head, tail, size)
    return ""


def _hdf5_fault(head: bytes, _: bytes, size: int) -> str | None:
    if not head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "it does not begin as an HDF5 file does"
    version, width = head[8], head[13] if head[8] < 2 else head[9]
    place = {0: 24, 1: 28}.get(version, 12) + 2 * width  # after base address and one more address
    end = int.from_bytes(head[place : place + width], "little")
    return None if size >= end else f"it has {size} of the {end} bytes that it tells"


def _root_fault(head: bytes, _: bytes, size: int) -> str | None:
    if not head.startswith(b"root"):
        return "it does not begin as a ROOT file does"
    is_large = int.from_bytes(head[4:8], "big") >= 1_000_000
    end = int.from_bytes(head[12 : 20 if is_large else 16], "big")
    return None if size >= end else f"it has {size} of the {end} bytes that it tells"


def _parquet_fault(head: bytes, tail: bytes, _: int) -> str | None:
    if not head.startswith(b"PAR1"):
        return "it does not begin as a parquet file does"
    return None if tail.endswith(b"PAR1") else "it does not end as a parquet file does"


def _zip_fault(head: bytes, tail: bytes, _: int) -> str | None:
    if not head.startswith(b"PK"):
        return "it does not begin as a zip file does"
    return None if b"PK\x05\x06" in tail else "it does not end as a zip file does"


def _tar_fault(head: bytes, tail: bytes, size: int) -> str | None:
    if head[257:262] != b"ustar":
        return "it does not begin as a tar file does"
    ends_well = size % 512 == 0 and not any(tail[-1024:])
    return None if ends_well else "it does not end as a tar file does"


def _gzip_fault(head: bytes, _: bytes, __: int) -> str | None:
    return "" if head.startswith(b"\x1f\x8b") else "it does not begin as a gzip file does"


_FORMATS: dict[tuple[str, ...], Callable[[bytes, bytes, int], str | None]] = {
    (".h5", ".hdf5"): _hdf5_fault,
    (".root",): _root_fault,
    (".parquet",): _parquet_fault,
    (".zip", ".npz"): _zip_fault,
    (".tar",): _tar_fault,
    (".gz", ".tgz"): _gzip_fault,
}
