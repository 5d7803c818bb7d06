"""What all widgets share: described controls, a picture below, and a static picture without a kernel."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets

from omnilearn_lab.plotting.figure import PaperFigure

# JupyterLab takes plain keys for its cells (arrows go to the next cell, "x" cuts one) even when a list or a
# button has the focus. Its own mark for "keys belong to this element" is set while no Ctrl is held.
_STYLE = """<style onload="for (const kind of ['focusin', 'keydown', 'keyup'])
this.closest('.omnilearn-view').addEventListener(kind, event =>
event.target.toggleAttribute('data-lm-suppress-shortcuts', !(event.ctrlKey || event.metaKey)))">
.omnilearn-view .widget-html-content {line-height: 1.4}
.omnilearn-view table {border-spacing: 1em 0.1em}</style>"""


def row(children: Sequence[ipywidgets.Widget]) -> ipywidgets.Box:
    """Return widgets side by side, on several lines where the page is narrow."""
    return ipywidgets.Box(list(children), layout={"display": "flex", "flex_flow": "row wrap"})


def picture() -> ipywidgets.Image:
    """Return a place for a PNG image: in its own size, smaller where the page is narrow."""
    return ipywidgets.Image(format="png", layout={"max_width": "100%", "align_self": "flex-start"})


def framed(children: Sequence[ipywidgets.Widget], name: str) -> ipywidgets.VBox:
    """Return a view's parts below each other; keys pressed in it are not taken by the notebook around it."""
    view = ipywidgets.VBox([*children, ipywidgets.HTML(_STYLE, layout={"display": "none"})])
    for style in ("omnilearn-view", f"omnilearn-{name}"):
        view.add_class(style)
    return view


def dropdown(name: str, options: Sequence[Any], tooltip: str) -> ipywidgets.Dropdown:
    """Return a list to choose one of; options are values or (text, value) pairs."""
    return ipywidgets.Dropdown(options=options, description=name, tooltip=tooltip)


def slider(name: str, value: float, limits: tuple[float, float, float], tooltip: str) -> ipywidgets.Widget:
    """Return a slider over (lowest, highest, step), of whole numbers when the limits are."""
    low, high, step = limits
    kind = ipywidgets.IntSlider if all(isinstance(x, int) for x in limits) else ipywidgets.FloatSlider
    made = kind(value, min=low, max=high, step=step, description=name, tooltip=tooltip)
    made.continuous_update = False
    return made


def toggle(name: str, tooltip: str, *, value: bool = False) -> ipywidgets.ToggleButton:
    """Return a button that stays pressed."""
    return ipywidgets.ToggleButton(value, description=name, tooltip=tooltip)


def button(name: str, tooltip: str) -> ipywidgets.Button:
    """Return a button; connect it with ``on_click``."""
    return ipywidgets.Button(description=name, tooltip=tooltip)


_DPI = 110
_SMALLEST = 0.45  # of the picture's own size: on a narrower page it scrolls and stays readable


class FigureView:
    """A figure that is drawn again whenever one of its controls changes.

    Subclasses pass their controls and implement `figure`, which reads the controls' values. The
    figure's alternative text stands below the picture, and a sign beside the controls while it is drawn.

    Parameters
    ----------
    controls : mapping of name to widget
        Shown in this order; each has a description and a tooltip.
    """

    def __init__(self, controls: Mapping[str, ipywidgets.Widget]) -> None:
        self.controls = dict(controls)
        self._image = picture()
        self._sign = ipywidgets.HTML("", layout={"min_width": "5em"})
        self._text = ipywidgets.HTML()
        for control in self.controls.values():
            control.observe(self._redraw, names="value")
        bar = row([*self.controls.values(), self._sign])
        self.widget = framed([bar, self._image, self._text], type(self).__name__)
        self._redraw()

    def figure(self) -> PaperFigure:
        """Return the figure for the present values of the controls."""
        raise NotImplementedError

    def value(self, name: str) -> Any:
        """Return the present value of a control."""
        return self.controls[name].value

    def set(self, **values: Any) -> None:
        """Set controls by name, as a user would."""
        for name, value in values.items():
            self.controls[name].value = value

    def details(self) -> str:
        """Return HTML to stand below the figure's text; nothing by default."""
        return ""

    def _redraw(self, _: object = None) -> None:
        self._sign.value = "drawing ..."
        figure = self.figure()
        self._image.value = figure.to_png(dpi=_DPI)
        self._image.layout.min_width = f"{_SMALLEST * _DPI * figure.get_figwidth():.0f}px"
        self.summary = figure.alt_text
        self._text.value = f"<p>{html.escape(self.summary)}</p>{self.details()}"
        self._sign.value = ""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Offer the live widget and, for readers without a kernel, the picture as it is now."""
        live = self.widget._repr_mimebundle_() or {}
        png = base64.b64encode(self._image.value).decode()
        return {**live, "image/png": png, "text/plain": self.summary}
