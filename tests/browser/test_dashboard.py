"""The dashboard as a page of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.widgets import samples

from .servers import voila

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "dashboard.ipynb"
pytestmark = pytest.mark.browser


def test_dashboard_shows_results_and_hides_code(page, tmp_path, monkeypatch, screenshots):
    pytest.importorskip("voila", reason="pip install -e '.[dashboard]'")
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path / "results"))
    samples.write_results(tmp_path / "results")
    with voila(NOTEBOOK, tmp_path) as address:
        page.goto(address, timeout=180_000)
        page.wait_for_selector(".omnilearn-ResultsBrowser table", timeout=90_000)
        assert "better" in page.inner_text(".omnilearn-ResultsBrowser table")
        assert "import ResultsBrowser" not in page.inner_text("body")
        page.screenshot(path=screenshots / "dashboard.png", full_page=True)
