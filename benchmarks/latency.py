"""Latency of the exported networks: the ONNX file in onnxruntime beside the network in PyTorch, one thread.

Run ``python benchmarks/latency.py [--models tiny,v2_tiny] [--batches 1,128] [--slots N] [--repeats N]
[--out FILE]``; prints a table and writes JSON. Both are timed in one run, call by call in turn, on the same
jets (about 40 particles each), from network inputs to probabilities. PyTorch reads the particles that there
are; the exported file has a fixed number of slots, empty ones too. Times are medians of the processor time
of a call, which is its latency on an idle core, with the wall time beside it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from omnilearn_lab import PETClassifier
from omnilearn_lab.estimators import export_onnx
from omnilearn_lab.estimators.export import padded_inputs
from omnilearn_lab.machine import write_text
from omnilearn_lab.models import Batch
from omnilearn_lab.tasks.common.classification import predict
from omnilearn_lab.tasks.common.networks import complete_batch

from models import machine
from readers import make_pool

WARM_UP = 3


def session(path: Path) -> onnxruntime.InferenceSession:
    """The exported file on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def measure(checkpoint: str, n_jets: int, slots: int, repeats: int) -> list[dict]:
    """Time both ways of one network, in turn."""
    pool = make_pool().truncate(slots)
    tagger = PETClassifier(checkpoint, epochs=0.1).fit(pool[:200])
    batch = complete_batch(tagger.inputs_.batch(pool[:n_jets]), tagger.network_)
    fields = {name: value for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(tagger, Path(folder) / "tagger.onnx", max_particles=slots, n_jets=n_jets)
        exported = session(path)
    names = {one.name for one in exported.get_inputs()}
    inputs = {n: v for n, v in padded_inputs(tagger, batch, slots).items() if n in names}
    calls: dict[str, Callable] = {
        "PyTorch": lambda: predict(tagger.network_, Batch(**fields)),  # planned anew, as new jets are
        "onnxruntime": lambda: exported.run(None, inputs)[0],
    }
    np.testing.assert_allclose(calls["onnxruntime"](), calls["PyTorch"](), atol=1e-4)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(WARM_UP + repeats):
        for name, call in calls.items():
            wall, busy = time.perf_counter(), time.process_time()
            call()
            times[name].append((time.process_time() - busy, time.perf_counter() - wall))
    rows = []
    for name, pairs in times.items():
        busy, wall = 1e3 * np.median(pairs[WARM_UP:], axis=0)
        rate = 1e3 * n_jets / busy
        row = {"model": checkpoint, "jets": n_jets, "slots": slots, "way": name, "ms": busy}
        rows.append(row | {"wall_ms": wall, "jets_per_second": rate})
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="tiny,v2_tiny")
    parser.add_argument("--batches", default="1,128")
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("results/bench/latency.json"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    rows = []
    for name in options.models.split(","):
        for n_jets in map(int, options.batches.split(",")):
            rows += measure(name, n_jets, options.slots, options.repeats)
            for row in rows[-2:]:
                what = f"{row['model']:8s} {row['jets']:4d} jets {row['slots']:4d} slots {row['way']:12s}"
                print(f"{what} {row['ms']:9.2f} ms ({row['wall_ms']:9.2f} wall)")
    write_text(options.out, json.dumps({"machine": machine("cpu"), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
