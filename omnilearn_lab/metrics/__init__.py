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
from omnilearn_lab.metrics.coverage import (
    CoverageMmd,
    coverage_mmd,
    coverage_mmd_from_distances,
    emd_matrix,
    energy_movers_distance,
    fpnd,
    truth_floor,
)
from omnilearn_lab.metrics.efficiency import Rejection, RocCurve, background_rejection, roc
from omnilearn_lab.metrics.physics_distance import FpdConfig, KpdConfig, fpd, frechet_distance, kpd
from omnilearn_lab.metrics.sic import MaxSic, SicCurve, max_sic, sic_curve
from omnilearn_lab.metrics.summary import ClassificationMetrics, classification_metrics
from omnilearn_lab.metrics.training import Gain, Speedup, Spread, gain, speedup, spread, time_to_target
from omnilearn_lab.metrics.transport import (
    GenerationScore,
    Sampling,
    w1_efp,
    w1_mass,
    w1_particles,
    wasserstein,
)

__all__ = [
    "CalibrationCurve",
    "ClassificationMetrics",
    "ConfusionMatrix",
    "CoverageMmd",
    "FpdConfig",
    "Gain",
    "GenerationScore",
    "KpdConfig",
    "MaxSic",
    "Rejection",
    "RocCurve",
    "Sampling",
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
    "coverage_mmd",
    "coverage_mmd_from_distances",
    "emd_matrix",
    "energy_movers_distance",
    "fpd",
    "fpnd",
    "frechet_distance",
    "gain",
    "kpd",
    "max_sic",
    "pair_score",
    "roc",
    "sic_curve",
    "speedup",
    "spread",
    "time_to_target",
    "truth_floor",
    "w1_efp",
    "w1_mass",
    "w1_particles",
    "wasserstein",
]
