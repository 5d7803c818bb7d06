"""Small classifiers of scikit-learn on rows of numbers, tuned by validation: heads, and boosted trees.

The library is imported where a head is fitted: it takes as long as PyTorch, in every process of a comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from omnilearn_lab.errors import ConfigError

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

HeadKind = Literal["logistic", "mlp", "trees"]
"""Logistic regression; a network with one hidden layer; boosted trees."""

_STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # inverse regularisation of a logistic regression
_PENALTIES = (0.01, 1.0)  # squared weights of a hidden layer of 64
_TREES = ((0.1, 2), (0.1, 3), (0.05, 5))  # rate and depth
_MOST_TREES = 200
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
    """A fitted classifier and how it was chosen.

    Parameters
    ----------
    model
        Of scikit-learn.
    n_classes
    val_loss
        Cross-entropy of the validation rows.
    choice : dict
        The settings that gave the smallest validation loss.
    """

    model: ClassifierMixin
    n_classes: int
    val_loss: float
    choice: dict[str, Any]

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
    fitted = _fitted(train, validation, kind, seed)
    jets = np.arange(len(validation.label))

    def loss(probabilities: np.ndarray, classes: np.ndarray) -> float:
        right = _all_classes(probabilities, classes, n_classes)[jets, validation.label]
        return float(np.average(-np.log(np.maximum(right, _TINY)), weights=validation.weight))

    best = min(
        ((loss(p, model.classes_), choice, model) for p, choice, model in fitted), key=lambda item: item[0]
    )
    val_loss, choice, model = best
    if kind == "trees":  # without those grown after the best
        from sklearn.base import clone

        model = clone(model).set_params(max_iter=choice["max_iter"])
        model.fit(train.values, train.label, sample_weight=train.weight)
    return Head(model, n_classes, val_loss, choice)


def _fitted(
    train: Rows, validation: Rows, kind: HeadKind, seed: int
) -> Iterator[tuple[np.ndarray, dict[str, Any], ClassifierMixin]]:
    """Probabilities of the validation rows by every candidate."""
    if kind == "trees":
        for rate, depth in _TREES:
            yield from _grown(train, validation, {"learning_rate": rate, "max_depth": depth})
        return
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind == "logistic":
        choices = [{"C": strength, "max_iter": 2000} for strength in _STRENGTHS]
        models = [LogisticRegression(**choice) for choice in choices]
    else:
        choices = [{"alpha": penalty, "hidden_layer_sizes": (64,), "max_iter": 100} for penalty in _PENALTIES]
        models = [MLPClassifier(**choice, early_stopping=True, random_state=seed) for choice in choices]
    for choice, model in zip(choices, models, strict=True):
        name = type(model).__name__.lower()
        scaled = make_pipeline(StandardScaler(), model)
        weights = {} if train.weight is None else {f"{name}__sample_weight": train.weight}
        scaled.fit(train.values, train.label, **weights)
        yield scaled.predict_proba(validation.values), choice, scaled


def _grown(
    train: Rows, validation: Rows, choice: dict[str, Any]
) -> Iterator[tuple[np.ndarray, dict[str, Any], ClassifierMixin]]:
    """Probabilities of the validation rows after every tree."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    least = max(5, min(20, len(train.label) // 50))
    model = HistGradientBoostingClassifier(
        **choice, max_iter=_MOST_TREES, min_samples_leaf=least, early_stopping=False
    )
    model.fit(train.values, train.label, sample_weight=train.weight)
    for number, probabilities in enumerate(model.staged_predict_proba(validation.values), start=1):
        yield probabilities, choice | {"max_iter": number}, model


def _all_classes(probabilities: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    every = np.zeros((len(probabilities), n_classes))
    every[:, classes] = probabilities
    return every
