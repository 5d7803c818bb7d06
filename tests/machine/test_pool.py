"""Worker processes: answers, errors, sudden ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from omnilearn_lab.errors import WorkerError
from omnilearn_lab.machine import WorkerPool, usable_cores


def loaded_modules() -> set[str]:
    return set(sys.modules)


def test_tasks_are_answered_in_other_processes():
    with WorkerPool(2) as pool:
        futures = [pool.submit(divmod, n, 3) for n in range(10)]
        assert [f.result() for f in futures] == [divmod(n, 3) for n in range(10)]
        assert pool.submit(os.getpid).result() != os.getpid()


def test_workers_import_neither_torch_nor_the_users_script():
    with WorkerPool(1) as pool:
        names = pool.submit(eval, "set(__import__('sys').modules)").result()
    assert "omnilearn_lab.machine.pool" in names
    assert not names & {"torch", "matplotlib", "energyflow", "pytest"}


def test_tensors_travel_both_ways():
    with WorkerPool(1) as pool:
        doubled = pool.submit(torch.add, torch.arange(3), torch.arange(3)).result()
    assert doubled.tolist() == [0, 2, 4]


def test_an_error_in_a_task_is_raised_here():
    with WorkerPool(1) as pool:
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 1, 0).result()
        assert pool.submit(max, 1, 2).result() == 2  # the worker lives on


def test_a_worker_that_dies_is_reported():
    with WorkerPool(1) as pool, pytest.raises(WorkerError, match="worker process ended.*fewer workers"):
        pool.submit(os._exit, 3).result()


def test_leaving_the_block_stops_busy_workers():
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt), WorkerPool(2) as pool:
        for _ in range(4):
            pool.submit(time.sleep, 60)
        time.sleep(0.2)
        raise KeyboardInterrupt
    assert time.perf_counter() - start < 10


def test_workers_end_when_their_parent_is_killed():
    code = (
        "import os, time; from omnilearn_lab.machine.pool import WorkerPool; pool = WorkerPool(1); "
        "print(pool.submit(os.getpid).result(), flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


def is_running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_usable_cores_respects_the_affinity():
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
