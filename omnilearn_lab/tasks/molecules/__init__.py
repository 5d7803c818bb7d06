"""Molecules: energies and forces, learned from scratch, from jets, or through low-rank adapters."""
# ruff: noqa: I001

from omnilearn_lab.tasks.molecules.baselines import elements_only, pair_potential
from omnilearn_lab.tasks.molecules.study import NAMES, MoleculeData, MoleculeSettings
from omnilearn_lab.tasks.molecules.study import NetworkForces, compare_molecules

__all__ = [
    "NAMES", "MoleculeData", "MoleculeSettings", "NetworkForces", "compare_molecules", "elements_only",
    "pair_potential",
]  # fmt: skip
