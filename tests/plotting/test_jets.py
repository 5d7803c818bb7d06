"""Jet pictures: marker areas, colours, and where the momentum goes."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import FigureError
from omnilearn_lab.jets import Jets
from omnilearn_lab.plotting import diffusion_trajectory, figure_data, jet_display, jet_image_average


def two_jets(**columns):
    return Jets.build(
        {
            "deta": [0.1, -0.2, 0.0],
            "dphi": [0.05, 0.3, 0.0],
            "pt": [80.0, 20.0, 5.0],
            "energy": [90.0, 30.0, 5.0],
        }
        | columns,
        offsets=[0, 2, 3],
        jet={"pt": [99.0, 5.0], "eta": [1.0, 0.0], "phi": [0.0, 1.0], "mass": [10.0, 0.1], "label": [1, 0]},
        class_names=("QCD", "top"),
        provenance={"source": "simulated"},
    )


def drawn(ax):
    """Positions and areas of all markers that stand for particles."""
    markers = [c for c in ax.collections if len(c.get_offsets())]
    return np.concatenate([c.get_offsets() for c in markers]), np.concatenate(
        [c.get_sizes() for c in markers]
    )


def test_markers_sit_at_the_particles_and_area_is_proportional_to_pt():
    positions, areas = drawn(jet_display(two_jets()).axes[0])
    np.testing.assert_allclose(positions, [[0.1, 0.05], [-0.2, 0.3]], rtol=1e-6)
    assert areas[0] / areas[1] == pytest.approx(80 / 20)


def test_species_have_their_own_marker_and_legend_entry():
    ax = jet_display(two_jets(pid=[211, 22, 22])).axes[0]
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == ["charged hadrons (1)", "photons (1)"]


def test_all_species_codes_are_drawn(jets):
    for index in range(5):
        positions, _ = drawn(jet_display(jets, index).axes[0])
        assert len(positions) == jets.counts[index]


def test_axes_units_circle_and_provenance():
    ax = jet_display(two_jets(), radius=0.4).axes[0]
    assert "rad" in ax.get_ylabel()
    assert "eta" in ax.get_xlabel()
    assert ax.patches[0].get_radius() == 0.4
    assert "Pythia" in ax.get_title(loc="left")


def test_particles_outside_the_radius_stay_visible():
    ax = jet_display(two_jets(), radius=0.1).axes[0]
    assert ax.get_xlim()[1] > 0.3


def test_single_particle_jet():
    figure = jet_display(two_jets(), -1)
    assert "Jet of 1 particles" in figure.alt_text
    assert figure_data(figure)["particles"].dependent[0].values.tolist() == [5.0]


def test_missing_jet_and_bad_radius():
    with pytest.raises(FigureError, match="no jet 2 among 2"):
        jet_display(two_jets(), 2)
    with pytest.raises(FigureError, match="radius"):
        jet_display(two_jets(), radius=0)


def test_average_image_sums_to_one_and_puts_momentum_where_it_is():
    figure = jet_image_average({"one": two_jets()[0]}, radius=0.5, n_pixels=4)
    table = figure_data(figure)["one"]
    image = table.dependent[0].values.reshape(4, 4)
    assert image.sum() == pytest.approx(1)
    assert image[2, 2] == pytest.approx(0.8)
    assert image[1, 3] == pytest.approx(0.2)


def test_average_image_of_nothing_inside():
    with pytest.raises(FigureError, match="widen radius"):
        jet_image_average({"one": two_jets()[0]}, radius=0.01)
    with pytest.raises(FigureError, match="empty"):
        jet_image_average({})
    with pytest.raises(FigureError, match="Jets"):
        jet_image_average({"one": np.zeros(3)})


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
