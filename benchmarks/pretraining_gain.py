"""What pretraining brings: scratch against fine-tuned over training sizes, tasks, checkpoints and seeds.

    python benchmarks/pretraining_gain.py --checkpoint tiny --task top_tagging --sizes 1000 10000

Every training has a run directory of its own and goes on from there when the program is started again;
what has finished is not repeated. One JSON line per finished training goes to ``runs.jsonl``; the table is
printed at the end, and at any time by ``--table``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import yaml
from omnilearn_lab.catalog import LoadOptions, load
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.models import update_card
from omnilearn_lab.tasks.common import (
    ClassifierComparisonSettings,
    ClassifierData,
    network_of,
    train_classifier,
)
from omnilearn_lab.tasks.common.comparison import KINDS
from omnilearn_lab.tasks.pretraining import DownstreamRecord, downstream_table
from omnilearn_lab.training import TrainConfig

USES_PID = {"top_tagging": False, "quark_gluon": True}  # whether the published jets carry species
EPOCHS = {1_000: 20.0, 10_000: 8.0, 50_000: 4.0}
SPLIT_SEED = 1
METRICS = ("auc", "rejection_at_0.5")
ABOUT = ("checkpoint", "task", "n_train", "epochs")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--checkpoint", nargs="+", default=["tiny"], help="names of shipped checkpoints, or files")
    add("--task", nargs="+", default=list(USES_PID), choices=USES_PID)
    add("--sizes", nargs="+", type=int, default=list(EPOCHS), help="training jets")
    add("--epochs", nargs="+", type=float, help="one number per size; 20, 8 and 4 by default")
    add("--seeds", nargs="+", type=int, default=[1, 2, 3])
    add("--workers", type=int, help="trainings at a time, one thread each; all cores by default")
    add("--batch-size", type=int, default=100)
    add("--learning-rate", type=float, default=1e-3, help="peak; the fine-tuned body gets a tenth")
    add("--n-validation", type=int, default=4_000)
    add("--n-test", type=int, default=40_000)
    add("--data-dir", help="data folder of the catalogue")
    add("--results", type=Path, default=Path("results/pretraining_gain"))
    add("--table", action="store_true", help="only print what has finished")
    add("--card", action="store_true", help="keep the rows with all seeds in the checkpoints' cards")
    chosen = parser.parse_args()
    if chosen.epochs is None:
        unknown = [n for n in chosen.sizes if n not in EPOCHS]
        if unknown:
            parser.error(f"give --epochs for {unknown}")
        chosen.epochs = [EPOCHS[n] for n in chosen.sizes]
    if len(chosen.epochs) != len(chosen.sizes):
        parser.error(f"{len(chosen.sizes)} sizes and {len(chosen.epochs)} numbers of epochs")
    return chosen


def data_file(task: str, inputs: str, chosen: argparse.Namespace) -> Path:
    """The jets of a task as a network reads them, in a file that all trainings share."""
    sizes = {"train": max(chosen.sizes), "val": chosen.n_validation, "test": chosen.n_test}
    name = "-".join([task, inputs, *map(str, sizes.values())])
    path = chosen.results / "jets" / f"{name}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        options = LoadOptions(data_dir=chosen.data_dir)
        jets = {
            split: load(task, split, source="simulated", max_jets=n, seed=SPLIT_SEED, options=options)
            for split, n in sizes.items()
        }
        ClassifierData.from_jets(jets, inputs=inputs, use_pid=USES_PID[task]).save(path)
    return path


def all_jobs(chosen: argparse.Namespace) -> dict[str, tuple]:
    """What has not finished yet, small trainings first: run directory to arguments of a training."""
    jobs = {}
    for n_train, epochs in sorted(zip(chosen.sizes, chosen.epochs, strict=True)):
        for checkpoint in chosen.checkpoint:
            for task in chosen.task:
                path = data_file(task, network_of(checkpoint), chosen)
                config = comparison(checkpoint, epochs, chosen)
                for seed in chosen.seeds:
                    for kind in ("scratch", "finetuned"):
                        settings = config.classifiers()[kind]
                        training = replace(settings.training, seed=seed)
                        about = {
                            "checkpoint": Path(checkpoint).stem,
                            "task": task,
                            "n_train": n_train,
                            "epochs": epochs,
                            "kind": kind,
                            "seed": seed,
                        }
                        run = chosen.results.joinpath("runs", *(str(v) for v in about.values()))
                        if not (run / "result.json").is_file():
                            jobs[str(run)] = (
                                path,
                                replace(settings, training=training, n_train=n_train),
                                run,
                                about,
                            )
    return jobs


def comparison(checkpoint: str, epochs: float, chosen: argparse.Namespace) -> ClassifierComparisonSettings:
    training = TrainConfig(
        epochs=epochs,
        batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate,
        validations_per_epoch=1,
        precision="bf16",
    )
    tuned = replace(training, body_lr_factor=0.1)
    return ClassifierComparisonSettings(checkpoint, scratch=training, finetuned=tuned)


def one_training(path: Path, settings, run: Path, about: dict) -> dict:
    """Train, measure, and leave one line in ``runs.jsonl`` and one file in the run directory."""
    start = time.perf_counter()
    result = train_classifier(ClassifierData.load(path), settings, run_directory=str(run))
    best = result.history.best()
    line = about | result.metrics.to_dict()
    line |= {
        "n_test": result.metrics.n_jets,
        "is_limit": list(result.metrics.limits()),
        "best_val_loss": best["loss"],
        "best_epoch": best["epoch"],
        "seconds_training": round(result.seconds_training, 1),
        "seconds": round(time.perf_counter() - start, 1),
    }
    partial = run / "result.part"
    partial.write_text(json.dumps(line) + "\n")
    partial.replace(run / "result.json")
    with (run.parents[6] / "runs.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    return line


def finished(chosen: argparse.Namespace) -> list[DownstreamRecord]:
    """One record per checkpoint, task, size and budget, of the seeds for which both kinds have finished."""
    groups = defaultdict(lambda: {kind: {} for kind in KINDS})
    for path in sorted(chosen.results.glob("runs/**/result.json")):
        line = json.loads(path.read_text())
        training = yaml.safe_load((path.parent / "config.yaml").read_text())["training"]
        key = (*(line[name] for name in ABOUT), training["batch_size"], training["learning_rate"])
        groups[key][line["kind"]][line["seed"]] = line
    return [found for key, kinds in groups.items() if (found := record(key, kinds, chosen.n_test))]


def record(key: tuple, kinds: dict[str, dict[int, dict]], n_test: int) -> DownstreamRecord | None:
    seeds = sorted(set.intersection(*(set(kinds[kind]) for kind in KINDS)))
    if not seeds:
        return None
    lines = {kind: [kinds[kind][seed] for seed in seeds] for kind in KINDS}
    limits = {
        kind: {m: n for m in METRICS if (n := sum(m in line["is_limit"] for line in lines[kind]))}
        for kind in KINDS
    }
    return DownstreamRecord(
        **dict(zip((*ABOUT, "batch_size", "learning_rate"), key, strict=True)),
        seeds=seeds,
        n_test=lines["scratch"][0].get("n_test", n_test),
        metrics={m: {kind: [line[m] for line in lines[kind]] for kind in KINDS} for m in METRICS},
        n_lower_limits=limits,
    )


def main() -> None:
    chosen = arguments()
    sys.path.append(str(Path(__file__).parents[1]))
    ours = importlib.import_module(f"benchmarks.{Path(__file__).stem}")  # the name by which workers know it
    if not chosen.table:
        jobs = all_jobs(chosen)
        print(f"{len(jobs)} trainings to do, in {chosen.results}", flush=True)
        run_jobs(ours.one_training, jobs, workers=chosen.workers)
    records = finished(chosen)
    print(downstream_table(records).to_string())
    for checkpoint in chosen.checkpoint if chosen.card else ():
        ours = (one for one in records if one.checkpoint == Path(checkpoint).stem)
        about = [one.model_dump() for one in ours if one.seeds == sorted(chosen.seeds)]
        update_card(checkpoint, downstream=about)


if __name__ == "__main__":
    main()
