"""The one place that calls FastJet: axes that need a minimisation, and a reference for our own trees."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from omnilearn_lab.errors import MissingDependencyError
from omnilearn_lab.observables.config import FASTJET_AXES, SoftDrop
from omnilearn_lab.observables.constituents import Constituents
from omnilearn_lab.observables.substructure import Groomed

__all__ = ["fastjet_njettiness", "fastjet_soft_drop"]

_ANY_RADIUS = 999.0


def fastjet_njettiness(
    particles: Constituents, orders: Sequence[int], *, axes: str, jet_radius: float, beta: float = 1.0
) -> np.ndarray:
    """N-subjettiness from FastJet with the normalised measure.

    Parameters
    ----------
    particles : Constituents
        N jets.
    orders : sequence of int
        The numbers of axes, K of them.
    axes : str
        A key of `FASTJET_AXES`.
    jet_radius, beta : float
        R and the angular exponent.

    Returns
    -------
    float64 array, shape (N, K)

    Raises
    ------
    MissingDependencyError
        When FastJet is not installed.
    """
    sequence = _cluster(particles, "kt_algorithm")
    tau = sequence.njettiness("NormalizedMeasure", FASTJET_AXES[axes], list(orders), beta=beta, R0=jet_radius)
    return np.asarray(tau, dtype=np.float64).reshape(len(particles.counts), len(orders))


def fastjet_soft_drop(particles: Constituents, settings: SoftDrop) -> Groomed:
    """Soft drop from FastJet, with this package's values for jets that fail (z_g and R_g are 0, not -1).

    Parameters
    ----------
    particles : Constituents
        N jets.
    settings : SoftDrop

    Returns
    -------
    Groomed
        Arrays of shape (N,).

    Raises
    ------
    MissingDependencyError
        When FastJet is not installed.
    """
    jets = _cluster(particles, "cambridge_algorithm").exclusive_jets_softdrop_grooming(
        njets=1, beta=settings.beta, symmetry_cut=settings.z_cut, R0=settings.r0
    )
    names = ("msoftdrop", "ptsoftdrop", "symmetrysoftdrop", "deltaRsoftdrop")
    mass, pt, z_g, radius = (np.asarray(jets[name], dtype=np.float64) for name in names)
    return Groomed(np.maximum(mass, 0), pt, np.maximum(z_g, 0), np.maximum(radius, 0))


def _cluster(particles: Constituents, algorithm: str) -> Any:
    """Cluster all jets in one call: a loop over jets would be many times slower."""
    import awkward as ak

    fastjet = _fastjet()
    fields = dict(zip(("px", "py", "pz", "E"), particles.momenta, strict=True))
    jagged = ak.unflatten(ak.zip(fields, with_name="Momentum4D"), particles.counts)
    return fastjet.ClusterSequence(jagged, fastjet.JetDefinition(getattr(fastjet, algorithm), _ANY_RADIUS))


@cache
def _fastjet() -> Any:
    """FastJet, told not to print its banner on standard output at first use."""
    try:
        import fastjet
        import fastjet._swig as swig
    except ImportError as error:
        raise MissingDependencyError(
            f"axes other than 'kt' need FastJet, which does not import ({error}); install 'fastjet>=3.5'"
        ) from error
    swig.ClusterSequence.set_fastjet_banner_stream(None)
    return fastjet
