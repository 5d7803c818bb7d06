"""The house look: fonts, ticks and colours, applied while a figure is made and never globally."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_STYLE_FILE = Path(__file__).with_name("omnilearn.mplstyle")
_FILE_SETTINGS = mpl.rc_params_from_file(_STYLE_FILE, use_default_template=False)

PALETTE: tuple[str, ...] = tuple(_FILE_SETTINGS["axes.prop_cycle"].by_key()["color"])
"""The colours of the style file: Okabe and Ito's without the yellow, told apart by the colour-blind."""

SIMULATED = "simulation: Pythia 8.3 + fast simulation"
PARTICLE_LEVEL = "simulation: Pythia 8.3, particle level"
PUBLISHED = "published data"

_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
_LOCK = threading.RLock()
_P = ParamSpec("_P")
_R = TypeVar("_R")


class LineLook(NamedTuple):
    """Colour and dash pattern of one series; no two of the first 28 are the same in both."""

    color: str
    linestyle: Any


def line_look(index: int) -> LineLook:
    """Return the look of series number ``index``.

    Examples
    --------
    >>> line_look(0)
    LineLook(color='#0072B2', linestyle='-')
    >>> len({str(line_look(i)) for i in range(28)})
    28
    """
    return LineLook(PALETTE[index % len(PALETTE)], _DASHES[index % len(_DASHES)])


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Apply the house look inside a ``with`` block, and leave matplotlib's settings as they were.

    Figures of this package use it when they are made and again when they are drawn, because
    matplotlib makes tick marks as late as that.

    Examples
    --------
    >>> import matplotlib as mpl
    >>> with house_style():
    ...     mpl.rcParams["xtick.direction"]
    'in'
    """
    with _LOCK, mpl.rc_context(_settings()):
        yield


def in_house_style(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a figure function in the house look, unless it draws into axes of the user's own."""

    @functools.wraps(function)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if kwargs.get("ax") is not None:
            return function(*args, **kwargs)
        with house_style():
            return function(*args, **kwargs)

    return styled


def experiment_label(place: Axes | Figure, source: str | None = None) -> None:
    """Write above the axes, or above a figure of several panels, what the data are.

    Parameters
    ----------
    place
        Axes without a left title of their own, or a figure.
    source
        What the data are, such as `SIMULATED` or `PUBLISHED`; nothing is written
        without it, because a figure cannot know. Simulated jets never carry an experiment's name.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().add_subplot()
    >>> experiment_label(ax, "simulation: Pythia 8.3 + fast simulation")
    >>> ax.get_title(loc="left")
    '$\\\\mathbf{omnilearn\\\\_lab}$  simulation: Pythia 8.3 + fast simulation'
    """
    text = rf"$\mathbf{{omnilearn\_lab}}$  {source}"
    if source and isinstance(place, Axes):
        place.set_title(text, loc="left")
    elif source:
        place.suptitle(text, fontsize=11, x=0.01, ha="left")


def source_label(provenance: Any) -> str | None:
    """Return what a provenance record says about where jets come from, for `experiment_label`.

    Parameters
    ----------
    provenance
        ``Jets.provenance``. Its ``source`` is read, with "simulated" and "published" spelled out, and
        ``detector`` and ``level``, which tell particle level from fast simulation.

    Examples
    --------
    >>> source_label({"source": "simulated"})
    'simulation: Pythia 8.3 + fast simulation'
    """
    source = provenance.get("source")
    has_no_detector = provenance.get("detector") == "none" or provenance.get("level") == "truth"
    if source == "simulated" and has_no_detector:
        return PARTICLE_LEVEL
    return {"simulated": SIMULATED, "published": PUBLISHED}.get(source, source)


@functools.cache
def _settings() -> dict[str, Any]:
    """Return the style file's settings with only those fonts that this machine has."""
    _register_fonts()
    settings = dict(_FILE_SETTINGS)
    have = set(font_manager.get_font_names())
    settings["font.family"] = [name for name in settings["font.family"] if name in have]
    if "TeX Gyre Heros" not in have:
        settings["mathtext.fontset"] = "dejavusans"
    return settings


def _register_fonts() -> None:
    """Make mplhep's fonts known to matplotlib, without importing mplhep (which imports pyplot)."""
    found = importlib.util.find_spec("mplhep_data")
    for folder in (found.submodule_search_locations if found else None) or ():
        for font in sorted(Path(folder).glob("fonts/texgyreheros/texgyreheros-*.otf")):
            font_manager.fontManager.addfont(font)
