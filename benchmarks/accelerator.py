"""What an accelerator does for this package, in eight minutes and one JSON record; or what it would be asked.

    python benchmarks/accelerator.py                 on a GPU: tests, speeds, a notebook, a pretraining
    python benchmarks/accelerator.py --dry-run       the same steps on the CPU with the smallest sizes
    python benchmarks/accelerator.py --count         operations and waits per step, on a pretended device

Steps that do not fit the time, or cannot run here, say so in the record. The tests are those marked ``gpu``;
speeds are those of ``benchmarks/models.py`` with samplers added, beside the omnilearned package where it is
installed; the notebook is 03; the pretraining takes PET small through as many simulated jets as fit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import models as networks  # noqa: E402
from benchmarks.pretended import Pretended  # noqa: E402
from omnilearn_lab import catalog  # noqa: E402
from omnilearn_lab.errors import OmniLearnLabError  # noqa: E402
from omnilearn_lab.features import pet_batch  # noqa: E402
from omnilearn_lab.machine import write_text  # noqa: E402
from omnilearn_lab.models import PET, Batch, JetInputs, PETConfig, SamplerConfig, sample  # noqa: E402
from omnilearn_lab.training import JointPretraining, TrainConfig, Trainer  # noqa: E402

MINUTES = 8.0
TASKS = ("train", "infer", "joint", "sample")
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L4": 121e12, "T4": 65e12}  # bf16 FLOP/s, dense


@dataclass(frozen=True)
class Plan:
    """Sizes of a run: on a GPU, or the smallest that pass the same steps."""

    device: str
    models: tuple[str, ...]
    batches: tuple[int, ...]
    repeats: int
    n_pretraining_jets: int

    @classmethod
    def of(cls, is_dry: bool) -> Plan:
        """The plan of a dry run on the CPU, or of the real one."""
        if is_dry:
            return cls("cpu", ("PET-tiny", "PETv2-tiny"), (4,), 1, 100)
        return cls("cuda", networks.MODELS, (256, 4096), 5, 200_000)


class Clock:
    """Seconds left of the whole."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.end - time.monotonic()


def count(n_jets: int = 64) -> dict[str, dict[str, int]]:
    """Launches and waits of a training step, of joint pretraining and of a sampler's step, by network."""
    rows: dict[str, dict[str, int]] = {}
    for name in ("PET-small", "PETv2-small"):
        for task in ("train", "joint", "sample"):
            model = networks.build(name, "joint" if task == "sample" else task)
            jets = networks.jets(n_jets, model.config.n_features)
            with Pretended() as run:
                model.to(run.device)
                batch = jets.to(run.device)
                run.names.clear()
                if task == "sample":
                    with torch.no_grad():
                        model.velocity(batch, torch.rand(n_jets, device=run.device), batch.label)
                else:
                    networks.step(model, task, batch).backward()
            rows[f"{name} {task}"] = {"launches": run.launches, "waits": run.waits}
    return rows


def tests(plan: Plan, clock: Clock) -> dict[str, Any]:
    """Run the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/gpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=max(30, clock.left / 3))
    return {"code": done.returncode, "last": done.stdout.strip().splitlines()[-1:]}


def speeds(plan: Plan, clock: Clock) -> list[dict[str, Any]]:
    """Jets per second, share of the peak and memory, for each network, task and batch size."""
    rows = []
    for n_jets in plan.batches:
        for name in plan.models:
            for task in TASKS:
                if clock.left < 200 and plan.device == "cuda":
                    return [*rows, {"left out": f"{name} {task} {n_jets} and what follows: no time"}]
                rows.append(speed(plan, name, task, n_jets))
    return rows


def speed(plan: Plan, name: str, task: str, n_jets: int) -> dict[str, Any]:
    """One row of the table, in bf16."""
    row: dict[str, Any] = {"model": name, "task": task, "jets": n_jets}
    try:
        model = networks.build(name, "joint" if task == "sample" else task).to(plan.device)
        batch = networks.jets(n_jets, model.config.n_features)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, foreach=True)
        if plan.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        with networks.autocast("bf16", plan.device):
            work = _work(model, optimizer, task, batch)
            seconds = networks.best_time(work, plan.repeats, plan.device)
        row |= {"jets_per_second": n_jets / seconds, "peak_gb": networks.peak_memory(plan.device)}
        if task != "sample":
            rate = networks.count_flop(model, optimizer, task, batch) / seconds
            row |= {"tflops": 1e-12 * rate, "share_of_peak": rate / peak_rate() if peak_rate() else None}
    except torch.OutOfMemoryError:
        row["left out"] = "memory does not suffice"
    return row


def _work(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, task: str, batch: Batch
) -> Callable[[], object]:
    if task != "sample":
        return lambda: networks.run_once(model, optimizer, task, batch)
    model.eval()
    told = JetInputs(batch.counts, batch.jet, batch.label)
    config = SamplerConfig(4, "midpoint", batch_size=len(batch))
    return lambda: sample(model, told, config=config)


def peak_rate() -> float | None:
    """The maker's bf16 rate of this GPU [FLOP/s], where it is listed here."""
    if not torch.cuda.is_available():
        return None
    return next((rate for name, rate in PEAK.items() if name in torch.cuda.get_device_name()), None)


def peer(plan: Plan, clock: Clock) -> dict[str, Any]:
    """A training step of PET v2 small by omnilearned and by us, on the same jets, taking turns."""
    try:
        from omnilearned.network import PET2
        from omnilearned.utils import get_model_parameters
    except ImportError:
        return {"left out": "omnilearned is not installed in this environment"}
    n_jets = plan.batches[0]
    batch = networks.jets(n_jets, 4)
    sizes = get_model_parameters("small")
    theirs = PET2(input_dim=4, use_int=True, mode="classifier", num_classes=10, pid=False, **sizes)
    theirs = theirs.to(plan.device)
    x = batch.to_padded(batch.features, length=networks.MOST).to(plan.device)
    label = batch.label.to(plan.device)
    ours = networks.build("PETv2-small", "train").to(plan.device)
    optimizer = torch.optim.AdamW(ours.parameters(), lr=1e-5, foreach=True)

    def their_step() -> None:
        torch.nn.functional.cross_entropy(theirs(x, label)["y_pred"], label).backward()

    seconds: dict[str, float] = {}
    for _ in range(3):
        for who, work in (("theirs", their_step), ("ours", _work(ours, optimizer, "train", batch))):
            with networks.autocast("bf16", plan.device):
                took = networks.best_time(work, plan.repeats, plan.device)
            seconds[who] = min(took, seconds.get(who, took))
    rates = {f"{who}_jets_per_second": n_jets / value for who, value in seconds.items()}
    return rates | {"ratio": seconds["theirs"] / seconds["ours"]}


def notebook(plan: Plan, clock: Clock) -> dict[str, Any]:
    """Execute notebook 03 in its quick profile."""
    if plan.device == "cpu":
        return {"left out": "a dry run: the notebooks have tests of their own"}
    program = Path(sys.executable).with_name("omnilearn-lab")
    begun = time.monotonic()
    command = [str(program), "run", "03", "--profile", "quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=max(30, clock.left - 90))
    return {"code": done.returncode, "seconds": time.monotonic() - begun, "last": done.stdout[-400:]}


def pretrain(plan: Plan, clock: Clock) -> dict[str, Any]:
    """Take PET small through as many simulated jets as fit the time that is left."""
    wanted = plan.n_pretraining_jets
    try:
        jets = catalog.load("jetclass", "train", source="simulated", max_jets=wanted, seed=1)
        batch, source = pet_batch(jets), "simulated JetClass"
    except OmniLearnLabError as error:
        batch, source = networks.jets(wanted, 13), f"random numbers, as no jets could be made ({error})"
    size, seconds = (8, 1.0) if plan.device == "cpu" else (256, max(20.0, clock.left - 20))
    torch.manual_seed(1)
    model = PET(PETConfig.named("tiny" if plan.device == "cpu" else "small")).to(plan.device)
    config = TrainConfig(epochs=1000, batch_size=size, validations_per_epoch=0.01, precision="bf16")
    held_out = batch if len(batch) < 2000 else networks.jets(1000, 13)
    trainer = Trainer(model, JointPretraining(), batch, held_out, config)
    end, step, first, last = time.monotonic() + seconds, 0, None, None
    while time.monotonic() < end:
        last = trainer.update(step)["loss"]
        first, step = last if first is None else first, step + 1
        if step % 50 == 0 and plan.device == "cuda":
            torch.cuda.synchronize()  # the host runs ahead: without this it would queue steps for minutes
    trainer.feed.close()
    return {
        "source": source,
        "updates": step,
        "jets_seen": step * size,
        "jets_per_second": step * size / seconds,
        "loss": [float(first), float(last)],
    }


STAGES = {"tests": tests, "speeds": speeds, "peer": peer, "notebook": notebook, "pretraining": pretrain}


def run_all(plan: Plan, minutes: float, out: Path) -> dict[str, Any]:
    """Run one stage after the other and write the record after each; a stage that fails says how."""
    clock = Clock(minutes)
    record: dict[str, Any] = {"machine": networks.machine(plan.device), "count": count()}
    for name, stage in STAGES.items():
        begun = time.monotonic()
        try:
            record[name] = stage(plan, clock)
        except (OmniLearnLabError, RuntimeError, subprocess.SubprocessError, OSError) as error:
            record[name] = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
        record.setdefault("seconds", {})[name] = round(time.monotonic() - begun, 1)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, json.dumps(record, indent=1))
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", action="store_true", help="count operations on a pretended device")
    parser.add_argument("--dry-run", action="store_true", help="smallest sizes, on the CPU")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--jets", type=int, default=64, help="jets of a step that is counted")
    parser.add_argument("--out", type=Path, default=Path("results/bench/accelerator.json"))
    options = parser.parse_args()
    if options.count:
        for name, row in count(options.jets).items():
            print(f"{name:20s} launches {row['launches']:5d}   waits {row['waits']:3d}")
        return
    if not options.dry_run and not torch.cuda.is_available():
        parser.error("there is no GPU here: --dry-run or --count")
    print(json.dumps(run_all(Plan.of(options.dry_run), options.minutes, options.out), indent=1))


if __name__ == "__main__":
    main()
