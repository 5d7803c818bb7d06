"""Which molecules there are, and their shapes."""

import builtins

import numpy as np
import pytest
from omnilearn_lab.errors import MissingDependencyError, SimulationError
from omnilearn_lab.simulation.molecules import chemistry
from omnilearn_lab.simulation.molecules.chemistry import bonds_of, conformer, grow_molecules
from omnilearn_lab.simulation.molecules.forces import TightBinding


@pytest.fixture
def without(monkeypatch):
    """Hide packages of the extra."""

    def hide(*names):
        original = builtins.__import__

        def refusing(name, *args, **kwargs):
            if name.split(".")[0] in names:
                raise ImportError(name)
            return original(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refusing)

    return hide


def test_small_molecules_are_all_there():
    pytest.importorskip("rdkit")
    one, two, three = grow_molecules(3)
    assert one == ("C", "N", "O")
    assert set(two) == {"CC", "C=C", "C#C", "CN", "C=N", "C#N", "CO", "C=O"}
    assert set(three) >= {"CCO", "COC", "CC=O", "CC#N"}
    assert not set(three) & {"CON", "OCO", "C=C=C", "C=CO", "C1CC1"}  # would react
    assert "C1CCC1" in grow_molecules(4)[3]


def test_a_shape_has_the_bonds_of_its_formula():
    pytest.importorskip("rdkit")
    numbers, position, bonds = conformer("CC(=O)NC")
    assert sorted(numbers) == [1] * 7 + [6] * 3 + [7, 8]
    assert (bonds_of(numbers, position) == bonds).all() and (bonds == bonds.T).all()
    assert bonds.sum() == 2 * 11
    assert np.array_equal(conformer("CC(=O)NC").position, position)


def test_what_is_no_molecule_is_named():
    pytest.importorskip("rdkit")
    with pytest.raises(SimulationError, match="'C\\(C' is no SMILES"):
        conformer("C(C")


def test_without_the_extra_the_error_says_what_to_do(without):
    without("rdkit", "tblite")
    grow_molecules.cache_clear()
    with pytest.raises(MissingDependencyError, match=r"'rdkit'.*pip install omnilearn_lab\[molecules\]"):
        grow_molecules(2)
    with pytest.raises(MissingDependencyError, match=r"'tblite'.*load_molecules\('shipped'\)"):
        TightBinding(np.array([8, 1, 1]))
    assert set(chemistry.ELEMENTS) == {1, 6, 7, 8}
