"""Speed of the simulation: jets per second and core, where the time goes, and what a second worker brings.

Run ``python benchmarks/simulation.py [--jets N] [--scaling N] [--recipes A,B] [--out FILE]``; prints two
tables and writes JSON. Times of one core are processor times; the scaling uses the wall clock, so run it on
idle cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from omnilearn_lab.machine import usable_cores
from omnilearn_lab.simulation import RECIPES, recipe, run, selection, selectors, simulate

GOALS = {"detector_share": 0.20, "efficiency": 0.90}
STAGES = {
    "start": [(run.EventSource, "__init__")],
    "Pythia": [(run.EventSource, "batch")],
    "detector": [(selection, "reconstruct"), (selectors, "reconstruct")],
    "clustering": [(selection, "cluster")],
}


def timed(function: Callable, stage: str, seconds: dict[str, float]) -> Callable:
    """Add the processor time of every call to ``seconds[stage]``."""

    def run(*arguments, **options):
        start = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            seconds[stage] += time.process_time() - start

    return run


def one_core(name: str, n_jets: int) -> dict:
    """Simulate in this process and say how the processor time is spent."""
    seconds: dict[str, float] = defaultdict(float)
    with contextlib.ExitStack() as stack:
        for stage, places in STAGES.items():
            for owner, attribute in places:
                replacement = timed(getattr(owner, attribute), stage, seconds)
                stack.enter_context(mock.patch.object(owner, attribute, replacement))
        start = time.process_time()
        jets = simulate(name, n_jets, seed=7, workers=1, progress=False)
        total = time.process_time() - start
    moments = {column: float(jets.jet[column].mean()) for column in ("pt", "mass", "multiplicity")}
    return {
        "recipe": name,
        "n_jets": n_jets,
        "jets_per_second": n_jets / total,
        "jets_per_event": n_jets / jets.provenance["n_events"],
        **{f"{stage}_share": seconds[stage] / total for stage in STAGES},
        **moments,
        "published": {column: mean for column, mean, _ in recipe(name).published},
    }


def scaling(name: str, n_jets: int) -> dict:
    """Wall time with one and with two workers, both in this order."""
    seconds = {}
    for workers in (1, 2):
        start = time.perf_counter()
        simulate(name, n_jets, seed=8, workers=workers, progress=False)
        seconds[workers] = time.perf_counter() - start
    return {
        "recipe": name,
        "n_jets": n_jets,
        "seconds_1": seconds[1],
        "seconds_2": seconds[2],
        "efficiency": seconds[1] / seconds[2] / 2,
    }


def print_table(rows: list[dict]) -> None:
    """Print what a core does, beside the published means."""
    shares = [f"{stage}_share" for stage in STAGES]
    print(f"{'recipe':20s} {'jets/s':>7s} {'jets/ev':>7s} " + " ".join(f"{s:>10s}" for s in STAGES), end="")
    print(f" {'pt':>14s} {'mass':>13s} {'N':>12s}   (published)")
    for row in rows:
        line = f"{row['recipe']:20s} {row['jets_per_second']:7.0f} {row['jets_per_event']:7.2f} "
        line += " ".join(f"{row[s]:10.1%}" for s in shares)
        for column in ("pt", "mass", "multiplicity"):
            known = row["published"].get(column)
            line += f" {row[column]:6.1f}" + (f" ({known:.1f})" if known else " " * 7)
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jets", type=int, default=2000, help="jets per recipe on one core")
    parser.add_argument("--scaling", type=int, default=12000, help="jets for one against two workers")
    parser.add_argument("--recipes", default=",".join(RECIPES), help="comma-separated names")
    parser.add_argument("--out", type=Path, default=Path("results/bench/simulation.json"))
    options = parser.parse_args()
    names = options.recipes.split(",")
    simulate("h1_dis", 2, workers=1, progress=False)  # load the libraries before the clock starts
    rows = [one_core(name, options.jets) for name in names]
    print_table(rows)
    two = scaling(names[0], options.scaling) if usable_cores() > 1 else None
    if two is None:
        print("one core only: nothing to say about two workers")
    else:
        print(f"\n{two['recipe']}, {two['n_jets']} jets: {two['seconds_1']:.1f} s with 1 worker, ", end="")
        print(f"{two['seconds_2']:.1f} s with 2, efficiency {two['efficiency']:.0%} (goal 90 %)")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"one_core": rows, "scaling": two, "goals": GOALS, "machine": platform.processor()}
    options.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
