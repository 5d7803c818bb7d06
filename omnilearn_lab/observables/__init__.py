"""Jet observables: plain functions of `Jets`, for millions of jets."""

from omnilearn_lab.observables.compute import energy_flow_polynomials, observables
from omnilearn_lab.observables.config import OBSERVABLES, SIX, Observable, ObservableConfig, SoftDrop

__all__ = [
    "OBSERVABLES", "Observable", "ObservableConfig", "SIX", "SoftDrop", "energy_flow_polynomials",
    "observables",
]  # fmt: skip
