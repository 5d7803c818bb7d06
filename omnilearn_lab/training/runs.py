"""A run directory, and trainings in processes of their own, which outlive the notebook that started them.

====================== ==============================================================================
config.yaml            the `TrainConfig` and whatever the task adds
metrics.jsonl          one record per line, flushed at once
last.safetensors       everything needed to go on: weights, optimizer, moving average, step
best.safetensors       weights with the lowest validation loss
environment.json       versions, device, git revision
progress.json          how far it is, written once a second for those who watch
memory.json            only after memory ran out in one of several processes: parts per update from then on
stop                   made by whoever wants the training to end after the present update
stopped                the same file after the training has obeyed
training.lock          held by the process that trains here
====================== ==============================================================================

A launched training is known by its run directory alone: any notebook, today or tomorrow, can look at it,
stop it, or go on with it. No process group is ever made in the process that launches.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import psutil
import torch
import yaml
from filelock import FileLock, Timeout
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from omnilearn_lab.errors import ConfigError, TrainingError
from omnilearn_lab.machine import StrPath, atomic_path, supervisor, usable_cores, write_text
from omnilearn_lab.settings import flatten, from_mapping, read_settings, settings
from omnilearn_lab.training.batches import Fingerprint, is_same
from omnilearn_lab.training.history import History, writing

_PROGRESS, _MEMORY = "progress.json", 0.8  # of the speed, from one beat to the next
_Number = Annotated[int, Field(ge=0)]
_PACKAGES = ("omnilearn_lab", "torch", "numpy", "awkward", "fastjet", "pythia8mc")


@settings
class TrainingState:
    """What a training needs to go on, besides its configuration.

    Parameters
    ----------
    step
        Updates done.
    seconds
        Time spent.
    best_loss, best_step, n_worse
        Lowest validation loss so far, where it was, and how many validations came since.
    sums, n_summed
        Sums of the loss terms since the last training record, and over how many updates.
    n_parts
        Parts in which an update's batch is done.
    jets
        Fingerprint of the jets for training and for validation, see `omnilearn_lab.training.batches`.
    """

    step: _Number = 0
    seconds: float = 0.0
    best_loss: float | None = None
    best_step: _Number = 0
    n_worse: _Number = 0
    sums: dict[str, float] = field(default_factory=dict)
    n_summed: _Number = 0
    n_parts: Annotated[int, Field(ge=1)] = 1
    jets: dict[str, Fingerprint] = field(default_factory=dict)


@contextmanager
def intact(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with the content of a file of a run into an error of this package.

    Raises
    ------
    TrainingError
        When the file does not hold what a training wrote.
    """
    try:
        yield
    except Exception as error:  # of any kind: what lies there need not be ours
        raise TrainingError(
            f"'{path}' is damaged ({str(error).splitlines()[0] if str(error) else type(error).__name__}); "
            "delete the run directory to start over"
        ) from error


class Run:
    """A run directory.

    Parameters
    ----------
    directory
        Made when it does not exist. None for a run that leaves nothing behind.
    config
        Written on first use. A later run in the same directory must have the same configuration.
    is_writer
        False for all processes of a training but one: they read what there is, and write nothing.

    Raises
    ------
    ConfigError
        When the directory holds a run with another configuration.
    TrainingError
        When it cannot be written.
    """

    def __init__(
        self, directory: StrPath | None, config: Mapping[str, Any] | None = None, *, is_writer: bool = True
    ) -> None:
        self.directory = None if directory is None else Path(directory)
        self.is_writer = is_writer and directory is not None
        if not self.is_writer:
            return
        with writing(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            self._write_config(json.loads(json.dumps(config or {}, default=_named)))
            (self.directory / "environment.json").write_text(json.dumps(describe_environment(), indent=1))
        path = self.directory / "training.lock"
        self._lock = FileLock(path, timeout=0, is_singleton=True, thread_local=False)

    @property
    def is_started(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self._has("last.safetensors")

    def claim(self) -> None:
        """Keep other processes from training here until `release`, or until this process ends.

        Raises
        ------
        TrainingError
            When another process is training here.
        """
        if not self.is_writer:
            return
        with writing(self.directory):
            try:
                self._lock.acquire()
            except Timeout as error:
                raise TrainingError(
                    f"another process is training in '{self.directory}'; wait for it, stop it with a file "
                    "named 'stop' there, or use another directory"
                ) from error

    def release(self) -> None:
        """Let other processes train here."""
        if self.is_writer:
            self._lock.release(force=True)

    def history(self) -> History:
        """Return the metrics so far, appending to the file from here on."""
        if self.directory is None:
            return History()
        path = self.directory / "metrics.jsonl"
        history = History.load(path) if path.is_file() else History(path=path)
        return history if self.is_writer else History(history.records)

    def wants_stop(self) -> bool:
        """Whether somebody asked this run to end, by making a file named ``stop``."""
        return self._has("stop")

    @property
    def n_parts_asked(self) -> int:
        """Parts in which an update must be done since memory ran out; 0 when it never did."""
        if not self._has("memory.json"):
            return 0
        path = self.directory / "memory.json"
        with intact(path):
            return max(0, int(json.loads(path.read_text())["n_parts"]))

    def obey(self) -> None:
        """Take note that the wish to stop was obeyed: ``stop`` is called ``stopped`` from now on."""
        if self.is_writer and self.wants_stop():
            (self.directory / "stop").replace(self.directory / "stopped")

    def ask_for_parts(self, n_parts: int) -> None:
        """Leave word for the next start, from any process: memory does not suffice for fewer parts."""
        write_text(self.directory / "memory.json", json.dumps({"n_parts": n_parts}))

    def save(self, parts: Mapping[str, Mapping[str, Tensor]], state: TrainingState) -> None:
        """Write ``last.safetensors`` in one atomic step."""
        if not self.is_writer:
            return
        tensors = {f"{part}/{k}": v for part, named in parts.items() for k, v in named.items()}
        _save_tensors(tensors, self.directory / "last.safetensors", {"state": json.dumps(vars(state))})

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Write ``best.safetensors`` in one atomic step."""
        if self.is_writer:
            _save_tensors(weights, self.directory / "best.safetensors", {})

    def restore(
        self, jets: Mapping[str, Fingerprint] | None = None
    ) -> tuple[dict[str, dict[str, Tensor]], TrainingState]:
        """Read ``last.safetensors``, which must come from a training on these jets.

        Raises
        ------
        TrainingError
            When the file is damaged, or comes from a training on other jets.
        """
        path = self.directory / "last.safetensors"
        parts: dict[str, dict[str, Tensor]] = {}
        with intact(path), safe_open(path, framework="pt") as file:
            state = from_mapping(TrainingState, json.loads(file.metadata()["state"]))
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                part, key = name.split("/", 1)
                parts.setdefault(part, {})[key] = file.get_tensor(name)
            if state.jets and not state.jets.keys() >= (jets or {}).keys():
                raise KeyError("jets")
        if state.jets and not all(is_same(state.jets[name], mine) for name, mine in (jets or {}).items()):
            raise TrainingError(
                f"'{self.directory}' holds a run with other jets; use another directory, or delete it"
            )
        return parts, state

    def _has(self, name: str) -> bool:
        return self.directory is not None and (self.directory / name).exists()

    def _write_config(self, config: dict[str, Any]) -> None:
        path = self.directory / "config.yaml"
        found = flatten(read_settings(path)) if path.is_file() else {}
        if not found:  # none, or a start that was killed before files were written in one step
            write_text(path, yaml.safe_dump(config, sort_keys=False))
            return
        config = flatten(config)
        changed = sorted(k for k in found.keys() | config.keys() if found.get(k) != config.get(k))
        if changed:
            first = ", ".join(f"{k}: {found.get(k)}, asked now: {config.get(k)}" for k in changed[:5])
            more = f", and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise ConfigError(
                f"'{self.directory}' holds a run with other settings ({first}{more}); "
                "use another directory, or delete this one"
            )


def describe_environment() -> dict[str, Any]:
    """Return versions, device, core count and git revision of this process.

    Examples
    --------
    >>> sorted(describe_environment())
    ['device', 'git', 'platform', 'python', 'threads', 'versions']
    """
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": versions,
        "git": _git_revision(),
    }


def _git_revision() -> str:
    """Return the revision of the checkout that holds this file; "unknown" for an installed package."""
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        for arguments in (["ls-files", "--error-unmatch", here.name], ["describe", "--always", "--dirty"]):
            answer = subprocess.run(git + arguments, capture_output=True, text=True, timeout=10, check=False)
            if answer.returncode:
                return "unknown"
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip()


def _named(value: Any) -> str:
    """A function of your own among the settings is known by its name."""
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value)}"


def _save_tensors(tensors: Mapping[str, Tensor], path: Path, about: dict[str, str]) -> None:
    with writing(path), atomic_path(path) as new:
        save_file({name: value.contiguous() for name, value in tensors.items()}, new, metadata=about)


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Parameters
    ----------
    step, n_steps
        Updates done and in all.
    jets
        Jets seen.
    jets_per_second
        Lately; validation and checkpoints count as time.
    time
        When this was written, seconds since 1970.
    """

    step: int
    n_steps: int
    jets: int
    jets_per_second: float
    time: float

    @property
    def fraction(self) -> float:
        """Part of the updates that is done."""
        return self.step / self.n_steps

    @property
    def seconds_left(self) -> float:
        """Time to the end at the present speed; infinite before it is known.

        Examples
        --------
        >>> Progress(step=20, n_steps=100, jets=2000, jets_per_second=50.0, time=0.0).seconds_left
        160.0
        """
        if not self.jets_per_second or not self.step:
            return float("inf")
        return (self.n_steps - self.step) * self.jets / self.step / self.jets_per_second


_NO_PROGRESS = Progress(0, 0, 0, 0.0, 0.0)


class Heartbeat:
    """Write the progress of a training into its run directory, at most once a second.

    Parameters
    ----------
    directory
        Run directory; None writes nothing.
    every
        Seconds between two beats.
    clock
        Seconds, growing.

    Examples
    --------
    >>> import tempfile
    >>> seconds = iter([0.0, 2.0, 4.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     heart = Heartbeat(Path(folder), clock=lambda: next(seconds))
    ...     heart.beat(1, 10, jets=100)
    ...     heart.beat(2, 10, jets=200)
    ...     read_progress(folder).jets_per_second
    50.0
    """

    def __init__(
        self, directory: Path | None, *, every: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = directory / _PROGRESS if directory else None
        self.every = every
        self._clock = clock
        self._last = (clock(), -1)
        self._speed = 0.0

    def beat(self, step: int, n_steps: int, *, jets: int) -> None:
        """Take note of the progress; it is written when a second has passed, and at the end."""
        now, (before, jets_before) = self._clock(), self._last
        if self.path is None or (now - before < self.every and step < n_steps):
            return
        if jets_before >= 0 and now > before:
            speed = (jets - jets_before) / (now - before)
            self._speed = _MEMORY * self._speed + (1 - _MEMORY) * speed if self._speed else speed
        self._last = (now, jets)
        progress = Progress(step, n_steps, jets, self._speed, time.time())
        with writing(self.path):
            write_text(self.path, json.dumps(asdict(progress)))


def read_progress(directory: StrPath) -> Progress | None:
    """Return the last progress that a training wrote; None before its first beat.

    Examples
    --------
    >>> import tempfile
    >>> read_progress(tempfile.gettempdir() + "/no such run")
    """
    try:
        values = json.loads((Path(directory) / _PROGRESS).read_text())
        stored = Progress(**{n: type(known)(values[n]) for n, known in vars(_NO_PROGRESS).items()})
        _ = stored.fraction, stored.seconds_left  # numbers of any size may not be divisible
        return stored
    except Exception:  # of any kind: what lies there need not be ours
        return None


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


def attach(directory: StrPath) -> LaunchedRun:
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
    directory: StrPath, module: str, arguments: Sequence[str] = (), *, n_processes: int = 1
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
