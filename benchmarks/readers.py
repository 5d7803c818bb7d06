"""Speed and memory of reading: ML-ready files of any size, in order and in shuffled batches.

Run ``python benchmarks/readers.py [--gigabytes G | --full] [--out FILE]``; prints a table and writes JSON.
Every row is measured in a process of its own, so that its peak memory is its own. Shuffled batches of network
inputs are compared with reading one row at a time in random order and stacking the rows, as loaders built on
a map-style dataset do (they compute no features), for the layout of the published files (not compressed) and
for ours (compressed in chunks). Files are generated and just written, so they mostly lie in the memory of
the operating system: a cold disk would slow down the random rows most. Two formats that pandas writes are
read, too; of the LHC Olympics, the clustering takes most of the time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from omnilearn_lab.jets import Jets, read_jets, write_jets

GOALS = {"peak_gb": 1.0, "streaming_over_rows": 20.0}
SLOTS, FEATURES, BATCH = 150, 5, 256
POOL = 4096  # different jets in a file
BYTES_PER_JET = SLOTS * FEATURES * 4
SAMPLED_ROWS = {"plain": 20_000, "compressed": 500}
PANDAS = {"top tagging": ("top_tagging", "table", 20_000), "LHC Olympics": ("lhco", "fixed", 2_000)}


def make_pool() -> Jets:
    """Jets of about 40 particles, without physics."""
    rng = np.random.default_rng(1)
    counts = np.clip(rng.poisson(40, POOL), 1, SLOTS)
    total = int(counts.sum())
    deta, dphi = rng.normal(0, 0.2, (2, total))
    pt = rng.exponential(15, total) + 0.5
    particles = {"deta": deta, "dphi": dphi, "pt": pt, "energy": 1.01 * pt * np.cosh(deta)}
    particles["pid"] = rng.choice([211, -211, 22, 130], total)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    jet = {"pt": np.add.reduceat(pt, offsets[:-1]), "eta": np.zeros(POOL), "phi": np.zeros(POOL)}
    jet |= {"mass": np.full(POOL, 100.0), "label": rng.integers(0, 10, POOL)}
    return Jets.build(particles, offsets, jet, class_names=tuple("abcdefghij"))


def write_plain(path: Path, n_jets: int) -> None:
    """Write a file in the published layout: ``data``, ``pid``, ``global``, not compressed."""
    pool_file = path.with_suffix(".pool")
    write_jets(make_pool(), pool_file, max_particles=SLOTS)
    with h5py.File(pool_file) as source, h5py.File(path, "w") as target:
        for name in ("data", "pid", "global"):
            values = source[name][:]
            made = target.create_dataset(name, (n_jets, *values.shape[1:]), values.dtype)
            for start in range(0, n_jets, POOL):
                made[start : start + POOL] = values[: n_jets - start]
    pool_file.unlink()


def write_compressed(path: Path, n_jets: int) -> None:
    """Write a file as this package does."""
    pool = make_pool()
    pieces = (pool[: min(POOL, n_jets - start)] for start in range(0, n_jets, POOL))
    write_jets(pieces, path, max_particles=SLOTS)


def write_pandas(path: Path, layout: str) -> None:
    """Write a file as the publishers of top tagging and of the LHC Olympics do, with pandas."""
    import pandas as pd

    reader, kind, n_rows = PANDAS[layout]
    jets = make_pool()
    pieces = [jets[: n_rows - start] for start in range(0, n_rows, len(jets))]
    if reader == "top_tagging":
        columns = [np.concatenate([piece.cartesian()[i] for piece in pieces]) for i in (3, 0, 1, 2)]
        names = [f"{part}_{i}" for i in range(200) for part in ("E", "PX", "PY", "PZ")]
    else:
        polar = [[piece.particles[n] for n in ("pt", "deta", "dphi")] for piece in pieces]
        columns = [np.concatenate([part[i] for part in polar]) for i in range(3)]
        names = list(range(2100))
    slots = len(names) // len(columns)
    mask = np.arange(slots) < np.concatenate([piece.counts for piece in pieces])[:, None]
    values = np.zeros((n_rows, slots, len(columns)), np.float32 if reader == "top_tagging" else np.float64)
    values[mask] = np.stack(columns, axis=1)
    frame = pd.DataFrame(values.reshape(n_rows, -1), columns=names)
    label = pd.DataFrame({"is_signal_new" if reader == "top_tagging" else 2100: np.arange(n_rows) % 2})
    frame = pd.concat([frame, label], axis=1)
    frame.to_hdf(path, key="table", mode="w", format=kind, complib="zlib", complevel=5)


# ---- what is measured, each in its own process ---------------------------------------------------


def in_order(path: Path, layout: str) -> Iterator[int]:
    """Read all rows through the reader, 10,000 at a time."""
    from omnilearn_lab.readers import make_reader

    reader = make_reader(PANDAS[layout][0] if layout in PANDAS else "ml_ready")
    reader.read(path, stop=10)  # first-call costs
    yield 0
    yield from map(len, reader.iterate(path))


def in_batches(path: Path, layout: str) -> Iterator[int]:
    """Go through one epoch of shuffled batches of network inputs."""
    from omnilearn_lab.training import StreamingBatches

    stream = StreamingBatches([path], BATCH)
    yield 0
    for step in range(stream.steps_per_epoch):
        yield len(stream.batch(step))


def row_by_row(path: Path, layout: str) -> Iterator[int]:
    """Read single rows in random order, and stack them to padded batches; no features are computed."""
    import torch

    with h5py.File(path) as file:
        order = np.random.default_rng(1).permutation(len(file["pid"]))[: SAMPLED_ROWS[layout]]
        yield 0
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            data = [torch.tensor(file["data"][row], dtype=torch.float32) for row in rows]
            label = [torch.tensor(file["pid"][row]) for row in rows]
            kinematics = torch.stack([jet[:, :4] for jet in data])
            species = torch.stack([jet[:, 4].int() for jet in data])
            yield min(len(kinematics), len(species), len(torch.stack(label)))


WAYS = {"in order": in_order, "shuffled batches": in_batches, "row by row": row_by_row}


def measure(way: str, path: Path, layout: str) -> dict[str, float]:
    """Jets per second of wall clock and of processor time, and peak memory of this process."""
    if layout not in PANDAS:
        read_jets(path, 0, 10)  # first-call costs
    pieces = WAYS[way](path, layout)
    next(pieces)  # imports and plans; nothing is read yet
    wall, processor = time.perf_counter(), time.process_time()
    n_jets = sum(pieces)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1e-9 if sys.platform == "darwin" else 1024e-9
    return {
        "jets": n_jets,
        "jets_per_s": n_jets / wall,
        "jets_per_cpu_s": n_jets / processor,
        "peak_gb": peak * unit,
    }


def in_own_process(way: str, path: Path, layout: str) -> dict[str, float]:
    """Run :func:`measure` in a fresh interpreter."""
    command = [sys.executable, __file__, "--measure", way, "--file", str(path), "--layout", layout]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"'{way}' failed:\n{done.stderr}")
    return json.loads(done.stdout)


# ---- the report ----------------------------------------------------------------------------------


def measure_all(gigabytes: float, folder: Path) -> list[dict]:
    """All rows of the table."""
    rows = []
    n_plain = max(int(gigabytes * 1e9 / BYTES_PER_JET), 10 * POOL)
    sizes = {"plain": n_plain, "compressed": min(n_plain, 50 * POOL)}
    for layout, write in (("plain", write_plain), ("compressed", write_compressed)):
        path = folder / f"{layout}.h5"
        write(path, sizes[layout])
        for way in WAYS:
            row = {"layout": layout, "way": way, "file_gb": path.stat().st_size / 1e9}
            rows.append(row | in_own_process(way, path, layout))
        path.unlink()
    for layout in PANDAS:
        path = folder / "pandas.h5"
        write_pandas(path, layout)
        row = {"layout": layout, "way": "in order", "file_gb": path.stat().st_size / 1e9}
        rows.append(row | in_own_process("in order", path, layout))
        path.unlink()
    return rows


def ratios(rows: list[dict]) -> dict[str, float]:
    """Shuffled batches over row by row, in processor time, by layout."""
    rate = {(row["layout"], row["way"]): row["jets_per_cpu_s"] for row in rows}
    return {
        name: rate[name, "shuffled batches"] / rate[name, "row by row"] for name in ("plain", "compressed")
    }


def report(rows: list[dict], gain: dict[str, float]) -> None:
    """Print the table with the goals."""
    heads = ("file GB", "jets", "jets/s", "per CPU s", "peak GB")
    print(f"{'layout':12s}{'way':18s}" + "".join(f"{head:>11s}" for head in heads))
    for row in rows:
        print(f"{row['layout']:12s}{row['way']:18s}{row['file_gb']:11.2f}{row['jets']:11,d}", end="")
        print(f"{row['jets_per_s']:11,.0f}{row['jets_per_cpu_s']:11,.0f}{row['peak_gb']:11.2f}")
    for name, value in gain.items():
        goal = f"goal {GOALS['streaming_over_rows']:.0f}x"
        print(f"{name}: shuffled batches are {value:.1f}x as fast as row by row ({goal})")
    worst = max(row["peak_gb"] for row in rows)
    print(f"largest peak memory {worst:.2f} GB (goal below {GOALS['peak_gb']:g} GB)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=0.5, help="size of the generated file")
    parser.add_argument("--full", action="store_true", help="a file of 5 GB")
    parser.add_argument("--out", type=Path, default=Path("results/bench/readers.json"))
    parser.add_argument("--folder", type=Path, help="where to generate files; a temporary folder by default")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--layout", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.file, options.layout)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = measure_all(5.0 if options.full else options.gigabytes, Path(folder))
    gain = ratios(rows)
    report(rows, gain)
    machine = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    result = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "goals": GOALS}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result | {"rows": rows, "streaming_over_rows": gain}, indent=1) + "\n")


if __name__ == "__main__":
    main()
