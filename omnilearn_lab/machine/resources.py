"""How many cores and how much memory this process may use, and how it treats memory that it needs no more."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

import psutil

from omnilearn_lab.machine.files import StrPath

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of control groups, versions 2 and 1


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity, and its container's quota.

    Examples
    --------
    >>> usable_cores() >= 1
    True
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def memory_limit(root: StrPath = "/") -> float:
    """Return how many bytes of main memory this process may use.

    The smallest of the machine's memory and the limits of the control groups this process belongs to.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` of the control groups are.

    Examples
    --------
    >>> memory_limit() > 1e8
    True
    """
    root = Path(root)
    groups = root / "sys/fs/cgroup"
    text = (read_text(path) for path in _limit_files(groups, read_text(root / "proc/self/cgroup")))
    limits = [int(value) for value in text if value.isdigit()]
    return float(min([*limits, psutil.virtual_memory().total]))


def _limit_files(groups: Path, membership: str) -> Iterable[Path]:
    """Return where limits may be: of the whole tree, and of every group above this process."""
    for name in _LIMITS:
        yield groups / name
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            limit, place = groups / _LIMITS[1 if controllers else 0], Path(path.lstrip("/"))
            yield from (limit.parent / group / limit.name for group in (place, *place.parents))


def read_text(path: Path) -> str:
    """Return a small file's text without blanks around it; nothing where it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


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
