"""Checksums of files, in the three kinds that publishers give."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

__all__ = ["checksum", "matches"]

_BLOCK = 1 << 20


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
