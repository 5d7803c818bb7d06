"""Write ``requirements.txt``: what the project needs, each at one version and with its checksum.

Run it in the project's folder with a recent pip, whenever ``pyproject.toml`` changes::

    python binder/lock.py

PyTorch for CPUs lies on an index of its own. Its line goes to ``torch.txt``, with its checksum where that
index can be reached, since pip asks for the checksums of either all or no lines of an installation.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
PYTHON = (HERE / "runtime.txt").read_text().strip().removeprefix("python-")
TORCH_CPU = "https://download.pytorch.org/whl/cpu"
NOT_FOR_CPUS = re.compile(r"^(nvidia|cuda|triton)", re.IGNORECASE)
HEAD = f"# Written by binder/lock.py from pyproject.toml for Python {PYTHON}: change that and run it again.\n"
HASHES_HEAD = HEAD + "--require-hashes\n"
TORCH_HEAD = HEAD + f"--index-url {TORCH_CPU}\n"
NO_CHECKSUM = (
    "# Pinned exactly, but without a checksum: PyTorch's index for CPUs, the only place of this file and of\n"
    "# its checksum, could not be reached when this was written. Run binder/lock.py where it can be.\n"
)


class Pin(NamedTuple):
    """One package: its version, and the checksum of the file for Binder where it came over https."""

    version: str
    sha256: str = ""


def resolve(*wanted: str, options: tuple[str, ...] = ()) -> dict[str, Pin]:
    """Return every package that installing ``wanted`` brings, the project aside."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        fixed = ["--dry-run", "--ignore-installed", "--quiet", "--only-binary=:all:"]
        target = [f"--python-version={PYTHON}", f"--target={folder}", f"--report={report}"]
        command = [sys.executable, "-m", "pip", "install", *fixed, *target, *options, *wanted]
        subprocess.run(command, check=True, env=_environment())
        items = json.loads(report.read_text())["install"]
    return {
        item["metadata"]["name"]: _pin(item) for item in items if item["metadata"]["name"] != "omnilearn_lab"
    }


def _environment() -> dict[str, str]:
    """Without other indexes and folders of this machine, whose files have checksums of their own."""
    others = ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")
    kept = {name: value for name, value in os.environ.items() if name not in others}
    return kept | {"PIP_CONFIG_FILE": os.devnull}


def _pin(item: dict) -> Pin:
    source = item["download_info"]
    is_remote = source["url"].startswith("https://")
    return Pin(item["metadata"]["version"], source["archive_info"]["hashes"]["sha256"] if is_remote else "")


def requirements(pins: dict[str, Pin]) -> str:
    """Return the text of the requirements file: all but torch, which has an index of its own.

    Raises
    ------
    SystemExit
        Naming packages whose checksum is not known, because they came from this machine's disk.
    """
    kept = {name: pin for name, pin in pins.items() if not NOT_FOR_CPUS.match(name) and name != "torch"}
    unknown = sorted(name for name, pin in kept.items() if not pin.sha256)
    if unknown:
        raise SystemExit(
            f"no checksum of {', '.join(unknown)}: they did not come over https; use another index"
        )
    return HASHES_HEAD + "".join(_line(name, kept[name]) for name in sorted(kept, key=str.lower))


def torch_line(version: str) -> str:
    """Return the text of the file for torch; where its index cannot be reached it says why no checksum."""
    wanted = f"torch=={version.split('+')[0]}+cpu"
    try:
        pin = resolve(wanted, options=("--no-deps", f"--index-url={TORCH_CPU}"))["torch"]
    except (subprocess.CalledProcessError, KeyError):
        return NO_CHECKSUM + TORCH_HEAD + wanted + "\n"
    return TORCH_HEAD + _line("torch", pin)


def _line(name: str, pin: Pin) -> str:
    return f"{name}=={pin.version}" + (f" --hash=sha256:{pin.sha256}" if pin.sha256 else "") + "\n"


if __name__ == "__main__":
    found = resolve(f"{HERE.parent}[dashboard]")
    (HERE / "requirements.txt").write_text(requirements(found))
    (HERE / "torch.txt").write_text(torch_line(found["torch"].version))
