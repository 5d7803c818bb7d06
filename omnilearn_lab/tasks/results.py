"""Where a notebook leaves what it found: ``results/<notebook>/<profile>/``."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnilearn_lab.errors import ConfigError, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PROFILES", "Results", "results_directory"]

PROFILES = ("smoke", "quick", "full")
_VERSIONS = ("omnilearn_lab", "torch", "numpy", "pythia8mc", "fastjet")
_ROOT_VARIABLE = "OMNILEARN_LAB_RESULTS"


def results_directory(notebook: str, profile: str) -> Path:
    """Return the folder for a notebook's results in a profile.

    The root is the variable ``OMNILEARN_LAB_RESULTS`` when set; else ``results`` beside the folder
    ``notebooks`` when the current folder is that one, and below the current folder otherwise.

    Raises
    ------
    ConfigError
        For an unknown profile.
    """
    if profile not in PROFILES:
        raise ConfigError(f"there is no profile '{profile}'; {nearest(profile, PROFILES)}")
    here = Path.cwd()
    default = (here.parent if here.name == "notebooks" else here) / "results"
    return Path(os.environ.get(_ROOT_VARIABLE, default)) / notebook / profile


class Results:
    """Collects a notebook's numbers and figures.

    Parameters
    ----------
    notebook
        Name without ending, such as "03_finetune_top".
    profile : {"smoke", "quick", "full"}

    Examples
    --------
    >>> import tempfile, os
    >>> os.environ["OMNILEARN_LAB_RESULTS"] = tempfile.mkdtemp()
    >>> path = Results("03_finetune_top", "smoke").write({"seeds": [1], "source": "simulated"})
    >>> path.name
    'results.json'
    >>> del os.environ["OMNILEARN_LAB_RESULTS"]
    """

    def __init__(self, notebook: str, profile: str) -> None:
        self.notebook, self.profile = notebook, profile
        self.directory = results_directory(notebook, profile)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure the wall time of a step; it ends up in ``results.json`` under ``seconds``."""
        start = time.perf_counter()
        yield
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.perf_counter() - start, 2)

    def figure(self, name: str, figure: Figure) -> Figure:
        """Save a figure as PNG and PDF under a name, and return it for display."""
        for ending in ("png", "pdf"):
            figure.savefig(self.directory / f"{name}.{ending}", dpi=200)
        return figure

    def write(self, numbers: Mapping[str, Any]) -> Path:
        """Write ``results.json`` in one step, with notebook, profile, date and versions added.

        Numbers that are not finite become null, so that the file is valid JSON.
        """
        about = {
            "notebook": self.notebook,
            "profile": self.profile,
            "date": datetime.now(UTC).date().isoformat(),
            "versions": {name: metadata.version(name) for name in _VERSIONS},
            "seconds": self.seconds,
        }
        path = self.directory / "results.json"
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(_finite(about | dict(numbers)), indent=1, allow_nan=False) + "\n")
        return partial.replace(path)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
