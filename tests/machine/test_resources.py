"""Cores and memory."""

import os
import subprocess
import sys

import pytest
from omnilearn_lab.machine import reuse_memory
from omnilearn_lab.machine.resources import forget_kernels, release_memory


def test_settings_say_whether_they_took():
    assert isinstance(reuse_memory(), bool)
    assert isinstance(release_memory(), bool)


def test_the_users_own_setting_stays(monkeypatch):
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    forget_kernels()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7"
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    forget_kernels(keep=5)
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "5"


def test_networks_keep_few_kernels_in_any_process():
    """Not in workers alone: a kernel that trains or embeds by itself would keep a thousand."""
    code = "import os, omnilearn_lab.models; print(os.environ['ONEDNN_PRIMITIVE_CACHE_CAPACITY'])"
    env = {k: v for k, v in os.environ.items() if k != "ONEDNN_PRIMITIVE_CACHE_CAPACITY"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 64


RELEASE = """
import psutil
from omnilearn_lab.machine import reuse_memory
from omnilearn_lab.machine.resources import release_memory
held = lambda: psutil.Process().memory_info().rss / 1e6
if not reuse_memory():
    raise SystemExit(3)
start, rows = held(), [bytearray(1000) for _ in range(200_000)]
last = bytearray(1000)  # on top of the rows, so that the end of the heap is in use
del rows
kept = held() - start
release_memory()
print(kept, held() - start)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_memory_goes_back():
    done = subprocess.run([sys.executable, "-c", RELEASE], capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("this C library has no such setting")
    kept, after = map(float, done.stdout.split())
    assert kept > 150
    assert after < 50
