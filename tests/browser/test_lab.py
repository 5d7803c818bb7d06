"""A user in JupyterLab: open the fine-tuning notebook, run it, move a slider, see the picture change."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from .pages import open_and_run, picture, wait_for_another_picture
from .servers import jupyter_lab

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.browser


def test_fine_tuning_notebook_and_its_slider(page, tmp_path, screenshots, one_core):
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
