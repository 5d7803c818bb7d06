"""Flavour tagging: b, c and tau jets from displaced tracks, with the origin of tracks as a second task."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.models import PETv2, PETv2Config
from omnilearn_lab.models.baselines import TrackTransformer, TrackTransformerConfig
from omnilearn_lab.settings import settings, to_mapping
from omnilearn_lab.tasks.common.classification import predict
from omnilearn_lab.tasks.common.networks import load_classifier
from omnilearn_lab.tasks.flavour.inputs import CLASSES, FlavourData
from omnilearn_lab.training import (
    Classification,
    FlavourTagging,
    History,
    Run,
    TrainConfig,
    Trainer,
    default_device,
)

__all__ = [
    "FlavourProfile",
    "FlavourResult",
    "FlavourSettings",
    "compare_taggers",
    "make_tagger",
    "train_tagger",
]

N_ORIGINS = 8  # codes of the ATLAS files: 0 pile-up, 1 fake, 2 primary, 3 b, 4 b to c, 5 c, 6 tau, 7 other
N_CONDITION = 4
_NETWORKS = ("pet_v2", "track_transformer")


@settings
class FlavourSettings:
    """One tagger: which network, with which second task, from which weights.

    Parameters
    ----------
    network : {"pet_v2", "track_transformer"}
        The second is in the manner of GN2.
    size
        Named size of the network.
    origins
        Factor of the loss of the track origins; 0 trains without them.
    init
        "scratch", or a checkpoint of a PET v2 whose body to start from.
    training : TrainConfig

    Raises
    ------
    ConfigError
        For an unknown network, or pretrained weights for the baseline.
    """

    network: str = "pet_v2"
    size: str = "tiny"
    origins: float = 1.0
    init: str = "scratch"
    training: TrainConfig = TrainConfig()

    def __post_init__(self) -> None:
        if self.network not in _NETWORKS:
            raise ConfigError(f"no tagger '{self.network}'; {nearest(self.network, _NETWORKS)}")
        if self.init != "scratch" and self.network != "pet_v2":
            raise ConfigError(f"'{self.network}' has no pretrained weights: init must be 'scratch'")


@settings
class FlavourProfile:
    """Sizes and settings of the flavour-tagging notebook in one profile.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_train, n_validation, n_test
        Jets of each split.
    seeds
    size
        Named size of PET v2; the baseline has the same name of its own sizes.
    baseline_size
    checkpoint
        Where fine-tuning starts: a shipped name or a file.
    scratch, finetuned : TrainConfig
        Of both networks trained from scratch, and of fine-tuning.
    """

    source: str
    n_train: int
    n_validation: int
    n_test: int
    seeds: tuple[int, ...]
    size: str = "tiny"
    baseline_size: str = "tiny"
    checkpoint: str = "v2_tiny"
    scratch: TrainConfig = field(default_factory=TrainConfig)
    finetuned: TrainConfig = field(default_factory=TrainConfig)

    def taggers(self, *, has_checkpoint: bool) -> dict[str, FlavourSettings]:
        """Return the taggers to compare, by name."""
        ours = FlavourSettings("pet_v2", self.size, 1.0, "scratch", self.scratch)
        gn2 = FlavourSettings("track_transformer", self.baseline_size, 1.0, "scratch", self.scratch)
        tuned = replace(ours, init=self.checkpoint, training=self.finetuned)
        return {
            "PET v2": replace(ours, origins=0.0),
            "PET v2 + origins": ours,
            "GN2-like": replace(gn2, origins=0.0),
            "GN2-like + origins": gn2,
        } | ({"PET v2 fine-tuned + origins": tuned} if has_checkpoint else {})


@dataclass(frozen=True, eq=False)
class FlavourResult:
    """What one training gave.

    Parameters
    ----------
    history : History
    probabilities : array, shape (N, 4)
        Of light, c, b, tau, for the test jets.
    seconds
        Time of the training.
    n_loaded
        Tensors of the body that came from the checkpoint.
    """

    history: History
    probabilities: np.ndarray
    seconds: float
    n_loaded: int = 0


def make_tagger(settings: FlavourSettings, n_extra: int) -> tuple[nn.Module, int]:
    """Return a tagger of four classes and how many of its body's tensors come from a checkpoint.

    A fine-tuned network has the sizes of its checkpoint. What does not fit, the embedding of the further
    track numbers and the heads, starts anew, as in the published code.
    """
    torch.manual_seed(settings.training.seed)
    origins = N_ORIGINS if settings.origins else 0
    common = {"n_classes": len(CLASSES), "n_extra": n_extra, "n_condition": N_CONDITION}
    common["n_particle_classes"] = origins
    if settings.network == "track_transformer":
        return TrackTransformer(TrackTransformerConfig.named(settings.size, **common)), 0
    common["mode"] = "ftag" if origins else "classifier"
    if settings.init == "scratch":
        return PETv2(PETv2Config.named(settings.size, **common)), 0
    trained = load_classifier(settings.init, n_classes=len(CLASSES))
    if not isinstance(trained, PETv2):
        raise ConfigError(f"'{settings.init}' holds no PET v2; flavour tagging fine-tunes one")
    torch.manual_seed(settings.training.seed)
    model = PETv2(replace(trained.config, n_species=0, feature_drop=0.0, **common))
    return model, _take(model, trained)


def _take(model: nn.Module, trained: nn.Module) -> int:
    """Copy the tensors that have the same name and shape; return how many of the body's there are."""
    own, source = model.state_dict(), trained.state_dict()
    fitting = {n: value for n, value in source.items() if n in own and own[n].shape == value.shape}
    model.load_state_dict(own | fitting)
    return sum(name.startswith("body.") for name in fitting)


def train_tagger(
    data: FlavourData, settings: FlavourSettings, run_directory: str | None = None
) -> FlavourResult:
    """Train one tagger and apply it to the test jets.

    Parameters
    ----------
    data : FlavourData
    settings : FlavourSettings
    run_directory
        Keep metrics and checkpoints there, and go on from them when they exist.

    Raises
    ------
    ConfigError
        When origins are asked for and the jets have none.
    """
    if settings.origins and data.train.particle_label is None:
        raise ConfigError("these tracks have no 'origin': set origins=0, or load jets with track origins")
    model, n_loaded = make_tagger(settings, data.train.extra.shape[1])
    objective = FlavourTagging(tracks=settings.origins) if settings.origins else Classification(balance=True)
    run = Run(run_directory, to_mapping(settings)) if run_directory else None
    model = model.to(default_device())
    trainer = Trainer(model, objective, data.train, data.validation, settings.training, run)
    start = time.perf_counter()
    history = trainer.fit()
    seconds = time.perf_counter() - start
    return FlavourResult(history, predict(model, data.test), seconds, n_loaded)


def compare_taggers(
    data: FlavourData,
    taggers: Mapping[str, FlavourSettings],
    seeds: Sequence[int],
    *,
    workers: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> dict[str, tuple[FlavourResult, ...]]:
    """Train every tagger with every seed, side by side on a CPU.

    Parameters
    ----------
    data : FlavourData
    taggers : mapping of name to FlavourSettings
    seeds
    workers, directory, progress
        See `omnilearn_lab.tasks.common.train_many`.

    Returns
    -------
    dict of name to FlavourResult per seed
    """
    jobs = {
        (name, seed): (
            data,
            replace(settings, training=replace(settings.training, seed=seed)),
            None if directory is None else str(Path(directory) / f"{name}-seed{seed}"),
        )
        for seed in seeds
        for name, settings in taggers.items()
    }
    found = run_jobs(train_tagger, jobs, workers=workers, progress=progress)
    return {name: tuple(found[name, seed] for seed in seeds) for name in taggers}
