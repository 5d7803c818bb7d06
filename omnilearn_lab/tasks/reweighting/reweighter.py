"""The reweighter: likelihood ratios of two samples of jets from a classifier."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors.torch import load_file, save_file

from omnilearn_lab.errors import CheckpointError, ConfigError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import density_ratio
from omnilearn_lab.models import load_checkpoint, save_checkpoint
from omnilearn_lab.models.baselines.dense import RowClassifier
from omnilearn_lab.settings import from_mapping, to_mapping
from omnilearn_lab.tasks.reweighting.polynomial import LogisticRatio
from omnilearn_lab.tasks.reweighting.ratios import (
    NetworkRatio,
    RatioConfig,
    RatioModel,
    Sample,
    check_sample,
    check_weights,
    fit_ratio,
)
from omnilearn_lab.training import History

__all__ = ["Reweighter", "weights_of"]

_WEIGHTS, _CARD = "network.safetensors", "reweighter.json"


class Reweighter:
    r"""Weights that turn one sample (source) into another (target).

    A classifier with logit :math:`\ell`, trained to tell target (1) from source (0), gives
    :math:`w(x) = f/(1-f) = e^{\ell(x)} \approx p_\mathrm{target}(x)/p_\mathrm{source}(x)`. Logits are clipped
    to plus or minus ``config.clip``. Then all weights get one common factor, so that the fitted source keeps
    its total (or gets the target's).

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
        self, config: RatioConfig | None = None, *, start: Reweighter | None = None, total: str = "source"
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
            For empty samples, not-a-number, negative weights, or weights that sum to zero.
        ConfigError
            When the network does not fit the samples.
        """
        samples = check_sample("source", source), check_sample("target", target)
        given = (("source", source_weights), ("target", target_weights))
        weights = tuple(
            check_weights(name, weights_of(sample) if own is None else own, len(sample))
            for (name, own), sample in zip(given, samples, strict=True)
        )
        self._model = fit_ratio(
            samples,
            weights,
            self.config,
            start=self.start and self.start._model,
            run_directory=run_directory,
            on_record=on_record,
        )
        ratio = density_ratio(self._model.logits(samples[0]), clip=self.config.clip).weights
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
        return self._scale * density_ratio(self.logits(jets), clip=self.config.clip).weights

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
            save_file({name: torch.from_numpy(getattr(estimator, name)) for name in parts}, folder / _WEIGHTS)
        elif self.config.reads_tables:
            save_file(estimator.network.state_dict(), folder / _WEIGHTS)
        else:
            save_checkpoint(estimator.network.cpu(), folder / _WEIGHTS, card={"task": "reweighting"})
        card = {"config": to_mapping(self.config), "scale": self._scale, "total": self.total}
        (folder / _CARD).write_text(json.dumps(card, indent=1))
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
        card = json.loads((folder / _CARD).read_text())
        reweighter = cls(from_mapping(RatioConfig, card["config"]), total=card["total"])
        estimator = _read_estimator(folder / _WEIGHTS, reweighter.config)
        reweighter._model = RatioModel(estimator, reweighter.config, History())
        reweighter._scale = card["scale"]
        return reweighter

    def _fitted(self) -> RatioModel:
        if self._model is None:
            raise ConfigError("this reweighter was not fitted; call fit(source, target) first")
        return self._model


def _read_estimator(path: Path, config: RatioConfig) -> NetworkRatio | LogisticRatio:
    if not config.reads_tables:
        return NetworkRatio(load_checkpoint(str(path)), config)
    tensors = load_file(path)
    if config.network == "logistic":
        return LogisticRatio(**{name: value.numpy() for name, value in tensors.items()}, degree=config.degree)
    network = RowClassifier(tensors["center"], tensors["scale"], hidden=config.hidden)
    network.load_state_dict(tensors)
    return NetworkRatio(network, config)


def weights_of(sample: Sample) -> np.ndarray | None:
    """Return the weights that jets carry; a table carries none."""
    return sample.weight if isinstance(sample, Jets) else None
