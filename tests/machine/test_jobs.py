import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from omnilearn_lab.machine import report, run_jobs, usable_cores, usable_workers


def double(x):
    return 2 * x


def fail(_):
    raise ValueError("no")


def test_results_come_in_the_order_of_the_jobs():
    jobs = {name: (i,) for i, name in enumerate("cab")}
    assert run_jobs(double, jobs, workers=2, progress=False) == {"c": 0, "a": 2, "b": 4}
    assert list(run_jobs(double, jobs, workers=1, progress=False)) == ["c", "a", "b"]


def test_the_first_failure_is_raised():
    with pytest.raises(ValueError, match="no"):
        run_jobs(fail, {1: (1,), 2: (2,)}, workers=2, progress=False)


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
    code = here + "from tests.machine.test_jobs import leave_pid, run_jobs\n"
    code += f"run_jobs(leave_pid, {{i: ({str(tmp_path)!r},) for i in range(2)}}, workers=2, progress=False)"
    parent = subprocess.Popen([sys.executable, "-c", code])
    workers = wait_for(lambda: [psutil.Process(int(path.name)) for path in tmp_path.iterdir()], 2)
    parent.kill()
    parent.wait()
    wait_for(lambda: [worker for worker in workers if not worker.is_running()], 2)


def leave_pid(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)


def wait_for(look, n, seconds=60):
    end = time.monotonic() + seconds
    while len(found := look()) < n:
        assert time.monotonic() < end, f"{len(found)} of {n} after {seconds} s"
        time.sleep(0.1)
    return found


def test_much_memory_leaves_the_choice_to_the_cores():
    assert usable_workers(1e12) == usable_cores()
