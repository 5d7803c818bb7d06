"""Every widget on a small page in JupyterLab, used with the keyboard alone."""

from __future__ import annotations

import shutil
from typing import NamedTuple

import nbformat
import pytest

from tests.widgets import samples

from .pages import open_and_run
from .servers import jupyter_lab

pytestmark = pytest.mark.browser
SLIDER = "[role='slider']"


class Act(NamedTuple):
    """What to do: the control, the keys to press in it, and where something must change."""

    control: str
    keys: tuple[str, ...]
    shown: str = "img"


ACTS = {
    "LossComparison": Act(SLIDER, ("ArrowRight",)),
    "JetViewer": Act("button:text-is('next misclassified')", ("Enter",)),
    "RocExplorer": Act(SLIDER, ("ArrowRight",)),
    "RunBrowser": Act("select[multiple]", ("ArrowDown",)),
    "CatalogBrowser": Act("input", tuple("herwig"), "h4"),
    "ResultsBrowser": Act("select >> nth=1", ("ArrowDown",)),
    "TrainingMonitor": Act("button:text-is('log scale')", ("Space",)),
    "DiffusionPlayer": Act(SLIDER, ("ArrowRight",)),
    "ReweightingExplorer": Act("select", ("ArrowDown",)),
    "UnfoldingExplorer": Act(SLIDER, ("ArrowLeft",)),
    "SicExplorer": Act("select", ("ArrowDown",)),
    "Explorer": Act("button:text-is('next misclassified')", ("Enter",)),
}
FOCUSABLE = "select, input, button, [tabindex='0'], [contenteditable='true']"
BEYOND_REACH = """view => { view.scrollLeft = 9999; const seen = view.scrollLeft + view.clientWidth;
                 view.scrollLeft = 0; return view.scrollWidth - seen }"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A notebook with one cell a widget, and the module that it imports."""
    here = tmp_path_factory.mktemp("lab")
    shutil.copy(samples.__file__, here / "samples.py")
    samples.run_here(here / "TrainingMonitor")
    head = "from pathlib import Path\nfrom samples import BUILDERS"
    cells = [head, *(f'BUILDERS["{name}"](Path("{name}"))' for name in samples.BUILDERS)]
    meta = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells], metadata=meta)
    nbformat.write(page, here / "widgets.ipynb")
    return here


@pytest.fixture(scope="module")
def lab_page(browser, folder):
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(90_000)
    own = {"OMP_NUM_THREADS": "1", "OMNILEARN_LAB_DATA": str(folder / "data")}
    with jupyter_lab(folder, folder, own) as address:
        open_and_run(page, address, "widgets.ipynb")
        yield page
    context.close()


@pytest.fixture
def view(lab_page, name):
    one = lab_page.locator(f".omnilearn-{name}").last  # the explorer holds a viewer, too
    one.scroll_into_view_if_needed()
    assert one.locator(":text('javascript error')").count() == 0
    return one


def tab_to(page, view, control):
    """Press Tab from the widget's first control until the wanted one has the focus."""
    wanted = view.locator(control).first
    view.locator(FOCUSABLE).first.focus()
    for _ in range(view.locator(FOCUSABLE).count() + 1):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab does not reach {control}")


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def shown(view, what="img"):
    element = view.locator(what).first
    return element.get_attribute("src") if what == "img" else element.inner_text()


def wait_until(page, is_true, message, seconds=60):
    for _ in range(10 * seconds):
        if is_true():
            return
        page.wait_for_timeout(100)
    pytest.fail(message)


@pytest.mark.parametrize("name", ACTS)
def test_a_key_changes_what_is_shown(lab_page, view, name, screenshots):
    act = ACTS[name]
    before = shown(view, act.shown)
    tab_to(lab_page, view, act.control)
    press(lab_page, *act.keys)
    wait_until(lab_page, lambda: shown(view, act.shown) != before, "nothing changed")
    wait_until(lab_page, lambda: "drawing ..." not in view.inner_text(), "still drawing")
    for width in (700, 1300):
        lab_page.set_viewport_size({"width": width, "height": 1000})
        cell = view.locator("xpath=..")
        fits = lambda: view.bounding_box()["width"] <= cell.bounding_box()["width"] + 1  # noqa: B023, E731
        wait_until(lab_page, fits, "wider than its cell")
        assert view.evaluate(BEYOND_REACH) == 0
        view.screenshot(path=screenshots / f"{name}-{width}.png")


@pytest.mark.parametrize("name", ["RocExplorer"])
def test_the_notebook_keeps_its_shortcuts_with_ctrl(lab_page, view, name, folder):
    notebook = folder / "widgets.ipynb"
    before = notebook.stat().st_mtime_ns
    tab_to(lab_page, view, SLIDER)
    press(lab_page, "Control+s")
    wait_until(lab_page, lambda: notebook.stat().st_mtime_ns != before, "not saved")


@pytest.mark.parametrize("name", ["CatalogBrowser"])
def test_a_citation_goes_to_the_clipboard(lab_page, view, name):
    tab_to(lab_page, view, "button:text-is('copy citation')")
    press(lab_page, "Enter")
    wait_until(lab_page, lambda: clipboard(lab_page) == shown(view, "pre"), "not copied")


@pytest.mark.parametrize("name", ["Explorer"])
def test_a_click_on_the_map_chooses_a_jet(lab_page, view, name, screenshots):
    picture, slider = view.locator("img").first, view.locator(SLIDER).first
    box, before, jet = picture.bounding_box(), shown(view), slider.get_attribute("aria-valuenow")
    for across in (0.75, 0.85, 0.95):  # the map is the right one of three panels
        picture.click(position={"x": across * box["width"], "y": 0.5 * box["height"]})
        lab_page.wait_for_timeout(2000)
    wait_until(lab_page, lambda: slider.get_attribute("aria-valuenow") != jet, "no other jet is shown")
    wait_until(lab_page, lambda: shown(view) != before, "the ring stands still")
    view.screenshot(path=screenshots / "Explorer-clicked.png")


@pytest.mark.parametrize("name", ["CatalogBrowser"])
def test_jets_are_simulated(lab_page, view, name):
    tab_to(lab_page, view, "button:text-is('simulate')")
    press(lab_page, "Enter")
    wait_until(lab_page, lambda: "20 simulated jets" in view.inner_text(), "not simulated")


def clipboard(page):
    return page.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize("name", ["DiffusionPlayer"])
def test_a_jet_plays_to_its_end(lab_page, view, name):
    slider = view.locator(SLIDER).first
    tab_to(lab_page, view, "button >> nth=0")
    press(lab_page, "Enter")
    last = slider.get_attribute("aria-valuemax")
    wait_until(lab_page, lambda: slider.get_attribute("aria-valuenow") == last, "it does not play")


@pytest.mark.parametrize("name", ["TrainingMonitor"])
def test_curves_grow_with_the_training_and_the_button_stops_it(lab_page, view, name, folder):
    run, before = folder / name, shown(view)
    samples.append(run, samples.record("train", 45, 0.31), samples.record("validation", 45, 0.42))
    samples.beat(run, 45)
    wait_until(lab_page, lambda: "update 45 of 100" in view.inner_text(), "the progress stands still")
    wait_until(lab_page, lambda: shown(view) != before, "the picture stands still")
    wait_until(lab_page, lambda: "validation 0.42" in view.inner_text(), "its words stand still")
    tab_to(lab_page, view, "button:text-is('stop')")
    press(lab_page, "Enter")
    wait_until(lab_page, (run / "stop").is_file, "nothing asks the training to end")
    wait_until(lab_page, lambda: "stopping" in view.inner_text(), "nothing says that it ends")
