"""Names, labels and binnings of the observables, and the choices behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from omnilearn_lab.display import LABELS, label
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.settings import settings

SIX: tuple[str, ...] = ("mass", "multiplicity", "width", "ln_rho", "tau_21", "z_g")
"""The six observables of the OmniFold and OmniLearn papers, in the order of their figures."""


@dataclass(frozen=True)
class Observable:
    """How to show one observable.

    Parameters
    ----------
    name : str
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
    >>> len(OBSERVABLES["multiplicity"].published_edges), OBSERVABLES["multiplicity"].edges[:2].tolist()
    (80, [-0.5, 0.5])
    """

    name: str
    limits: tuple[float, float]
    n_bins: int = 50
    published_bins: int | None = None
    column: int | None = None

    @property
    def label(self) -> str:
        """Mathtext, without unit."""
        return label(self.name, is_math=True)

    @property
    def unit(self) -> str:
        """Unit; empty for a pure number."""
        return LABELS[self.name][1]

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
    Observable("mass", (0.0, 75.0), 50, 49, 0),
    Observable("multiplicity", (-0.5, 80.5), 81, 79, 2),
    Observable("width", (0.0, 0.6), 50, 49, 1),
    Observable("ln_rho", (-14.0, -2.0), 50, 49, 3),
    Observable("tau_21", (0.0, 1.2), 50, 49, 5),
    Observable("z_g", (0.0, 0.5), 50, 49, 4),
)
_MORE = (
    Observable("pt", (0.0, 1000.0)),
    Observable("soft_drop_mass", (0.0, 200.0)),
    Observable("groomed_pt", (0.0, 1000.0)),
    Observable("groomed_radius", (0.0, 1.0)),
    Observable("les_houches", (0.0, 1.0)),
    Observable("thrust", (0.0, 0.6)),
    Observable("pt_dispersion", (0.0, 1.0)),
    *(Observable(f"tau_{k}", (0.0, 0.6)) for k in (1, 2, 3, 4)),
    *(Observable(f"tau_{k}{k - 1}", (0.0, 1.2)) for k in (3, 4)),
)

OBSERVABLES: Mapping[str, Observable] = MappingProxyType({o.name: o for o in _SIX + _MORE})
"""Every named observable; `SIX` come first. The ranges beyond the six suit jets of 500-600 GeV."""


FASTJET_AXES: Mapping[str, str] = MappingProxyType(
    {
        "kt": "KT_Axes",
        "wta_kt": "WTA_KT_Axes",
        "one_pass_kt": "OnePass_KT_Axes",
        "one_pass_wta_kt": "OnePass_WTA_KT_Axes",
    }
)
"""Names of N-subjettiness axes here and in FastJet's N-subjettiness contribution."""

UNGROOMED: Mapping[str, float] = MappingProxyType(
    {"exclude": -np.inf, "published": 0.0, "omnifold": float(np.log(1e-100))}
)
"""ln rho of a jet without groomed mass: ours (outside every histogram), OmniLearn's, OmniFold's."""


@settings
class SoftDrop:
    r"""The soft-drop condition for a splitting into subjets 1 and 2:

    .. math:: \frac{\min(p_{T1}, p_{T2})}{p_{T1} + p_{T2}} > z_\mathrm{cut}
              \left(\frac{\Delta R_{12}}{R_0}\right)^\beta

    The published observables use the default, where R_0 plays no role.

    Raises
    ------
    ConfigError
        For z_cut outside [0, 0.5) or R_0 not positive.

    References
    ----------
    Larkoski et al., "Soft Drop", Eq. 1.1, arXiv:1402.2657.

    Examples
    --------
    >>> SoftDrop()
    SoftDrop(z_cut=0.1, beta=0.0, r0=1.0)
    """

    z_cut: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    beta: float = 0.0
    r0: Annotated[float, Field(gt=0)] = 1.0


@settings
class ObservableConfig:
    """Choices behind the observables; the defaults are those of the papers.

    Parameters
    ----------
    jet_radius : float or None
        R, the radius the jets were clustered with. None: from ``jets.provenance["jet_radius"]``.
        Needed by the width, the angularities and tau_N; it cancels in ratios.
    axes : str
        Axes of tau_N: ``"kt"`` (exclusive kT subjets, as published), ``"wta_kt"``,
        ``"one_pass_kt"`` or ``"one_pass_wta_kt"``.
    soft_drop : SoftDrop
    ungroomed : str
        ln rho of a jet with zero groomed mass, a key of `UNGROOMED`.

    Raises
    ------
    ConfigError
        For values outside these.

    Examples
    --------
    >>> ObservableConfig(jet_radius=0.4).axes
    'kt'
    """

    jet_radius: Annotated[float, Field(gt=0)] | None = None
    axes: Literal["kt", "wta_kt", "one_pass_kt", "one_pass_wta_kt"] = "kt"
    soft_drop: SoftDrop = SoftDrop()  # noqa: RUF009 (frozen)
    ungroomed: Literal["exclude", "published", "omnifold"] = "exclude"


def known_radius(jets: Jets, jet_radius: float | None, wanted_by: str) -> float:
    """Return R from the argument or the jets' provenance.

    Parameters
    ----------
    jets : Jets
    jet_radius : float or None
    wanted_by : str
        What needs it, for the message.

    Returns
    -------
    float

    Raises
    ------
    ConfigError
        When neither knows it, or it is not positive.
    """
    radius = jets.provenance.get("jet_radius") if jet_radius is None else jet_radius
    if radius is None:
        raise ConfigError(
            f"{wanted_by} is measured in units of the jet radius, which these jets do not carry "
            f"(provenance has {sorted(jets.provenance)}); pass jet_radius=0.4, say"
        )
    if not float(radius) > 0:
        raise ConfigError(f"jet_radius is {radius}; a positive radius is needed")
    return float(radius)
