"""Physics of GFN2-xTB molecules: forces are gradients, vibrations those of water, energy is kept."""

import numpy as np
import pytest
from omnilearn_lab.errors import SimulationError
from omnilearn_lab.simulation.molecules.chemistry import conformer, masses_of
from omnilearn_lab.simulation.molecules.forces import (
    BOLTZMANN,
    MASS_UNIT,
    NormalModes,
    TightBinding,
    displaced,
    dynamics,
    normal_modes,
    relax,
    thermal_velocities,
)

tblite = pytest.importorskip("tblite", reason="of the extra 'molecules'")
pytest.importorskip("rdkit", reason="of the extra 'molecules'")


@pytest.fixture(scope="module")
def water():
    numbers, position, _ = conformer("O")
    forces = TightBinding(numbers)
    return numbers, relax(forces, position, largest=1e-3), forces


def test_forces_are_minus_the_numerical_gradient_of_the_energy(water):
    numbers, rest, forces = water
    position = rest + np.random.default_rng(1).normal(0, 0.05, rest.shape)
    exact = forces(position)[1]
    numerical = np.empty_like(exact)
    for place in np.ndindex(exact.shape):
        move = np.zeros_like(position)
        move[place] = 2e-3
        numerical[place] = (forces(position - move)[0] - forces(position + move)[0]) / 4e-3
    assert np.abs(exact).max() > 0.5
    assert numerical == pytest.approx(exact, abs=2e-3)
    assert np.abs(exact.sum(0)).max() < 1e-9  # nothing pushes the molecule as a whole


def test_forces_turn_with_the_molecule(water):
    numbers, rest, forces = water
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    position = rest + np.random.default_rng(1).normal(0, 0.05, rest.shape)
    energy, force = forces(position)
    energy_turned, force_turned = forces(position @ turn)
    assert energy_turned == pytest.approx(energy, abs=1e-5)
    assert force_turned == pytest.approx(force @ turn, abs=1e-3)


def test_units_by_what_is_known_of_water(water):
    """GFN2-xTB: -5.0703 hartree, bonds of 0.96 Angstrom; measured vibrations at 1595, 3657 and 3756 / cm."""
    numbers, rest, forces = water
    assert forces(rest)[0] == pytest.approx(-5.0704 * 27.2114, abs=0.01)
    assert np.linalg.norm(rest[1:] - rest[0], axis=1) == pytest.approx([0.96, 0.96], abs=0.01)
    modes = normal_modes(forces, numbers, rest)
    assert np.sort(modes.wavenumber) == pytest.approx([1595, 3657, 3756], rel=0.06)


def test_a_linear_molecule_has_one_mode_more():
    numbers, position, _ = conformer("C#C")
    forces = TightBinding(numbers)
    modes = normal_modes(forces, numbers, relax(forces, position))
    assert len(modes.stiffness) == 3 * 4 - 5
    momentum = np.einsum("a,mac->mc", masses_of(numbers), modes.displacement)
    assert np.abs(momentum).max() < 1e-8


def test_displacements_have_the_energy_of_their_temperature():
    stiffness = np.array([0.5, 2.0, 9.0])
    modes = NormalModes(stiffness, np.eye(3).reshape(3, 1, 3))
    rng = np.random.default_rng(1)
    energies = [0.5 * (stiffness * displaced(modes, 400.0, rng)[0] ** 2).sum() for _ in range(4000)]
    assert np.mean(energies) == pytest.approx(1.5 * BOLTZMANN * 400.0, rel=0.05)


def test_dynamics_of_tight_binding_keeps_energy_and_momentum(water):
    numbers, rest, forces = water
    velocity = thermal_velocities(numbers, 300.0, np.random.default_rng(3))
    run = dynamics(forces, numbers, (rest, velocity), n_steps=400, step=0.5)
    assert abs(run.drift) < 2.0 and run.total.std() < 0.5  # meV per atom (and ps)
    assert run.kinetic.std() / len(numbers) > 0.005  # while eV move between both kinds of energy
    mass = masses_of(numbers)
    centre = np.einsum("a,sac->sc", mass, run.position) / mass.sum()
    assert np.abs(centre - centre[0]).max() < 1e-6
    assert run.time[-1] == pytest.approx(0.2)


def test_verlet_follows_a_spring_exactly_enough():
    """Two hydrogen atoms on a spring of 10 eV / Angstrom^2 swing with period 2 pi sqrt(m / 2 k)."""

    def spring(position):
        step = position[0] - position[1]
        stretch = np.linalg.norm(step) - 1.0
        force = -10.0 * stretch * step / np.linalg.norm(step)
        return 5.0 * stretch**2, np.array([force, -force])

    start = np.array([[0.0, 0, 0], [1.1, 0, 0]]), np.zeros((2, 3))
    period = 2 * np.pi * np.sqrt(1.008 * MASS_UNIT / 2 / 10.0)
    run = dynamics(spring, np.array([1, 1]), start, n_steps=100, step=period / 100)
    assert run.position[-1] == pytest.approx(start[0], abs=1e-3)
    assert run.position[49, 1, 0] - run.position[49, 0, 0] == pytest.approx(0.9, abs=1e-3)


def test_thermal_velocities_have_their_temperature():
    numbers = np.array([1, 6, 8] * 2000)
    velocity = thermal_velocities(numbers, 300.0, np.random.default_rng(1))
    kinetic = 0.5 * MASS_UNIT * (masses_of(numbers)[:, None] * velocity**2).sum(1)
    for z in (1, 6, 8):  # the same for light and heavy atoms
        assert kinetic[numbers == z].mean() == pytest.approx(1.5 * BOLTZMANN * 300.0, rel=0.06)
    assert np.abs((masses_of(numbers)[:, None] * velocity).sum(0)).max() < 1e-8


def test_what_does_not_converge_or_relax_is_an_error_of_ours(water):
    numbers, rest, forces = water
    with pytest.raises(SimulationError, match="did not converge"):
        forces(0 * rest)
    assert np.isfinite(forces(rest)[0])  # and the next call works
    with pytest.raises(SimulationError, match="are left after 300 steps"):
        relax(lambda x: (0.0, np.ones_like(x)), rest)
