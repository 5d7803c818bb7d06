"""What a user does in JupyterLab: open a notebook, run it, wait for a picture."""

from __future__ import annotations

from .servers import TOKEN

_IDLE = "[data-status='idle'].jp-Notebook-ExecutionIndicator"
_ERROR = "[data-mime-type='application/vnd.jupyter.stderr']:has-text('Traceback')"
_ALL_RAN = """() => [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")]
    .map((prompt) => prompt.textContent.trim())
    .filter((text) => text)
    .every((text) => /\\[\\d+\\]/.test(text))
    || [...document.querySelectorAll("[data-mime-type='application/vnd.jupyter.stderr']")]
        .some((output) => output.textContent.includes("Traceback"))"""


def open_and_run(page, address, name, *, seconds=180):
    """Open a notebook in Lab, run all its cells from the menu, and wait for the last one, or for an error.

    Folded cells (solutions) show no number: they are done when all others have one and the kernel is idle.
    """
    page.goto(f"{address}/lab/tree/{name}?token={TOKEN}", timeout=180_000)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
    page.wait_for_selector(_IDLE, timeout=120_000)
    start_running(page)
    page.wait_for_function(_ALL_RAN, timeout=seconds * 1000)
    page.wait_for_selector(_IDLE, timeout=seconds * 1000)
    errors = page.locator(_ERROR)
    assert errors.count() == 0, errors.first.inner_text()


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
