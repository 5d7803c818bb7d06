"""Many classifiers side by side on the same jets, which their processes share as one mapped file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.tasks.common.classification import ClassifierData, ClassifierResult, train_classifier
from omnilearn_lab.tasks.common.networks import ClassifierSettings

__all__ = ["train_many"]


def train_many(
    data: ClassifierData | Mapping[str, ClassifierData],
    settings: Mapping[str, ClassifierSettings],
    *,
    seeds: Sequence[int] = (1, 2, 3),
    workers: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> dict[str, tuple[ClassifierResult, ...]]:
    """Train several classifiers with every seed and measure all of them on the same test jets.

    On a CPU, trainings run side by side in processes with one thread each; on a GPU one after the other.

    Parameters
    ----------
    data : ClassifierData, or mapping of "pet" and "pet_v2" to ClassifierData
        The mapping serves networks that read different inputs; see `ClassifierSettings.inputs`.
    settings : mapping of name to ClassifierSettings
        The seed of their ``training`` is replaced by each of ``seeds``.
    seeds
        A seed fixes initial weights and the order of jets.
    workers
        Processes; all usable cores by default.
    directory
        Keep every run there, as ``<name>-seed<seed>``; what was interrupted goes on where it was.
    progress
        Show a progress bar over trainings.

    Returns
    -------
    dict of str to tuple of ClassifierResult
        Per name, in the order of ``seeds``.

    Raises
    ------
    ConfigError
        For no or repeated seeds, or when a network's kind of inputs is missing.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds are {seeds}; at least one is needed, each only once")
    sets = {"": data} if isinstance(data, ClassifierData) else dict(data)
    kinds = {name: _inputs(chosen, sets) for name, chosen in settings.items()}
    with tempfile.TemporaryDirectory() as folder:
        paths = {kind: part.save(Path(folder) / f"{kind}.jets") for kind, part in sets.items()}
        jobs = {}
        for seed in seeds:
            for name, chosen in settings.items():
                seeded = replace(chosen, training=replace(chosen.training, seed=seed))
                run = None if directory is None else str(Path(directory) / f"{name}-seed{seed}")
                jobs[name, seed] = (paths[kinds[name]], seeded, run)
        done = run_jobs(_train_from_file, jobs, workers=workers, progress=progress)
    return {name: tuple(done[name, seed] for seed in seeds) for name in settings}


def _inputs(settings: ClassifierSettings, sets: Mapping[str, ClassifierData]) -> str:
    if "" in sets:
        return ""
    if settings.inputs not in sets:
        raise ConfigError(f"this network reads '{settings.inputs}' inputs; data was given for {sorted(sets)}")
    return settings.inputs


def _train_from_file(path: Path, settings: ClassifierSettings, run_directory: str | None) -> ClassifierResult:
    return train_classifier(ClassifierData.load(path), settings, run_directory=run_directory)
