"""Observables of many jets by name: soft drop, N-subjettiness, angularities; energy-flow polynomials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from omnilearn_lab.errors import ConfigError, MissingDependencyError, nearest, translated
from omnilearn_lab.jets import Jets
from omnilearn_lab.jets.columns import cluster_sequence
from omnilearn_lab.observables.clustering import Constituents, Tree, mass_of, slices, wrapped
from omnilearn_lab.observables.config import (
    FASTJET_AXES,
    SIX,
    UNGROOMED,
    ObservableConfig,
    SoftDrop,
    known_radius,
)


class Groomed(NamedTuple):
    """What soft drop leaves of N jets. A jet in which no splitting passes ends as a single particle."""

    mass: np.ndarray
    """Invariant mass [GeV], shape (N,); 0 for a single massless particle."""
    pt: np.ndarray
    """Transverse momentum [GeV], shape (N,)."""
    z_g: np.ndarray
    """Momentum sharing of the splitting that passed, shape (N,); 0 when none did."""
    radius: np.ndarray
    """Distance R_g of its two subjets, shape (N,); 0 when none passed."""


def soft_drop(tree: Tree, settings: SoftDrop) -> Groomed:
    """Groom jets by walking down their Cambridge/Aachen tree along the harder branch.

    Parameters
    ----------
    tree : Tree
        From `cluster`, B jets.
    settings : SoftDrop

    Returns
    -------
    Groomed
        Arrays of shape (B,).

    References
    ----------
    Larkoski et al., arXiv:1402.2657, section 2.

    Examples
    --------
    >>> from omnilearn_lab.observables.clustering import cluster, pt_y_phi
    >>> pair = np.array([[[80.0, 0.0, 0.0, 80.0]], [[19.6, 4.0, 0.0, 20.004]]])
    >>> soft_drop(cluster(pair, pt_y_phi(pair)), SoftDrop()).z_g.round(3)
    array([0.2])
    """
    n_merges, n_jets, _ = tree.children.shape
    node = np.full(n_jets, 2 * n_merges)
    z_g, radius = np.zeros(n_jets), np.zeros(n_jets)
    jets = np.flatnonzero(node > n_merges)
    while len(jets):
        pair = tree.children[node[jets] - n_merges - 1, jets]
        fraction, distance = _splitting(tree, pair, jets)
        passed = fraction > settings.z_cut * (distance / settings.r0) ** settings.beta
        z_g[jets[passed]], radius[jets[passed]] = fraction[passed], distance[passed]
        jets, pair = jets[~passed], pair[~passed]
        pt = tree.coordinates[pair, jets[:, None], 0]
        node[jets] = pair[np.arange(len(jets)), pt.argmax(axis=1)]
        jets = jets[node[jets] > n_merges]
    every = np.arange(n_jets)
    mass = mass_of(tree.momenta[node, every], node <= n_merges)
    return Groomed(mass, tree.coordinates[node, every, 0], z_g, radius)


def _splitting(tree: Tree, pair: np.ndarray, jets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Momentum fraction and distance of the two branches ``pair``, shape (B, 2)."""
    pt, y, phi = np.moveaxis(tree.coordinates[pair, jets[:, None]], -1, 0)
    distance = np.hypot(y[:, 0] - y[:, 1], wrapped(phi[:, 0] - phi[:, 1]))
    return pt.min(axis=1) / pt.sum(axis=1), distance


_ANY_RADIUS = 999.0


def subjettiness(
    particles: Constituents, orders: Sequence[int], *, axes: str, jet_radius: float, beta: float = 1.0
) -> np.ndarray:
    r"""N-subjettiness from FastJet with the normalised measure.

    .. math:: \tau_N = \frac{\sum_i p_{T,i} \min_k \Delta R_{ik}^\beta}{R^\beta \sum_i p_{T,i}}

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
        0 when a jet has no more particles than axes.

    Raises
    ------
    MissingDependencyError
        When FastJet is not installed.

    References
    ----------
    Thaler and Van Tilburg, "Identifying Boosted Objects with N-subjettiness", Eq. 2.1, arXiv:1011.2268.
    """
    sequence = cluster_sequence(particles.momenta, particles.counts, "kt_algorithm", _ANY_RADIUS)
    tau = sequence.njettiness("NormalizedMeasure", FASTJET_AXES[axes], list(orders), beta=beta, R0=jet_radius)
    return np.asarray(tau, dtype=np.float64).reshape(len(particles.counts), len(orders))


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
        for rows, tree in self.particles.trees():
            for column, values in zip(result, soft_drop(tree, self.config.soft_drop), strict=True):
                column[rows] = values
        return result

    @cached_property
    def tau(self) -> dict[int, np.ndarray]:
        """tau_N with beta = 1 by N, shape (N,)."""
        axes, radius = self.config.axes, self.config.jet_radius
        tau = subjettiness(self.particles, self.orders, axes=axes, jet_radius=radius)
        return dict(zip(self.orders, tau.T, strict=True))

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
    for name in names:
        if name not in FORMULAS:
            raise ConfigError(f"no observable '{name}'; {nearest(name, FORMULAS)}")
    settings = config or ObservableConfig()
    radius = settings.jet_radius if jet_radius is None else jet_radius
    wanted = [name for name in names if name in _RADIUS_NAMES]
    settings = replace(settings, jet_radius=known_radius(jets, radius, wanted[0]) if wanted else 1.0)
    orders = tuple(sorted({int(k) for name in names if name.startswith("tau_") for k in name[4:]}))
    parts: dict[str, list[np.ndarray]] = {name: [np.empty(0)] for name in names}
    for rows in slices(jets):
        batch = Batch(Constituents(jets, rows), settings, orders)
        for name in names:
            parts[name].append(FORMULAS[name](batch))
    return {name: np.concatenate(values) for name, values in parts.items()}


EFP_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"prime_4_4": ("n==4", "d==4", "p==1"), "up_to_4": ("d<=4",)}
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
    if graphs not in EFP_SETS:
        raise ConfigError(f"no set of polynomials '{graphs}'; {nearest(graphs, EFP_SETS)}")
    efps, columns = _efp_set(EFP_SETS[graphs], beta), jets.particles
    fraction = columns["pt"] / np.repeat(jets.jet["pt"], jets.counts)
    particles = np.stack([fraction, columns["deta"], columns["dphi"]], axis=-1, dtype=np.float64)
    events = np.split(particles, jets.offsets[1:-1])[: len(jets)]
    rows = [efps.compute(event) for event in events]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(efps.graphs()))


@cache
def _efp_set(selection: tuple[str, ...], beta: float) -> Any:
    needs = "energy-flow polynomials need EnergyFlow, which does not import here"
    remedy = "use Python 3.11 or 3.12, 'energyflow==1.4.0', and 'wasserstein==1.1.0' (numpy 1.26)"
    with translated(MissingDependencyError, needs, remedy):  # it may fail with any error
        import energyflow
    return energyflow.EFPSet(*selection, measure="hadr", beta=beta, normed=False, coords="ptyphim")
