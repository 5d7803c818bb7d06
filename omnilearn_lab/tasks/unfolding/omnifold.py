"""OmniFold: unfold all of phase space at once, by reweighting at detector and at particle level in turn."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.simulation import PairedJets
from omnilearn_lab.tasks.reweighting.reweighter import Reweighter
from omnilearn_lab.tasks.reweighting.samples import (
    PairedSample,
    Sample,
    check_sample,
    check_weights,
    rows_of,
    weights_of,
)
from omnilearn_lab.tasks.unfolding.result import OmniFoldConfig, UnfoldingResult

_BOOTSTRAP_SEED = 77


class OmniFold:
    r"""Unbinned unfolding of everything that the networks see.

    Starting from :math:`\nu_0 = 1`, iteration n does two reweightings of the simulation (weights w):

    1. detector level: :math:`\omega_n = \nu_{n-1}\, p_\mathrm{data}(x)/p_{\nu_{n-1}w}(x)`;
    2. particle level: :math:`\nu_n(z) = p_{\omega_n w}(z)/p_w(z)`, a function of the particle-level jet.

    Weights :math:`\nu_n w` make the simulation's particle level look like the truth behind the data. Fakes
    keep the simulation's weight, as a background would.

    Parameters
    ----------
    config : OmniFoldConfig
    run_directory
        Every training is kept there: an unfolding that was stopped goes on where it was.
    workers
        Ensemble members and bootstrap repetitions run side by side in so many processes.
    progress
        Show a progress bar over them.

    References
    ----------
    Andreassen, Komiske, Metodiev, Nachman and Thaler, arXiv:1911.09107, eqs. 5 to 8; with efficiency and
    fakes, arXiv:2105.04448, section III.

    Examples
    --------
    >>> from omnilearn_lab.tasks.reweighting import PairedSample, RatioConfig
    >>> rng = np.random.default_rng(0)
    >>> truth, hidden = rng.normal(0, 1, 4000), rng.normal(0.3, 1, 4000)
    >>> simulation = PairedSample(truth, truth + rng.normal(0, 0.5, 4000))
    >>> config = OmniFoldConfig(RatioConfig(network="logistic"), n_iterations=4)
    >>> result = OmniFold(config).fit(simulation, hidden + rng.normal(0, 0.5, 4000))
    >>> abs(np.average(truth, weights=result.particle_weights()) - 0.3) < 0.05
    True
    """

    def __init__(
        self,
        config: OmniFoldConfig | None = None,
        *,
        run_directory: str | os.PathLike[str] | None = None,
        workers: int | None = 1,
        progress: bool = False,
    ) -> None:
        self.config = config or OmniFoldConfig()
        self.run_directory, self.workers, self.progress = run_directory, workers, progress
        self.reweighters: tuple[Reweighter, ...] = ()

    def fit(
        self,
        simulation: PairedSample | PairedJets,
        data: Sample,
        *,
        data_weights: ArrayLike | None = None,
    ) -> UnfoldingResult:
        """Unfold data.

        Parameters
        ----------
        simulation
            Events at both levels.
        data : Jets, or table
            Detector level only.
        data_weights : array, shape (M,), optional
            By default the jets' own, or ones.

        Returns
        -------
        UnfoldingResult

        Raises
        ------
        JetsError
            For empty samples, levels that do not pair, not-a-number, or bad weights.
        """
        sample, data = PairedSample.of(simulation), check_sample("data", data)
        own = weights_of(data) if data_weights is None else data_weights
        weights = check_weights("the data", own, len(data))
        _check_columns(sample, data)
        members = [_Member(seed) for seed in self.config.seeds]
        repetitions = [_Member(self.config.seeds[0], number) for number in range(self.config.n_bootstrap)]
        jobs = {m: (sample, data, weights, self.config, m, self._folder(m)) for m in members + repetitions}
        runs = run_jobs(_unfold_once, jobs, workers=self.workers, progress=self.progress, title="unfoldings")
        ensemble = [runs[member] for member in members]
        self.reweighters = tuple(run.reweighter for run in ensemble)
        return UnfoldingResult(
            config=self.config,
            prior=ensemble[0].prior,
            pass_truth=sample.pass_truth,
            pass_detector=sample.pass_detector,
            push=np.stack([run.push for run in ensemble]),
            pull=np.stack([run.pull for run in ensemble]),
            bootstrap=np.array([runs[number].unfolded for number in repetitions]).reshape(-1, len(sample)),
        )

    def predict(self, truth: Sample) -> np.ndarray:
        """Return the last particle-level weight of other particle-level jets, shape (members, N).

        They multiply the weights of a simulation like the one that was fitted, and have the same
        normalisation there.

        Raises
        ------
        ConfigError
            Before `fit`.
        """
        if not self.reweighters:
            raise ConfigError("nothing was unfolded yet; call fit(simulation, data) first")
        return np.stack([reweighter.predict(truth) for reweighter in self.reweighters])

    def _folder(self, member: _Member) -> Path | None:
        return None if self.run_directory is None else Path(self.run_directory) / member.folder


class _Member(NamedTuple):
    """One of the unfoldings: a network seed, and the number of the bootstrap repetition, if it is one."""

    seed: int
    bootstrap: int | None = None

    @property
    def folder(self) -> str:
        return f"member-seed{self.seed}" if self.bootstrap is None else f"bootstrap-{self.bootstrap}"


@dataclass(frozen=True, eq=False)
class _Run:
    """One unfolding: weights of every iteration, shape (I, N), relative to ``prior``, shape (N,)."""

    prior: np.ndarray
    push: np.ndarray
    pull: np.ndarray
    reweighter: Reweighter

    @property
    def unfolded(self) -> np.ndarray:
        return self.prior * self.push[-1]


def _unfold_once(
    sample: PairedSample,
    data: Sample,
    data_weights: np.ndarray,
    config: OmniFoldConfig,
    member: _Member,
    folder: Path | None,
) -> _Run:
    if member.bootstrap is not None:
        rng = np.random.default_rng([_BOOTSTRAP_SEED, member.bootstrap])
        data_weights = data_weights * rng.poisson(1.0, len(data))
        sample = sample.scaled(rng.poisson(1.0, len(sample))) if config.bootstrap == "both" else sample
    if config.normalise:
        sample = sample.scaled(data_weights.sum() / sample.weight[sample.pass_detector].sum())
    levels = _Levels(sample, config.acceptance)
    first = second = None
    push, pushes, pulls = np.ones(len(sample)), [], []
    for iteration in range(config.n_iterations):
        where = folder and folder / f"iteration-{iteration + 1}"
        ratio1, ratio2 = (config.ratio(step, iteration, member.seed) for step in (1, 2))
        first = Reweighter(ratio1, start=first, total="target")
        pull = levels.pull(first, push, (data, data_weights), where and where / "step-1")
        second = Reweighter(ratio2, start=second, total="target")
        push = levels.push(second, push, pull, where and where / "step-2")
        pushes.append(push)
        pulls.append(pull)
    return _Run(sample.weight, np.stack(pushes), np.stack(pulls), second)


class _Levels:
    """The two reweightings of one simulated sample."""

    def __init__(self, sample: PairedSample, acceptance: str) -> None:
        self.sample = sample
        self.detector = rows_of(sample.detector, sample.pass_detector)
        seen = sample.pass_truth & sample.pass_detector
        self.learns = seen if acceptance == "average" else sample.pass_truth
        self.truth = rows_of(sample.truth, self.learns)

    def pull(
        self,
        reweighter: Reweighter,
        push: np.ndarray,
        data: tuple[Sample, np.ndarray],
        folder: Path | None,
    ) -> np.ndarray:
        """Step 1: weights that make the detector level look like the data; one where nothing was seen."""
        seen = self.sample.pass_detector
        weights = {"source_weights": (self.sample.weight * push)[seen], "target_weights": data[1]}
        pull = np.ones(len(push))
        ratio = reweighter.fit_predict(self.detector, data[0], **weights, run_directory=folder)
        pull[seen] = push[seen] * ratio
        return pull

    def push(
        self, reweighter: Reweighter, push: np.ndarray, pull: np.ndarray, folder: Path | None
    ) -> np.ndarray:
        """Step 2: the same weights as a function of the particle level; one for fakes."""
        sample, learns = self.sample, self.learns
        target = sample.weight * np.where(sample.pass_detector, pull, push)
        weights = {"source_weights": sample.weight[learns], "target_weights": target[learns]}
        new = np.ones(len(push))
        new[learns] = reweighter.fit_predict(self.truth, self.truth, **weights, run_directory=folder)
        missed = sample.pass_truth & ~learns
        if missed.any():
            new[missed] = reweighter.predict(rows_of(sample.truth, missed))
        return new


def _check_columns(sample: PairedSample, data: Sample) -> None:
    detector = rows_of(sample.detector, np.arange(1))
    kinds = [None if isinstance(x, Jets) else x.shape[1] for x in (detector, data)]
    if kinds[0] != kinds[1]:
        raise JetsError(
            f"the simulation's detector level has {kinds[0]} columns and the data {kinds[1]} (None: Jets); "
            "they must agree"
        )
