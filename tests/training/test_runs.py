"""Run directories and launched trainings."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import write_jets
from omnilearn_lab.training import Classification, History
from omnilearn_lab.training.runs import (
    Heartbeat,
    LaunchedRun,
    attach,
    clean_environment,
    launch,
    read_progress,
)
from safetensors.torch import load_file

from tests.conftest import random_jets
from tests.training.full_device import make_trainer


def heart(folder, *seconds, **options):
    times = iter(seconds)
    return Heartbeat(folder, clock=lambda: next(times), **options)


def test_beats_are_at_least_a_second_apart_but_the_last_counts(tmp_path):
    one = heart(tmp_path, 0, 0.5, 1.5, 1.6, 1.7)
    one.beat(1, 4, jets=10)
    assert read_progress(tmp_path) is None
    one.beat(2, 4, jets=20)
    assert read_progress(tmp_path).step == 2
    one.beat(3, 4, jets=30)
    assert read_progress(tmp_path).step == 2
    one.beat(4, 4, jets=40)
    assert read_progress(tmp_path).fraction == 1


def test_speed_follows_what_is_now(tmp_path):
    one = heart(tmp_path, *range(40))
    speeds = []
    for step in range(1, 39):
        one.beat(step, 100, jets=step * 10 if step < 5 else 40 + (step - 4) * 50)
        speeds.append(read_progress(tmp_path).jets_per_second)
    assert speeds[3] == pytest.approx(10)
    assert speeds[-1] == pytest.approx(50, rel=0.01)


def test_resumed_training_does_not_count_what_was_before(tmp_path):
    one = heart(tmp_path, 0, 2, 4)
    one.beat(1000, 2000, jets=100_000)
    one.beat(1001, 2000, jets=100_100)
    assert read_progress(tmp_path).jets_per_second == 50


def test_damaged_file_is_no_progress(tmp_path):
    whole = '{"step": 1, "n_steps": %s, "jets": 5, "jets_per_second": 2.0, "time": 1.0}'
    for text in ("{", "[]", "3", '{"step": 1}', "[" * 10_000, whole % "1e308", whole % "0"):
        (tmp_path / "progress.json").write_text(text)
        assert read_progress(tmp_path) is None


def test_no_directory_no_file(tmp_path):
    Heartbeat(None).beat(1, 1, jets=1)
    assert not list(tmp_path.iterdir())


ROOT = Path(__file__).parents[2]

TRAIN = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from omnilearn_lab.training import *
from tests.training.helpers import packed, small_model
directory, files = sys.argv[2], sys.argv[3:]
config = TrainConfig(epochs=10, batch_size=16, learning_rate=3e-3, ema_decay=0.9, checkpoint_minutes=1e-4,
                     records_per_validation=2, validate_live=True)
train = StreamingBatches(files, 16, StreamConfig(block_rows=10, window_blocks=3)) if files else packed()
run = Run(directory, vars(config))
Trainer(small_model(), JointPretraining(), train, packed(32, seed=9), config, run).fit()
"""


def start(directory, files=()):
    return subprocess.Popen([sys.executable, "-c", TRAIN, str(ROOT), str(directory), *map(str, files)])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    return [write_jets(random_jets(n, seed=n, mean=8), folder / f"{n}.h5") for n in (40, 33)]


@pytest.mark.slow
@pytest.mark.parametrize("source", ["memory", "files"])
def test_killed_training_resumes_bit_for_bit(source, files, tmp_path):
    given = files if source == "files" else ()
    assert start(tmp_path / "whole", given).wait() == 0
    whole = History.load(tmp_path / "whole")
    process = start(tmp_path / "killed", given)
    while not (tmp_path / "killed" / "last.safetensors").is_file():
        time.sleep(0.01)
    time.sleep(np.random.default_rng().uniform(0, 0.9) * whole.seconds[-1])
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert start(tmp_path / "killed", given).wait() == 0
    killed = History.load(tmp_path / "killed")
    for kind in ("train", "validation"):
        for name in ("step", "loss", "generation", "accuracy"):
            assert whole.column(name, kind).tolist() == killed.column(name, kind).tolist()
    assert whole.column("loss_live").tolist() == killed.column("loss_live").tolist()
    for name in ("last", "best"):  # weights, optimizer, moving average, best weights
        tensors = [load_file(tmp_path / run / f"{name}.safetensors") for run in ("whole", "killed")]
        assert tensors[0].keys() == tensors[1].keys()
        assert all(torch.equal(tensors[0][key], tensors[1][key]) for key in tensors[0])


MEMORY = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from omnilearn_lab.training import *
from tests.training.helpers import packed, small_model
validation, config = packed(32, seed=9), TrainConfig(epochs=1, batch_size=64, validations_per_epoch=1)
for path in sys.argv[2:]:
    train = StreamingBatches([path], 64, StreamConfig(block_rows=256, window_blocks=2))
    Trainer(small_model(), Classification(), train, validation, config).fit()
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    """After a small file, one twenty times larger takes less than a tenth of its size in new memory."""
    pool = random_jets(2048, seed=1, mean=30, n_classes=2)
    small, large = tmp_path / "small.h5", tmp_path / "large.h5"
    write_jets(pool, small, max_particles=150)
    write_jets((pool for _ in range(20)), large, max_particles=150)
    command = [sys.executable, "-c", MEMORY, str(ROOT), str(small), str(large)]
    # oneDNN keeps the programs of its last 1024 matrix shapes, about 100 MB, whatever the files
    variables = os.environ | {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32"}
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    peaks = [int(line) for line in answer.stdout.split()]
    size = 20 * 2048 * 150 * 5 * 4  # bytes of the particles once read, padding included
    assert peaks[1] - peaks[0] < size / 10


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
def start_of_launching(tmp_path, monkeypatch):
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


def test_a_launched_module_ends_and_leaves_its_log(start_of_launching):
    launched = start_of_launching("a b", "$HOME; touch x")
    assert launched.status == "finished"
    assert launched.tail() == "started 0"
    assert seen(launched)["arguments"][1:] == ["a b", "$HOME; touch x"]
    assert not list(launched.directory.parent.glob("broken*"))


def test_rank_variables_stay_behind(start_of_launching, monkeypatch):
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT", "SLURM_PROCID", "TORCHELASTIC_RUN_ID")
    for name in names:
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("OMNILEARN_LAB_DATA", "kept")
    found = seen(start_of_launching())["environment"]
    assert found["OMNILEARN_LAB_DATA"] == "kept"
    assert not set(names) & found.keys()
    assert not set(names) & clean_environment(os.environ).keys()


def test_stop_attach_and_go_on(start_of_launching):
    launched = start_of_launching("hold", wait=False)
    assert first_words(launched) == "started 0"
    again = start_of_launching("hold", wait=False)
    first = launched.pid
    assert again.pid == first and again.status == "running"
    other = attach(launched.directory)
    other.stop()
    assert other.status in ("stopping", "stopped")
    assert launched.wait(60) == "stopped"
    resumed = start_of_launching("hold", wait=False)
    assert resumed.status == "running" and resumed.pid != first


def test_failure_and_new_start(start_of_launching):
    launched = start_of_launching("fail")
    assert (launched.status, "started 0") == ("failed", launched.tail())
    assert start_of_launching().status == "finished"
    assert start_of_launching().tail() == "started 0\nstarted 1"  # a finished run is not started again


def test_killed_is_told_from_finished(start_of_launching):
    launched = start_of_launching("hold", wait=False)
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


def test_several_processes_know_their_places_and_meet_on_the_loopback(start_of_launching):
    launched = start_of_launching("place", n_processes=3)
    assert launched.status == "finished", launched.tail()
    words = sorted(line.split() for line in launched.tail().splitlines() if "127.0.0.1" in line)
    assert [w[:4] for w in words] == [[str(r), str(r), "3", "3"] for r in range(3)]
    assert len({w[5] for w in words}) == 1


def test_one_that_fails_ends_the_others(start_of_launching):
    launched = start_of_launching("fail second", "hold", n_processes=2)
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
