"""The schema of ``results.json``: one for all notebooks, checked when written and when read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, Field

from omnilearn_lab.errors import ConfigError, DataFileError, translated
from omnilearn_lab.machine import write_text
from omnilearn_lab.tasks.common.records import ComparisonRecord, Record, finite

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
