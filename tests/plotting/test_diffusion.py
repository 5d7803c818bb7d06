"""Diffusion trajectories: which steps, and where the particles are."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting import diffusion_trajectory, figure_data

STEPS = np.random.default_rng(0).normal(size=(11, 6, 3))
TIMES = np.linspace(1, 0, 11)


def test_panels_are_spread_evenly_from_first_to_last():
    figure = diffusion_trajectory(TIMES, STEPS, n_panels=3)
    assert [ax.get_title(loc="right") for ax in figure.axes] == ["t = 1", "t = 0.5", "t = 0"]
    np.testing.assert_allclose(figure.axes[1].collections[0].get_offsets(), STEPS[5, :, :2])


def test_all_panels_share_limits_that_hold_every_particle():
    figure = diffusion_trajectory(TIMES, STEPS, n_panels=11)
    limits = {ax.get_xlim() for ax in figure.axes}
    assert len(limits) == 1
    assert limits.pop()[1] > np.abs(STEPS[..., :2]).max()


def test_more_panels_than_steps_and_a_single_step():
    assert len(diffusion_trajectory(TIMES[:2], STEPS[:2], n_panels=5).axes) == 2
    assert len(diffusion_trajectory([0.0], STEPS[:1]).axes) == 1


def test_without_momenta_all_markers_are_equal():
    figure = diffusion_trajectory(TIMES, STEPS[..., :2], n_panels=2)
    assert len(set(figure.axes[0].collections[0].get_sizes())) == 1
    assert [c.name for c in figure_data(figure)["trajectory"].dependent] == ["deta", "dphi"]


def test_table_holds_the_steps_shown():
    table = figure_data(diffusion_trajectory(TIMES, STEPS, n_panels=2))["trajectory"]
    np.testing.assert_allclose(table.independent[0].values, np.repeat([1, 0], 6))
    np.testing.assert_allclose(table.dependent[2].values, np.append(STEPS[0, :, 2], STEPS[-1, :, 2]))


@pytest.mark.parametrize(
    ("times", "particles", "message"),
    [
        ([], np.zeros((0, 3, 3)), "shape"),
        ([1.0], np.zeros((2, 3, 3)), "shape"),
        ([1.0], np.zeros((1, 0, 3)), "N > 0"),
        ([1.0], np.zeros((1, 3, 4)), "2 or 3"),
        ([1.0], np.full((1, 3, 3), np.nan), "finite"),
    ],
)
def test_bad_trajectories(times, particles, message):
    with pytest.raises(FigureError, match=message):
        diffusion_trajectory(times, particles)
