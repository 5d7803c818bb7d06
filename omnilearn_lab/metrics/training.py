"""Summaries over trainings: mean and spread over seeds, gain, and speed-up to a target loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.display import number, signed
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics._checks import as_values

_SIGMAS = 2  # standard errors that a difference must exceed before it is one
Verdict = Literal["better", "worse", "within errors", "one seed", "lower limit"]


@dataclass(frozen=True)
class Spread:
    """Centre and spread of one number over repeated trainings.

    Parameters
    ----------
    mean, std
        Arithmetic mean and sample standard deviation (n - 1); NaN ``std`` for a single training.
    median, low, high
        50 %, 16 % and 84 % quantiles (linear interpolation).
    n
        Number of trainings.
    n_limits
        How many of them only gave a lower limit; with any, the mean is one, and no spread is written.
    """

    mean: float
    std: float
    median: float
    low: float
    high: float
    n: int
    n_limits: int = 0

    @property
    def is_limit(self) -> bool:
        """Whether the mean is only a lower limit."""
        return self.n_limits > 0

    def __str__(self) -> str:
        return f"≥ {number(self.mean)}" if self.n_limits else number(self.mean, self.std)


def spread(values: ArrayLike, *, n_limits: int = 0) -> Spread:
    """Summarise one number over repeated trainings.

    Parameters
    ----------
    values : array, shape (n,)
        One value per training (seed).
    n_limits
        How many of the values are only lower limits.

    Returns
    -------
    Spread

    Raises
    ------
    MetricError
        For no values, or a value that is not finite (a failed training must be seen, not averaged away).

    References
    ----------
    OmniLearn, arXiv:2404.16091: Table I quotes mean and standard deviation over 5 trainings, Figure 7
    the median with the 16-84 % band over 10.

    Examples
    --------
    >>> result = spread([560.0, 568.0, 576.0])
    >>> print(result)
    568.0 ± 8.0
    >>> result.median, result.n
    (568.0, 3)
    """
    array = as_values("values", values)
    if not len(array):
        raise MetricError("no values to summarise: give one number per training")
    low, median, high = np.quantile(array, [0.16, 0.5, 0.84])
    std = float(array.std(ddof=1)) if len(array) > 1 else np.nan
    return Spread(float(array.mean()), std, float(median), float(low), float(high), len(array), n_limits)


@dataclass(frozen=True)
class Gain:
    """Difference between two ways of training, with its uncertainty.

    Parameters
    ----------
    difference
        Mean of the new minus mean of the reference.
    std
        Spread over seeds of one such difference: the two standard deviations in quadrature, or the
        standard deviation of the differences when paired; NaN with a single seed.
    error
        Standard error of the mean difference: of the seeds and of the test set in quadrature; NaN with
        a single seed.
    n
        Number of seeds (the smaller of the two).
    smaller_is_better
        Whether the new way is better when the difference is negative.
    is_limit
        Whether any of the values is only a lower limit, so that the difference is unknown.
    """

    difference: float
    std: float
    error: float
    n: int
    smaller_is_better: bool = False
    is_limit: bool = False

    @property
    def verdict(self) -> Verdict:
        """What may be said: better or worse by more than two standard errors, or why nothing may be."""
        if self.is_limit:
            return "lower limit"
        if np.isnan(self.error):
            return "one seed"
        if not abs(self.difference) > _SIGMAS * self.error:
            return "within errors"
        return "better" if (self.difference > 0) != self.smaller_is_better else "worse"

    def __str__(self) -> str:
        return signed(self.difference, self.error)


def gain(
    new: ArrayLike,
    reference: ArrayLike,
    *,
    paired: bool = False,
    error: ArrayLike = 0.0,
    smaller_is_better: bool = False,
    is_limit: bool = False,
) -> Gain:
    r"""Compare one number between two ways of training, over seeds.

    The standard error of the difference is :math:`\sqrt{s^2/n + \sigma^2}`: the spread s over n seeds, and
    the statistical error of the test set, which all seeds share and more seeds do not reduce.

    Parameters
    ----------
    new, reference : array, shape (n,) and (m,)
        One value per training (seed).
    paired
        True when entry i of both used the same seed and data: then n = m and the spread is that of the
        differences, which is smaller when seeds help or hurt both.
    error : number or array
        Statistical error of the difference from the test set, per value; not-a-number (unknown) counts as
        none. Where both ways see the same jets, most of their fluctuations cancel in it.
    smaller_is_better, is_limit
        See `Gain`.

    Returns
    -------
    Gain

    Raises
    ------
    MetricError
        For no values, not-a-number, or paired arrays of different length.

    Examples
    --------
    >>> result = gain([568.0, 576.0, 560.0], [340.0, 352.0, 328.0], error=14.0)
    >>> print(f"{result}: {result.verdict}")
    +228 ± 16: better
    """
    a, b = spread(new), spread(reference)
    statistical = np.sqrt(np.mean(np.nan_to_num(np.asarray(error, dtype=float)) ** 2))
    if paired:
        if a.n != b.n:
            raise MetricError(f"a paired gain needs one reference per value, found {a.n} and {b.n}")
        both = spread(np.asarray(new, dtype=float) - np.asarray(reference, dtype=float))
        std, of_seeds = both.std, both.std / both.n**0.5
    else:
        std, of_seeds = float(np.hypot(a.std, b.std)), np.hypot(a.std / a.n**0.5, b.std / b.n**0.5)
    error = float(np.hypot(of_seeds, statistical))
    return Gain(a.mean - b.mean, std, error, min(a.n, b.n), smaller_is_better, is_limit)


@dataclass(frozen=True)
class Speedup:
    """How much earlier a fine-tuned training reaches the best loss of a training from scratch.

    Parameters
    ----------
    target_loss
        Best (lowest) loss of the scratch training.
    epochs_finetuned, epochs_scratch
        Epochs until each first reaches the target; NaN when fine-tuning never does.
    epochs
        The ratio scratch / fine-tuned; above 1 when fine-tuning is faster, NaN when not reached, or before
        the first update.
    seconds_finetuned, seconds_scratch, seconds
        The same in wall time; NaN when no times were given.
    is_reached
        False when the fine-tuned training never gets there.
    """

    target_loss: float
    epochs_finetuned: float
    epochs_scratch: float
    epochs: float
    seconds_finetuned: float
    seconds_scratch: float
    seconds: float
    is_reached: bool

    @property
    def is_from_start(self) -> bool:
        """Whether fine-tuning begins at or below the target."""
        return self.is_reached and not self.epochs_finetuned > 0

    def __str__(self) -> str:
        if not self.is_reached:
            return f"loss {self.target_loss:.4g} not reached"
        if self.is_from_start:
            return f"loss {self.target_loss:.4g} undercut before the first update"
        if not self.epochs_scratch > 0:
            return f"scratch never improves on its first loss, {self.target_loss:.4g}"
        return (
            f"{self.epochs:.2g}x fewer epochs ({self.epochs_finetuned:g} instead of {self.epochs_scratch:g})"
        )


def time_to_target(loss: ArrayLike, target: float, *, time: ArrayLike | None = None) -> float:
    """First time at which a loss curve is at or below a target.

    Parameters
    ----------
    loss : array, shape (E,)
        Validation loss after each record.
    target
        The loss to reach.
    time : array, shape (E,), optional
        Epochs, steps, jets seen or seconds of each record; 1, 2, 3, ... when left out.

    Returns
    -------
    float
        NaN when the target is never reached.

    Raises
    ------
    MetricError
        For an empty or not-a-number curve, or times that do not match or do not rise.

    Examples
    --------
    >>> time_to_target([0.5, 0.4, 0.3], 0.4)
    2.0
    """
    curve = _curve("loss", loss)
    when = _times(time, len(curve))
    reached = np.flatnonzero(curve <= target)
    return float(when[reached[0]]) if len(reached) else np.nan


def speedup(
    finetuned: ArrayLike,
    scratch: ArrayLike,
    *,
    epochs: tuple[ArrayLike, ArrayLike] | None = None,
    seconds: tuple[ArrayLike, ArrayLike] | None = None,
) -> Speedup:
    """Epochs and seconds that fine-tuning saves on the way to the best loss of scratch training.

    Parameters
    ----------
    finetuned, scratch : array, shape (E,) and (F,)
        Validation losses, in order.
    epochs : pair of arrays, optional
        Epoch (may be fractional) of each record of the two; 1, 2, 3, ... when left out.
    seconds : pair of arrays, optional
        Wall time since the start of each training.

    Returns
    -------
    Speedup

    Raises
    ------
    MetricError
        For empty or not-a-number curves, or times that do not match or do not rise.

    References
    ----------
    OmniLearn, arXiv:2404.16091, Figures 2 to 4: 3x (top, quark/gluon), 2x (CMS), 3.5x (H1).

    Examples
    --------
    >>> result = speedup([0.30, 0.25, 0.24], [0.50, 0.40, 0.32, 0.31, 0.30, 0.30])
    >>> result.epochs, result.is_reached
    (5.0, True)
    """
    target = float(_curve("scratch", scratch).min())
    _curve("finetuned", finetuned)

    def reached(times: tuple[ArrayLike | None, ArrayLike | None]) -> list[float]:
        both = zip((finetuned, scratch), times, strict=True)
        return [time_to_target(curve, target, time=time) for curve, time in both]

    fast, slow = reached(epochs or (None, None))
    fast_s, slow_s = (np.nan, np.nan) if seconds is None else reached(seconds)
    return Speedup(
        target_loss=target,
        epochs_finetuned=fast,
        epochs_scratch=slow,
        epochs=_ratio(slow, fast),
        seconds_finetuned=fast_s,
        seconds_scratch=slow_s,
        seconds=_ratio(slow_s, fast_s),
        is_reached=not np.isnan(fast),
    )


def _ratio(slow: float, fast: float) -> float:
    """NaN also for a target met at time zero: a ratio to nothing is not a speed-up."""
    return slow / fast if fast > 0 else np.nan


def _curve(name: str, loss: ArrayLike) -> np.ndarray:
    curve = as_values(name, loss)
    if not len(curve):
        raise MetricError(f"{name}: the loss curve is empty; train for at least one epoch")
    return curve


def _times(time: ArrayLike | None, n: int) -> np.ndarray:
    if time is None:
        return np.arange(1.0, n + 1)
    when = as_values("time", time)
    if when.shape != (n,):
        raise MetricError(f"time has {len(when)} entries for {n} losses")
    if (np.diff(when) < 0).any():
        raise MetricError("time must not fall; sort the records first")
    return when
