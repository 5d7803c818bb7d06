"""Scratch against fine-tuned: the same jets, the same number of updates, several seeds."""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import Gain, Speedup, Spread, gain, speedup, spread
from omnilearn_lab.models import Batch
from omnilearn_lab.simulation import usable_cores
from omnilearn_lab.tasks.classification import (
    ClassifierData,
    ClassifierResult,
    ClassifierSettings,
    train_classifier,
)
from omnilearn_lab.training import History, TrainConfig

__all__ = ["Comparison", "CompareConfig", "compare"]

log = logging.getLogger(__name__)
_NAMES = {"scratch": "scratch", "finetuned": "fine-tuned"}


@dataclass(frozen=True)
class CompareConfig:
    """What to compare.

    Parameters
    ----------
    checkpoint
        Name or path of the pretrained network; the scratch network has the same size.
    size
        Named size of both.
    seeds
        One training of each kind per seed; a seed fixes initial weights and the order of jets.
    scratch, finetuned : TrainConfig
        Their ``epochs`` and ``batch_size`` must agree: equal budgets, or the comparison says nothing.

    Raises
    ------
    ConfigError
        For unequal budgets or no seeds.
    """

    checkpoint: str = "tiny"
    size: str = "tiny"
    seeds: tuple[int, ...] = (1, 2, 3)
    scratch: TrainConfig = field(default_factory=TrainConfig)
    finetuned: TrainConfig = field(default_factory=lambda: TrainConfig(body_lr_factor=0.1))

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"seeds are {self.seeds}; at least one is needed, each only once")
        for name in ("epochs", "batch_size", "validations_per_epoch"):
            ours, theirs = getattr(self.scratch, name), getattr(self.finetuned, name)
            if ours != theirs:
                raise ConfigError(
                    f"{name} is {ours} for scratch and {theirs} for fine-tuned; they must agree"
                )

    def settings(self, kind: str, seed: int, n_classes: int) -> ClassifierSettings:
        """Return the settings of one training; ``kind`` is "scratch" or "finetuned"."""
        training = replace(getattr(self, kind), seed=seed)
        init = "scratch" if kind == "scratch" else self.checkpoint
        return ClassifierSettings(n_classes, init, self.size, training)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of :func:`compare`: one :class:`ClassifierResult` per seed and kind.

    Parameters
    ----------
    config : CompareConfig
    labels : array, shape (N,)
        Labels of the test jets.
    scratch, finetuned : tuple of ClassifierResult
        In the order of ``config.seeds``.
    n_train
        Training jets.
    seconds
        Wall time of all trainings together.
    """

    config: CompareConfig
    labels: np.ndarray
    scratch: tuple[ClassifierResult, ...]
    finetuned: tuple[ClassifierResult, ...]
    n_train: int
    seconds: float

    def results(self, kind: str) -> tuple[ClassifierResult, ...]:
        """Return the results of "scratch" or "finetuned"."""
        return self.scratch if kind == "scratch" else self.finetuned

    def values(self, kind: str, metric: str) -> list[float]:
        """Return one number per seed: a metric's name, ``best_val_loss`` or ``epochs``."""
        results = self.results(kind)
        if metric == "best_val_loss":
            return [r.history.best()["loss"] for r in results]
        if metric == "epochs":
            return [float(r.history.column("epoch")[-1]) for r in results]
        return [float(r.metrics.to_dict()[metric]) for r in results]

    def limits(self, kind: str) -> dict[str, int]:
        """Return for how many seeds each rejection is only a lower limit (too few background jets pass)."""
        counts: dict[str, int] = {}
        for result in self.results(kind):
            for item in (r for rejections in result.metrics.rejections.values() for r in rejections):
                name = f"rejection_at_{item.signal_efficiency:g}"
                counts[name] = counts.get(name, 0) + bool(item.is_limit)
        return {name: n for name, n in counts.items() if n}

    def spread(self, kind: str, metric: str) -> Spread:
        """Return mean and spread of a metric over seeds."""
        return spread(self.values(kind, metric))

    def gain(self, metric: str) -> Gain:
        """Return how much larger a metric is for fine-tuning than for scratch, paired by seed."""
        return gain(self.values("finetuned", metric), self.values("scratch", metric), paired=True)

    def seconds_by_step(self) -> dict[str, float]:
        """Return the time spent in training and in evaluation, summed over processes."""
        every = [*self.scratch, *self.finetuned]
        return {
            "training (summed over processes)": round(sum(r.seconds_training for r in every), 1),
            "evaluation (summed over processes)": round(sum(r.seconds_evaluation for r in every), 1),
        }

    def histories(self) -> dict[str, list[History]]:
        """Return the histories by kind of training, for plotting and for the comparison widget."""
        return {name: [r.history for r in self.results(kind)] for kind, name in _NAMES.items()}

    def scores(self, kind: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (score of class 1, label) of the test jets, per seed."""
        return [(r.probabilities[:, 1], self.labels) for r in self.results(kind)]

    def speedups(self) -> list[Speedup]:
        """Return, per seed, how much sooner fine-tuning reaches the best loss of scratch training."""
        return [
            speedup(
                tuned.val_loss,
                scratch.val_loss,
                epochs=(tuned.epochs, scratch.epochs),
                seconds=(tuned.seconds, scratch.seconds),
            )
            for tuned, scratch in zip(*reversed(self.histories().values()), strict=True)
        ]

    def summary(self) -> dict[str, Any]:
        """Return everything a results file holds about this comparison."""
        metrics = [*self.scratch[0].metrics.to_dict(), "best_val_loss", "epochs"]
        kinds = {k: {m: self.values(k, m) for m in metrics} for k in ("scratch", "finetuned")}
        speedups = self.speedups()
        return kinds | {
            "speedup_epochs": [s.epochs if s.is_reached else None for s in speedups],
            "speedup_seconds": [s.seconds if s.is_reached else None for s in speedups],
            "n_lower_limits": {k: self.limits(k) for k in kinds},
            "n_train": self.n_train,
            "n_test": len(self.labels),
            "seeds": list(self.config.seeds),
        }


def compare(
    data: ClassifierData,
    config: CompareConfig,
    *,
    n_classes: int = 2,
    workers: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Comparison:
    """Train from scratch and from a checkpoint, with every seed, and measure all on the same test jets.

    On a CPU, trainings run side by side in separate processes with one thread each, which is faster than
    one after the other with all threads. On a GPU they run one after the other.

    Parameters
    ----------
    data : ClassifierData
    config : CompareConfig
    n_classes
    workers
        Processes; all usable cores by default.
    directory
        Keep every run there, so that an interrupted comparison goes on where it was.
    progress
        Show a progress bar over updates.

    Returns
    -------
    Comparison
    """
    start = time.perf_counter()
    jobs = {
        (kind, seed): config.settings(kind, seed, n_classes)
        for seed in config.seeds
        for kind in ("scratch", "finetuned")
    }
    n_workers = min(workers or usable_cores(), len(jobs))
    if torch.cuda.is_available() or n_workers == 1:
        results = {
            k: train_classifier(data, s, run_directory=_subdirectory(directory, k)) for k, s in jobs.items()
        }
    else:
        results = _in_processes(data, jobs, n_workers, directory, progress)
    return Comparison(
        config,
        data.test.label.numpy(),
        *(tuple(results[kind, seed] for seed in config.seeds) for kind in ("scratch", "finetuned")),
        n_train=len(data.train),
        seconds=time.perf_counter() - start,
    )


def _in_processes(
    data: ClassifierData,
    jobs: Mapping[tuple[str, int], ClassifierSettings],
    n_workers: int,
    directory: str | os.PathLike[str] | None,
    progress: bool,
) -> dict[tuple[str, int], ClassifierResult]:
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(n_workers, context, _one_thread) as pool,
    ):
        path = _save_data(data, Path(folder) / "jets.safetensors")
        futures = {
            pool.submit(_train_from_file, path, s, _subdirectory(directory, k)): k for k, s in jobs.items()
        }
        return {futures[f]: f.result() for f in _watched(futures, progress)}


def _watched(futures: Iterable[Future], progress: bool) -> Iterable[Future]:
    """Yield futures as they finish; a failure cancels those not started."""
    waiting: Sequence[Future] = list(futures)
    bar = tqdm(as_completed(waiting), total=len(waiting), desc="trainings", disable=not progress)
    for future in bar:
        if future.exception() is not None:
            for other in waiting:
                other.cancel()
        yield future


def _one_thread() -> None:
    torch.set_num_threads(1)


def _train_from_file(path: str, settings: ClassifierSettings, run_directory: str | None) -> ClassifierResult:
    return train_classifier(_load_data(path), settings, run_directory=run_directory)


def _subdirectory(directory: str | os.PathLike[str] | None, key: tuple[str, int]) -> str | None:
    return None if directory is None else str(Path(directory) / f"{key[0]}-seed{key[1]}")


def _save_data(data: ClassifierData, path: Path) -> str:
    tensors = {
        f"{part}/{name}": value.contiguous()
        for part, batch in vars(data).items()
        for name, value in vars(batch).items()
        if isinstance(value, torch.Tensor)
    }
    save_file(tensors, path)
    return str(path)


def _load_data(path: str) -> ClassifierData:
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in load_file(path).items():
        part, name = key.split("/")
        parts.setdefault(part, {})[name] = value
    return ClassifierData(**{part: Batch(**tensors) for part, tensors in parts.items()})
