"""Everything that a tagging table quotes, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError, nearest
from omnilearn_lab.metrics._checks import as_matrix, as_values, labels_of_all, names_of
from omnilearn_lab.metrics.classification import accuracy, auc, auc_per_class, pair_score
from omnilearn_lab.metrics.efficiency import Rejection, background_rejection

__all__ = ["ClassificationMetrics", "classification_metrics"]


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
    """

    auc: float
    accuracy: float
    rejections: Mapping[str, tuple[Rejection, ...]]
    auc_by_class: Mapping[str, float]
    n_jets: int

    def rejection(self, signal_efficiency: float = 0.5, *, signal: str | None = None) -> Rejection:
        """Return the rejection at one of the efficiencies; name the signal when there are several.

        Raises
        ------
        MetricError
            When it was not computed; the message lists what was.
        """
        if signal is None and len(self.rejections) == 1:
            signal = next(iter(self.rejections))
        if signal not in self.rejections:
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

    def limits(self) -> tuple[str, ...]:
        """Return the names, as in `to_dict`, of the rejections that are only lower limits."""
        return tuple(name for name, item in self._named_rejections().items() if item.is_limit)

    def _named_rejections(self) -> dict[str, Rejection]:
        several = len(self.rejections) > 1
        return {
            f"rejection_at_{item.signal_efficiency:g}" + f"[{name}]" * several: item
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
    45.57 ± 9.8
    """
    table = _as_table(probabilities)
    labels, weights = labels_of_all(table, labels, weights)
    names = names_of(class_names, table.shape[1])
    signals = [c for c in range(table.shape[1]) if c != background]
    rejections = {}
    for c in signals:
        used = (labels == c) | (labels == background)
        score = pair_score(table, c, background)[used]
        rejections[names[c]] = background_rejection(
            score, labels[used] == c, signal_efficiency=list(signal_efficiencies), weights=weights[used]
        )
    by_class = auc_per_class(table, labels, weights=weights)
    shown = signals if len(signals) == 1 else range(len(names))
    return ClassificationMetrics(
        auc=auc(table, labels, weights=weights),
        accuracy=accuracy(table, labels, weights=weights),
        rejections=rejections,
        auc_by_class={names[c]: by_class[c] for c in shown},
        n_jets=len(labels),
    )


def _as_table(probabilities: ArrayLike) -> np.ndarray:
    if np.ndim(probabilities) == 1:
        score = as_values("probabilities", probabilities)
        return np.stack([1 - score, score], axis=1)
    return as_matrix("probabilities", probabilities)
