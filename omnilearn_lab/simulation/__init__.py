"""Simulated jets: recipes, events (Pythia 8.3), fast detector simulation, clustering (FastJet), runs."""

from omnilearn_lab.simulation.cards import card
from omnilearn_lab.simulation.detector import reconstruct
from omnilearn_lab.simulation.recipes import RECIPES, Profile, Sample, recipe
from omnilearn_lab.simulation.run import simulate, simulate_pairs

__all__ = ["Profile", "RECIPES", "Sample", "card", "recipe", "reconstruct", "simulate", "simulate_pairs"]
