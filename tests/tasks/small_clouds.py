"""Small jets of random particles."""

from __future__ import annotations

import numpy as np
from omnilearn_lab.jets import Jets


def clouds(n, spread, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 9, n)
    momenta = rng.normal(0, spread, (counts.sum(), 3)) + [30.0, 0.0, 0.0]
    energy = np.sqrt((momenta**2).sum(axis=1))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    made = Jets.from_four_momenta(np.column_stack([momenta, energy]), offsets)
    return Jets(made.particles, made.offsets, made.jet, provenance={"jet_radius": 0.4})
