"""Speed of the networks: training step and inference, memory, and the share of the machine's matrix rate.

Run ``python benchmarks/models.py [--models PET-tiny,PETv2-small] [--batch N] [--repeats N] [--threads N]
[--device cpu|cuda] [--peer PYTHON] [--out FILE]``; prints a table and writes JSON. Jets have a realistic
multiplicity: mean 50, at most 128 particles. Each network runs in a process of its own, so that the peak
memory is its own. The share of the matrix rate is (floating-point operations of matrix products actually
done) / time / (rate of one large product of the same number format, measured just before).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from omnilearn_lab.machine import reuse_memory
from omnilearn_lab.models import PET, Batch, PETConfig, PETv2, PETv2Config, perturb, perturb_flow
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

MODELS = ("PET-tiny", "PET-small", "PETv2-tiny", "PETv2-small", "PETv2-medium", "PETv2-large")
DEFAULT = MODELS[:4]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
MEAN, SPREAD, MOST = 50, 18, 128  # multiplicity


@dataclass(frozen=True)
class Row:
    """One line of the table; times are the best of the repeats."""

    model: str
    task: str
    dtype: str
    n_parameters: int
    jets_per_second: float
    gflop_per_jet: float
    gemm_gflops: float
    gemm_share: float
    peak_memory_gb: float


def multiplicities(n_jets: int, seed: int = 1) -> torch.Tensor:
    """Particles per jet, shape (n_jets,)."""
    numbers = torch.randn(n_jets, generator=torch.Generator().manual_seed(seed))
    return (MEAN + SPREAD * numbers).round().clamp(2, MOST).long()


def jets(n_jets: int, n_features: int) -> Batch:
    """Random jets with realistic multiplicities; ten classes."""
    generator = torch.Generator().manual_seed(0)
    counts = multiplicities(n_jets)
    offsets = functional.pad(counts.cumsum(0), (1, 0))
    features = torch.randn(int(offsets[-1]), n_features, generator=generator)
    label = torch.randint(0, 10, (n_jets,), generator=generator)
    return Batch(features, features[:, :2], offsets, torch.randn(n_jets, 4, generator=generator), label)


def build(name: str, task: str) -> torch.nn.Module:
    """Return the network of a name for ``"train"``, ``"infer"`` (classifier) or ``"joint"`` (pretraining)."""
    kind, size = name.split("-")
    if kind == "PET":
        return PET(PETConfig.named(size))
    mode = "pretrain" if task == "joint" else "classifier"
    return PETv2(PETv2Config.named(size, n_classes=10, mode=mode))


def step(model: torch.nn.Module, task: str, batch: Batch) -> torch.Tensor:
    """Loss of a training step, or logits."""
    if task == "joint":
        clock = torch.rand(len(batch), device=batch.features.device)
        noisy = perturb_flow(batch, clock) if isinstance(model, PETv2) else perturb(batch, clock)
        output = model.joint(batch, noisy.batch, clock, batch.label)
        perturbed = functional.cross_entropy(output.perturbed.logits, batch.label, reduction="none")
        loss = functional.cross_entropy(output.clean.logits, batch.label)
        return loss + (noisy.alpha**2 * perturbed).mean() + (output.velocity - noisy.target).square().mean()
    logits = model.classify(batch).logits
    return logits if task == "infer" else functional.cross_entropy(logits, batch.label)


def run_once(model: torch.nn.Module, optimizer: torch.optim.Optimizer, task: str, batch: Batch) -> None:
    """One training step, or one pass without gradients; the batch is planned and moved anew."""
    fresh = Batch(batch.features, batch.points, batch.offsets, batch.jet, batch.label)
    fresh = fresh.to(next(model.parameters()).device)
    if task == "infer":
        with torch.no_grad():
            step(model, task, fresh)
        return
    step(model, task, fresh).backward()
    optimizer.step()
    optimizer.zero_grad()


def best_time(function: Callable[[], None], repeats: int, device: str) -> float:
    """Shortest wall time of a call [s], after one call to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def gemm_rate(dtype: torch.dtype, device: str, size: int = 1536) -> float:
    """Best rate of one square product [GFLOP/s]; on CPU oneDNN's float32 product, if it is the faster one."""
    left, right = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    calls = [lambda: left @ right]
    if device == "cpu" and dtype == torch.float32 and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        calls.append(lambda: torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], ""))
    return max(2e-9 * size**3 / best_time(call, 5, device) for call in calls)


def autocast(dtype: str, device: str) -> contextlib.AbstractContextManager:
    """Mixed precision for ``"bf16"``, nothing for ``"fp32"``."""
    return torch.autocast(device, torch.bfloat16, enabled=dtype == "bf16")


def count_flop(model: torch.nn.Module, optimizer: torch.optim.Optimizer, task: str, batch: Batch) -> float:
    """Floating-point operations of the matrix products in one call, backward pass included.

    Counted under autocast, where every product is one the counter knows.
    """
    counter = FlopCounterMode(display=False)
    device = next(model.parameters()).device
    with counter, autocast("bf16", device.type):
        if task == "infer":
            step(
                model, task, batch.to(device)
            )  # the counter needs gradients switched on; the products are the same
        else:
            run_once(model, optimizer, task, batch)
    return counter.get_total_flops()


def measure(name: str, task: str, settings: dict) -> list[dict]:
    """Measure one network in both number formats."""
    torch.set_num_threads(settings["threads"])
    reuse_memory()
    device = settings["device"]
    model = build(name, task).to(device).train(task != "infer")
    batch = jets(settings["batch"], model.config.n_features if name.startswith("PET-") else 4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, foreach=True)
    n_parameters = sum(p.numel() for p in model.parameters())
    rows = []
    for dtype in DTYPES:
        rate = gemm_rate(DTYPES[dtype], device)
        with autocast(dtype, device):
            seconds = best_time(lambda: run_once(model, optimizer, task, batch), settings["repeats"], device)
        rows.append((dtype, seconds, rate, peak_memory(device)))
    flop = count_flop(model, optimizer, task, batch)
    n_jets = len(batch)
    return [
        asdict(
            Row(name, task, dtype, n_parameters, n_jets / s, 1e-9 * flop / n_jets, r, 1e-9 * flop / s / r, gb)
        )
        for dtype, s, r, gb in rows
    ]


def peak_memory(device: str) -> float:
    """Largest memory of this process so far [GB]."""
    if device == "cuda":
        return 1e-9 * torch.cuda.max_memory_allocated()
    return 1e-6 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def machine(device: str) -> dict:
    """What was measured on."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    accelerator = torch.cuda.get_device_name() if device == "cuda" else None
    return {"processor": processor, "accelerator": accelerator, "torch": torch.__version__}


def table(rows: list[dict]) -> str:
    """The rows as text."""
    head = f"{'model':13s} {'task':6s} {'format':6s} {'parameters':>11s} {'jets/s':>9s} {'GFLOP/jet':>9s} "
    lines = [head + f"{'GEMM GFLOP/s':>12s} {'share':>6s} {'peak GB':>8s}"]
    for r in rows:
        lines.append(
            f"{r['model']:13s} {r['task']:6s} {r['dtype']:6s} {r['n_parameters']:11,d} "
            f"{r['jets_per_second']:9.1f} {r['gflop_per_jet']:9.3f} {r['gemm_gflops']:12.0f} "
            f"{r['gemm_share']:6.1%} {r['peak_memory_gb']:8.2f}"
        )
    return "\n".join(lines)


def compare_with_peer(python: str, settings: dict) -> list[dict]:
    """Run the ``omnilearned`` package in the environment of ``python`` on the same jets, interleaved."""
    from peer_omnilearned import compare, table

    rows = compare(python, repeats=settings["repeats"], threads=[settings["threads"]])
    print(table(rows))
    return [row._asdict() for row in rows]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(DEFAULT), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--tasks", default="train,infer,joint")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--peer", metavar="PYTHON", help="interpreter that has omnilearned 0.2.0")
    parser.add_argument("--out", type=Path, default=Path("results/bench/models.json"))
    options = parser.parse_args()
    settings = {key: getattr(options, key) for key in ("batch", "repeats", "threads", "device")}
    rows = []
    for name in options.models.split(","):
        for task in options.tasks.split(","):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows += pool.apply(measure, (name, task, settings))
    print(table(rows))
    record = {"machine": machine(options.device), "settings": settings, "rows": rows}
    if options.peer:
        record["peer"] = compare_with_peer(options.peer, settings)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
