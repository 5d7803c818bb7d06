"""Figures, axes and bands."""

from __future__ import annotations

import base64
import io
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting import loss_curves
from omnilearn_lab.plotting.figure import PaperFigure, band_of, counted
from omnilearn_lab.plotting.style import experiment_label
from PIL import Image

X = np.arange(5.0)


@given(values=hnp.arrays(float, (3, 5), elements=st.floats(-100, 100)))
@settings(max_examples=30, deadline=None)
def test_on_common_points_it_is_numpys_mean_and_standard_deviation(values):
    band = band_of([(X, row) for row in values])
    np.testing.assert_allclose(band.mean, values.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(band.spread, values.std(axis=0, ddof=1), atol=1e-9)


def test_straight_lines_on_different_points_average_exactly():
    band = band_of([([0, 4], [0.0, 4.0]), ([1, 2, 5], [3.0, 6.0, 15.0])])
    np.testing.assert_allclose(band.x, [1, 2, 4])
    np.testing.assert_allclose(band.mean, 2 * band.x)


def test_order_of_repetitions_does_not_matter():
    curves = [(X, X**2), (X, X), (X, -X)]
    np.testing.assert_allclose(band_of(curves).mean, band_of(curves[::-1]).mean)


def test_one_repetition_has_no_errors():
    band = band_of([(X, X)])
    assert band.errors == {}
    assert band_of([(X, X), (X, 2 * X)]).errors.keys() == {"seeds"}


def test_no_curve():
    with pytest.raises(FigureError, match="at least one"):
        band_of([])
    with pytest.raises(FigureError, match="pair"):
        band_of([3])


def test_repetitions_that_are_all_the_same_count_as_one():
    same = band_of([(X, X / 3)] * 3)
    assert same.n_repetitions == 1 and same.errors == {}
    assert counted("trees", same.n_repetitions) == "trees"
    assert counted("PET", band_of([(X, X), (X, X), (X, 2 * X)]).n_repetitions).endswith("of 3 seeds)")


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
