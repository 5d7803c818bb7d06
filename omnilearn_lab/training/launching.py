"""Trainings in processes of their own, which outlive the notebook that started them.

A launched training is known by its run directory alone: any notebook, today or tomorrow, can look at it,
stop it, or go on with it. No process group is ever made in the process that launches.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock

from omnilearn_lab.errors import ConfigError, TrainingError
from omnilearn_lab.machine import supervisor, usable_cores

_SUPERVISOR = Path(supervisor.__file__)
_RANK_VARIABLES = frozenset(
    {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE"}
    | {"ROLE_RANK", "ROLE_NAME", "ROLE_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    | {"SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS", "SLURM_NPROCS"}
    | {"SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST"}
)
_RANK_PREFIXES = ("TORCHELASTIC_", "PMI_", "PMIX_", "OMPI_")
_SAME_START = 2.0  # seconds by which two readings of a process' start may differ
_POLL = 0.1


@dataclass(frozen=True)
class LaunchedRun:
    """A training in a process of its own.

    Parameters
    ----------
    directory : Path
        Its run directory.
    """

    directory: Path

    @property
    def pid(self) -> int | None:
        """The process that watches over the training, while it lives."""
        watcher = _read(self.directory / "process.json", "pid", "created")
        return int(watcher["pid"]) if watcher and _is_alive(watcher) else None

    @property
    def status(self) -> str:
        """What the training does.

        "running", "stopping" (asked to end, which it does after the present update), "finished", "stopped",
        "failed" (see `tail`), "killed" (no exit status was left: out of memory, or the machine went
        down), or "not launched".
        """
        wishes = [(self.directory / name).exists() for name in ("stop", "stopped")]
        if self.pid is not None:
            return "stopping" if wishes[0] else "running"
        if not (self.directory / "process.json").is_file():
            return "not launched"
        left = _read(self.directory / "exit.json", "status")
        if left is None:
            return "killed"
        if left["status"] != 0:
            return "failed"
        return "stopped" if any(wishes) else "finished"

    @property
    def is_running(self) -> bool:
        """Whether its processes are there."""
        return self.pid is not None

    def stop(self) -> None:
        """Ask the training to end after the present update, with a checkpoint to go on from."""
        (self.directory / "stop").touch()

    def wait(self, timeout: float | None = None) -> str:
        """Wait for the end, or until ``timeout`` seconds have passed, and return the status."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.is_running and (end is None or time.monotonic() < end):
            time.sleep(_POLL)
        return self.status

    def tail(self, n_lines: int = 20) -> str:
        """Return the last lines that the training wrote to its log."""
        path = self.directory / "launch.log"
        text = path.read_text(errors="replace") if path.is_file() else ""
        return "\n".join(text.splitlines()[-n_lines:])

    def __repr__(self) -> str:
        return f"<training in '{self.directory}': {self.status}>"


def attach(directory: str | os.PathLike[str]) -> LaunchedRun:
    """Return a handle on the training of a run directory, whoever started it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     attach(folder).status
    'not launched'
    """
    return LaunchedRun(Path(directory).absolute())


def launch(
    directory: str | os.PathLike[str], module: str, arguments: Sequence[str] = (), *, n_processes: int = 1
) -> LaunchedRun:
    """Start a Python module in processes of its own, or attach to it when it is running already.

    A run that was stopped, killed or failed is started again; one that has finished is left alone. The
    log is ``launch.log`` in the run directory.

    Parameters
    ----------
    directory
        Run directory; made when it does not exist.
    module
        Started as ``python -m module arguments``. It must read the run directory from its arguments, and
        end with exit status 0 when a file named ``stop`` appears there.
    arguments
        Passed on as they are; no shell sees them.
    n_processes
        Side by side on this machine; when one fails the others are ended.

    Returns
    -------
    LaunchedRun

    Raises
    ------
    ConfigError
        For less than one process.
    TrainingError
        When the process cannot be started.
    """
    if n_processes < 1:
        raise ConfigError(f"n_processes is {n_processes}; at least 1 is needed")
    run = attach(directory)
    run.directory.mkdir(parents=True, exist_ok=True)
    with FileLock(run.directory / "launch.lock"):
        if run.status not in ("running", "stopping", "finished"):
            forget_last_end(run.directory)
            _start(run.directory, [sys.executable, "-m", module, *arguments], n_processes)
    return run


def forget_last_end(directory: Path) -> None:
    """Remove from a run directory what asked the last training to stop, and how it ended."""
    for name in ("stop", "stopped", "exit.json"):
        (directory / name).unlink(missing_ok=True)


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables without those that tell a process its place among others.

    A notebook that itself runs inside a job of several processes can then start jobs of its own.

    Examples
    --------
    >>> clean_environment({"RANK": "3", "TORCHELASTIC_RUN_ID": "a", "HOME": "/home/me"})
    {'HOME': '/home/me'}
    """
    return {
        name: value
        for name, value in environment.items()
        if name not in _RANK_VARIABLES and not name.startswith(_RANK_PREFIXES)
    }


def _start(directory: Path, command: Sequence[str], n_processes: int) -> None:
    environment = clean_environment(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // n_processes)))
    home = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [home, environment.get("PYTHONPATH")]))
    started = subprocess.run(
        [sys.executable, str(_SUPERVISOR), str(directory), str(n_processes), *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if started.returncode != 0:
        raise TrainingError(f"no process could be started in '{directory}': {started.stderr.strip()}")


def _read(path: Path, *names: str) -> dict[str, float] | None:
    """Return the numbers of a small JSON file; None when it is not there or holds anything else."""
    try:
        content = json.loads(path.read_text())
        return {name: float(content[name]) for name in names}
    except (OSError, ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None


def _is_alive(watcher: Mapping[str, float]) -> bool:
    """Whether the very process is there, and not another one that was given its number later."""
    try:
        booted, process = psutil.boot_time(), psutil.Process(int(watcher["pid"]))
        is_same = abs(process.create_time() - booted - watcher["created"]) < _SAME_START
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
