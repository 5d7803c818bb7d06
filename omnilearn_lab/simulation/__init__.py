"""Simulated jets: recipes, events (Pythia 8.3), fast detector simulation, clustering (FastJet), runs."""

from omnilearn_lab.simulation.cards import (
    ATLAS_LIKE,
    CARDS,
    CMS_LIKE,
    FULL_LIKE,
    JETCLASS_LIKE,
    DetectorCard,
    card,
)
from omnilearn_lab.simulation.detector import reconstruct
from omnilearn_lab.simulation.recipes import RECIPES, JetWindow, Profile, Recipe, Sample, recipe
from omnilearn_lab.simulation.run import PairedJets, simulate, simulate_pairs

__all__ = [
    "ATLAS_LIKE",
    "CARDS",
    "CMS_LIKE",
    "FULL_LIKE",
    "JETCLASS_LIKE",
    "RECIPES",
    "DetectorCard",
    "JetWindow",
    "PairedJets",
    "Profile",
    "Recipe",
    "Sample",
    "card",
    "reconstruct",
    "recipe",
    "simulate",
    "simulate_pairs",
]
