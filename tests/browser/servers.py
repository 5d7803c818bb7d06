"""Servers and a browser for the tests that look at a page as a user does."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOKEN = "tests-only"
_QUIET_LAB = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}


def chromium() -> str | None:
    """Return the browser's path: the variable CHROMIUM, else Debian's or another one on the path."""
    named = os.environ.get("CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def running(
    command: list[str], url: str, *, log: Path, env: dict[str, str], seconds: float = 90
) -> Iterator[None]:
    """Run a server in the folder of its log until the block ends; enter when its address answers."""
    with log.open("w") as out:
        options = {"stdout": out, "stderr": subprocess.STDOUT, "env": os.environ | env, "cwd": log.parent}
        process = subprocess.Popen(command, **options)
        try:
            _wait(url, process, log, time.monotonic() + seconds)
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(url: str, process: subprocess.Popen, log: Path, deadline: float) -> None:
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no server at {url}:\n{log.read_text()[-3000:]}") from None
            time.sleep(0.3)
        else:
            return


@contextmanager
def jupyter_lab(folder: Path, scratch: Path, env: dict[str, str] | None = None) -> Iterator[str]:
    """Serve a folder in JupyterLab; yields the address of the server."""
    port, settings = free_port(), scratch / "settings"
    for name, values in _QUIET_LAB.items():
        file = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder}"]
    own = {"JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTER_CONFIG_DIR": str(scratch / "config")}
    own |= {
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        "JUPYTERLAB_WORKSPACES_DIR": str(scratch / "spaces"),
    }
    with running(command, f"{address}/api", log=scratch / "lab.log", env=own | (env or {})):
        yield address


@contextmanager
def voila(notebook: Path, scratch: Path, env: dict[str, str] | None = None) -> Iterator[str]:
    """Serve one notebook as a page of its own."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "voila", str(notebook), "--no-browser", f"--port={port}"]
    command += ["--Voila.ip=127.0.0.1"]
    own = {"JUPYTER_RUNTIME_DIR": str(scratch / "runtime")} | (env or {})
    with running(command, f"{address}/voila/static/nothing", log=scratch / "voila.log", env=own):
        yield address
