"""Reading files that may be anything: every failure is one error of ours, and no size is believed."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omnilearn_lab.errors import DataFileError, OmniLearnLabError

_BELIEVED = 1 << 27  # bytes that any file may ask for
_DENSEST = 5000  # bytes of content per byte of file: zeros, well compressed


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a library raises on the content of a file into `DataFileError`.

    Parameters
    ----------
    path
        The file, for the message.
    kind
        What it was read as.

    Examples
    --------
    >>> with reading(Path(__file__), "jetclass"):
    ...     raise RecursionError("too deep")
    Traceback (most recent call last):
    omnilearn_lab.errors.DataFileError: '...' is not a readable 'jetclass' file (RecursionError: too ...
    """
    if not path.is_file():
        raise DataFileError(f"'{path}' is not an existing file; check the path, or fetch the dataset first")
    try:
        yield
    except OmniLearnLabError:
        raise
    except Exception as error:
        code = getattr(error, "errno", None)
        if isinstance(error, PermissionError):
            text = f"'{path}' may not be read by this user; ask its owner for permission (chmod a+r)"
        elif code in (errno.ENOSPC, errno.EDQUOT):
            text = f"'{path}' cannot be read: the disk for temporary files is full; free space, or set TMPDIR"
        else:
            text = (
                f"'{path}' is not a readable '{kind}' file ({type(error).__name__}: {_one_line(error)}); it "
                "may be truncated or of another format: fetch it again, or choose another reader"
            )
        raise DataFileError(text) from error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:300]}..."


def check_size(n_bytes: int, path: Path, what: str) -> None:
    """Refuse content that is far larger than its file can hold, before memory is asked for it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     check_size(10**12, Path(file.name), "data")
    Traceback (most recent call last):
    omnilearn_lab.errors.DataFileError: '...': 'data' claims 1,000 GB in a file of 0 bytes; ...
    """
    size = path.stat().st_size
    if n_bytes > _BELIEVED and n_bytes > _DENSEST * size:
        raise DataFileError(
            f"'{path}': '{what}' claims {n_bytes / 1e9:,.0f} GB in a file of {size:,} bytes; "
            "it is damaged: fetch or make it again"
        )
