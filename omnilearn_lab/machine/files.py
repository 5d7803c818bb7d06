"""The one way to write a file: beside the target under a name of its own, then in its place, in one step."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = ".partial-"  # in the name of every file that is being written


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of a new file beside the target; it replaces the target when the block ends well.

    The new file did not exist before (no file of anybody's is touched and no link is followed), has the
    target's ending, and the modes that the umask and the folder ask for. After an error it is removed and
    the target is as it was. What is written is on the disk before the target is replaced.

    Parameters
    ----------
    target
        The folder must exist.

    Yields
    ------
    Path

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "numbers.txt") as path:
    ...     _ = path.write_text("1 2 3")
    >>> [file.name for file in folder.iterdir()]
    ['numbers.txt']
    """
    target = Path(target)
    ending = "".join(target.suffixes[-2:]) if len(target.suffixes) > 1 else target.suffix
    path = target.with_name(f".{target.name[:100]}{MARK}{secrets.token_hex(8)}{ending}")
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o666))
    try:
        yield path
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)


def write_text(target: str | os.PathLike[str], text: str) -> Path:
    """Write a text file in one step, and return its path.

    Examples
    --------
    >>> import tempfile
    >>> write_text(Path(tempfile.mkdtemp()) / "a.json", "{}").read_text()
    '{}'
    """
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")
    return Path(target)
