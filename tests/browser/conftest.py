from __future__ import annotations

import os
from pathlib import Path

import pytest

from .servers import chromium


@pytest.fixture(scope="module")  # while it is open, asyncio.run fails in all tests of this process
def browser():
    path = chromium()
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one with the variable CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        options = [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
        ]
        one = driver.chromium.launch(executable_path=path, args=options)
        yield one
        one.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    one = context.new_page()
    one.set_default_timeout(90_000)
    yield one
    context.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory):
    """Folder for pictures to look at afterwards: the variable SCREENSHOTS, else a temporary one."""
    folder = Path(os.environ.get("SCREENSHOTS", "") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
