"""Gravity in a periodic box: plane waves by hand, linear theory, and what must be conserved."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.simulation.haloes.cosmology import Cosmology
from omnilearn_lab.simulation.haloes.gravity import (
    Grid,
    displacements,
    initial_modes,
    particle_mesh,
    perturbation_theory,
)

UNIVERSE, BOX, SIDE = Cosmology(0.3175, 0.834), 100.0, 32


CALM = Cosmology(0.3175, 0.2)  # of low contrast: what linear theory says holds


def measured_power(position, grid, n_bins):
    """Mean power [(Mpc/h)^3] of the density contrast in bins of k."""
    smooth = [np.sinc(k * grid.box / (2 * np.pi * grid.size)) ** 2 for k in grid.k]
    modes = grid.forward(grid.density_contrast(position)) / (smooth[0] * smooth[1] * smooth[2])
    return binned(np.abs(modes) ** 2 * grid.box**3 / grid.size**6, grid, n_bins)


def binned(power, grid, n_bins):
    k = np.sqrt(grid.k_squared)
    k[0, 0, 0] = 0
    weight = np.full(k.shape, 2.0)
    weight[..., 0] = weight[..., -1] = 1
    edges = (np.arange(n_bins + 1) + 0.5) * 2 * np.pi / grid.box
    place = np.digitize(k.ravel(), edges)
    total = np.bincount(place, weight.ravel(), n_bins + 2)[1:-1]
    return np.bincount(place, (weight * power).ravel(), n_bins + 2)[1:-1] / total


@pytest.fixture(scope="module")
def box():
    """Modes, displacements, and the particles of one small universe: first order early, mesh today."""
    grid = Grid(SIDE, BOX)
    modes = initial_modes(UNIVERSE, grid, np.random.default_rng(4))
    shifts = displacements(modes, grid)
    today = particle_mesh(UNIVERSE, shifts, grid, mesh=Grid(2 * SIDE, BOX), n_steps=10)
    return grid, modes, shifts, today


def test_gradient_and_second_derivative_of_a_plane_wave():
    grid = Grid(16, 10.0)
    x = grid.points()[:, 0]
    wave = 2 * np.pi * 3 / 10.0
    modes = grid.forward(np.sin(wave * x).reshape((16,) * 3))
    gradient = grid.gradient(modes)
    assert (
        gradient[:, 0] == pytest.approx(wave * np.cos(wave * x), abs=1e-4)
        and np.abs(gradient[:, 1:]).max() < 1e-4
    )
    assert grid.second(modes, 0, 0).ravel() == pytest.approx(-(wave**2) * np.sin(wave * x), abs=1e-3)


def test_a_plane_wave_moves_along_itself_and_has_no_second_order():
    grid = Grid(16, 10.0)
    x, wave = grid.points()[:, 0], 2 * np.pi * 2 / 10.0
    first, second = displacements(grid.forward((0.1 * np.cos(wave * x)).reshape((16,) * 3)), grid)
    assert first[:, 0] == pytest.approx(
        -0.1 / wave * np.sin(wave * x), abs=1e-5
    )  # its divergence is minus delta
    assert np.abs(first[:, 1:]).max() < 1e-6 and np.abs(second).max() < 1e-6


def test_particles_of_a_cell_are_counted_in_it_and_a_half_step_away_in_two():
    grid = Grid(8, 8.0)
    corner = np.zeros((1, 3), dtype=np.float32)
    contrast = grid.density_contrast(corner)
    assert contrast[0, 0, 0] == 511 and contrast.sum() == pytest.approx(0, abs=1e-3)
    half = grid.density_contrast(corner + np.float32([7.5, 0, 0])) + 1
    assert half[7, 0, 0] == half[0, 0, 0] == 256
    field = np.stack([half.ravel()] * 3, axis=-1)
    assert grid.at(field, corner)[0, 0] == pytest.approx(256)


def test_initial_modes_have_the_linear_spectrum():
    grid = Grid(SIDE, BOX)
    ratios = []
    for seed in range(6):
        modes = initial_modes(UNIVERSE, grid, np.random.default_rng(seed))
        power = np.abs(modes) ** 2 * BOX**3 / SIDE**6
        linear = binned(UNIVERSE.power(np.sqrt(grid.k_squared)), grid, 10)
        ratios.append(binned(power, grid, 10) / linear)
    assert np.mean(ratios, axis=0)[2:] == pytest.approx(1, abs=0.12)


@pytest.fixture(scope="module")
def calm():
    """A universe of low contrast and long waves alone: after the mesh, and by perturbation theory.

    The mesh is as coarse as the lattice: on a finer one the lattice itself is seen, which counts when nothing
    else moves.
    """
    grid = Grid(SIDE, BOX)
    modes = initial_modes(CALM, grid, np.random.default_rng(2)) * (grid.k_squared < 0.3**2)
    shifts = displacements(modes, grid)
    today = particle_mesh(CALM, shifts, grid, mesh=grid, n_steps=10)
    return grid, shifts, today, perturbation_theory(CALM, shifts, grid)


@pytest.mark.parametrize("n_steps", [3, 10])
def test_linear_growth_is_kept_for_steps_of_any_length(calm, n_steps):
    grid, shifts, _, _ = calm
    early = perturbation_theory(CALM, shifts, grid, 0.1)
    today = particle_mesh(CALM, shifts, grid, mesh=grid, n_steps=n_steps)
    grown = measured_power(today.position, grid, 2) / measured_power(early.position, grid, 2)
    assert np.sqrt(grown) * CALM.growth(0.1) == pytest.approx(1, abs=0.05)


def test_momentum_is_conserved(box):
    today = box[3]
    assert np.abs(today.momentum.mean(axis=0)).max() < 1e-4 * today.momentum.std()


def test_velocities_have_the_size_of_linear_theory(box):
    grid, modes, _, today = box
    linear = grid.gradient(modes / grid.k_squared) * UNIVERSE.growth_rate(1.0)
    ratio = today.momentum.std() / linear.std()
    assert 0.8 < ratio < 1.3


def test_the_mesh_agrees_with_perturbation_theory_where_that_holds(calm):
    _, shifts, mesh, theory = calm
    distance = (mesh.position - theory.position + BOX / 2) % BOX - BOX / 2
    assert np.sqrt((distance**2).mean()) < 0.07 * shifts[0].std()
    assert np.corrcoef(mesh.momentum.ravel(), theory.momentum.ravel())[0, 1] > 0.99


def test_more_steps_change_little(box):
    grid, _, shifts, today = box
    finer = particle_mesh(UNIVERSE, shifts, grid, mesh=Grid(2 * SIDE, BOX), n_steps=20)
    distance = np.linalg.norm((finer.position - today.position + BOX / 2) % BOX - BOX / 2, axis=1)
    assert np.median(distance) < 0.15  # Mpc/h
