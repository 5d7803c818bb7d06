"""What every widget owes its reader, whatever it shows."""

import re

import ipywidgets
import nbformat
import omnilearn_lab.widgets
import pytest
from omnilearn_lab.notebook.execute import _write_html
from omnilearn_lab.widgets.view import _STYLE, FigureView

from .samples import BUILDERS, loss_comparison, roc_explorer

WITHOUT_INPUT = ipywidgets.HTML | ipywidgets.Image | ipywidgets.FloatProgress
CHANGES = {
    "LossComparison": ({"x": "step"}, {"x": "seconds"}, {"log": True}, {"seed": 1}, {"smooth": 3}),
    "JetViewer": ({"index": 2}, {"index": 3}),
    "RocExplorer": ({"classifier": "strong"}, {"run": 1}, {"efficiency": 0.3}),
    "DiffusionPlayer": ({"step": 1}, {"step": 2}, {"jet": "top"}),
    "ReweightingExplorer": ({"observable": "width"}, {"method": "scratch"}, {"seed": 2}, {"log": True}),
    "UnfoldingExplorer": (
        *({"iteration": 1}, {"observable": "width"}, {"method": "IBU"}, {"log": True}, {"iteration": 0}),
    ),
    "SicExplorer": ({"kept": 0.3}, {"injected": 80}, {"show": "SIC curve"}),
    "Explorer": ({"arm": "finetuned"}, {"seed": 1}, {"task": "quarks", "checkpoint": "v2_tiny"}),
}
CHANGES_OF_SLIDERS = {"RocExplorer": (0.3, 0.7), "DiffusionPlayer": (1, 5, 2)}
FIGURES = [name for name in BUILDERS if issubclass(getattr(omnilearn_lab.widgets, name, object), FigureView)]


@pytest.fixture(scope="module", params=BUILDERS)
def view(request, tmp_path_factory):
    return BUILDERS[request.param](tmp_path_factory.mktemp(request.param))


def inputs(widget):
    """All parts of a widget that take input."""
    if isinstance(widget, ipywidgets.Box):
        return [one for child in widget.children for one in inputs(child)]
    return [] if isinstance(widget, WITHOUT_INPUT) else [widget]


def test_none_is_forgotten():
    views = set(omnilearn_lab.widgets.__all__) | {"ResultsBrowser"}
    assert set(BUILDERS) == views - {"Explored", "ScoredEvents"}


def test_controls_are_described(view):
    assert inputs(view.widget)
    for control in inputs(view.widget):
        assert control.description and control.tooltip, control


def test_a_page_without_a_kernel_shows_figure_or_table(view, tmp_path):
    output = nbformat.v4.new_output("display_data", view._repr_mimebundle_())
    cell = nbformat.v4.new_code_cell("view", outputs=[output])
    path = tmp_path / "page.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    _write_html(path)
    page = path.with_suffix(".html").read_text().split("<body", 1)[1]
    assert "data:image/png;base64,iVBOR" in page or "<table" in page
    assert "widget-view+json" not in page


@pytest.mark.parametrize("view", FIGURES, indirect=True)
def test_a_sign_stands_beside_the_controls_while_a_figure_is_drawn(view, monkeypatch):
    seen, draw = [], view.figure
    monkeypatch.setattr(view, "figure", lambda: seen.append(view._sign.value) or draw())
    view._redraw()
    assert seen == ["drawing ..."] and view._sign.value == ""


@pytest.mark.parametrize("view", CHANGES, indirect=True)
def test_every_control_changes_the_picture(view):
    seen = {view._image.value}
    for change in CHANGES[type(view).__name__]:
        view.set(**change)
        assert view._image.value not in seen, change
        seen.add(view._image.value)


@pytest.mark.parametrize("view", FIGURES, indirect=True)
def test_a_moved_picture_is_the_picture_drawn_anew(view):
    for name in view.moved_by:
        for value in CHANGES_OF_SLIDERS[type(view).__name__]:
            view.set(**{name: value})
            moved, summary, text = view._image.value, view.summary, view._text.value
            view._redraw()
            assert view._image.value == moved, value
            assert (view.summary, view._text.value) == (summary, text)


def test_a_slider_draws_nothing_but_what_moves(monkeypatch):
    view = roc_explorer()
    monkeypatch.setattr(view, "figure", lambda: pytest.fail("the figure was made again"))
    view.set(efficiency=0.3)
    view.set(efficiency=0.6)


def test_choices_seen_before_are_shown_from_memory(monkeypatch):
    view = loss_comparison()
    first = view._image.value
    view.set(log=True)
    monkeypatch.setattr(view, "figure", lambda: pytest.fail("the figure was made again"))
    view.set(log=False)
    assert view._image.value == first


def texts(widget):
    """All HTML of a widget, but that of the frame."""
    if isinstance(widget, ipywidgets.Box):
        return [text for child in widget.children for text in texts(child)]
    return [widget.value] if isinstance(widget, ipywidgets.HTML) else []


def test_the_frame_holds_the_only_script(view):
    pages = "".join(texts(view.widget)).replace(_STYLE, "")
    assert not re.search(r"<script|\son\w+\s*=|javascript:", pages, re.IGNORECASE)
