"""Worker processes that import nothing but what a task needs.

``multiprocessing`` with the spawn method runs the user's script again in every worker (which would load
torch, and asks for an ``if __name__ == "__main__"`` guard in every script), and forking a notebook kernel
is unsafe. Here a worker is a fresh interpreter that receives tasks and sends answers through a pipe.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NamedTuple

from omnilearn_lab.errors import SimulationError

__all__ = ["WorkerPool", "serve", "usable_cores"]

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_START = "import sys; from omnilearn_lab.simulation.workers import serve; serve(int(sys.argv[1]))"
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
        self._workers = [_start() for _ in range(n_workers)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(n_workers)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future:
        """Run ``function(*arguments)`` in a worker; both must be picklable."""
        return self._threads.submit(self._run, function, arguments)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()
        self._threads.shutdown(wait=True)
        for worker in self._workers:
            worker.connection.close()

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        worker = self._idle.get()
        try:
            worker.connection.send((function, arguments))
            succeeded, value = worker.connection.recv()
        except (OSError, EOFError) as error:
            raise SimulationError(
                f"a worker process ended (exit status {worker.process.poll()}); "
                "it may have run out of memory: use fewer workers, or workers=1 to see the error itself"
            ) from error
        finally:
            self._idle.put(worker)
        if succeeded:
            return value
        raise value


class _Worker(NamedTuple):
    process: subprocess.Popen
    connection: Connection


def serve(descriptor: int) -> None:
    """Answer tasks from a connection until it closes: the main function of a worker.

    Parameters
    ----------
    descriptor : int
        Of the open connection to the parent.
    """
    with Connection(descriptor) as parent:
        while True:
            try:
                function, arguments = parent.recv()
            except EOFError:
                return
            try:
                answer = (True, function(*arguments))
            except Exception as error:
                answer = (False, error)
            parent.send(answer)


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


def _start() -> _Worker:
    ours, theirs = Pipe()
    package_home = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [package_home, os.environ.get("PYTHONPATH")]))
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # banners of the libraries
            pass_fds=[theirs.fileno()],
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then stops the workers
        )
    return _Worker(process, ours)
