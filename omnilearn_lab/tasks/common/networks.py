"""Which network a task trains, and from which weights: one factory for PET, PET v2 and the baselines."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from omnilearn_lab import models
from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.features import pet_batch, pet_v2_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import Batch, PETv2, load_checkpoint, load_published, read_card
from omnilearn_lab.settings import settings
from omnilearn_lab.training import TrainConfig

__all__ = [
    "NETWORKS",
    "ClassifierSettings",
    "complete_batch",
    "describe_checkpoint",
    "load_classifier",
    "make_model",
    "network_batch",
    "network_of",
]

NETWORKS: dict[str, str] = {
    "pet": "PET",
    "pet_v2": "PETv2",
    "pfn": "PFN",
    "particle_net": "ParticleNet",
    "transformer": "PlainTransformer",
}
"""Name of each network, and its class in `omnilearn_lab.models`."""

_N_SPECIES = 9


@settings
class ClassifierSettings:
    """Which network to train and how.

    Parameters
    ----------
    n_classes
    init
        "scratch", or the name or path of a checkpoint whose body to start from.
    size
        Named size of a network trained from scratch.
    training : TrainConfig
        Its ``seed`` also fixes the initial weights.
    network
        A key of `NETWORKS`, for training from scratch; a checkpoint knows its own.
    like
        From scratch: take the sizes of this checkpoint instead of ``network`` and ``size``.
    n_train
        Use only the first jets of the training set; None uses all.
    signal_efficiencies
        Where background rejections are measured.

    Raises
    ------
    ConfigError
        For an unknown network or no training jets.
    """

    n_classes: int
    init: str = "scratch"
    size: str = "tiny"
    training: TrainConfig = TrainConfig()
    network: str = "pet"
    like: str = ""
    n_train: int | None = None
    signal_efficiencies: tuple[float, ...] = (0.5, 0.3)

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ConfigError(f"there is no network '{self.network}'; {nearest(self.network, NETWORKS)}")
        if self.n_train is not None and self.n_train < 1:
            raise ConfigError(f"n_train is {self.n_train}; at least one jet is needed")

    @property
    def inputs(self) -> str:
        """The kind of batch the network reads: "pet" or "pet_v2"."""
        source = self.like if self.init == "scratch" else self.init
        return "pet_v2" if (network_of(source) if source else self.network) == "pet_v2" else "pet"


def make_model(settings: ClassifierSettings) -> nn.Module:
    """Return the network to train: new weights from the seed, or a checkpoint's with new heads.

    Published weights (``.h5``, ``.pt``) are read as well as ours.

    Examples
    --------
    >>> type(make_model(ClassifierSettings(2, network="pet_v2"))).__name__
    'PETv2'
    """
    torch.manual_seed(settings.training.seed)
    if settings.init != "scratch":
        return load_classifier(settings.init, n_classes=settings.n_classes)
    if settings.like:
        like = load_classifier(settings.like, n_classes=settings.n_classes)
        torch.manual_seed(settings.training.seed)
        return type(like)(like.config)
    name = NETWORKS[settings.network]
    inputs = {"n_species": _N_SPECIES} if settings.network == "pet_v2" else {}
    config = getattr(models, f"{name}Config").named(settings.size, n_classes=settings.n_classes, **inputs)
    return getattr(models, name)(config)


def load_classifier(source: str, *, n_classes: int) -> nn.Module:
    """Return a pretrained network with heads for ``n_classes``; PET v2 without its generator.

    Parameters
    ----------
    source
        Name or path of a checkpoint of ours, or a published file.
    n_classes

    Raises
    ------
    CheckpointError
        When the file is missing or does not fit.
    """
    read = load_published if _is_published(source) else load_checkpoint
    model = read(source, n_classes=n_classes)
    return _classifier_only(model) if isinstance(model, PETv2) else model


def network_of(source: str) -> str:
    """Return the network of a checkpoint, a key of `NETWORKS`.

    Examples
    --------
    >>> network_of("tiny"), network_of("best_model_pretrain_s.pt")
    ('pet', 'pet_v2')
    """
    if _is_published(source):
        return "pet_v2" if source.endswith(".pt") else "pet"
    name = read_card(source)["model"]
    known = {class_name: key for key, class_name in NETWORKS.items()} | {"PublishedPET": "pet"}
    if name not in known:
        raise ConfigError(f"'{source}' holds a {name}, which cannot classify jets; {nearest(name, known)}")
    return known[name]


def network_batch(
    jets: Jets,
    *,
    inputs: str = "pet",
    use_pid: bool = True,
    use_extra: bool = False,
    standardization: str = "jetclass",
) -> Batch:
    """Return jets as a batch for the networks that read ``inputs``.

    Parameters
    ----------
    jets : Jets
    inputs : {"pet", "pet_v2"}
        PET and the baselines share one kind of input.
    use_pid, use_extra, standardization
        As for `omnilearn_lab.features.pet_batch` and ``pet_v2_batch``.
    """
    if inputs == "pet_v2":
        return pet_v2_batch(jets, use_pid=use_pid, use_extra=use_extra)
    return pet_batch(jets, use_pid=use_pid, standardization=standardization)


def complete_batch(batch: Batch, model: nn.Module) -> Batch:
    """Give a PET v2 "unknown" (zero) for species or additional columns that these jets do not have."""
    if not isinstance(model, PETv2):
        return batch
    n_rows, config = len(batch.features), model.config
    if config.n_species and batch.pid is None:
        batch = batch.replace(pid=torch.zeros(1, dtype=torch.int64).expand(n_rows))
    if config.n_extra and batch.extra is None:
        batch = batch.replace(extra=torch.zeros(1, config.n_extra).expand(n_rows, -1))
    return batch


def describe_checkpoint(source: str) -> str:
    """Return one sentence on what a checkpoint was pretrained on; published weights carry no card.

    Examples
    --------
    >>> describe_checkpoint("OmniLearn.weights.h5")
    'published weights OmniLearn.weights.h5: see the paper for how they were trained'
    """
    if _is_published(source):
        return f"published weights {source}: see the paper for how they were trained"
    card = read_card(source)
    data, held_out = card["data"], card["held_out"]
    return (
        f"{data['n_train']:,} {data['provenance']['source']} jets of {len(data['class_names'])} classes, "
        f"{data['jets_seen']:,} seen; held-out accuracy {held_out['accuracy']:.3f}, "
        f"AUC (one vs one) {held_out['auc_one_vs_one']:.3f}"
    )


def _classifier_only(model: PETv2) -> PETv2:
    """The same body and classifier, without time token and generator, and with no input dropped."""
    changes = {"mode": "classifier", "n_particle_classes": 0, "feature_drop": 0.0}
    fresh = PETv2(replace(model.config, **changes))
    own, trained = fresh.state_dict(), model.state_dict()
    fresh.load_state_dict({name: trained.get(name, value) for name, value in own.items()})
    return fresh


def _is_published(source: str) -> bool:
    return source.endswith((".h5", ".pt"))
