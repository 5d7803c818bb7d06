"""Small organic molecules: which there are, and a first shape of each; by RDKit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from omnilearn_lab.errors import MissingDependencyError, SimulationError, translated


class Element(NamedTuple):
    """Symbol, mass [u] and covalent radius [Angstrom]."""

    symbol: str
    mass: float
    radius: float


ELEMENTS = {
    1: Element("H", 1.008, 0.31),
    6: Element("C", 12.011, 0.76),
    7: Element("N", 14.007, 0.71),
    8: Element("O", 15.999, 0.66),
}
"""By atomic number: the elements of organic molecules that this room knows."""

_VALENCES = {6: 4, 7: 3, 8: 2}
_REACTIVE = ("[#7,#8]~[#7,#8]", "[CX4]([OX2,NX3])[OX2,NX3]", "*=[#6,#7]=*", "C=C[OH,NH2,NH]", "[r3]=[r3]")
_SMALLEST_RING = 4
_STRETCH = 1.3  # a bond is shorter than this times the sum of the covalent radii


class Conformer(NamedTuple):
    """Atomic numbers (A,), positions [Angstrom] (A, 3), and which atoms are bound, bool (A, A)."""

    numbers: np.ndarray
    position: np.ndarray
    bonds: np.ndarray


def needed(package: str, what: str) -> AbstractContextManager[None]:
    """Return a block in which a package of the extra is imported."""
    remedy = "run 'pip install omnilearn_lab[molecules]', or take catalog.load_molecules('shipped')"
    return translated(MissingDependencyError, f"{what} needs the package '{package}'", remedy)


def _rdkit() -> Any:
    with needed("rdkit", "making molecules"):
        from rdkit import Chem, RDLogger
        from rdkit.Chem import AllChem
    RDLogger.DisableLog("rdApp.*")
    return SimpleNamespace(Chem=Chem, shapes=AllChem)


@lru_cache(maxsize=8)
def grow_molecules(n_heavy: int) -> tuple[tuple[str, ...], ...]:
    """Return the SMILES of all molecules of C, N and O with 1, 2, ... ``n_heavy`` atoms besides hydrogen.

    A graph grows by one atom and a single, double or triple bond, or by closing a ring of four or more. Left
    out is what would react or rearrange: bonds between two of N and O, two of them on one saturated carbon,
    cumulated double bonds, enols and enamines.

    Raises
    ------
    MissingDependencyError
        Without RDKit.

    Examples
    --------
    >>> grow_molecules(2)[1]  # doctest: +SKIP
    ('C#C', 'C#N', 'C=C', 'C=N', 'C=O', 'CC', 'CN', 'CO')
    """
    chem = _rdkit().Chem
    reactive = [chem.MolFromSmarts(pattern) for pattern in _REACTIVE]
    levels = [{"C", "N", "O"}]
    for size in range(2, n_heavy + 1):
        new = {s for smiles in levels[-1] for s in _with_one_more(chem, smiles, reactive)}
        for _ in range(2 if size <= 4 else 0):  # in larger ones rings come with the next atom
            new |= {s for smiles in new for s in _with_one_more(chem, smiles, reactive)}
        levels.append({s for s in new if chem.MolFromSmiles(s).GetNumAtoms() == size})
    return tuple(tuple(sorted(level)) for level in levels)


def _with_one_more(chem: Any, smiles: str, reactive: list[Any]) -> Iterator[str]:
    """SMILES of the molecules one step further."""
    start = chem.MolFromSmiles(smiles)
    chem.Kekulize(start, clearAromaticFlags=True)
    free = [atom.GetTotalNumHs() for atom in start.GetAtoms()]
    for change in _changes(chem, start, free):
        grown = chem.RWMol(start)
        change(grown)
        molecule = grown.GetMol()
        if chem.SanitizeMol(molecule, catchErrors=True) != chem.SanitizeFlags.SANITIZE_NONE:
            continue
        molecule = chem.MolFromSmiles(chem.MolToSmiles(molecule))
        if molecule is not None and not any(molecule.HasSubstructMatch(pattern) for pattern in reactive):
            yield chem.MolToSmiles(molecule)


def _changes(chem: Any, start: Any, free: list[int]) -> Iterator[Any]:
    for i, n_free in enumerate(free):
        for number, valence in _VALENCES.items():
            for order in range(1, min(n_free, valence, 3) + 1):
                kind = chem.BondType.values[order]
                yield lambda m, i=i, z=number, kind=kind: m.AddBond(i, m.AddAtom(chem.Atom(z)), kind)
        for j in range(i):
            is_open = n_free and free[j] and start.GetBondBetweenAtoms(i, j) is None
            if is_open and len(chem.GetShortestPath(start, i, j)) >= _SMALLEST_RING:
                yield lambda m, i=i, j=j: m.AddBond(i, j, chem.BondType.SINGLE)


def conformer(smiles: str, *, seed: int = 1) -> Conformer:
    """Return a molecule with its hydrogen atoms in space: distance geometry, then a force field (MMFF).

    Raises
    ------
    MissingDependencyError
        Without RDKit.
    SimulationError
        When the text is no molecule, or no shape is found.
    """
    rdkit = _rdkit()
    molecule = rdkit.Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise SimulationError(f"'{smiles}' is no SMILES of a molecule; write it like 'CCO' (ethanol)")
    molecule = rdkit.Chem.AddHs(molecule)
    if rdkit.shapes.EmbedMolecule(molecule, randomSeed=seed) != 0:
        raise SimulationError(f"no shape of '{smiles}' was found; take another seed or molecule")
    rdkit.shapes.MMFFOptimizeMolecule(molecule, maxIters=500)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    bonds = np.zeros((len(numbers),) * 2, dtype=bool)
    for bond in molecule.GetBonds():
        ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        bonds[ends] = bonds[ends[::-1]] = True
    return Conformer(numbers, molecule.GetConformer().GetPositions(), bonds)


def bonds_of(numbers: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return which atoms are near enough to be bound, bool, shape (A, A).

    Examples
    --------
    >>> water = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    >>> bonds_of(np.array([8, 1, 1]), water).sum(1).tolist()
    [2, 1, 1]
    """
    radius = np.array([ELEMENTS[int(z)].radius for z in numbers])
    distance = np.linalg.norm(position[:, None] - position, axis=-1)
    return (distance < _STRETCH * (radius[:, None] + radius)) & (distance > 0)


def masses_of(numbers: np.ndarray) -> np.ndarray:
    """Return the masses of atoms [u], shape (A,).

    Examples
    --------
    >>> masses_of(np.array([8, 1, 1])).sum().round(3)
    18.015
    """
    return np.array([ELEMENTS[int(z)].mass for z in numbers])
