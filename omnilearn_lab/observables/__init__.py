"""Jet observables: plain functions of `Jets`, for millions of jets."""

from omnilearn_lab.observables.compute import observables
from omnilearn_lab.observables.config import OBSERVABLES, SIX, Observable, ObservableConfig, SoftDrop
from omnilearn_lab.observables.efp import energy_flow_polynomials

__all__ = [
    "OBSERVABLES", "Observable", "ObservableConfig", "SIX", "SoftDrop", "energy_flow_polynomials",
    "observables",
]  # fmt: skip
