"""Learn the ratio of two densities: weighted samples in, a logit per jet out, for clouds and for tables."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import nn

from omnilearn_lab import models
from omnilearn_lab.errors import ConfigError, JetsError, TrainingError
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath
from omnilearn_lab.models.baselines import RowClassifier, rows_batch
from omnilearn_lab.settings import settings, to_mapping
from omnilearn_lab.tasks.common import networks
from omnilearn_lab.tasks.common.classification import network_outputs
from omnilearn_lab.tasks.reweighting.samples import Sample, check_sample
from omnilearn_lab.training import Classification, History, Run, TrainConfig, Trainer, default_device, select
from omnilearn_lab.training.trainer import OnRecord

_OF_TABLES = ("mlp", "logistic")
_RIDGE, _TOLERANCE = 1e-6, 1e-9


@settings
class RatioConfig:
    """How a density ratio is learnt.

    Parameters
    ----------
    network
        A key of `omnilearn_lab.tasks.common.networks.NETWORKS`, such as "pet", sees the whole particle
        cloud of `Jets`. "mlp" and "logistic" see tables of observables; "logistic" is exact where
        the log ratio is a polynomial, and needs no training settings.
    init
        For clouds: "scratch", or the name or path of a checkpoint whose body to start from.
    size
        For clouds, from scratch: named size.
    like
        For clouds, from scratch: take network and sizes of this checkpoint instead.
    use_pid
        For clouds: show the network the particle species.
    hidden
        For "mlp": widths of the hidden layers.
    degree
        For "logistic": highest power of the observables in the logit, products included.
    ridges
        For "logistic": strengths of the penalty on the coefficients of the standardised monomials. Of
        several, the one with the smallest loss on the jets kept for validation fits all jets.
    validation_fraction
        Share of the jets that is kept for early stopping; the same jets whenever seed and sizes agree.
    clip
        Logits are limited to plus or minus this value: no ratio leaves [exp(-clip), exp(clip)].
    training : TrainConfig
        Its ``seed`` also fixes initial weights and the jets kept for early stopping.
    """

    network: Literal[(*networks.NETWORKS, *_OF_TABLES)] = "pet"  # type: ignore[valid-type]
    init: str = "scratch"
    size: str = "tiny"
    like: str = ""
    use_pid: bool = True
    hidden: tuple[Annotated[int, Field(gt=0)], ...] = (64, 64)
    degree: Annotated[int, Field(gt=0)] = 2
    ridges: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (_RIDGE,)
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    clip: Annotated[float, Field(gt=0)] = 10.0
    training: TrainConfig = TrainConfig(epochs=4, batch_size=128, learning_rate=1e-3)

    @property
    def reads_tables(self) -> bool:
        """Whether the samples are tables of observables, not jets."""
        return self.network in _OF_TABLES

    @property
    def classifier(self) -> networks.ClassifierSettings:
        """The network for clouds."""
        return networks.ClassifierSettings(1, self.init, self.size, self.training, self.network, self.like)

    def with_seed(self, seed: int) -> RatioConfig:
        """Return the same settings with another seed."""
        return replace(self, training=replace(self.training, seed=seed))


LINEAR = RatioConfig(network="logistic", degree=1, ridges=(1e-4, 1e-3, 1e-2, 1e-1, 1.0))
"""A logit that is linear in what a frozen body makes of a jet."""


@dataclass(frozen=True, eq=False)
class NetworkRatio:
    """A trained network with one logit."""

    network: nn.Module
    config: RatioConfig

    def logits(self, sample: Sample) -> np.ndarray:
        """Return the logit of every jet, float64, shape (N,)."""
        return network_outputs(self.network, _pack(sample, self.config))[:, 0]


@dataclass(frozen=True, eq=False)
class LogisticRatio:
    r"""A logit that is a polynomial of the observables, at the minimum of the weighted cross-entropy.

    The problem is convex; Newton's method finds the minimum in a few steps. For two Gaussian samples of any
    means and covariances the log ratio is a polynomial of degree two, so the model is exact.

    Parameters
    ----------
    center, scale : array, shape (K,)
    coefficients : array
        Of the monomials up to ``degree``, the constant first.
    degree

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(0, 1, (20_000, 1)), rng.normal(0.5, 1, (20_000, 1))
    >>> ratio = LogisticRatio.fit((source, target), (np.ones(20_000), np.ones(20_000)), degree=1)
    >>> ratio.logits(np.array([[0.0], [1.0]])).round(1).tolist()  # x / 2 - 1/8
    [-0.1, 0.4]
    """

    center: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    degree: int

    @classmethod
    def fit(
        cls,
        samples: Sequence[np.ndarray],
        weights: Sequence[np.ndarray],
        degree: int,
        *,
        ridge: float = _RIDGE,
    ) -> LogisticRatio:
        """Fit target (second sample) against source (first), each with total weight one."""
        scaler = StandardScaler()
        scaled = scaler.fit_transform(np.concatenate(samples))
        label = np.repeat([0, 1], [len(s) for s in samples])
        weight = np.concatenate([w / w.sum() for w in weights])
        options = {"C": 1 / ridge if ridge else np.inf, "tol": _TOLERANCE, "solver": "newton-cholesky"}
        fitted = LogisticRegression(**options, fit_intercept=False)  # the constant is a monomial
        fitted.fit(_monomials(scaled, degree), label, weight)
        return cls(scaler.mean_, scaler.scale_, fitted.coef_[0], degree)

    def logits(self, table: np.ndarray) -> np.ndarray:
        """Return the logit of every row, shape (N,)."""
        return _monomials((table - self.center) / self.scale, self.degree) @ self.coefficients


class RatioModel(NamedTuple):
    """A fitted ratio, how it was fitted, and the history of its training (empty for "logistic")."""

    estimator: NetworkRatio | LogisticRatio
    config: RatioConfig
    history: History

    def logits(self, sample: Sample) -> np.ndarray:
        """Return ln(p_target / p_source) of every jet, shape (N,); both densities have the same integral."""
        checked = check_sample("sample", sample)
        _check_kind("sample", checked, self.config)
        return self.estimator.logits(checked)


def fit_ratio(
    samples: tuple[Sample, Sample],
    weights: tuple[np.ndarray, np.ndarray],
    config: RatioConfig,
    *,
    start: RatioModel | None = None,
    run_directory: StrPath | None = None,
    on_record: OnRecord | None = None,
) -> RatioModel:
    """Train a classifier of target (1) against source (0), both with the same total weight.

    Parameters
    ----------
    samples
        (source, target), as `check_sample` returns them.
    weights
        Of both, as `check_weights` returns them.
    config : RatioConfig
    start
        Go on from this network instead of ``config.init``.
    run_directory
        Keep metrics and checkpoints there, and go on from them when they exist.
    on_record
        Called with every new record of the history.

    Returns
    -------
    RatioModel

    Raises
    ------
    ConfigError
        When the network does not fit the samples.
    TrainingError
        When too few jets are left after those without weight.
    """
    _check_columns(samples, config)
    if config.network == "logistic":
        return RatioModel(_logistic(samples, weights, config), config, History())
    batch = _labelled(samples, weights, config)
    network = _network(samples, config) if start is None else copy.deepcopy(start.estimator.network)
    train, validation = _split(networks.complete_batch(batch, network), config)
    run = Run(run_directory, to_mapping(config)) if run_directory else None
    parts = (Classification(), train, validation, config.training, run)
    history = Trainer(network.to(default_device()), *parts).fit(on_record)
    return RatioModel(NetworkRatio(network, config), config, history)


def _pack(sample: Sample, config: RatioConfig) -> models.Batch:
    """Return the network's inputs, without labels and weights."""
    if config.reads_tables:
        return rows_batch(torch.from_numpy(sample).float())
    inputs = config.classifier.inputs
    batch = networks.network_batch(sample, inputs=inputs, use_pid=config.use_pid)
    return batch.replace(label=None, weight=None)


def _check_columns(samples: Sequence[Sample], config: RatioConfig) -> None:
    for name, sample in zip(("source", "target"), samples, strict=True):
        _check_kind(name, sample, config)
    if config.reads_tables and samples[0].shape[1] != samples[1].shape[1]:
        raise JetsError(
            f"source has {samples[0].shape[1]} columns and target {samples[1].shape[1]}; they must agree"
        )


def _check_kind(name: str, sample: Sample, config: RatioConfig) -> None:
    if isinstance(sample, Jets) == config.reads_tables:
        raise ConfigError(
            f"{name}: network '{config.network}' cannot read {type(sample).__name__}; 'mlp' and 'logistic' "
            "read tables of observables, all others read Jets"
        )


def _labelled(samples: Sequence[Sample], weights: Sequence[np.ndarray], config: RatioConfig) -> models.Batch:
    """Both samples in one batch, each class with the same total weight, one per jet on average.

    Where source and target are the same jets with two sets of weights a and b, every jet appears once, with
    weight a + b and label b / (a + b): the cross-entropy is the same, at half the cost.
    """
    shares = [w * (0.5 * sum(map(len, weights)) / w.sum()) for w in weights]
    if samples[0] is samples[1]:
        total = shares[0] + shares[1]
        label = np.divide(shares[1], total, out=np.zeros_like(total), where=total > 0)
        both = _pack(samples[0], config)
        return both.replace(label=torch.from_numpy(label).float(), weight=torch.from_numpy(total).float())
    parts = []
    for label, (sample, share) in enumerate(zip(samples, shares, strict=True)):
        labels, weight = torch.full((len(share),), float(label)), torch.from_numpy(share).float()
        parts.append(_pack(sample, config).replace(label=labels, weight=weight))
    return models.Batch.stack(parts)


def _split(batch: models.Batch, config: RatioConfig) -> tuple[models.Batch, models.Batch]:
    """Training and validation jets: a fixed choice of rows, then without those of weight zero."""
    order = np.random.default_rng(config.training.seed).permutation(len(batch))
    n_validation = max(1, round(config.validation_fraction * len(batch)))
    parts = []
    for rows in (order[n_validation:], order[:n_validation]):
        kept = torch.from_numpy(rows[batch.weight.numpy()[rows] > 0])
        part = select(batch, kept)
        if not len(part) or not 0 < float((part.label * part.weight).sum() / part.weight.sum()) < 1:
            raise TrainingError(
                f"{len(part)} of {len(batch)} jets with weight are left to train or validate on, all of one "
                "sample; more jets are needed"
            )
        parts.append(part)
    return parts[0], parts[1]


def _network(samples: Sequence[Sample], config: RatioConfig) -> nn.Module:
    """The network to train; its last layer starts at zero, so that all weights start at one."""
    if config.reads_tables:
        torch.manual_seed(config.training.seed)
        scaler = StandardScaler().fit(np.concatenate(samples))
        moments = map(torch.from_numpy, (scaler.mean_, scaler.scale_))
        network: nn.Module = RowClassifier(*moments, hidden=config.hidden)
    else:
        network = networks.make_model(config.classifier)
    for layer in [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == 1][-1:]:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return network


def _monomials(table: np.ndarray, degree: int) -> np.ndarray:
    return PolynomialFeatures(degree).fit_transform(table)


def _logistic(
    samples: Sequence[np.ndarray], weights: Sequence[np.ndarray], config: RatioConfig
) -> LogisticRatio:
    """The polynomial with the ridge that does best on jets kept aside, then fitted to all."""
    best = config.ridges[0]
    if len(config.ridges) > 1:  # the same rows are kept where source and target are the same jets
        seed, share = config.training.seed, config.validation_fraction
        orders = (np.random.default_rng(seed).permutation(len(s)) for s in samples)
        rows = [np.split(order, [max(1, round(share * len(order)))]) for order in orders]
        held_out, train = (
            [[values[some] for values, some in zip(sets, chosen, strict=True)] for sets in (samples, weights)]
            for chosen in zip(*rows, strict=True)
        )
        if any(w.sum() <= 0 for w in (*train[1], *held_out[1])):
            raise TrainingError("all weight of one sample is among the jets kept aside; more jets are needed")
        fits = {ridge: LogisticRatio.fit(*train, config.degree, ridge=ridge) for ridge in config.ridges}
        best = min(fits, key=lambda ridge: _cross_entropy(fits[ridge], *held_out))
    return LogisticRatio.fit(samples, weights, config.degree, ridge=best)


def _cross_entropy(
    ratio: LogisticRatio, samples: Sequence[np.ndarray], weights: Sequence[np.ndarray]
) -> float:
    terms = (np.logaddexp(0, sign * ratio.logits(s)) for sign, s in zip((1, -1), samples, strict=True))
    return sum(float(w @ term / w.sum()) for w, term in zip(weights, terms, strict=True))
