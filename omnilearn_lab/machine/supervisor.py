"""Run one command apart from its parent, keep its output, and leave its exit status in a file.

This file is run by its path and imports nothing of the package, so it starts in milliseconds:

    python supervisor.py DIRECTORY N COMMAND [ARGUMENT ...]

It returns at once; a copy of it, in a session of its own, starts the command N times and waits. Each of
several processes finds its place in RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR and
MASTER_PORT, as torchrun would tell it, and they meet on the loopback. When one fails the others are ended. A
command that failed and left new word in memory.json (`omnilearn_lab.training.runs`) is started again.

============= =============================================================================
process.json  pid of the copy, and when it was started (seconds since the machine was)
launch.log    output and errors of the command, appended
exit.json     exit status of the command; minus the signal's number when a signal ended it
============= =============================================================================
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

_POLL, _PATIENCE = 0.05, 30.0  # seconds between two looks, and between asking to end and ending


def main(directory: str, n_processes: int, command: list[str]) -> None:
    """Start ``command`` in the background; ``directory`` holds what is known about it."""
    folder = Path(directory)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        _detach(folder / "launch.log")
        os._exit(min(abs(supervise(directory, command, n_processes)), 255))
    booted = psutil.boot_time()
    started = psutil.Process(pid).create_time() - booted  # a clock that is set moves both
    _write(folder / "process.json", {"pid": pid, "created": started})


def supervise(directory: str, command: list[str], n_processes: int = 1) -> int:
    """Run ``command`` until it ends and return its exit status.

    Parameters
    ----------
    directory
        Where ``launch.log`` and ``exit.json`` go.
    command
        Program and arguments; no shell sees them.
    n_processes
        So many times, side by side.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     supervise(folder, [sys.executable, "-c", "print('hi')"]), Path(folder, "launch.log").read_text()
    (0, 'hi\\n')
    """
    folder = Path(directory)
    while True:
        word = _word(folder)
        status = _run(folder, command, n_processes)
        if status == 0 or _word(folder) == word:
            break
    _write(folder / "exit.json", {"status": status, "time": time.time()})
    return status


def _run(folder: Path, command: list[str], n_processes: int) -> int:
    with (folder / "launch.log").open("ab") as log:
        processes = [
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
            for environment in _places(n_processes)
        ]
    before = signal.signal(signal.SIGTERM, lambda *_: _end(processes))
    status = _wait(processes)
    signal.signal(signal.SIGTERM, before)
    return status


def _places(n_processes: int) -> list[dict[str, str]]:
    """Return the environment of each process."""
    if n_processes == 1:
        return [dict(os.environ)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    common |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(n_processes))
    ranks = map(str, range(n_processes))
    return [{**os.environ, **common, "RANK": rank, "LOCAL_RANK": rank} for rank in ranks]


def _wait(processes: list[subprocess.Popen[bytes]]) -> int:
    """Wait for all to end well, or for one to fail: the others would wait for it forever."""
    while True:
        states = [process.poll() for process in processes]
        failed = next((state for state in states if state), None)
        if failed is not None:
            _end(processes)
            return failed
        if None not in states:
            return 0
        time.sleep(_POLL)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _PATIENCE
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _word(folder: Path) -> str | None:
    path = folder / "memory.json"
    return path.read_text() if path.is_file() else None


def _detach(log: Path) -> None:
    """Give up the parent's streams, or whoever reads them would wait for the training to end."""
    with Path(os.devnull).open("rb") as nothing, log.open("ab") as output:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)


def _write(path: Path, content: dict[str, float]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(json.dumps(content))
    partial.replace(path)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
