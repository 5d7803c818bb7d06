"""Which pretraining classes help which task: pretrain PET v2 on some classes, fine-tune on another task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import torch
from torch import Tensor

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.models import Batch, PETv2, PETv2Config
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.classification import ClassifierData, ClassifierResult
from omnilearn_lab.tasks.tagging.ablation import AblationSettings, train_network
from omnilearn_lab.training import FlowPretraining, TrainConfig, Trainer, default_device, select

__all__ = [
    "ClassStudySettings",
    "OmniLearnedProfile",
    "choose_classes",
    "join_classes",
    "pretrain_body",
    "study_classes",
]


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
    n_pretrain: int
    seeds: tuple[int, ...]
    pretraining: TrainConfig = field(default_factory=TrainConfig)
    scratch: TrainConfig = field(default_factory=TrainConfig)
    finetuned: TrainConfig = field(default_factory=TrainConfig)


@settings
class OmniLearnedProfile:
    """Sizes and settings of the notebook on OmniLearned in one profile.

    Parameters
    ----------
    source
        "simulated" or "published".
    max_particles
        The hardest particles kept in ablation and class study; None keeps all.
    n_train, n_validation, n_test
        JetClass jets of the ablation.
    n_data
        Data-like jets (Aspen), one more pretraining class.
    n_top, n_top_test
        Top-tagging jets of the class study: for training, and for validation and test each.
    checkpoint
        Where the fine-tuning of the top-tagging table starts.
    n_top_table
        Training jets of the top-tagging table.
    table_seeds
        Its seeds.
    table_scratch, table_finetuned : TrainConfig
    sizes
        Named sizes whose cost is measured.
    ablation : AblationSettings
    classes : ClassStudySettings
    """

    source: str
    max_particles: int | None
    n_train: int
    n_validation: int
    n_test: int
    n_data: int
    n_top: int
    n_top_test: int
    n_top_table: int
    table_seeds: tuple[int, ...]
    ablation: AblationSettings
    classes: ClassStudySettings
    checkpoint: str = "v2_tiny"
    sizes: tuple[str, ...] = ("tiny", "small")
    table_scratch: TrainConfig = field(default_factory=TrainConfig)
    table_finetuned: TrainConfig = field(default_factory=TrainConfig)


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
    rows = [torch.from_numpy(jets.label == jets.class_names.index(name)).nonzero()[:, 0] for name in names]
    share = -(-n_jets // len(names))
    chosen = torch.cat([part[:share] for part in rows])
    if len(chosen) < n_jets:
        raise ConfigError(f"{len(chosen)} jets of {', '.join(names)}, {share} of each wanted: load more jets")
    label = torch.cat([torch.full((min(share, len(part)),), i) for i, part in enumerate(rows)])
    kept = jets[chosen.numpy()].with_jet(label=label.numpy())
    return replace(kept, class_names=tuple(names)).shuffle(0)[:n_jets]


def study_classes(
    pretraining: Mapping[str, Batch],
    data: ClassifierData,
    settings: ClassStudySettings,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, tuple[ClassifierResult, ...]]:
    """Pretrain on each set of jets, fine-tune each body on one task, and train from scratch.

    Parameters
    ----------
    pretraining : mapping of name to Batch
        Jets of each subset, with labels from 0.
    data : ClassifierData
        The task to fine-tune on.
    settings : ClassStudySettings
    workers, progress
        As for `omnilearn_lab.machine.pool.run_jobs`.

    Returns
    -------
    dict of name to ClassifierResult per seed
        The first is "scratch".
    """
    seeds, run = settings.seeds, {"workers": workers, "progress": progress}
    jobs = {
        (name, seed): (
            jets,
            _config(settings, "pretrain", int(jets.label.max()) + 1),
            replace(settings.pretraining, seed=seed),
        )
        for seed in seeds
        for name, jets in pretraining.items()
    }
    bodies = run_jobs(pretrain_body, jobs, title="pretrainings", **run)
    task = _config(settings, "classifier", len(data.class_names))
    tunings = {}
    for seed in seeds:
        tunings["scratch", seed] = (data, task, replace(settings.scratch, seed=seed))
        for name in pretraining:
            training = replace(settings.finetuned, seed=seed)
            tunings[name, seed] = (data, task, training, bodies[name, seed])
    found = run_jobs(train_network, tunings, title="fine-tunings", **run)
    return {name: tuple(found[name, seed] for seed in seeds) for name in ("scratch", *pretraining)}


def pretrain_body(jets: Batch, config: PETv2Config, training: TrainConfig) -> dict[str, Tensor]:
    """Train class and generation together on 95 % of the jets; return the best weights of the body."""
    torch.manual_seed(training.seed)
    model = PETv2(config).to(default_device())
    rows = torch.arange(len(jets))
    n_held_out = max(1, len(jets) // 20)
    train, validation = (select(jets, part) for part in (rows[n_held_out:], rows[:n_held_out]))
    Trainer(model, FlowPretraining(), train, validation, training).fit()
    return {name: value.detach().cpu() for name, value in model.body.state_dict().items()}


def _config(settings: ClassStudySettings, mode: str, n_classes: int) -> PETv2Config:
    changes = {"mode": mode, "n_classes": n_classes}
    if mode == "classifier":
        changes["feature_drop"] = 0.0
    return PETv2Config.named(settings.size, **{**settings.base, **changes})
