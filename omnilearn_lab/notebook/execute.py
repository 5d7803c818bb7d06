"""The numbered notebooks: find and copy them, what they cost on a machine, run them."""

from __future__ import annotations

import html
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from omnilearn_lab.catalog import catalog
from omnilearn_lab.display import Link, html_table
from omnilearn_lab.errors import ConfigError, DataFileError, OmniLearnLabError, nearest
from omnilearn_lab.machine import StrPath, atomic_path, locked, make_folder, write_text
from omnilearn_lab.notebook.hardware import Machine, MemoryWatch, this_machine
from omnilearn_lab.notebook.recorded import read_results, write_json
from omnilearn_lab.notebook.results import results_directory
from omnilearn_lab.settings import from_mapping, settings

_FILE = "notebook_map.yaml"
_PROCESSES = 6  # trainings of a quick comparison that can run side by side
# PET-small trains 129 jets/s on one core (bf16, benchmarks/models.py), and 3,400 on one GPU (an estimate)
_CORES_PER_GPU = 26
_HEAD = ("notebook", "shows", "smoke", "quick", "long", "full", "full, on this machine")


@settings
class NotebookEntry:
    """One notebook, as ``notebook_map.yaml`` describes it.

    Parameters
    ----------
    shows
        What one sees.
    core_minutes
        Work of one core for ``smoke``, ``quick`` and, where there is one, ``long``.
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
        """Return the expected minutes of a profile on a machine."""
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
        profiles = ("smoke", "quick", "long")
        times = {n: [self._time(n, item, p) for p in profiles] for n, item in self.entries.items()}
        return [(n, e.shows, *times[n], _full(e), self._here(e)) for n, e in self.entries.items()]

    def _time(self, name: str, item: NotebookEntry, profile: str) -> str:
        seconds = measured_seconds(name, profile)
        if seconds is not None:
            return f"{_duration(seconds / 60)} (measured)"
        if profile not in item.core_minutes:
            return "–"
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
    with suppress(DataFileError, ConfigError):
        return read_results(results_directory(notebook, profile)).total_seconds
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


_WIDGET = "application/vnd.jupyter.widget-view+json"
_CELL = r'<div[^>]*class="jp-Cell '
_PICTURE = re.compile(r'<img alt="[^"]*"([^>]*?src="data:image/png;base64,([^"]+)")')
_SOLUTION = re.compile(rf'({_CELL}jp-CodeCell[^"]*celltag_solution.*?)(?={_CELL}jp-MarkdownCell)', re.DOTALL)
_SHIPPED = Path(__file__).parent / "numbered"
_STATIC_FORMATS = ("text/html", "image/svg+xml", "image/png", "text/markdown", "text/latex", "text/plain")


class NotebookError(OmniLearnLabError, RuntimeError):
    """A cell of a notebook failed."""


@dataclass(frozen=True)
class ExecutedNotebook:
    """What running a notebook gave.

    Parameters
    ----------
    name, profile
    directory
        Folder with the executed notebook, its HTML, its figures and ``results.json``.
    seconds
        Wall time.
    peak_memory_gb
        Largest memory of the kernel and its processes together; see `MemoryWatch`.
    """

    name: str
    profile: str
    directory: Path
    seconds: float
    peak_memory_gb: float


def find_notebooks(folder: StrPath | None = None) -> dict[str, Path]:
    """Return the numbered notebooks by name, in order.

    Parameters
    ----------
    folder
        Where to look; by default ``notebooks`` in the current folder or above it, else the copies that the
        package ships.

    Raises
    ------
    ConfigError
        When the folder holds none.

    Examples
    --------
    >>> list(find_notebooks())[0]
    '00_start_here'
    """
    here = Path.cwd()
    places = [Path(folder)] if folder else [p / "notebooks" for p in (here, *here.parents)] + [_SHIPPED]
    for place in places:
        paths = sorted(place.glob("[0-9][0-9]_*.ipynb"))
        if paths:
            return {path.stem: path for path in paths}
    raise ConfigError(f"no notebooks in '{places[0]}'; name the folder that holds them, or leave it out")


def notebook_named(name: str, folder: StrPath | None = None) -> str:
    """Return a notebook's whole name from its beginning, such as its number.

    Raises
    ------
    ConfigError
        When no notebook or more than one begins so.

    Examples
    --------
    >>> notebook_named("3"), notebook_named("03_finetune_top")
    ('03_finetune_top', '03_finetune_top')
    """
    names = list(find_notebooks(folder))
    start = f"{int(name):02d}_" if name.isdecimal() else name
    matches = [one for one in names if one == name] or [one for one in names if one.startswith(start)]
    if len(matches) != 1:
        raise ConfigError(f"there is no notebook '{name}'; {nearest(name, names)}")
    return matches[0]


def copy_notebooks(folder: StrPath = "notebooks", *, overwrite: bool = False) -> list[Path]:
    """Copy the notebooks that the package ships, and their glossary, to a folder of yours.

    Parameters
    ----------
    folder
        Is made where it does not exist.
    overwrite
        Replace notebooks that are there already.

    Returns
    -------
    list of Path

    Raises
    ------
    ConfigError
        When one is there already, before anything is copied.
    """
    folder = Path(folder)
    sources = [*sorted(_SHIPPED.glob("*.ipynb")), _SHIPPED / "glossary.md"]
    there = [path.name for path in sources if (folder / path.name).exists()]
    if there and not overwrite:
        raise ConfigError(f"'{folder}' holds {there[0]} already; name another folder, or overwrite it")
    make_folder(folder)
    return [write_text(folder / path.name, path.read_text(encoding="utf-8")) for path in sources]


def execute_notebook(
    name: str,
    profile: str = "quick",
    *,
    parameters: dict[str, Any] | None = None,
    folder: StrPath | None = None,
    progress: bool = True,
) -> ExecutedNotebook:
    """Execute a notebook headless.

    Parameters
    ----------
    name
        Such as "03_finetune_top", or its beginning: "03".
    profile : {"smoke", "quick", "long", "full"}
    parameters
        Further values for the cell tagged ``parameters``.
    folder
        Where the notebooks are.
    progress
        Show a progress bar over cells.

    Returns
    -------
    ExecutedNotebook

    Raises
    ------
    ConfigError
        For an unknown notebook or profile.
    NotebookError
        When a cell fails; the executed copy up to there is kept.
    DataFileError
        When another process executes this notebook in this profile.
    """
    name = notebook_named(name, folder)
    directory = make_folder(results_directory(name, profile).resolve())
    target = directory / f"{name}.ipynb"
    options = {"parameters": {"profile": profile, **(parameters or {})}, "progress_bar": progress}
    with locked(target, timeout=0):
        start = time.perf_counter()
        with _results_root(directory.parents[1]), MemoryWatch() as watch, _clock():
            failure = _execute(find_notebooks(folder)[name], target, options)
        if failure is not None:
            raise NotebookError(f"'{name}' {_reason(failure)}; open '{target}' to see it") from failure
        done = ExecutedNotebook(name, profile, directory, time.perf_counter() - start, watch.peak_gb)
        _complete_results(done, parameters or {})
        _write_html(target)
    return done


def _execute(source: Path, target: Path, options: Mapping[str, Any]) -> Any:
    """Execute a notebook, put the whole copy in its place at the end, and return what stopped it."""
    import nbclient
    import papermill

    failure = None
    with atomic_path(target) as path:
        try:
            quiet = {"extra_arguments": ["--IPKernelApp.log_level=40"]}  # of the kernel about its ports
            papermill.execute_notebook(source, path, kernel_name="python3", **quiet, **options)
        except (papermill.PapermillExecutionError, nbclient.exceptions.DeadKernelError) as error:
            failure = error
        _forget_places(path)
    return failure


@contextmanager
def _clock(seconds: float = 1.0) -> Iterator[None]:
    """Let the clock of progress bars in a terminal go on while a cell takes minutes: they move with cells."""
    from tqdm import tqdm

    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(seconds):
            for bar in list(getattr(tqdm, "_instances", ())):
                bar.refresh()

    thread = threading.Thread(target=tick, daemon=True)
    if sys.stderr.isatty():
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()


def _reason(failure: Any) -> str:
    if hasattr(failure, "evalue"):
        return f"failed in cell {failure.exec_count} ({failure.ename}: {failure.evalue})"
    return "ended because its kernel died; it may have run out of memory"


def _complete_results(done: ExecutedNotebook, parameters: Mapping[str, Any]) -> None:
    """Add what only the outside knows to the notebook's results: total time, memory, machine, command."""
    path = done.directory / "results.json"
    if path.is_file():
        machine, changed = this_machine(), "".join(f" -p {key}={value}" for key, value in parameters.items())
        gpu = f", {machine.gpu}" if machine.gpu else ""
        outside = {
            "total_seconds": round(done.seconds, 1),
            "peak_memory_gb": round(done.peak_memory_gb, 3),
            "machine": f"{machine.n_cores} cores of {machine.processor}{gpu}",
            "command": f"omnilearn-lab run {done.name} --profile {done.profile}{changed}",
        }
        write_json(read_results(path).model_copy(update=outside), path)


def _forget_places(notebook: Path) -> None:
    """Remove the paths of this machine that papermill notes in an executed copy: copies are passed on."""
    import nbformat

    content = nbformat.read(notebook, as_version=4)
    for name in ("input_path", "output_path"):
        content.metadata.papermill.pop(name, None)
    nbformat.write(content, notebook)


def _write_html(notebook: Path) -> None:
    """Write a page that needs no kernel: widgets appear as the pictures they offer beside themselves."""
    import nbformat
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    config = Config({"NbConvertBase": {"display_data_priority": list(_STATIC_FORMATS)}})
    exporter = HTMLExporter(config=config)
    exporter.log.setLevel(logging.ERROR)  # it warns of the alternative texts that it drops
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        cell["outputs"] = [output for output in cell.get("outputs", []) if not _is_bare_widget(output)]
    body, _ = exporter.from_notebook_node(content)
    write_text(notebook.with_suffix(".html"), fold_solutions(describe_pictures(body, content)))


def describe_pictures(page: str, notebook: Mapping[str, Any]) -> str:
    """Return a page made of a notebook with the alternative texts of its figures, which nbconvert drops."""
    texts = {
        "".join(output["data"]["image/png"]).replace("\n", ""): output["metadata"]["image/png"]["alt"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", ())
        if "alt" in output.get("metadata", {}).get("image/png", {})
    }

    def described(tag: re.Match[str]) -> str:
        text = texts.get(tag[2].replace("\n", ""), "figure")
        return f'<img alt="{html.escape(text)}"{tag[1]}'

    return _PICTURE.sub(described, page)


def fold_solutions(page: str) -> str:
    """Return a page made of a notebook in which the cells tagged ``solution`` are opened by a click.

    JupyterLab folds them by the cells' metadata, which nbconvert does not read. A solution is followed by
    a text cell.

    Examples
    --------
    >>> cell = '<div class="jp-Cell jp-CodeCell celltag_solution"></div>'
    >>> fold_solutions(cell + '<div class="jp-Cell jp-MarkdownCell"></div>').startswith("<details")
    True
    """
    indented = '<summary style="margin-left: var(--jp-cell-prompt-width, 4em)">Solution</summary>'
    return _SOLUTION.sub(rf'<details class="solution">{indented}\1</details>', page)


def _is_bare_widget(output: Mapping[str, Any]) -> bool:
    """Whether an output is a widget without a picture of itself, such as a progress bar."""
    data = output.get("data", {})
    return _WIDGET in data and not any(name in data for name in _STATIC_FORMATS if name != "text/plain")


@contextmanager
def _results_root(root: Path) -> Iterator[None]:
    """Tell the kernel, which inherits our environment, where results go."""
    before = os.environ.get("OMNILEARN_LAB_RESULTS")
    os.environ["OMNILEARN_LAB_RESULTS"] = str(root)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMNILEARN_LAB_RESULTS"]
        else:
            os.environ["OMNILEARN_LAB_RESULTS"] = before
