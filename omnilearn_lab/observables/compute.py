"""Observables of whole batches of jets, by name, with the shared pieces computed once per slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables.clustering import exclusive_subjets
from omnilearn_lab.observables.config import SIX, UNGROOMED, ObservableConfig, known_radius
from omnilearn_lab.observables.constituents import Constituents, mass_of, slices
from omnilearn_lab.observables.substructure import Groomed, fastjet_njettiness, soft_drop, subjettiness


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


_RADIUS_NAMES = ("width", "les_houches", "thrust", "tau_1", "tau_2", "tau_3", "tau_4")


def observables(
    jets: Jets,
    names: Sequence[str] = SIX,
    *,
    jet_radius: float | None = None,
    config: ObservableConfig | None = None,
) -> dict[str, np.ndarray]:
    r"""Compute named observables of all jets.

    All come from the particles held (a truncated jet is the jet of its kept particles), in double
    precision, with the jet axis and pt of their vector sum. Known names: the keys of
    `OBSERVABLES`. Jets are handled in slices, so memory stays
    bounded for millions of them. With z_i = pt_i / sum pt and the distance Delta R_i in rapidity and
    azimuth to the jet axis:

    - ``mass`` of the vector sum, particle masses included, and ``multiplicity``, without threshold;
    - ``width``, ``les_houches``, ``thrust``: :math:`\sum_i z_i (\Delta R_i/R)^\beta` for beta = 1, 1/2, 2;
      ``pt_dispersion``: :math:`(\sum_i z_i^2)^{1/2}`;
    - ``tau_N``: :math:`\sum_i z_i \min_k \Delta R_{ik} / R`, ``tau_21``: tau_2 / tau_1 (or 0);
    - ``z_g``, ``soft_drop_mass``, ``groomed_pt``, ``groomed_radius`` after soft drop; z_g = 0 where no
      splitting passes (FastJet says -1, the published arrays 0);
    - ``ln_rho``: :math:`\ln(m_\mathrm{SD}^2 / p_T^2)` with the ungroomed pt.

    Parameters
    ----------
    jets : Jets
        N jets.
    names : sequence of str
    jet_radius : float, optional
        Short for ``config=ObservableConfig(jet_radius=...)``.
    config : ObservableConfig, optional

    Returns
    -------
    dict of name to float64 array, shape (N,)
        In the order of ``names``. Masses and momenta in GeV.

    Raises
    ------
    ConfigError
        For an unknown name, or when R is needed and not known.
    MissingDependencyError
        When the chosen axes need FastJet and it is absent.

    References
    ----------
    Andreassen et al., "OmniFold", arXiv:1911.09107; Mikuni and Nachman, "OmniLearn", arXiv:2404.16091.

    Examples
    --------
    >>> from omnilearn_lab.jets import Jets
    >>> jets = Jets.from_four_momenta([[80, 0, 0, 80], [19.6, 4, 0, 20.004]], [0, 2])
    >>> {k: v.round(3).tolist() for k, v in observables(jets, ["multiplicity", "z_g"]).items()}
    {'multiplicity': [2.0], 'z_g': [0.2]}
    """
    settings = _settled(jets, names, config or ObservableConfig(), jet_radius)
    orders = tuple(sorted({int(k) for name in names if name.startswith("tau_") for k in name[4:]}))
    parts: dict[str, list[np.ndarray]] = {name: [np.empty(0)] for name in names}
    for rows in slices(jets):
        batch = Batch(Constituents(jets, rows), settings, orders)
        for name in names:
            parts[name].append(FORMULAS[name](batch))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _settled(
    jets: Jets, names: Sequence[str], config: ObservableConfig, jet_radius: float | None
) -> ObservableConfig:
    """The configuration with its radius filled in; R = 1 where it cancels."""
    for name in names:
        if name not in FORMULAS:
            raise ConfigError(f"no observable '{name}'; {nearest(name, FORMULAS)}")
    radius = config.jet_radius if jet_radius is None else jet_radius
    wanted = [name for name in names if name in _RADIUS_NAMES]
    return replace(config, jet_radius=known_radius(jets, radius, wanted[0]) if wanted else 1.0)
