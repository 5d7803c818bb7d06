"""Jets from a generator of two stages: jet kinematics first, then their particles."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab import models
from omnilearn_lab.errors import CheckpointError, ConfigError, JetsError, TrainingError, nearest, translated
from omnilearn_lab.features import STANDARDIZATIONS, jet_features, jets_from_features, pet_batch, pet_v2_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath
from omnilearn_lab.models import sample
from omnilearn_lab.models.diffusion import denoising_path
from omnilearn_lab.models.dijet import perturb_jets, sample_jets
from omnilearn_lab.settings import from_mapping, settings, to_mapping
from omnilearn_lab.tasks.common.networks import ClassifierSettings, complete_batch, make_model
from omnilearn_lab.training import Generation, History, Run, TrainConfig, Trainer, default_device
from omnilearn_lab.training.trainer import OnRecord


def generate_like(
    model: models.PET,
    jets: Jets,
    *,
    config: models.SamplerConfig = models.SamplerConfig(),
    standardization: str = "jetclass",
    keep_jet: bool = False,
) -> Jets:
    """Generate one jet for each given jet, with its kinematics, multiplicity and class.

    This is the second stage of the papers' generation, and with true jets the variant they call "ideal";
    with jets from a `omnilearn_lab.models.JetGenerator` it is the full chain.

    Parameters
    ----------
    model : PET
        With the classes of ``jets``, when these have labels.
    jets : Jets
        Condition: jet pt, eta, mass, number of particles, label.
    config : SamplerConfig
        Solver, steps, seed, progress bar.
    standardization
        A key of `omnilearn_lab.features.STANDARDIZATIONS`.
    keep_jet
        Keep the given jets' pt, eta, phi and mass, with particles relative to them, as JetNet's metrics
        need; otherwise the jet is the sum of its generated particles.

    Returns
    -------
    Jets
        In the order of ``jets``; ``provenance`` holds solver, steps and seed.

    References
    ----------
    OmniLearn, arXiv:2404.16091, section V (jet generation).

    Examples
    --------
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> jet = {"pt": [600.0], "eta": [0.0], "phi": [0.0], "mass": [80.0], "label": [0]}
    >>> cloud = {"deta": [0.1, -0.2], "dphi": [0.0, 0.1], "pt": [400.0, 200.0], "energy": [400.0, 200.0]}
    >>> like = Jets.build(cloud, [0, 2], jet)
    >>> model = PET(PETConfig(width=8, n_layers=1, n_heads=2))
    >>> made = generate_like(model, like, config=models.SamplerConfig(2))
    >>> made.counts.tolist(), made.provenance["sampler"]
    ([2], 'ralston3, 2 steps, seed 0')
    """
    rows = generated_features(model, jets, config=config, standardization=standardization)
    generated = jets_from_features(rows, jets, standardization=standardization, keep_jet=keep_jet)
    about = {"source": "generated", "sampler": f"{config.method}, {config.n_steps} steps, seed {config.seed}"}
    return Jets(generated.particles, generated.offsets, generated.jet, generated.class_names, about)


def generated_features(
    model: models.PET, jets: Jets, *, config: models.SamplerConfig, standardization: str = "jetclass"
) -> np.ndarray:
    """Return the standardised features that `generate_like` makes jets of, shape (T, n_diffused)."""
    _check_fit(model, models.PET, jets)
    batch = pet_batch(jets, standardization=standardization)
    model.eval()
    told = models.JetInputs(torch.from_numpy(jets.counts), batch.jet, batch.label)
    made = sample(model, told, config=config)
    return made.particles.cpu().numpy()


def _check_fit(model: nn.Module, kind: type[nn.Module], jets: Jets) -> None:
    """Refuse a network of the other kind, and classes that it does not have."""
    if not isinstance(model, kind):
        raise ConfigError(
            f"generate_like takes a PET, generate_like_v2 a PETv2; this is a {type(model).__name__}"
        )
    n_classes = model.config.n_classes
    if n_classes > 1 and "label" in jets.jet and int(jets.label.max(initial=0)) >= n_classes:
        raise JetsError(
            f"these jets have a class {int(jets.label.max())}, and the network knows 0 to {n_classes - 1}: "
            "keep jets of its classes, or fine-tune it on these"
        )


class Trajectory(NamedTuple):
    """Jets on their way from noise to particles: times (S,), and the jets at each of them."""

    times: tuple[float, ...]
    jets: tuple[Jets, ...]

    def particles(self, index: int) -> np.ndarray:
        """Return deta, dphi, pt [GeV] of one jet at every time, shape (S, N, 3)."""
        one = [step[index].particles for step in self.jets]
        return np.array([np.stack([p[n] for n in ("deta", "dphi", "pt")], axis=1) for p in one])


def generation_trajectory(
    model: models.PET,
    jets: Jets,
    *,
    config: models.SamplerConfig = models.SamplerConfig(),
    standardization: str = "jetclass",
) -> Trajectory:
    """Generate jets like given ones and keep every step, for `omnilearn_lab.widgets.DiffusionPlayer`.

    Parameters
    ----------
    model : PET
    jets : Jets
        A few jets: condition, as for `generate_like`.
    config : SamplerConfig
        A Runge-Kutta method; ``guidance`` and ``batch_size`` are not used.
    standardization
        As for `generate_like`.

    Returns
    -------
    Trajectory
        ``n_steps + 1`` times from 1 to 0; the last jets are those of `generate_like`.

    Examples
    --------
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> jet = {"pt": [600.0], "eta": [0.0], "phi": [0.0], "mass": [80.0]}
    >>> cloud = {"deta": [0.1, -0.2], "dphi": [0.0, 0.1], "pt": [400.0, 200.0], "energy": [400.0, 200.0]}
    >>> model = PET(PETConfig(width=8, n_layers=1, n_heads=2))
    >>> path = generation_trajectory(model, Jets.build(cloud, [0, 2], jet), config=models.SamplerConfig(2))
    >>> path.times, path.particles(0).shape
    ((1.0, 0.5, 0.0), (3, 2, 3))
    """
    _check_fit(model, models.PET, jets)
    batch = pet_batch(jets, standardization=standardization).to(next(model.parameters()).device)
    model.eval()
    states = denoising_path(model, batch, config=config)
    steps = [
        jets_from_features(rows.cpu().numpy(), jets, standardization=standardization, keep_jet=True)
        for rows in states
    ]
    return Trajectory(tuple(i / config.n_steps for i in range(config.n_steps, -1, -1)), tuple(steps))


def generate_like_v2(
    model: models.PETv2, jets: Jets, *, config: models.SamplerConfig = models.SamplerConfig(127, "midpoint")
) -> Jets:
    """Generate one jet for each given jet with a PET v2: same number of particles, class and condition.

    Parameters
    ----------
    model : PETv2
        Of mode "generator" or "pretrain". A conditional one is told as many columns of ln pt, eta,
        ln(1 + mass) and multiplicity / 100 as it has, counted from the end.
    jets : Jets
        Condition, and jet axes that the generated particles are put around. A network that reads species or
        impact parameters is told those of these jets, or that they are unknown.
    config : SamplerConfig
        Solver, steps, seed, progress bar.

    Returns
    -------
    Jets
        pt and energy are exp of the generated logarithms; an energy below pt cosh(eta) is raised to it.

    References
    ----------
    OmniLearned, arXiv:2510.24066.

    Examples
    --------
    >>> from omnilearn_lab.models import PETv2, PETv2Config
    >>> jet = {"pt": [600.0], "eta": [0.0], "phi": [0.0], "mass": [80.0]}
    >>> cloud = {"deta": [0.1, -0.2], "dphi": [0.0, 0.1], "pt": [400.0, 200.0], "energy": [400.0, 200.0]}
    >>> model = PETv2(PETv2Config.named("tiny", mode="generator", n_classes=1))
    >>> like = Jets.build(cloud, [0, 2], jet)
    >>> generate_like_v2(model, like, config=models.SamplerConfig(1)).counts.tolist()
    [2]
    """
    _check_fit(model, models.PETv2, jets)
    model.eval()
    n_told, n_extra = model.config.n_condition, model.config.n_extra
    use_extra = n_extra == 4 and "d0" in jets.particles
    batch = complete_batch(pet_v2_batch(jets, use_extra=use_extra), model)
    condition = batch.condition[:, -n_told:] if n_told else None
    label = batch.label if model.config.n_classes > 1 else None
    pid = batch.pid if model.config.n_species else None
    told = models.JetInputs(
        torch.from_numpy(jets.counts), None, label, condition, pid, batch.extra if n_extra else None
    )
    rows = sample(model, told, config=config).particles.cpu().double().numpy()
    about = {"source": "generated", "sampler": f"{config.method}, {config.n_steps} steps, seed {config.seed}"}
    return assemble(rows, jets, about)


def assemble(rows: np.ndarray, like: Jets, provenance: dict[str, Any] | None = None) -> Jets:
    """Make jets of features as PET v2 reads them; the jet is the sum of its particles.

    Parameters
    ----------
    rows : array, shape (T, 4)
        deta, dphi, ln(pt / GeV) and ln(energy / GeV); an energy below pt cosh(eta) is raised to it.
    like : Jets
        Number of particles, axis and label of each jet.
    provenance
        Of the new jets; that of ``like`` when left out.
    """
    eta = rows[:, 0] + np.repeat(like.jet["eta"], like.counts)
    phi = rows[:, 1] + np.repeat(like.jet["phi"], like.counts)
    pt = np.exp(rows[:, 2])
    energy = np.maximum(np.exp(rows[:, 3]), pt * np.cosh(eta))
    momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=1)
    kept = {"label": like.label} if "label" in like.jet else {}
    about = dict(like.provenance) if provenance is None else provenance
    return Jets.from_four_momenta(
        momenta, like.offsets, jet=kept, class_names=like.class_names, provenance=about
    )


@settings
class JetDomain:
    """What jets a generator has seen.

    Parameters
    ----------
    class_names
    shares : tuple of float
        Part of each class in the training jets.
    low, high, mean, std : tuple of 4 float
        Of jet pt, eta, mass [GeV] and multiplicity. The network learns (x - mean) / std; generated values
        outside (low, high) are moved to these ends.
    """

    class_names: tuple[str, ...]
    shares: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, jets: Jets) -> JetDomain:
        """Learn the domain of labelled jets.

        Raises
        ------
        JetsError
            For no jets, a class without jets, or jets with weights that differ.
        """
        if len(jets) == 0:
            raise JetsError("there are no jets to learn from; check the selection")
        if np.ptp(jets.weight) > 0:
            raise JetsError(
                "these jets have weights, which generation does not use: draw jets by weight first"
            )
        names = jets.class_names or tuple(f"class {i}" for i in range(int(jets.label.max()) + 1))
        counts = np.bincount(jets.label, minlength=len(names))
        if (counts == 0).any():
            empty = [name for name, n in zip(names, counts, strict=True) if n == 0]
            raise JetsError(f"no jets of {empty} among {len(jets)}; add some, or leave the classes out")
        columns = jet_features(jets).astype(np.float64)
        std = columns.std(axis=0)
        std[std == 0] = 1.0
        numbers = (columns.min(axis=0), columns.max(axis=0), columns.mean(axis=0), std)
        shares = tuple((counts / len(jets)).tolist())
        return cls(tuple(names), shares, *(tuple(values.tolist()) for values in numbers))

    def standardize(self, jets: Jets) -> np.ndarray:
        """Return what the network learns of each jet, float32, shape (N, 4)."""
        return ((jet_features(jets) - np.array(self.mean)) / np.array(self.std)).astype(np.float32)

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Return jet pt, eta, mass and multiplicity of generated values: the inverse, within the domain."""
        return np.clip(values * np.array(self.std) + np.array(self.mean), self.low, self.high)

    def labels(self, n: int, label: str | int | Sequence[int] | None, seed: int) -> np.ndarray:
        """Return n class numbers: of one class, as given, or drawn with the shares of the training jets.

        Raises
        ------
        ConfigError
            For n below one, or a class that does not exist.
        """
        if n < 1:
            raise ConfigError(f"n is {n}; at least one jet must be asked for")
        if label is None:
            return np.random.default_rng(seed).choice(len(self.shares), size=n, p=self.shares)
        if isinstance(label, str):
            if label not in self.class_names:
                raise ConfigError(f"no class '{label}'; {nearest(label, self.class_names)}")
            return np.full(n, self.class_names.index(label))
        labels = np.full(n, label) if np.ndim(label) == 0 else np.asarray(label)
        if labels.shape != (n,) or labels.min() < 0 or labels.max() >= len(self.class_names):
            raise ConfigError(
                f"labels {label!r:.60} do not fit {n} jets of the classes 0 to {len(self.class_names) - 1} "
                f"({', '.join(self.class_names)})"
            )
        return labels


@dataclass(frozen=True)
class KinematicsGeneration:
    """Training objective of the first stage: mean squared error of the velocity of the jet features.

    References
    ----------
    OmniLearn, arXiv:2404.16091, section on jet generation.
    """

    def __call__(self, model: nn.Module, batch: models.Batch) -> dict[str, Tensor]:
        """Return the loss terms of a batch of jets."""
        time = torch.rand(len(batch), device=batch.jet.device)
        perturbed = perturb_jets(batch.jet, time)
        loss = functional.mse_loss(model.velocity(perturbed.jet, time, batch.label), perturbed.target)
        return {"generation": loss, "loss": loss}


def jet_batch(jets: Jets, domain: JetDomain) -> models.Batch:
    """Return what the first stage learns of labelled jets, which does not look at their particles."""
    return models.Batch(
        torch.zeros(len(jets), 1),
        torch.zeros(len(jets), 2),
        torch.arange(len(jets) + 1),
        torch.from_numpy(domain.standardize(jets)),
        label=torch.from_numpy(jets.label),
    )


def labelled(jets: Jets) -> Jets:
    """Return jets with labels; those without are one class."""
    return jets if "label" in jets.jet else jets.with_jet(label=np.zeros(len(jets), dtype=np.int64))


def bare_jets(columns: np.ndarray, labels: np.ndarray, phi: np.ndarray, class_names: tuple[str, ...]) -> Jets:
    """Jets with given pt, eta, mass and multiplicity, shape (n, 4); particles share the jet's pt equally."""
    pt, eta, mass, multiplicity = columns.T
    counts = np.maximum(np.rint(multiplicity), 1).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    part = np.repeat(pt / counts, counts)
    zeros = np.zeros(len(part))
    cloud = {"deta": zeros, "dphi": zeros, "pt": part, "energy": part * np.cosh(np.repeat(eta, counts))}
    jet = {"pt": pt, "eta": eta, "phi": phi, "mass": mass, "label": labels}
    return Jets.build(cloud, offsets, jet, class_names=class_names, provenance={"source": "generated"})


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
    particles: TrainConfig = TrainConfig(learning_rate=5e-4, ema_decay=0.999)
    kinematics: TrainConfig = TrainConfig(50, learning_rate=1e-3, ema_decay=0.999, validations_per_epoch=1)
    kinematics_width: Annotated[int, Field(gt=0)] = 128
    sampler: models.SamplerConfig = models.SamplerConfig(n_steps=8)
    kinematics_sampler: models.SamplerConfig = models.SamplerConfig(n_steps=32)
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
    >>> config = JetGenerationConfig(particles=short, kinematics=short, sampler=models.SamplerConfig(1))
    >>> JetGeneration(config).fit(jets).sample(3, label="QCD").counts.tolist()
    [2, 2, 2]
    """

    def __init__(
        self, config: JetGenerationConfig | None = None, *, directory: StrPath | None = None
    ) -> None:
        self.config = config or JetGenerationConfig()
        self.directory = None if directory is None else Path(directory)
        self.domain: JetDomain | None = None
        self.kinematics: models.JetGenerator | None = None
        self.particles: models.PET | None = None
        self.histories: dict[str, History] = {}

    def fit(
        self, jets: Jets, validation: Jets | None = None, *, on_record: OnRecord | None = None
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
        self, jets: Jets, validation: Jets, *, on_record: OnRecord | None = None
    ) -> JetGeneration:
        """Train the first stage only: jet pt, eta, mass and multiplicity, given the class."""
        jets, validation = labelled(jets), labelled(validation)
        self.domain = JetDomain.of(jets)
        torch.manual_seed(self.config.kinematics.seed)
        sizes = models.JetGeneratorConfig(
            n_classes=len(self.domain.class_names), width=self.config.kinematics_width
        )
        model = models.JetGenerator(sizes).to(default_device())
        batches = (jet_batch(part, self.domain) for part in (jets, validation))
        self._train("kinematics", (model, KinematicsGeneration()), *batches, on_record)
        self.kinematics = model.eval()
        return self

    def fit_particles(
        self, jets: Jets, validation: Jets, *, on_record: OnRecord | None = None
    ) -> JetGeneration:
        """Train the second stage only: the particles, given jet and class; enough for `sample_like`."""
        jets, validation = labelled(jets), labelled(validation)
        self.domain = self.domain or JetDomain.of(jets)
        config = self.config
        start = {"like": config.checkpoint} if config.from_scratch else {"init": config.checkpoint}
        model = make_model(
            ClassifierSettings(len(self.domain.class_names), training=config.particles, **start)
        )
        if not isinstance(model, models.PET):
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
        sampler: models.SamplerConfig | None = None,
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
        self, jets: Jets, *, seed: int | None = None, sampler: models.SamplerConfig | None = None
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

    def with_config(self, config: JetGenerationConfig, *, directory: StrPath | None = None) -> JetGeneration:
        """Return a generator with another configuration and the same networks."""
        other = JetGeneration(config, directory=directory)
        other.domain, other.histories = self.domain, dict(self.histories)
        other.kinematics, other.particles = copy.deepcopy(self.kinematics), copy.deepcopy(self.particles)
        return other

    def save(self, directory: StrPath) -> Path:
        """Write both networks with their cards into a folder, for `load`."""
        card = {"settings": to_mapping(self.config), "domain": to_mapping(self._domain())}
        for stage in _STAGES:
            models.save_checkpoint(self._fitted(stage), Path(directory) / f"{stage}.safetensors", card)
        return Path(directory)

    @classmethod
    def load(cls, directory: StrPath) -> JetGeneration:
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            When a file is missing or damaged.
        """
        paths = {stage: Path(directory) / f"{stage}.safetensors" for stage in _STAGES}
        with translated(CheckpointError, f"'{directory}' holds no generator", "save it again"):
            card = models.read_card(paths["particles"])
            made = cls(from_mapping(JetGenerationConfig, card["settings"]))
            made.domain = from_mapping(JetDomain, card["domain"])
            made.kinematics, made.particles = (
                models.load_checkpoint(paths[s]).to(default_device()) for s in _STAGES
            )
        return made

    def _train(
        self,
        stage: str,
        task: tuple[nn.Module, Any],
        train: models.Batch,
        validation: models.Batch,
        on_record: OnRecord | None,
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

    def _sampler(self, seed: int | None, sampler: models.SamplerConfig | None) -> models.SamplerConfig:
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
    directory: StrPath | None = None,
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
