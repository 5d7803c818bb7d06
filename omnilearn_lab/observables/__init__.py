"""Jet observables: plain functions of :class:`~omnilearn_lab.jets.Jets`, for millions of jets."""

from omnilearn_lab.observables.clustering import Subjets, Tree, cluster, exclusive_subjets, pt_y_phi
from omnilearn_lab.observables.compute import n_subjettiness, observables
from omnilearn_lab.observables.config import FASTJET_AXES, UNGROOMED, ObservableConfig, SoftDrop
from omnilearn_lab.observables.named import ln_rho, mass, multiplicity, tau_21, width, z_g
from omnilearn_lab.observables.substructure import Groomed, soft_drop, subjettiness
from omnilearn_lab.observables.table import OBSERVABLES, SIX, Observable

__all__ = [
    "FASTJET_AXES",
    "OBSERVABLES",
    "SIX",
    "UNGROOMED",
    "Groomed",
    "Observable",
    "ObservableConfig",
    "SoftDrop",
    "Subjets",
    "Tree",
    "cluster",
    "exclusive_subjets",
    "ln_rho",
    "mass",
    "multiplicity",
    "n_subjettiness",
    "observables",
    "pt_y_phi",
    "soft_drop",
    "subjettiness",
    "tau_21",
    "width",
    "z_g",
]
