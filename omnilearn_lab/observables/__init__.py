"""Jet observables: plain functions of `Jets`, for millions of jets."""

from omnilearn_lab.observables.compute import observables
from omnilearn_lab.observables.config import OBSERVABLES, SIX, Observable, ObservableConfig, SoftDrop
from omnilearn_lab.observables.efp import EFP_SETS, energy_flow_polynomials

__all__ = [
    "EFP_SETS", "OBSERVABLES", "SIX", "Observable", "ObservableConfig", "SoftDrop", "energy_flow_polynomials",
    "observables",
]  # fmt: skip
