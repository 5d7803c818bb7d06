"""PETv2 beside the published program: same jets, same weights, measured in turns.

The ``omnilearned`` package (0.2.0) needs numpy 2, so it lives in an environment of its own:

    python3.11 -m venv peer && peer/bin/pip install torch==2.13.0 omnilearned==0.2.0
    python benchmarks/peer_omnilearned.py --peer peer/bin/python

This file plays both parts: with ``--serve FOLDER`` it runs in the other environment and imports nothing of
ours.
Jets and weights are handed over as files, requests as lines of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

SLOTS = 128
MEAN_MULTIPLICITY = 50
PEER_SIZES = {
    "small": {"num_transformers": 8, "num_transformers_head": 2, "num_heads": 8, "base_dim": 128},
    "medium": {"num_transformers": 12, "num_transformers_head": 2, "num_heads": 16, "base_dim": 512},
    "large": {"num_transformers": 28, "num_transformers_head": 4, "num_heads": 32, "base_dim": 1024},
}


class Row(NamedTuple):
    """Rates of one task, in jets per second, and how far the outputs are apart."""

    task: str
    precision: str
    peer: float
    ours: float
    difference: float | None  # of the logits, relative to the largest; None where not compared

    @property
    def ratio(self) -> float:
        return self.ours / self.peer


def realistic_jets(n_jets: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Padded jets (B, 128, 4) with a spread of multiplicities around 50, their mask and labels."""
    rng = np.random.default_rng(seed)
    counts = np.clip(rng.gamma(6, MEAN_MULTIPLICITY / 6, n_jets).astype(int) + 1, 2, SLOTS)
    mask = np.arange(SLOTS) < counts[:, None]
    x = np.zeros((n_jets, SLOTS, 4), np.float32)
    x[..., :2] = rng.normal(0, 0.15, (n_jets, SLOTS, 2))
    x[..., 2] = -np.sort(-rng.normal(1.1, 1.3, (n_jets, SLOTS)), 1)
    x[..., 3] = x[..., 2] + np.abs(rng.normal(0, 0.3, (n_jets, SLOTS)))
    return {"x": x * mask[..., None], "mask": mask, "y": rng.integers(0, 2, n_jets)}


def work(
    forward: Callable[[], torch.Tensor], model: torch.nn.Module, label: torch.Tensor
) -> dict[str, Callable]:
    """The two measured tasks of a model: the logits alone, and a training step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def infer() -> torch.Tensor:
        with torch.no_grad():
            return forward()

    def train() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        logits = forward()
        torch.nn.functional.cross_entropy(logits, label).backward()
        optimizer.step()
        return logits.detach()

    return {"infer": infer, "train": train}


def timed(task: Callable[[], torch.Tensor]) -> tuple[float, float, torch.Tensor]:
    """Wall seconds, processor seconds and result of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = task()
    return time.perf_counter() - wall, time.process_time() - cpu, result


# in the other environment


def serve(folder: Path) -> None:
    """Answer requests on standard input until it closes."""
    from omnilearned.network import PET2

    settings = json.loads((folder / "settings.json").read_text())
    torch.set_num_threads(settings["n_threads"])
    sizes = PEER_SIZES[settings["size"]]
    model = PET2(4, use_int=True, local_int=True, num_coord=2, K=10, num_tokens=4, num_classes=2, **sizes)
    weights = torch.load(folder / "weights.pt", weights_only=True)
    model.body.load_state_dict(weights["body"])
    model.classifier.load_state_dict(weights["classifier_head"])
    jets = np.load(folder / "jets.npz")
    x, label = torch.from_numpy(jets["x"]), torch.from_numpy(jets["y"])
    tasks = work(lambda: model(x, label)["y_pred"], model, label)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        wall, cpu, logits = timed(tasks[line.strip()])
        sys.stdout.write(json.dumps({"wall": wall, "cpu": cpu, "logits": logits.tolist()}) + "\n")
        sys.stdout.flush()


# in ours


@contextlib.contextmanager
def peer(python: str, folder: Path) -> Iterator[Callable[[str], dict]]:
    """Start the other program; yields a function from task to measurement."""
    command = [python, str(Path(__file__).resolve()), "--serve", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline().strip() != "ready":
            process.kill()
            raise SystemExit(
                f"the published program did not start in {python}: is omnilearned 0.2.0 installed there?"
            )

        def ask(task: str) -> dict:
            process.stdin.write(task + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


def compare(
    python: str,
    *,
    size: str = "small",
    n_jets: int = 64,
    repeats: int = 3,
    n_threads: int = 1,
    clock: str = "wall",
) -> list[Row]:
    """Measure both programs in turns and return the best of ``repeats`` for each task and precision.

    Parameters
    ----------
    python
        Interpreter of the environment with the published package.
    size
        ``"small"``, ``"medium"`` or ``"large"``.
    n_jets
        Jets in the batch.
    repeats
        Rounds; in each, every task runs once in each program.
    n_threads
        Threads of both.
    clock
        ``"wall"``, or ``"cpu"`` on a busy machine.
    """
    torch.set_num_threads(n_threads)
    jets = realistic_jets(n_jets)
    with tempfile.TemporaryDirectory() as name:
        model = prepare(Path(name), jets, size, n_threads)
        own = {precision: our_tasks(model, jets, precision == "bf16") for precision in ("fp32", "bf16")}
        with peer(python, Path(name)) as ask:
            first = torch.tensor(ask("infer")["logits"])  # before any training step; warms up
            apart = {key: distance(tasks["infer"](), first) for key, tasks in own.items()}
            best = measure(ask, own, repeats, clock)
    rows = []
    for task in ("train", "infer"):
        for precision in own:
            difference = apart[precision] if task == "infer" else None
            rates = [n_jets / best[task, who] for who in ("peer", precision)]
            rows.append(Row(task, precision, *rates, difference))
    return rows


def prepare(folder: Path, jets: dict[str, np.ndarray], size: str, n_threads: int) -> torch.nn.Module:
    """Make our model and hand its weights, the jets and the settings over to the other program."""
    from omnilearn_lab.machine import reuse_memory
    from omnilearn_lab.models.pet_v2 import PETv2, PETv2Config
    from omnilearn_lab.models.published.v2 import write_published_v2

    reuse_memory()  # as our trainings do
    torch.manual_seed(0)
    model = PETv2(PETv2Config.named(size))
    write_published_v2(model, folder / "weights.pt")
    np.savez(folder / "jets.npz", **jets)
    (folder / "settings.json").write_text(json.dumps({"size": size, "n_threads": n_threads}))
    return model


def our_tasks(model: torch.nn.Module, jets: dict[str, np.ndarray], half: bool) -> dict[str, Callable]:
    from omnilearn_lab.models.batch import Batch

    x, mask, label = (torch.from_numpy(jets[name]) for name in ("x", "mask", "y"))

    def forward() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return model.classify(Batch.from_padded(x, mask, jet=torch.zeros(len(x), 0))).logits

    return work(forward, model, label)


def measure(ask: Callable[[str], dict], own: dict[str, dict], repeats: int, clock: str) -> dict:
    """Best seconds for each (task, who), taking turns."""
    best: dict[tuple[str, str], float] = {}
    for _ in range(repeats):
        for task in ("infer", "train"):
            seconds = {"peer": ask(task)[clock]}
            for precision, tasks in own.items():
                wall, cpu, _ = timed(tasks[task])
                seconds[precision] = wall if clock == "wall" else cpu
            for who, value in seconds.items():
                best[task, who] = min(value, best.get((task, who), float("inf")))
    return best


def distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def table(rows: list[Row]) -> str:
    """The comparison as text."""
    lines = ["task   ours in   peer jets/s  ours jets/s   ratio  outputs apart"]
    for row in rows:
        apart = "" if row.difference is None else f"{row.difference:.1e}"
        lines.append(
            f"{row.task:6} {row.precision:8} {row.peer:12.1f} {row.ours:12.1f} {row.ratio:7.1f}  {apart:>13}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", metavar="PYTHON", help="interpreter with omnilearned 0.2.0")
    parser.add_argument("--size", choices=PEER_SIZES, default="small")
    parser.add_argument("--jets", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--serve", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    if not options.peer:
        parser.error("give --peer, the interpreter of the environment with omnilearned 0.2.0")
    rows = compare(
        options.peer,
        size=options.size,
        n_jets=options.jets,
        repeats=options.repeats,
        n_threads=options.threads,
        clock=options.clock,
    )
    print(table(rows))


if __name__ == "__main__":
    main()
