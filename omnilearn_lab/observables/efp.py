"""Energy-flow polynomials, through the EnergyFlow package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from omnilearn_lab.errors import ConfigError, MissingDependencyError, nearest
from omnilearn_lab.jets import Jets

EFP_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "prime_4_4": ("n==4", "d==4", "p==1"),
        "up_to_4": ("d<=4",),
    }
)
"""Named sets of multigraphs: JetNet's 5 prime polynomials with 4 vertices and 4 edges (for W1-EFP),
and its 36 with up to 4 edges, the trivial one included (for FPD and KPD)."""


def energy_flow_polynomials(jets: Jets, graphs: str = "prime_4_4", *, beta: float = 1.0) -> np.ndarray:
    r"""Compute a set of energy-flow polynomials of every jet, as JetNet's metrics do.

    For a multigraph G with V vertices and edges (k, l):

    .. math:: \mathrm{EFP}_G = \sum_{i_1} \cdots \sum_{i_V} z_{i_1} \cdots z_{i_V}
              \prod_{(k,l) \in G} \theta_{i_k i_l}^\beta

    with z_i = pt_i / pt of the jet (not normalised to their sum) and theta_ij the distance in
    pseudorapidity and azimuth.

    Parameters
    ----------
    jets : Jets
        N jets.
    graphs : str
        A key of `EFP_SETS`.
    beta : float
        Angular exponent.

    Returns
    -------
    float64 array, shape (N, K)
        K = 5 for ``"prime_4_4"``, 36 for ``"up_to_4"``. About 1 ms per jet for 36.

    Raises
    ------
    ConfigError
        For an unknown set.
    MissingDependencyError
        When EnergyFlow is absent or does not work in this environment.

    References
    ----------
    Komiske, Metodiev and Thaler, "Energy flow polynomials", Eq. 1.1, arXiv:1712.07124;
    use as a metric: Kansal et al., arXiv:2106.11535 and arXiv:2211.10295.

    Examples
    --------
    >>> EFP_SETS["prime_4_4"]
    ('n==4', 'd==4', 'p==1')
    """
    columns = jets.particles
    fraction = columns["pt"] / np.repeat(jets.jet["pt"], jets.counts)
    particles = np.stack([fraction, columns["deta"], columns["dphi"]], axis=-1, dtype=np.float64)
    return _compute(np.split(particles, jets.offsets[1:-1])[: len(jets)], graphs, beta)


def _compute(events: Iterable[np.ndarray], graphs: str, beta: float) -> np.ndarray:
    """Polynomials of events given as (pt, y, phi) rows."""
    if graphs not in EFP_SETS:
        raise ConfigError(f"no set of polynomials '{graphs}'; {nearest(graphs, EFP_SETS)}")
    efps = _efp_set(EFP_SETS[graphs], beta)
    rows = [efps.compute(event) for event in events]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(efps.graphs()))


@cache
def _efp_set(selection: tuple[str, ...], beta: float) -> Any:
    return _energyflow().EFPSet(*selection, measure="hadr", beta=beta, normed=False, coords="ptyphim")


def _energyflow() -> Any:
    """The EnergyFlow package; the only place that imports it.

    EnergyFlow itself imports wasserstein, whose released wheels need numpy 1 and Python below 3.13.
    """
    try:
        import energyflow
    except (ImportError, AttributeError, RuntimeError, ValueError) as error:
        raise MissingDependencyError(
            f"energy-flow polynomials need EnergyFlow, which does not import here ({error}); use Python 3.11 "
            "or 3.12 and install 'energyflow==1.4.0' with 'wasserstein==1.1.0' (which brings numpy 1.26)"
        ) from error
    return energyflow
