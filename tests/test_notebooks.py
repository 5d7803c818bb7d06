"""Notebooks: hygiene in milliseconds, and each one from top to bottom in profile ``smoke``."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import nbformat
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.machine import locked
from omnilearn_lab.notebook.execute import NotebookError, execute_notebook, find_notebooks
from omnilearn_lab.notebook.recorded import expected_run, read_results

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = find_notebooks(FOLDER)
_TITLES = re.findall(r"^### (.+)$", (FOLDER / "glossary.md").read_text(), re.MULTILINE)
GLOSSARY = {title.replace(" ", "-") for title in _TITLES}  # as JupyterLab makes anchors of headings
CHANGES = {  # of what each notebook invites to change, values that suit the few jets of smoke
    "00": {"shown": 3},
    "01": {"z_cut": 0.3},
    "02": {"learning_rate": 1e-5},
    "05": {"n_train": 100},
    "07": {"n_frames": 3},
    "08": {"observable": "mass"},
    "09": {"n_iterations": 1},
    "10": {"n_injected": 20},
    "11": {"n_train": 200},
    "13": {"signal_fraction": 0.05},
    "15": {"n_train": 4},
    "16": {"n_train": 4},
} | dict.fromkeys(("03", "04", "06", "12", "17"), {"n_train": 100})
LOSSES = {
    "02": ("classification", "generation", "classification_noised", "regression"),
    "07": ("generation",),
    "08": ("classification",),
    "09": ("classification",),
    "11": ("classification", "generation", "classification_noised", "masked", "next_token"),
    "12": ("classification", "classification_tracks"),
}


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
    assert not re.search(r"progress\W+False", text), "a progress bar is switched off"
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


@pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=NOTEBOOKS.keys())
def test_a_notebook_asks_and_lets_one_try(path):
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    assert re.search(r"^\*\*Question\.\*\* .+\?$", cells[0].source, re.M)
    assert re.search(r"\]\(https://arxiv\.org/abs/\d{4}\.\d{4,5}\)", text), "no link to a paper"
    terms = set(re.findall(r"\]\(glossary\.md#([^)]+)\)", text))
    assert terms and not terms - GLOSSARY
    parameters, *others = code_cells(path)
    tried = set(re.findall(r"Set `(\w+) = ", cells[-1].source))
    assert cells[-1].source.startswith("## What to try next\n") and tried
    assert tried <= set(re.findall(r"^(\w+) = ", parameters.source, re.M))
    assert all(any(re.search(rf"\b{name}\b", c.source) for c in others) for name in tried)


@pytest.mark.parametrize("path", NOTEBOOKS.values(), ids=NOTEBOOKS.keys())
def test_exercises_have_folded_solutions(path):
    cells = nbformat.read(path, as_version=4).cells
    places = [i for i, c in enumerate(cells) if "solution" in c.metadata.get("tags", [])]
    asked = re.findall(r"\*\*Exercise (\d)\.\*\*", "\n".join(c.source for c in cells))
    assert asked == [str(i + 1) for i in range(len(places))] and len(places) >= 2
    for i in places:
        assert cells[i].metadata.jupyter == {"source_hidden": True, "outputs_hidden": True}
        assert f"**Exercise {places.index(i) + 1}.**" in cells[i - 1].source
        assert cells[i + 1].cell_type == "markdown"  # pages fold up to there


@pytest.mark.parametrize(("number", "terms"), LOSSES.items())
def test_losses_are_displayed_with_their_names_in_the_code(number, terms):
    text = next(path for name, path in NOTEBOOKS.items() if name.startswith(number)).read_text()
    assert "$$" in text and all(f"`{term}`" in text for term in terms)


@pytest.mark.parametrize(("number", "picture"), [("02", "pet"), ("11", "pet_v2")])
def test_schematics_in_notebooks_are_those_of_the_docs(number, picture):
    path = next(path for name, path in NOTEBOOKS.items() if name.startswith(number))
    cell = next(c for c in nbformat.read(path, as_version=4).cells if c.get("attachments"))
    drawn = (FOLDER.parent / "docs" / "images" / f"{picture}.svg").read_bytes()
    assert base64.b64decode(cell.attachments[f"{picture}.svg"]["image/svg+xml"]) == drawn
    assert f"(attachment:{picture}.svg)" in cell.source


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_errors_do_not_take_the_place_of_values(name):
    sources = "\n".join(cell.source for cell in code_cells(NOTEBOOKS[name]))
    assert not re.search(r"values\(\) \| \S+errors\(\)", sources), "both have the same keys"


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if "02" <= name < "14"])
def test_studies_show_three_columns_and_judge_only_what_means_something(name):
    sources = [cell.source for cell in code_cells(NOTEBOOKS[name])]
    assert sum(source == "results.beside_recorded()" for source in sources) == 1
    assert any(source.endswith("\nresults") for source in sources), "the banner"
    for line in "\n".join(sources).splitlines():
        if re.search(r"verdict|\.judged\(|judged_searches\(|str\(scan\)", line):
            assert "results.conclusion(" in line, line


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_trainings_are_kept_by_what_the_second_cell_changes_of_their_jets(name):
    parameters, *cells = (cell.source for cell in code_cells(NOTEBOOKS[name]))
    text = "\n".join(cells)
    names = dict(re.findall(r"^ *(seen|kept|sizes) = (.*)", text, re.MULTILINE))
    kept = re.findall(r".*(?:\.runs\(|/ \"runs\" /).*", text)
    kept = [line + "".join(value for key, value in names.items() if key in line) for line in kept]
    assert all("seed" in line for line in kept if "objectives(" not in line)  # which have seeds of their own
    for changed in re.findall(r"^(n_train|signal_fraction) =", parameters, re.MULTILINE):
        assert any(changed in line for line in kept), changed


@pytest.mark.nb
@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_another_seed_runs_too(name, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path))
    done = execute_notebook(name, "smoke", parameters={"seed": 2}, folder=FOLDER, progress=False)
    again = execute_notebook(name, "smoke", parameters={"seed": 3}, folder=FOLDER, progress=False)
    assert read_results(done.directory).seeds != [] and again.directory == done.directory


@pytest.mark.nb
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_smoke(name, tmp_path, monkeypatch, request):
    if name != "17_hadronic_taus":  # which shows that a kernel's trainings run in processes, too
        request.getfixturevalue("one_core")
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path))
    done = execute_notebook(name, "smoke", folder=FOLDER, progress=False)
    results = read_results(done.directory)  # the schema is checked here
    assert results.profile == "smoke"
    assert results.total_seconds > 0
    assert results.peak_memory_gb > 0
    expected = expected_run(
        name, "smoke"
    )  # made again with: omnilearn-lab run NAME --profile smoke --golden 3
    assert expected is not None and not expected.deviations(results)
    assert list(done.directory.glob("*.png"))
    n_solutions = sum("solution" in c.metadata.get("tags", []) for c in code_cells(NOTEBOOKS[name]))
    assert (done.directory / f"{name}.html").read_text().count('<details class="solution">') == n_solutions
    assert not raw_keys(done.directory / f"{name}.ipynb")
    assert not [path.name for path in done.directory.glob(f"{name}.*") if tells_a_place(path, tmp_path)]


@pytest.mark.nb
@pytest.mark.slow
@pytest.mark.parametrize(("number", "changed"), CHANGES.items())
def test_what_to_try_next_works_by_changing_one_cell(number, changed, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path))
    done = execute_notebook(number, "smoke", parameters=changed, folder=FOLDER, progress=False)
    assert read_results(done.directory).total_seconds > 0


def raw_keys(path):
    """Keys of results that a reader gets to see: in printed text and in tables."""
    outputs = [output for c in code_cells(path) for output in c.outputs]
    shown = [output.get("text", "") + output.get("data", {}).get("text/html", "") for output in outputs]
    return re.findall(
        r"\b(?:\w+_at_0\.\d|best_val_loss|ln_rho|tau_21|soft_drop_mass|w1_\w+|finetuned)\b", "\n".join(shown)
    )


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
