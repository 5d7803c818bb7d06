"""Hand-made particles and small recipes for the tests of this room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from omnilearn_lab.simulation import recipe
from omnilearn_lab.simulation.events import EventBatch, Particles

MASSES = {211: 0.13957, 2112: 0.93957, 22: 0.0, 11: 0.000511, 13: 0.10566, 310: 0.4976}
FAST = recipe("h1_dis")  # thousands of jets per second
ONE_SAMPLE = replace(FAST, samples=FAST.samples[:1])


def gun(
    pid: int, pt: float, *, eta: float = 0.0, charge: int = 0, n: int = 1, vertex=(0.0, 0.0, 0.0), phi=None
):
    """One particle per event, at random azimuth unless it is given."""
    phi = np.random.default_rng(3).uniform(-np.pi, np.pi, n) if phi is None else np.full(n, phi)
    pz = pt * np.sinh(eta)
    energy = np.sqrt(pt**2 + pz**2 + MASSES[pid] ** 2)
    columns = {"px": pt * np.cos(phi), "py": pt * np.sin(phi)}
    columns |= {"pz": np.full(n, pz), "energy": np.full(n, energy), "charge": np.full(n, float(charge))}
    columns |= {name: np.full(n, value) for name, value in zip("xyz", vertex, strict=True)}
    columns |= {"pid": np.full(n, pid), "event": np.arange(n), "index": np.arange(n)}
    return Particles(columns, n)


def record(rows: list[tuple]) -> EventBatch:
    """One event from (pid, status, mother, px, py, pz) rows; a row for the whole event is put in front."""
    table = np.array([(90, -11, 0, 0.0, 0.0, 0.0), *rows], dtype=float)
    momentum = table[:, 3:6]
    entries = {name: table[:, i].astype(int) for i, name in enumerate(("id", "status", "mother1"))}
    entries |= {name: momentum[:, i] for i, name in enumerate(("px", "py", "pz"))}
    entries |= {"energy": np.sqrt((momentum**2).sum(axis=1)) + 0.1}
    entries |= {name: np.zeros(len(table)) for name in ("x", "y", "z", "charge")}
    return EventBatch(np.array([0, len(table)]), entries, np.ones(1))


def mass_peak(mass: np.ndarray, start: float) -> float:
    """Centre of a Gaussian through the core of a mass peak, within 12 % of it [GeV]."""
    centre = start
    for _ in range(20):
        core = mass[np.abs(mass / centre - 1) < 0.12]
        counts, edges = np.histogram(core, bins=24)
        middle, filled = (edges[1:] + edges[:-1]) / 2 - centre, counts > 0
        log_counts, weight = np.log(counts[filled]), np.sqrt(counts[filled])
        curvature, slope, _ = np.polyfit(middle[filled], log_counts, 2, w=weight)
        centre -= slope / (2 * curvature)
    return float(centre)


def same(a, b) -> bool:
    """Whether two batches of jets are equal to the last bit."""
    return all(np.array_equal(a.particles[k], b.particles[k]) for k in a.particles) and all(
        np.array_equal(a.jet[k], b.jet[k]) for k in a.jet
    )


def with_profile(name: str, **changes):
    return replace(recipe(name), **changes)
