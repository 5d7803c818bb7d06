"""Names, labels, units and binnings of the observables, for figures and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

__all__ = ["OBSERVABLES", "SIX", "Observable"]

SIX: tuple[str, ...] = ("mass", "multiplicity", "width", "ln_rho", "tau_21", "z_g")
"""The six observables of the OmniFold and OmniLearn papers, in the order of their figures."""


@dataclass(frozen=True)
class Observable:
    """How to show one observable.

    Parameters
    ----------
    name : str
    label : str
        LaTeX, without unit.
    unit : str
        Empty for a pure number.
    limits : (float, float)
        The plotted range; the published one for the six.
    n_bins : int
        Bins of equal width in figures.
    published_bins : int or None
        Bins behind the papers' triangular discriminators; None where nothing is published.
    column : int or None
        Column of the published ``*_subs`` arrays.

    Examples
    --------
    >>> OBSERVABLES["mass"].axis_label
    '$m$ [GeV]'
    >>> len(OBSERVABLES["multiplicity"].published_edges), OBSERVABLES["multiplicity"].edges[:2].tolist()
    (80, [-0.5, 0.5])
    """

    name: str
    label: str
    unit: str
    limits: tuple[float, float]
    n_bins: int = 50
    published_bins: int | None = None
    column: int | None = None

    @property
    def axis_label(self) -> str:
        """Label with unit, for an axis."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label

    @property
    def edges(self) -> np.ndarray:
        """Bin edges for figures, shape (n_bins + 1,)."""
        return np.linspace(*self.limits, self.n_bins + 1)

    @property
    def published_edges(self) -> np.ndarray:
        """Bin edges of the evaluation behind the paper's numbers; `edges` where there is none.

        The published multiplicity has 79 bins of width 1.0127 between 0 and 80, which beats
        against the integers; ``edges`` are centred on them.
        """
        if self.published_bins is None:
            return self.edges
        low, high = (0.0, 80.0) if self.name == "multiplicity" else self.limits
        return np.linspace(low, high, self.published_bins + 1)


_SIX = (
    Observable("mass", r"$m$", "GeV", (0.0, 75.0), 50, 49, 0),
    Observable("multiplicity", r"$N$", "", (-0.5, 80.5), 81, 79, 2),
    Observable("width", r"$w$", "", (0.0, 0.6), 50, 49, 1),
    Observable("ln_rho", r"$\ln\rho$", "", (-14.0, -2.0), 50, 49, 3),
    Observable("tau_21", r"$\tau_{21}$", "", (0.0, 1.2), 50, 49, 5),
    Observable("z_g", r"$z_g$", "", (0.0, 0.5), 50, 49, 4),
)
_MORE = (
    Observable("pt", r"$p_\mathrm{T}$", "GeV", (0.0, 1000.0)),
    Observable("soft_drop_mass", r"$m_\mathrm{SD}$", "GeV", (0.0, 200.0)),
    Observable("groomed_pt", r"$p_\mathrm{T,SD}$", "GeV", (0.0, 1000.0)),
    Observable("groomed_radius", r"$R_g$", "", (0.0, 1.0)),
    Observable("les_houches", r"$\lambda_{0.5}$", "", (0.0, 1.0)),
    Observable("thrust", r"$\lambda_{2}$", "", (0.0, 0.6)),
    Observable("pt_dispersion", r"$p_\mathrm{T}^D$", "", (0.0, 1.0)),
    *(Observable(f"tau_{k}", rf"$\tau_{k}$", "", (0.0, 0.6)) for k in (1, 2, 3, 4)),
    *(Observable(f"tau_{k}{k - 1}", rf"$\tau_{{{k}{k - 1}}}$", "", (0.0, 1.2)) for k in (3, 4)),
)

OBSERVABLES: Mapping[str, Observable] = MappingProxyType({o.name: o for o in _SIX + _MORE})
"""Every named observable; `SIX` come first. The ranges beyond the six suit jets of 500-600 GeV."""
