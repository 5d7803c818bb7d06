"""A likelihood ratio that is known exactly, and how well networks learn it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from omnilearn_lab.display import label
from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.observables import observables
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig
from omnilearn_lab.tasks.reweighting.reweighter import Reweighter


@dataclass(frozen=True, eq=False)
class TiltedJets:
    """Two samples of the same jets, one of them thinned out by a known probability.

    Parameters
    ----------
    source, target : Jets
        Independent jets; the density of ``target`` is that of ``source`` times the ratio.
    log_ratio : array, shape (N,)
        Of the source jets, for densities of equal integral.
    """

    source: Jets
    target: Jets
    log_ratio: np.ndarray


def tilt(jets: Jets, observable: str = "width", *, strength: float = 1.5, seed: int = 1) -> TiltedJets:
    r"""Make a target whose likelihood ratio to the source is known exactly.

    Half of the jets are the source. Of the others, a jet stays with probability
    :math:`\sigma(a (x - \bar x)/s)` (x: the observable, a: strength, s: its standard deviation), so the
    ratio is that probability over its mean.

    Parameters
    ----------
    jets : Jets
    observable
        A name that `omnilearn_lab.observables.observables` knows.
    strength
        Zero leaves nothing to learn.
    seed

    Raises
    ------
    JetsError
        For fewer than four jets, or an observable that is not finite for all of them.
    """
    x = observables(jets, [observable])[observable]
    if len(jets) < 4 or not np.isfinite(x).all():
        raise JetsError(f"tilting needs at least four jets with a finite {observable}; {len(jets)} given")
    rng = np.random.default_rng(seed)
    first = rng.permutation(len(jets)) < len(jets) // 2
    probability = 1 / (1 + np.exp(-strength * (x - x.mean()) / x.std()))
    kept = ~first & (rng.random(len(jets)) < probability)
    ratio = probability[first] / probability.mean()
    return TiltedJets(jets[first], jets[kept], np.log(ratio))


@dataclass(frozen=True, eq=False)
class RatioCheck:
    """A learnt log ratio beside the true one, on source jets that were not fitted.

    Parameters
    ----------
    learnt, true : array, shape (N,)
    """

    learnt: np.ndarray
    true: np.ndarray

    @property
    def error(self) -> float:
        """Root mean square of learnt minus true."""
        return float(np.sqrt(np.mean((self.learnt - self.true) ** 2)))

    @property
    def size(self) -> float:
        """Root mean square of the true log ratio: the error of weights that are all one."""
        return float(np.sqrt(np.mean(self.true**2)))

    @property
    def correlation(self) -> float:
        """Linear correlation of learnt and true."""
        return float(np.corrcoef(self.learnt, self.true)[0, 1])

    def __repr__(self) -> str:
        return f"error of ln w {self.error:.3f} (weights of one: {self.size:.3f}), r = {self.correlation:.3f}"


def check_known_ratio(
    tilted: TiltedJets,
    configs: Mapping[str, RatioConfig],
    *,
    test_fraction: float = 0.4,
    workers: int | None = None,
) -> dict[str, RatioCheck]:
    """Learn a ratio that is known, in several ways, and compare on source jets that were not fitted.

    Parameters
    ----------
    tilted : TiltedJets
    configs : mapping of name to RatioConfig
    test_fraction
        Share of the source jets to compare on.
    workers
        Processes; all usable cores by default.

    Returns
    -------
    dict of name to RatioCheck
    """
    n_train = round((1 - test_fraction) * len(tilted.source))
    samples = (tilted.source[:n_train], tilted.target, tilted.source[n_train:])
    jobs = {name: (*samples, config) for name, config in configs.items()}
    learnt = run_jobs(_learn, jobs, workers=workers, title="known ratio")
    return {name: RatioCheck(np.log(w), tilted.log_ratio[n_train:]) for name, w in learnt.items()}


def ratio_curves(
    checks: Mapping[str, RatioCheck], *, n_bins: int = 8
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return mean learnt against mean true weight, in bins of equal numbers of jets, and the ideal line.

    Parameters
    ----------
    checks : mapping of name to RatioCheck
        On the same jets.
    n_bins

    Returns
    -------
    dict of name to (true, learnt)
        As `omnilearn_lab.plotting.scaling_curve` takes them; ``"ideal"`` first.
    """
    true = np.exp(next(iter(checks.values())).true)
    groups = np.array_split(np.argsort(true), min(n_bins, len(true)))
    centers = np.array([true[rows].mean() for rows in groups])
    curves = {
        label(name): (centers, np.array([np.exp(check.learnt[rows]).mean() for rows in groups]))
        for name, check in checks.items()
    }
    return {"ideal": (centers, centers)} | curves


def _learn(source: Jets, target: Jets, others: Jets, config: RatioConfig) -> np.ndarray:
    return Reweighter(config).fit(source, target).predict(others)
