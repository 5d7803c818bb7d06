"""Molecules with energies and forces of GFN2-xTB: which there are, how they move, and sets of them."""
# ruff: noqa: I001

from omnilearn_lab.simulation.molecules.chemistry import ELEMENTS, bonds_of
from omnilearn_lab.simulation.molecules.forces import TightBinding, dynamics, thermal_velocities
from omnilearn_lab.simulation.molecules.sets import MOLECULES, Molecules, read_omol25, shipped_molecules
from omnilearn_lab.simulation.molecules.sets import simulate_molecules

__all__ = [
    "ELEMENTS", "MOLECULES", "Molecules", "TightBinding", "bonds_of", "dynamics", "read_omol25",
    "shipped_molecules", "simulate_molecules", "thermal_velocities",
]  # fmt: skip
