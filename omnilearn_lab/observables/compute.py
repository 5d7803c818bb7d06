"""Observables of whole batches of jets, by name, with the shared pieces computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables.batch import FORMULAS, Batch
from omnilearn_lab.observables.config import ObservableConfig, known_radius
from omnilearn_lab.observables.constituents import Constituents, slices
from omnilearn_lab.observables.table import SIX

__all__ = ["n_subjettiness", "observables"]

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
    bounded for millions of them.

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


def n_subjettiness(
    jets: Jets,
    orders: Sequence[int] = (1, 2, 3, 4),
    *,
    jet_radius: float | None = None,
    axes: str = "kt",
    beta: float = 1.0,
) -> np.ndarray:
    r"""Compute N-subjettiness, normalised measure.

    .. math:: \tau_N = \frac{\sum_i p_{T,i} \min_k \Delta R_{ik}^\beta}{R^\beta \sum_i p_{T,i}}

    Parameters
    ----------
    jets : Jets
        N jets.
    orders : sequence of int
        The numbers of axes, K of them.
    jet_radius : float, optional
        R; None takes ``jets.provenance["jet_radius"]``.
    axes : str
        A key of `FASTJET_AXES`.
    beta : float
        Angular exponent.

    Returns
    -------
    float64 array, shape (N, K)
        0 for jets with no more particles than axes.

    Raises
    ------
    ConfigError
        For orders below 1, unknown axes, or an unknown radius.
    MissingDependencyError
        When the axes need FastJet and it is absent.

    References
    ----------
    Thaler and Van Tilburg, Eq. 2.1, arXiv:1011.2268.

    Examples
    --------
    >>> jets = Jets.from_four_momenta([[80, 0, 0, 80], [19.6, 4, 0, 20.004]], [0, 2])
    >>> n_subjettiness(jets, [1, 2], jet_radius=0.4).round(2)
    array([[0.16, 0.  ]])
    """
    if not orders or min(orders) < 1:
        raise ConfigError(f"orders are {list(orders)}; numbers of axes, at least 1 each, are needed")
    config = ObservableConfig(known_radius(jets, jet_radius, "N-subjettiness"), axes)
    parts = [np.empty((0, len(orders)))]
    for rows in slices(jets):
        parts.append(Batch(Constituents(jets, rows), config, tuple(orders)).subjettiness(beta))
    return np.concatenate(parts)


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
