"""A user in JupyterLab: open a notebook, run it, move a control, see the picture change."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from .servers import TOKEN, jupyter_lab

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.browser


def open_and_run(page, address, name, *, seconds=180):
    """Open a notebook in Lab, run all its cells from the menu, and wait for the last one."""
    page.goto(f"{address}/lab/tree/{name}?token={TOKEN}", timeout=180_000)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
    page.wait_for_selector("[data-status='idle'].jp-Notebook-ExecutionIndicator", timeout=120_000)
    start_running(page)
    wait_for_prompt(page, page.locator(".jp-CodeCell").last, r"\[\d+\]", seconds)
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr'] :text('Traceback')").count() == 0


def start_running(page, tries=5):
    """Choose "Run all cells"; a page still arranging itself may lose a click, so look and try again."""
    from playwright.sync_api import TimeoutError as Missed

    for attempt in range(tries):
        try:
            page.click("#jp-MainMenu >> text=Run", timeout=15_000)
            page.click("li[data-command='runmenu:run-all']", timeout=15_000)
            wait_for_prompt(page, page.locator(".jp-CodeCell").first, r"\[(\d+|\*)\]", 20)
        except Missed:
            page.keyboard.press("Escape")
            if attempt == tries - 1:
                raise
        else:
            return


def wait_for_prompt(page, cell, pattern, seconds):
    prompt = cell.locator(".jp-InputPrompt").element_handle()
    check = "([prompt, pattern]) => new RegExp(pattern).test(prompt.textContent)"
    page.wait_for_function(check, arg=[prompt, pattern], timeout=seconds * 1000)


def picture(page, widget):
    return page.locator(f".omnilearn-{widget} img").first.get_attribute("src")


def wait_for_another_picture(page, widget, before):
    page.wait_for_function(
        "([widget, before]) => document.querySelector(`.omnilearn-${widget} img`).src !== before",
        arg=[widget, before],
    )


def test_fine_tuning_notebook_and_its_slider(page, tmp_path, screenshots):
    notebook = nbformat.read(ROOT / "notebooks" / "03_finetune_top.ipynb", as_version=4)
    parameters = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    parameters.source = parameters.source.replace('profile = "quick"', 'profile = "smoke"')
    nbformat.write(notebook, tmp_path / "03_finetune_top.ipynb")
    results = {"OMNILEARN_LAB_RESULTS": str(tmp_path / "results"), "OMP_NUM_THREADS": "1"}
    with jupyter_lab(tmp_path, tmp_path, results) as address:
        open_and_run(page, address, "03_finetune_top.ipynb", seconds=600)
        view = page.locator(".omnilearn-LossComparison")
        view.scroll_into_view_if_needed()
        before = picture(page, "LossComparison")
        view.locator("[role='slider']").first.focus()
        page.keyboard.press("ArrowRight")
        wait_for_another_picture(page, "LossComparison", before)
        page.screenshot(path=screenshots / "03_finetune_top.png")
    assert (tmp_path / "results" / "03_finetune_top" / "smoke" / "results.json").is_file()


WIDGETS = {
    "LossComparison": """
from omnilearn_lab.training import History
def curve(*losses):
    columns = ("step", "epoch", "jets", "seconds")
    rows = (dict.fromkeys(columns, i) | {"kind": "validation", "loss": x} for i, x in enumerate(losses))
    return History(rows)
LossComparison({"scratch": [curve(0.7, 0.6, 0.5)] * 2, "fine-tuned": [curve(0.7, 0.4, 0.3)] * 2})
""",
    "RocExplorer": """
labels = np.repeat([0, 1], 500)
RocExplorer({"tagger": [(rng.normal(labels), labels)]}, names=("QCD", "top"))
""",
    "JetViewer": """
cloud = {name: rng.normal(0, 0.2, 80) for name in ("deta", "dphi")} | {"pt": rng.uniform(10, 100, 80)}
cloud["energy"] = 1.1 * cloud["pt"]
jet = {"pt": [900.0] * 4, "eta": [0.0] * 4, "phi": [0.0] * 4, "mass": [90.0] * 4, "label": [0, 1, 0, 1]}
jets = Jets.build(cloud, range(0, 81, 20), jet, class_names=("QCD", "top"))
JetViewer(jets, probabilities=np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]]))
""",
}
HEAD = """
import numpy as np
from omnilearn_lab.jets import Jets
from omnilearn_lab.widgets import *
rng = np.random.default_rng(1)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(text.strip()) for text in (HEAD, *WIDGETS.values())]
    meta = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=meta), folder / "widgets.ipynb")
    with jupyter_lab(folder, folder, {"OMP_NUM_THREADS": "1"}) as address:
        yield address


def test_every_widget_answers_the_keyboard(lab, page, screenshots):
    open_and_run(page, lab, "widgets.ipynb")
    for name in WIDGETS:
        view = page.locator(f".omnilearn-{name}").first
        view.scroll_into_view_if_needed()
        assert view.locator(":text('javascript error')").count() == 0
        before = picture(page, name)
        view.locator("[role='slider']").first.focus()
        page.keyboard.press("ArrowRight")
        wait_for_another_picture(page, name, before)
        page.wait_for_function("document.body.innerText.indexOf('drawing ...') < 0")
        view.screenshot(path=screenshots / f"{name}.png")
