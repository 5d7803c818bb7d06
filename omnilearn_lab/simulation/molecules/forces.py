"""Energies and forces of molecules: GFN2-xTB by tblite, normal modes, and molecular dynamics.

Units: Angstrom, fs, eV, eV/Angstrom, atomic mass units.

References
----------
Bannwarth, Ehlert, Grimme, GFN2-xTB, J. Chem. Theory Comput. 15 (2019) 1652, doi:10.1021/acs.jctc.8b01176.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from omnilearn_lab.errors import SimulationError
from omnilearn_lab.simulation.molecules.chemistry import masses_of, needed

BOHR = 0.529177210903  # [Angstrom]
HARTREE = 27.211386245988  # [eV]
BOLTZMANN = 8.617333262e-5  # [eV/K]
MASS_UNIT = 103.642697  # u in eV fs^2 / Angstrom^2

EnergyAndForces = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""From positions (A, 3) [Angstrom] to the energy [eV] and the forces (A, 3) [eV/Angstrom]."""

_SOFT = 1e-4  # stiffness below which a mode is none [eV / Angstrom^2 / u]


class TightBinding:
    """GFN2-xTB for one neutral molecule with paired electrons, as an `EnergyAndForces`.

    A call starts from the electrons of the call before: near geometries cost less.

    Parameters
    ----------
    numbers : int array, shape (A,)
        Atomic numbers.

    Raises
    ------
    MissingDependencyError
        Without tblite; when called, SimulationError where the electrons do not converge.
    """

    def __init__(self, numbers: np.ndarray) -> None:
        with needed("tblite", "computing energies and forces"):
            from tblite.interface import Calculator
        self.numbers, self._last = np.asarray(numbers), None
        apart = np.outer(np.arange(len(numbers)), [9.0, 0, 0])  # any valid positions
        self._calculator = Calculator("GFN2-xTB", self.numbers, apart)
        self._calculator.set("verbosity", 0)

    def __call__(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        """Return energy and forces."""
        try:
            self._calculator.update(np.asarray(position, dtype=np.float64) / BOHR)
            self._last = self._calculator.singlepoint(self._last)
        except RuntimeError as error:
            self._last = None
            raise SimulationError(
                f"the electrons of a molecule of {len(self.numbers)} atoms did not converge ({error}); "
                "are atoms too near to each other?"
            ) from error
        return float(self._last.get("energy")) * HARTREE, -self._last.get("gradient") * HARTREE / BOHR


def relax(forces: EnergyAndForces, position: np.ndarray, *, largest: float = 0.02) -> np.ndarray:
    """Return the positions of the nearest minimum, by L-BFGS with steps of at most 0.1 Angstrom.

    Parameters
    ----------
    forces
    position : array, shape (A, 3)
    largest
        Done when no component of a force exceeds it [eV/Angstrom].

    Raises
    ------
    SimulationError
        When it is not reached in 300 steps.
    """
    force = forces(position)[1]
    memory: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(300):
        if np.abs(force).max() < largest:
            return position
        step = _newton_step(force.ravel(), memory)
        step *= min(1.0, 0.1 / np.abs(step).max())
        position = position + step.reshape(position.shape)
        before, (_, force) = force, forces(position)
        change = (before - force).ravel()
        if change @ step > 1e-10:
            memory = [*memory[-19:], (step, change)]
    raise SimulationError(f"forces of {np.abs(force).max():.2g} eV/Angstrom are left after 300 steps")


def _newton_step(force: np.ndarray, memory: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Two-loop recursion of L-BFGS; the first step is that of a stiffness of 70 eV/Angstrom^2."""
    q, factors = force.copy(), []
    for step, change in reversed(memory):
        factors.append(step @ q / (change @ step))
        q -= factors[-1] * change
    q *= memory[-1][0] @ memory[-1][1] / (memory[-1][1] @ memory[-1][1]) if memory else 1 / 70
    for (step, change), factor in zip(memory, reversed(factors), strict=True):
        q += step * (factor - change @ q / (change @ step))
    return q


class NormalModes(NamedTuple):
    """Vibrations: stiffness k = omega^2 [eV / Angstrom^2 / u] (M,), and displacements (M, A, 3) [u^-1/2]."""

    stiffness: np.ndarray
    displacement: np.ndarray

    @property
    def wavenumber(self) -> np.ndarray:
        """Of each mode [1/cm], shape (M,)."""
        return np.sqrt(self.stiffness / MASS_UNIT) / (2 * np.pi) * 1e15 / 2.99792458e10


def normal_modes(
    forces: EnergyAndForces, numbers: np.ndarray, position: np.ndarray, *, step: float = 0.005
) -> NormalModes:
    """Return the vibrations about a minimum, from central differences of the forces.

    Parameters
    ----------
    forces
    numbers, position
        The molecule at rest, shapes (A,) and (A, 3).
    step
        Of the differences [Angstrom].
    """
    n = position.size
    moves = step * np.eye(n).reshape(n, *position.shape)
    slopes = [(forces(position - move)[1] - forces(position + move)[1]).ravel() for move in moves]
    hessian = np.array(slopes) / (2 * step)
    mass = np.repeat(masses_of(numbers), 3)
    weighted = 0.5 * (hessian + hessian.T) / np.sqrt(mass[:, None] * mass)
    centred = position - masses_of(numbers) @ position / masses_of(numbers).sum()
    rigid = [np.tile(axis, len(numbers)) for axis in np.eye(3)]
    rigid += [np.cross(axis, centred).ravel() for axis in np.eye(3)]
    basis, size, _ = np.linalg.svd(np.transpose(rigid) * np.sqrt(mass)[:, None], full_matrices=False)
    basis = basis[:, size > 1e-6 * size[0]]  # five for a linear molecule
    inner = np.eye(n) - basis @ basis.T
    stiffness, vectors = np.linalg.eigh(inner @ weighted @ inner)
    kept = stiffness > _SOFT
    displacement = (vectors[:, kept] / np.sqrt(mass)[:, None]).T
    return NormalModes(stiffness[kept], displacement.reshape(-1, *position.shape))


def displaced(modes: NormalModes, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a displacement (A, 3) of a classical molecule at a temperature [K]: k_B T / 2 in each mode."""
    size = rng.standard_normal(len(modes.stiffness)) * np.sqrt(BOLTZMANN * temperature / modes.stiffness)
    return np.tensordot(size, modes.displacement, 1)


class Trajectory(NamedTuple):
    """A run of S steps: positions (S, A, 3), potential and kinetic energy [eV] (S,), and the step [fs]."""

    position: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    step: float

    @property
    def time(self) -> np.ndarray:
        """Of each step [ps], shape (S,)."""
        return np.arange(1, len(self.potential) + 1) * self.step / 1000

    @property
    def total(self) -> np.ndarray:
        """Total energy per atom [meV], less that of the first step, shape (S,)."""
        total = self.potential + self.kinetic
        return 1000 * (total - total[0]) / self.position.shape[1]

    @property
    def drift(self) -> float:
        """Slope of the total energy [meV per atom and ps]."""
        return float(np.polyfit(self.time, self.total, 1)[0])


def thermal_velocities(numbers: np.ndarray, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """Draw velocities [Angstrom/fs] at a temperature [K], shape (A, 3), without motion as a whole."""
    mass = masses_of(numbers)[:, None]
    velocity = rng.standard_normal((len(numbers), 3)) * np.sqrt(BOLTZMANN * temperature / MASS_UNIT / mass)
    return velocity - (mass * velocity).sum(0) / mass.sum()


def dynamics(
    forces: EnergyAndForces,
    numbers: np.ndarray,
    start: tuple[np.ndarray, np.ndarray],
    *,
    n_steps: int,
    step: float = 0.5,
) -> Trajectory:
    """Follow a molecule at constant energy by the velocity Verlet scheme.

    Parameters
    ----------
    forces
        Of tight binding, or of a network.
    numbers
        Atomic numbers, shape (A,).
    start : tuple
        Positions [Angstrom] and velocities [Angstrom/fs], both of shape (A, 3).
    n_steps
    step
        [fs]
    """
    position, velocity = (np.asarray(values, dtype=np.float64) for values in start)
    mass = MASS_UNIT * masses_of(numbers)[:, None]
    force = forces(position)[1]
    positions, potential, kinetic = [], [], []
    for _ in range(n_steps):
        velocity = velocity + 0.5 * step * force / mass
        position = position + step * velocity
        energy, force = forces(position)
        velocity = velocity + 0.5 * step * force / mass
        positions.append(position)
        potential.append(energy)
        kinetic.append(0.5 * float((mass * velocity**2).sum()))
    return Trajectory(np.array(positions), np.array(potential), np.array(kinetic), step)
