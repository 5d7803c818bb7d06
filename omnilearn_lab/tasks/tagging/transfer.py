"""What transfer brings: how much a tagger loses on other jets, how many jets pretraining saves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.tasks.common.classification import ClassifierResult


def metric_lost(results: Sequence[ClassifierResult], metric: str = "auc") -> dict[str, list[float]]:
    """Return, per seed, a metric on the test jets minus that on each further set of jets, by its name."""
    tested = [(result.metrics.to_dict()[metric], result.others) for result in results]
    names = results[0].others if results else ()
    return {name: [value - others[name].to_dict()[metric] for value, others in tested] for name in names}


def jets_saved(sizes: Sequence[int], scratch: ArrayLike, finetuned: ArrayLike) -> dict[int, float]:
    """Return, for each size, how many times more jets training from scratch needs to do as well.

    The number of jets at which the mean of scratch training reaches that of fine-tuning with n jets, over n;
    between two sizes linear in the logarithm of the number of jets.

    Parameters
    ----------
    sizes
        Training jets, rising, shape (K,).
    scratch, finetuned : array, shape (S, K)
        A metric that grows as a tagger gets better, per seed; as from `LearningCurve.values`.

    Returns
    -------
    dict of int to float
        Infinite where scratch training does not get there with all its jets; 0 where fine-tuning is worse
        than scratch training with the fewest.

    Examples
    --------
    >>> jets_saved([100, 10_000], [[0.80, 0.90]], [[0.85, 0.95]])
    {100: 10.0, 10000: inf}
    """
    reached = np.maximum.accumulate(np.mean(scratch, axis=0))
    values = np.mean(finetuned, axis=0)
    return {
        int(n): round(_size_for(value, reached, sizes) / n, 9) for n, value in zip(sizes, values, strict=True)
    }


def _size_for(value: float, curve: np.ndarray, sizes: Sequence[int]) -> float:
    """Number of jets at which a rising curve reaches a value; 0 below its start, infinite above its end."""
    if value < curve[0]:
        return 0.0
    if value > curve[-1]:
        return math.inf
    above = int(np.searchsorted(curve, value))
    if above == 0:
        return float(sizes[0])
    share = (value - curve[above - 1]) / (curve[above] - curve[above - 1])
    return float(sizes[above - 1] * (sizes[above] / sizes[above - 1]) ** share)
