"""Learn a positive number of each jet, such as a tau's momentum, as a correction to what was measured."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import Batch
from omnilearn_lab.observables import SIX, observables
from omnilearn_lab.tasks.common.classification import network_outputs
from omnilearn_lab.tasks.common.classifiers import ClassifierComparisonSettings, FrozenSettings
from omnilearn_lab.tasks.common.comparison import Comparison, compare
from omnilearn_lab.tasks.common.heads import TREES
from omnilearn_lab.tasks.common.networks import ClassifierSettings, complete_batch, make_model, network_batch
from omnilearn_lab.training import History, Regression, Run, Trainer, default_device, embed_jets

_SPLITS = ("train", "val", "test")
_STRENGTHS = (1.0, 10.0, 100.0, 1000.0)  # penalties of a ridge regression, chosen on the validation jets
_LEAST_JETS, _N_DRAWS = 5, 300
_CHARGED = (211, 11, 13)


class Redrawn:
    """Errors of a result whose metrics have no formula for them: its test sample is drawn again and again.

    All results with as many test jets (molecules, universes) get the same draws, so the fluctuations that two
    of them share cancel in `Comparison.shared_errors`.
    """

    n_test: int

    @property
    def n_independent(self) -> int:
        """Rows that are drawn: test jets, or whatever does not fluctuate together."""
        return self.n_test

    def measured_on(self, rows: np.ndarray) -> Mapping[str, float]:
        """Return the metrics of some of these rows, which may repeat."""
        raise NotImplementedError

    @cached_property
    def influences(self) -> dict[str, np.ndarray]:
        """By metric, how far every draw is from their mean, so that the norm is the standard deviation."""
        rng, n = np.random.default_rng(0), self.n_independent
        draws = [self.measured_on(rng.integers(n, size=n)) for _ in range(_N_DRAWS)]
        columns = {name: np.array([draw[name] for draw in draws]) for name in draws[0]}
        return {name: (column - column.mean()) / math.sqrt(_N_DRAWS - 1) for name, column in columns.items()}

    def errors(self) -> dict[str, float]:
        """Return the standard deviations of the metrics over the draws."""
        return {name: float(np.linalg.norm(influence)) for name, influence in self.influences.items()}


@dataclass(frozen=True, eq=False)
class RegressionResult(Redrawn):
    """How well a number is known on the test jets.

    Parameters
    ----------
    ratio : array, shape (N,)
        Predicted over true.
    n_train
        Training jets.
    history : History, optional
        Of the training of a network.
    seconds_training, seconds_evaluation
    """

    ratio: np.ndarray
    n_train: int
    history: History | None = None
    seconds_training: float = 0.0
    seconds_evaluation: float = 0.0

    smaller_is_better = ("resolution", "bias")

    @property
    def n_test(self) -> int:
        """Test jets."""
        return len(self.ratio)

    def values(self) -> dict[str, float]:
        """Return the resolution, half the width of the central 68 % of the ratio, and |median - 1|."""
        return self.measured_on(np.arange(self.n_test))

    def measured_on(self, rows: np.ndarray) -> dict[str, float]:
        """Return both of some jets."""
        low, middle, high = np.quantile(self.ratio[rows], [0.16, 0.5, 0.84])
        return {"resolution": float(high - low) / 2, "bias": float(abs(middle - 1))}


@dataclass(frozen=True, eq=False)
class RegressionData:
    """Jets whose true number is known; what is learnt is ln(true / measured), standardised.

    Parameters
    ----------
    batches : mapping of "train", "val", "test" to Batch
        Network inputs, with the target as ``condition``.
    targets : mapping of split to array, shape (N,)
        ln(true / measured).
    tables : mapping of split to array, shape (N, K)
        Observables, for boosted trees.
    """

    batches: Mapping[str, Batch]
    targets: Mapping[str, np.ndarray]
    tables: Mapping[str, np.ndarray]

    @classmethod
    def from_jets(
        cls,
        jets: Mapping[str, Jets],
        true: str,
        measured: str = "pt",
        *,
        jet_radius: float | None = None,
        **options: Any,
    ) -> RegressionData:
        """Turn three splits into inputs and targets.

        Parameters
        ----------
        jets : mapping of "train", "val", "test" to Jets
        true, measured
            Names of jet columns, positive numbers.
        jet_radius
            For the observables, when the jets' provenance does not know it.
        **options
            For `omnilearn_lab.tasks.common.network_batch`.

        Raises
        ------
        ConfigError, JetsError
            For a missing split or column, or a number that is not positive.
        """
        missing = set(_SPLITS) - set(jets)
        if missing:
            raise ConfigError(f"no jets for {sorted(missing)}; given: {sorted(jets)}")
        targets = {name: _log_ratio(jets[name], true, measured) for name in _SPLITS}
        mean, spread = targets["train"].mean(), targets["train"].std()
        batches = {}
        for name in _SPLITS:
            scaled = torch.from_numpy(((targets[name] - mean) / spread).astype(np.float32))
            batches[name] = network_batch(jets[name], **options).replace(condition=scaled[:, None])
        return cls(batches, targets, {name: _table(jets[name], jet_radius) for name in _SPLITS})

    def result(self, guess: np.ndarray, **about: Any) -> RegressionResult:
        """Return what a guess of ln(true / measured) of the test jets is worth, shape (N,)."""
        return RegressionResult(np.exp(guess - self.targets["test"]), len(self.targets["train"]), **about)

    def unscaled(self, outputs: np.ndarray) -> np.ndarray:
        """Return ln(true / measured) of a network's outputs."""
        return outputs * self.targets["train"].std() + self.targets["train"].mean()

    def calibrated(self) -> RegressionResult:
        """Return what the measured number itself is worth, times one factor learnt from the training jets."""
        return self.result(np.full(len(self.targets["test"]), np.median(self.targets["train"])))

    def boosted_trees(self) -> RegressionResult:
        """Return what boosted trees on observables reach; number, depth and rate are tuned."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        start, best = time.perf_counter(), (np.inf, np.zeros(0))
        for choice in TREES:
            trees = HistGradientBoostingRegressor(**choice, min_samples_leaf=_LEAST_JETS)
            trees.fit(self.tables["train"], self.targets["train"])
            stages = zip(*(trees.staged_predict(self.tables[n]) for n in ("val", "test")), strict=True)
            losses = [(_square(guess - self.targets["val"]), test) for guess, test in stages]
            best = min(best, *losses, key=lambda item: item[0])
        return self.result(best[1], seconds_training=time.perf_counter() - start)


def compare_regressors(
    data: RegressionData, settings: ClassifierComparisonSettings, **options: Any
) -> Comparison[RegressionResult]:
    """Learn the number from scratch, from a checkpoint, and on its frozen body, with the same seeds.

    Parameters
    ----------
    data : RegressionData
    settings : ClassifierComparisonSettings
        Signal efficiencies and the kind of head do not matter: the head is a ridge regression.
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.
    """
    return compare(partial(train_regressor, data), settings.classifiers(1), seeds=settings.seeds, **options)


def train_regressor(
    data: RegressionData,
    settings: ClassifierSettings | FrozenSettings,
    seed: int = 1,
    run_directory: Path | None = None,
) -> RegressionResult:
    """Train one network, or a ridge regression on a frozen one, and apply it to the test jets."""
    start = time.perf_counter()
    if isinstance(settings, FrozenSettings):
        return data.result(_ridge(data, settings), seconds_training=time.perf_counter() - start)
    model = make_model(settings.with_seed(seed)).to(default_device())
    train, validation, test = (complete_batch(data.batches[name], model) for name in _SPLITS)
    run = None if run_directory is None else Run(run_directory, {"seed": seed})
    training = settings.with_seed(seed).training
    history = Trainer(model, Regression(target="condition"), train, validation, training, run).fit()
    trained = time.perf_counter()
    guess = data.unscaled(network_outputs(model, test, precision=training.precision)[:, 0])
    seconds = {"seconds_training": trained - start, "seconds_evaluation": time.perf_counter() - trained}
    return data.result(guess, history=history, **seconds)


def _ridge(data: RegressionData, settings: FrozenSettings) -> np.ndarray:
    """Guesses of the test jets by the best ridge regression on the embedding."""
    from sklearn.linear_model import Ridge

    model = settings.model()
    rows = {name: embed_jets(model, complete_batch(data.batches[name], model)) for name in _SPLITS}
    mean, spread = rows["train"].mean(axis=0), rows["train"].std(axis=0) + 1e-6
    scaled = {name: (values - mean) / spread for name, values in rows.items()}
    heads = [Ridge(alpha=strength).fit(scaled["train"], data.targets["train"]) for strength in _STRENGTHS]
    return min(heads, key=lambda head: _square(head.predict(scaled["val"]) - data.targets["val"])).predict(
        scaled["test"]
    )


def _log_ratio(jets: Jets, true: str, measured: str) -> np.ndarray:
    for name in (true, measured):
        if name not in jets.jet:
            raise ConfigError(f"these jets have no column '{name}'; {nearest(name, jets.jet)}")
        if not np.all(jets.jet[name] > 0):
            bad = int((~(jets.jet[name] > 0)).sum())
            raise JetsError(f"'{name}' is not positive for {bad} of {len(jets)} jets; leave these out")
    return np.log(jets.jet[true].astype(np.float64) / jets.jet[measured])


def _table(jets: Jets, jet_radius: float | None) -> np.ndarray:
    """Six observables, the jet's momentum, and which share of it is charged, photons, or the hardest."""
    columns = list(observables(jets, SIX, jet_radius=jet_radius).values())
    columns += [np.log(jets.jet["pt"]), np.abs(jets.jet["eta"])]
    index, n_jets, pt = jets.jet_index, len(jets), jets.particles["pt"].astype(np.float64)
    total = np.bincount(index, pt, n_jets)
    if "pid" in jets.particles:
        code = np.abs(jets.particles["pid"])
        kinds = (np.isin(code, _CHARGED), code == 22)
        columns += [np.bincount(index, pt * kind, n_jets) / total for kind in kinds]
    columns.append(pt[jets.offsets[:-1]] / total)
    table = np.stack(columns, axis=1)
    return np.where(np.isfinite(table), table, np.nan)


def _square(error: np.ndarray) -> float:
    return float((error**2).mean())
