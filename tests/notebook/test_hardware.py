"""What machine this is, whether it is in order, and the memory of our processes."""

import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.notebook.hardware import (
    Machine,
    MemoryWatch,
    check_machine,
    memory_limit,
    recommended_training,
    this_machine,
)

LAPTOP = Machine("a laptop", 2, 8.0)


@pytest.fixture(autouse=True)
def total_memory(monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=16_000_000 * 1024))


def fake_system(root, *, membership="0::/user/one", limits=None):
    """Write what a Linux machine says about memory, below ``root``."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership + "\n")
    for name, value in (limits or {}).items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root


def test_memory_without_limit_is_the_machines(tmp_path):
    fake_system(tmp_path, limits={"user/one/memory.max": "max"})
    assert memory_limit(tmp_path) == 16_000_000 * 1024


@pytest.mark.parametrize(
    ("membership", "file"),
    [
        ("0::/user/one", "user/one/memory.max"),
        ("0::/user/one", "user/memory.max"),  # a limit of the group above
        ("0::/", "memory.max"),  # inside a container
        ("5:cpu,memory:/user/one", "memory/user/one/memory.limit_in_bytes"),
        ("5:memory:/elsewhere", "memory/memory.limit_in_bytes"),
    ],
)
def test_limit_of_a_control_group_counts(tmp_path, membership, file):
    fake_system(tmp_path, membership=membership, limits={file: 2_000_000_000})
    assert memory_limit(tmp_path) == 2e9


def test_unlimited_group_of_version_1_does_not_count(tmp_path):
    limits = {"memory/memory.limit_in_bytes": 9223372036854771712}
    fake_system(tmp_path, membership="5:memory:/", limits=limits)
    assert memory_limit(tmp_path) == 16_000_000 * 1024


def test_group_of_another_controller_does_not_count(tmp_path):
    limits = {"memory/a/memory.limit_in_bytes": 1_000}
    fake_system(tmp_path, membership="4:cpu:/a", limits=limits)
    assert memory_limit(tmp_path) == 16_000_000 * 1024


def test_batch_of_256_in_parts_that_fit():
    sizes = [1.0, 2.0, 8.0, 64.0]
    parts = [recommended_training(replace(LAPTOP, memory=gb), "PETv2 small").accumulate for gb in sizes]
    assert parts == sorted(parts, reverse=True)
    assert parts[0] > parts[-1] == 1
    for gb, accumulate in zip(sizes, parts, strict=True):
        training = recommended_training(replace(LAPTOP, memory=gb), "PETv2 small")
        assert training.batch_size == 256
        assert 256 / accumulate * 16.3e-3 <= gb / 4


def test_memory_of_the_gpu_decides_when_there_is_one():
    gpu = replace(LAPTOP, gpu="a GPU", gpu_memory=80.0, has_bf16=True)
    assert (gpu.device, LAPTOP.device) == ("cuda", "cpu")
    training = recommended_training(replace(gpu, memory=1.0), "PETv2 small")
    assert (training.accumulate, training.precision) == (1, "bf16")
    assert recommended_training(LAPTOP).precision == "fp32"


def test_unmeasured_network_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'PETv2 small'"):
        recommended_training(LAPTOP, "PETv2 smal")


def test_it_shows_itself():
    machine = Machine("a <fast> laptop", 1, 8.0)
    assert repr(machine).startswith("<1 core of")
    assert "&lt;fast&gt;" in machine._repr_html_()
    assert dict(machine.rows())["GPU"].startswith("none")


def test_this_machine_is_possible():
    here = this_machine()
    assert here.n_cores >= 1
    assert 0.1 < here.memory < 1e5
    assert (here.gpu_memory > 0) == bool(here.gpu)


HOLD = """
import os, subprocess, sys
block = bytearray(b"1") * {size}
{then}
print("ready", flush=True)
sys.stdin.read()
"""


def peak_of_a_child(size: int, then: str = "pass") -> float:
    """Peak while a child, and what it starts, hold ``size`` bytes that were written."""
    command = [sys.executable, "-c", HOLD.format(size=size, then=then)]
    with MemoryWatch(period=0.02) as watch:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdout.readline()
        before = watch.n_samples
        while watch.n_samples < before + 2:
            time.sleep(0.01)
        child.communicate()
    return watch.peak_gb


def test_memory_of_children_is_seen():
    small, large = peak_of_a_child(1), peak_of_a_child(200_000_000)
    assert 0.19 < large - small < 0.22


def test_memory_of_their_children_is_seen():
    inner = HOLD.format(size=100_000_000, then="")
    then = f"subprocess.Popen([sys.executable, '-c', {inner!r}], stdout=subprocess.PIPE).stdout.readline()"
    alone, together = peak_of_a_child(1), peak_of_a_child(1, then)
    assert together - alone > 0.09


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell which pages are shared")
def test_pages_that_processes_share_count_once():
    alone, shared = peak_of_a_child(200_000_000), peak_of_a_child(200_000_000, "os.fork(); os.fork()")
    assert shared - alone < 0.1  # four resident sizes would be 0.6 GB more


def test_no_children_no_memory():
    with MemoryWatch(period=0.01) as watch:
        pass
    assert watch.peak_gb == 0


def test_a_folder_that_cannot_be_written_to_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path / "not" / "there"))
    checks = {check.what: check for check in check_machine()}
    assert checks["Results"].is_good
    monkeypatch.setattr("omnilearn_lab.notebook.hardware.os.access", lambda *_: False)
    checks = {check.what: check for check in check_machine()}
    assert not checks["Results"].is_good and "OMNILEARN_LAB_RESULTS" in checks["Results"].remedy


def test_a_package_that_is_not_there_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("omnilearn_lab.notebook.hardware._PACKAGES", ("no_such_package",))
    check = check_machine()[-1]
    assert not check.is_good and check.remedy == "pip install no_such_package"
