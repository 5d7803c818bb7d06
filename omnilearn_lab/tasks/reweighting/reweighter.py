"""The reweighter: likelihood ratios of two samples of jets from a classifier."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors.torch import load_file, save_file

from omnilearn_lab.errors import CheckpointError, ConfigError, JetsError, nearest, translated
from omnilearn_lab.machine import atomic_path, write_text
from omnilearn_lab.metrics import CalibrationCurve, calibration_curve, density_ratio, effective_sample_size
from omnilearn_lab.models import load_checkpoint, save_checkpoint
from omnilearn_lab.models.baselines.dense import RowClassifier
from omnilearn_lab.observables import SIX
from omnilearn_lab.settings import from_mapping, to_mapping
from omnilearn_lab.tasks.common.comparison import Comparison, ComparisonSettings, compare
from omnilearn_lab.tasks.reweighting import samples
from omnilearn_lab.tasks.reweighting.ratios import (
    LogisticRatio,
    NetworkRatio,
    RatioConfig,
    RatioModel,
    fit_ratio,
)
from omnilearn_lab.tasks.reweighting.result import ReweightingResult, distance_changes, observables_of
from omnilearn_lab.tasks.reweighting.samples import Sample
from omnilearn_lab.training import History

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
    >>> weights = Reweighter(RatioConfig(network="logistic")).fit(source, target).predict(source)
    >>> round(weights.mean(), 3), round(np.average(source, weights=weights), 1)
    (1.0, 0.2)
    """

    def __init__(
        self,
        config: RatioConfig | None = None,
        *,
        start: Reweighter | None = None,
        total: Literal["source", "target"] = "source",
    ) -> None:
        if total not in ("source", "target"):
            raise ConfigError(f"total is '{total}'; {nearest(total, ('source', 'target'))}")
        self.config = config or RatioConfig()
        self.start, self.total = start, total
        self._model: RatioModel | None = None
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
        run_directory: str | os.PathLike[str] | None = None,
        on_record: Callable[[dict[str, Any]], None] | None = None,
    ) -> np.ndarray:
        """Learn the ratio and return that of the source.

        Parameters
        ----------
        source, target : Jets, or table of shape (N, K) or (N,)
        source_weights, target_weights : array, shape (N,), optional
            By default the jets' own weights, or ones.
        run_directory
            Keep metrics and checkpoints there; a fit that was stopped goes on from them.
        on_record
            Called with every new record of the history.

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
        self._model = fit_ratio(
            both,
            weights,
            self.config,
            start=self.start and self.start._model,
            run_directory=run_directory,
            on_record=on_record,
        )
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

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Keep network, settings and normalisation in a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        estimator = self._fitted().estimator
        if isinstance(estimator, LogisticRatio):
            parts = ("center", "scale", "coefficients")
            tensors = {name: torch.from_numpy(getattr(estimator, name)) for name in parts}
        elif self.config.reads_tables:
            tensors = estimator.network.state_dict()
        else:
            tensors = {}
            save_checkpoint(estimator.network.cpu(), folder / _WEIGHTS, card={"task": "reweighting"})
        if tensors:
            with atomic_path(folder / _WEIGHTS) as path:
                save_file(tensors, path)
        card = {"config": to_mapping(self.config), "scale": self._scale, "total": self.total}
        write_text(folder / _CARD, json.dumps(card, indent=1))
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Reweighter:
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            When the folder does not hold a reweighter.
        """
        folder = Path(folder)
        if not (folder / _CARD).is_file():
            raise CheckpointError(f"'{folder}' holds no {_CARD}; give a folder that Reweighter.save wrote")
        with translated(CheckpointError, f"'{folder}' holds no reweighter", "save it again"):
            card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
            reweighter = cls(from_mapping(RatioConfig, card["config"]), total=card["total"])
            estimator = _read_estimator(folder / _WEIGHTS, reweighter.config)
            reweighter._model = RatioModel(estimator, reweighter.config, History())
            reweighter._scale = float(card["scale"])
        return reweighter

    def _ratio(self, logits: np.ndarray, *, must_overlap: bool = False) -> np.ndarray:
        ratio, clip = density_ratio(logits, clip=self.config.clip), self.config.clip
        if must_overlap and ratio.n_clipped == len(logits):
            raise JetsError(
                f"source and target do not overlap: the logits of all {len(logits)} source jets lie beyond "
                f"the clip of {clip:g}; no weights turn one into the other: compare their distributions first"
            )
        if ratio.n_clipped:
            log.warning(
                "%d of %d ratios are clipped at exp(+-%g): these weights are limits, as the samples hardly "
                "overlap there",
                ratio.n_clipped,
                len(logits),
                clip,
            )
        return ratio.weights

    def _fitted(self) -> RatioModel:
        if self._model is None:
            raise ConfigError("this reweighter was not fitted; call fit(source, target) first")
        return self._model


def reweight(
    source: Sample,
    target: Sample,
    config: RatioConfig | None = None,
    *,
    evaluate: tuple[Sample, Sample] | None = None,
    edges: Mapping[str, np.ndarray] | None = None,
    run_directory: str | os.PathLike[str] | None = None,
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
    >>> result = reweight(rng.normal(0, 1, 4000), rng.normal(0.3, 1, 4000), RatioConfig(network="logistic"))
    >>> result.distances["column 0"].after.value < result.distances["column 0"].before.value
    True
    """
    start = time.perf_counter()
    for sample in evaluate or (source, target):  # an observable that is missing is noticed before training
        observables_of(samples.rows_of(sample, np.arange(1)), list(edges or SIX))
    reweighter = Reweighter(config).fit(source, target, run_directory=run_directory)
    result = _measure(reweighter, *(evaluate or (source, target)), edges=edges)
    return replace(result, seconds=time.perf_counter() - start, n_train=len(source) + len(target))


def compare_reweighting(
    train: tuple[Sample, Sample],
    test: tuple[Sample, Sample],
    comparison: ComparisonSettings,
    *,
    edges: Mapping[str, np.ndarray] | None = None,
    workers: int | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> Comparison[ReweightingResult]:
    """Reweight with networks from scratch and from a checkpoint, with every seed.

    Parameters
    ----------
    train, test : (source, target) Jets
        Fitted, and measured on.
    comparison : ComparisonSettings
    edges
        Bins of the discriminators.
    workers, directory
        See `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    Comparison of ReweightingResult
    """
    return compare(
        partial(_train_and_measure, train, test, edges),
        ratio_arms(comparison),
        seeds=comparison.seeds,
        workers=workers,
        directory=directory,
        progress="reweightings",
    )


def ratio_arms(comparison: ComparisonSettings) -> dict[str, RatioConfig]:
    """Return how a ratio is learnt in each arm of a comparison."""
    arms = comparison.arms().items()
    return {kind: RatioConfig(init=arm.init, like=arm.like, training=arm.training) for kind, arm in arms}


def _train_and_measure(
    train: tuple[Sample, Sample],
    test: tuple[Sample, Sample],
    edges: Mapping[str, np.ndarray] | None,
    config: RatioConfig,
    seed: int,
    run_directory: Path | None,
) -> ReweightingResult:
    return reweight(*train, config.with_seed(seed), evaluate=test, edges=edges, run_directory=run_directory)


def _measure(
    reweighter: Reweighter, source: Sample, target: Sample, *, edges: Mapping[str, np.ndarray] | None = None
) -> ReweightingResult:
    """Apply a fitted reweighter to source jets and compare them with target jets."""
    both = {
        "source": samples.check_sample("source", source),
        "target": samples.check_sample("target", target),
    }
    own = [samples.check_weights(name, samples.weights_of(s), len(s)) for name, s in both.items()]
    logits = [reweighter.logits(sample) for sample in both.values()]
    weights = own[0] * reweighter.predict(both["source"])
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


def _calibration(logits: list[np.ndarray], weights: list[np.ndarray]) -> CalibrationCurve:
    probability = 0.5 * (1 + np.tanh(0.5 * np.concatenate(logits)))
    label = np.repeat([0, 1], [len(x) for x in logits])
    balanced = np.concatenate([w / w.sum() for w in weights])
    return calibration_curve(probability, label, weights=balanced, n_bins=20)


def _read_estimator(path: Path, config: RatioConfig) -> NetworkRatio | LogisticRatio:
    if not config.reads_tables:
        return NetworkRatio(load_checkpoint(str(path)), config)
    tensors = load_file(path)
    if config.network == "logistic":
        return LogisticRatio(**{name: value.numpy() for name, value in tensors.items()}, degree=config.degree)
    network = RowClassifier(tensors["center"], tensors["scale"], hidden=config.hidden)
    network.load_state_dict(tensors)
    return NetworkRatio(network, config)
