"""How well a classifier separates: accuracy, area under the curve, confusion, and what a table quotes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError, nearest
from omnilearn_lab.metrics import _checks
from omnilearn_lab.metrics.efficiency import Rejection, RocCurve, background_rejection, roc


def accuracy(probabilities: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """Weighted fraction of jets put into their own class.

    Parameters
    ----------
    probabilities : array, shape (N, C) or (N,)
        Class probabilities or logits (the largest wins, the first of equals), or one signal
        probability per jet (signal when > 0.5).
    labels : array, shape (N,)
        Class positions, 0 to C - 1.
    weights : array, shape (N,), optional
        Event weights >= 0.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    MetricError
        For no jets, not-a-number, labels out of range, negative weights or weights that sum to 0.

    Examples
    --------
    >>> accuracy([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], [0, 1, 1])
    0.6666666666666666
    """
    predicted, labels, weights = _predictions(probabilities, labels, weights)
    return float(np.average(predicted == labels, weights=weights))


def auc(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    multi_class: Literal["ovo", "ovr"] = "ovo",
) -> float:
    r"""Area under the ROC curve, binary or averaged over classes.

    ``"ovo"`` (one against one): mean over all pairs (a, b) of
    :math:`\frac12[A(a|b) + A(b|a)]`, where A(a|b) uses probability a on the jets of a and b only.
    ``"ovr"`` (one against the rest): mean over classes of the AUC of probability a against all others.

    Parameters
    ----------
    probabilities : array, shape (N,) or (N, C)
        One score per jet, or class probabilities; with two columns the second is the score.
    labels : array, shape (N,)
        Class positions.
    weights : array, shape (N,), optional
        Event weights >= 0.
    multi_class
        The average for more than two classes. The published v1 scripts ask scikit-learn for "ovo"
        but pass one-hot labels, for which it computes the mean over classes ("ovr"); v2's scripts
        get "ovo".

    Returns
    -------
    float
        0.5 for random scores, 1 for perfect ones.

    Raises
    ------
    MetricError
        When a class has no jets, and as for `roc`.

    References
    ----------
    Hand and Till, Machine Learning 45 (2001) 171, eq. 7 (one against one).

    Examples
    --------
    >>> auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    if multi_class not in ("ovo", "ovr"):
        raise MetricError(f"no multi-class AUC '{multi_class}'; {nearest(str(multi_class), ('ovo', 'ovr'))}")
    table = _checks.as_table("probabilities", probabilities)
    if table.shape[1] == 2:
        return roc(table[:, 1], labels, weights=weights).auc
    if multi_class == "ovr":
        return float(np.mean(auc_per_class(table, labels, weights=weights)))
    labels, weights = _checks.labels_of_all(table, labels, weights)
    pairs = combinations(range(table.shape[1]), 2)
    curves = (curve for pair in pairs for curve in _pair_curves(table, labels, weights, pair))
    return float(np.mean([curve.auc for curve in curves]))


def auc_per_class(
    probabilities: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None
) -> tuple[float, ...]:
    """AUC of each class's probability against all other classes.

    Parameters
    ----------
    probabilities : array, shape (N, C)
    labels : array, shape (N,)
    weights : array, shape (N,), optional

    Returns
    -------
    tuple of C floats

    Raises
    ------
    MetricError
        When a class has no jets, and as for `roc`.

    Examples
    --------
    >>> auc_per_class([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]], [0, 1, 2])
    (1.0, 1.0, 1.0)
    """
    table = _checks.as_table("probabilities", probabilities)
    labels, weights = _checks.labels_of_all(table, labels, weights)
    return tuple(roc(column, labels == c, weights=weights).auc for c, column in enumerate(table.T))


def pair_score(probabilities: ArrayLike, signal: int, background: int) -> np.ndarray:
    r"""Score of one class against another, :math:`p_s/(p_s + p_b)`.

    Parameters
    ----------
    probabilities : array, shape (N, C)
        Class probabilities >= 0.
    signal, background
        Column numbers.

    Returns
    -------
    array, shape (N,)
        In [0, 1]; 0.5 where both probabilities are 0, since such a jet says nothing about the pair.

    Raises
    ------
    MetricError
        For negative values (logits) or a column that does not exist.

    References
    ----------
    OmniLearn, arXiv:2404.16091; ParT, arXiv:2202.03772, eq. 6.

    Examples
    --------
    >>> pair_score([[0.2, 0.6, 0.2]], signal=1, background=0).round(2).tolist()
    [0.75]
    """
    table = _checks.as_table("probabilities", probabilities)
    if table.min(initial=0.0) < 0:
        raise MetricError("probabilities: found negative values; pass softmax outputs, not logits")
    for column in (signal, background):
        if not 0 <= column < table.shape[1]:
            raise MetricError(
                f"class {column} does not exist; probabilities have columns 0..{table.shape[1] - 1}"
            )
    total = table[:, signal] + table[:, background]
    return np.divide(table[:, signal], total, out=np.full(len(table), 0.5), where=total > 0)


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Weighted jet counts by true class (rows) and predicted class (columns).

    Parameters
    ----------
    counts : array, shape (C, C)
        Sums of weights.
    class_names : tuple of str
    """

    counts: np.ndarray
    class_names: tuple[str, ...]

    @property
    def fractions(self) -> np.ndarray:
        """Rows normalised to one; a row of zeros for a class without jets."""
        total = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, total, out=np.zeros_like(self.counts), where=total > 0)


def confusion_matrix(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    class_names: Sequence[str] = (),
) -> ConfusionMatrix:
    """Count jets by true and predicted class; parameters and errors as `accuracy`.

    Returns
    -------
    ConfusionMatrix

    Examples
    --------
    >>> confusion_matrix([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], [0, 1, 1]).counts.tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    predicted, labels, weights = _predictions(probabilities, labels, weights)
    n_classes = 2 if np.ndim(probabilities) == 1 else np.shape(probabilities)[1]
    counts = np.bincount(labels * n_classes + predicted, weights=weights, minlength=n_classes**2)
    return ConfusionMatrix(counts.reshape(n_classes, n_classes), _checks.names_of(class_names, n_classes))


def _predictions(
    probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = _checks.as_table("probabilities", probabilities)
    labels = _checks.as_labels(labels, len(table), n_classes=table.shape[1])
    return table.argmax(axis=1), labels, _checks.as_weights(weights, len(table))


def _pair_curves(
    table: np.ndarray, labels: np.ndarray, weights: np.ndarray, pair: tuple[int, int]
) -> list[RocCurve]:
    """Curves of two classes against each other, by the output of either."""
    used = np.isin(labels, pair)
    return [roc(table[used, c], labels[used] == c, weights=weights[used]) for c in pair]


def auc_influence(
    scores: np.ndarray, is_signal: np.ndarray, is_background: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    r"""How much every jet, by being in the test set, moves the area under the curve.

    For a signal jet this is its weight's share times :math:`V_i - A`, with :math:`V_i` the share of the
    background that scores lower; for a background jet likewise. The norm over all jets is the statistical
    error of the area A, and the norm of the difference of two classifiers' influences that of the difference
    of their areas on the same jets.

    Parameters
    ----------
    scores, weights : array, shape (N,)
    is_signal, is_background : bool array, shape (N,)

    Returns
    -------
    float64 array, shape (N,)
        Zero for all other jets.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837.

    Examples
    --------
    >>> is_signal = np.array([False, False, True, True])
    >>> auc_influence(np.array([0.1, 0.4, 0.3, 0.8]), is_signal, ~is_signal, np.ones(4)).tolist()
    [0.125, -0.125, -0.125, 0.125]
    """
    influence = np.zeros(len(scores))
    for ours, theirs, is_lower in ((is_signal, is_background, True), (is_background, is_signal, False)):
        order = np.argsort(scores[theirs])
        lower = np.concatenate([[0.0], np.cumsum(weights[theirs][order])])
        sides = (np.searchsorted(scores[theirs][order], scores[ours], side=end) for end in ("left", "right"))
        share = sum(lower[side] for side in sides) / (2 * lower[-1])
        placed = share if is_lower else 1 - share
        influence[ours] = _share_influence(placed, weights[ours])
    return influence


def rejection_influence(
    scores: np.ndarray,
    is_signal: np.ndarray,
    is_background: np.ndarray,
    weights: np.ndarray,
    signal_efficiency: float,
) -> np.ndarray:
    """How much every jet moves the rejection at a signal efficiency, as `auc_influence`.

    Background jets by passing the cut, and signal jets by moving it: with the slope of the ROC curve between
    two standard errors of the efficiency below and above. Not-a-number where no background passes.
    """
    falling = np.argsort(-scores[is_signal], kind="stable")
    kept = np.cumsum(weights[is_signal][falling])

    def passing(share: float) -> tuple[np.ndarray, np.ndarray]:
        last = min(int(np.searchsorted(kept, share * kept[-1])), len(kept) - 1)
        cut = scores[is_signal][falling[last]]
        return scores[is_signal] >= cut, scores[is_background] >= cut

    signal, background = passing(signal_efficiency)
    efficiency = np.average(background, weights=weights[is_background])
    if not efficiency:
        return np.full(len(scores), np.nan)
    of_signal = _share_influence(signal, weights[is_signal])
    step = 2 * float(np.linalg.norm(of_signal))
    ends = [min(max(signal_efficiency + sign * step, 0.0), 1.0) for sign in (-1, 1)]
    low, high = (np.average(passing(end)[1], weights=weights[is_background]) for end in ends)
    slope = (high - low) / (ends[1] - ends[0]) if ends[1] > ends[0] else 0.0
    influence = np.zeros(len(scores))
    influence[is_background] = -_share_influence(background, weights[is_background]) / efficiency**2
    influence[is_signal] = slope * of_signal / efficiency**2
    return influence


def _share_influence(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How much every jet moves a weighted mean."""
    share = weights / weights.sum()
    return share * (values - share @ values)


@dataclass(frozen=True)
class ClassificationMetrics:
    """What a tagging table quotes, for one set of scores.

    Parameters
    ----------
    auc
        Binary, or one against one for more classes.
    accuracy
        Fraction of jets put into their own class.
    rejections
        For each signal class, its background rejections at the efficiencies asked for.
    auc_by_class
        One class against the rest, by name; the signal alone for two classes.
    n_jets
        Number of jets.
    auc_error, accuracy_error
        Statistical errors.
    influences : mapping of metric to array, shape (n_jets,)
        Under the names of `to_dict`, what every jet adds to a metric's fluctuation; see `auc_influence`.
    """

    auc: float
    accuracy: float
    rejections: Mapping[str, tuple[Rejection, ...]]
    auc_by_class: Mapping[str, float]
    n_jets: int
    auc_error: float = np.nan
    accuracy_error: float = np.nan
    influences: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def rejection(self, signal_efficiency: float = 0.5, *, signal: str | None = None) -> Rejection:
        """Return the rejection at one of the efficiencies; name the signal when there are several.

        Raises
        ------
        MetricError
            When it was not computed; the message lists what was.
        """
        if signal is None and len(self.rejections) == 1:
            signal = next(iter(self.rejections))
        if signal is None or signal not in self.rejections:
            raise MetricError(f"no rejection for signal '{signal}'; {nearest(str(signal), self.rejections)}")
        for item in self.rejections[signal]:
            if np.isclose(item.signal_efficiency, signal_efficiency):
                return item
        known = ", ".join(f"{item.signal_efficiency:g}" for item in self.rejections[signal])
        raise MetricError(f"no rejection at signal efficiency {signal_efficiency}; computed at: {known}")

    def to_dict(self) -> dict[str, float]:
        """Flat numbers for a results file: ``auc``, ``accuracy``, ``rejection_at_0.5``, ...

        With several signal classes the names end in ``[class]``.
        """
        rejections = {name: item.value for name, item in self._named_rejections().items()}
        return {"auc": self.auc, "accuracy": self.accuracy} | rejections

    def errors(self) -> dict[str, float]:
        """Return the statistical errors of the test set under the names of `to_dict`; NaN for a limit."""
        rejections = {name: item.uncertainty for name, item in self._named_rejections().items()}
        return {"auc": self.auc_error, "accuracy": self.accuracy_error} | rejections

    def limits(self) -> tuple[str, ...]:
        """Return the names, as in `to_dict`, of the rejections that are only lower limits."""
        return tuple(name for name, item in self._named_rejections().items() if item.is_limit)

    def _named_rejections(self) -> dict[str, Rejection]:
        several = len(self.rejections) > 1
        return {
            _rejection_name(item.signal_efficiency, name * several): item
            for name, items in self.rejections.items()
            for item in items
        }


def classification_metrics(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    signal_efficiencies: Sequence[float] = (0.5, 0.3),
    background: int = 0,
    class_names: Sequence[str] = (),
) -> ClassificationMetrics:
    """Accuracy, AUC and background rejections in one call.

    Each class but ``background`` is a signal: its `pair_score` against the background class
    is evaluated on the jets of those two classes. For two classes this is the plain rejection.

    Parameters
    ----------
    probabilities : array, shape (N, C) or (N,)
        Class probabilities, or one signal probability per jet.
    labels : array, shape (N,)
        Class positions.
    weights : array, shape (N,), optional
        Event weights >= 0.
    signal_efficiencies
        Where to quote the rejection.
    background
        Position of the background class.
    class_names
        Names for the result; ``class 0``, ``class 1``, ... when left out.

    Returns
    -------
    ClassificationMetrics

    Raises
    ------
    MetricError
        When a class has no jets, and for the bad input named in `roc`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(2, size=2000)
    >>> signal = 1 / (1 + np.exp(-rng.normal(2.0 * labels - 1.0)))
    >>> result = classification_metrics(signal, labels, class_names=["QCD", "top"])
    >>> f"{result.accuracy:.2f} {result.auc:.2f}"
    '0.84 0.93'
    >>> print(result.rejection(0.5))
    45.6 ± 9.8
    """
    table = _checks.as_table("probabilities", probabilities)
    labels, weights = _checks.labels_of_all(table, labels, weights)
    names = _checks.names_of(class_names, table.shape[1])
    signals = [c for c in range(table.shape[1]) if c != background]
    is_right = table.argmax(axis=1) == labels
    influences = {
        "auc": _ovo_influence(table, labels, weights),
        "accuracy": _share_influence(is_right, weights),
    }
    rejections: dict[str, Any] = {}
    for c in signals:
        used, score = (labels == c) | (labels == background), pair_score(table, c, background)
        rejections[names[c]] = background_rejection(
            score[used], labels[used] == c, signal_efficiency=list(signal_efficiencies), weights=weights[used]
        )
        for efficiency in signal_efficiencies:
            parts = (score, labels == c, labels == background, weights)
            name = _rejection_name(efficiency, names[c] if len(signals) > 1 else "")
            influences[name] = rejection_influence(*parts, efficiency)
    by_class = auc_per_class(table, labels, weights=weights)
    shown = signals if len(signals) == 1 else range(len(names))
    return ClassificationMetrics(
        auc=auc(table, labels, weights=weights),
        accuracy=(share := accuracy(table, labels, weights=weights)),
        rejections=rejections,
        auc_by_class={names[c]: by_class[c] for c in shown},
        n_jets=len(labels),
        auc_error=float(np.linalg.norm(influences["auc"])),
        accuracy_error=float(_checks.share_error(share, _checks.effective_number(weights))),
        influences=influences,
    )


def _ovo_influence(table: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Influences on the binary AUC, or on the average of all pairs of classes, either way."""
    n_classes = table.shape[1]
    pairs = [(1, 0)] if n_classes == 2 else list(permutations(range(n_classes), 2))
    every = (auc_influence(table[:, a], labels == a, labels == b, weights) for a, b in pairs)
    return sum(every) / len(pairs)


def _rejection_name(signal_efficiency: float, signal: str = "") -> str:
    return f"rejection_at_{signal_efficiency:g}" + f"[{signal}]" * bool(signal)
