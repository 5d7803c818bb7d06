"""Friends of friends: by hand, across the edge, and the mass function of whole universes."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.simulation.haloes.cosmology import RHO_CRITICAL, Cosmology
from omnilearn_lab.simulation.haloes.gravity import (
    Grid,
    Particles,
    displacements,
    initial_modes,
    particle_mesh,
)
from omnilearn_lab.simulation.haloes.groups import friends_of_friends
from omnilearn_lab.simulation.haloes.universes import UNIVERSES
from scipy.integrate import simpson


def test_chains_are_one_group_and_the_largest_comes_first():
    rng = np.random.default_rng(0)
    chain = np.stack([np.arange(6) * 0.9 + 2, np.full(6, 5.0), np.full(6, 5.0)], axis=1)
    pair = np.array([[8.0, 1.0, 1.0], [8.5, 1.0, 1.0]])
    position = np.concatenate([pair, chain, [[3.0, 9.0, 9.0]]])
    momentum = rng.normal(size=position.shape)
    haloes = friends_of_friends(Particles(position, momentum), 20.0, 1.0, min_size=2)
    assert haloes.size.tolist() == [6, 2]
    assert haloes.position == pytest.approx(np.stack([chain.mean(axis=0), pair.mean(axis=0)]))
    assert haloes.velocity == pytest.approx(
        100 * np.stack([momentum[2:8].mean(axis=0), momentum[:2].mean(axis=0)])
    )


def test_a_group_across_the_edge_has_its_centre_there():
    position = np.array([[9.9, 0.1, 5.0], [0.1, 9.9, 5.0], [0.0, 0.0, 5.0]])
    haloes = friends_of_friends(Particles(position, position * 0), 10.0, 0.5, min_size=3)
    assert haloes.size.tolist() == [3]
    off = (haloes.position[0] - [0, 0, 5] + 5) % 10 - 5
    assert off == pytest.approx([0, 0, 0], abs=1e-9)


def test_shifting_the_box_shifts_the_haloes():
    position = np.random.default_rng(1).uniform(0, 10, (800, 3))
    first = friends_of_friends(Particles(position, position), 10.0, 0.6)
    moved = friends_of_friends(Particles((position + 3.3) % 10, position), 10.0, 0.6)
    assert first.size.tolist() == moved.size.tolist()
    assert (first.position.mean(axis=0) > 0).all() and len(first.size) > 3


def test_no_group_is_no_halo():
    position = np.array([[1.0, 1, 1], [5, 5, 5]])
    assert friends_of_friends(Particles(position, position), 10.0, 0.5).position.shape == (0, 3)


def watson(universe: Cosmology, mass: np.ndarray) -> np.ndarray:
    """Watson et al., arXiv 1212.0095, eq. 12 (friends of friends, today): dn / dlnM [(h/Mpc)^3]."""
    density = universe.omega_m * RHO_CRITICAL
    step = 0.01
    sigma, up, down = (
        np.array([universe.sigma((3 * m / (4 * np.pi * density)) ** (1 / 3)) for m in mass * factor])
        for factor in (1, np.exp(step), np.exp(-step))
    )
    slope = -(np.log(up) - np.log(down)) / (2 * step)
    shape = 0.282 * ((1.406 / sigma) ** 2.163 + 1) * np.exp(-1.210 / sigma**2)
    return shape * density / mass * slope


@pytest.mark.slow
def test_mass_function_is_that_of_larger_simulations():
    """Eight fine universes within 20 % of a fit to billions of particles, from 37 to 400 particles."""
    recipe, universe = UNIVERSES["fine"], Cosmology(0.3175, 0.834)
    grid, mesh = Grid(recipe.n_side, recipe.box), Grid(recipe.mesh * recipe.n_side, recipe.box)
    edges = np.geomspace(37, 400, 5)
    counts = np.zeros(4)
    for seed in range(8):
        shifts = displacements(initial_modes(universe, grid, np.random.default_rng(seed)), grid)
        today = particle_mesh(universe, shifts, grid, mesh=mesh, n_steps=recipe.n_steps)
        haloes = friends_of_friends(today, recipe.box, recipe.linking * recipe.box / recipe.n_side)
        counts += np.histogram(haloes.size, edges)[0]
    particle = universe.omega_m * RHO_CRITICAL * (recipe.box / recipe.n_side) ** 3
    inside = np.geomspace(edges[:-1], edges[1:], 21)
    density = np.array([watson(universe, row * particle) for row in inside])
    expected = 8 * recipe.box**3 * simpson(density, x=np.log(inside), axis=0)
    assert counts / expected == pytest.approx(1, abs=0.2)
