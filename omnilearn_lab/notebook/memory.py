"""How much memory the processes we started hold, sampled while they work."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

import psutil

__all__ = ["MemoryWatch"]

_GB = 1e9


class MemoryWatch:
    """Sample the memory of this process's children, and of theirs, while a block runs.

    On Linux a page that several processes share counts once (the proportional set size, which is also
    what a container's limit counts); elsewhere it counts for each of them (resident set size). Processes
    that were detached to outlive this one (`omnilearn_lab.training.launching`) are not looked at.

    Parameters
    ----------
    period
        Seconds between two samples; a peak shorter than that can be missed.

    Examples
    --------
    >>> with MemoryWatch() as watch:
    ...     pass
    >>> watch.peak_gb >= 0
    True
    """

    def __init__(self, period: float = 0.5) -> None:
        self.period = period
        self.peak_gb = 0.0
        self.n_samples = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self.period):
            children = psutil.Process().children(recursive=True)
            self.peak_gb = max(self.peak_gb, sum(_memory(child) for child in children) / _GB)
            self.n_samples += 1


def _memory(process: psutil.Process) -> int:
    """Bytes held by a process; 0 when it has ended or is not ours to look at."""
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
        return 0
    except FileNotFoundError:
        pass  # no such file outside Linux, or the process has just ended
    except OSError:
        return 0
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
