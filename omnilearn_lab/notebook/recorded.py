"""Results of runs: the schema of ``results.json``, runs that were kept, and what to expect of the next.

``notebooks/recorded/<notebook>/<profile>/`` holds ``results.json`` and ``figures.json`` of a recorded run,
and ``expected.json``, the band of every number over repeats with different seeds.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pydantic
from pydantic import AfterValidator, Field
from scipy.special import stdtrit

from omnilearn_lab.display import LABELS, label
from omnilearn_lab.errors import ConfigError, DataFileError, first_lines, is_folder, translated
from omnilearn_lab.machine import StrPath, write_text
from omnilearn_lab.plotting.data import Column, FigureData, Table, read_figure_data
from omnilearn_lab.tasks.common.comparison import ComparisonRecord, Record, finite

RECORDED = Path(__file__).parent / "numbered" / "recorded"
"""The runs that the repository and the package keep."""

_LONGEST_FIRST = ("full", "long", "quick")
_MOST_POINTS = 120
_DIGITS = 4
_LEAST_WIDTH = 0.01  # of a band of expected values, to either side
_OF_MACHINES = re.compile(
    r"second|cost|time|minute|memory|\bcores\b|\bms\b"
)  # what another machine has or does otherwise
_STANDS_FOR = {
    "scratch": ("PET classifier", "PET", "PET v2-s", "OmniFold (PET)"),
    "finetuned": ("OmniLearn", "OmniLearned-s", "OmniFold (OmniLearn)"),
}


def check_name(notebook: str) -> str:
    """Return a notebook's name, which becomes a folder and stands in reports, if it is fit for that."""
    if not re.fullmatch(r"\w[\w. -]{0,99}", notebook):
        raise ConfigError(
            f"{notebook!r} is no name of a notebook: letters, digits, '_', '-' and '.' are accepted"
        )
    return notebook


_LARGEST = 50_000_000  # bytes of a results file


class ResultsRecord(Record):
    """Everything a notebook leaves behind in numbers."""

    notebook: Annotated[str, AfterValidator(check_name)]
    profile: Literal["smoke", "quick", "long", "full"]
    date: str
    versions: dict[str, str]
    seconds: dict[str, float]
    total_seconds: float | None = None
    peak_memory_gb: float | None = None
    machine: str | None = None
    command: str | None = None
    source: Literal["simulated", "published", "own file"]
    seeds: list[int] = Field(min_length=1)
    comparisons: dict[str, ComparisonRecord] = {}
    numbers: dict[str, Any] = {}

    @property
    def is_judged(self) -> bool:
        """Whether the numbers mean anything: those of ``smoke`` do not."""
        return self.profile != "smoke"


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
      field 'profile': Input should be 'smoke', 'quick', 'long' or 'full'; found 'quik'
      field 'date': Field required
      ...
    """
    with translated(ConfigError, f"{where} does not fit the schema of results", "run the notebook again"):
        try:
            return ResultsRecord.model_validate(finite(values, where))
        except pydantic.ValidationError as error:
            lines = first_lines(_line(item) for item in error.errors())
            text = f"{where} does not fit the schema of results:\n{lines}\nrun the notebook again"
            raise ConfigError(text) from error


def read_results(path: StrPath) -> ResultsRecord:
    """Read a ``results.json``, or the one in a folder, and check it.

    Raises
    ------
    DataFileError
        When there is no such file or it is not JSON.
    ConfigError
        When it does not fit the schema.
    """
    path = Path(path)
    path = path / "results.json" if is_folder(path) else path
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


class RecordedRun(NamedTuple):
    """A run of a notebook that was kept."""

    results: ResultsRecord
    figures: Mapping[str, FigureData]

    @property
    def title(self) -> str:
        """Profile and date, for legends and heads."""
        return f"recorded ({self.results.profile}, {self.results.date})"


class Expected(Record):
    """The band in which every number of a run is expected, measured with different seeds.

    The seeds are those of repeats, or of the trainings that one recorded run compares. A later run has the
    notebook's own seed, so a band is centred on what that gave, as another machine's rounding moves a number
    less than another seed does. Its half width is two standard deviations between repeats, a hundredth at
    least; between trainings, what 19 of 20 means over as many other seeds stay within (Student's t).
    ``seeds`` are those of the repeats, the notebook's own first.
    """

    notebook: str
    profile: str
    date: str
    versions: dict[str, str]
    seeds: list[int]
    bands: dict[str, tuple[float, float]]

    def deviations(self, results: ResultsRecord) -> list[str]:
        """Return a line for every number that is missing or lies outside its band."""
        values = {name: float(f"{value:.{_DIGITS}g}") for name, value in values_of(results).items()}
        return [
            f"{_labelled(name)}: {values.get(name, 'missing')}, expected {low} to {high}"
            for name, (low, high) in self.bands.items()
            if not low <= values.get(name, math.nan) <= high
        ]

    def judged(self, results: ResultsRecord) -> str:
        """Say that a run is as expected, or what is off."""
        off = self.deviations(results)
        where = f"{len(self.bands)} numbers, bands from {len(self.seeds)} seeds of {self.date}"
        return "\n  ".join([f"not as expected ({where}):", *off]) if off else f"as expected ({where})"


def values_of(results: ResultsRecord) -> dict[str, float]:
    """Return the numbers of a run by name: means over seeds of each arm, then all else; no times.

    Examples
    --------
    >>> facts = {"notebook": "a", "profile": "quick", "date": "", "versions": {}, "seconds": {}}
    >>> facts |= {"source": "simulated", "seeds": [1], "numbers": {"reach": {"frozen": 5}}}
    >>> values_of(check_results(facts))
    {'reach: frozen': 5.0}
    """
    known = {name: [v for v in values if v is not None] for name, values in _by_seed(results)}
    found = {name: float(np.mean(values)) for name, values in known.items() if values}
    found |= dict(_flat(results.numbers))
    return {name: value for name, value in found.items() if not _OF_MACHINES.search(name)}


def _by_seed(results: ResultsRecord) -> Iterator[tuple[str, list[float | None]]]:
    """Yield every number of the comparisons for each of their seeds, but for times."""
    for title, comparison in results.comparisons.items():
        for metric, arms in comparison.metrics.items():
            for arm, values in arms.items():
                if not _OF_MACHINES.search(name := f"{title}: {metric}: {arm}"):
                    yield name, values


def recorded_run(notebook: str, folder: Path = RECORDED) -> RecordedRun | None:
    """Return the longest recorded run of a notebook, or None where there is none."""
    for profile in _LONGEST_FIRST:
        place = folder / notebook / profile
        if (place / "results.json").is_file():
            return RecordedRun(read_results(place), _read_figures(place / "figures.json"))
    return None


def record_run(directory: Path, folder: Path = RECORDED) -> Path:
    """Keep a finished run: its ``results.json``, and the curves of its figures with few points and digits.

    Parameters
    ----------
    directory
        Where the notebook left its results.
    folder
        Of the recorded runs.

    Returns
    -------
    Path
        The folder of this one.

    Raises
    ------
    DataFileError
        Where no notebook left results.
    """
    results = read_results(directory)
    place = folder / results.notebook / results.profile
    place.mkdir(parents=True, exist_ok=True)
    figures = {path.parent.name: _curves(path.parent) for path in sorted(directory.glob("*/submission.yaml"))}
    kept = {name: tables for name, tables in figures.items() if tables}
    write_text(place / "figures.json", json.dumps(kept, separators=(",", ":"), allow_nan=False) + "\n")
    write_json(results, place / "results.json")
    return place


def three_columns(here: ResultsRecord, recorded: RecordedRun | None) -> list[list[str]]:
    """Return the numbers of a run beside the recorded and the published ones, as texts with a head."""
    then = recorded.results if recorded else None
    rows = [["", f"here ({here.profile})", recorded.title if recorded else "recorded: none yet", "published"]]
    for title, comparison in here.comparisons.items():
        before = then.comparisons.get(title) if then else None
        for metric, arms in comparison.metrics.items():
            for arm in () if _OF_MACHINES.search(metric) else arms:
                is_there = before is not None and metric in before.metrics
                own = comparison.mean_and_spread(metric, arm)
                old = before.mean_and_spread(metric, arm) if before and is_there else ""
                paper = _published(comparison, metric, arm)
                rows.append([f"{title}: {label(metric)}, {label(arm)}", own, old, paper])
    numbers = [dict(_flat(run.numbers, depth=2)) if run else {} for run in (here, then)]
    for name, value in numbers[0].items():
        old = f"{numbers[1][name]:.4g}" if name in numbers[1] else ""
        rows.append([_labelled(name), f"{value:.4g}", old, ""])
    return [row for row in rows if not _OF_MACHINES.search(row[0])]


def _published(comparison: ComparisonRecord, metric: str, arm: str) -> str:
    """Return the number of the published algorithm that an arm stands for."""
    for name in (*_STANDS_FOR.get(arm, ()), arm):
        for title in (name, f"{name} (unverified)"):
            value = comparison.published.get(title, {}).get(metric)
            if value is not None:
                return f"{value:.4g} ({title})"
    return ""


def expected_run(notebook: str, profile: str, folder: Path = RECORDED) -> Expected | None:
    """Return what to expect of a notebook in a profile, or None where that was not measured.

    Repeats of the notebook say it best (`expect`); without them, the seeds of its recorded run do.
    """
    place = folder / notebook / profile
    path = place / "expected.json"
    if path.is_file():
        with translated(DataFileError, f"'{path}' holds no expected numbers", "make it again"):
            return Expected.model_validate_json(path.read_text(encoding="utf-8"))
    return _of_seeds(read_results(place)) if (place / "results.json").is_file() else None


def _of_seeds(results: ResultsRecord) -> Expected | None:
    """Return the bands of those numbers that a run gives for three seeds or more, where they differ."""
    bands = {
        name: _band(float(np.mean(known)), known, stdtrit(n - 1, 0.975) * (2 / n) ** 0.5)
        for name, values in _by_seed(results)
        if (n := len(known := [value for value in values if value is not None])) > 2 and np.ptp(known) > 0
    }
    facts = results.model_dump(include={"notebook", "profile", "date", "versions", "seeds"})
    return Expected(**facts, bands=bands) if bands else None


def expect(repeats: Mapping[int, ResultsRecord], folder: Path = RECORDED) -> Path:
    """Measure the bands of a notebook's numbers from repeats by seed, its own first, and keep them.

    Numbers that a repeat lacks are left out.

    Raises
    ------
    ConfigError
        For fewer than two repeats: their spread is the band.
    """
    if len(repeats) < 2:
        raise ConfigError(
            f"{len(repeats)} repeat has no spread; expected numbers need two or more, better three"
        )
    first = next(iter(repeats.values()))
    values = [values_of(results) for results in repeats.values()]
    shared = [name for name in values[0] if all(name in row for row in values)]
    expected = Expected(
        notebook=first.notebook,
        profile=first.profile,
        date=datetime.now(UTC).date().isoformat(),
        versions=first.versions,
        seeds=list(repeats),
        bands={name: _band(values[0][name], [row[name] for row in values]) for name in shared},
    )
    place = folder / first.notebook / first.profile
    place.mkdir(parents=True, exist_ok=True)
    return write_text(place / "expected.json", expected.model_dump_json(indent=1) + "\n")


def _band(own: float, values: Sequence[float], width: float = 2.0) -> tuple[float, float]:
    """Return what the notebook's own seed gave, and standard deviations to either side, rounded outwards.

    At least a hundredth to either side: another machine rounds otherwise, and a jet changes sides.

    >>> _band(0.9, [0.9, 0.9, 0.9])
    (0.891, 0.909)
    >>> _band(0.90, [0.90, 0.91, 0.92])
    (0.88, 0.92)
    """
    half = max(width * float(np.std(values, ddof=1)), _LEAST_WIDTH * abs(own))
    return _rounded(own - half, math.floor), _rounded(own + half, math.ceil)


def _rounded(value: float, towards: Any) -> float:
    if value == 0 or not math.isfinite(value):
        return value
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - _DIGITS + 1)
    nearest = round(value / unit)
    whole = nearest if math.isclose(value / unit, nearest, rel_tol=1e-9) else towards(value / unit)
    return float(f"{whole * unit:.{_DIGITS}g}")


def _labelled(name: str) -> str:
    """Return a name as `_flat` makes it, with labels in the place of keys, or their words.

    >>> _labelled("floor: ln_rho"), _labelled("n_data")
    ('floor: ln ρ', 'n data')
    """
    return ": ".join(
        label(key) if key in LABELS or not re.fullmatch("[a-z_]+", key) else key.replace("_", " ")
        for key in name.split(": ")
    )


def _flat(values: Any, name: str = "", depth: int = 9) -> Iterator[tuple[str, float]]:
    """Yield the numbers of nested mappings down to a depth, lists as their means."""
    if isinstance(values, Mapping):
        for key, value in values.items() if depth else ():
            yield from _flat(value, f"{name}: {key}" if name else str(key), depth - 1)
    elif isinstance(values, list):
        known = [value for value in values if isinstance(value, int | float)]
        if known:
            yield name, float(np.mean(known))
    elif isinstance(values, int | float) and not isinstance(values, bool):
        yield name, float(values)


def _curves(figure: Path) -> list[dict[str, Any]]:
    """Return those tables of a figure that are curves, thinned."""
    return [
        {"name": table.name, "x": _short(x), "y": _short(y)}
        for table in read_figure_data(figure).tables
        if len(table.independent) == 1
        for x, y in [_thinned(table)]
        if x.ndim == 1 and y.dtype.kind in "fiu"
    ]


def _thinned(table: Table) -> tuple[np.ndarray, np.ndarray]:
    x, y = table.independent[0].values, table.dependent[0].values
    rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MOST_POINTS)).astype(int))
    return x[rows], y[rows]


def _short(values: np.ndarray) -> list[Any]:
    if values.dtype.kind not in "fiu":
        return [str(value) for value in values]
    return [None if not math.isfinite(v) else float(f"{v:.{_DIGITS}g}") for v in values]


def _read_figures(path: Path) -> dict[str, FigureData]:
    with translated(DataFileError, f"'{path}' holds no recorded figures", "record the run again"):
        figures = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: FigureData(tuple(Table(t["name"], (_column("x", t),), (_column("y", t),)) for t in tables))
            for name, tables in figures.items()
        }


def _column(axis: str, table: Mapping[str, Any]) -> Column:
    values = table[axis]
    is_text = any(isinstance(value, str) for value in values)
    return Column(axis, np.array(values, dtype=str if is_text else float))
