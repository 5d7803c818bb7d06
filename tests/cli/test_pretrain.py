"""Settings of a pretraining, from file and options."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from omnilearn_lab.errors import ConfigError, TrainingError
from omnilearn_lab.tasks.pretraining import PretrainConfig


@pytest.fixture
def started(monkeypatch):
    """Note what a pretraining is started with, instead of starting it."""
    calls = []

    def pretrain(settings, directory, *, on_record):
        calls.append((settings, directory))
        on_record({"kind": "train", "epoch": 0.5, "jets": 100, "seconds": 2.0, "loss": 1.25})
        (directory / "checkpoint").touch()
        return directory / "checkpoint"

    monkeypatch.setattr("omnilearn_lab.tasks.pretraining.pretrain", pretrain)
    return calls


def test_options_go_before_the_file(invoke, started, tmp_path):
    (tmp_path / "settings.yaml").write_text("size: small\nn_train: 500\n")
    done = invoke(
        "pretrain", tmp_path / "settings.yaml", "--n-train", 50, "--epochs", 0.5, "--directory", tmp_path
    )
    ((settings, directory),) = started
    assert (settings.size, settings.n_train, settings.training.epochs) == ("small", 50, 0.5)
    assert directory == tmp_path and "loss 1.2500 (50 jets/s)" in done.output and "wrote" in done.output


def test_what_a_file_leaves_out_of_the_training_is_as_usual(invoke, started, tmp_path):
    (tmp_path / "settings.yaml").write_text("network: pet_v2\ntraining: {epochs: 2}\n")
    invoke("pretrain", tmp_path / "settings.yaml", "--directory", tmp_path)
    ((settings, _),) = started
    assert settings.training == replace(PretrainConfig(network="pet_v2").training, epochs=2.0)


def test_settings_of_a_shipped_checkpoint(invoke, started, tmp_path):
    invoke("pretrain", "--like", "small", "--epochs", 0.5, "--directory", tmp_path)
    ((settings, _),) = started
    assert (settings.size, settings.training.learning_rate, settings.training.epochs) == ("small", 3e-4, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [("n_trein: 5", "did you mean 'n_train'"), ("- 5", "holds a list"), ("a: [", "not a readable YAML file")],
)
def test_wrong_settings_are_refused(invoke, started, tmp_path, text, message):
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        invoke("pretrain", tmp_path / "settings.yaml")
    assert not started


def test_a_missing_file_is_an_error_of_ours(invoke, started, tmp_path):
    with pytest.raises(ConfigError, match="not a readable YAML file"):
        invoke("pretrain", tmp_path / "none.yaml")


class FakeRun:
    """A launched training of which each look finds the next status."""

    def __init__(self, directory, *statuses):
        self.directory, self.statuses, self.asked_to_stop = directory, list(statuses), False

    @property
    def status(self):
        return self.statuses[0]

    def wait(self, timeout=None):
        now = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if now == "interrupt":
            raise KeyboardInterrupt
        with (self.directory / "launch.log").open("a") as log:
            log.write(f"log: {now}\n")
        return now

    def stop(self):
        self.asked_to_stop = True


@pytest.fixture
def launched(monkeypatch, tmp_path):
    """Start several processes with the given statuses, in name only."""

    def prepare(*statuses):
        run = FakeRun(tmp_path, *statuses)
        calls = []

        def launch(settings, directory, *, n_processes):
            calls.append((settings, directory, n_processes))
            return run

        monkeypatch.setattr("omnilearn_lab.tasks.pretraining.pretraining.launch_pretraining", launch)
        return run, calls

    return prepare


def test_several_processes_are_launched_and_their_log_repeated(invoke, launched, tmp_path):
    _, calls = launched("running", "finished")
    done = invoke("pretrain", "--network", "pet_v2", "--processes", 3, "--directory", tmp_path)
    ((settings, directory, n_processes),) = calls
    assert (settings.network, directory, n_processes) == ("pet_v2", tmp_path, 3)
    assert done.output.count("log: running") == 1 and "log: finished" in done.output


def test_interrupt_is_a_wish_to_stop(invoke, launched, tmp_path):
    run, _ = launched("running", "interrupt", "stopped")
    done = invoke("pretrain", "--processes", 2, "--directory", tmp_path)
    assert run.asked_to_stop and "goes on from there" in done.output


def test_failure_of_processes_is_an_error(invoke, launched, tmp_path):
    launched("failed")
    with pytest.raises(TrainingError, match="launch.log"):
        invoke("pretrain", "--processes", 2, "--directory", tmp_path)


def test_an_old_wish_to_stop_is_forgotten(invoke, started, tmp_path):
    for name in ("stop", "exit.json"):
        (tmp_path / name).touch()
    invoke("pretrain", "--directory", tmp_path)
    assert not (tmp_path / "stop").exists() and len(started) == 1
    assert not (tmp_path / "exit.json").exists()


def test_other_ranks_stay_silent(invoke, started, tmp_path, monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert "wrote" not in invoke("pretrain", "--directory", tmp_path).output


def test_help_shows_how_to_start_under_slurm(invoke):
    assert "srun omnilearn-lab pretrain" in invoke("pretrain", "--help").output


@pytest.mark.parametrize("place", ["help", "docs/how/cluster.md"])
def test_the_slurm_examples_give_every_process_a_place(invoke, monkeypatch, tmp_path, place):
    """As the batch scripts of the help and of the page start it: two nodes of four tasks each."""
    page = Path(__file__).parents[2] / place
    text = invoke("pretrain", "--help").output if place == "help" else page.read_text()
    directives = re.search(r"#SBATCH (.*)", text)[1]
    nodes, tasks = (
        int(re.search(rf"--{name}=(\d+)", directives)[1]) for name in ("nodes", "ntasks-per-node")
    )
    common = {"SLURM_STEP_NUM_TASKS": nodes * tasks, "SLURM_STEP_TASKS_PER_NODE": f"{tasks}(x{nodes})"}
    common |= {"SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_JOB_ID": 3, "SLURM_NTASKS": nodes * tasks}
    shares = set()
    for rank in range(nodes * tasks):
        for name, value in {**common, "SLURM_PROCID": rank, "SLURM_LOCALID": rank % tasks}.items():
            monkeypatch.setenv(name, str(value))
        said = " ".join(invoke("pretrain", "--dry-run", "--directory", tmp_path / "run").output.split())
        assert f"process {rank} of 8 on" in said and "meeting at gpu07:20003" in said
        shares.add(re.search(r"jets (\d+) to (\d+) of each 128", said).groups())
    assert shares == {(str(16 * r), str(16 * r + 15)) for r in range(8)}
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_torchrun_gives_every_process_a_place(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "omnilearn_lab.cli", "pretrain", "--dry-run", "--directory", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = " ".join(done.stdout.split())
    assert all(f"process {rank} of 2 on" in said for rank in range(2))


def test_a_batch_that_cannot_be_shared_is_told(invoke, monkeypatch):
    for name, value in {"RANK": 0, "WORLD_SIZE": 3, "LOCAL_RANK": 0}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(ConfigError, match="multiple of 3"):
        invoke("pretrain", "--dry-run")
