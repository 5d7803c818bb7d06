"""Distances between samples: Wasserstein, FPD and KPD, coverage, energy mover's distance, binned ones."""
# ruff: noqa: I001

from omnilearn_lab.metrics.distances.coverage import CoverageMmd, coverage_mmd
from omnilearn_lab.metrics.distances.histograms import Chi2, TriangularDiscriminator, published_edges
from omnilearn_lab.metrics.distances.histograms import triangular_discriminator, weighted_chi2
from omnilearn_lab.metrics.distances.physics import FpdConfig, KpdConfig, fpd, kpd
from omnilearn_lab.metrics.distances.transport import GenerationScore, Sampling
from omnilearn_lab.metrics.distances.transport import w1_efp, w1_mass, w1_particles, wasserstein

__all__ = [
    "Chi2", "CoverageMmd", "FpdConfig", "GenerationScore", "KpdConfig", "Sampling", "TriangularDiscriminator",
    "coverage_mmd", "fpd", "kpd", "published_edges", "triangular_discriminator", "w1_efp", "w1_mass",
    "w1_particles", "wasserstein", "weighted_chi2",
]  # fmt: skip
