"""How many cores and how much memory this process may use: its container's share, not the hardware's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from omnilearn_lab.errors import ConfigError

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


def memory_limit(root: str | os.PathLike[str] = "/") -> float:
    """Return how many bytes of main memory this process may use.

    The smallest of the machine's memory and the limits of the control groups this process belongs to.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are.

    Raises
    ------
    ConfigError
        Where the system does not tell.

    Examples
    --------
    >>> memory_limit() > 1e8
    True
    """
    root = Path(root)
    groups = root / "sys/fs/cgroup"
    text = (read_text(path) for path in _limit_files(groups, read_text(root / "proc/self/cgroup")))
    limits = [int(value) for value in text if value.isdigit()]
    total = _total_memory(read_text(root / "proc/meminfo"))
    if not limits and total is None:
        raise ConfigError("this system does not tell how much memory it has; set the batch size yourself")
    return float(min([*limits, *([total] if total else [])]))


def _limit_files(groups: Path, membership: str) -> Iterable[Path]:
    """Return where limits may be: of the whole tree, and of every group above this process."""
    for name in _LIMITS:
        yield groups / name
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        version_2 = not controllers
        top = groups if version_2 else groups / "memory"
        if not version_2 and "memory" not in controllers.split(","):
            continue
        place = top
        for part in Path(path.lstrip("/")).parts:
            place = place / part
            yield place / _LIMITS[0 if version_2 else 1].rpartition("/")[2]


def _total_memory(meminfo: str) -> int | None:
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return 1024 * int(line.split()[1])
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def read_text(path: Path) -> str:
    """Return a small file's text without blanks around it; nothing where it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
