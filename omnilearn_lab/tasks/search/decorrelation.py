"""Cuts that leave the mass alone: flat scores, planing, the failing jets as template, and a control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import significance, spread
from omnilearn_lab.tasks.search.mass_fits import BumpHunt, MassFit, MassWindow, bump_hunt, spectrum_edges

_MIN_PER_BIN = 20


class ScoredJets(NamedTuple):
    """Jets as a search sees them: their masses [GeV] and scores, shape (N,); see `scored`."""

    masses: np.ndarray
    scores: np.ndarray

    def rows(self, rows: np.ndarray) -> ScoredJets:
        """Return some of the jets."""
        return ScoredJets(self.masses[rows], self.scores[rows])


def scored(masses: ArrayLike, scores: ArrayLike) -> ScoredJets:
    """Return masses and scores together, checked.

    Raises
    ------
    MetricError
        For different lengths, or values that are not finite.
    """
    masses, scores = np.asarray(masses, dtype=float), np.asarray(scores, dtype=float)
    if scores.shape != masses.shape or scores.ndim != 1 or not len(scores):
        raise MetricError(f"masses and scores have shapes {masses.shape} and {scores.shape}; (N,) is needed")
    if not (np.isfinite(scores).all() and np.isfinite(masses).all()):
        raise MetricError("masses or scores are not finite; remove those jets")
    return ScoredJets(masses, scores)


@dataclass(frozen=True, eq=False)
class ScanPoint:
    """A bump hunt in the most anomalous part of the data.

    Parameters
    ----------
    kept
        Share of the data that is kept.
    hunt : BumpHunt or None
        None where the sidebands are too thin for a fit; ``problem`` then says so.
    problem
    """

    kept: float
    hunt: BumpHunt | None
    problem: str = ""

    @classmethod
    def of(cls, kept: float, hunt: Callable[..., BumpHunt], *arguments: Any, **options: Any) -> ScanPoint:
        """Hunt, and keep what it says where it cannot."""
        try:
            return cls(kept, hunt(*arguments, **options))
        except MetricError as error:
            return cls(kept, None, str(error))

    @property
    def significance(self) -> float:
        """Local significance in standard deviations; NaN without a fit."""
        return np.nan if self.hunt is None else self.hunt.significance


def efficiency_scan(
    masses: ArrayLike,
    scores: ArrayLike,
    signal_region: tuple[float, float],
    *,
    fit: MassFit = MassFit(),
    kept: Sequence[float] = (1.0, 0.3, 0.1, 0.05),
) -> tuple[ScanPoint, ...]:
    """Hunt a bump in shares of the data with the highest scores.

    A score that depends on the mass bends the spectrum: look at the fits' chi2 and at a background-only
    sample before believing an excess. Several cuts are several looks; the p-values are local.

    Parameters
    ----------
    masses, scores : array, shape (N,)
        [GeV]; a larger score is more anomalous.
    signal_region
        [GeV].
    fit : MassFit
    kept
        Shares of the data, as in the documentation of OmniLearned.

    Returns
    -------
    tuple of ScanPoint

    Raises
    ------
    MetricError
        For values that are not finite, different lengths, or shares outside (0, 1].
    """
    masses, scores = scored(masses, scores)
    if not all(0 < share <= 1 for share in kept):
        raise MetricError(f"shares to keep are {tuple(kept)}; they must lie in (0, 1]")
    order = np.argsort(-scores, kind="stable")
    best = {share: masses[order[: round(share * len(order))]] for share in kept}
    return tuple(ScanPoint.of(share, bump_hunt, best[share], signal_region, fit) for share in kept)


def significances(scans: Mapping[str, Sequence[Sequence[ScanPoint]]]) -> dict[str, dict[str, list[float]]]:
    """Return local significances by name and share of the data, one per scan, for ``plotting.metric_bars``.

    Parameters
    ----------
    scans : mapping of name to scans
        Such as one of `efficiency_scan` per seed. Shares where one of them has no fit are left out.
    """
    table = {
        name: {f"{same[0].kept:.0%} kept": [p.significance for p in same] for same in zip(*runs, strict=True)}
        for name, runs in scans.items()
    }
    return {name: {s: v for s, v in row.items() if np.isfinite(v).all()} for name, row in table.items()}


@dataclass(frozen=True, eq=False)
class FlatScore:
    r"""A score turned into the share of background jets *of the same mass* that score lower.

    Cutting at 1 - e keeps a share e of the background at every mass, so that the cut does not bend its
    spectrum, however much the score knows about the mass. Shares are counted in mass bins of equal numbers of
    jets and interpolated between the bins' means, :math:`F(s|m) = \sum_k w_k(m) F_k(s)`; narrow bins follow
    a score that rises and falls with the mass. Any rising function of the score gives the same.

    Parameters
    ----------
    centres : array, shape (K,)
        Mean mass of each bin [GeV].
    ranked : tuple of K arrays
        Background scores of each bin in rising order.

    References
    ----------
    Dolen et al., arXiv:1603.00027 (designing decorrelated taggers); CMS, arXiv:1710.00159 and 1909.04114
    (thresholds that keep a fixed share of QCD jets at each mass).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> mass = rng.uniform(100, 260, 20_000)
    >>> score = mass / 260 + rng.normal(0, 0.2, 20_000)  # high masses look like signal
    >>> jets = ScoredJets(mass, score)
    >>> flat = FlatScore.fit(jets)(jets) > 0.9
    >>> [round(float(flat[(mass > m) & (mass < m + 40)].mean()), 1) for m in (100, 160, 220)]
    [0.1, 0.1, 0.1]
    """

    centres: np.ndarray
    ranked: tuple[np.ndarray, ...]

    @classmethod
    def fit(cls, background: ScoredJets, *, n_bins: int = 100) -> FlatScore:
        """Rank background jets of all masses, those of the signal region among them.

        Parameters
        ----------
        background : ScoredJets
        n_bins
            Mass bins at most; twenty jets in each.

        Raises
        ------
        MetricError
            For fewer than sixty jets.
        """
        scores, masses = background.scores, background.masses
        n_bins = min(n_bins, len(scores) // _MIN_PER_BIN)
        if n_bins < 3:
            raise MetricError(
                f"{len(scores)} background jets are too few for a flat score; {3 * _MIN_PER_BIN} are needed"
            )
        bins = np.array_split(np.argsort(masses, kind="stable"), n_bins)
        return cls(np.array([masses[k].mean() for k in bins]), tuple(np.sort(scores[k]) for k in bins))

    @property
    def n_jets(self) -> np.ndarray:
        """Background jets in each bin, shape (K,)."""
        return np.array([len(ranked) for ranked in self.ranked])

    def weights(self, masses: np.ndarray) -> np.ndarray:
        """Return how much each bin says about jets of some masses [GeV], shape (N, K); rows sum to one."""
        bins = np.arange(len(self.centres))
        return np.maximum(1 - np.abs(np.interp(masses, self.centres, bins)[:, None] - bins), 0.0)

    def __call__(self, jets: ScoredJets) -> np.ndarray:
        """Return the share of background jets of the same mass with a lower score, shape (N,); ties half."""
        share = np.zeros(len(jets.scores))
        for ranked, weight in zip(self.ranked, self.weights(jets.masses).T, strict=True):
            near = np.flatnonzero(weight)
            low, high = (np.searchsorted(ranked, jets.scores[near], side=side) for side in ("left", "right"))
            share[near] += weight[near] * (low + high + 1) / (2 * len(ranked) + 2)
        return share


def planing_weights(
    masses: ArrayLike, target_masses: ArrayLike, limits: tuple[float, float], *, n_bins: int = 10
) -> np.ndarray:
    """Return weights that give a sample the mass spectrum of another, so that no network learns from it.

    Parameters
    ----------
    masses : array, shape (N,)
        [GeV]
    target_masses : array, shape (M,)
    limits
        [GeV]; outside, weights are one.
    n_bins
        Equal bins; where the sample has no jets, the target's are lost.

    Returns
    -------
    array, shape (N,)
        Of mean one.

    References
    ----------
    ATLAS, ATL-PHYS-PUB-2018-014; Chang, Cohen and Ostdiek, arXiv:1709.10106.

    Examples
    --------
    >>> planing_weights([110.0, 110.0, 190.0], [110.0, 190.0, 190.0], (100.0, 200.0), n_bins=2).tolist()
    [0.5, 0.5, 2.0]
    """
    masses, target = np.asarray(masses, dtype=float), np.asarray(target_masses, dtype=float)
    edges = np.linspace(*limits, n_bins + 1)
    ours, theirs = (np.histogram(m, edges)[0] / max(len(m), 1) for m in (masses, target))
    ratio = np.divide(theirs, ours, out=np.ones(n_bins), where=ours > 0)
    index = np.searchsorted(edges, masses, side="right") - 1
    inside = (index >= 0) & (index < n_bins)
    weights = np.where(inside, ratio[np.clip(index, 0, n_bins - 1)], 1.0)
    return weights / weights.mean()


def template_hunt(
    masses: ArrayLike,
    passes: ArrayLike,
    window: MassWindow,
    flat: FlatScore | None = None,
    *,
    degree: int = 1,
    n_bins: int = 16,
) -> BumpHunt:
    r"""Hunt a bump among the jets that pass a cut, with the jets that fail it as template of the background.

    Each failing jet counts as :math:`R(m) = \exp\sum_j \theta_j t^j` passing ones, t being the mass scaled to
    -1 and 1 at the limits: a polynomial transfer factor, which is the odds of a logistic regression of the
    decision on the mass, fitted to the jets beside the signal region. A cut that keeps the same share
    :math:`\epsilon` of the background at every mass needs no more than a constant, but for the finite number
    of jets :math:`n_k` in bin k of the flat score: they shift ln R by :math:`\sum_k w_k(m) \nu_k` with
    :math:`\nu_k = 0 \pm [n_k \epsilon (1 - \epsilon)]^{-1/2}`. What they do to fit and template is part of
    the uncertainty, as are the counts of the failing jets. Signal that fails the cut is taken for background:
    it lowers the excess by R times its number.

    Parameters
    ----------
    masses : array, shape (N,)
        [GeV]
    passes : bool array, shape (N,)
    window : MassWindow
    flat : FlatScore, optional
        The score that was cut on; None for a cut that was not learned from jets.
    degree
        Of the polynomial; with 0 and no flat score this is ABCD, :math:`A = B\,D/C`.
    n_bins
        About so many bins between the limits, with edges on the signal region's.

    Returns
    -------
    BumpHunt
        Its curve is the sum of R over the failing jets; its chi2 has the template's own errors in it.

    Raises
    ------
    MetricError
        Where no jets pass, or fail, beside the region, or none fails inside.

    References
    ----------
    CMS, arXiv:1705.10532 and 1909.04114 (polynomial transfer factor between jets that fail and that pass a
    decorrelated tagger); OmniLearned anomaly search, arXiv:2603.23593 (ABCD).
    """
    masses, passes = np.asarray(masses, dtype=float), np.asarray(passes, dtype=bool)
    if masses.shape != passes.shape or not np.isfinite(masses).all():
        raise MetricError("masses must be finite, with one decision each; remove jets without a mass")
    edges = spectrum_edges(window, n_bins)
    is_signal = window.inside((edges[1:] + edges[:-1]) / 2)
    counts = np.histogram(masses[passes], edges)[0]
    template = _template(masses, passes, window, edges, degree, flat)
    observed, expected = int(counts[is_signal].sum()), float(template.curve[is_signal].sum())
    error = float(np.sqrt(template.covariance[np.ix_(is_signal, is_signal)].sum()))
    deviations = (counts - template.curve) ** 2 / (np.maximum(template.curve, 1) + template.local)
    return BumpHunt(
        signal_region=window.signal_region,
        edges=edges,
        counts=counts,
        curve=template.curve,
        curve_uncertainty=np.sqrt(np.diag(template.covariance)),
        observed=observed,
        expected=expected,
        expected_uncertainty=error,
        significance=_pull(observed, expected, error),
        chi2=float(deviations[~is_signal].sum()),
        n_degrees_of_freedom=int((~is_signal).sum()) - degree - 1,
    )


def flat_scan(
    data: ScoredJets, reference: ScoredJets, window: MassWindow, kept: Sequence[float]
) -> tuple[ScanPoint, ...]:
    """Cut on a score that a background reference has made flat in mass, and hunt with the failing jets.

    Parameters
    ----------
    data, reference : ScoredJets
        Scored alike; the reference holds no signal.
    window : MassWindow
    kept
        Shares of the background that pass, below one.

    Returns
    -------
    tuple of ScanPoint

    Raises
    ------
    MetricError
        For too few reference jets.
    """
    flat = FlatScore.fit(reference)
    ours = flat(data)
    return tuple(
        ScanPoint.of(share, template_hunt, data.masses, ours >= 1 - share, window, flat) for share in kept
    )


@dataclass(frozen=True, eq=False)
class Control:
    """Significances of one cut in pseudo-experiments without a signal.

    Parameters
    ----------
    values : array, shape (E,)
    least_spread
        Spread that they have at least: 1 for experiments that share no event, where few may agree by chance.
    """

    values: np.ndarray
    least_spread: float = 0.0

    @property
    def mean(self) -> float:
        """Mean significance; zero when the cut does not bend the spectrum."""
        return float(self.values.mean())

    @property
    def std(self) -> float:
        """Spread of the experiments: what a single one may show by chance."""
        return float(self.values.std(ddof=1))

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return float(max(self.std, self.least_spread) / np.sqrt(len(self.values)))

    @property
    def is_flat(self) -> bool:
        """Whether the mean is zero within two standard errors."""
        return abs(self.mean) <= 2 * self.error

    def __str__(self) -> str:
        verdict = "flat" if self.is_flat else "NOT FLAT: no excess of this cut can be believed"
        return (
            f"{self.mean:+.2f} ± {self.error:.2f} sigma on average (spread {self.std:.2f}, "
            f"{len(self.values)} pseudo-experiments): {verdict}"
        )


def control_experiments(
    search: Callable[[np.ndarray, np.ndarray], Sequence[ScanPoint]],
    n_jets: int,
    *,
    n_experiments: int = 20,
    seed: int = 1,
) -> dict[float, Control]:
    """Repeat a search on halves of a sample without signal: one plays data, the other reference.

    Halves of one sample share jets, so that their mean may miss zero by more than its error says, which makes
    "not flat" too frequent, never too rare.

    Parameters
    ----------
    search
        Called with the row numbers of data and of reference; returns what `flat_scan` does.
    n_jets
        Jets of the sample.
    n_experiments
        At least two.
    seed

    Returns
    -------
    dict of share to Control
        Shares with a gap in one experiment are left out.

    Raises
    ------
    MetricError
        For fewer than two jets or experiments.
    """
    if min(n_jets, n_experiments) < 2:
        raise MetricError(f"{n_experiments} experiments with {n_jets} jets: at least two of both are needed")
    rng = np.random.default_rng(seed)
    orders = (rng.permutation(n_jets) for _ in range(n_experiments))
    runs = [search(*np.split(order, [n_jets // 2])) for order in orders]
    values = {point[0].kept: np.array([p.significance for p in point]) for point in zip(*runs, strict=True)}
    return {share: Control(found) for share, found in values.items() if np.isfinite(found).all()}


def flat_control(
    background: ScoredJets,
    window: MassWindow,
    kept: Sequence[float],
    *,
    n_experiments: int = 20,
    seed: int = 1,
) -> dict[float, Control]:
    """Repeat `flat_scan` without a signal: half of the background plays data, the other half reference.

    Parameters
    ----------
    background : ScoredJets
    window, kept
        As there.
    n_experiments, seed
        As in `control_experiments`.
    """

    def search(data: np.ndarray, reference: np.ndarray) -> tuple[ScanPoint, ...]:
        return flat_scan(background.rows(data), background.rows(reference), window, kept)

    return control_experiments(search, len(background.masses), n_experiments=n_experiments, seed=seed)


def judged(
    scans: Mapping[str, Sequence[Sequence[ScanPoint]]], controls: Mapping[str, Mapping[float, Control]]
) -> str:
    """Say in words what a search found: an excess counts where its control is flat and it exceeds two sigma.

    Parameters
    ----------
    scans : mapping of a score's name to scans, one per seed
    controls : mapping of name to Control by share
        Names without one cannot be judged.

    Returns
    -------
    str
        A line per score and share.
    """
    lines = []
    for name, runs in scans.items():
        for same in zip(*runs, strict=True):
            share, values = same[0].kept, spread([point.significance for point in same])
            control = controls.get(name, {}).get(share)
            if control is None:
                verdict = "no control, no claim"
            elif not control.is_flat:
                verdict = "the control is not flat: no claim"
            else:
                verdict = "found" if values.mean > 2 else "not found"
            lines.append(f"{name}, {share:.0%} kept: {values} sigma: {verdict}")
    return "\n".join(lines)


def _pull(observed: int, expected: float, error: float) -> float:
    """Significance of an excess over an uncertain background, negative for a deficit."""
    if observed >= expected:
        return significance(observed - expected, expected, background_uncertainty=error)
    return -float((expected - observed) / np.sqrt(expected + error**2))


class _Template(NamedTuple):
    """What passes in bins of the mass, its covariance (K, K), and its variance but for that of the fit."""

    curve: np.ndarray
    covariance: np.ndarray
    local: np.ndarray


def _template(
    masses: np.ndarray,
    passes: np.ndarray,
    window: MassWindow,
    edges: np.ndarray,
    degree: int,
    flat: FlatScore | None,
) -> _Template:
    """Fit the transfer factor beside the signal region, and apply it to the failing jets."""
    inside, beside = window.inside(masses), window.beside(masses)
    b, c, d = (int(region.sum()) for region in (passes & beside, ~passes & beside, ~passes & inside))
    if not min(b, c, d):
        raise MetricError(
            f"the template needs jets that pass ({b}) and fail ({c}) beside the signal region, and jets that "
            f"fail ({d}) inside: loosen the cut, or widen the limits"
        )
    terms = np.vander((2 * masses - sum(window.limits)) / np.ptp(window.limits), degree + 1)
    theta, information, weight = _fit_odds(terms[beside], passes[beside])
    transfer = np.exp(terms @ theta)[~passes]
    is_bin = np.arange(len(edges) - 1)[:, None] == np.searchsorted(edges, masses[~passes], side="right") - 1
    slope, counting = is_bin @ (transfer[:, None] * terms[~passes]), is_bin @ transfer**2
    covariance, local = slope @ np.linalg.solve(information, slope.T) + np.diag(counting), counting
    if flat is not None:
        bins = flat.weights(masses) * ((b + c) / np.sqrt(flat.n_jets * b * c))  # one sigma of each nu
        shift = is_bin @ (transfer[:, None] * bins[~passes])
        moved = np.linalg.solve(information, (weight[:, None] * terms[beside]).T @ bins[beside])
        noise = shift - slope @ moved
        covariance, local = covariance + noise @ noise.T, local + (shift**2).sum(axis=1)
    return _Template(is_bin @ transfer, covariance, local)


def _fit_odds(terms: np.ndarray, passes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return factors, information and variances of a logistic regression of a decision on terms (N, P)."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=np.inf, fit_intercept=False, solver="newton-cholesky", tol=1e-8)
    theta = model.fit(terms, passes).coef_[0]
    share = expit(terms @ theta)
    weight = share * (1 - share)
    return theta, (terms * weight[:, None]).T @ terms, weight
