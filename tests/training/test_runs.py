"""What a run leaves in its directory, also when it is killed; memory does not grow with the files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from omnilearn_lab.jets import write_jets
from omnilearn_lab.training import History
from omnilearn_lab.training.runs import Heartbeat, read_progress
from safetensors.torch import load_file

from tests.conftest import random_jets


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
    for text in ("{", "[]", "3", '{"step": 1}', "[" * 10_000):
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
