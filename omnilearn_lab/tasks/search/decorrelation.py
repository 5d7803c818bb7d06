"""Cuts that leave the mass alone: flat scores, planing, the failing jets as template, and a control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import abcd_closure, significance, spread
from omnilearn_lab.tasks.search.mass_fits import BumpHunt, MassFit, MassWindow, bump_hunt, spectrum_edges

_LEVELS = (0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
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
    spectrum, however much the score knows about the mass. For levels q the threshold :math:`t_q(m)` is a
    polynomial in the mass, fitted to the quantiles in mass bins of equal numbers of jets; in between, a jet's
    share is interpolated. Scores are compared by their rank, so any rising function of them gives the same.

    Parameters
    ----------
    ranked : array, shape (N,)
        Background scores in rising order.
    levels : array, shape (Q,)
    coefficients : array, shape (degree + 1, Q)
        Of the thresholds, as normal quantiles of the rank, by falling power of the scaled mass.
    centre, scale
        Of the mass [GeV].

    References
    ----------
    Dolen et al., arXiv:1603.00027 (designing decorrelated taggers); CMS, arXiv:1710.00159.

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

    ranked: np.ndarray
    levels: np.ndarray
    coefficients: np.ndarray
    centre: float
    scale: float

    @classmethod
    def fit(cls, background: ScoredJets, *, degree: int = 4, n_bins: int = 12) -> FlatScore:
        """Learn the thresholds from background jets of all masses, those of the signal region among them.

        Parameters
        ----------
        background : ScoredJets
        degree
            Of the polynomials at most; a third of the number of bins where that is less.
        n_bins
            Mass bins of equal numbers of jets at most; twenty jets in each.

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
        degree = min(degree, n_bins // 3)
        ranked = np.sort(scores)
        levels = np.array([q for q in _LEVELS if (1 - q) * len(scores) >= n_bins])
        centre, scale = float(masses.mean()), float(masses.std())
        bins = np.array_split(np.argsort(masses, kind="stable"), n_bins)
        middle = np.array([(masses[rows].mean() - centre) / scale for rows in bins])
        normal = _normal(ranked, scores)
        quantiles = np.array([np.quantile(normal[rows], levels) for rows in bins])
        return cls(ranked, levels, np.polyfit(middle, quantiles, degree), centre, scale)

    def __call__(self, jets: ScoredJets) -> np.ndarray:
        """Return the share of background jets of the same mass with a lower score, shape (N,)."""
        scores, masses = jets.scores, jets.masses
        normal, scaled = _normal(self.ranked, scores), (masses - self.centre) / self.scale
        powers = np.vander(scaled, len(self.coefficients))
        thresholds = np.maximum.accumulate(powers @ self.coefficients, axis=1)
        ends = _normal(self.ranked, np.array([-np.inf, np.inf]))
        first, last = (np.full((len(scores), 1), end) for end in ends)
        knots = np.concatenate([first, np.clip(thresholds, *ends), last], axis=1)
        shares = np.concatenate([[0.0], self.levels, [1.0]])
        right = np.clip((knots[:, 1:-1] <= normal[:, None]).sum(axis=1), 0, len(shares) - 2)
        rows = np.arange(len(scores))
        low, high = knots[rows, right], knots[rows, right + 1]
        part = np.divide(normal - low, high - low, out=np.zeros(len(scores)), where=high > low)
        return shares[right] + np.clip(part, 0, 1) * (shares[right + 1] - shares[right])


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
    *,
    closure: tuple[float, float] = (1.0, 0.0),
    n_bins: int = 16,
) -> BumpHunt:
    r"""Hunt a bump among the jets that pass a cut, with the jets that fail it as template of the background.

    If the cut keeps the same share of the background at every mass, jets that pass and jets that fail have
    the same spectrum, and :math:`A = B\,D/C` (ABCD): the failing jets in the signal region times the ratio of
    passing and failing jets beside it. No function has to be chosen.

    Parameters
    ----------
    masses : array, shape (N,)
        [GeV]
    passes : bool array, shape (N,)
    window : MassWindow
    closure
        :math:`\kappa = A C/(B D)` of background alone, which multiplies the estimate, and its uncertainty.
    n_bins
        About so many bins between the limits, with edges on the signal region's.

    Returns
    -------
    BumpHunt
        Its curve is the scaled template; pseudo-experiments are not made.

    Raises
    ------
    MetricError
        Where no jets pass, or fail, beside the region, or none fails inside.

    References
    ----------
    OmniLearned anomaly search, arXiv:2603.23593 (ABCD).
    """
    masses, passes = np.asarray(masses, dtype=float), np.asarray(passes, dtype=bool)
    if masses.shape != passes.shape or not np.isfinite(masses).all():
        raise MetricError("masses must be finite, with one decision each; remove jets without a mass")
    edges = spectrum_edges(window, n_bins)
    is_signal = window.inside((edges[1:] + edges[:-1]) / 2)
    counts, failing = (np.histogram(masses[chosen], edges)[0] for chosen in (passes, ~passes))
    regions = counts[is_signal], counts[~is_signal], failing[~is_signal], failing[is_signal]
    a, b, c, d = (int(region.sum()) for region in regions)
    if not min(b, c, d):
        raise MetricError(
            f"the template needs jets that pass ({b}) and fail ({c}) beside the signal region, and jets that "
            f"fail ({d}) inside: loosen the cut, or widen the limits"
        )
    ratio, (kappa, kappa_error) = b / c, closure
    curve = failing * ratio * np.where(is_signal, kappa, 1.0)
    common, own = 1 / b + 1 / c, 1 / np.maximum(failing, 1)
    expected = d * ratio * kappa
    error = expected * np.sqrt(common + 1 / d + (kappa_error / kappa) ** 2)
    deviations = (counts - curve) ** 2 / (np.maximum(curve, 1) + curve**2 * own)
    return BumpHunt(
        signal_region=window.signal_region,
        edges=edges,
        counts=counts,
        curve=curve,
        curve_uncertainty=curve * np.sqrt(common + own),
        observed=a,
        expected=expected,
        expected_uncertainty=error,
        significance=_pull(a, expected, error),
        chi2=float(deviations[~is_signal].sum()),
        n_degrees_of_freedom=int((~is_signal).sum()) - 1,
    )


def flat_scan(
    data: ScoredJets, reference: ScoredJets, window: MassWindow, kept: Sequence[float]
) -> tuple[ScanPoint, ...]:
    """Cut on a score that a background reference has made flat in mass, and hunt with the failing jets.

    Parameters
    ----------
    data, reference : ScoredJets
        Scored alike; the reference holds no signal. What its own cut does not leave flat corrects the
        estimate, with its uncertainty.
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
    ours, theirs = flat(data), flat(reference)
    inside, beside = window.inside(reference.masses), window.beside(reference.masses)

    def hunt(share: float) -> BumpHunt:
        is_kept = theirs >= 1 - share
        regions = (inside & is_kept, beside & is_kept, beside & ~is_kept, inside & ~is_kept)
        closed = abcd_closure(*([int(region.sum())] for region in regions))
        kappa = (closed.mean_ratio, closed.mean_ratio_uncertainty)
        return template_hunt(data.masses, ours >= 1 - share, window, closure=kappa)

    return tuple(ScanPoint.of(share, hunt, share) for share in kept)


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
    def error(self) -> float:
        """Standard error of the mean."""
        return float(max(self.values.std(ddof=1), self.least_spread) / np.sqrt(len(self.values)))

    @property
    def is_flat(self) -> bool:
        """Whether the mean is zero within two standard errors."""
        return abs(self.mean) <= 2 * self.error

    def __str__(self) -> str:
        verdict = "flat" if self.is_flat else "NOT FLAT: no excess of this cut can be believed"
        return (
            f"{self.mean:+.2f} ± {self.error:.2f} sigma on average (spread {self.values.std(ddof=1):.2f}, "
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


def _normal(ranked: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Normal quantile of the rank of scores among sorted ones; ties get their middle."""
    places = (np.searchsorted(ranked, scores, side=side) for side in ("left", "right"))
    return ndtri((0.5 * sum(places) + 0.5) / (len(ranked) + 1))


def _pull(observed: int, expected: float, error: float) -> float:
    """Significance of an excess over an uncertain background, negative for a deficit."""
    if observed >= expected:
        return significance(observed - expected, expected, background_uncertainty=error)
    return -float((expected - observed) / np.sqrt(expected + error**2))
