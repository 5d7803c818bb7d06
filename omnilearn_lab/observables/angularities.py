"""Generalised angularities: one family from multiplicity to thrust."""

from __future__ import annotations

import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables.batch import Batch
from omnilearn_lab.observables.config import ObservableConfig, known_radius
from omnilearn_lab.observables.constituents import Constituents, slices

__all__ = ["angularity"]


def angularity(
    jets: Jets, *, kappa: float = 1.0, beta: float = 1.0, jet_radius: float | None = None
) -> np.ndarray:
    r"""Compute the generalised angularity.

    .. math:: \lambda^\kappa_\beta = \sum_i \left(\frac{p_{T,i}}{\sum_j p_{T,j}}\right)^\kappa
              \left(\frac{\Delta R_i}{R}\right)^\beta

    (kappa, beta) = (0, 0) is the multiplicity, (2, 0) the squared pt dispersion, (1, 1/2) the Les
    Houches angularity, (1, 1) the width, (1, 2) thrust. Infrared and collinear safe for kappa = 1
    and beta > 0 only.

    Parameters
    ----------
    jets : Jets
        N jets.
    kappa, beta : float
        Exponents of momentum fraction and distance to the jet axis (the vector sum); not negative.
    jet_radius : float, optional
        R; None takes ``jets.provenance["jet_radius"]``. Not needed for beta = 0.

    Returns
    -------
    float64 array, shape (N,)

    Raises
    ------
    ConfigError
        For negative exponents, or when R is needed and not known.

    References
    ----------
    Larkoski, Thaler and Waalewijn, "Gaining (Mutual) Information about Quark/Gluon Discrimination",
    Eq. 1.3, arXiv:1408.3122.

    Examples
    --------
    >>> jets = Jets.from_four_momenta([[60, 0, 0, 60], [0, 80, 0, 80]], [0, 2])
    >>> angularity(jets, kappa=2.0, beta=0.0).round(4)
    array([0.5102])
    """
    if kappa < 0 or beta < 0:
        raise ConfigError(f"kappa is {kappa} and beta is {beta}; both must be 0 or more")
    config = ObservableConfig(known_radius(jets, jet_radius, "the angularity") if beta else 1.0)
    batches = (Batch(Constituents(jets, rows), config, ()) for rows in slices(jets))
    return np.concatenate([np.empty(0), *(batch.angularity(kappa, beta) for batch in batches)])
