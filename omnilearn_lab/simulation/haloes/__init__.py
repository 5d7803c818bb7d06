"""Simulated universes: gravity on a particle mesh or in second order, and the haloes that form."""

from omnilearn_lab.simulation.haloes.cosmobench import read_cosmobench
from omnilearn_lab.simulation.haloes.gravity import Grid
from omnilearn_lab.simulation.haloes.universes import UNIVERSES, Universes, simulate_universes

__all__ = ["Grid", "UNIVERSES", "Universes", "read_cosmobench", "simulate_universes"]
