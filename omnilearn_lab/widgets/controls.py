"""Controls with a description and a tooltip each, as the views of this package need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets

__all__ = ["button", "dropdown", "framed", "picture", "row", "slider", "toggle"]

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
