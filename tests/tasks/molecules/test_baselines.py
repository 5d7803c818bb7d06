"""Baselines find what they contain."""

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.simulation.molecules import shipped_molecules
from omnilearn_lab.tasks.molecules import MoleculeData, elements_only, pair_potential
from omnilearn_lab.tasks.molecules.baselines import _CENTRES, _design, _pair_kinds
from omnilearn_lab.tasks.molecules.study import counts_by_element


@pytest.fixture(scope="module")
def molecules():
    every = shipped_molecules()
    few = every.select((every.molecule < 24) & (np.arange(len(every)) % 4 == 0))
    return replace(few, names=few.names[:24])


def test_elements_alone_are_found_when_there_is_nothing_else(molecules):
    exact = replace(molecules, energy=counts_by_element(molecules) @ np.array([-14.0, -57.0, -79.0, -110.0]))
    result = elements_only(MoleculeData.split(exact, 2, 8))
    assert result.values()["energy_mae"] < 1e-3
    assert result.values()["force_mae"] == pytest.approx(
        1000 * np.abs(result.molecules.force).mean(), rel=1e-5
    )


def test_forces_of_a_pair_potential_are_its_slope(molecules):
    atoms, kinds = molecules.atoms(3), _pair_kinds()
    numbers, position = molecules.numbers[atoms], molecules.position[atoms].astype(float)
    _, rows = _design(numbers, position, kinds)
    move = np.zeros_like(position)
    move[2, 1] = 1e-4
    above, below = (_design(numbers, position + sign * move, kinds)[0] for sign in (1, -1))
    assert -(above - below) / 2e-4 == pytest.approx(rows[3 * 2 + 1], abs=1e-5)
    assert np.abs(rows.reshape(-1, 3, rows.shape[1]).sum(0)).max() < 1e-9


def test_a_pair_potential_finds_itself(molecules):
    """Attraction between hydrogen and carbon, and repulsion between hydrogen atoms."""
    kinds = _pair_kinds()
    truth = np.zeros((len(kinds), 24))
    truth[kinds[1, 6]], truth[kinds[1, 1]] = np.outer([-9.0, 3.0], np.exp(-_CENTRES))
    energy, force = [], []
    for i in range(len(molecules)):
        atoms = molecules.atoms(i)
        row, rows = _design(molecules.numbers[atoms], molecules.position[atoms].astype(float), kinds)
        energy.append(row @ truth.ravel() - 50.0 * len(molecules.numbers[atoms]))
        force.append((rows @ truth.ravel()).reshape(-1, 3))
    exact = replace(molecules, energy=np.array(energy), force=np.concatenate(force).astype(np.float32))
    data = MoleculeData.split(exact, 2, 8)
    data = data._replace(test=data.train)  # other molecules have distances that these do not have
    result, nothing = pair_potential(data), elements_only(data)
    assert result.values()["force_mae"] < 0.02 * nothing.values()["force_mae"]
    assert result.n_train == 14 and result.n_test == len(data.train) == 56
