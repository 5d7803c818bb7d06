"""Molecules: energies and forces, learned from scratch, from jets, or through low-rank adapters."""
# ruff: noqa: I001

from omnilearn_lab.tasks.molecules.baselines import elements_only, pair_potential
from omnilearn_lab.tasks.molecules.study import NAMES, MoleculeArm, MoleculeData, MoleculeSettings
from omnilearn_lab.tasks.molecules.study import NetworkForces, compare_molecules, turning_error

__all__ = [
    "NAMES", "MoleculeArm", "MoleculeData", "MoleculeSettings", "NetworkForces", "compare_molecules",
    "elements_only", "pair_potential", "turning_error",
]  # fmt: skip
