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


def write_zjets(path, n, *, seed=0, spread=0.1):
    """An npz file in the layout of the published Z + jets: random massless jets of about 200 GeV, twice."""
    rng = np.random.default_rng(seed)
    slots = 24
    mask = np.arange(slots) < rng.integers(8, slots, n)[:, None]
    share = rng.exponential(1.0, mask.shape) * mask
    pt = rng.normal(230, 30, n)[:, None] * share / share.sum(axis=1, keepdims=True)
    dy, dphi = rng.normal(0, spread, (2, *mask.shape))
    columns = {"gen_Zs": np.column_stack([np.full(n, 250.0), np.zeros(n), np.zeros(n)])}
    for level, smearing in (("gen", 0.0), ("sim", 0.1)):
        seen = pt * np.exp(smearing * rng.normal(size=pt.shape))
        px, py, pz, energy = (
            (seen * f).sum(axis=1) for f in (np.cos(dphi), np.sin(dphi), np.sinh(dy), np.cosh(dy))
        )
        y, phi, jet_pt = 0.5 * np.log((energy + pz) / (energy - pz)), np.arctan2(py, px), np.hypot(px, py)
        mass = np.sqrt(np.maximum(energy**2 - jet_pt**2 - pz**2, 0))
        columns[f"{level}_jets"] = np.column_stack([jet_pt, y, phi, mass])
        relative = np.stack(
            [seen / 100, dy - y[:, None], dphi - phi[:, None], np.full(mask.shape, 0.1)], axis=2
        )
        columns[f"{level}_particles"] = relative * mask[..., None]
    np.savez_compressed(path, **columns)
