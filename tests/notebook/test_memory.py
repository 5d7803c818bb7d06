import subprocess
import sys
import time

import pytest
from omnilearn_lab.notebook import MemoryWatch

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
