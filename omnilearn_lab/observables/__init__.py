"""Jet observables: plain functions of `Jets`, for millions of jets."""

from omnilearn_lab.observables.angularities import angularity
from omnilearn_lab.observables.clustering import Subjets, Tree, cluster, exclusive_subjets, pt_y_phi
from omnilearn_lab.observables.compute import n_subjettiness, observables
from omnilearn_lab.observables.config import FASTJET_AXES, UNGROOMED, ObservableConfig, SoftDrop
from omnilearn_lab.observables.efp import (
    EFP_SETS,
    energy_flow_polynomials,
    padded_energy_flow_polynomials,
)
from omnilearn_lab.observables.emd import jet_distances
from omnilearn_lab.observables.images import JetImage, average_image, jet_images
from omnilearn_lab.observables.named import ln_rho, mass, multiplicity, tau_21, width, z_g
from omnilearn_lab.observables.substructure import Groomed, soft_drop, subjettiness
from omnilearn_lab.observables.table import OBSERVABLES, SIX, Observable

__all__ = [
    "EFP_SETS",
    "FASTJET_AXES",
    "OBSERVABLES",
    "SIX",
    "UNGROOMED",
    "Groomed",
    "JetImage",
    "Observable",
    "ObservableConfig",
    "SoftDrop",
    "Subjets",
    "Tree",
    "angularity",
    "average_image",
    "cluster",
    "energy_flow_polynomials",
    "exclusive_subjets",
    "jet_distances",
    "jet_images",
    "ln_rho",
    "mass",
    "multiplicity",
    "n_subjettiness",
    "observables",
    "padded_energy_flow_polynomials",
    "pt_y_phi",
    "soft_drop",
    "subjettiness",
    "tau_21",
    "width",
    "z_g",
]
