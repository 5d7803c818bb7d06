"""OmniFold: unbinned unfolding by two reweightings per iteration, and its result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import h5py
import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from omnilearn_lab.errors import ConfigError, DataFileError, JetsError, translated
from omnilearn_lab.jets import Jets, PairedJets
from omnilearn_lab.machine import StrPath, atomic_hdf5, attributes, check_dataset, run_jobs
from omnilearn_lab.metrics import weighted_hist
from omnilearn_lab.settings import from_mapping, settings, to_mapping
from omnilearn_lab.tasks import reweighting
from omnilearn_lab.tasks.common.comparison import check_seeds
from omnilearn_lab.tasks.reweighting.samples import Sample, check_sample, check_weights, rows_of, weights_of
from omnilearn_lab.training import TrainConfig

if TYPE_CHECKING:
    import hist


_FORMAT = "omnilearn_lab unfolding 1"
_ARRAYS = ("prior", "pass_truth", "pass_detector", "push", "pull", "bootstrap")
_MEANING = {
    "weights_nominal": "weight of each simulated event: histograms of particle-level quantities filled "
    "with it estimate the truth behind the data; 0 where the particle-level selection is not passed",
    "weights_ensemble": "the same from every ensemble member, (members, events); their mean is nominal",
    "weights_bootstrap": "the same from every Poisson bootstrap of the data, (repetitions, events): the "
    "standard deviation of any histogram over them is its statistical uncertainty",
    "weights_prior": "weights of the simulation before unfolding",
}


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
    """

    step1: reweighting.RatioConfig = field(default_factory=reweighting.RatioConfig)
    step2: reweighting.RatioConfig | None = None
    later: TrainConfig | None = None
    n_iterations: Annotated[int, Field(gt=0)] = 3
    acceptance: Literal["average", "previous"] = "average"
    normalise: bool = True
    seeds: tuple[int, ...] = (1,)
    n_bootstrap: Annotated[int, Field(ge=0)] = 0
    bootstrap: Literal["data", "both"] = "data"

    def __post_init__(self) -> None:
        check_seeds(self.seeds)

    def ratio(self, step: Literal[1, 2], iteration: int, seed: int) -> reweighting.RatioConfig:
        """Return the settings of one training; iterations count from 0."""
        config = self.step1 if step == 1 or self.step2 is None else self.step2
        if iteration and self.later is not None:
            config = replace(config, training=self.later)
        return config.with_seed(seed)


@dataclass(frozen=True, eq=False)
class UnfoldedHistogram:
    """A particle-level histogram after unfolding.

    Parameters
    ----------
    edges : array, shape (K + 1,)
    values : array, shape (K,)
        Sums of weights.
    statistical : array, shape (K,)
        Standard deviation over bootstrap repetitions; NaN without any.
    model : array, shape (K,)
        Standard deviation over ensemble members, of one member; NaN with fewer than two.
    covariance : array, shape (K, K)
        Of the bootstrap repetitions; NaN without any.
    """

    edges: np.ndarray
    values: np.ndarray
    statistical: np.ndarray
    model: np.ndarray
    covariance: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Statistical and model uncertainty in quadrature, those that are known; shape (K,)."""
        return np.sqrt(np.nan_to_num(self.statistical) ** 2 + np.nan_to_num(self.model) ** 2)

    def to_hist(self) -> hist.Hist:
        """Return a ``hist.Hist`` with the total uncertainty, for plotting."""
        return weighted_hist(self.edges, self.values, self.total**2)


@dataclass(frozen=True, eq=False)
class UnfoldingResult:
    """Weights of N simulated events from M ensemble members over I iterations.

    Parameters
    ----------
    config : OmniFoldConfig
    prior : array, shape (N,)
        Weights of the simulation, scaled to the data when asked for.
    pass_truth, pass_detector : bool array, shape (N,)
    push : array, shape (M, I, N)
        Particle-level weight after each iteration, relative to ``prior``; 1 for fakes.
    pull : array, shape (M, I, N)
        Detector-level weight after step 1 of each iteration, relative to ``prior``; 1 for missed events.
    bootstrap : array, shape (B, N)
        Particle-level weights after the last iteration in every bootstrap repetition.
    """

    config: OmniFoldConfig
    prior: np.ndarray
    pass_truth: np.ndarray
    pass_detector: np.ndarray
    push: np.ndarray
    pull: np.ndarray
    bootstrap: np.ndarray

    def __len__(self) -> int:
        return len(self.prior)

    @classmethod
    def join(cls, results: Sequence[UnfoldingResult]) -> UnfoldingResult:
        """Return one result with the members and repetitions of several, of the same simulation.

        Raises
        ------
        JetsError
            When they differ in their events.
        """
        first = results[0]
        if any(not np.array_equal(r.prior, first.prior) for r in results):
            raise JetsError("only unfoldings of the same simulated events and data can be joined")
        stacked = {
            name: np.concatenate([getattr(r, name) for r in results])
            for name in ("push", "pull", "bootstrap")
        }
        seeds = tuple(seed for r in results for seed in r.config.seeds)
        return replace(first, config=replace(first.config, seeds=seeds), **stacked)

    def ensemble_weights(self, iteration: int = -1) -> np.ndarray:
        """Return the particle-level weights of every member, shape (M, N); 0 where truth is not passed."""
        return self.prior * self.push[:, iteration] * self.pass_truth

    def particle_weights(self, iteration: int = -1) -> np.ndarray:
        """Return the unfolded weights: the mean over members, shape (N,)."""
        return self.ensemble_weights(iteration).mean(axis=0)

    def detector_weights(self, iteration: int = -1) -> np.ndarray:
        """Return the weights that match the data at detector level, shape (N,); 0 where it is not passed."""
        return (self.prior * self.pull[:, iteration] * self.pass_detector).mean(axis=0)

    def histogram(self, values: ArrayLike, edges: ArrayLike, *, iteration: int = -1) -> UnfoldedHistogram:
        """Fill a particle-level quantity of the simulated events, of any kind, with the unfolded weights.

        Parameters
        ----------
        values : array, shape (N,)
            Not-a-number and infinities are left out.
        edges : array, shape (K + 1,)
        iteration
            Which; bootstrap repetitions exist for the last one only.

        Returns
        -------
        UnfoldedHistogram

        Raises
        ------
        JetsError
            When there is not one value per event.
        """
        values, edges = np.asarray(values, dtype=float), np.asarray(edges, dtype=float)
        if values.shape != (len(self),):
            raise JetsError(f"values have shape {values.shape}; one per simulated event, ({len(self)},)")
        good = np.isfinite(values) & self.pass_truth
        members, repetitions = (
            np.array([np.histogram(values[good], edges, weights=w[good])[0] for w in sets]).reshape(
                -1, len(edges) - 1
            )
            for sets in (self.ensemble_weights(iteration), self.bootstrap)
        )
        nothing = np.full(len(edges) - 1, np.nan)
        model = members.std(axis=0, ddof=1) if len(members) > 1 else nothing
        covariance = np.diag(nothing) * np.nan
        if len(repetitions) > 1:
            covariance = np.atleast_2d(np.cov(repetitions, rowvar=False))
        return UnfoldedHistogram(edges, members.mean(axis=0), np.sqrt(np.diag(covariance)), model, covariance)

    def save(self, path: StrPath) -> Path:
        """Write everything to one HDF5 file."""
        about = {"format": _FORMAT, "config": json.dumps(to_mapping(self.config))}
        return _write(Path(path), {name: getattr(self, name) for name in _ARRAYS}, about)

    @classmethod
    def load(cls, path: StrPath) -> UnfoldingResult:
        """Read what `save` wrote.

        Raises
        ------
        DataFileError
            When the file is missing, damaged or another kind.
        """
        arrays, about = _read(Path(path), _ARRAYS)
        with _understood(path):
            return cls(from_mapping(OmniFoldConfig, json.loads(about["config"])), **arrays)

    def export_weights(
        self,
        path: StrPath,
        *,
        observables: Mapping[str, ArrayLike] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write the unfolded weights for others to use: plain HDF5, every dataset with its meaning.

        Parameters
        ----------
        path
        observables : mapping of name to array, shape (N,)
            Particle-level columns to go with the weights, ``event`` among them if events have numbers.
        about
            Words of your own: data set, selection, provenance. Kept as JSON.

        Returns
        -------
        Path

        Raises
        ------
        JetsError
            For a column of another length.
        """
        columns = {f"observables/{name}": np.asarray(values) for name, values in (observables or {}).items()}
        for name, values in columns.items():
            if len(values) != len(self):
                raise JetsError(f"{name} has {len(values)} entries; {len(self)} events were unfolded")
        arrays = {
            "weights_nominal": self.particle_weights(),
            "weights_ensemble": self.ensemble_weights(),
            "weights_bootstrap": self.bootstrap * self.pass_truth,
            "weights_prior": self.prior,
        }
        facts = {
            "format": f"{_FORMAT} weights",
            "config": json.dumps(to_mapping(self.config)),
            "date": datetime.now(UTC).date().isoformat(),
            "software": f"omnilearn_lab {metadata.version('omnilearn_lab')}",
            "method": "OmniFold, arXiv:1911.09107",
            "about": json.dumps(dict(about or {}), default=str),
        }
        return _write(Path(path), arrays | columns, facts)


@dataclass(frozen=True, eq=False)
class UnfoldedWeights:
    """An exported file: arrays of one entry per event, and what they are.

    Parameters
    ----------
    nominal, prior : array, shape (N,)
    ensemble : array, shape (M, N)
    bootstrap : array, shape (B, N)
    observables : mapping of name to array, shape (N,)
    about : mapping
        Attributes of the file.
    """

    nominal: np.ndarray
    prior: np.ndarray
    ensemble: np.ndarray
    bootstrap: np.ndarray
    observables: Mapping[str, np.ndarray] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)


def read_weights(path: StrPath) -> UnfoldedWeights:
    """Read a file of `UnfoldingResult.export_weights`.

    Raises
    ------
    DataFileError
        When the file is missing, damaged or another kind.
    """
    arrays, about = _read(Path(path), _MEANING)
    with _understood(path), h5py.File(path) as file:
        observables = {name: values[()] for name, values in file.get("observables", {}).items()}
    own = {name.removeprefix("weights_"): values for name, values in arrays.items()}
    return UnfoldedWeights(**own, observables=observables, about=about)


def _write(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> Path:
    with atomic_hdf5(path) as file:
        file.attrs.update(about)
        for name, values in arrays.items():
            dataset = file.create_dataset(name, data=values, compression="gzip" if values.size else None)
            dataset.attrs["meaning"] = _MEANING.get(name, "")
    return path


def _understood(path: StrPath) -> AbstractContextManager[None]:
    remedy = "give a file that was saved here, or save it again"
    return translated(DataFileError, f"'{path}' is no unfolding of ours, or damaged", remedy)


def _read(path: Path, names: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    with _understood(path), h5py.File(path) as file:
        for name in names:
            check_dataset(file[name], path, owner=file)
        return {name: file[name][()] for name in names}, attributes(file)


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
        run_directory: StrPath | None = None,
        workers: int | None = 1,
        progress: bool = False,
    ) -> None:
        self.config = config or OmniFoldConfig()
        self.run_directory, self.workers, self.progress = run_directory, workers, progress
        self.reweighters: tuple[reweighting.Reweighter, ...] = ()

    def fit(
        self,
        simulation: reweighting.PairedSample | PairedJets,
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
        sample, data = reweighting.PairedSample.of(simulation), check_sample("data", data)
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
    reweighter: reweighting.Reweighter

    @property
    def unfolded(self) -> np.ndarray:
        return self.prior * self.push[-1]


def _unfold_once(
    sample: reweighting.PairedSample,
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
        first = reweighting.Reweighter(ratio1, start=first, total="target")
        pull = levels.pull(first, push, (data, data_weights), where and where / "step-1")
        second = reweighting.Reweighter(ratio2, start=second, total="target")
        push = levels.push(second, push, pull, where and where / "step-2")
        pushes.append(push)
        pulls.append(pull)
    return _Run(sample.weight, np.stack(pushes), np.stack(pulls), second)


class _Levels:
    """The two reweightings of one simulated sample."""

    def __init__(self, sample: reweighting.PairedSample, acceptance: str) -> None:
        self.sample = sample
        self.detector = rows_of(sample.detector, sample.pass_detector)
        seen = sample.pass_truth & sample.pass_detector
        self.learns = seen if acceptance == "average" else sample.pass_truth
        self.truth = rows_of(sample.truth, self.learns)

    def pull(
        self,
        reweighter: reweighting.Reweighter,
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
        self, reweighter: reweighting.Reweighter, push: np.ndarray, pull: np.ndarray, folder: Path | None
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


def _check_columns(sample: reweighting.PairedSample, data: Sample) -> None:
    detector = rows_of(sample.detector, np.arange(1))
    kinds = [None if isinstance(x, Jets) else x.shape[1] for x in (detector, data)]
    if kinds[0] != kinds[1]:
        raise JetsError(
            f"the simulation's detector level has {kinds[0]} columns and the data {kinds[1]} (None: Jets); "
            "they must agree"
        )
