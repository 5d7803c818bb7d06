"""Worker processes."""

from __future__ import annotations

import operator
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from omnilearn_lab.catalog import convert_files
from omnilearn_lab.errors import ConfigError, MissingDependencyError, WorkerError
from omnilearn_lab.jets import read_jets
from omnilearn_lab.machine import open_executor, report, run_jobs, usable_cores, usable_workers
from omnilearn_lab.machine.pool import WorkerPool
from omnilearn_lab.readers import make_reader
from omnilearn_lab.simulation import simulate
from tests.readers.samples import truth, write_top


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


def test_a_function_of_the_script_that_runs_is_told_and_the_worker_goes_on(monkeypatch):
    def only_here():
        return 1

    only_here.__module__, only_here.__qualname__ = "__main__", "only_here"
    monkeypatch.setattr(sys.modules["__main__"], "only_here", only_here, raising=False)
    with WorkerPool(1) as pool:
        with pytest.raises(WorkerError, match="only_here.*put the function in a module, or use workers=1"):
            pool.submit(only_here).result()
        assert pool.submit(max, 3, 5).result() == 5


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


def test_results_come_in_the_order_of_the_jobs():
    jobs = {name: (2, i) for i, name in enumerate("cab")}
    assert run_jobs(operator.mul, jobs, workers=2, progress=False) == {"c": 0, "a": 2, "b": 4}
    assert list(run_jobs(operator.mul, jobs, workers=1, progress=False)) == ["c", "a", "b"]


def test_the_first_failure_is_raised():
    with pytest.raises(ValueError, match="invalid literal"):
        run_jobs(int, {1: ("no",), 2: ("no",)}, workers=2, progress=False)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_bar_says_how_far_the_running_jobs_are(workers, capfd):
    run_jobs(report, {"a": (0.25,), "b": (0.25,)}, workers=workers)
    shown = capfd.readouterr().err
    assert "running: 25%" in shown and "2/2" in shown
    report(0.5)  # outside nobody listens
    assert not capfd.readouterr().err


@pytest.mark.parametrize("memory", [0.5e9, 1e9, 1.7e9])
def test_little_memory_means_one_training_at_a_time(memory):
    assert usable_workers(memory) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_workers_end_with_a_killed_parent(tmp_path):
    here = f"import sys; sys.path[:0] = {[str(Path(__file__).parents[2])]!r}\n"
    code = here + "from tests.machine.jobs import leave_pid; from omnilearn_lab.machine import run_jobs\n"
    code += f"run_jobs(leave_pid, {{i: ({str(tmp_path)!r},) for i in range(2)}}, workers=2, progress=False)"
    parent = subprocess.Popen([sys.executable, "-c", code])
    workers = wait_for(lambda: [psutil.Process(int(path.name)) for path in tmp_path.iterdir()], 2)
    parent.kill()
    parent.wait()
    wait_for(lambda: [worker for worker in workers if not worker.is_running()], 2)


def wait_for(look, n, seconds=60):
    end = time.monotonic() + seconds
    while len(found := look()) < n:
        assert time.monotonic() < end, f"{len(found)} of {n} after {seconds} s"
        time.sleep(0.1)
    return found


def test_much_memory_leaves_the_choice_to_the_cores():
    assert usable_workers(1e12) == usable_cores()


def test_without_dask_the_number_of_processes_is_handed_on():
    with open_executor(3) as workers:
        assert workers == 3
    with open_executor() as workers:
        assert workers is None


def test_dask_and_workers_exclude_each_other():
    with pytest.raises(ConfigError, match="exclude each other"), open_executor(2, dask="tcp://a:1"):
        pass


def test_a_missing_library_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    missing = pytest.raises(MissingDependencyError, match=r"pip install omnilearn_lab\[dask\]")
    with missing, open_executor(dask="tcp://127.0.0.1:1"):
        pass


@pytest.fixture(scope="module")
def scheduler():
    """Address of a cluster of one worker in this process."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: clusters are NOT tested")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp"
        ) as cluster:
            yield cluster.scheduler_address


def test_an_address_where_nobody_answers(scheduler, monkeypatch):
    monkeypatch.setattr("omnilearn_lab.machine.pool._PATIENCE", "0.2s")
    silent = pytest.raises(ConfigError, match="no Dask scheduler answers at 'tcp://127.0.0.1:1'")
    with silent, open_executor(dask="tcp://127.0.0.1:1"):
        pass


@pytest.mark.slow
def test_a_cluster_makes_the_same_jets(scheduler):
    with open_executor(dask=scheduler) as client:
        remote = simulate("h1_dis", 20, seed=5, workers=client, progress=False)
    local = simulate("h1_dis", 20, seed=5, workers=1, progress=False)
    for name, values in local.particles.items():
        assert np.array_equal(remote.particles[name], values)
    assert np.array_equal(remote.offsets, local.offsets) and np.array_equal(remote.label, local.label)


def test_a_cluster_converts_the_same_files(scheduler, tmp_path):
    for number in range(2):
        write_top(tmp_path / f"{number}.h5", truth(6, seed=number), np.arange(6) % 2)
    paths, reader = [tmp_path / "0.h5", tmp_path / "1.h5"], make_reader("top_tagging")
    with open_executor(dask=scheduler) as client:
        remote = convert_files(paths, tmp_path / "remote", reader, workers=client)
    local = convert_files(paths, tmp_path / "local", reader, workers=1)
    assert [path.name for path in remote] == ["0.h5", "1.h5"]
    for one, other in zip(remote, local, strict=True):
        assert np.array_equal(read_jets(one).particles["pt"], read_jets(other).particles["pt"])
