"""What goes wrong on shared machines, made on purpose: full disks, other users, kills."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PRELOAD = "import os, filelock, h5py, omnilearn_lab.readers, omnilearn_lab.catalog, omnilearn_lab.jets"
_BECOME = "os.setgroups({groups}); os.setgid({group}); os.setuid({user}); os.umask(0o022); "


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """A file system of its own with so much room; skips, loudly, where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={int(megabytes * 1024)}k", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here ({mounted.stderr.strip()}): a full disk is NOT tested")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may reach, and only its owner may write; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def run_as(user: int, code: str, *, group: int = 0, before: str = "", **variables: str) -> str:
    """Run a program as another user, who has one group besides their own, and return what it prints.

    The package is imported, and ``before`` is run, before the user changes: the interpreter and its libraries
    may lie where only root may read.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can be two users: files of several users are NOT tested here")
    groups = [group] if group else []
    become = _BECOME.format(user=user, group=user, groups=groups)
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"} | variables
    done = subprocess.run(
        [sys.executable, "-c", f"{_PRELOAD}\n{before}\n{become}\n{code}"],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def kill_when(process: subprocess.Popen, is_time: Callable[[], bool], seconds: float = 60.0) -> None:
    """Kill a process, without a chance to clean up, as soon as something holds."""
    deadline = time.monotonic() + seconds
    while not is_time():
        assert process.poll() is None, f"it ended by itself with status {process.returncode}"
        assert time.monotonic() < deadline, "it never came to the point"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def in_child(code: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run a program in a fresh interpreter with this package."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipes = {"capture_output": True, "text": True}
    return subprocess.run(command, env=environment, timeout=300, check=False, **pipes)
