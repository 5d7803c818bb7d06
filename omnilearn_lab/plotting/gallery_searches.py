"""Small searches for the gallery: a bump in the jet mass, and weak supervision by logistic regression."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omnilearn_lab.metrics import roc
from omnilearn_lab.plotting.gallery_models import Regression

__all__ = ["SidebandFit", "fit_sidebands", "injection_curve"]

_FEWEST = 10


class SidebandFit(NamedTuple):
    """A mass spectrum with an exponential fitted outside the signal region; see `mass_spectrum`."""

    edges: np.ndarray
    counts: np.ndarray
    curve: np.ndarray
    curve_uncertainty: np.ndarray
    signal_region: tuple[float, float]
    significance: float


def fit_sidebands(masses: np.ndarray, edges: np.ndarray, region: tuple[float, float]) -> SidebandFit:
    """Fit ln(counts) by a straight line outside the region, each bin with its Poisson weight."""
    counts, centres = np.histogram(masses, edges)[0], (edges[1:] + edges[:-1]) / 2
    is_side = (centres < region[0]) | (centres > region[1])
    design = np.stack([np.ones_like(centres), centres - centres.mean()], axis=1)
    weights = np.sqrt(counts[is_side] + 1.0)
    covariance = np.linalg.inv((design[is_side] * weights[:, None] ** 2).T @ design[is_side])
    line = covariance @ (design[is_side] * weights[:, None] ** 2).T @ np.log(counts[is_side] + 0.5)
    curve = np.exp(design @ line)
    error = curve * np.sqrt(np.einsum("ij,jk,ik->i", design, covariance, design))
    expected, spread = curve[~is_side].sum(), error[~is_side].sum()
    significance = (counts[~is_side].sum() - expected) / np.sqrt(expected + spread**2)
    return SidebandFit(edges, counts, curve, error, region, float(significance))


def injection_curve(
    features: np.ndarray, labels: np.ndarray, injections: tuple[int, ...], *, n_seeds: int
) -> np.ndarray:
    """Return the largest significance improvement, shape (seeds, injections).

    Half of the background with some signal among it is told from the other half by a logistic regression,
    which is then measured with the true labels on all jets.
    """
    found = np.empty((n_seeds, len(injections)))
    for i in range(n_seeds):
        rng = np.random.default_rng(i)
        background, signal = (rng.permutation(np.flatnonzero(labels == k)) for k in (0, 1))
        data, reference = np.array_split(background, 2)
        for j, n_injected in enumerate(injections):
            mixture = np.append(data, signal[:n_injected])
            rows = np.append(mixture, reference)
            is_data = np.arange(len(rows)) < len(mixture)
            curve = roc(Regression.fit(features[rows], is_data).logit(features), labels)
            is_measured = curve.n_background_passed >= _FEWEST
            improvement = curve.signal_efficiency / np.sqrt(np.maximum(curve.background_efficiency, 1e-9))
            found[i, j] = improvement[is_measured].max()
    return found
