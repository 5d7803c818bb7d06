"""Figures of searches: what they show, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting import mass_spectrum, sic_against_injection
from omnilearn_lab.tasks.search import MassFit, bump_hunt


@pytest.fixture(scope="module")
def hunt():
    masses = 2300 + np.random.default_rng(1).exponential(500, 3000)
    return bump_hunt(masses, (3300, 3700), MassFit(function="log_polynomial2"))


def test_spectrum_shows_counts_fit_and_pulls(hunt):
    figure = mass_spectrum({"all": hunt}, source="toy")
    main, pulls = figure.axes
    assert main.get_yscale() == "log"
    assert "GeV" in pulls.get_xlabel() and "sigma between 3300 and 3700" in figure.alt_text
    table = figure.figure_data["all"]
    events, fit, pull = table.dependent
    np.testing.assert_array_equal(events.values, hunt.counts)
    by_hand = (hunt.counts - hunt.curve) / np.sqrt(hunt.curve + hunt.curve_uncertainty**2)
    np.testing.assert_allclose(pull.values, by_hand)
    assert table.independent[0].values.shape == (len(hunt.counts), 2) and "fit" in fit.errors
    assert figure.to_png()


def test_a_smooth_spectrum_is_drawn_smooth_in_bins_of_unequal_width():
    masses = 2300 + np.random.default_rng(1).exponential(500, 3000)
    hunt = bump_hunt(masses, (3300, 3700), MassFit(function="log_polynomial2", n_bins=9))
    widths = np.diff(hunt.edges)
    assert widths.max() > 1.1 * widths.min()
    main = mass_spectrum({"all": hunt}).axes[0]
    assert main.get_ylabel() == "Events / 300 GeV"
    np.testing.assert_allclose(main.containers[0].lines[0].get_ydata(), hunt.counts / widths * 300)
    centres, fit = main.lines[-1].get_data()
    slopes = np.diff(np.log(fit)) / np.diff(centres)
    np.testing.assert_allclose(slopes, slopes.mean(), rtol=0.1)  # an exponential: no hump where bins are wide


def test_data_and_control_stand_in_one_figure(hunt):
    figure = mass_spectrum({"with signal": hunt, "control": replace(hunt, significance=0.3)})
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(labels) == 2 and "+0.3" in labels[1]
    assert figure.figure_data.names == ("with signal", "control")


def test_spectrum_refuses_what_does_not_fit(hunt):
    with pytest.raises(FigureError, match="empty"):
        mass_spectrum({})
    with pytest.raises(FigureError, match="finite and one per bin"):
        mass_spectrum({"a": replace(hunt, counts=hunt.counts[1:])})


def test_gain_against_injection_shows_the_median():
    points = {"scratch": ([0, 50], [[1.0, 1.4], [1.2, 2.0], [1.1, 1.6]])}
    figure = sic_against_injection(points, random=(1.1, 0.1), n_background=100, source="toy")
    assert "1.6 at 50" in figure.alt_text
    column = figure.figure_data["scratch"].dependent[0]
    np.testing.assert_allclose(column.values, [1.1, 1.6])
    assert column.errors["seeds"].shape == (2, 2) and figure.to_png()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (([0, 50], [[1.0]]), r"\(K,\) and \(S, K\)"),
        (([0], [[np.nan]]), "not finite"),
        (3, "pair"),
    ],
)
def test_gain_refuses_what_does_not_fit(value, message):
    with pytest.raises(FigureError, match=message):
        sic_against_injection({"scratch": value})
