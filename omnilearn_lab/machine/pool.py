"""One pool of worker processes, single-threaded, that import nothing but what a task needs.

``multiprocessing`` with the spawn method runs the user's script again in every worker (which would load
torch, and asks for an ``if __name__ == "__main__"`` guard in every script), and forking a notebook kernel
is unsafe. Here a worker is a fresh interpreter that receives tasks and sends answers through a pipe.
"""

from __future__ import annotations

import copy
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from multiprocessing import current_process
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tqdm.auto import tqdm

from omnilearn_lab.errors import (
    ConfigError,
    DataFileError,
    MissingDependencyError,
    OmniLearnLabError,
    WorkerError,
    translated,
)
from omnilearn_lab.machine.files import locked, make_folder, read_arrays, write_arrays
from omnilearn_lab.machine.resources import memory_limit, release_memory, usable_cores

_PER_WORKER = 0.6e9  # bytes: PET tiny in training, float32, parts of 50 jets of 45 particles (measured)
_BESIDE = 0.6e9  # the notebook itself
_PATIENCE = "15s"  # for a Dask scheduler

_SECONDS_BETWEEN_REPORTS = 0.5

OnReport = Callable[[float], object]
Key = TypeVar("Key")
Result = TypeVar("Result")

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def _nobody(_share: float) -> None:
    """Hear no report."""


_HEARD = ContextVar("when the last report was heard", default=0.0)
_REPORT: ContextVar[OnReport] = ContextVar("who is told how far this job is", default=_nobody)
_START = "import sys; from omnilearn_lab.machine.pool import serve; serve(int(sys.argv[1]))"


class WorkerPool:
    """Single-threaded worker processes with the ``submit`` of an executor.

    Leaving the ``with`` block stops the workers at once, also after an exception or Ctrl-C. A worker
    whose parent dies ends within a second or two.

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

    def submit(
        self, function: Callable[..., Any], /, *arguments: Any, on_report: OnReport = _nobody
    ) -> Future:
        """Run ``function(*arguments)``, both picklable, in a worker; ``on_report`` hears its `report`."""
        return self._threads.submit(self._run, function, arguments, on_report)

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

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, ...], on_report: OnReport) -> Any:
        worker = self._idle.get()
        try:
            worker.connection.send((function, arguments))
            while (answer := worker.connection.recv())[0] is None:
                on_report(answer[1])
        except (OSError, EOFError) as error:
            raise WorkerError(
                f"a worker process ended (exit status {worker.process.poll()}); "
                "it may have run out of memory: use fewer workers, or workers=1 to see the error itself"
            ) from error
        finally:
            self._idle.put(worker)
        if answer[0]:
            return answer[1]
        raise answer[1]


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
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with Connection(descriptor) as parent:
        current_process().authkey = parent.recv_bytes()  # tensors travel as descriptors, which need it
        _REPORT.set(lambda share: parent.send((None, share)))
        while True:
            try:
                function, arguments = parent.recv()
            except EOFError:
                return
            except Exception as error:  # what a script or a notebook defines is nowhere to be imported
                text = (
                    f"a worker cannot load its task ({error}); put the function in a module, or use workers=1"
                )
                parent.send((False, WorkerError(text)))
                continue
            try:
                answer = (True, function(*arguments))
            except Exception as error:
                answer = (False, error)
            try:
                if not answer[0]:
                    copy.copy(answer[1])  # an error that cannot be built again would end the parent's thread
                parent.send(answer)
            except Exception as error:
                reason = error if answer[0] else answer[1]
                parent.send((False, OmniLearnLabError(f"{type(reason).__name__}: {reason}")))
            release_memory()


def _end_with(parent: int) -> None:
    """A process that is killed tells nobody; what works for it must not stay behind."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


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
    ours.send_bytes(current_process().authkey)
    return _Worker(process, ours)


def run_jobs(
    function: Callable[..., Result],
    jobs: Mapping[Key, tuple[Any, ...]],
    *,
    workers: int | None = None,
    progress: bool = True,
    title: str = "trainings",
    use_gpu: bool = True,
) -> dict[Key, Result]:
    """Call a function once per job and return the results by the jobs' names.

    Small trainings run faster side by side with one thread each than one after the other with all threads.
    On a GPU, or with one worker, everything runs in this process.

    Parameters
    ----------
    function
        Of a module (not a lambda): other processes import it.
    jobs : mapping of name to arguments
    workers
        Processes; by default as many as `usable_workers` says.
    progress
        Show a progress bar over jobs.
    title
        Its text.
    use_gpu
        The jobs are trainings, which would share a GPU; False for jobs that never use one.

    Returns
    -------
    dict
        In the order of ``jobs``.

    Examples
    --------
    >>> run_jobs(max, {"a": (1, 2), "b": (5, 4)}, workers=1, progress=False)
    {'a': 2, 'b': 5}
    """
    n_workers = 1 if use_gpu and _has_gpu() else workers or usable_workers()
    results = {}
    with tqdm(total=len(jobs), desc=title, disable=not progress) as bar:
        shares = _Shares(bar)
        for key, result in as_finished(function, jobs, n_workers, on_report=shares.hear):
            results[key] = result
            shares.end(key)
    return {key: results[key] for key in jobs}


def run_kept(
    function: Callable[..., Mapping[str, Any]],
    jobs: Mapping[int, tuple[Any, ...]],
    folder: Path | None,
    **options: Any,
) -> dict[int, Mapping[str, Any]]:
    """Do as `run_jobs` for numbered jobs that return arrays by name, and keep those of each job in a file.

    Parameters
    ----------
    function, jobs
        As for `run_jobs`.
    folder
        Of the files: what is there already is read, and made again where it is damaged. None keeps nothing.
    **options
        Of `run_jobs`.
    """
    calls = {i: (function, some, folder and folder / f"{i:06d}.npz") for i, some in jobs.items()}
    with nullcontext() if folder is None else locked(make_folder(folder) / "jobs"):
        return run_jobs(_kept, calls, use_gpu=False, **options)


def _kept(function: Callable[..., Any], arguments: tuple[Any, ...], path: Path | None) -> Any:
    if path is None:
        return function(*arguments)
    if path.exists():
        with suppress(DataFileError):
            return read_arrays(path)
    arrays = function(*arguments)
    write_arrays(path, arrays)
    return arrays


def as_finished(
    function: Callable[..., Result],
    jobs: Mapping[Key, tuple[Any, ...]],
    workers: int | Any | None = None,
    *,
    on_report: Callable[[Key, float], object] | None = None,
) -> Iterator[tuple[Key, Result]]:
    """Call a function once per job and yield names and results as they end; the first failure ends the rest.

    Parameters
    ----------
    function, jobs
        As for `run_jobs`.
    workers
        Processes, all usable cores by default, 1 for this process alone; or anything with ``submit``, such as
        a Dask client.
    on_report
        Called with the name of a job here or in a process of ours, and how far it says that it is.

    Examples
    --------
    >>> dict(as_finished(pow, {"eight": (2, 3), "nine": (3, 2)}, 1))
    {'eight': 8, 'nine': 9}
    """
    listeners = {key: {"on_report": partial(on_report, key)} if on_report else {} for key in jobs}
    if not hasattr(workers, "submit"):
        n_workers = min(usable_cores() if workers is None else workers, len(jobs))
        if n_workers <= 1:
            yield from ((key, _run_here(function, *jobs[key], **listeners[key])) for key in jobs)
            return
        release_memory()  # the workers need it
        with WorkerPool(n_workers) as pool:
            yield from as_finished(function, jobs, pool, on_report=on_report)
        return
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    futures = {key: workers.submit(function, *jobs[key], **listeners[key]) for key in jobs}
    try:
        for key, future in futures.items():
            future.add_done_callback(lambda done, key=key: ended.put((key, done)))
        for _ in futures:
            key, done = ended.get()
            yield key, done.result()
    finally:
        for future in futures.values():
            future.cancel()


def report(share: float) -> None:
    """Say how far the training in this job of `run_jobs` is, from 0 to 1: its progress bar shows it.

    Elsewhere nothing happens. At most two reports a second are heard.

    Examples
    --------
    >>> run_jobs(report, {"half": (0.5,)}, workers=1, progress=False)
    {'half': None}
    """
    now = time.monotonic()
    if now - _HEARD.get() > _SECONDS_BETWEEN_REPORTS:
        _HEARD.set(now)
        _REPORT.get()(share)


def _run_here(function: Callable[..., Result], *arguments: Any, on_report: OnReport = _nobody) -> Result:
    before = _REPORT.set(on_report)
    try:
        return function(*arguments)
    finally:
        _REPORT.reset(before)


class _Shares:
    """How far the running jobs are, written behind a progress bar that counts those that are done."""

    def __init__(self, bar: tqdm) -> None:
        self.bar, self.running = bar, {}

    def hear(self, key: Hashable, share: float) -> None:
        self.running[key] = share
        self._show()

    def end(self, key: Hashable) -> None:
        self.running.pop(key, None)
        self._show()
        self.bar.update()

    def _show(self) -> None:
        running = ", ".join(f"{share:.0%}" for share in list(self.running.values()))
        self.bar.set_postfix_str(f"running: {running}" if running else "")


def usable_workers(memory: float | None = None) -> int:
    """Return how many trainings fit side by side: one per core, and room for each beside the notebook.

    Parameters
    ----------
    memory
        Bytes this process and its workers may use; what the machine allows by default.

    Examples
    --------
    >>> usable_workers(memory=1.5e9)
    1
    """
    memory = memory_limit() if memory is None else memory
    return max(1, min(usable_cores(), int((memory - _BESIDE) / _PER_WORKER)))


def _has_gpu() -> bool:
    torch = sys.modules.get("torch")  # a process that has not loaded it trains nothing
    return torch is not None and torch.cuda.is_available()


@contextmanager
def open_executor(workers: int | None = None, *, dask: str | None = None) -> Iterator[Any]:
    """Yield what `omnilearn_lab.simulation.simulate` takes as ``workers``.

    Parameters
    ----------
    workers
        Processes of this machine; none means all usable cores.
    dask
        Address of a Dask scheduler, such as ``tcp://node17:8786``, used instead of processes here.
        Its workers need this package, in the same version.

    Yields
    ------
    int, None, or a connected ``distributed.Client``

    Raises
    ------
    ConfigError
        When both are given, or no scheduler answers.
    MissingDependencyError
        When ``distributed`` is not installed.

    Examples
    --------
    >>> with open_executor(2) as workers:
    ...     workers
    2
    """
    if dask is None:
        yield workers
        return
    if workers is not None:
        raise ConfigError(f"workers={workers} and dask='{dask}' exclude each other; give one of them")
    needs = "a Dask cluster needs the library 'distributed'"
    with translated(MissingDependencyError, needs, "pip install omnilearn_lab[dask]"):
        from distributed import Client
    remedy = "start one with 'dask scheduler', and give the address that it prints: tcp://node17:8786, say"
    with translated(ConfigError, f"no Dask scheduler answers at '{dask}'", remedy):
        client = Client(dask, timeout=_PATIENCE, set_as_default=False)
    with client:
        yield client
