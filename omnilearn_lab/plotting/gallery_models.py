"""The small models behind the gallery's examples; for pictures, not for physics results."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from omnilearn_lab.jets import Jets

if TYPE_CHECKING:
    import hist

__all__ = [
    "Regression",
    "diffused",
    "loss_histories",
    "smear",
    "unfold_iteratively",
]


class Regression(NamedTuple):
    """A logistic regression on some of the feature columns.

    Parameters
    ----------
    columns : tuple of int
    coefficients : array, shape (len(columns),)
    offset
    """

    columns: tuple[int, ...]
    coefficients: np.ndarray
    offset: float

    @classmethod
    def fit(
        cls, features: np.ndarray, labels: np.ndarray, *, columns: tuple[int, ...] | None = None
    ) -> Regression:
        """Fit to features, shape (N, F), and labels 0 or 1, shape (N,)."""
        from sklearn.linear_model import LogisticRegression

        columns = tuple(range(features.shape[1])) if columns is None else columns
        model = LogisticRegression().fit(features[:, columns], labels)
        return cls(columns, model.coef_[0], float(model.intercept_[0]))

    def logit(self, features: np.ndarray) -> np.ndarray:
        """Return the logit of each row."""
        return features[:, self.columns] @ self.coefficients + self.offset

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of label 1."""
        return 1 / (1 + np.exp(-self.logit(features)))

    def likelihood_ratio(self, features: np.ndarray) -> np.ndarray:
        """Return p(x | 1) / p(x | 0), scaled to mean one: weights that turn class 0 into class 1."""
        ratio = np.exp(np.clip(self.logit(features), -10, 10))
        return ratio / ratio.mean()


def loss_histories(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], *, n_seeds: int
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Train logistic regressions by gradient descent, from zero and from an earlier fit."""
    n_early = max(20, len(train[0]) // 10)
    early = Regression.fit(train[0][:n_early], train[1][:n_early])
    start = np.append(early.coefficients, early.offset)
    later = tuple(values[n_early:] for values in train)
    return {
        label: [_descent(weights, later, test, seed) for seed in range(n_seeds)]
        for label, weights in (("scratch", np.zeros_like(start)), ("warm start", start))
    }


def diffused(jet: Jets, *, n_steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return times from 1 to 0 and particles alpha x + sigma noise of one jet, shape (S, N, 3)."""
    rng = np.random.default_rng(seed)
    plane = np.stack([jet.particles["deta"], jet.particles["dphi"]], axis=1).astype(float)
    width = plane.std(axis=0)
    log_pt = np.log(jet.particles["pt"].astype(float))
    noise = rng.normal(size=(len(plane), 3))
    times = np.linspace(1, 0, n_steps)
    alpha, sigma = np.cos(np.pi / 2 * times), np.sin(np.pi / 2 * times)
    points = alpha[:, None, None] * plane + sigma[:, None, None] * noise[:, :2] * width
    centred = alpha[:, None] * (log_pt - log_pt.mean()) / log_pt.std() + sigma[:, None] * noise[:, 2]
    pt = np.exp(log_pt.mean() + log_pt.std() * centred)
    return times, np.concatenate([points, pt[..., None]], axis=2)


def smear(values: np.ndarray, seed: int) -> np.ndarray:
    """Return values with a relative resolution of 10 %."""
    return values * np.random.default_rng(seed).normal(1, 0.1, len(values))


def unfold_iteratively(
    simulated: tuple[np.ndarray, np.ndarray], measured: np.ndarray, edges: np.ndarray, n_iterations: int = 4
) -> hist.Hist:
    r"""Iterative Bayesian unfolding with :math:`P(i|j)` from (particle level, detector level) pairs."""
    import hist

    joint = np.histogram2d(*simulated, bins=(edges, edges))[0]
    data = np.histogram(measured, bins=edges)[0]
    prior = joint.sum(axis=1)
    response = np.divide(joint, prior[:, None], out=np.zeros_like(joint), where=prior[:, None] > 0)
    for _ in range(n_iterations):
        folded = prior @ response
        prior = prior * (response @ np.divide(data, folded, out=np.zeros_like(folded), where=folded > 0))
    histogram = hist.Hist(hist.axis.Variable(edges), storage=hist.storage.Weight())
    histogram.view()["value"], histogram.view()["variance"] = prior, prior
    return histogram


def _descent(
    weights: np.ndarray, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Run ten epochs of stochastic gradient descent; return epochs and test losses."""
    rng = np.random.default_rng(seed)
    inputs, labels = np.column_stack([train[0], np.ones(len(train[0]))]), train[1]
    weights, losses = weights.copy(), []
    for _ in range(10):
        for rows in np.array_split(rng.permutation(len(inputs)), max(1, len(inputs) // 32)):
            error = 1 / (1 + np.exp(-inputs[rows] @ weights)) - labels[rows]
            weights = weights - 0.1 * inputs[rows].T @ error / len(rows)
        logit = test[0] @ weights[:-1] + weights[-1]
        losses.append(float(np.mean(np.logaddexp(0, logit) - test[1] * logit)))
    return np.arange(1, 11), np.array(losses)
