"""PETv2 beside the published program: same jets, same weights, measured in turns.

The ``omnilearned`` package (0.2.0) needs numpy 2, so it lives in an environment of its own:

    python3.11 -m venv peer && peer/bin/pip install torch==2.13.0 omnilearned==0.2.0
    python benchmarks/peer_omnilearned.py --peer peer/bin/python --threads 1,2 --jets 16,64,128

Both programs are measured for every number of threads and of jets in a batch, the published one as it is,
with ``torch.compile``, and in bfloat16; each rate is compared with the best of the published program in
float32. A way that fails (no compiler, too little memory) is named and left out.

This file plays both parts: with ``--serve FOLDER`` it runs in the other environment and imports nothing of
ours. Jets and weights are handed over as files, requests as lines of JSON. ``peer_omnilearn_v1.py`` does the
same for PET.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

SLOTS = 128
MEAN_MULTIPLICITY = 50
TASKS = ("train", "infer")
WAYS = ("fp32", "fp32 compiled", "bf16", "bf16 compiled")
PEER_SIZES = {
    "small": {"num_transformers": 8, "num_transformers_head": 2, "num_heads": 8, "base_dim": 128},
    "medium": {"num_transformers": 12, "num_transformers_head": 2, "num_heads": 16, "base_dim": 512},
    "large": {"num_transformers": 28, "num_transformers_head": 4, "num_heads": 32, "base_dim": 1024},
}

Program = Callable[[str, int], dict[str, Any]]
"""From task and number of jets to {wall, cpu, logits}, or to {error}."""


class Row(NamedTuple):
    """One program at one task: its rate, or why there is none."""

    threads: int
    jets: int
    task: str
    program: str
    jets_per_second: float | None
    difference: float | None  # of the logits from the first program's, over the largest; None in training
    error: str | None = None


def realistic_jets(n_jets: int, *, n_features: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Padded jets (B, 128, F) with a spread of multiplicities around 50, their mask and labels."""
    rng = np.random.default_rng(seed)
    counts = np.clip(rng.gamma(6, MEAN_MULTIPLICITY / 6, n_jets).astype(int) + 1, 2, SLOTS)
    mask = np.arange(SLOTS) < counts[:, None]
    x = rng.normal(0, 1, (n_jets, SLOTS, n_features)).astype(np.float32)
    x[..., :2] = rng.normal(0, 0.15, (n_jets, SLOTS, 2))
    x[..., 2] = -np.sort(-rng.normal(1.1, 1.3, (n_jets, SLOTS)), 1)
    x[..., 3] = x[..., 2] + np.abs(rng.normal(0, 0.3, (n_jets, SLOTS)))
    return {"x": x * mask[..., None], "mask": mask, "y": rng.integers(0, 2, n_jets)}


def timed(task: Callable[[], Any]) -> dict[str, Any]:
    """Wall seconds, processor seconds and logits of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = np.asarray(task())
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "logits": result.tolist(),
    }


def work(forward: Callable[[], torch.Tensor], model: torch.nn.Module, label: torch.Tensor) -> dict:
    """The two measured tasks of a model: the logits alone, and a training step.

    The step has length zero: the work is that of any other, and outputs stay comparable.
    """
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)

    def infer() -> torch.Tensor:
        with torch.no_grad():
            return forward().float()

    def train() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        logits = forward()
        torch.nn.functional.cross_entropy(logits, label).backward()
        optimizer.step()
        return logits.detach().float()

    return {"infer": infer, "train": train}


def program(make: Callable[[int], dict[str, Callable]]) -> Program:
    """A program of this process; ``make`` builds its tasks for a number of jets, once."""
    made: dict[int, dict[str, Callable]] = {}

    def run(task: str, n_jets: int) -> dict[str, Any]:
        try:
            if n_jets not in made:
                made[n_jets] = make(n_jets)
            return timed(made[n_jets][task])
        except Exception as error:  # whatever a compiler or an allocator raises
            said = str(error).strip().splitlines() or ["no word of why"]
            return {"error": f"{type(error).__name__}: {said[-1].strip()[:120]}"}

    return run


# in the other environment


def answer(ways: Mapping[str, Program]) -> None:
    """Answer requests on standard input until it closes."""
    print("ready", flush=True)
    for line in sys.stdin:
        way, task, n_jets = json.loads(line)
        print(json.dumps(ways[way](task, n_jets)), flush=True)


def serve(folder: Path) -> None:
    """The published program."""
    import torch
    from omnilearned.network import PET2

    settings = json.loads((folder / "settings.json").read_text())
    torch.set_num_threads(settings["threads"])
    sizes = PEER_SIZES[settings["size"]]
    model = PET2(4, use_int=True, local_int=True, num_coord=2, K=10, num_tokens=4, num_classes=2, **sizes)
    weights = torch.load(folder / "weights.pt", weights_only=True)
    model.body.load_state_dict(weights["body"])
    model.classifier.load_state_dict(weights["classifier_head"])
    jets = np.load(folder / "jets.npz")

    def make(way: str, n_jets: int) -> dict[str, Callable]:
        x, label = (torch.from_numpy(jets[name][:n_jets]) for name in ("x", "y"))
        run = torch.compile(model, dynamic=False) if way.endswith("compiled") else model

        def forward() -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=way.startswith("bf16")):
                return run(x, label)["y_pred"]

        return work(forward, model, label)

    answer({way: program(partial(make, way)) for way in WAYS})


# in ours


@contextlib.contextmanager
def peer(command: Sequence[str], ways: Sequence[str]) -> Iterator[dict[str, Program]]:
    """Start the other program; yields its ways."""
    with subprocess.Popen(list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline().strip() != "ready":
            process.kill()
            raise SystemExit(f"the published program did not start ({' '.join(command)}): is it installed?")

        def ask(way: str, task: str, n_jets: int) -> dict[str, Any]:
            try:
                process.stdin.write(json.dumps([way, task, n_jets]) + "\n")
                process.stdin.flush()
            except BrokenPipeError:
                return {"error": "its process has ended"}
            line = process.stdout.readline()
            return json.loads(line) if line else {"error": "its process ended: too little memory?"}

        yield {way: partial(ask, way) for way in ways}
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def measure(
    programs: Mapping[str, Program],
    n_jets: int,
    *,
    repeats: int,
    clock: str,
    threads: int,
    others: Sequence[str] = (),
) -> list[Row]:
    """Best rates of ``repeats`` rounds; in each, every task runs once in each program, in turns.

    A round before the first one warms up (and compiles); what fails there is left out of the others. The
    logits of ``others`` are not compared. Every call is told on standard error, as compiling takes minutes.
    """
    best: dict[tuple[str, str], float] = {}
    apart: dict[str, float] = {}
    errors: dict[str, str] = {}
    reference = None
    for number in range(repeats + 1):
        for task in ("infer", "train") if number == 0 else TASKS:  # the first outputs are those compared
            for name in [name for name in programs if name not in errors]:
                reply = programs[name](task, n_jets)
                said = reply.get("error") or f"{reply[clock]:.2f} s"
                sys.stderr.write(f"{threads} threads, {n_jets} jets, {task}, {name}: {said}\n")
                if "error" in reply:
                    errors[name] = reply["error"]
                elif number:
                    best[task, name] = min(reply[clock], best.get((task, name), float("inf")))
                elif task == "infer" and name not in others:
                    logits = np.asarray(reply["logits"])
                    reference = logits if reference is None else reference
                    apart[name] = distance(logits, reference)
    rows = []
    for task in TASKS:
        for name in programs:
            rate = None if name in errors else n_jets / best[task, name]
            difference = apart.get(name) if task == "infer" else None
            rows.append(Row(threads, n_jets, task, name, rate, difference, errors.get(name)))
    return rows


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference over the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def compare(
    python: str,
    *,
    size: str = "small",
    jets: Sequence[int] = (64,),
    repeats: int = 3,
    threads: Sequence[int] = (1,),
    ways: Sequence[str] = WAYS[:1],
    clock: str = "wall",
) -> list[Row]:
    """Measure both programs.

    Parameters
    ----------
    python
        Interpreter of the environment with the published package.
    size
        ``"small"``, ``"medium"`` or ``"large"``.
    jets, threads
        Jets in a batch and threads of both, one after the other.
    repeats, clock
        See `measure`; ``"cpu"`` on a busy machine.
    ways
        Of the published program, of `WAYS`.
    """
    import torch

    rows = []
    held = realistic_jets(max(jets))
    for n_threads in threads:
        torch.set_num_threads(n_threads)
        with tempfile.TemporaryDirectory() as name:
            model = prepare(Path(name), held, size, n_threads)
            with peer([python, str(Path(__file__).resolve()), "--serve", name], ways) as theirs:
                for n_jets in jets:
                    programs = {f"omnilearned {way}": run for way, run in theirs.items()}
                    for half in ("fp32", "bf16"):
                        programs[f"ours {half}"] = program(partial(our_tasks, model, held, half == "bf16"))
                    rows += measure(programs, n_jets, repeats=repeats, clock=clock, threads=n_threads)
    return rows


def prepare(folder: Path, jets: dict[str, np.ndarray], size: str, threads: int) -> torch.nn.Module:
    """Make our model and hand its weights, the jets and the settings over to the other program."""
    import torch
    from omnilearn_lab.machine import reuse_memory
    from omnilearn_lab.models.pet_v2 import PETv2, PETv2Config
    from omnilearn_lab.models.published.v2 import write_published_v2

    reuse_memory()  # as our trainings do
    torch.manual_seed(0)
    model = PETv2(PETv2Config.named(size))
    write_published_v2(model, folder / "weights.pt")
    np.savez(folder / "jets.npz", **jets)
    (folder / "settings.json").write_text(json.dumps({"size": size, "threads": threads}))
    return model


def our_tasks(model: torch.nn.Module, jets: dict[str, np.ndarray], half: bool, n_jets: int) -> dict:
    """Tasks of a network of ours; without jet features it gets none."""
    import torch
    from omnilearn_lab.models.batch import Batch

    x, mask, label = (torch.from_numpy(jets[name][:n_jets]) for name in ("x", "mask", "y"))
    of_jets = torch.from_numpy(jets["jet"][:n_jets]) if "jet" in jets else torch.zeros(n_jets, 0)

    def forward() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return model.classify(Batch.from_padded(x, mask, jet=of_jets)).logits

    return work(forward, model, label)


def table(rows: Sequence[Row]) -> str:
    """The rates as text, a line for threads, jets and task, a column for a program; below, each one's best.

    Ratios are to the best of the first program, where other threads, jets and ways of it count, too, but not
    its bfloat16.
    """
    names = list(dict.fromkeys(row.program for row in rows))
    cells = {(row.threads, row.jets, row.task, row.program): row.jets_per_second for row in rows}
    head = "  ".join(f"{name:>{max(9, len(name))}}" for name in names)
    lines = ["jets/s", f"{'threads':>7} {'jets':>5} {'task':5}  {head}"]
    for key in dict.fromkeys(row[:3] for row in rows):
        values = (cells.get((*key, name)) for name in names)
        shown = (
            f"{'-' if rate is None else format(rate, '.1f'):>{max(9, len(name))}}"
            for name, rate in zip(names, values, strict=True)
        )
        lines.append(f"{key[0]:7d} {key[1]:5d} {key[2]:5}  {'  '.join(shown)}")
    for task in TASKS:
        lines.append(f"best, {task}")
        lines += _best(task, [row for row in rows if row.task == task and row.jets_per_second], names)
    failed = {(r.program, r.threads, r.jets): r.error for r in rows if r.error}
    lines += [f"left out: {who}, {t} threads, {n} jets: {why}" for (who, t, n), why in failed.items()]
    return "\n".join(lines)


def _best(task: str, rows: Sequence[Row], names: Sequence[str]) -> Iterator[str]:
    first = names[0].split()[0]
    exact = [r for r in rows if r.program.split()[0] == first and "bf16" not in r.program]
    most = max((r.jets_per_second for r in exact), default=float("nan"))
    for name in names:
        of_this = [r for r in rows if r.program == name]
        if of_this:
            top = max(of_this, key=lambda r: r.jets_per_second)
            apart = "" if top.difference is None else f", outputs apart {top.difference:.1e}"
            where = f"{top.threads} threads, {top.jets} jets"
            rate = top.jets_per_second
            yield f"  {name:24} {rate:8.1f} jets/s, {rate / most:5.1f} times ({where}{apart})"


def arguments(about: str, peer_help: str) -> argparse.ArgumentParser:
    """The options that comparisons share."""

    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.split(",")]

    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--peer", metavar="PYTHON", help=peer_help)
    parser.add_argument("--jets", type=numbers, default=[64], help="in a batch, 16,64,...")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=numbers, default=[1], help="1,2,...")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--out", type=Path, help="write the rows as JSON, too")
    parser.add_argument("--serve", metavar="FOLDER", type=Path, help=argparse.SUPPRESS)
    return parser


def report(rows: Sequence[Row], out: Path | None) -> None:
    """Print the table, and write the rows where they are wanted."""
    print(table(rows))
    if out is not None:
        out.write_text(json.dumps([row._asdict() for row in rows], indent=1))


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], "interpreter with omnilearned 0.2.0")
    parser.add_argument("--size", choices=PEER_SIZES, default="small")
    parser.add_argument("--ways", default=",".join(WAYS), help=f"of the peer: {','.join(WAYS)}")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    if not options.peer:
        parser.error("give --peer, the interpreter of the environment with omnilearned 0.2.0")
    names = ("size", "jets", "repeats", "threads", "clock")
    chosen = {name: getattr(options, name) for name in names}
    report(compare(options.peer, ways=options.ways.split(","), **chosen), options.out)


if __name__ == "__main__":
    main()
