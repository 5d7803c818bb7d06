"""Gravity in a periodic box: second-order Lagrangian perturbation theory, and a particle mesh."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.fft

from omnilearn_lab.simulation.haloes.cosmology import Cosmology

_FIRST = 0.1  # scale factor at which the mesh takes over from perturbation theory
_STEP = 1e-3  # of the numerical derivative of the kick


class Particles(NamedTuple):
    """Positions [Mpc/h] and momenta a^2 dx/d(H0 t) [Mpc/h], both of shape (N, 3).

    Today the peculiar velocity is 100 km/s times the momentum.
    """

    position: np.ndarray
    momentum: np.ndarray


class Grid:
    """A periodic cube of ``size``^3 cells, and derivatives on it in Fourier space.

    Parameters
    ----------
    size
        Cells per side, even.
    box
        Length of a side [Mpc/h].
    """

    def __init__(self, size: int, box: float) -> None:
        self.size, self.box = size, box
        whole = (2 * np.pi / box * np.fft.fftfreq(size, 1 / size)).astype(np.float32)
        half = (2 * np.pi / box * np.arange(size // 2 + 1)).astype(np.float32)
        self.k = whole[:, None, None], whole[None, :, None], half[None, None, :]
        self.k_squared = sum(k * k for k in self.k)
        self.k_squared[0, 0, 0] = 1  # the mean has no potential
        highest = np.float32(0.9999 * np.pi * size / box)
        self.odd = tuple(np.where(np.abs(k) < highest, k, np.float32(0)) for k in self.k)

    def forward(self, field: np.ndarray) -> np.ndarray:
        """Fourier transform of a real field, shape (size, size, size // 2 + 1)."""
        return scipy.fft.rfftn(field)

    def backward(self, modes: np.ndarray) -> np.ndarray:
        """Real field of its modes, shape (size, size, size)."""
        return scipy.fft.irfftn(modes, s=(self.size,) * 3)

    def gradient(self, modes: np.ndarray) -> np.ndarray:
        """Gradient of a field given by its modes, shape (size^3, 3)."""
        return np.stack([self.backward(1j * k * modes).ravel() for k in self.odd], axis=-1)

    def second(self, modes: np.ndarray, i: int, j: int) -> np.ndarray:
        """Second derivative along two axes, shape (size, size, size)."""
        product = self.k[i] * self.k[j] if i == j else self.odd[i] * self.odd[j]
        return self.backward(-product * modes)

    def points(self) -> np.ndarray:
        """Centres of the cells [Mpc/h], shape (size^3, 3)."""
        line = (np.arange(self.size, dtype=np.float32) + 0.5) * np.float32(self.box / self.size)
        return np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)

    def density_contrast(self, position: np.ndarray) -> np.ndarray:
        """Density over its mean minus one, each particle being spread over eight cells."""
        total = np.zeros(self.size**3)
        for cell, share in self._cells(position):
            total += np.bincount(cell, share, len(total))
        return (total * (len(total) / len(position)) - 1).astype(np.float32).reshape((self.size,) * 3)

    def at(self, field: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Values of a field of shape (size^3, ...) at particles, by the same eight cells."""
        return sum(field[cell] * share[:, None] for cell, share in self._cells(position))

    def _cells(self, position: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Cloud in cell: the eight cells next to each particle, and its share in each."""
        scaled = position * np.float32(self.size / self.box)
        lower = np.floor(scaled).astype(np.int64)
        share = scaled - lower
        sides = [(lower % self.size, 1 - share), ((lower + 1) % self.size, share)]
        for corner in np.ndindex(2, 2, 2):
            index, weight = zip(
                *((sides[c][0][:, axis], sides[c][1][:, axis]) for axis, c in enumerate(corner)), strict=True
            )
            yield (index[0] * self.size + index[1]) * self.size + index[2], weight[0] * weight[1] * weight[2]


def initial_modes(universe: Cosmology, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Modes of a Gaussian density contrast with the linear spectrum of today."""
    white = grid.forward(rng.standard_normal((grid.size,) * 3, dtype=np.float32))
    spectrum = universe.power(np.sqrt(grid.k_squared)) * (grid.size / grid.box) ** 3
    modes = white * np.sqrt(spectrum).astype(np.float32)
    modes[0, 0, 0] = 0
    return modes


def displacements(modes: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """First- and second-order displacement of every lattice point for D = 1, both of shape (size^3, 3).

    References
    ----------
    Bouchet et al., astro-ph/9406013, eqs. 3 to 8.
    """
    potential = -modes / grid.k_squared  # its Laplacian is the density contrast
    diagonal = [grid.second(potential, i, i) for i in range(3)]
    pairs = ((0, 1), (0, 2), (1, 2))
    source = sum(diagonal[i] * diagonal[j] - grid.second(potential, i, j) ** 2 for i, j in pairs)
    second = -grid.forward(source) / grid.k_squared
    second[0, 0, 0] = 0
    return -grid.gradient(potential), grid.gradient(second)


def perturbation_theory(
    universe: Cosmology, shifts: tuple[np.ndarray, np.ndarray], grid: Grid, a: float = 1.0
) -> Particles:
    """Move the lattice by both orders to scale factor a."""
    growth, rate, matter = universe.growth(a), universe.growth_rate(a), universe.matter(a)
    growth_2 = -3 / 7 * growth**2 * matter ** (-1 / 143)
    rate_2 = 2 * matter ** (6 / 11)
    first, second = growth * shifts[0], growth_2 * shifts[1]
    position = (grid.points() + first + second) % grid.box
    momentum = a * a * universe.expansion(a) * (rate * first + rate_2 * second)
    return Particles(position.astype(np.float32), momentum.astype(np.float32))


def particle_mesh(
    universe: Cosmology, shifts: tuple[np.ndarray, np.ndarray], grid: Grid, *, mesh: Grid, n_steps: int
) -> Particles:
    """Follow the particles of a lattice to today with forces on a mesh.

    Kick, drift, kick in steps linear in the scale factor, with factors that keep linear growth exact for
    steps of any length.

    References
    ----------
    Feng et al. (FastPM), arXiv:1603.00476, eqs. 12 to 15.
    """
    position, momentum = perturbation_theory(universe, shifts, grid, _FIRST)
    kick, drift = _factors(universe)
    edges = np.linspace(_FIRST, 1, n_steps + 1)
    force = _force(position, mesh)
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        middle = np.sqrt(start * stop)
        momentum = momentum + np.float32(kick(start, middle, start)) * force
        position = (position + np.float32(drift(start, stop, middle)) * momentum) % np.float32(grid.box)
        force = _force(position, mesh)
        momentum = momentum + np.float32(kick(middle, stop, stop)) * force
    return Particles(position, momentum)


def _force(position: np.ndarray, mesh: Grid) -> np.ndarray:
    """Minus the gradient of the potential whose Laplacian is the density contrast, at the particles."""
    potential = -mesh.forward(mesh.density_contrast(position)) / mesh.k_squared
    potential[0, 0, 0] = 0
    return mesh.at(-mesh.gradient(potential), position).astype(np.float32)


def _factors(universe: Cosmology) -> tuple[Callable[..., float], Callable[..., float]]:
    """Factors of a kick and of a drift between two scale factors, given force or momentum at a third."""

    def slope(a: float) -> float:
        return universe.growth_rate(a) * universe.growth(a) / a

    def moment(a: float) -> float:
        return a**3 * universe.expansion(a) * slope(a)

    def moment_slope(a: float) -> float:
        low, high = a - _STEP, min(a + _STEP, 1.0)
        return (moment(high) - moment(low)) / (high - low)

    def kick(start: float, stop: float, at: float) -> float:
        strength = 1.5 * universe.omega_m / (at**2 * universe.expansion(at))
        return strength * (moment(stop) - moment(start)) / moment_slope(at)

    def drift(start: float, stop: float, at: float) -> float:
        change = universe.growth(stop) - universe.growth(start)
        return change / (slope(at) * at**3 * universe.expansion(at))

    return kick, drift
