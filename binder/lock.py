"""Write ``requirements.txt``: what the project needs, each at one version, with torch for CPUs only.

Run it in the project's folder with a recent pip, whenever ``pyproject.toml`` changes::

    python binder/lock.py
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = (HERE / "runtime.txt").read_text().strip().removeprefix("python-")
TORCH_CPU = "https://download.pytorch.org/whl/cpu"
NOT_FOR_CPUS = re.compile(r"^(nvidia|cuda|triton)", re.IGNORECASE)
HEAD = f"""# Written by binder/lock.py from pyproject.toml for Python {PYTHON}: change that and run it again.
--extra-index-url {TORCH_CPU}
"""


def resolve(project: str) -> dict[str, str]:
    """Return name and version of everything that installing the project brings, the project aside."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--quiet", "--only-binary=:all:"]
        target = [f"--python-version={PYTHON}", f"--target={folder}", f"--report={report}"]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *target, project], check=True)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return {item["name"]: item["version"] for item in found if item["name"] != "omnilearn_lab"}


def requirements(versions: dict[str, str]) -> str:
    """Return the text of the requirements file; the project itself comes last."""
    kept = {name: v for name, v in versions.items() if not NOT_FOR_CPUS.match(name)}
    kept["torch"] = kept["torch"].split("+")[0] + "+cpu"
    lines = [f"{name}=={version}" for name, version in sorted(kept.items(), key=lambda item: item[0].lower())]
    return HEAD + "\n".join(lines) + "\n-e .\n"


if __name__ == "__main__":
    (HERE / "requirements.txt").write_text(requirements(resolve(f"{HERE.parent}[dashboard]")))
