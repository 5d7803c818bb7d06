"""Discriminants of flavour taggers, and how well they reject the other flavours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.metrics import Rejection, background_rejection
from omnilearn_lab.tasks.flavour.inputs import CLASSES

__all__ = ["FRACTIONS", "flavour_discriminant", "rejection_table", "tagger_rejections", "tagger_scores"]

FRACTIONS = {"b": {"c": 0.2, "tau": 0.01}, "c": {"b": 0.2, "tau": 0.01}}
"""Fractions of the other flavours in the discriminants; the rest is light."""
_TINY = 1e-12


def flavour_discriminant(probabilities: np.ndarray, target: str = "b") -> np.ndarray:
    r"""Return the log-likelihood ratio of b (or c) jets to a mixture of the other flavours.

    .. math:: D_b = \ln\frac{p_b}{f_c p_c + f_\tau p_\tau + (1 - f_c - f_\tau) p_u}

    with :math:`f_c = 0.2`, :math:`f_\tau = 0.01`; for c jets b and c change places.

    Parameters
    ----------
    probabilities : array, shape (N, 4)
        Of light (u), c, b, tau.
    target : {"b", "c"}

    Returns
    -------
    float64 array, shape (N,)

    Raises
    ------
    ConfigError
        For another target.

    References
    ----------
    ATLAS Collaboration, arXiv:2505.19689.

    Examples
    --------
    >>> flavour_discriminant(np.array([[0.25, 0.25, 0.25, 0.25]])).round(6).tolist()
    [0.0]
    """
    if target not in FRACTIONS:
        raise ConfigError(f"no discriminant for '{target}'; {nearest(target, FRACTIONS)}")
    p = np.maximum(np.asarray(probabilities, dtype=np.float64), _TINY)
    fractions = FRACTIONS[target]
    mixture = sum(f * p[:, CLASSES.index(name)] for name, f in fractions.items())
    mixture = mixture + (1 - sum(fractions.values())) * p[:, CLASSES.index("light")]
    return np.log(p[:, CLASSES.index(target)] / mixture)


def tagger_scores(
    probabilities: Sequence[np.ndarray], label: np.ndarray, target: str, background: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (discriminant, is target) of the jets of two flavours, per seed, for plotting."""
    used = np.isin(label, [CLASSES.index(target), CLASSES.index(background)])
    is_target = (label[used] == CLASSES.index(target)).astype(np.int64)
    return [(flavour_discriminant(p, target)[used], is_target) for p in probabilities]


def tagger_rejections(
    probabilities: Sequence[np.ndarray], label: np.ndarray, target: str, efficiency: float
) -> dict[str, list[Rejection]]:
    """Return the rejection of every other flavour at one efficiency of the target, per seed.

    Examples
    --------
    >>> label = np.repeat([0, 1, 2, 3], 50)
    >>> guess = np.full((200, 4), 0.1) + 0.6 * np.eye(4)[label]
    >>> sorted(tagger_rejections([guess], label, "b", 0.5))
    ['c', 'light', 'tau']
    """
    found = {}
    for background in (name for name in CLASSES if name != target):
        if np.any(label == CLASSES.index(background)):
            pairs = tagger_scores(probabilities, label, target, background)
            found[background] = [background_rejection(*pair, signal_efficiency=efficiency) for pair in pairs]
    return found


def rejection_table(
    probabilities: Mapping[str, Sequence[np.ndarray]], label: np.ndarray, points: Mapping[str, float]
) -> dict[str, dict[str, list[float]]]:
    """Return the rejections of all taggers at one efficiency for each target, one value per seed.

    Parameters
    ----------
    probabilities : mapping of tagger to arrays, shape (N, 4), one per seed
    label : array, shape (N,)
    points : mapping of target to efficiency

    Returns
    -------
    dict of tagger to {metric: values}
        Metrics are called "b at 70 %: against light".
    """
    return {
        name: {
            f"{target} at {100 * efficiency:.0f} %: against {other}": [r.value for r in values]
            for target, efficiency in points.items()
            for other, values in tagger_rejections(runs, label, target, efficiency).items()
        }
        for name, runs in probabilities.items()
    }
