"""Numbers from plain arrays: classification, trainings compared, event weights, searches.

Every function takes numpy arrays (event weights where they make sense) and returns a number or a
small frozen result. What cannot be computed raises `MetricError`; nothing
is silently infinite.
"""
# ruff: noqa: I001

from omnilearn_lab.metrics.efficiency import p_value_to_sigma, significance
from omnilearn_lab.metrics.classification import ClassificationMetrics, ConfusionMatrix, accuracy, auc
from omnilearn_lab.metrics.classification import classification_metrics, confusion_matrix, pair_score
from omnilearn_lab.metrics.efficiency import Rejection, RocCurve, SicCurve, background_rejection
from omnilearn_lab.metrics.efficiency import max_sic, roc, sic_curve
from omnilearn_lab.metrics.reweighting import CalibrationCurve, calibration_curve
from omnilearn_lab.metrics.reweighting import density_ratio, effective_sample_size, weighted_hist
from omnilearn_lab.metrics.training import Gain, Speedup, Spread, gain, speedup, spread, time_to_target

__all__ = [
    "CalibrationCurve", "ClassificationMetrics", "ConfusionMatrix", "Gain", "Rejection", "RocCurve",
    "SicCurve", "Speedup", "Spread", "accuracy", "auc", "background_rejection", "calibration_curve",
    "classification_metrics", "confusion_matrix", "density_ratio", "effective_sample_size", "gain", "max_sic",
    "p_value_to_sigma", "pair_score", "roc", "sic_curve", "significance", "speedup", "spread",
    "time_to_target", "weighted_hist",
]  # fmt: skip
