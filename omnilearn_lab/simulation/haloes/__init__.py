"""Simulated universes: gravity on a particle mesh or in second order, and the haloes that form."""

from omnilearn_lab.simulation.haloes.cosmology import Cosmology
from omnilearn_lab.simulation.haloes.universes import UNIVERSES, UniverseRecipe, Universes, simulate_universes

__all__ = ["UNIVERSES", "Cosmology", "UniverseRecipe", "Universes", "simulate_universes"]
