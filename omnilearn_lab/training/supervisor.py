"""Run one command apart from its parent, keep its output, and leave its exit status in a file.

This file is run by its path and imports nothing of the package, so it starts in milliseconds:

    python supervisor.py DIRECTORY COMMAND [ARGUMENT ...]

It returns at once; a copy of it, in a session of its own, waits for the command. A command that failed
and left new word in memory.json (`omnilearn_lab.training.runs`) is started again.

============= =============================================================================
process.json  pid of the copy, and when it was started
launch.log    output and errors of the command, appended
exit.json     exit status of the command; minus the signal's number when a signal ended it
============= =============================================================================
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil


def main(directory: str, command: list[str]) -> None:
    """Start ``command`` in the background; ``directory`` holds what is known about it."""
    folder = Path(directory)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        _detach(folder / "launch.log")
        os._exit(min(abs(supervise(directory, command)), 255))
    _write(folder / "process.json", {"pid": pid, "created": psutil.Process(pid).create_time()})


def supervise(directory: str, command: list[str]) -> int:
    """Run ``command`` until it ends and return its exit status.

    Parameters
    ----------
    directory
        Where ``launch.log`` and ``exit.json`` go.
    command
        Program and arguments; no shell sees them.

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
        status = _run(folder, command)
        if status == 0 or _word(folder) == word:
            break
    _write(folder / "exit.json", {"status": status, "time": time.time()})
    return status


def _run(folder: Path, command: list[str]) -> int:
    with (folder / "launch.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    status = process.wait()
    signal.signal(signal.SIGTERM, before)
    return status


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
    main(sys.argv[1], sys.argv[2:])
