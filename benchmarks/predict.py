"""Millions of jets through ``omnilearn-lab predict``: rate, peak memory, shares of reading and writing.

Run ``python benchmarks/predict.py [--jets N] [--particles K] [--format h5|root] [--network pet|pfn]
[--folder DIR] [--out FILE]``, which prints and writes JSON. Simulated top and QCD jets, cut to their K
hardest particles, are drawn again and again until the file is full; a small head on the shipped tiny PET,
or a small particle-flow network, scores them on one thread. The file is made in a process of its own, so
that the peak memory is that of ``predict``. A run that was killed goes on where it was when it is started
again with the same folder.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from omnilearn_lab import catalog, readers
from omnilearn_lab.cli.analysis import predict
from omnilearn_lab.estimators import PETClassifier
from omnilearn_lab.machine import write_text
from omnilearn_lab.readers import OwnFormat

POOL, TRAINING, BLOCK = 4000, 2000, 100_000
NAMES = ("px", "py", "pz", "energy")
MAPS = {"h5": {n: f"cand[{i}]" for i, n in enumerate(NAMES)}, "root": {n: f"cand_{n}" for n in NAMES}}


def blocks(pool: Any, n_jets: int, n_particles: int) -> Iterator[dict[str, np.ndarray]]:
    """Columns of jets drawn from the pool, shape (rows, particles), zero where there is none."""
    momenta, slots = np.stack(pool.cartesian(), axis=1), np.arange(n_particles) < pool.counts[:, None]
    grid = np.zeros((len(pool), n_particles, 4), dtype=np.float32)
    grid[slots] = momenta
    rng = np.random.default_rng(1)
    for start in range(0, n_jets, BLOCK):
        rows = rng.integers(0, len(pool), min(BLOCK, n_jets - start))
        yield {"cand": grid[rows], "event": np.arange(start, start + len(rows)), "isTop": pool.label[rows]}


def prepare(folder: Path, n_jets: int, n_particles: int, ending: str, network: str) -> None:
    """Write the file, its map and a tagger."""
    pool = catalog.load("top_tagging", "train", source="simulated", max_jets=POOL, seed=1)
    pool = pool.truncate(n_particles)
    write = write_h5 if ending == "h5" else write_root
    write(folder / f"jets.{ending}", blocks(pool, n_jets, n_particles), n_jets)
    jet = {"event": "event", "label": "isTop?"}
    mapping = {"particles": MAPS[ending], "jet": jet, "class_names": ["QCD", "top"], "unit": "GeV"}
    write_text(folder / "map.yaml", yaml.safe_dump(mapping))
    chosen = {"checkpoint": "tiny", "train": "head"} if network == "pet" else {"checkpoint": None}
    tagger = PETClassifier(**chosen, network=network, epochs=1, use_pid=False)
    tagger.fit(pool[:TRAINING]).save(folder / "tagger")


def write_h5(path: Path, pieces: Iterator[dict[str, np.ndarray]], n_jets: int) -> None:
    """One rectangular dataset of particles, and single values beside it."""
    import h5py

    with h5py.File(path, "w") as file:
        start = 0
        for piece in pieces:
            for name, values in piece.items():
                if name not in file:
                    file.create_dataset(name, (n_jets, *values.shape[1:]), values.dtype)
                file[name][start : start + len(values)] = values
            start += len(piece["event"])


def write_root(path: Path, pieces: Iterator[dict[str, np.ndarray]], n_jets: int) -> None:
    """A tree with jagged branches."""
    import awkward as ak
    import uproot

    with uproot.recreate(path) as file:
        for piece in pieces:
            grid = piece.pop("cand")
            real = grid[..., 3] > 0
            lists = {n: ak.unflatten(grid[..., i][real], real.sum(1)) for i, n in enumerate(NAMES)}
            columns = {"cand": ak.zip(lists)} | piece
            if "jets" not in file:
                file.mktree("jets", {n: ak.type(ak.Array(v)).content for n, v in columns.items()})
            file["jets"].extend(columns)


def timed(function: Callable, spent: dict[str, float], name: str) -> Callable:
    """The function, with the time of its calls added up."""

    def call(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        made = function(*arguments, **options)
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
        return made

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jets", type=int, default=5_000_000)
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--format", choices=tuple(MAPS), default="h5")
    parser.add_argument("--network", choices=("pet", "pfn"), default="pet")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/predict.json"))
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"jets.{options.format}"
    if not (folder / "tagger").exists():
        arguments = (folder, options.jets, options.particles, options.format, options.network)
        process = multiprocessing.get_context("spawn").Process(target=prepare, args=arguments)
        process.start()
        process.join()
    torch.set_num_threads(1)
    spent: dict[str, float] = {}
    OwnFormat._jets = timed(OwnFormat._jets, spent, "reading")
    PETClassifier.scores = timed(PETClassifier.scores, spent, "scoring")
    readers.add_columns = timed(readers.add_columns, spent, "writing")
    target = folder / f"scored.{options.format}"
    wall, busy = time.perf_counter(), time.process_time()
    predict(folder / "tagger", [source], target, str(folder / "map.yaml"))
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    numbers = {name: getattr(options, name) for name in ("jets", "particles", "format", "network")}
    numbers |= {"wall_s": wall, "cpu_s": busy, "jets_per_s": options.jets / wall, "peak_gb": memory}
    numbers |= {f"share_of_{name}": seconds / wall for name, seconds in spent.items()}
    numbers |= {
        "machine": platform.processor() or platform.machine(),
        "file_gb": source.stat().st_size / 2**30,
    }
    write_text(options.out, json.dumps(numbers, indent=1))
    print(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
