"""Discriminants of flavour taggers, and how well they reject the other flavours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.metrics import background_rejection, roc
from omnilearn_lab.tasks.flavour.inputs import CLASSES

FRACTIONS = {"b": {"c": 0.2, "tau": 0.01}, "c": {"b": 0.2, "tau": 0.01}}
"""Fractions of the other flavours in the discriminants; the rest is light."""
POINTS = {"b": 0.7, "c": 0.3}
"""Efficiencies at which rejections are quoted."""
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
    probabilities: Mapping[str, Sequence[np.ndarray]], label: np.ndarray, target: str, background: str
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Return (discriminant, is target) of the jets of two flavours, per tagger and seed, for plotting."""
    return {
        name: [_scores(p, label, target, background) for p in runs] for name, runs in probabilities.items()
    }


def tagger_values(
    probabilities: np.ndarray, label: np.ndarray, points: Mapping[str, float] = POINTS
) -> dict[str, float]:
    """Return the rejection of every other flavour at one efficiency of each target, and the areas under ROC.

    Parameters
    ----------
    probabilities : array, shape (N, 4)
    label : array, shape (N,)
    points : mapping of target to efficiency

    Returns
    -------
    dict of str to float
        Called "b at 70 %: against light" and "AUC, b against light"; flavours without jets are left out.

    Examples
    --------
    >>> label = np.repeat([0, 2], 50)
    >>> guess = np.full((100, 4), 0.1) + 0.6 * np.eye(4)[label]
    >>> tagger_values(guess, label, {"b": 0.5})["AUC, b against light"]
    1.0
    """
    values, areas = {}, {}
    for target, efficiency in points.items():
        for other in CLASSES:
            if other != target and {target, other} <= {CLASSES[i] for i in np.unique(label)}:
                pair = _scores(probabilities, label, target, other)
                rejection = background_rejection(*pair, signal_efficiency=efficiency)
                values[f"{target} at {100 * efficiency:.0f} %: against {other}"] = rejection.value
                areas[f"AUC, {target} against {other}"] = roc(*pair).auc
    return values | areas


def _scores(
    probabilities: np.ndarray, label: np.ndarray, target: str, background: str
) -> tuple[np.ndarray, np.ndarray]:
    used = np.isin(label, [CLASSES.index(target), CLASSES.index(background)])
    is_target = (label[used] == CLASSES.index(target)).astype(np.int64)
    return flavour_discriminant(probabilities, target)[used], is_target
