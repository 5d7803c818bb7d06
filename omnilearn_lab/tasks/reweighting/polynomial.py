"""The simplest density ratio: a logit that is a polynomial of the observables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

__all__ = ["LogisticRatio"]

_RIDGE, _NEWTON_STEPS, _NEWTON_TOLERANCE = 1e-6, 50, 1e-9


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
    def fit(cls, samples: Sequence[np.ndarray], weights: Sequence[np.ndarray], degree: int) -> LogisticRatio:
        """Fit target (second sample) against source (first), each with total weight one."""
        both = np.concatenate(samples)
        scale = both.std(axis=0)
        center, scale = both.mean(axis=0), np.where(scale > 0, scale, 1.0)
        columns = _monomials((both - center) / scale, degree)
        label = np.repeat([0.0, 1.0], [len(s) for s in samples])
        weight = np.concatenate([w / w.sum() for w in weights])
        return cls(center, scale, _newton(columns, label, weight), degree)

    def logits(self, table: np.ndarray) -> np.ndarray:
        """Return the logit of every row, shape (N,)."""
        return _monomials((table - self.center) / self.scale, self.degree) @ self.coefficients


def _monomials(table: np.ndarray, degree: int) -> np.ndarray:
    columns = [np.ones(len(table))]
    for power in range(1, degree + 1):
        for choice in combinations_with_replacement(range(table.shape[1]), power):
            columns.append(table[:, choice].prod(axis=1))
    return np.stack(columns, axis=1)


def _newton(columns: np.ndarray, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Minimise sum w [log(1 + e^l) - y l] + ridge |c|^2 / 2 over c, with l = columns c."""
    coefficients = np.zeros(columns.shape[1])
    ridge = _RIDGE * np.eye(columns.shape[1])
    for _ in range(_NEWTON_STEPS):
        probability = 0.5 * (1 + np.tanh(0.5 * np.clip(columns @ coefficients, -50, 50)))
        gradient = columns.T @ (weight * (probability - label)) + _RIDGE * coefficients
        curvature = columns.T @ (columns * (weight * probability * (1 - probability))[:, None]) + ridge
        step = np.linalg.solve(curvature, gradient)
        largest = np.abs(step).max()
        coefficients = coefficients - step / max(1.0, largest)  # damped while far away
        if largest < _NEWTON_TOLERANCE:
            break
    return coefficients
