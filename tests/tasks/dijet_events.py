"""Small events of two back-to-back jets, without physics but with a mass and, on demand, a hidden signal."""

import numpy as np
from omnilearn_lab.jets import Jets


def dijets(n_events=40, *, seed=0, wide=0.0, mass=(3300.0, 3700.0), label=0):
    """Particles of events number ``wide`` spread further: a signal that a network can see."""
    rng = np.random.default_rng(seed)
    n = 2 * n_events
    counts = rng.integers(3, 7, n)
    total = int(counts.sum())
    pt = np.repeat(rng.uniform(1000, 1800, n) / counts, counts) * rng.uniform(0.5, 1.5, total)
    spread = 0.05 + wide
    deta, dphi = rng.normal(0, spread, total), rng.normal(0, spread, total)
    eta = np.repeat(rng.normal(0, 0.7, n_events), 2) * np.tile([1, -1], n_events)
    first = rng.uniform(-np.pi, np.pi, n_events)
    phi = np.stack([first, np.remainder(first + 2 * np.pi + rng.normal(0, 0.1, n_events), 2 * np.pi) - np.pi])
    jet_pt = np.add.reduceat(pt, np.cumsum(counts) - counts)
    jet = {"pt": jet_pt, "eta": eta, "phi": phi.T.ravel(), "mass": 100 + 1000 * wide + rng.normal(0, 5, n)}
    jet |= {"event": np.repeat(np.arange(n_events), 2), "rank": np.arange(n) % 2}
    jet |= {"dijet_mass": np.repeat(rng.uniform(*mass, n_events), 2), "label": np.full(n, label)}
    cloud = {"deta": deta, "dphi": dphi, "pt": pt, "energy": pt * np.cosh(deta + np.repeat(eta, counts))}
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Jets.build(cloud, offsets, jet, class_names=("background", "signal"))
