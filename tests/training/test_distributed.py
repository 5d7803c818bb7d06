import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.training import TrainConfig, this_shard
from omnilearn_lab.training.distributed import Place, Shard, find_place, process_group
from omnilearn_lab.training.runs import clean_environment

from tests.training.two_processes import SCENARIOS, records, trainer

TOLERANCE = 2e-5  # of losses, after a few updates in float32 with sums in another order


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """The histories of both ranks of two processes."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    script = Path(__file__).with_name("two_processes.py")
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            env={**clean_environment(os.environ), **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    try:
        assert [process.wait(900) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]


def test_all_ranks_have_the_same_history(traces):
    assert traces[0] | {"listening": None} == traces[1] | {"listening": None}


@pytest.mark.parametrize("name", SCENARIOS)
def test_two_processes_equal_one_with_the_whole_batch(traces, name):
    one = trainer(name, replace(SCENARIOS[name], accumulate=1, parallel="ddp"))
    one.fit()
    expected = records(one)
    assert len(expected) == len(traces[0][name]) == 5
    for ours, theirs in zip(traces[0][name], expected, strict=True):
        assert ours.keys() == theirs.keys()
        assert ours["kind"] == theirs["kind"]
        for key in ours.keys() - {"kind", "n_parts"}:
            assert ours[key] == pytest.approx(theirs[key], rel=TOLERANCE), (key, theirs["step"])


@pytest.mark.parametrize("name", ["joint in parts", "flow, shared out"])
def test_interrupted_processes_go_on_bit_for_bit(traces, name):
    *resumed, note = traces[0][f"{name}, interrupted"]
    assert note == {"stopped_at": 2}
    assert resumed == traces[0][name]


def test_processes_of_one_machine_listen_to_it_alone(traces):
    places = {place for trace in traces for place in trace["listening"]}
    assert places and places <= {"127.0.0.1", "::1"}


def test_alone_there_is_no_group():
    with process_group({}) as shard:
        assert shard == Shard() == this_shard()
        assert not torch.distributed.is_initialized()
    with process_group({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}) as shard:
        assert shard == Shard() and not torch.distributed.is_initialized()


def test_place_from_torchrun_goes_before_slurm():
    variables = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "5"}
    slurm = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "0"}
    assert find_place(variables | slurm) == Place(1, 2, 1, "a", 5)
    job = slurm | {"SLURM_STEP_NODELIST": "n[1-2]", "SLURM_JOB_ID": "20001"}
    assert find_place(job) == Place(3, 4, 0, "n1", 20_001)
    assert find_place(job | {"SLURM_STEP_TASKS_PER_NODE": "4"}) == Place(3, 4, 0, "127.0.0.1", 20_001)


def test_a_batch_script_outside_srun_is_one_process():
    assert find_place({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"}) is None


def test_half_a_place_is_an_error():
    with pytest.raises(ConfigError, match="unset WORLD_SIZE"):
        find_place({"WORLD_SIZE": "2"})


def test_batches_must_be_shared_equally():
    parts = [Shard(rank, 4).part(12) for rank in range(4)]
    assert [i for part in parts for i in range(12)[part]] == list(range(12))
    with pytest.raises(ConfigError, match="multiple of 3"):
        Shard(0, 3).part(16)


def test_unknown_ways_to_share_are_refused():
    with pytest.raises(ConfigError, match="parallel is 'zero'"):
        TrainConfig(parallel="zero")
    with pytest.raises(ConfigError, match="adapters"):
        TrainConfig(parallel="fsdp", trainable="adapters")
