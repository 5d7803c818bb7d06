"""Speed of the observables on 100,000 jets, next to a per-jet loop over FastJet in the same run.

Run ``python benchmarks/observables.py [--jets N] [--out FILE]``; prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables import SIX, observables

RADIUS = 0.4
MEAN_PARTICLES = 25
LOOP_JETS = 1000
GOALS = {"mass, N, width": 200_000, "all six": 15_000}


def make_jets(n_jets: int, seed: int = 0) -> Jets:
    """Jets of about 25 massless particles with falling pt and a dense core."""
    rng = np.random.default_rng(seed)
    counts = np.maximum(rng.poisson(MEAN_PARTICLES, n_jets), 1)
    total = int(counts.sum())
    radius = RADIUS * rng.uniform(size=total) ** 2
    turn = rng.uniform(0, 2 * np.pi, total)
    pt = 0.5 + rng.exponential(8.0, total)
    eta, phi = radius * np.cos(turn), radius * np.sin(turn)
    momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=-1)
    return Jets.from_four_momenta(momenta, np.concatenate([[0], np.cumsum(counts)]))


def loop_over_fastjet(jets: Jets, *, groom: bool) -> None:
    """Mass, N and width, and on request the rest of the six, with FastJet objects jet by jet."""
    import fastjet

    cluster = fastjet._swig.ClusterSequence
    ca = fastjet.JetDefinition(fastjet.cambridge_algorithm, 999.0)
    kt = fastjet.JetDefinition(fastjet.kt_algorithm, 999.0)
    momenta = np.stack(jets.cartesian(), axis=-1)
    for start, stop in zip(jets.offsets[:-1], jets.offsets[1:], strict=True):
        particles = [fastjet.PseudoJet(*row) for row in momenta[start:stop].tolist()]
        sequence = cluster(particles, ca)
        jet = sequence.inclusive_jets()[0]
        scalar = sum(p.pt() for p in particles)
        jet.m(), sum(p.pt() * p.delta_R(jet) for p in particles) / (RADIUS * scalar)
        if groom:
            soft_drop(fastjet, jet)
            kt_sequence = cluster(particles, kt)
            axes = kt_sequence.exclusive_jets(min(2, len(particles)))
            sum(p.pt() * min(p.delta_R(a) for a in axes) for p in particles) / (RADIUS * scalar)


def soft_drop(fastjet, jet) -> float:
    """z_g with z_cut = 0.1 and beta = 0."""
    first, second = fastjet.PseudoJet(), fastjet.PseudoJet()
    while jet.has_parents(first, second):
        z = min(first.pt(), second.pt()) / (first.pt() + second.pt())
        if z > 0.1:
            return z
        jet = fastjet.PseudoJet(first if first.pt() > second.pt() else second)
    return 0.0


def rate(action, n_jets: int) -> dict[str, float]:
    """Jets per second of wall clock and of processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"jets": n_jets, "jets_per_s": n_jets / wall, "jets_per_cpu_s": n_jets / cpu}


def measure(n_jets: int) -> dict[str, dict[str, float]]:
    """All rows of the table."""
    jets = make_jets(n_jets)
    few = jets[: min(LOOP_JETS, n_jets)]
    observables(few, jet_radius=RADIUS)  # imports and first-call costs
    loop_over_fastjet(few[:2], groom=True)
    return {
        "mass, N, width": rate(lambda: observables(jets, SIX[:3], jet_radius=RADIUS), n_jets),
        "mass, N, width: FastJet loop": rate(lambda: loop_over_fastjet(few, groom=False), len(few)),
        "all six": rate(lambda: observables(jets, jet_radius=RADIUS), n_jets),
        "all six: FastJet loop": rate(lambda: loop_over_fastjet(few, groom=True), len(few)),
    }


def report(table: dict[str, dict[str, float]]) -> None:
    """Print the table with ratios and goals."""
    print(f"{'':40s}{'jets/s':>12s}{'per CPU s':>12s}{'vs loop':>10s}{'goal':>10s}")
    for name, row in table.items():
        loop = table.get(f"{name}: FastJet loop")
        ratio = f"{row['jets_per_s'] / loop['jets_per_s']:.0f}x" if loop else ""
        goal = f"{GOALS[name]:,}" if name in GOALS else ""
        print(f"{name:40s}{row['jets_per_s']:12,.0f}{row['jets_per_cpu_s']:12,.0f}{ratio:>10s}{goal:>10s}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jets", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=Path("results/bench/observables.json"))
    options = parser.parse_args()
    table = measure(options.jets)
    report(table)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    machine = {"cores": len(os.sched_getaffinity(0)), **versions}
    result = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "goals": GOALS, "rates": table}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
