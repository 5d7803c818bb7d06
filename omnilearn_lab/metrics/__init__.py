"""Numbers from plain arrays: classification, generation, reweighting and unfolding, anomaly detection.

Every function takes numpy arrays (event weights where they make sense) and returns a number or a
small frozen result. What cannot be computed raises :class:`~omnilearn_lab.errors.MetricError`; nothing
is silently infinite.
"""

from omnilearn_lab.metrics.calibration import CalibrationCurve, calibration_curve
from omnilearn_lab.metrics.classification import (
    ConfusionMatrix,
    accuracy,
    auc,
    auc_per_class,
    confusion_matrix,
    pair_score,
)
from omnilearn_lab.metrics.roc import Rejection, RocCurve, background_rejection, roc
from omnilearn_lab.metrics.sic import MaxSic, SicCurve, max_sic, sic_curve
from omnilearn_lab.metrics.summary import ClassificationMetrics, classification_metrics
from omnilearn_lab.metrics.training import Gain, Speedup, Spread, gain, speedup, spread, time_to_target

__all__ = [
    "CalibrationCurve",
    "ClassificationMetrics",
    "ConfusionMatrix",
    "Gain",
    "MaxSic",
    "Rejection",
    "RocCurve",
    "SicCurve",
    "Speedup",
    "Spread",
    "accuracy",
    "auc",
    "auc_per_class",
    "background_rejection",
    "calibration_curve",
    "classification_metrics",
    "confusion_matrix",
    "gain",
    "max_sic",
    "pair_score",
    "roc",
    "sic_curve",
    "speedup",
    "spread",
    "time_to_target",
]
