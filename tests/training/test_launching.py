import json
import os
import time

import numpy as np
import psutil
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.training import Classification, History
from omnilearn_lab.training.launching import LaunchedRun, attach, clean_environment, launch

from tests.training.full_device import make_trainer

CHILD = """
import json, os, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
number = len(list(folder.glob("seen-*")))
seen = {"environment": dict(os.environ), "arguments": sys.argv[1:]}
(folder / f"seen-{number}").write_text(json.dumps(seen))
print("started", number, flush=True)
if "place" in sys.argv:
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    print(*(os.environ[name] for name in names), flush=True)
if "fail second" in sys.argv and os.environ["RANK"] == "1":
    raise SystemExit(4)
if "fail" in sys.argv:
    raise SystemExit(3)
while "hold" in sys.argv and not (folder / "stop").exists():
    time.sleep(0.02)
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Launch a light child; what still runs at the end is stopped."""
    (tmp_path / "light_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    directory = tmp_path / "run; touch broken"
    directory.mkdir()

    def run(*arguments, wait=True, n_processes=1):
        launched = launch(directory, "light_child", [str(directory), *arguments], n_processes=n_processes)
        if wait:
            launched.wait(60)
        return launched

    yield run
    attach(directory).stop()
    attach(directory).wait(60)


def myself():
    booted = psutil.boot_time()
    return {"pid": os.getpid(), "created": psutil.Process().create_time() - booted}


def first_words(launched, timeout=60):
    end = time.monotonic() + timeout
    while not launched.tail() and time.monotonic() < end:
        time.sleep(0.02)
    return launched.tail()


def seen(launched, number=0):
    return json.loads((launched.directory / f"seen-{number}").read_text())


def test_a_launched_module_ends_and_leaves_its_log(start):
    launched = start("a b", "$HOME; touch x")
    assert launched.status == "finished"
    assert launched.tail() == "started 0"
    assert seen(launched)["arguments"][1:] == ["a b", "$HOME; touch x"]
    assert not list(launched.directory.parent.glob("broken*"))


def test_rank_variables_stay_behind(start, monkeypatch):
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT", "SLURM_PROCID", "TORCHELASTIC_RUN_ID")
    for name in names:
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("OMNILEARN_LAB_DATA", "kept")
    found = seen(start())["environment"]
    assert found["OMNILEARN_LAB_DATA"] == "kept"
    assert not set(names) & found.keys()
    assert not set(names) & clean_environment(os.environ).keys()


def test_stop_attach_and_go_on(start):
    launched = start("hold", wait=False)
    assert first_words(launched) == "started 0"
    again = start("hold", wait=False)
    first = launched.pid
    assert again.pid == first and again.status == "running"
    other = attach(launched.directory)
    other.stop()
    assert other.status in ("stopping", "stopped")
    assert launched.wait(60) == "stopped"
    resumed = start("hold", wait=False)
    assert resumed.status == "running" and resumed.pid != first


def test_failure_and_new_start(start):
    launched = start("fail")
    assert (launched.status, "started 0") == ("failed", launched.tail())
    assert start().status == "finished"
    assert start().tail() == "started 0\nstarted 1"  # a finished run is not started again


def test_killed_is_told_from_finished(start):
    launched = start("hold", wait=False)
    first_words(launched)
    watcher = psutil.Process(launched.pid)
    for process in [watcher, *watcher.children(recursive=True)]:
        process.kill()
    assert launched.wait(60) == "killed"


def test_a_reused_number_is_not_the_training(tmp_path):
    mine = myself()
    (tmp_path / "process.json").write_text(json.dumps(mine))
    assert attach(tmp_path).status == "running"
    (tmp_path / "process.json").write_text(json.dumps(mine | {"created": mine["created"] - 100}))
    assert attach(tmp_path).status == "killed"
    assert "killed" in repr(LaunchedRun(tmp_path))


def test_wait_gives_up(tmp_path):
    mine = myself()
    (tmp_path / "process.json").write_text(json.dumps(mine))
    assert attach(tmp_path).wait(0.05) == "running"


def test_no_processes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="n_processes is 0"):
        launch(tmp_path, "light_child", n_processes=0)


def test_several_processes_know_their_places_and_meet_on_the_loopback(start):
    launched = start("place", n_processes=3)
    assert launched.status == "finished", launched.tail()
    words = sorted(line.split() for line in launched.tail().splitlines() if "127.0.0.1" in line)
    assert [w[:4] for w in words] == [[str(r), str(r), "3", "3"] for r in range(3)]
    assert len({w[5] for w in words}) == 1


def test_one_that_fails_ends_the_others(start):
    launched = start("fail second", "hold", n_processes=2)
    assert launched.status == "failed"
    assert json.loads((launched.directory / "exit.json").read_text())["status"] == 4


def test_other_files_of_that_name_are_no_training(tmp_path):
    for text in ("[]", '{"pid": "x"}', "{"):
        (tmp_path / "process.json").write_text(text)
        assert attach(tmp_path).status == "killed"


def test_a_launched_training_of_two_processes_starts_anew_with_less_at_once(tmp_path):
    """One runs out of memory in validation, then in its second update."""
    run = launch(tmp_path, "tests.training.full_device", [str(tmp_path)], n_processes=2)
    assert run.wait(300) == "finished", run.tail(40)
    assert sorted(p.name for p in tmp_path.glob("done-*")) == ["done-0.json", "done-1.json"]
    assert json.loads((tmp_path / "memory.json").read_text()) == {"n_parts": 4}
    log = run.tail(10_000)
    for n_parts in (2, 4):
        assert f"from its last checkpoint in {n_parts} parts per update" in log
    history, expected = History.load(tmp_path), make_trainer(Classification()).fit()
    assert history.column("n_parts", "train")[-1] == 4
    np.testing.assert_allclose(history.val_loss, expected.val_loss, rtol=2e-5)
