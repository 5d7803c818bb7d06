"""One slice of jets: the formulas of all named observables over shared, lazily computed pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType

import numpy as np

from omnilearn_lab.observables.clustering import exclusive_subjets
from omnilearn_lab.observables.config import UNGROOMED, ObservableConfig
from omnilearn_lab.observables.constituents import Constituents, mass_of
from omnilearn_lab.observables.fastjet_calls import fastjet_njettiness
from omnilearn_lab.observables.substructure import Groomed, soft_drop, subjettiness

__all__ = ["FORMULAS", "Batch"]


class Batch:
    """A slice of jets and what several observables need of it."""

    def __init__(self, particles: Constituents, config: ObservableConfig, orders: tuple[int, ...]) -> None:
        self.particles, self.config, self.orders = particles, config, orders

    @property
    def mass(self) -> np.ndarray:
        """Invariant mass of the vector sum [GeV], shape (N,)."""
        return mass_of(self.particles.total, self.particles.counts == 1)

    @property
    def ln_rho(self) -> np.ndarray:
        """ln(m_SD^2 / pt^2), shape (N,), with the configured value where m_SD = 0."""
        ratio = self.groomed.mass / self.particles.axis[:, 0]
        missing = UNGROOMED[self.config.ungroomed]
        return np.where(ratio > 0, 2 * np.log(np.where(ratio > 0, ratio, 1)), missing)

    @cached_property
    def groomed(self) -> Groomed:
        """All jets after soft drop."""
        result = Groomed(*np.empty((4, len(self.particles.counts))))
        for rows, tree in self.particles.trees(power=0):
            for column, values in zip(result, soft_drop(tree, self.config.soft_drop), strict=True):
                column[rows] = values
        return result

    @cached_property
    def tau(self) -> dict[int, np.ndarray]:
        """tau_N by N, with beta = 1."""
        return dict(zip(self.orders, self.subjettiness(1.0).T, strict=True))

    def subjettiness(self, beta: float) -> np.ndarray:
        """tau_N for all orders, shape (N, K)."""
        settings = {"jet_radius": self.config.jet_radius, "beta": beta}
        if self.config.axes != "kt":
            return fastjet_njettiness(self.particles, self.orders, axes=self.config.axes, **settings)
        result = np.empty((len(self.particles.counts), len(self.orders)))
        for rows, tree in self.particles.trees(power=1):
            for column, order in enumerate(self.orders):
                result[rows, column] = subjettiness(tree, exclusive_subjets(tree, order), **settings)
        return result

    def angularity(self, kappa: float, beta: float) -> np.ndarray:
        """Generalised angularity with the chosen exponents, shape (N,)."""
        p = self.particles
        fraction = p.pt / p.per_particle(p.pt_sum)
        return p.per_jet(fraction**kappa * (p.delta_r / self.config.jet_radius) ** beta)

    def tau_ratio(self, upper: int) -> np.ndarray:
        """tau_N / tau_(N - 1), shape (N,); 0 where both vanish."""
        over, under = self.tau[upper], self.tau[upper - 1]
        return np.divide(over, under, out=np.zeros_like(over), where=under > 0)


FORMULAS: Mapping[str, Callable[[Batch], np.ndarray]] = MappingProxyType(
    {
        "mass": lambda b: b.mass,
        "multiplicity": lambda b: b.particles.counts.astype(np.float64),
        "width": lambda b: b.angularity(1.0, 1.0),
        "ln_rho": lambda b: b.ln_rho,
        "tau_21": lambda b: b.tau_ratio(2),
        "z_g": lambda b: b.groomed.z_g,
        "pt": lambda b: b.particles.axis[:, 0],
        "soft_drop_mass": lambda b: b.groomed.mass,
        "groomed_pt": lambda b: b.groomed.pt,
        "groomed_radius": lambda b: b.groomed.radius,
        "les_houches": lambda b: b.angularity(1.0, 0.5),
        "thrust": lambda b: b.angularity(1.0, 2.0),
        "pt_dispersion": lambda b: np.sqrt(b.angularity(2.0, 0.0)),
        "tau_1": lambda b: b.tau[1],
        "tau_2": lambda b: b.tau[2],
        "tau_3": lambda b: b.tau[3],
        "tau_4": lambda b: b.tau[4],
        "tau_32": lambda b: b.tau_ratio(3),
        "tau_43": lambda b: b.tau_ratio(4),
    }
)
"""Name of an observable to its values for a batch, float64, shape (N,)."""
