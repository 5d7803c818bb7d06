"""Silence for the banners that compiled libraries write to standard output."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

__all__ = ["quiet_stdout"]

_LOCK = threading.RLock()  # file descriptors belong to the whole process


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send everything written to file descriptor 1 to nowhere, also what C++ writes.

    Python's own text written before stays in order. Threads take turns.

    Examples
    --------
    >>> with quiet_stdout():
    ...     _ = os.write(1, b"not shown")
    """
    with _LOCK:
        _flush()
        try:
            saved = os.dup(1)
        except OSError:  # no standard output at all: nothing to silence
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        try:
            yield
        finally:
            _flush()
            os.dup2(saved, 1)
            os.close(saved)
            os.close(nowhere)


def _flush() -> None:
    """Empty Python's buffer and that of the C library, so that text lands where it was meant to."""
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)
