"""Worker processes that import nothing but what a task needs.

``multiprocessing`` with the spawn method runs the user's script again in every worker (which would load
torch, and asks for an ``if __name__ == "__main__"`` guard in every script), and forking a notebook kernel
is unsafe. Here a worker is a fresh interpreter that reads tasks from a pipe and answers on another.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from omnilearn_lab.errors import SimulationError

__all__ = ["WorkerPool", "serve", "usable_cores"]

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_START = "from omnilearn_lab.simulation.workers import serve; serve()"
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class WorkerPool:
    """Single-threaded worker processes with the ``submit`` of an executor.

    Leaving the ``with`` block stops the workers at once, also after an exception or Ctrl-C. A worker
    whose parent dies ends after its current task.

    Parameters
    ----------
    n_workers : int

    Examples
    --------
    >>> with WorkerPool(1) as pool:
    ...     pool.submit(max, 3, 5).result()
    5
    """

    def __init__(self, n_workers: int) -> None:
        self._idle: queue.SimpleQueue[subprocess.Popen] = queue.SimpleQueue()
        self._processes = [_start() for _ in range(n_workers)]
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(n_workers)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        """Run ``function(*arguments)`` in a worker; both must be picklable."""
        return self._threads.submit(self._run, function, arguments)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
        self._threads.shutdown(wait=True)
        for process in self._processes:
            process.wait()
            process.stdin.close()   # type: ignore[union-attr]
            process.stdout.close()  # type: ignore[union-attr]

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        process = self._idle.get()
        try:
            pickle.dump((function, arguments), process.stdin)
            process.stdin.flush()   # type: ignore[union-attr]
            succeeded, value = pickle.load(process.stdout)
        except (OSError, EOFError, ValueError) as error:
            raise SimulationError(
                f"a worker process ended (exit status {process.poll()}); "
                "it may have run out of memory: use fewer workers, or workers=1 to see the error itself"
            ) from error
        finally:
            self._idle.put(process)
        if succeeded:
            return value
        raise value


def serve() -> None:
    """Answer tasks from standard input until it closes: the main function of a worker."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)   # nothing that a library prints may mix with the answers
    while True:
        try:
            function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (True, function(*arguments))
        except Exception as error:
            answer = (False, error)
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


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


def _start() -> subprocess.Popen:
    package_home = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [package_home, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-c", _START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
        start_new_session=True,   # Ctrl-C reaches the parent alone, which then stops the workers
    )
