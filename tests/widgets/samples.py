"""Each widget on small made-up data, for the tests here and for the page that a browser opens.

A notebook imports this file from its own folder: no relative imports.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import roc
from omnilearn_lab.notebook import Results, ResultsBrowser
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.tasks.search import MassFit
from omnilearn_lab.training import History
from omnilearn_lab.training.runs import Heartbeat
from omnilearn_lab.widgets import (
    CatalogBrowser,
    DiffusionPlayer,
    Explored,
    Explorer,
    JetViewer,
    LossComparison,
    ReweightingExplorer,
    RocExplorer,
    RunBrowser,
    ScoredEvents,
    SicExplorer,
    TrainingMonitor,
    UnfoldingExplorer,
)

EDGES = {"mass": np.linspace(0, 60, 11), "width": np.linspace(0, 0.5, 11)}
TIMES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]])
SIGNAL_REGION = (3300, 3700)


def record(kind: str, step: int, loss: float) -> dict[str, Any]:
    """One line of a training's history: ten steps an epoch, 16 jets a step, two steps a second."""
    return {
        "kind": kind,
        "step": step,
        "epoch": step / 10,
        "jets": 16 * step,
        "seconds": step / 2,
        "loss": float(loss),
    }


def falling(start: float, end: float, *, n: int = 8, rate: float = 0.5, seed: int = 0) -> np.ndarray:
    """Losses that fall from start towards end."""
    noise = np.random.default_rng(seed).normal(0, 0.02 * (start - end), n)
    return end + (start - end) * rate ** np.arange(n) + noise


def history(losses: np.ndarray) -> History:
    return History(record("validation", 5 * i, loss) for i, loss in enumerate(losses))


def loss_comparison() -> LossComparison:
    scratch = [history(falling(0.7, 0.5, rate=0.7, seed=seed)) for seed in range(3)]
    tuned = [history(falling(0.7, 0.3, rate=0.25, seed=seed)) for seed in range(3)]
    return LossComparison({"scratch": scratch, "fine-tuned": tuned})


def jets(n: int = len(PROBABILITIES)) -> Jets:
    """Jets of thirty particles, classes QCD and top in turn."""
    rng = np.random.default_rng(1)
    size = 30
    cloud = {name: rng.normal(0, 0.2, size * n) for name in ("deta", "dphi")}
    cloud |= {"pt": rng.exponential(20, size * n) + 0.5, "pid": rng.choice([-211, 22, 130, 211], size * n)}
    cloud["energy"] = 1.2 * cloud["pt"]
    jet = {"pt": np.full(n, 600.0), "eta": np.zeros(n), "phi": np.zeros(n), "mass": np.full(n, 90.0)}
    jet["label"] = np.arange(n) % 2
    return Jets.build(cloud, size * np.arange(n + 1), jet, class_names=("QCD", "top"))


def jet_viewer() -> JetViewer:
    return JetViewer(jets(), probabilities=PROBABILITIES)


def scores() -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Two trainings each of a weak and of a strong classifier, 500 jets of each class."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 500)
    separations = {"weak": 0.5, "strong": 2.0}
    return {name: [(rng.normal(d * labels), labels) for _ in range(2)] for name, d in separations.items()}


def roc_explorer() -> RocExplorer:
    return RocExplorer(scores(), names=("QCD", "top"))


def trajectory(n_particles: int = 12, seed: int = 0) -> np.ndarray:
    """Particles from noise at the first time to a jet at the last, shape (steps, particles, 3)."""
    rng = np.random.default_rng(seed)
    cloud = np.column_stack([rng.normal(0, 0.1, (n_particles, 2)), rng.exponential(20, n_particles)])
    return np.array([cloud + rng.normal(0, t, cloud.shape) * [1, 1, 0] for t in TIMES])


def diffusion_player() -> DiffusionPlayer:
    return DiffusionPlayer(TIMES, {"gluon": trajectory(), "top": trajectory(20, 1)}, source="toy")


def observed(seed: int, n: int = 200) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"mass": rng.gamma(4, 5, n), "width": rng.beta(2, 8, n)}


def reweighting_explorer() -> ReweightingExplorer:
    rng = np.random.default_rng(0)
    weights = {"scratch": rng.gamma(9, 0.1, (2, 200)), "fine-tuned": rng.gamma(9, 0.1, (3, 200))}
    return ReweightingExplorer(observed(1), observed(2), weights=weights, edges=EDGES)


def unfolding_explorer() -> UnfoldingExplorer:
    rng = np.random.default_rng(0)
    weights = {"OmniFold": {name: rng.gamma(9, 0.1, (3, 2, 200)) for name in EDGES}}
    counts = {name: np.histogram(observed(2)[name], edges)[0] + 2 for name, edges in EDGES.items()}
    binned = {"IBU": {name: np.array([count, 1.1 * count]) for name, count in counts.items()}}
    return UnfoldingExplorer(observed(1), observed(2), edges=EDGES, weights=weights, binned=binned)


def events(n_signal: int, seed: int = 1) -> ScoredEvents:
    """A falling spectrum of 4000 events and a bump with high scores."""
    rng = np.random.default_rng(seed)
    background = 2300 + rng.exponential(500, 4000)
    masses = np.concatenate([background, rng.uniform(*SIGNAL_REGION, n_signal)])
    marks = np.concatenate([rng.random(4000), 0.8 + 0.2 * rng.random(n_signal)])
    labels = np.arange(500) < 100
    return ScoredEvents(masses, marks, roc(labels + rng.normal(0, 1, 500), labels))


def sic_explorer() -> SicExplorer:
    fit = MassFit(function="log_polynomial2")
    return SicExplorer({0: events(0), 80: events(80, 2)}, SIGNAL_REGION, fit=fit, source="toy")


def write_run(folder: Path, learning_rate: float, losses: np.ndarray | list[float]) -> None:
    """A finished training's directory."""
    folder.mkdir(parents=True)
    rows = [record("validation", 10 * i, loss) for i, loss in enumerate(losses)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"size": "tiny", "training": {"learning_rate": learning_rate, "epochs": 2}}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))


def run_browser(folder: Path) -> RunBrowser:
    for i, rate in enumerate((0.001, 0.003, 0.01)):
        write_run(folder / "top" / f"seed-{i}", rate, falling(0.7, 0.5 - 0.1 * i, seed=i))
    return RunBrowser(folder)


def write_results(folder: Path) -> None:
    """Results of two notebooks, one where pretraining helps and one where it does not."""
    before, os.environ["OMNILEARN_LAB_RESULTS"] = os.environ.get("OMNILEARN_LAB_RESULTS"), str(folder)
    for name, tuned in (("03_finetune_top", [0.98, 0.99]), ("06_transfer_to_dis", [0.6, 0.61])):
        results = Results(name, "quick")
        for figure in ("roc", "loss_curves"):
            drawn = PaperFigure(figsize=(4, 2))
            drawn.text(0.5, 0.5, f"{figure} of {name}", ha="center")
            results.figure(figure, drawn)
        metrics = {"auc": {"scratch": [0.9, 0.91], "finetuned": tuned}}
        table = {"seeds": [1, 2], "n_train": 100, "metrics": metrics}
        results.write(source="simulated", seeds=[1, 2], comparisons={"PET <tiny>": table})
    if before is None:
        del os.environ["OMNILEARN_LAB_RESULTS"]
    else:
        os.environ["OMNILEARN_LAB_RESULTS"] = before


def results_browser(folder: Path) -> ResultsBrowser:
    write_results(folder)
    return ResultsBrowser(folder)


def run_here(folder: Path) -> Path:
    """A directory whose training "runs" in this very process."""
    folder.mkdir(parents=True, exist_ok=True)
    mine = {"pid": os.getpid(), "created": psutil.Process().create_time() - psutil.boot_time()}
    (folder / "process.json").write_text(json.dumps(mine))
    return folder


def append(run: Path, *records: dict[str, Any]) -> None:
    """Let a training write more of its history."""
    written = History(path=run / "metrics.jsonl")
    for one in records:
        written.append(one)


def beat(run: Path, step: int, n_steps: int = 100) -> None:
    """Let a training say how far it is."""
    seconds = iter([0.0, 2.0, 4.0])
    heart = Heartbeat(run, clock=lambda: next(seconds))
    heart.beat(step - 1, n_steps, jets=16 * (step - 1))
    heart.beat(step, n_steps, jets=16 * step)


def training_monitor(folder: Path) -> TrainingMonitor:
    run = folder if (folder / "process.json").is_file() else run_here(folder)
    for kind, end in (("train", 0.4), ("validation", 0.5)):
        append(run, *(record(kind, 5 * i, loss) for i, loss in enumerate(falling(0.7, end))))
    beat(run, 40)
    return TrainingMonitor(run)


def explored(separations: dict[str, float]) -> Explored:
    """A task with arms that tell the two classes apart more or less well, two trainings each."""
    one, n = jets(40), 40
    sign = 2 * one.label - 1
    probabilities, embeddings, histories = {}, {}, {}
    for arm, separation in separations.items():
        rngs = [np.random.default_rng(seed) for seed in (1, 2)]
        scores = [1 / (1 + np.exp(-separation * sign + rng.normal(0, 1, n))) for rng in rngs]
        probabilities[arm] = [np.stack([1 - score, score], axis=1) for score in scores]
        embeddings[arm] = [rng.normal(0, 1, (n, 6)) + separation * sign[:, None] for rng in rngs]
        histories[arm] = [history(falling(0.7, 0.5 / separation, seed=seed)) for seed in (1, 2)]
    return Explored(one, probabilities, histories, embeddings)


def explorer() -> Explorer:
    both = explored({"scratch": 1.0, "finetuned": 2.0})
    return Explorer({"tops": {"tiny": both}, "quarks": {"small": both, "v2_tiny": explored({"frozen": 1.5})}})


BUILDERS: dict[str, Callable[[Path], Any]] = {
    "LossComparison": lambda _: loss_comparison(),
    "JetViewer": lambda _: jet_viewer(),
    "RocExplorer": lambda _: roc_explorer(),
    "RunBrowser": run_browser,
    "CatalogBrowser": lambda _: CatalogBrowser(n_jets=20),
    "ResultsBrowser": results_browser,
    "TrainingMonitor": training_monitor,
    "DiffusionPlayer": lambda _: diffusion_player(),
    "ReweightingExplorer": lambda _: reweighting_explorer(),
    "UnfoldingExplorer": lambda _: unfolding_explorer(),
    "SicExplorer": lambda _: sic_explorer(),
    "Explorer": lambda _: explorer(),
}
