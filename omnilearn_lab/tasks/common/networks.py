"""Which network, which weights, which inputs: the one place where a task chooses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import Tensor, nn

from omnilearn_lab import models
from omnilearn_lab.errors import CheckpointError, ConfigError, is_file, nearest, translated
from omnilearn_lab.features import pet_batch, pet_v2_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath, run_jobs, usable_workers
from omnilearn_lab.models import baselines
from omnilearn_lab.models.layers import Codebook
from omnilearn_lab.models.sizes import check_tensors, fitting
from omnilearn_lab.settings import from_mapping, read_settings, settings
from omnilearn_lab.tasks.common.comparison import Arm
from omnilearn_lab.training import TrainConfig, default_device, embed_jets

NETWORKS: dict[str, tuple[type[nn.Module], Any]] = {
    "pet": (models.PET, models.PETConfig),
    "pet_v2": (models.PETv2, models.PETv2Config),
    "pfn": (baselines.PFN, baselines.PFNConfig),
    "particle_net": (baselines.ParticleNet, baselines.ParticleNetConfig),
    "transformer": (baselines.PlainTransformer, baselines.PlainTransformerConfig),
    "track_transformer": (baselines.TrackTransformer, baselines.TrackTransformerConfig),
}
"""Name of each network, its class, and the class of its configuration.

A `omnilearn_lab.models.baselines.TokenTransformer` comes from a checkpoint alone, as it needs a codebook.
"""

_N_SPECIES = 9
_READ_PET_V2 = ("pet_v2", "track_transformer", "tokens")


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
    changes : mapping
        Fields of the network's configuration that differ from its named size or checkpoint.
    """

    n_classes: Annotated[int, Field(gt=0)]
    init: str = "scratch"
    size: str = "tiny"
    training: TrainConfig = TrainConfig()
    network: Literal[tuple(NETWORKS)] = "pet"
    like: str = ""
    n_train: Annotated[int, Field(gt=0)] | None = None
    signal_efficiencies: tuple[float, ...] = (0.5, 0.3)
    changes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, arm: Arm, n_classes: int, **measured: Any) -> ClassifierSettings:
        """Return the settings of a classifier that starts and trains as one arm of a comparison."""
        return cls(n_classes, arm.init, training=arm.training, like=arm.like, **measured)

    def with_seed(self, seed: int) -> ClassifierSettings:
        """Return the same settings with another seed."""
        return replace(self, training=replace(self.training, seed=seed))

    @property
    def inputs(self) -> str:
        """The kind of batch the network reads: "pet" or "pet_v2"."""
        source = self.like if self.init == "scratch" else self.init
        return inputs_of(source) if source else _inputs(self.network)


def make_model(settings: ClassifierSettings) -> nn.Module:
    """Return the network to train: new weights from the seed, or a checkpoint's with new heads.

    Published weights (``.h5``, ``.pt``) are read as well as ours. Where settings change the configuration of
    a checkpoint's network, what fits of its weights is kept and the rest starts anew.

    Examples
    --------
    >>> type(make_model(ClassifierSettings(2, network="pet_v2"))).__name__
    'PETv2'
    """
    seed, source = settings.training.seed, settings.init if settings.init != "scratch" else settings.like
    torch.manual_seed(seed)
    if not source:
        cls, config_class = NETWORKS[settings.network]
        inputs = {"n_species": _N_SPECIES} if settings.network == "pet_v2" else {}
        changes = {**inputs, **settings.changes}
        return cls(config_class.named(settings.size, n_classes=settings.n_classes, **changes))
    trained = load_classifier(source, n_classes=settings.n_classes)
    if settings.init != "scratch" and not settings.changes:
        return trained
    torch.manual_seed(seed)
    model = type(trained)(replace(trained.config, **settings.changes))
    if settings.init != "scratch":
        copy_fitting(trained.state_dict(), model)
    elif isinstance(model, baselines.TokenTransformer):
        model.codebook.load_state_dict(trained.codebook.state_dict())  # not learned: the same words for all
    return model


_MOST_POINTS = 200_000  # particles that a codebook is made of


def fit_codebook(jets: models.Batch, n_codes: int, *, seed: int = 1) -> Tensor:
    """Return the centres of k-means among the particles of jets, for `omnilearn_lab.models.layers.Codebook`.

    Parameters
    ----------
    jets : Batch
        Inputs of PET v2.
    n_codes
        Number of centres K.
    seed
        Of the particles that are taken and of the first centres.

    Returns
    -------
    Tensor, shape (K, 3)

    Raises
    ------
    ConfigError
        For fewer particles than codes.
    """
    from sklearn.cluster import MiniBatchKMeans

    points = Codebook.scaled(jets.features).numpy()
    if len(points) < n_codes:
        raise ConfigError(
            f"{n_codes} codes are asked of {len(points)} particles; give more jets or fewer codes"
        )
    chosen = np.random.default_rng(seed).permutation(len(points))[:_MOST_POINTS]
    means = MiniBatchKMeans(n_codes, batch_size=8192, n_init=1, max_iter=60, random_state=seed)
    return torch.from_numpy(means.fit(points[chosen]).cluster_centers_).float()


def copy_fitting(weights: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """Copy the weights that agree with a network's in name and shape into it; the rest of it stays.

    Parameters
    ----------
    weights : mapping of name to Tensor
        As of a ``state_dict``.
    model
        A network, or a part of one such as its body.

    Returns
    -------
    list of str
        Names of what was copied.

    Raises
    ------
    ConfigError
        When nothing agrees.
    """
    own = model.state_dict()
    copied = fitting(weights, own)
    if not copied:
        raise ConfigError("no weight of the pretrained network fits this one; use the same sizes for both")
    model.load_state_dict(own | copied)
    return list(copied)


def load_classifier(source: str, *, n_classes: int | None = None) -> nn.Module:
    """Return a pretrained network with heads for ``n_classes``; PET v2 without its generator.

    Parameters
    ----------
    source
        Name or path of a checkpoint of ours, or a published file.
    n_classes
        None keeps the classes of the pretraining.

    Raises
    ------
    CheckpointError
        When the file is missing or does not fit.
    """
    model = _read(source, **({} if n_classes is None else {"n_classes": n_classes}))
    return _classifier_only(model) if isinstance(model, models.PETv2) else model


def network_of(source: str) -> str:
    """Return the network of a checkpoint: a key of `NETWORKS`, or "tokens".

    Examples
    --------
    >>> network_of("tiny"), network_of("best_model_pretrain_s.pt")
    ('pet', 'pet_v2')
    """
    if _is_published(source):
        return "pet_v2" if source.endswith(".pt") else "pet"
    name = models.read_card(source)["model"]
    keys = {cls.__name__: key for key, (cls, _) in NETWORKS.items()}
    keys |= {"PublishedPET": "pet", "TokenTransformer": "tokens"}
    if name not in keys:
        raise ConfigError(f"'{source}' holds a {name}, which cannot classify jets; {nearest(name, keys)}")
    return keys[name]


def inputs_of(source: str) -> str:
    """Return the kind of batch that the network of a checkpoint reads, "pet" or "pet_v2".

    Examples
    --------
    >>> inputs_of("tiny"), inputs_of("v2_tiny")
    ('pet', 'pet_v2')
    """
    return _inputs(network_of(source))


def _inputs(network: str) -> str:
    return "pet_v2" if network in _READ_PET_V2 else "pet"


def network_batch(
    jets: Jets,
    *,
    inputs: str = "pet",
    use_pid: bool = True,
    use_extra: bool = False,
    standardization: str = "jetclass",
) -> models.Batch:
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


def complete_batch(batch: models.Batch, model: nn.Module) -> models.Batch:
    """Give a PET v2 "unknown" (zero) for species or additional columns that these jets do not have."""
    if not isinstance(model, models.PETv2):
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
    card = models.read_card(source)
    data, held_out = card["data"], card.get("held_out")
    text = (
        f"{data['n_train']:,} {data['provenance']['source']} jets of {len(data['class_names'])} classes, "
        f"{data['jets_seen']:,} seen"
    )
    text += f" and {before:,} before" if (before := data.get("jets_seen_before")) else ""
    if held_out is None:
        return f"{text}; it has not learned their classes"
    accuracy, auc = held_out["accuracy"], held_out["auc_one_vs_one"]
    return f"{text}; held-out accuracy {accuracy:.3f}, AUC (one vs one) {auc:.3f}"


def load_trained(directory: StrPath) -> nn.Module:
    """Return a trained classifier with its best weights, ready to be applied.

    Parameters
    ----------
    directory
        Run directory of `omnilearn_lab.tasks.common.train_classifier`, or of one training of
        `omnilearn_lab.tasks.common.compare_classifiers`, such as ``runs/finetuned-seed1``.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU.

    Raises
    ------
    CheckpointError
        When there is no such run, or it was not a classifier's.

    Examples
    --------
    >>> load_trained("no/such/run")
    Traceback (most recent call last):
    omnilearn_lab.errors.CheckpointError: 'no/such/run' holds no trained classifier: ...
    """
    folder = Path(directory)
    for name in ("config.yaml", "best.safetensors"):
        if not is_file(folder / name):
            raise CheckpointError(
                f"'{directory}' holds no trained classifier: {name} is missing; name a run directory"
            )
    about = read_settings(folder / "config.yaml")
    about.pop("objective", None)
    model = make_model(from_mapping(ClassifierSettings, about))
    what = f"the weights in '{directory}' do not fit its settings, or are damaged"
    with translated(CheckpointError, what, "train again in another directory"):
        tensors = load_file(folder / "best.safetensors")
        check_tensors(tensors, str(folder), expected=model.state_dict())
        model.load_state_dict(tensors)
    return model.eval()


def _classifier_only(model: models.PETv2) -> models.PETv2:
    """The same body and classifier, without time token and generator, and with no input dropped."""
    changes = {"mode": "classifier", "n_particle_classes": 0, "feature_drop": 0.0, "n_codes": 0}
    fresh = models.PETv2(replace(model.config, **changes))
    copy_fitting(model.state_dict(), fresh)
    return fresh


def _read(source: str, **options: Any) -> nn.Module:
    return (models.load_published if _is_published(source) else models.load_checkpoint)(source, **options)


def _is_published(source: str) -> bool:
    return source.endswith((".h5", ".pt"))


_FEWEST = 500  # jets for which a process of its own pays


def embed(
    jets: Jets, checkpoint: str = "tiny", *, use_pid: bool = True, workers: int | None = None
) -> np.ndarray:
    """Return the numbers that enter the last layer of a pretrained network, a row per jet.

    Whatever learns from tables learns from these in seconds: heads, reweighting, unfolding, weak supervision.

    Parameters
    ----------
    jets : Jets
        Labels and weights are not looked at.
    checkpoint
        Name or path of a checkpoint of ours, or a published file.
    use_pid
        Show the network the particle species.
    workers
        Processes; all usable cores by default.

    Returns
    -------
    float32 array, shape (N, d)
    """
    n_parts = min(workers or usable_workers(), max(len(jets) // _FEWEST, 1))
    parts = np.array_split(np.arange(len(jets)), n_parts)
    jobs = {i: (jets[rows], checkpoint, use_pid) for i, rows in enumerate(parts)}
    return np.concatenate(list(run_jobs(_embed, jobs, workers=workers, progress=False).values()))


def _embed(jets: Jets, checkpoint: str, use_pid: bool) -> np.ndarray:
    model = _read(checkpoint).to(default_device())
    batch = network_batch(jets, inputs=inputs_of(checkpoint), use_pid=use_pid)
    return embed_jets(model, complete_batch(batch.replace(label=None, weight=None), model))
