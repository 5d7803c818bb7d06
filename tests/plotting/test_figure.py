"""Figures outside pyplot that show themselves once, in the house look."""

from __future__ import annotations

import base64
import io
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting import loss_curves
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.plotting.style import experiment_label
from PIL import Image

CURVE = {"scratch": ([1, 2, 3], [0.5, 0.4, 0.35])}


def test_shows_one_image_with_alt_text_without_any_set_up():
    figure = loss_curves(CURVE)
    formatter = DisplayFormatter()
    formatter.active_types = list(formatter.format_types)
    data, metadata = formatter.format(figure)
    images = [kind for kind in data if kind.startswith("image/")]
    assert images == ["image/png"]
    assert metadata["image/png"]["alt"] == figure.alt_text
    assert "scratch" in figure.alt_text
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.size == tuple(int(s * figure.dpi) for s in figure.get_size_inches())


def test_display_picture_is_small():
    assert len(loss_curves(CURVE).to_png()) < 50_000


def test_pyplot_knows_none_of_the_figures():
    code = (
        "import sys; from omnilearn_lab.plotting import loss_curves; "
        "loss_curves({'a': ([1, 2], [1, 2])}).to_png(); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_look_is_applied_while_drawing_and_settings_stay_as_they_were():
    before = dict(mpl.rcParams)
    figure = loss_curves(CURVE)
    figure.draw_without_rendering()
    tick = figure.axes[0].xaxis.get_major_ticks()[0]
    assert tick.get_tickdir() == "in"
    assert tick.tick2line.get_visible()
    assert dict(mpl.rcParams) == before


def test_drawing_into_axes_of_ones_own():
    figure = Figure()
    ax = figure.add_subplot()
    assert loss_curves(CURVE, ax=ax) is figure
    assert ax.lines
    assert figure.figure_data.names == ("scratch",)
    loss_curves({"tuned": CURVE["scratch"]}, ax=ax)
    assert figure.figure_data.names == ("scratch", "tuned")
    assert "scratch" in figure.alt_text
    assert "tuned" in figure.alt_text


def test_axes_of_the_wrong_kind():
    with pytest.raises(FigureError, match="pass matplotlib Axes"):
        loss_curves(CURVE, ax="here")


def test_repr_is_the_alt_text():
    figure = PaperFigure()
    figure.alt_text = "nothing"
    assert repr(figure) == "<figure: nothing>"


def test_label_without_source_is_empty():
    ax = PaperFigure().add_subplot()
    experiment_label(ax, None)
    assert ax.get_title(loc="left") == ""


def test_same_input_same_picture():
    assert np.array_equal(*(Image.open(io.BytesIO(loss_curves(CURVE).to_png())) for _ in range(2)))
