"""Small classifiers of scikit-learn on rows of numbers, tuned by validation: heads, and boosted trees.

The library is imported where a head is fitted: it takes as long as PyTorch, in every process of a comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from omnilearn_lab.errors import ConfigError

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

HeadKind = Literal["logistic", "mlp", "trees"]
"""Logistic regression; a network with one hidden layer; boosted trees."""

_STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # inverse regularisation of a logistic regression
_TOLERANCE = 1e-6  # of the gradient: what rounding leaves of a looser fit differs between machines
_PENALTIES = (0.01, 1.0)  # squared weights of a hidden layer of 64
TREES = tuple(
    {"learning_rate": rate, "max_depth": depth, "max_iter": 200, "early_stopping": False}
    for rate, depth in ((0.1, 2), (0.1, 3), (0.05, 5))
)
"""Settings of boosted trees to choose from; how many of the trees are kept is chosen, too."""
_TINY = 1e-12


class Rows(NamedTuple):
    """Numbers of each jet, shape (N, K), class numbers (N,), and weights (N,) or None."""

    values: np.ndarray
    label: np.ndarray
    weight: np.ndarray | None = None

    def first(self, n: int | None) -> Rows:
        """Return the first rows only; None keeps all."""
        return self if n is None else Rows(*(part if part is None else part[:n] for part in self))


@dataclass(frozen=True, eq=False)
class Head:
    """A fitted classifier.

    Parameters
    ----------
    model
        Of scikit-learn.
    n_classes
    val_loss
        Cross-entropy of the validation rows: the smallest of all candidates.
    """

    model: ClassifierMixin
    n_classes: int
    val_loss: float

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Return class probabilities, shape (N, C); zero for classes that no training jet had."""
        return _all_classes(self.model.predict_proba(values), self.model.classes_, self.n_classes)


def fit_head(
    train: Rows, validation: Rows, *, kind: HeadKind = "logistic", n_classes: int = 2, seed: int = 1
) -> Head:
    """Fit a small classifier; its regularisation, or number, depth and rate of trees, are tuned.

    Parameters
    ----------
    train, validation : Rows
    kind
    n_classes
    seed
        Of initial weights ("mlp"); the other kinds do not depend on it.

    Returns
    -------
    Head

    Raises
    ------
    ConfigError
        When the training rows are all of one class.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> label = np.tile([0, 1], 200)
    >>> rows = Rows(rng.normal(size=(400, 2)) + label[:, None], label)
    >>> head = fit_head(Rows(*(part[:300] for part in rows[:2])), Rows(*(part[300:] for part in rows[:2])))
    >>> head.predict(rows.values).shape, head.val_loss < np.log(2)
    ((400, 2), True)
    """
    if len(np.unique(train.label)) < 2:
        raise ConfigError("all training jets are of one class; give jets of at least two")
    jets = np.arange(len(validation.label))

    def loss(fitted: _Fitted) -> float:
        probabilities = _all_classes(fitted.probabilities, fitted.model.classes_, n_classes)
        right = probabilities[jets, validation.label]
        return float(np.average(-np.log(np.maximum(right, _TINY)), weights=validation.weight))

    best = min(_fitted(train, validation, kind, seed), key=loss)
    model = best.model
    if best.n_trees:  # without those grown after the best
        from sklearn.base import clone

        model = clone(model).set_params(max_iter=best.n_trees)
        model.fit(train.values, train.label, sample_weight=train.weight)
    return Head(model, n_classes, loss(best))


class _Fitted(NamedTuple):
    """A candidate, and its probabilities of the validation rows with the first ``n_trees`` of its trees."""

    probabilities: np.ndarray
    model: ClassifierMixin
    n_trees: int = 0


def _fitted(train: Rows, validation: Rows, kind: HeadKind, seed: int) -> Iterator[_Fitted]:
    if kind == "trees":
        yield from _grown(train, validation)
        return
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = [LogisticRegression(C=strength, max_iter=2000, tol=_TOLERANCE) for strength in _STRENGTHS]
    if kind == "mlp":
        options = {"hidden_layer_sizes": (64,), "max_iter": 100, "early_stopping": True, "random_state": seed}
        models = [MLPClassifier(alpha=penalty, **options) for penalty in _PENALTIES]
    for model in models:
        name = type(model).__name__.lower()
        scaled = make_pipeline(StandardScaler(), model)
        weights = {} if train.weight is None else {f"{name}__sample_weight": train.weight}
        scaled.fit(train.values.astype(float), train.label, **weights)
        yield _Fitted(scaled.predict_proba(validation.values), scaled)


def _grown(train: Rows, validation: Rows) -> Iterator[_Fitted]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    least = max(5, min(20, len(train.label) // 50))
    for choice in TREES:
        model = HistGradientBoostingClassifier(**choice, min_samples_leaf=least)
        model.fit(train.values, train.label, sample_weight=train.weight)
        for number, probabilities in enumerate(model.staged_predict_proba(validation.values), start=1):
            yield _Fitted(probabilities, model, number)


def _all_classes(probabilities: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    every = np.zeros((len(probabilities), n_classes))
    every[:, classes] = probabilities
    return every
