"""What all widgets share: described controls, a picture below, and a static picture without a kernel."""

from __future__ import annotations

import base64
import html
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import ipywidgets

from omnilearn_lab.errors import OmniLearnLabError
from omnilearn_lab.plotting.figure import PaperFigure, Screen

# JupyterLab takes plain keys for its cells (arrows go to the next cell, "x" cuts one) even when a list or a
# button has the focus. Its own mark for "keys belong to this element" is set while no Ctrl is held. A click
# on a picture writes its place, as fractions, into a view's hidden text; one on a button to copy copies the
# text beside it. This is the only script of the package. Where a page forbids inline scripts, keys go to the
# notebook and these clicks do nothing: every view can be used without them.
_SCRIPT = """const view = this.closest('.omnilearn-view');
for (const kind of ['focusin', 'keydown', 'keyup']) view.addEventListener(kind, event =>
event.target.toggleAttribute('data-lm-suppress-shortcuts', !(event.ctrlKey || event.metaKey)));
view.addEventListener('click', event => {
const copied = event.target.closest('.omnilearn-copy');
if (copied) navigator.clipboard.writeText(copied.parentElement.querySelector('pre').textContent);
const image = event.target.closest('img'), text = view.querySelector(':scope > .omnilearn-clicked input');
if (!image || !text || image.closest('.omnilearn-view') !== view) return;
const box = image.getBoundingClientRect();
text.value = (event.clientX - box.left) / box.width + ' ' + (event.clientY - box.top) / box.height;
text.dispatchEvent(new Event('change', {bubbles: true}))})"""
_STYLE = f"""<style onload="{_SCRIPT}">
.omnilearn-view .widget-html-content {{line-height: 1.4}}
.omnilearn-view table {{border-spacing: 1em 0.1em}}</style>"""


def frame_script() -> str:
    """Return the script of the views' frames, for the hash that lets a strict page run it."""
    return _SCRIPT


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


def steps(name: str, options: Sequence[Any], tooltip: str) -> ipywidgets.SelectionSlider:
    """A slider over named values, which starts at the first."""
    return ipywidgets.SelectionSlider(options=options, description=name, tooltip=tooltip)


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


def as_text(picture: bytes) -> str:
    """Return a picture as notebooks store it."""
    return base64.b64encode(picture).decode()


_TICK = 0.5


def in_background(
    work: Callable[[], str], state: ipywidgets.HTML, doing: str, done: Callable[[], object]
) -> threading.Thread:
    """Do work in a thread while ``state`` counts the seconds; then it shows what came out, or our error."""
    ended, start = threading.Event(), time.monotonic()

    def count() -> None:
        while not ended.wait(_TICK):
            state.value = f"{html.escape(doing)} ... {time.monotonic() - start:.0f} s"

    def run() -> None:
        clock = threading.Thread(target=count, daemon=True)
        clock.start()
        try:
            answer = work()
        except OmniLearnLabError as error:
            answer = f"<b>not done:</b> {html.escape(str(error))}"
        finally:
            ended.set()
            clock.join()
            done()
        state.value = f"{answer} ({time.monotonic() - start:.0f} s)"

    state.value = "starting ..."
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


_DPI, _MOST_SCREENS = 110, 8
_SMALLEST = 0.45  # of the picture's own size: on a narrower page it scrolls and stays readable


class FigureView:
    """A figure that follows its controls.

    Subclasses pass their controls and implement `figure`, which reads the controls' values; for fast sliders
    they name them in ``moved_by`` and implement `move`. Choices seen before are shown from memory. The
    figure's alternative text stands below the picture, and a sign beside the controls while it is drawn.

    Parameters
    ----------
    **controls : widget
        By name, shown in this order; each has a description and a tooltip.
    """

    moved_by: ClassVar[tuple[str, ...]] = ()
    """Controls, such as sliders, after whose change `move` is enough."""
    same_layout: ClassVar[tuple[str, ...]] = ()
    """Controls that leave the panels where they are."""

    def __init__(self, **controls: ipywidgets.Widget) -> None:
        self.controls = controls
        self._screens: dict[tuple[Any, ...], Screen] = {}
        self._shown: Screen | None = None
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

    def move(self, figure: PaperFigure) -> None:
        """Bring the artists marked `omnilearn_lab.plotting.figure.MOVING`, and the text, up to date.

        Called instead of `figure` after a change of one of the controls in ``moved_by``.
        """

    def _redraw(self, change: object = None) -> None:
        """Show the present choice; without a change of a control, the data may have changed: draw anew."""
        self._sign.value = "drawing ..."
        if change is None:
            self._screens.clear()
        values = {name: getattr(control, "value", None) for name, control in self.controls.items()}
        key = tuple(value for name, value in values.items() if name not in self.moved_by)
        if key in self._screens:
            self.move(self._screens[key].figure)
        else:
            is_same = any(getattr(change, "owner", None) is self.controls[name] for name in self.same_layout)
            self._screens[key] = Screen(self.figure(), dpi=_DPI, like=self._shown if is_same else None)
            for old in list(self._screens)[:-_MOST_SCREENS]:
                del self._screens[old]
        screen = self._shown = self._screens[key]
        self._image.value = screen.to_png()
        self._image.layout.min_width = f"{_SMALLEST * _DPI * screen.figure.get_figwidth():.0f}px"
        self.summary = screen.figure.alt_text
        self._text.value = f"<p>{html.escape(self.summary)}</p>{self.details()}"
        self._sign.value = ""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Offer the live widget and, for readers without a kernel, the picture as it is now."""
        live = self.widget._repr_mimebundle_() or {}
        return {**live, "image/png": as_text(self._image.value), "text/plain": self.summary}


class PlayedView(FigureView):
    """A figure whose slider can play; readers without a kernel see `frames`.

    Parameters
    ----------
    played
        Name of the slider among the controls.
    interval
        Milliseconds from one step to the next.
    about
        Tooltip of the button that plays.
    """

    def __init__(self, played: str, interval: int, about: str, **controls: ipywidgets.Widget) -> None:
        slider = controls[played]
        options = {"interval": interval, "description": "play", "tooltip": about}
        self.play = ipywidgets.Play(value=slider.value, max=slider.max, **options)
        super().__init__(**controls)
        self.link = ipywidgets.jslink((self.play, "value"), (slider, "value"))
        bar = self.widget.children[0]
        bar.children = (self.play, *bar.children)

    def frames(self) -> PaperFigure:
        """Return the steps side by side."""
        raise NotImplementedError

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Offer the live widget and, for readers without a kernel, the steps side by side."""
        bundle, frames = super()._repr_mimebundle_(include, exclude), self.frames()
        return {**bundle, "image/png": as_text(frames.to_png()), "text/plain": frames.alt_text}
