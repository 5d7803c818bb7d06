"""Controls with a description and a tooltip each, as the views of this package need them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets

__all__ = ["button", "dropdown", "slider", "toggle"]


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
