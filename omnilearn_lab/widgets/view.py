"""What all widgets share: controls on top, a picture below, and a static picture where no kernel runs."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from typing import Any

import ipywidgets

from omnilearn_lab.plotting import PaperFigure
from omnilearn_lab.widgets.controls import framed, picture, row

__all__ = ["FigureView"]

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
