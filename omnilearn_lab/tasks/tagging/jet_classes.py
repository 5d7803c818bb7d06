"""Jets class by class: what the decay inside leaves in the observables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables import OBSERVABLES, SIX, Observable, observables

if TYPE_CHECKING:
    import pandas as pd

_MEDIANS = ("soft_drop_mass", "multiplicity", "tau_21", "tau_32")
_LEPTONS = (11, 13)
_WIDE = {"mass": (0.0, 250.0), "multiplicity": (-0.5, 119.5), "ln_rho": (-12.0, 0.0)}


def by_class(jets: Jets) -> dict[str, Jets]:
    """Return the jets of each class by its name, classes without jets left out.

    Raises
    ------
    JetsError
        For jets without labels.
    """
    parts = {name: jets[jets.label == number] for number, name in enumerate(jets.class_names)}
    return {name: part for name, part in parts.items() if len(part)}


def displaced_particles(jets: Jets, *, significance: float = 3.0) -> np.ndarray:
    r"""Count the charged particles of each jet that miss the collision point.

    A particle counts when :math:`|d_0| / \sigma(d_0)` exceeds ``significance``. Hadrons with a b or c quark
    fly millimetres before they decay; their decay products point past the collision.

    Parameters
    ----------
    jets : Jets
        With particle columns ``d0`` and ``d0_err`` [mm]; an error of zero means "no track".
    significance

    Returns
    -------
    int64 array, shape (N,)

    Raises
    ------
    JetsError
        When the jets have no impact parameters.

    Examples
    --------
    >>> track = {"deta": [0, 0], "dphi": [0, 0], "pt": [2, 1], "energy": [2, 1]}
    >>> track |= {"d0": [1, 0], "d0_err": [0.1, 0.1]}
    >>> jet = {"pt": [3], "eta": [0], "phi": [0], "mass": [0]}
    >>> displaced_particles(Jets.build(track, [0, 2], jet)).tolist()
    [1]
    """
    missing = {"d0", "d0_err"} - set(jets.particles)
    if missing:
        raise JetsError(f"these jets have no {sorted(missing)}: impact parameters [mm] are needed")
    d0, error = (np.abs(jets.particles[name]) for name in ("d0", "d0_err"))
    is_displaced = (error > 0) & (d0 > significance * error)
    return np.add.reduceat(is_displaced.astype(np.int64), jets.offsets[:-1])


def lepton_fraction(jets: Jets) -> np.ndarray:
    """Return the share of each jet's transverse momentum that electrons and muons carry, shape (N,)."""
    if "pid" not in jets.particles:
        raise JetsError("these jets have no 'pid': particle species are needed")
    pt = jets.particles["pt"].astype(np.float64)
    is_lepton = np.isin(np.abs(jets.particles["pid"]), _LEPTONS)
    starts = jets.offsets[:-1]
    return np.add.reduceat(pt * is_lepton, starts) / np.add.reduceat(pt, starts)


def class_table(jets: Jets, *, jet_radius: float = 0.8) -> pd.DataFrame:
    """Return one row per class: jets, medians of observables, displaced particles, leptons.

    Parameters
    ----------
    jets : Jets
        With labels; impact parameters and species give two more columns when they are there.
    jet_radius
        R of the jets.

    Returns
    -------
    DataFrame
        Medians (``soft_drop_mass`` in GeV), the mean number of displaced particles, and the percentage of
        jets in which electrons and muons carry more than a tenth of the momentum.
    """
    import pandas as pd

    return pd.DataFrame({name: _row(part, jet_radius) for name, part in by_class(jets).items()}).T


def _row(jets: Jets, jet_radius: float) -> dict[str, float]:
    values = observables(jets, _MEDIANS, jet_radius=jet_radius)
    row = {"jets": len(jets)} | {name: round(float(np.median(v)), 2) for name, v in values.items()}
    if "d0" in jets.particles:
        row["displaced particles"] = round(float(displaced_particles(jets).mean()), 2)
    if "pid" in jets.particles:
        row["with a lepton [%]"] = round(100 * float((lepton_fraction(jets) > 0.1).mean()), 1)
    return row


def wide_axes(n_bins: int = 50) -> dict[str, Observable]:
    """Return axes of the six observables for large-radius jets, heavier and richer than the published ones.

    Examples
    --------
    >>> wide_axes(25)["mass"].limits
    (0.0, 250.0)
    """
    return {
        name: replace(OBSERVABLES[name], limits=_WIDE.get(name, OBSERVABLES[name].limits), n_bins=n_bins)
        for name in SIX
    }
