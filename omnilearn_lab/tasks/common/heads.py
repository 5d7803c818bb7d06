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

_STRENGTHS = (1e-5, 1e-4, 0.001, 0.01, 0.1, 1.0)  # inverse regularisation of a logistic regression
_TOLERANCE = 1e-6  # of the gradient: what rounding leaves of a looser fit differs between machines
_PENALTIES = (1.0, 0.01)  # squared weights of a hidden layer of 64
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

    def joined(self, other: Rows) -> Rows:
        """Return these and further rows, both with weights or both without."""
        pairs = zip(self, other, strict=True)
        return Rows(*(None if ours is None else np.concatenate([ours, theirs]) for ours, theirs in pairs))


@dataclass(frozen=True, eq=False)
class Head:
    """A fitted classifier.

    Parameters
    ----------
    model
        Of scikit-learn.
    n_classes
    val_loss
        Cross-entropy of the validation rows, of the candidate that was chosen.
    """

    model: ClassifierMixin
    n_classes: int
    val_loss: float

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Return class probabilities, shape (N, C); zero for classes that no training jet had."""
        return _all_classes(self.model.predict_proba(values), self.model.classes_, self.n_classes)


def fit_head(
    train: Rows,
    validation: Rows,
    *,
    kind: HeadKind = "logistic",
    n_classes: int = 2,
    seed: int = 1,
    cautious: bool = False,
) -> Head:
    """Fit a small classifier; its regularisation, or number, depth and rate of trees, are tuned.

    Parameters
    ----------
    train, validation : Rows
    kind
    n_classes
    seed
        Of initial weights ("mlp"); the other kinds do not depend on it.
    cautious
        For signals that the validation rows hardly show: of all candidates take the most regularised one
        whose validation loss exceeds the least by no more than a standard error of the difference (the
        one-standard-error rule), and fit it again to the training and the validation rows together.

    Returns
    -------
    Head

    Raises
    ------
    ConfigError
        When the training rows are all of one class, or no validation row has a weight.

    References
    ----------
    Breiman, Friedman, Olshen, Stone, Classification and Regression Trees (1984), section 3.4.3.

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
    if validation.weight is not None and not validation.weight.sum() > 0:
        raise ConfigError("the weights of the validation jets sum to zero; hold out jets that count")
    rows = np.arange(len(validation.label))
    candidates, losses = [], []
    for fitted in _fitted(train, validation, kind, seed):
        probabilities = _all_classes(fitted.probabilities, fitted.model.classes_, n_classes)
        right = probabilities[rows, validation.label]
        candidates.append((fitted.model, fitted.n_trees))
        losses.append(-np.log(np.maximum(right, _TINY)))
    chosen, loss = _choose(np.array(losses), validation.weight, cautious)
    model, n_trees = candidates[chosen]
    if cautious or n_trees:
        from sklearn.base import clone

        model = clone(model)
        if n_trees:  # without those grown after the best
            model.set_params(max_iter=n_trees)
        _fit(model, train.joined(validation) if cautious else train)
    return Head(model, n_classes, loss)


def _choose(losses: np.ndarray, weight: np.ndarray | None, cautious: bool) -> tuple[int, float]:
    """Return number and mean loss of the best candidate; losses have the shape (candidates, rows)."""
    share = np.ones(losses.shape[1]) if weight is None else weight
    share = share / share.sum()
    mean = losses @ share
    best = int(np.argmin(mean))
    if cautious:
        worse = mean - mean[best]
        error = np.sqrt(((losses - losses[best] - worse[:, None]) ** 2) @ share**2)
        best = int(np.argmax(worse <= error))
    return best, float(mean[best])


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
        scaled = _fit(make_pipeline(StandardScaler(), model), train)
        yield _Fitted(scaled.predict_proba(validation.values), scaled)


def _fit(model: Any, train: Rows) -> Any:
    """Fit a classifier, or the last step of a pipeline, with the rows' weights."""
    steps = getattr(model, "steps", None)
    name = f"{steps[-1][0]}__sample_weight" if steps else "sample_weight"
    weights = {} if train.weight is None else {name: train.weight}
    return model.fit(train.values.astype(float), train.label, **weights)


def _grown(train: Rows, validation: Rows) -> Iterator[_Fitted]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    least = max(5, min(20, len(train.label) // 50))
    for choice in TREES:
        model = HistGradientBoostingClassifier(**choice, min_samples_leaf=least)
        _fit(model, train)
        for number, probabilities in enumerate(model.staged_predict_proba(validation.values), start=1):
            yield _Fitted(probabilities, model, number)


def _all_classes(probabilities: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    every = np.zeros((len(probabilities), n_classes))
    every[:, classes] = probabilities
    return every
