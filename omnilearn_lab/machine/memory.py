"""How a process treats memory it no longer needs, where the libraries' defaults do not suit training."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of glibc's malloc.h


def reuse_memory() -> bool:
    """Ask the C library to keep freed memory for the next step instead of handing it back to the system.

    A training step frees and asks for the same large arrays again and again; fetching fresh pages each time
    costs 10 to 30 percent of a step on CPU. Call it once at the start of a long run.

    Returns
    -------
    bool
        False where the C library has no such setting (macOS, Windows, musl); nothing changes there.

    Examples
    --------
    >>> reuse_memory() in (True, False)
    True
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(set_option(_MMAP_THRESHOLD, 1 << 30) and set_option(_TRIM_THRESHOLD, (1 << 31) - 1))


def release_memory() -> bool:
    """Hand memory that was freed, but kept by the C library for later, back to the system.

    Returns
    -------
    bool
        Whether something was handed back; False where the C library cannot (macOS, Windows, musl).

    Examples
    --------
    >>> release_memory() in (True, False)
    True
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (OSError, AttributeError, TypeError):
        return False


def forget_kernels(keep: int = 32) -> None:
    """Let oneDNN keep compiled code of the few shapes it met last, instead of the last thousand.

    Every batch of packed jets has shapes of its own, so that old code is hardly used again, and it can take
    half a gigabyte. Call it before the first network runs; afterwards, and where the environment already
    says how much to keep (``ONEDNN_PRIMITIVE_CACHE_CAPACITY``), nothing changes.

    Examples
    --------
    >>> forget_kernels()
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(keep))
