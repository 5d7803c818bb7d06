import io
import json
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from omnilearn_lab.catalog import catalog
from omnilearn_lab.notebook.execute import (
    NotebookEntry,
    NotebookMap,
    _clock,
    find_notebooks,
    measured_seconds,
    notebook_map,
)
from omnilearn_lab.notebook.hardware import Machine
from omnilearn_lab.notebook.results import Results
from tqdm import tqdm

ROOT = Path(__file__).parents[2]
LAPTOP = Machine("a laptop", 2, 8.0)
PLAN = notebook_map(LAPTOP)


def row(plan, name):
    return next(dict(zip(("name", "shows", "smoke", "quick", "long", "full", "here"), r, strict=True))
                for r in plan.rows() if r[0] == name)  # fmt: skip


@pytest.fixture(autouse=True)
def no_results(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path))


def test_every_notebook_has_an_entry():
    assert set(find_notebooks(ROOT / "notebooks")) <= set(PLAN.entries)


@pytest.mark.parametrize("name", PLAN.entries)
def test_entries_are_complete(name):
    item = PLAN.entries[name]
    text = ROOT / "omnilearn_lab" / "notebook" / "profiles" / f"{name}.yaml"
    has_long = text.is_file() and "\nlong:" in text.read_text()
    assert set(item.core_minutes) == {"smoke", "quick"} | ({"long"} if has_long else set())
    assert (row(PLAN, name)["long"] == "–") != has_long
    assert item.shows and item.otherwise
    assert all(dataset in catalog().entries for dataset in item.datasets)


def test_no_time_is_promised_that_the_measured_one_exceeds():
    pages = (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    line = re.compile(r"^\| \[(\d\d)\]\([^)]*\) \|.*\| (\d+):(\d\d) \|", re.MULTILINE)
    measured = {
        row[0]: int(row[1]) + int(row[2]) / 60 for page in pages for row in line.findall(page.read_text())
    }
    assert len(measured) >= 15
    for name, item in PLAN.entries.items():
        assert measured.get(name[:2], 0) <= item.minutes("quick", LAPTOP), name


def test_no_long_run_is_promised_faster_than_it_was_recorded():
    runs = [
        json.loads(path.read_text())
        for path in sorted((ROOT / "notebooks" / "recorded").glob("*/long/results.json"))
    ]
    assert len(runs) >= 9
    for run in runs:
        promised = PLAN.entries[run["notebook"]].minutes("long", LAPTOP)
        assert run["total_seconds"] / 60 <= promised, run["notebook"]


def test_more_cores_take_less_time_up_to_six():
    item = NotebookEntry("", {"quick": 12})
    minutes = [item.minutes("quick", replace(LAPTOP, n_cores=n)) for n in (1, 2, 6, 64)]
    assert minutes == [12, 6, 2, 2]


def test_download_is_the_catalogues():
    assert NotebookEntry("", {}, datasets=("jetnet30", "jetnet150")).download() == pytest.approx(2.54)
    assert NotebookEntry("", {}, datasets=("jetclass",), download_gb=7.4).download() == 7.4


def test_without_a_gpu_it_says_what_to_do_instead():
    item = NotebookEntry("", {"smoke": 1, "quick": 4}, gpu_hours=10, otherwise="a smaller network")
    here = row(NotebookMap({"a": item}, LAPTOP), "a")["here"]
    assert here == "no GPU: about 5.4 days; use quick: a smaller network"  # 10 x 26 core-hours on two cores
    gpu = replace(LAPTOP, gpu="a GPU", gpu_memory=80.0)
    assert "no GPU" not in row(NotebookMap({"a": item}, gpu), "a")["here"]


def test_measured_time_replaces_the_bound(tmp_path):
    assert measured_seconds("03_finetune_top", "smoke") is None
    assert row(PLAN, "03_finetune_top")["smoke"].startswith("<")
    path = Results("03_finetune_top", "smoke").write(source="simulated", seeds=[1])
    path.write_text(path.read_text().replace('"total_seconds": null', '"total_seconds": 150.0'))
    assert measured_seconds("03_finetune_top", "smoke") == 150
    assert row(PLAN, "03_finetune_top")["smoke"] == "2.5 min (measured)"


def test_damaged_results_do_not_count(tmp_path):
    folder = Results("03_finetune_top", "smoke").directory
    (folder / "results.json").write_text("{")
    assert measured_seconds("03_finetune_top", "smoke") is None


def test_table_links_to_the_notebooks():
    assert '<a href="11_omnilearned.ipynb">' in PLAN._repr_html_()
    assert len(PLAN) == len(PLAN.rows())


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_clock_of_a_bar_goes_on_while_a_cell_runs(monkeypatch, is_terminal):
    class Screen(io.StringIO):
        isatty = staticmethod(lambda: is_terminal)

    monkeypatch.setattr(sys, "stderr", Screen())
    with tqdm(total=2, file=sys.stderr) as bar, _clock(0.01):
        before = sys.stderr.tell()
        deadline = time.monotonic() + (5 if is_terminal else 0.1)
        while sys.stderr.tell() == before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (sys.stderr.tell() > before) is is_terminal
        assert bar.n == 0
