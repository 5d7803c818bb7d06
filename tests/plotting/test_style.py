"""Colours, dashes, fonts and labels of the house."""

from __future__ import annotations

import itertools
import logging

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from omnilearn_lab.plotting import house_style, loss_curves, source_label
from omnilearn_lab.plotting.style import PALETTE, PUBLISHED, SIMULATED, line_look

# Linear-light matrices of Machado, Oliveira and Fernandes (2009), severity 1.
DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def linear(color):
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* of linear sRGB (white D65)."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.clip(np.array(matrix) @ rgb / [0.9505, 1.0, 1.089], 0, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_neighbouring_colours_differ_for_the_colour_blind():
    for matrix in DEFICIENCIES.values():
        seen = [lab(np.clip(np.array(matrix) @ linear(c), 0, 1)) for c in PALETTE]
        distances = [np.linalg.norm(a - b) for a, b in itertools.pairwise(seen)]
        assert min(distances) > 15


def test_first_28_lines_differ_and_neighbours_differ_in_both():
    looks = [line_look(i) for i in range(28)]
    assert len({(look.color, str(look.linestyle)) for look in looks}) == 28
    for a, b in itertools.pairwise(looks):
        assert a.color != b.color
        assert str(a.linestyle) != str(b.linestyle)


def test_style_nests_and_leaves_no_trace():
    before = dict(mpl.rcParams)
    with house_style(), house_style():
        assert mpl.rcParams["xtick.direction"] == "in"
    assert dict(mpl.rcParams) == before


def test_fonts_are_found_without_complaint(caplog):
    with caplog.at_level(logging.WARNING, logger="matplotlib.font_manager"):
        loss_curves({"a": ([1, 2], [1, 2])}, x=r"$\epsilon_S\ \Delta\eta$ ± √").to_png()
    assert not caplog.records


def test_source_labels():
    assert source_label({"source": "simulated"}) == SIMULATED
    assert source_label({"source": "published"}) == PUBLISHED
    assert source_label({"source": "my own files"}) == "my own files"
    assert source_label({}) is None


@pytest.mark.parametrize("about", [{"detector": "none"}, {"detector": "cms", "level": "truth"}])
def test_particle_level_simulation_claims_no_detector(about):
    assert source_label({"source": "simulated", **about}) == "simulation: Pythia 8.3, particle level"
    assert source_label({"source": "simulated", "detector": "cms", "level": "detector"}) == SIMULATED
