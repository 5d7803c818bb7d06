"""Jets per second of the whole training loop against the bare step of the network.

Run ``python benchmarks/training.py [--models PET-tiny,...] [--tasks train,joint] [--updates N] [--rounds N]
[--batch N] [--device cpu|cuda] [--clock wall|cpu] [--out FILE]``; prints a table and writes JSON. The loop is
``Trainer.fit`` with a run directory: it shuffles and packs the jets, moves them to the device, sets learning
rates, clips gradients, averages weights, looks for bad losses, validates (32 jets, before and after), and
writes records and checkpoints. The bare step is forward, backward and optimizer on the same batches in the
same order, made and moved before the clock starts. Loop and bare step take turns, round by round, in one
process; the overhead is the median over rounds of (time of the loop) / (time of the bare steps) - 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from omnilearn_lab.machine import reuse_memory
from omnilearn_lab.models import Batch
from omnilearn_lab.training import (
    Batches,
    Classification,
    FlowPretraining,
    JointPretraining,
    Run,
    TrainConfig,
    Trainer,
)
from omnilearn_lab.training.optimizers import make_optimizer

from models import build, jets, machine

GOAL = 0.10  # overhead
N_BATCHES = 20  # different batches; an epoch
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Row:
    """One line of the table; rates are the medians over rounds."""

    model: str
    task: str
    precision: str
    loop_jets_per_second: float
    bare_jets_per_second: float
    overhead: float
    overheads: tuple[float, ...]


@dataclass(frozen=True)
class Setting:
    """What is trained, and for how long a round."""

    model: str
    task: str
    precision: str
    device: str
    batch: int
    updates: int

    @property
    def config(self) -> TrainConfig:
        """A pretraining's settings, with as little validation as there can be."""
        return TrainConfig(
            epochs=self.updates / N_BATCHES,
            batch_size=self.batch,
            learning_rate=1e-4,
            ema_decay=0.999,
            precision=self.precision,
            validations_per_epoch=N_BATCHES / self.updates,
        )

    def make(self) -> tuple[torch.nn.Module, Callable[..., dict[str, torch.Tensor]]]:
        """Network and objective, the same each time."""
        torch.manual_seed(1)
        model = build(self.model, "joint" if self.task == "joint" else "train").to(self.device)
        joint = FlowPretraining() if self.model.startswith("PETv2") else JointPretraining()
        return model, joint if self.task == "joint" else Classification()


def time_loop(setting: Setting, data: Batch, clock: Callable[[], float]) -> float:
    """Seconds of one ``Trainer.fit``."""
    model, objective = setting.make()
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder, asdict(setting.config))
        trainer = Trainer(model, objective, data, jets(32, model.config.n_features), setting.config, run)
        start = clock()
        trainer.fit()
        wait(setting.device)
        return clock() - start


def time_bare(setting: Setting, data: Batch, clock: Callable[[], float]) -> float:
    """Seconds of forward, backward and optimizer on the batches of one ``Trainer.fit``."""
    model, objective = setting.make()
    optimizer = make_optimizer(model, setting.config)
    source = Batches(data, setting.batch, seed=setting.config.seed)
    batches = [source.batch(step).to(setting.device) for step in range(setting.updates)]
    wait(setting.device)
    start = clock()
    for batch in batches:
        with torch.autocast(setting.device, torch.bfloat16, enabled=setting.precision == "bf16"):
            loss = objective(model, batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    wait(setting.device)
    return clock() - start


def wait(device: str) -> None:
    """Let the device finish."""
    if device == "cuda":
        torch.cuda.synchronize()


def measure(setting: Setting, n_rounds: int, clock: Callable[[], float]) -> Row:
    """Take turns for some rounds, after a short one to warm up."""
    model, _ = setting.make()
    data = jets(N_BATCHES * setting.batch, model.config.n_features)
    data = data if setting.model.startswith("PET-") else data.replace(jet=data.jet[:, :0])
    short = Setting(**{**asdict(setting), "updates": min(3, setting.updates)})
    time_loop(short, data, clock)
    times = []
    for number in range(n_rounds):
        order = (time_loop, time_bare) if number % 2 == 0 else (time_bare, time_loop)
        taken = {function: function(setting, data, clock) for function in order}
        times.append((taken[time_loop], taken[time_bare]))
    n_jets = setting.updates * setting.batch
    overheads = tuple(loop / bare - 1 for loop, bare in times)
    rates = [n_jets / statistics.median(column) for column in zip(*times, strict=True)]
    names = setting.model, setting.task, setting.precision
    return Row(*names, *rates, statistics.median(overheads), overheads)


def table(rows: list[Row]) -> str:
    """The rows as text."""
    head = (
        f"{'model':12s} {'task':6s} {'format':6s} {'loop jets/s':>12s} {'bare jets/s':>12s} {'overhead':>9s}"
    )
    lines = [head + " overhead  of each round"]
    for r in rows:
        each = " ".join(f"{value:+.1%}" for value in r.overheads)
        rates = f"{r.loop_jets_per_second:12.1f} {r.bare_jets_per_second:12.1f}"
        lines.append(f"{r.model:12s} {r.task:6s} {r.precision:6s} {rates} {r.overhead:+9.1%}  {each}")
    reached = sum(r.overhead < GOAL for r in rows)
    return "\n".join([*lines, f"goal: overhead below {GOAL:.0%}; reached by {reached} of {len(rows)}"])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="PET-tiny,PETv2-tiny")
    parser.add_argument("--tasks", default="train,joint")
    parser.add_argument("--precision", default="fp32,bf16")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--updates", type=int, default=60, help="of a round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu where other programs run")
    parser.add_argument("--out", type=Path, default=Path("results/bench/training.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    reuse_memory()
    rows = [
        measure(
            Setting(model, task, precision, options.device, options.batch, options.updates),
            options.rounds,
            CLOCKS[options.clock],
        )
        for model in options.models.split(",")
        for task in options.tasks.split(",")
        for precision in options.precision.split(",")
    ]
    print(table(rows))
    settings = {key: getattr(options, key) for key in ("batch", "updates", "rounds", "threads", "clock")}
    record = {"machine": machine(options.device), "settings": settings, "rows": [asdict(r) for r in rows]}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
