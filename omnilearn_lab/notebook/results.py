"""What a notebook keeps: its results file with a checked schema, its figures, its folder."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, Field

from omnilearn_lab.errors import ConfigError, DataFileError, nearest, translated
from omnilearn_lab.machine import write_text
from omnilearn_lab.plotting import export_figure_data, save_figure
from omnilearn_lab.tasks.common.comparison import ComparisonRecord, Record, finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure


NOTEBOOK_NAME = r"^\w[\w. -]{0,99}$"
"""What a notebook may be called: its name becomes a folder, and stands in reports."""


def _notebook_name(name: str) -> str:
    if not re.fullmatch(NOTEBOOK_NAME, name):
        raise ValueError(f"{name!r} is no name of a notebook: letters, digits, '_', '-', '.' are accepted")
    return name


_LARGEST = 50_000_000  # bytes of a results file


class ResultsRecord(Record):
    """Everything a notebook leaves behind in numbers."""

    notebook: Annotated[str, AfterValidator(_notebook_name)]
    profile: Literal["smoke", "quick", "full"]
    date: str
    versions: dict[str, str]
    seconds: dict[str, float]
    total_seconds: float | None = None
    peak_memory_gb: float | None = None
    source: Literal["simulated", "published", "own file"]
    seeds: list[int] = Field(min_length=1)
    comparisons: dict[str, ComparisonRecord] = {}
    numbers: dict[str, Any] = {}


def check_results(values: Mapping[str, Any], where: str = "results.json") -> ResultsRecord:
    """Return a results file's content as a record, with numbers that are not finite as null.

    Raises
    ------
    ConfigError
        Naming every field that does not fit, what was found there and what is wanted.

    Examples
    --------
    >>> check_results({"notebook": "03_finetune_top", "profile": "quik"})
    Traceback (most recent call last):
    omnilearn_lab.errors.ConfigError: results.json does not fit the schema of results:
      field 'profile': Input should be 'smoke', 'quick' or 'full'; found 'quik'
      field 'date': Field required
      ...
    """
    with translated(ConfigError, f"{where} does not fit the schema of results", "run the notebook again"):
        try:
            return ResultsRecord.model_validate(finite(values, where))
        except pydantic.ValidationError as error:
            lines = "\n".join(_line(item) for item in error.errors())
            raise ConfigError(f"{where} does not fit the schema of results:\n{lines}") from error


def read_results(path: str | os.PathLike[str]) -> ResultsRecord:
    """Read a ``results.json``, or the one in a folder, and check it.

    Raises
    ------
    DataFileError
        When there is no such file or it is not JSON.
    ConfigError
        When it does not fit the schema.
    """
    path = Path(path)
    path = path / "results.json" if path.is_dir() else path
    with translated(DataFileError, f"'{path}' is not a readable results file", "run the notebook"):
        if path.stat().st_size > _LARGEST:
            raise DataFileError(f"'{path}' has more than {_LARGEST} bytes; run the notebook again")
        return check_results(json.loads(path.read_text(encoding="utf-8")), f"'{path}'")


def write_json(record: ResultsRecord, path: Path) -> Path:
    """Write a record in one atomic step."""
    return write_text(path, json.dumps(record.model_dump(), indent=1, allow_nan=False) + "\n")


def _line(item: Any) -> str:
    place, message = ".".join(str(part) for part in item["loc"]), item["msg"].removeprefix("Value error, ")
    text = f"  field '{place}': {message}"
    return text if item["type"] in ("missing", "value_error") else f"{text}; found {item['input']!r:.60}"


PROFILES = ("smoke", "quick", "full")
_VERSIONS = ("omnilearn_lab", "torch", "numpy", "pythia8mc", "fastjet")
_ROOT_VARIABLE = "OMNILEARN_LAB_RESULTS"


def results_root() -> Path:
    """Return the folder that all notebooks write below.

    It is the variable ``OMNILEARN_LAB_RESULTS`` when set; else ``results`` beside the folder
    ``notebooks`` when the current folder is that one, and below the current folder otherwise.
    """
    here = Path.cwd()
    default = (here.parent if here.name == "notebooks" else here) / "results"
    return Path(os.environ.get(_ROOT_VARIABLE, default))


def results_directory(notebook: str, profile: str) -> Path:
    """Return the folder for a notebook's results in a profile, below `results_root`.

    Raises
    ------
    ConfigError
        For an unknown profile, or a name that would leave the folder.
    """
    if not re.fullmatch(NOTEBOOK_NAME, notebook):
        raise ConfigError(
            f"{notebook!r} is no name of a notebook: letters, digits, '_', '-' and '.' are accepted"
        )
    if profile not in PROFILES:
        raise ConfigError(f"there is no profile '{profile}'; {nearest(profile, PROFILES)}")
    return results_root() / notebook / profile


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
    >>> path = Results("03_finetune_top", "smoke").write(source="simulated", seeds=[1])
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

    def runs(self, name: str) -> Path | None:
        """Return where trainings are to keep their runs: in ``full`` a folder, nowhere in the short profiles.

        A kernel that ends after hours then loses nothing: run the notebook again, and finished trainings
        are read, interrupted ones go on.

        Parameters
        ----------
        name
            Of the trainings and of the jets they see; other jets need another name.
        """
        return self.directory / "runs" / name if self.profile == "full" else None

    def figure(self, name: str, figure: Figure) -> Figure:
        """Save a figure as PNG and PDF under a name, its numbers as HEPData tables, and return it."""
        save_figure(figure, self.directory / name)
        if getattr(figure, "figure_data", None) is not None and figure.figure_data.tables:
            export_figure_data(figure, self.directory / name)
        return figure

    def write(
        self,
        *,
        source: str,
        seeds: Sequence[int],
        comparisons: Mapping[str, ComparisonRecord | Mapping[str, Any]] | None = None,
        numbers: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write ``results.json`` in one step, with notebook, profile, date, versions and times added.

        Parameters
        ----------
        source : {"simulated", "published", "own file"}
            Where the jets came from.
        seeds
            Of all trainings, or the one seed of a notebook that trains nothing.
        comparisons
            Scratch against fine-tuned by title: what `Comparison.record` returns, or a mapping with
            the fields of `ComparisonRecord`. Gains are computed here.
        numbers
            Everything else; numbers that are not finite become null.

        Raises
        ------
        ConfigError
            Naming the field that does not fit the schema.
        """
        kept = {
            title: item.model_dump() if hasattr(item, "model_dump") else item
            for title, item in (comparisons or {}).items()
        }
        record = check_results(
            {
                "notebook": self.notebook,
                "profile": self.profile,
                "date": datetime.now(UTC).date().isoformat(),
                "versions": {name: metadata.version(name) for name in _VERSIONS},
                "seconds": self.seconds,
                "source": source,
                "seeds": list(seeds),
                "comparisons": kept,
                "numbers": numbers or {},
            }
        )
        return write_json(record, self.directory / "results.json")
