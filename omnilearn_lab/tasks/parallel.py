"""Run jobs side by side: one thread each in processes of their own, or one after the other on a GPU."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from omnilearn_lab.models.process_memory import forget_kernels, release_memory
from omnilearn_lab.simulation import usable_cores
from omnilearn_lab.tasks.machine import memory_limit

__all__ = ["run_jobs", "usable_workers"]

_PER_WORKER = 0.6e9  # bytes: PET tiny in training, float32, parts of 50 jets of 45 particles (measured)
_BESIDE = 0.6e9  # the notebook itself

Key = TypeVar("Key")
Result = TypeVar("Result")


def run_jobs(
    function: Callable[..., Result],
    jobs: Mapping[Key, tuple[Any, ...]],
    *,
    workers: int | None = None,
    progress: bool = True,
    title: str = "trainings",
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

    Returns
    -------
    dict
        In the order of ``jobs``.

    Examples
    --------
    >>> run_jobs(max, {"a": (1, 2), "b": (5, 4)}, workers=1, progress=False)
    {'a': 2, 'b': 5}
    """
    n_workers = min(workers or usable_workers(), len(jobs))
    bar = {"total": len(jobs), "desc": title, "disable": not progress}
    if torch.cuda.is_available() or n_workers <= 1:
        forget_kernels()
        return {key: function(*arguments) for key, arguments in tqdm(jobs.items(), **bar)}
    release_memory()  # the workers need it
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, _one_thread) as pool:
        futures = {pool.submit(_run, function, arguments): key for key, arguments in jobs.items()}
        results = {}
        for done in tqdm(as_completed(futures), **bar):
            if done.exception() is not None:
                for other in futures:
                    other.cancel()
            results[futures[done]] = done.result()
    return {key: results[key] for key in jobs}


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


def _run(function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result:
    try:
        return function(*arguments)
    finally:
        release_memory()


def _one_thread() -> None:
    forget_kernels()
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A notebook's kernel that is killed tells nobody; what works for it must not stay behind."""
    multiprocessing.parent_process().join()
    os._exit(1)
