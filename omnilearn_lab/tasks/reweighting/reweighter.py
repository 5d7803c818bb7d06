"""Likelihood-ratio reweighting: fit, apply, measure, compare over seeds."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from safetensors.torch import load_file, save_file

from omnilearn_lab import metrics, models
from omnilearn_lab.display import label, number
from omnilearn_lab.errors import CheckpointError, ConfigError, JetsError, is_file, nearest, translated
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath, atomic_path, make_folder, write_text
from omnilearn_lab.metrics import effective_sample_size
from omnilearn_lab.metrics import reweighting as binned
from omnilearn_lab.models.baselines import RowClassifier
from omnilearn_lab.models.sizes import check_tensors
from omnilearn_lab.observables import SIX, observables
from omnilearn_lab.settings import from_mapping, to_mapping
from omnilearn_lab.tasks import common
from omnilearn_lab.tasks.common import networks
from omnilearn_lab.tasks.reweighting import ratios, samples
from omnilearn_lab.tasks.reweighting.samples import Sample
from omnilearn_lab.training import History

_N_BINS, _INSIDE = 20, (0.005, 0.995)


@dataclass(frozen=True)
class DistanceChange:
    """Triangular discriminator to the target before and after reweighting (both times 1000)."""

    before: binned.TriangularDiscriminator
    after: binned.TriangularDiscriminator

    def __str__(self) -> str:
        return f"{self.before.value:.2g} -> {self.after}"


def observable_edges(n_bins: int | None = None) -> dict[str, np.ndarray]:
    """Return bins for the six observables, in their published ranges.

    Parameters
    ----------
    n_bins
        None takes the published number. Samples of a few thousand jets need fewer: the floor of the
        discriminator grows with the number of bins.

    Examples
    --------
    >>> {name: len(edges) - 1 for name, edges in observable_edges(20).items()}["mass"]
    20
    """
    edges = {name: binned.published_edges(name) for name in SIX}
    if n_bins is None:
        return edges
    return {name: np.linspace(e[0], e[-1], n_bins + 1) for name, e in edges.items()}


def observables_of(sample: Jets | np.ndarray, names: Sequence[str] = SIX) -> dict[str, np.ndarray]:
    """Return named observables of jets, or all columns of a table, by name.

    Examples
    --------
    >>> observables_of(np.array([[1.0, 2.0]]))
    {'column 0': array([1.]), 'column 1': array([2.])}
    """
    if isinstance(sample, Jets):
        return observables(sample, list(names))
    return {f"column {i}": column for i, column in enumerate(np.asarray(sample, dtype=float).T)}


def discriminator(
    reference: np.ndarray,
    sample: np.ndarray,
    edges: np.ndarray,
    *,
    weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
    uncertainty: Literal["bootstrap", "published", "none"] = "bootstrap",
) -> binned.TriangularDiscriminator:
    """Return the triangular discriminator; undefined values (ungroomed jets) count as outside the range.

    Examples
    --------
    >>> discriminator(np.array([0.5, -np.inf]), np.array([0.5, 0.5]), np.array([0.0, 1.0])).value
    0.0
    """
    below = edges[0] - 1.0
    values = (np.where(np.isfinite(x), x, below) for x in (reference, sample))
    return binned.triangular_discriminator(*values, edges, weights=weights, uncertainty=uncertainty)


def distance_changes(
    samples: tuple[Jets | np.ndarray, Jets | np.ndarray],
    own_weights: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray,
    *,
    edges: Mapping[str, np.ndarray] | None = None,
) -> dict[str, DistanceChange]:
    """Return distances of (source, target) before and after the source gets ``weights``.

    Raises
    ------
    JetsError
        For edges of an observable that these samples do not have.
    """
    source, target = (observables_of(sample, list(edges or SIX)) for sample in samples)
    bins = edges or (observable_edges() if isinstance(samples[0], Jets) else _edges_of(target))
    unknown = set(bins) - set(source)
    if unknown:
        raise JetsError(f"edges are given for {sorted(unknown)}; these samples have {sorted(source)}")
    changes = {}
    for name, edge in bins.items():
        before, after = (
            discriminator(target[name], source[name], edge, weights=(own_weights[1], w))
            for w in (own_weights[0], weights)
        )
        changes[name] = DistanceChange(before, after)
    return changes


@dataclass(frozen=True, eq=False)
class ReweightingResult:
    """What a reweighting gave, measured on jets that it was not fitted to (if such were given).

    Parameters
    ----------
    weights : array, shape (N,)
        Of the measured source jets, their own weights included.
    distances : mapping of observable to DistanceChange
        Triangular discriminators to the target before and after.
    effective_sample_size
        Number of unweighted jets that the weighted source is worth; jets with a clipped ratio count as none.
    n_clipped
        Source jets whose logit was clipped: their ratio is not known, only a limit.
    calibration : CalibrationCurve
        Of the classifier's probability, source and target having equal totals.
    history : History
    seconds
        Of fit and measurement.
    n_train
        Jets fitted, both samples together.
    """

    weights: np.ndarray
    distances: Mapping[str, DistanceChange]
    effective_sample_size: float
    n_clipped: int
    calibration: metrics.CalibrationCurve
    history: History
    seconds: float
    n_train: int

    @property
    def n_test(self) -> int:
        """Source jets measured."""
        return len(self.weights)

    @property
    def effective_fraction(self) -> float:
        """Effective sample size over the number of jets; stronger weights leave less, which is no fault."""
        return self.effective_sample_size / len(self.weights)

    @property
    def smaller_is_better(self) -> tuple[str, ...]:
        """All `values`."""
        return tuple(self.values())

    def values(self) -> dict[str, float]:
        """Return flat numbers for a results file.

        Discriminators after reweighting, calibration error, and the best validation loss where a network
        was trained.
        """
        numbers = {name: change.after.value for name, change in self.distances.items()}
        numbers["calibration_error"] = self.calibration.expected_calibration_error
        return numbers | ({"best_val_loss": self.history.best()["loss"]} if self.history.records else {})


def improved(results: Sequence[ReweightingResult]) -> list[str]:
    """Return the observables that are closer to the target than before, on average over trainings."""
    after = {name: np.mean([r.distances[name].after.value for r in results]) for name in results[0].distances}
    return [name for name, change in results[0].distances.items() if after[name] < change.before.value]


def distance_table(comparison: common.Comparison[ReweightingResult]) -> pd.DataFrame:
    """Return 1000 times the discriminators: before, after (mean and spread over seeds), and the floor.

    ``bootstrap`` is the statistical uncertainty of one value after the last kind of training.
    """
    *_, last = comparison.results.values()
    rows = {}
    for name, change in last[0].distances.items():
        after = {label(arm): comparison.spread(arm, name) for arm in comparison.results}
        rows[label(name)] = (
            {"before": number(change.before.value, change.before.uncertainty)}
            | {arm: str(s) for arm, s in after.items()}
            | {"bootstrap": f"{change.after.uncertainty:.2f}", "floor": f"{change.after.floor:.2f}"}
        )
    return pd.DataFrame(rows).T


def _edges_of(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Equal bins over nearly all values of each column."""
    return {name: np.linspace(*np.quantile(v, _INSIDE), _N_BINS + 1) for name, v in columns.items()}


log = logging.getLogger(__name__)
_WEIGHTS, _CARD = "network.safetensors", "reweighter.json"


class Reweighter:
    r"""Weights that turn one sample (source) into another (target).

    A classifier with logit :math:`\ell`, trained to tell target (1) from source (0), gives
    :math:`w(x) = f/(1-f) = e^{\ell(x)} \approx p_\mathrm{target}(x)/p_\mathrm{source}(x)`. Logits are clipped
    to plus or minus ``config.clip``; a warning counts the jets whose ratio is only a limit. Then all weights
    get one common factor, so that the fitted source keeps its total (or gets the target's).

    Parameters
    ----------
    config : RatioConfig
    start : Reweighter, optional
        Go on from the network of this one.
    total : {"source", "target"}
        What the weights of the fitted source sum to after reweighting.

    References
    ----------
    OmniFold, arXiv:1911.09107, eq. 4; OmniLearn, arXiv:2404.16091, section VII.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> source, target = rng.normal(0.0, 1, 4000), rng.normal(0.2, 1, 4000)
    >>> weights = Reweighter(ratios.RatioConfig(network="logistic")).fit(source, target).predict(source)
    >>> round(weights.mean(), 3), round(np.average(source, weights=weights), 1)
    (1.0, 0.2)
    """

    def __init__(
        self,
        config: ratios.RatioConfig | None = None,
        *,
        start: Reweighter | None = None,
        total: Literal["source", "target"] = "source",
    ) -> None:
        if total not in ("source", "target"):
            raise ConfigError(f"total is '{total}'; {nearest(total, ('source', 'target'))}")
        self.config = config or ratios.RatioConfig()
        self.start, self.total = start, total
        self._model: ratios.RatioModel | None = None
        self._scale = 1.0

    def fit(self, source: Sample, target: Sample, **options: Any) -> Reweighter:
        """Learn the ratio; arguments as for `fit_predict`. Returns this reweighter."""
        self.fit_predict(source, target, **options)
        return self

    def fit_predict(
        self,
        source: Sample,
        target: Sample,
        *,
        source_weights: ArrayLike | None = None,
        target_weights: ArrayLike | None = None,
        **options: Any,
    ) -> np.ndarray:
        """Learn the ratio and return that of the source.

        Parameters
        ----------
        source, target : Jets, or table of shape (N, K) or (N,)
        source_weights, target_weights : array, shape (N,), optional
            By default the jets' own weights, or ones.
        **options
            ``run_directory``: keep metrics and checkpoints there; a fit that was stopped goes on from them.
            ``on_record``: called with every new record of the history.

        Returns
        -------
        array, shape (N,)
            As `predict` gives for the source.

        Raises
        ------
        JetsError
            For empty samples, not-a-number, negative weights, weights that sum to zero, or samples that do
            not overlap: then every ratio is clipped.
        ConfigError
            When the network does not fit the samples.
        """
        both = samples.check_sample("source", source), samples.check_sample("target", target)
        given = {"source": source_weights, "target": target_weights}
        weights = tuple(
            samples.check_weights(name, samples.weights_of(sample) if own is None else own, len(sample))
            for (name, own), sample in zip(given.items(), both, strict=True)
        )
        start = self.start and self.start._model
        self._model = ratios.fit_ratio(both, weights, self.config, start=start, **options)
        ratio = self._ratio(self._model.logits(both[0]), must_overlap=True)
        total = weights[0 if self.total == "source" else 1].sum()
        self._scale = float(total / (weights[0] @ ratio))
        return self._scale * ratio

    @property
    def history(self) -> History:
        """The history of the last fit."""
        return self._fitted().history

    def logits(self, jets: Sample) -> np.ndarray:
        """Return the classifier's logit of every jet, shape (N,)."""
        return self._fitted().logits(jets)

    def predict(self, jets: Sample) -> np.ndarray:
        """Return the likelihood ratio of every jet, normalised on the fitted source, shape (N,)."""
        return self._scale * self._ratio(self.logits(jets))

    def predict_probability(self, jets: Sample) -> np.ndarray:
        """Return the probability that a jet is from the target, for equal totals, shape (N,)."""
        return 0.5 * (1 + np.tanh(0.5 * self.logits(jets)))

    def save(self, folder: StrPath) -> Path:
        """Keep network, settings and normalisation in a folder."""
        folder = make_folder(folder)
        estimator = self._fitted().estimator
        if isinstance(estimator, ratios.LogisticRatio):
            parts = ("center", "scale", "coefficients")
            tensors = {name: torch.from_numpy(getattr(estimator, name)) for name in parts}
        elif self.config.reads_tables:
            tensors = estimator.network.state_dict()
        else:
            tensors = {}
            models.save_checkpoint(estimator.network.cpu(), folder / _WEIGHTS, card={"task": "reweighting"})
        if tensors:
            with atomic_path(folder / _WEIGHTS) as path:
                save_file(tensors, path)
        card = {"config": to_mapping(self.config), "scale": self._scale, "total": self.total}
        write_text(folder / _CARD, json.dumps(card, indent=1))
        return folder

    @classmethod
    def load(cls, folder: StrPath) -> Reweighter:
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            When the folder does not hold a reweighter.
        """
        folder = Path(folder)
        if not is_file(folder / _CARD):
            raise CheckpointError(f"'{folder}' holds no {_CARD}; give a folder that Reweighter.save wrote")
        with translated(CheckpointError, f"'{folder}' holds no reweighter", "save it again"):
            card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
            reweighter = cls(from_mapping(ratios.RatioConfig, card["config"]), total=card["total"])
            estimator = _read_estimator(folder / _WEIGHTS, reweighter.config)
            reweighter._model = ratios.RatioModel(estimator, reweighter.config, History())
            reweighter._scale = float(card["scale"])
        return reweighter

    def _ratio(self, logits: np.ndarray, *, must_overlap: bool = False) -> np.ndarray:
        ratio, clip = metrics.density_ratio(logits, clip=self.config.clip), self.config.clip
        if must_overlap and ratio.n_clipped == len(logits):
            raise JetsError(
                f"source and target do not overlap: the logits of all {len(logits)} source jets lie beyond "
                f"the clip of {clip:g}; no weights turn one into the other: compare their distributions first"
            )
        if ratio.n_clipped:
            counts = f"{ratio.n_clipped} of {len(logits)} ratios are clipped at exp(+-{clip:g})"
            log.warning("%s: these weights are limits, as the samples hardly overlap there", counts)
        return ratio.weights

    def _fitted(self) -> ratios.RatioModel:
        if self._model is None:
            raise ConfigError("this reweighter was not fitted; call fit(source, target) first")
        return self._model


def reweight(
    source: Sample,
    target: Sample,
    config: ratios.RatioConfig | None = None,
    *,
    evaluate: tuple[Sample, Sample] | None = None,
    edges: Mapping[str, np.ndarray] | None = None,
    run_directory: StrPath | None = None,
) -> ReweightingResult:
    """Fit a `Reweighter` and measure it.

    Parameters
    ----------
    source, target : Jets, or table
        Jets bring their own weights.
    config : RatioConfig
    evaluate
        (source, target) to measure on; without it the fitted jets are used, which flatters.
    edges
        Bins of the observables to compare; `observable_edges` by
        default for jets, twenty bins of each column for tables.
    run_directory
        As in `Reweighter.fit`.

    Returns
    -------
    ReweightingResult

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> config = ratios.RatioConfig(network="logistic")
    >>> result = reweight(rng.normal(0, 1, 4000), rng.normal(0.3, 1, 4000), config)
    >>> result.distances["column 0"].after.value < result.distances["column 0"].before.value
    True
    """
    test = evaluate or (source, target)
    for sample in test:  # an observable that is missing is noticed before training
        observables_of(samples.rows_of(sample, np.arange(1)), list(edges or SIX))
    seen = _Samples((source, target), test)
    return _fit_and_measure(seen, seen, config or ratios.RatioConfig(), edges, run_directory)


class _Samples(NamedTuple):
    """(source, target) to fit, and to measure on."""

    train: tuple[Sample, Sample]
    test: tuple[Sample, Sample]

    def first(self, n: int | None) -> _Samples:
        """Return so many of the samples to fit, and all to measure on."""
        return self._replace(train=tuple(sample[:n] for sample in self.train))

    def embedded(self, checkpoint: str, workers: int | None) -> _Samples:
        """Return what a frozen body makes of the jets."""
        embed = partial(networks.embed, checkpoint=checkpoint, workers=workers)
        return _Samples(*(tuple(map(embed, pair)) for pair in self))


def compare_reweighting(
    train: tuple[Jets, Jets],
    test: tuple[Jets, Jets],
    comparison: common.ComparisonSettings,
    *,
    n_particle_jets: int | None = None,
    edges: Mapping[str, np.ndarray] | None = None,
    **options: Any,
) -> common.Comparison[ReweightingResult]:
    """Reweight with networks from scratch, from a checkpoint, and with its frozen body, with every seed.

    The frozen body embeds every jet once; a logistic regression on that takes a second.

    Parameters
    ----------
    train, test : (source, target) Jets
        Fitted, and measured on.
    comparison : ComparisonSettings
    n_particle_jets
        Train the networks with so many jets of each sample; the frozen body learns from these, and in an
        arm of its own from all. By default all learn from all.
    edges
        Bins of the discriminators.
    options
        Of `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    Comparison of ReweightingResult
    """
    jets = _Samples(train, test)
    rows = jets.embedded(comparison.checkpoint, options.get("workers"))
    arms = ratio_arms(comparison) | {"frozen": ratios.LINEAR}
    sized = {name: (config, n_particle_jets) for name, config in arms.items()}
    if n_particle_jets is not None and n_particle_jets < len(train[0]):
        sized[f"frozen body, {len(train[0]):,} jets"] = (ratios.LINEAR, None)
    fit = partial(_train_and_measure, jets, rows, edges)
    return common.compare(fit, sized, seeds=comparison.seeds, **{"progress": "reweightings"} | options)


def ratio_arms(comparison: common.ComparisonSettings) -> dict[str, ratios.RatioConfig]:
    """Return how a ratio is learnt in each arm of a comparison."""
    arms = comparison.arms().items()
    return {
        kind: ratios.RatioConfig(init=arm.init, like=arm.like, training=arm.training) for kind, arm in arms
    }


def _train_and_measure(
    jets: _Samples,
    rows: _Samples,
    edges: Mapping[str, np.ndarray] | None,
    arm: tuple[ratios.RatioConfig, int | None],
    seed: int,
    run_directory: Path | None,
) -> ReweightingResult:
    config, n = arm
    read = rows if config.reads_tables else jets
    return _fit_and_measure(jets.first(n), read.first(n), config.with_seed(seed), edges, run_directory)


def _fit_and_measure(
    seen: _Samples,
    read: _Samples,
    config: ratios.RatioConfig,
    edges: Mapping[str, np.ndarray] | None,
    run_directory: StrPath | None,
) -> ReweightingResult:
    """Fit what a reweighter reads of the samples, with their own weights, and compare the samples."""
    start = time.perf_counter()
    weights = dict(
        zip(("source_weights", "target_weights"), map(samples.weights_of, seen.train), strict=True)
    )
    reweighter = Reweighter(config).fit(*read.train, **weights, run_directory=run_directory)
    result = _measure(reweighter, seen.test, read.test, edges)
    n_train = sum(map(len, seen.train))
    return replace(result, seconds=time.perf_counter() - start, n_train=n_train)


def _measure(
    reweighter: Reweighter,
    seen: tuple[Sample, Sample],
    read: tuple[Sample, Sample],
    edges: Mapping[str, np.ndarray] | None,
) -> ReweightingResult:
    """Apply a fitted reweighter to what it reads of source jets and compare these with target jets."""
    names = ("source", "target")
    both = {name: samples.check_sample(name, sample) for name, sample in zip(names, seen, strict=True)}
    own = [samples.check_weights(name, samples.weights_of(s), len(s)) for name, s in both.items()]
    logits = [reweighter.logits(sample) for sample in read]
    weights = own[0] * reweighter.predict(read[0])
    is_clipped = np.abs(logits[0]) > reweighter.config.clip
    is_worth = bool(weights[~is_clipped].sum() > 0)
    return ReweightingResult(
        weights=weights,
        distances=distance_changes(tuple(both.values()), (own[0], own[1]), weights, edges=edges),
        effective_sample_size=effective_sample_size(weights[~is_clipped]) if is_worth else 0.0,
        n_clipped=int(is_clipped.sum()),
        calibration=_calibration(logits, own),
        history=reweighter.history,
        seconds=0.0,
        n_train=0,
    )


def _calibration(logits: list[np.ndarray], weights: list[np.ndarray]) -> metrics.CalibrationCurve:
    probability = 0.5 * (1 + np.tanh(0.5 * np.concatenate(logits)))
    label = np.repeat([0, 1], [len(x) for x in logits])
    balanced = np.concatenate([w / w.sum() for w in weights])
    return metrics.calibration_curve(probability, label, weights=balanced, n_bins=20)


def _read_estimator(path: Path, config: ratios.RatioConfig) -> ratios.NetworkRatio | ratios.LogisticRatio:
    if not config.reads_tables:
        return ratios.NetworkRatio(models.load_checkpoint(str(path)), config)
    tensors = load_file(path)
    check_tensors(tensors, str(path))
    if config.network == "logistic":
        return ratios.LogisticRatio(
            **{name: value.numpy() for name, value in tensors.items()}, degree=config.degree
        )
    network = RowClassifier(tensors["center"], tensors["scale"], hidden=config.hidden)
    network.load_state_dict(tensors)
    return ratios.NetworkRatio(network, config)
