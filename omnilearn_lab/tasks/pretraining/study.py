"""Pretraining on a small scale: noised jets, several numbers of jets, and what networks of each size cost."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.features import jets_from_features, pet_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.models import Batch, PETv2, PETv2Config, perturb
from omnilearn_lab.tasks.pretraining.data import fits_in_memory
from omnilearn_lab.tasks.pretraining.pretraining import PretrainConfig, pretrain
from omnilearn_lab.training import default_device, select

if TYPE_CHECKING:
    import pandas as pd


def pretrain_sizes(
    config: PretrainConfig,
    sizes: Sequence[int],
    directory: str | os.PathLike[str],
    *,
    workers: int | None = None,
    progress: bool = True,
) -> dict[int, Path]:
    """Pretrain the same network on several numbers of jets, everything else equal.

    Published jets are kept in memory: a stream would take all jets of their files, whatever the size.

    Parameters
    ----------
    config : PretrainConfig
    sizes
        Pretraining jets; the smaller sets are parts of the largest when they are simulated.
    directory
        Each run in a folder of its own; runs that were interrupted go on.
    workers, progress
        As for `omnilearn_lab.machine.run_jobs`.

    Returns
    -------
    dict of int to Path
        Checkpoint by size.

    Raises
    ------
    ConfigError
        For repeated sizes, and for published jets that do not fit into memory.
    """
    if len(set(sizes)) < len(sizes):
        raise ConfigError(f"sizes are {sizes}; each only once")
    if config.source == "published":
        if not fits_in_memory(max(sizes)):
            raise ConfigError(f"{max(sizes):,} jets do not fit into memory; choose smaller sizes")
        config = replace(config, streaming="never")
    largest_first = sorted(sizes, reverse=True)
    jobs = {n: (replace(config, n_train=n), Path(directory) / f"{n}-jets") for n in largest_first}
    paths = run_jobs(pretrain, jobs, workers=workers, progress=progress, title="pretrainings")
    return {n: paths[n] for n in sizes}


def noised_particles(jet: Jets, times: Sequence[float], *, seed: int = 1) -> np.ndarray:
    r"""One jet at several diffusion times, with the same noise at each.

    :math:`x_t = \alpha(t) x + \sigma(t) \epsilon` in the network's standardised features, given back in
    physical units.

    Parameters
    ----------
    jet : Jets
        One jet of N particles.
    times
        S times between 0 (the jet itself) and 1 (noise).
    seed
        Of the noise.

    Returns
    -------
    array, shape (S, N, 3)
        deta, dphi and pt [GeV] of the particles.

    Raises
    ------
    ConfigError
        For another number of jets than one.

    References
    ----------
    OmniLearn, arXiv:2404.16091, eq. 2.
    """
    if len(jet) != 1:
        raise ConfigError(f"{len(jet)} jets were given; this shows one")
    batch = pet_batch(jet)
    noise = torch.randn(len(batch.features), 3, generator=torch.Generator().manual_seed(seed))
    clouds = []
    for moment in times:
        mixed = perturb(batch, torch.tensor([float(moment)]), noise).batch.features[:, :3]
        seen = jets_from_features(mixed.numpy(), jet, keep_jet=True).particles
        clouds.append(np.stack([seen["deta"], seen["dphi"], seen["pt"]], axis=1))
    return np.stack(clouds)


def count_parameters(size: str, **choices: object) -> int:
    """Return the number of parameters of a named size, without making the weights.

    Parameters
    ----------
    size
        "tiny", "small", "medium" or "large".
    **choices
        Further fields of `PETv2Config`.

    Examples
    --------
    >>> count_parameters("small", n_classes=2)
    2708917
    """
    with torch.device("meta"):
        return sum(PETv2(PETv2Config.named(size, **choices)).n_parameters.values())


def network_costs(jets: Batch, sizes: Sequence[str] = ("tiny", "small")) -> pd.DataFrame:
    """Measure training and inference of a two-class PET v2 of each size.

    Parameters
    ----------
    jets : Batch
        Some tens of jets; each is used once per measurement, and measured twice (the better counts).
    sizes
        Named sizes.

    Returns
    -------
    DataFrame
        Millions of parameters, and milliseconds per jet for one update and for inference.
    """
    import pandas as pd

    return pd.DataFrame({size: _cost(jets, size) for size in sizes}).T


def _cost(jets: Batch, size: str) -> dict[str, float]:
    model = PETv2(PETv2Config.named(size)).to(default_device())
    batch = select(jets, torch.arange(len(jets))).to(default_device()).replace(label=None)
    label = torch.zeros(len(jets), dtype=torch.int64, device=default_device())

    def infer() -> None:
        with torch.no_grad():
            model.classify(batch).logits.sum().item()

    def train() -> None:
        functional.cross_entropy(model.classify(batch).logits, label).backward()
        sum(float(p.grad.sum()) for p in model.parameters())

    milliseconds = {
        name: 1000 * _best(call) / len(jets) for name, call in (("train", train), ("infer", infer))
    }
    return {
        "parameters [M]": count_parameters(size) / 1e6,
        "training [ms per jet]": milliseconds["train"],
        "inference [ms per jet]": milliseconds["infer"],
    }


def _best(call: Callable[[], None]) -> float:
    times = []
    for _ in range(2):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
