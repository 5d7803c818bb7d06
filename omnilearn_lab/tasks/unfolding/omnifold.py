"""OmniFold: unfold all of phase space at once, by reweighting at detector and at particle level in turn."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.settings import settings
from omnilearn_lab.simulation import PairedJets
from omnilearn_lab.tasks.reweighting.paired_sample import PairedSample, rows_of
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig, Sample, check_sample, check_weights
from omnilearn_lab.tasks.reweighting.reweighter import Reweighter, weights_of
from omnilearn_lab.tasks.unfolding.result import UnfoldingResult
from omnilearn_lab.training import TrainConfig

__all__ = ["OmniFold", "OmniFoldConfig"]

_ACCEPTANCES, _BOOTSTRAPS = ("average", "previous"), ("data", "both")
_BOOTSTRAP_SEED = 77


@settings
class OmniFoldConfig:
    """How to unfold.

    Parameters
    ----------
    step1, step2 : RatioConfig
        Networks of the detector level and of the particle level. ``step2=None`` takes those of step 1.
    later : TrainConfig, optional
        Training settings from the second iteration on, where networks go on from the ones before; None
        keeps those of the first.
    n_iterations
    acceptance : {"average", "previous"}
        Weight of events that the detector missed. "average": that of seen events of the same particle-level
        jet (step 2 learns from seen events only), which divides by the efficiency as D'Agostini's
        unfolding does. "previous": their weight before, as the ``omnifold`` package does; the same limit,
        reached more slowly.
    normalise
        Scale the simulation to the total of the data first. Switch it off when the weights are
        luminosities, and the data's total is to be unfolded as well.
    seeds
        One network ensemble member per seed.
    n_bootstrap
        Repetitions with Poisson(1) weights for the statistical uncertainty; each with the first seed.
    bootstrap : {"data", "both"}
        Whether only the data fluctuate, or the simulation too.

    Raises
    ------
    ConfigError
        For a value outside its domain.
    """

    step1: RatioConfig = field(default_factory=RatioConfig)
    step2: RatioConfig | None = None
    later: TrainConfig | None = None
    n_iterations: int = 3
    acceptance: str = "average"
    normalise: bool = True
    seeds: tuple[int, ...] = (1,)
    n_bootstrap: int = 0
    bootstrap: str = "data"

    def __post_init__(self) -> None:
        for name, known in (("acceptance", _ACCEPTANCES), ("bootstrap", _BOOTSTRAPS)):
            if getattr(self, name) not in known:
                raise ConfigError(f"no {name} '{getattr(self, name)}'; {nearest(getattr(self, name), known)}")
        if self.n_iterations < 1 or self.n_bootstrap < 0:
            raise ConfigError(
                f"n_iterations {self.n_iterations} and n_bootstrap {self.n_bootstrap} must be positive"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds are {self.seeds}; at least one is needed, each only once")

    def ratio(self, step: Literal[1, 2], iteration: int, seed: int) -> RatioConfig:
        """Return the settings of one training; iterations count from 0."""
        config = self.step1 if step == 1 or self.step2 is None else self.step2
        if iteration and self.later is not None:
            config = replace(config, training=self.later)
        return config.with_seed(seed)


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
        tasks = [(seed, None) for seed in self.config.seeds]
        tasks += [(self.config.seeds[0], number) for number in range(self.config.n_bootstrap)]
        jobs = {task: (sample, data, weights, self.config, task, self._folder(task)) for task in tasks}
        runs = run_jobs(_unfold_once, jobs, workers=self.workers, progress=self.progress, title="unfoldings")
        members = [runs[seed, None] for seed in self.config.seeds]
        self.reweighters = tuple(run.reweighter for run in members)
        return UnfoldingResult(
            config=self.config,
            prior=members[0].prior,
            pass_truth=sample.pass_truth,
            pass_detector=sample.pass_detector,
            push=np.stack([run.push for run in members]),
            pull=np.stack([run.pull for run in members]),
            bootstrap=np.array([runs[task].unfolded for task in tasks[len(members) :]]).reshape(
                -1, len(sample)
            ),
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

    def _folder(self, task: tuple[int, int | None]) -> str | None:
        if self.run_directory is None:
            return None
        seed, number = task
        name = f"member-seed{seed}" if number is None else f"bootstrap-{number}"
        return str(Path(self.run_directory) / name)


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
    task: tuple[int, int | None],
    folder: str | None,
) -> _Run:
    seed, number = task
    if number is not None:
        rng = np.random.default_rng([_BOOTSTRAP_SEED, number])
        data_weights = data_weights * rng.poisson(1.0, len(data))
        sample = sample.scaled(rng.poisson(1.0, len(sample))) if config.bootstrap == "both" else sample
    if config.normalise:
        sample = sample.scaled(data_weights.sum() / sample.weight[sample.pass_detector].sum())
    levels = _Levels(sample, config.acceptance)
    first = second = None
    push, pushes, pulls = np.ones(len(sample)), [], []
    for iteration in range(config.n_iterations):
        where = folder and Path(folder) / f"iteration-{iteration + 1}"
        ratio1, ratio2 = (config.ratio(step, iteration, seed) for step in (1, 2))
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
