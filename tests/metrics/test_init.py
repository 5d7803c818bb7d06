"""The public names of the room, and that importing it stays light."""

from __future__ import annotations

import subprocess
import sys

import omnilearn_lab.metrics as metrics

PUBLIC = """
AbcdClosure CalibrationCurve Chi2 ClassificationMetrics ConfusionMatrix CoverageMmd DensityRatio
FpdConfig Gain GenerationScore KpdConfig MaxSic PUBLISHED_BINNING Rejection RocCurve Sampling
SicCurve Speedup Spread TriangularDiscriminator abcd_closure accuracy auc auc_per_class
background_rejection calibration_curve classification_metrics confusion_matrix coverage_mmd
coverage_mmd_from_distances density_ratio effective_sample_size emd_matrix energy_movers_distance
fpd fpnd frechet_distance gain kpd max_sic p_value_to_sigma pair_score published_edges roc sic_curve
sigma_to_p_value significance speedup spread time_to_target triangular_discriminator truth_floor
w1_efp w1_mass w1_particles wasserstein weighted_chi2
"""


def test_public_names_are_pinned():
    assert sorted(metrics.__all__) == sorted(PUBLIC.split())
    assert all(hasattr(metrics, name) for name in metrics.__all__)


def test_import_needs_none_of_the_heavy_libraries():
    code = (
        "import sys, omnilearn_lab.metrics, omnilearn_lab.published; "
        "print({'torch', 'ot', 'sklearn', 'pandas', 'matplotlib', 'energyflow', 'jetnet'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
