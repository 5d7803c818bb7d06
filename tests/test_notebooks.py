"""Notebooks: hygiene in milliseconds, and each one from top to bottom in profile ``smoke``."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.machine import locked
from omnilearn_lab.notebook.execute import NotebookError, execute_notebook, find_notebooks
from omnilearn_lab.notebook.results import read_results

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = find_notebooks(FOLDER)


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=NOTEBOOKS.keys())
def test_hygiene(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(path)
    assert notebook.metadata.kernelspec.name == "python3"
    assert path.stat().st_size < 300_000
    assert all(not c.outputs and c.execution_count is None for c in cells)
    assert [c.metadata.get("tags") for c in cells].count(["parameters"]) == 1
    assert 'profile = "quick"' in cells[0].source
    text = path.read_text()
    assert not re.search(r"/(home|root|work|Users)/", text), "a path of one machine"


@pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=NOTEBOOKS.keys())
def test_cells_are_thin(path):
    cells = code_cells(path)
    lengths = sorted(len([line for line in c.source.splitlines() if line.strip()]) for c in cells)
    assert lengths[-1] <= 15
    assert lengths[len(lengths) // 2] <= 6
    assert not any(re.search(r"^(def|class) ", c.source, re.M) for c in cells)
    n_text = sum(c.cell_type == "markdown" for c in nbformat.read(path, as_version=4).cells)
    assert n_text >= 0.6 * len(cells)


@pytest.mark.nb
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_smoke(name, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path))
    done = execute_notebook(name, "smoke", folder=FOLDER, progress=False)
    results = read_results(done.directory)  # the schema is checked here
    assert results.profile == "smoke"
    assert results.total_seconds > 0
    assert results.peak_memory_gb > 0
    assert list(done.directory.glob("*.png"))
    assert (done.directory / f"{name}.html").is_file()
    assert not [path.name for path in done.directory.glob(f"{name}.*") if tells_a_place(path, tmp_path)]


def tells_a_place(path, *places):
    """Whether a file tells where on this machine it was made."""
    return any(str(place) in path.read_text() for place in (*places, FOLDER))


@pytest.fixture
def one_cell(tmp_path, monkeypatch):
    """Make a notebook of one cell, ``00_one``."""
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path / "results"))

    def make(code):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        notebook.cells[0].metadata.tags = ["parameters"]
        notebook.metadata = nbformat.read(next(iter(NOTEBOOKS.values())), as_version=4).metadata
        nbformat.write(notebook, tmp_path / "00_one.ipynb")

    return make


def test_the_executed_copy_appears_whole(one_cell, tmp_path):
    copy = tmp_path / "results" / "00_one" / "smoke" / "00_one.ipynb"
    copy.parent.mkdir(parents=True)
    copy.write_text("old")
    one_cell(f"assert open({str(copy)!r}).read() == 'old'")
    execute_notebook("00_one", "smoke", folder=tmp_path, progress=False)
    assert nbformat.read(copy, as_version=4).cells
    assert {p.suffix for p in copy.parent.iterdir()} == {".ipynb", ".html", ".lock"}


def test_a_notebook_is_executed_once_at_a_time(one_cell, tmp_path):
    one_cell("1")
    directory = tmp_path / "results" / "00_one" / "smoke"
    directory.mkdir(parents=True)
    with locked(directory / "00_one.ipynb"), pytest.raises(DataFileError, match="in use by another process"):
        execute_notebook("00_one", "smoke", folder=tmp_path, progress=False)


def test_a_kernel_that_dies_is_an_error_of_ours(one_cell, tmp_path):
    one_cell("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(NotebookError, match="its kernel died"):
        execute_notebook("00_one", "smoke", folder=tmp_path, progress=False)


def test_failing_cell_is_named(one_cell, tmp_path):
    one_cell("1 / 0")
    with pytest.raises(NotebookError, match="00_one.*ZeroDivisionError"):
        execute_notebook("00_one", "smoke", folder=tmp_path, progress=False)
    assert (tmp_path / "results" / "00_one" / "smoke" / "00_one.ipynb").is_file()
