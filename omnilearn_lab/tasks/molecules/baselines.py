"""Energies and forces of molecules without a network: elements alone, and a pair potential."""

from __future__ import annotations

import numpy as np

from omnilearn_lab.simulation.molecules import ELEMENTS, Molecules
from omnilearn_lab.tasks.molecules.study import MoleculeData, MoleculeResult, Scales, counts_by_element

_CENTRES = np.linspace(0.8, 5.0, 24)  # of the Gaussians of a pair potential [Angstrom]
_ENERGY_WEIGHT = 50.0  # of an energy per atom, beside a component of a force (chosen on validation molecules)
_RIDGE = 0.01  # (chosen likewise)


def elements_only(data: MoleculeData) -> MoleculeResult:
    """Baseline: one energy for each element, by least squares, and no forces."""
    scales = Scales.of(data.train)
    return MoleculeResult(
        data.test, scales.reference(data.test), np.zeros_like(data.test.force), data.n_train
    )


def pair_potential(data: MoleculeData) -> MoleculeResult:
    """Baseline: one energy for each element and a function of the distance for each pair of elements.

    E = sum_i e(Z_i) + sum_{i<j} sum_k c_k(Z_i, Z_j) exp(-(r - r_k)^2 / 2 s^2) with 24 Gaussians. The
    coefficients follow from energies and forces (minus the gradient) of the training set, by least squares.
    """
    n_columns = len(ELEMENTS) + len(_pair_kinds()) * len(_CENTRES)
    normal, right = _RIDGE * np.eye(n_columns), np.zeros(n_columns)
    for energy, force, row, rows in _equations(data.train):
        weight = _ENERGY_WEIGHT / (len(force) // 3)
        normal += weight**2 * np.outer(row, row) + rows.T @ rows
        right += weight**2 * row * energy + rows.T @ force
    fitted = np.linalg.solve(normal, right)
    guesses = [(row @ fitted, rows @ fitted) for _, _, row, rows in _equations(data.test)]
    energy, force = (np.array([g[0] for g in guesses]), np.concatenate([g[1] for g in guesses]))
    return MoleculeResult(data.test, energy, force.reshape(-1, 3), data.n_train)


def _pair_kinds() -> dict[tuple[int, int], int]:
    """Number of each unordered pair of elements."""
    ordered = [(a, b) for a in ELEMENTS for b in ELEMENTS if a <= b]
    return {pair: number for number, pair in enumerate(ordered)}


def _equations(molecules: Molecules) -> list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]:
    """Energy, forces (3 A,), and what they are linear in: one row for the energy, 3 A for the forces."""
    kinds, elements = _pair_kinds(), counts_by_element(molecules)
    equations = []
    for i in range(len(molecules)):
        atoms = molecules.atoms(i)
        row, rows = _design(molecules.numbers[atoms], molecules.position[atoms].astype(float), kinds)
        free = np.zeros((len(rows), elements.shape[1]))  # elements alone push nothing
        row, rows = np.concatenate([elements[i], row]), np.concatenate([free, rows], 1)
        equations.append((molecules.energy[i], molecules.force[atoms].ravel(), row, rows))
    return equations


def _design(
    numbers: np.ndarray, position: np.ndarray, kinds: dict[tuple[int, int], int]
) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.triu_indices(len(numbers), 1)
    step = position[first] - position[second]
    distance = np.linalg.norm(step, axis=1)[:, None]
    width = _CENTRES[1] - _CENTRES[0]
    waves = np.exp(-0.5 * ((distance - _CENTRES) / width) ** 2)
    pull = (distance - _CENTRES) / width**2 * waves  # minus the slope
    pushes = pull[:, None] * (step / distance)[:, :, None]  # on the first atom, (pairs, 3, waves)
    ends = zip(numbers[first].tolist(), numbers[second].tolist(), strict=True)
    kind = np.array([kinds[min(pair), max(pair)] for pair in ends])
    row = np.zeros((len(kinds), len(_CENTRES)))
    rows = np.zeros((len(numbers), 3, *row.shape))
    np.add.at(row, kind, waves)
    np.add.at(rows, (first, slice(None), kind), pushes)
    np.add.at(rows, (second, slice(None), kind), -pushes)
    return row.ravel(), rows.reshape(3 * len(numbers), -1)
