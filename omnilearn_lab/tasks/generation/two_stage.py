"""Generate whole jets in two stages: their kinematics and multiplicity first, then their particles."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from omnilearn_lab.errors import CheckpointError, ConfigError, JetsError, TrainingError, translated
from omnilearn_lab.features import STANDARDIZATIONS, pet_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import (
    PET,
    Batch,
    JetGenerator,
    JetGeneratorConfig,
    SamplerConfig,
    load_checkpoint,
    read_card,
    save_checkpoint,
)
from omnilearn_lab.models.diffusion import sample_jets
from omnilearn_lab.settings import from_mapping, settings, to_mapping
from omnilearn_lab.tasks.common.networks import ClassifierSettings, make_model
from omnilearn_lab.tasks.generation.kinematics import (
    JetDomain,
    KinematicsGeneration,
    bare_jets,
    jet_batch,
    labelled,
)
from omnilearn_lab.tasks.generation.trajectory import generate_like
from omnilearn_lab.training import Generation, History, Run, TrainConfig, Trainer, default_device

_STAGES = ("kinematics", "particles")
_APART = 7_919  # seeds of the two stages, so that they do not share their noise


@settings
class JetGenerationConfig:
    """How to train and to sample the two networks.

    Parameters
    ----------
    checkpoint
        Pretrained PET to start the particles from.
    from_scratch
        Take only the sizes of the checkpoint.
    standardization
        A key of `omnilearn_lab.features.STANDARDIZATIONS`.
    particles, kinematics : TrainConfig
        Of the PET and of the small network for jet kinematics.
    kinematics_width
        Channels of the small network; 128 is the paper's.
    sampler, kinematics_sampler : SamplerConfig
    validation_fraction
        Part of the jets set aside when no validation jets are given.

    """

    checkpoint: str = "tiny"
    from_scratch: bool = False
    standardization: Literal[(*STANDARDIZATIONS,)] = "jetclass"  # type: ignore[valid-type]
    particles: TrainConfig = field(default_factory=lambda: TrainConfig(learning_rate=5e-4, ema_decay=0.999))
    kinematics: TrainConfig = field(
        default_factory=lambda: TrainConfig(50, learning_rate=1e-3, ema_decay=0.999, validations_per_epoch=1)
    )
    kinematics_width: Annotated[int, Field(gt=0)] = 128
    sampler: SamplerConfig = SamplerConfig(n_steps=8)
    kinematics_sampler: SamplerConfig = SamplerConfig(n_steps=32)
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1


class JetGeneration:
    """A generator of jets: learn from jets, then sample new ones, by class.

    Parameters
    ----------
    config : JetGenerationConfig, optional
    directory
        Keep the two trainings there; an interrupted `fit` goes on where it was.

    Attributes
    ----------
    domain : JetDomain
    kinematics : JetGenerator
    particles : PET
    histories : dict of History
        Of the trainings "kinematics" and "particles".

    References
    ----------
    OmniLearn, arXiv:2404.16091, section V (jet generation).

    Examples
    --------
    >>> from omnilearn_lab.jets import Jets
    >>> jet = {"pt": [500.0] * 8, "eta": [0.0] * 8, "phi": [0.0] * 8, "mass": [50.0] * 8, "label": [0] * 8}
    >>> cloud = {"deta": [0.1, -0.2] * 8, "dphi": [0.0, 0.1] * 8, "pt": [300.0, 200.0] * 8}
    >>> jets = Jets.build(cloud | {"energy": cloud["pt"]}, range(0, 17, 2), jet, class_names=("QCD",))
    >>> short = TrainConfig(epochs=1, batch_size=4)
    >>> config = JetGenerationConfig(particles=short, kinematics=short, sampler=SamplerConfig(1))
    >>> JetGeneration(config).fit(jets).sample(3, label="QCD").counts.tolist()
    [2, 2, 2]
    """

    def __init__(
        self, config: JetGenerationConfig | None = None, *, directory: str | os.PathLike[str] | None = None
    ) -> None:
        self.config = config or JetGenerationConfig()
        self.directory = None if directory is None else Path(directory)
        self.domain: JetDomain | None = None
        self.kinematics: JetGenerator | None = None
        self.particles: PET | None = None
        self.histories: dict[str, History] = {}

    def fit(
        self,
        jets: Jets,
        validation: Jets | None = None,
        *,
        on_record: Callable[[dict[str, Any]], None] | None = None,
    ) -> JetGeneration:
        """Train both stages.

        Parameters
        ----------
        jets : Jets
            Without labels they are one class.
        validation : Jets, optional
            To choose the best weights; by default a part of ``jets``.
        on_record
            Called with every new record of a history.

        Returns
        -------
        JetGeneration
            This object.

        Raises
        ------
        JetsError
            For no jets, a class without jets, or weights.
        """
        if validation is None:
            jets, validation = self._split(jets)
        self.fit_kinematics(jets, validation, on_record=on_record)
        return self.fit_particles(jets, validation, on_record=on_record)

    def fit_kinematics(
        self,
        jets: Jets,
        validation: Jets,
        *,
        on_record: Callable[[dict[str, Any]], None] | None = None,
    ) -> JetGeneration:
        """Train the first stage only: jet pt, eta, mass and multiplicity, given the class."""
        jets, validation = labelled(jets), labelled(validation)
        self.domain = JetDomain.of(jets)
        torch.manual_seed(self.config.kinematics.seed)
        sizes = JetGeneratorConfig(n_classes=len(self.domain.class_names), width=self.config.kinematics_width)
        model = JetGenerator(sizes).to(default_device())
        batches = (jet_batch(part, self.domain) for part in (jets, validation))
        self._train("kinematics", (model, KinematicsGeneration()), *batches, on_record)
        self.kinematics = model.eval()
        return self

    def fit_particles(
        self,
        jets: Jets,
        validation: Jets,
        *,
        on_record: Callable[[dict[str, Any]], None] | None = None,
    ) -> JetGeneration:
        """Train the second stage only: the particles, given jet and class; enough for `sample_like`."""
        jets, validation = labelled(jets), labelled(validation)
        self.domain = self.domain or JetDomain.of(jets)
        config = self.config
        start = {"like": config.checkpoint} if config.from_scratch else {"init": config.checkpoint}
        model = make_model(
            ClassifierSettings(len(self.domain.class_names), training=config.particles, **start)
        )
        if not isinstance(model, PET):
            raise ConfigError(f"'{config.checkpoint}' holds a {type(model).__name__}; generation needs a PET")
        model.to(default_device())
        batches = (pet_batch(p, standardization=config.standardization) for p in (jets, validation))
        self._train("particles", (model, Generation()), *batches, on_record)
        self.particles = model.eval()
        return self

    def sample(
        self,
        n: int,
        *,
        label: str | int | Sequence[int] | None = None,
        seed: int | None = None,
        sampler: SamplerConfig | None = None,
    ) -> Jets:
        """Generate jets from nothing but their class.

        Parameters
        ----------
        n
            Number of jets.
        label
            A class name or number for all jets, or one number per jet; by default classes are drawn as
            often as in the training jets.
        seed
            Of all noise; the sampler's by default.
        sampler : SamplerConfig, optional
            Instead of the configured one.

        Returns
        -------
        Jets
            The jet columns are those of the first stage; particles are relative to them.

        Raises
        ------
        ConfigError
            For n below one or an unknown class.
        TrainingError
            Before `fit`.
        """
        sampler = self._sampler(seed, sampler)
        return self.sample_like(self.sample_kinematics(n, label=label, seed=sampler.seed), sampler=sampler)

    def sample_kinematics(
        self, n: int, *, label: str | int | Sequence[int] | None = None, seed: int | None = None
    ) -> Jets:
        """Generate the first stage only: jets whose particles are equal parts along the axis.

        Parameters
        ----------
        n, label, seed
            As for `sample`.
        """
        model, domain = self._fitted("kinematics"), self.domain
        seed = self.config.kinematics_sampler.seed if seed is None else seed
        labels = domain.labels(n, label, seed)
        config = replace(self.config.kinematics_sampler, seed=seed + _APART)
        device = next(model.parameters()).device
        made = sample_jets(model, torch.from_numpy(labels).to(device), config=config).cpu().numpy()
        phi = np.random.default_rng(seed).uniform(-np.pi, np.pi, n)
        return bare_jets(domain.restore(made), labels, phi, domain.class_names)

    def sample_like(
        self, jets: Jets, *, seed: int | None = None, sampler: SamplerConfig | None = None
    ) -> Jets:
        """Generate one jet for each given jet, with its kinematics, multiplicity and class.

        With true jets this is the paper's "ideal" variant.

        Parameters
        ----------
        jets : Jets
            Condition; their particles are not looked at.
        seed, sampler
            As for `sample`.

        Returns
        -------
        Jets
            In the order of ``jets``, which give the jet columns.
        """
        model = self._fitted("particles")
        jets = labelled(jets)
        if jets.class_names and jets.class_names != self.domain.class_names:
            raise ConfigError(f"jets of the classes {jets.class_names}; trained on {self.domain.class_names}")
        sampler = self._sampler(seed, sampler)
        scale = self.config.standardization
        return generate_like(model, jets, config=sampler, standardization=scale, keep_jet=True)

    def with_config(
        self, config: JetGenerationConfig, *, directory: str | os.PathLike[str] | None = None
    ) -> JetGeneration:
        """Return a generator with another configuration and the same networks."""
        other = JetGeneration(config, directory=directory)
        other.domain, other.histories = self.domain, dict(self.histories)
        other.kinematics, other.particles = copy.deepcopy(self.kinematics), copy.deepcopy(self.particles)
        return other

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write both networks with their cards into a folder, for `load`."""
        card = {"settings": to_mapping(self.config), "domain": to_mapping(self._domain())}
        for stage in _STAGES:
            save_checkpoint(self._fitted(stage), Path(directory) / f"{stage}.safetensors", card)
        return Path(directory)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> JetGeneration:
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            When a file is missing or damaged.
        """
        paths = {stage: Path(directory) / f"{stage}.safetensors" for stage in _STAGES}
        with translated(CheckpointError, f"'{directory}' holds no generator", "save it again"):
            card = read_card(paths["particles"])
            made = cls(from_mapping(JetGenerationConfig, card["settings"]))
            made.domain = from_mapping(JetDomain, card["domain"])
            made.kinematics, made.particles = (
                load_checkpoint(paths[s]).to(default_device()) for s in _STAGES
            )
        return made

    def _train(
        self,
        stage: str,
        task: tuple[nn.Module, Any],
        train: Batch,
        validation: Batch,
        on_record: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        settings = getattr(self.config, stage)
        about = to_mapping(self.config) | {"stage": stage, "domain": to_mapping(self.domain)}
        run = None if self.directory is None else Run(self.directory / stage, about)
        model, objective = task
        self.histories[stage] = Trainer(model, objective, train, validation, settings, run).fit(on_record)

    def _split(self, jets: Jets) -> tuple[Jets, Jets]:
        n_validation = round(self.config.validation_fraction * len(jets))
        if not 0 < n_validation < len(jets):
            raise JetsError(f"{len(jets)} jets cannot be split into training and validation; give more")
        mixed = jets.shuffle(self.config.particles.seed)
        return mixed[n_validation:], mixed[:n_validation]

    def _sampler(self, seed: int | None, sampler: SamplerConfig | None) -> SamplerConfig:
        sampler = sampler or self.config.sampler
        return sampler if seed is None else replace(sampler, seed=seed)

    def _domain(self) -> JetDomain:
        if self.domain is None:
            raise TrainingError("this generator has not learned anything yet; call fit(jets) first")
        return self.domain

    def _fitted(self, stage: str) -> nn.Module:
        self._domain()
        model = getattr(self, stage)
        if model is None:
            raise TrainingError(f"the stage '{stage}' is not trained; call fit, or fit_{stage}")
        return model


def generate(
    jets: Jets,
    n: int,
    *,
    label: str | int | Sequence[int] | None = None,
    config: JetGenerationConfig | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> Jets:
    """Learn from jets and generate new ones: `JetGeneration` in one call.

    Parameters
    ----------
    jets : Jets
        To learn from.
    n, label
        As for `JetGeneration.sample`.
    config : JetGenerationConfig, optional
    directory
        Keep the training and the networks there; a second call trains no more.

    Returns
    -------
    Jets
    """
    generator = JetGeneration(config, directory=directory).fit(jets)
    if directory is not None:
        generator.save(directory)
    return generator.sample(n, label=label)
