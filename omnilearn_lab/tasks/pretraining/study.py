"""Pretraining on a small scale: noised jets, numbers and classes of jets, what networks of each size cost."""

from __future__ import annotations

import timeit
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.features import jets_from_features, pet_batch, pet_v2_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath, run_jobs
from omnilearn_lab.models import Batch, PETv2, PETv2Config, perturb
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.classification import ClassifierData, ClassifierResult, train_classifier
from omnilearn_lab.tasks.common.comparison import Comparison, compare
from omnilearn_lab.tasks.common.networks import ClassifierSettings, copy_fitting, make_model
from omnilearn_lab.tasks.pretraining.pretraining import PretrainConfig, fits_in_memory, pretrain
from omnilearn_lab.training import FlowPretraining, TrainConfig, Trainer, default_device, select


def pretrain_sizes(
    config: PretrainConfig,
    sizes: Sequence[int],
    directory: StrPath,
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
        call: 1000 * min(timeit.repeat(call, number=1, repeat=2)) / len(jets) for call in (train, infer)
    }
    return {
        "parameters [M]": count_parameters(size) / 1e6,
        "training [ms per jet]": milliseconds[train],
        "inference [ms per jet]": milliseconds[infer],
    }


@settings
class ClassStudySettings:
    """Pretrain on some classes, fine-tune on another task.

    Parameters
    ----------
    size, base
        As in `AblationSettings`.
    subsets
        Name of each pretraining, and its classes.
    n_pretrain
        Jets of each pretraining, whatever its classes.
    seeds
        One pretraining and one fine-tuning of each kind per seed.
    pretraining, scratch, finetuned : TrainConfig
    """

    size: str
    base: dict[str, Any]
    subsets: dict[str, tuple[str, ...]]
    n_pretrain: Annotated[int, Field(gt=0)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    pretraining: TrainConfig = field(default_factory=TrainConfig)
    scratch: TrainConfig = field(default_factory=TrainConfig)
    finetuned: TrainConfig = field(default_factory=TrainConfig)


def join_classes(jets: Jets, further: Jets, name: str = "data") -> Jets:
    """Add jets as one more class; both keep the columns that all have.

    Examples
    --------
    >>> jets = Jets.build({"deta": [0], "dphi": [0], "pt": [1], "energy": [1]}, [0, 1],
    ...                   {"pt": [1], "eta": [0], "phi": [0], "mass": [0], "label": [0]}, class_names=["QCD"])
    >>> both = join_classes(jets, jets)
    >>> both.class_names, both.label.tolist()
    (('QCD', 'data'), [0, 1])
    """
    names = (*jets.class_names, name)
    more = replace(further, class_names=()).with_jet(label=[len(jets.class_names)] * len(further))
    more = replace(more, class_names=names)
    return Jets.concatenate([replace(jets, class_names=names), more])


def choose_classes(jets: Jets, names: Sequence[str], n_jets: int) -> Jets:
    """Return jets of some classes, labelled in that order, as many of each as far as possible.

    Raises
    ------
    ConfigError
        For an unknown class, or fewer jets than asked for.
    """
    for name in names:
        if name not in jets.class_names:
            raise ConfigError(f"no class '{name}'; {nearest(name, jets.class_names)}")
    share = -(-n_jets // len(names))
    rows = [np.flatnonzero(jets.label == jets.class_names.index(name))[:share] for name in names]
    chosen = np.concatenate(rows)
    if len(chosen) < n_jets:
        raise ConfigError(f"{len(chosen)} jets of {', '.join(names)}, {share} of each wanted: load more jets")
    kept = jets[chosen].with_jet(label=np.repeat(np.arange(len(names)), [len(row) for row in rows]))
    return replace(kept, class_names=tuple(names)).shuffle(0)[:n_jets]


def study_classes(
    subsets: Mapping[str, Jets], data: ClassifierData, settings: ClassStudySettings, **options: Any
) -> Comparison[ClassifierResult]:
    """Pretrain on each set of jets, fine-tune each body on one task, and train from scratch.

    Parameters
    ----------
    subsets : mapping of name to Jets
        Jets of each pretraining, with labels from 0; see `choose_classes`.
    data : ClassifierData
        The task to fine-tune on.
    settings : ClassStudySettings
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    Comparison of ClassifierResult
        The arms are "scratch" and the subsets.
    """
    batches = {name: pet_v2_batch(jets, use_extra="d0" in jets.particles) for name, jets in subsets.items()}
    arms: dict[str, Batch | None] = {"scratch": None, **batches}
    train = partial(_pretrain_and_tune, data, settings)
    return compare(train, arms, seeds=settings.seeds, **options)


def _pretrain_and_tune(
    data: ClassifierData, settings: ClassStudySettings, jets: Batch | None, seed: int, folder: Path | None
) -> ClassifierResult:
    training = settings.scratch if jets is None else settings.finetuned
    changes = {**settings.base, "mode": "classifier", "feature_drop": 0.0}
    classifier = ClassifierSettings(
        data.n_classes, size=settings.size, training=training, network="pet_v2", changes=changes
    ).with_seed(seed)
    body = None
    if jets is not None:
        n_classes = int(jets.label.max()) + 1
        config = PETv2Config.named(settings.size, **settings.base, mode="pretrain", n_classes=n_classes)
        body = pretrain_body(jets, config, replace(settings.pretraining, seed=seed))
    model = make_model(classifier)
    if body is not None:
        copy_fitting(body, model.body)
    return train_classifier(data, classifier, model=model, run_directory=folder)


def pretrain_body(jets: Batch, config: PETv2Config, training: TrainConfig) -> dict[str, Tensor]:
    """Train class and generation together on 95 % of the jets; return the best weights of the body."""
    torch.manual_seed(training.seed)
    model = PETv2(config).to(default_device())
    rows = torch.arange(len(jets))
    n_held_out = max(1, len(jets) // 20)
    train, validation = (select(jets, chosen) for chosen in (rows[n_held_out:], rows[:n_held_out]))
    Trainer(model, FlowPretraining(), train, validation, training).fit()
    return {name: value.detach().cpu() for name, value in model.body.state_dict().items()}
