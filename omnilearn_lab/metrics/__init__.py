"""Numbers from plain arrays: classification, generation, reweighting and unfolding, anomaly detection.

Every function takes numpy arrays (event weights where they make sense) and returns a number or a
small frozen result. What cannot be computed raises `MetricError`; nothing
is silently infinite.
"""

from omnilearn_lab.metrics.anomaly import (
    AbcdClosure,
    abcd_closure,
    p_value_to_sigma,
    sigma_to_p_value,
    significance,
)
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
    fpnd,
    truth_floor,
)
from omnilearn_lab.metrics.efficiency import Rejection, RocCurve, background_rejection, roc
from omnilearn_lab.metrics.emd import emd_matrix, energy_movers_distance
from omnilearn_lab.metrics.histograms import (
    PUBLISHED_BINNING,
    Chi2,
    TriangularDiscriminator,
    published_edges,
    triangular_discriminator,
    weighted_chi2,
)
from omnilearn_lab.metrics.physics_distance import FpdConfig, KpdConfig, fpd, frechet_distance, kpd
from omnilearn_lab.metrics.reweighting import DensityRatio, density_ratio, effective_sample_size
from omnilearn_lab.metrics.scores import GenerationScore, Sampling
from omnilearn_lab.metrics.sic import MaxSic, SicCurve, max_sic, sic_curve
from omnilearn_lab.metrics.summary import ClassificationMetrics, classification_metrics
from omnilearn_lab.metrics.training import Gain, Speedup, Spread, gain, speedup, spread, time_to_target
from omnilearn_lab.metrics.transport import w1_efp, w1_mass, w1_particles, wasserstein

__all__ = [
    "AbcdClosure",
    "CalibrationCurve",
    "Chi2",
    "ClassificationMetrics",
    "ConfusionMatrix",
    "CoverageMmd",
    "DensityRatio",
    "FpdConfig",
    "Gain",
    "GenerationScore",
    "KpdConfig",
    "MaxSic",
    "PUBLISHED_BINNING",
    "Rejection",
    "RocCurve",
    "Sampling",
    "SicCurve",
    "Speedup",
    "Spread",
    "TriangularDiscriminator",
    "abcd_closure",
    "accuracy",
    "auc",
    "auc_per_class",
    "background_rejection",
    "calibration_curve",
    "classification_metrics",
    "confusion_matrix",
    "coverage_mmd",
    "coverage_mmd_from_distances",
    "density_ratio",
    "effective_sample_size",
    "emd_matrix",
    "energy_movers_distance",
    "fpd",
    "fpnd",
    "frechet_distance",
    "gain",
    "kpd",
    "max_sic",
    "p_value_to_sigma",
    "pair_score",
    "published_edges",
    "roc",
    "sic_curve",
    "sigma_to_p_value",
    "significance",
    "speedup",
    "spread",
    "time_to_target",
    "triangular_discriminator",
    "truth_floor",
    "w1_efp",
    "w1_mass",
    "w1_particles",
    "wasserstein",
    "weighted_chi2",
]
