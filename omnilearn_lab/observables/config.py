"""Choices behind the observables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.settings import settings

__all__ = ["FASTJET_AXES", "UNGROOMED", "ObservableConfig", "SoftDrop", "known_radius"]

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


@dataclass(frozen=True)
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

    z_cut: float = 0.1
    beta: float = 0.0
    r0: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.z_cut < 0.5:
            raise ConfigError(f"z_cut is {self.z_cut}; a momentum fraction in [0, 0.5) is needed")
        if not self.r0 > 0:
            raise ConfigError(f"r0 is {self.r0}; a positive radius is needed")


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
        ``"one_pass_kt"`` or ``"one_pass_wta_kt"`` (the last three through FastJet).
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

    jet_radius: float | None = None
    axes: str = "kt"
    soft_drop: SoftDrop = field(default_factory=SoftDrop)
    ungroomed: str = "exclude"

    def __post_init__(self) -> None:
        if self.jet_radius is not None and not self.jet_radius > 0:
            raise ConfigError(f"jet_radius is {self.jet_radius}; a positive radius is needed")
        if self.axes not in FASTJET_AXES:
            raise ConfigError(f"axes '{self.axes}' are unknown; {nearest(self.axes, FASTJET_AXES)}")
        if self.ungroomed not in UNGROOMED:
            raise ConfigError(f"ungroomed is {self.ungroomed!r}; {nearest(self.ungroomed, UNGROOMED)}")


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
