"""All notebooks: what each shows, and what it costs on a machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources

import yaml

from omnilearn_lab.catalog import catalog
from omnilearn_lab.display import Link, html_table
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.notebook.hardware import Machine
from omnilearn_lab.notebook.records import read_results
from omnilearn_lab.notebook.results import results_directory
from omnilearn_lab.settings import from_mapping, settings

_FILE = "notebook_map.yaml"
_PROCESSES = 6  # trainings of a quick comparison that can run side by side
# PET-small trains 129 jets/s on one core (bf16, benchmarks/models.py), and 3,400 on one GPU (an estimate)
_CORES_PER_GPU = 26
_HEAD = ("notebook", "shows", "smoke", "quick", "full", "full, on this machine")


@settings
class NotebookEntry:
    """One notebook, as ``notebook_map.yaml`` describes it.

    Parameters
    ----------
    shows
        What one sees.
    core_minutes
        Work of one core for ``smoke`` and ``quick``.
    gpu_hours
        Of ``full``: an estimate.
    datasets
        What ``full`` reads, by catalogue name.
    otherwise
        What ``quick`` does in the place of ``full``.
    download_gb
        Size of what ``full`` reads; None: of all files of its datasets.
    """

    shows: str
    core_minutes: dict[str, float]
    gpu_hours: float = 0.0
    datasets: tuple[str, ...] = ()
    otherwise: str = ""
    download_gb: float | None = None

    def minutes(self, profile: str, machine: Machine) -> float:
        """Return the expected minutes of ``smoke`` or ``quick`` on a machine."""
        return self.core_minutes[profile] / min(machine.n_cores, _PROCESSES)

    def download(self) -> float:
        """Return the size of the published files that ``full`` reads [GB], as far as it is known."""
        if self.download_gb is not None:
            return self.download_gb
        known = catalog()
        return sum(known[name].size_gb or 0.0 for name in self.datasets)


@dataclass(frozen=True, repr=False)
class NotebookMap:
    """The notebooks with their costs on one machine; shows itself as a table.

    Parameters
    ----------
    entries : mapping of name to NotebookEntry
    machine : Machine
    """

    entries: dict[str, NotebookEntry] = field(default_factory=dict)
    machine: Machine = field(default_factory=lambda: Machine("unknown", 1, 1.0))

    def __len__(self) -> int:
        return len(self.entries)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of the table as text, one row per notebook."""
        return [
            (
                name,
                item.shows,
                *(self._time(name, item, profile) for profile in ("smoke", "quick")),
                _full(item),
                self._here(item),
            )
            for name, item in self.entries.items()
        ]

    def _time(self, name: str, item: NotebookEntry, profile: str) -> str:
        seconds = measured_seconds(name, profile)
        if seconds is not None:
            return f"{_duration(seconds / 60)} (measured)"
        return f"< {_duration(item.minutes(profile, self.machine))}"

    def _here(self, item: NotebookEntry) -> str:
        """Say what to do about ``full`` here."""
        if not item.gpu_hours:
            return "the same on any machine"
        if self.machine.gpu:
            return "as estimated"
        hours = item.gpu_hours * _CORES_PER_GPU / self.machine.n_cores
        return f"no GPU: about {_duration(60 * hours)}; use quick: {item.otherwise}"

    def table(self) -> list[tuple[str, ...]]:
        """Return the head and the rows."""
        return [_HEAD, *self.rows()]

    def __repr__(self) -> str:
        return "\n".join(" | ".join(row) for row in self.table())

    def _repr_html_(self) -> str:
        rows = [(Link(name, f"{name}.ipynb"), *cells) for name, *cells in self.rows()]
        return html_table([_HEAD, *rows])


def notebook_map(machine: Machine) -> NotebookMap:
    """Return the map of all notebooks for a machine.

    Times are those of the last run where one is kept in the results folder, else upper bounds.

    Examples
    --------
    >>> plan = notebook_map(Machine("a laptop", 2, 8.0))
    >>> "03_finetune_top" in plan.entries
    True
    """
    text = (resources.files("omnilearn_lab.notebook") / _FILE).read_text(encoding="utf-8")
    table = yaml.safe_load(text)
    return NotebookMap({name: from_mapping(NotebookEntry, item) for name, item in table.items()}, machine)


def measured_seconds(notebook: str, profile: str) -> float | None:
    """Return how long the last complete run took, or None when the results folder does not tell."""
    try:
        return read_results(results_directory(notebook, profile)).total_seconds
    except (DataFileError, ConfigError):
        return None


def _full(item: NotebookEntry) -> str:
    if not item.gpu_hours and not item.datasets:
        return "like quick"
    size = item.download()
    parts = [f"about {item.gpu_hours:g} GPU-hours"] if item.gpu_hours else []
    parts += [f"{size:.3g} GB to download"] if size else []
    return ", ".join(parts) or "published files"


def _duration(minutes: float) -> str:
    """Return a time with the unit that suits it.

    Examples
    --------
    >>> _duration(0.4), _duration(3.5), _duration(600), _duration(9000), _duration(1e6)
    ('24 s', '3.5 min', '10 h', '6.2 days', '694 days')
    """
    for limit, factor, unit in ((1, 60, "s"), (90, 1, "min"), (48 * 60, 1 / 60, "h")):
        if minutes < limit:
            return f"{_two_digits(minutes * factor)} {unit}"
    return f"{_two_digits(minutes / 1440)} days"


def _two_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
