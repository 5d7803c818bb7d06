"""Boosted decision trees on jet observables: what a tagger reaches without looking at particles."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import ClassificationMetrics, classification_metrics
from omnilearn_lab.observables import SIX, observables
from omnilearn_lab.settings import settings

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier


@settings
class BoostedTreesConfig:
    """Settings of the trees.

    Parameters
    ----------
    observables
        Names of `omnilearn_lab.observables.OBSERVABLES`.
    n_trees, learning_rate
        Largest number of trees, and the weight of each.
    patience, validation_fraction
        Stop after this many trees without a better loss on this share of the training jets.
    use_weights
        Whether the jets' weights count in loss and metrics.
    signal_efficiencies
        Where background rejections are measured.
    seed
        Fixes which jets are held back.

    Raises
    ------
    ConfigError
        For no observables, or numbers that are not positive.
    """

    observables: tuple[str, ...] = SIX
    n_trees: int = 300
    learning_rate: float = 0.1
    patience: int = 20
    validation_fraction: float = 0.1
    use_weights: bool = True
    signal_efficiencies: tuple[float, ...] = (0.5, 0.3)
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.observables:
            raise ConfigError("boosted trees need at least one observable")
        for name in ("n_trees", "learning_rate", "patience", "validation_fraction"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive")


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """Trained trees and what they reach on the test jets.

    Parameters
    ----------
    probabilities : array, shape (N, C)
        Class probabilities of the test jets.
    metrics : ClassificationMetrics
    n_trees
        Trees per class after early stopping.
    seconds
        Time for observables, training and test.
    model
        The fitted ``HistGradientBoostingClassifier``.
    """

    probabilities: np.ndarray
    metrics: ClassificationMetrics
    n_trees: int
    seconds: float
    model: HistGradientBoostingClassifier


def train_boosted_trees(
    train: Jets, test: Jets, *, config: BoostedTreesConfig | None = None, jet_radius: float | None = None
) -> BoostedTrees:
    """Train gradient-boosted trees on observables of jets and measure them on other jets.

    An observable that a jet does not have (ln rho of a jet with no groomed mass) counts as missing: the
    trees learn on which side of a cut such jets go.

    Parameters
    ----------
    train, test : Jets
        With labels 0 ... C - 1, all of which the training jets have.
    config : BoostedTreesConfig
    jet_radius
        R, when the jets' provenance does not know it.

    Returns
    -------
    BoostedTrees

    Raises
    ------
    JetsError
        When jets have no labels, or a class of the test jets is not among the training jets.

    References
    ----------
    J. H. Friedman, Greedy function approximation, Annals of Statistics 29 (2001) 1189; histogram trees as in
    G. Ke et al., LightGBM, NeurIPS 2017.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> counts = np.tile([3, 6], 100)
    >>> cloud = {"pt": rng.uniform(1, 2, 900), "energy": np.full(900, 2.0)}
    >>> cloud |= {name: rng.normal(0, 0.1, 900) for name in ("deta", "dphi")}
    >>> offsets = np.concatenate([[0], counts.cumsum()])
    >>> jet = {"pt": np.full(200, 9.0), "eta": np.zeros(200), "phi": np.zeros(200), "mass": np.ones(200)}
    >>> jets = Jets.build(cloud, offsets, jet | {"label": np.tile([0, 1], 100)})
    >>> bool(train_boosted_trees(jets[:100], jets[100:], jet_radius=0.8).metrics.auc > 0.9)
    True
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    config = config or BoostedTreesConfig()
    labels = [_labels(part, name) for part, name in ((train, "training"), (test, "test"))]
    start = time.perf_counter()
    tables = [_table(part, config.observables, jet_radius) for part in (train, test)]
    model = HistGradientBoostingClassifier(
        max_iter=config.n_trees,
        learning_rate=config.learning_rate,
        early_stopping=True,
        n_iter_no_change=config.patience,
        validation_fraction=config.validation_fraction,
        random_state=config.seed,
    )
    model.fit(tables[0], labels[0], sample_weight=_weights(train, config))
    if unseen := sorted(set(np.unique(labels[1])) - set(model.classes_)):
        raise JetsError(f"test jets have labels {unseen}, which no training jet has; load more training jets")
    probabilities = model.predict_proba(tables[1])
    metrics = classification_metrics(
        probabilities,
        labels[1],
        weights=_weights(test, config),
        signal_efficiencies=config.signal_efficiencies,
        class_names=test.class_names,
    )
    return BoostedTrees(probabilities, metrics, model.n_iter_, time.perf_counter() - start, model)


def _table(jets: Jets, names: Sequence[str], jet_radius: float | None) -> np.ndarray:
    """Observables as columns, (N, names); not-a-number where a jet has none."""
    values: Mapping[str, np.ndarray] = observables(jets, names, jet_radius=jet_radius)
    table = np.stack(list(values.values()), axis=1)
    return np.where(np.isfinite(table), table, np.nan)


def _labels(jets: Jets, what: str) -> np.ndarray:
    if "label" not in jets.jet:
        raise JetsError(f"the {what} jets have no labels: a classifier needs a jet column 'label'")
    return jets.jet["label"]


def _weights(jets: Jets, config: BoostedTreesConfig) -> np.ndarray | None:
    return jets.jet.get("weight") if config.use_weights else None
