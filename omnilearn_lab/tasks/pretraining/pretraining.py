"""Pretraining: the jets, the joint loss of the papers, and the checkpoint with its card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
import torch
from pydantic import Field
from torch import nn

from omnilearn_lab.catalog import catalog, load, open_store
from omnilearn_lab.catalog.load import CONVERTED, SimulatedSet
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets, read_jets
from omnilearn_lab.machine import StrPath, locked, make_folder, write_text
from omnilearn_lab.models import PET, Batch, PETConfig, PETv2, PETv2Config, read_card, save_checkpoint
from omnilearn_lab.models.baselines import TokenTransformer, TokenTransformerConfig
from omnilearn_lab.models.checkpoints import assign, load_checkpoint
from omnilearn_lab.models.layers import Codebook
from omnilearn_lab.settings import settings, to_mapping
from omnilearn_lab.tasks import common
from omnilearn_lab.tasks.common.networks import fit_codebook
from omnilearn_lab.tasks.pretraining.evidence import measured
from omnilearn_lab.training import Shard, StreamConfig, StreamingBatches, TrainConfig, Trainer, default_device
from omnilearn_lab.training.distributed import agree, process_group, processes_here, this_shard
from omnilearn_lab.training.losses import FlowPretraining, JointPretraining, NextToken, Objective
from omnilearn_lab.training.runs import LaunchedRun, Run, describe_environment, launch
from omnilearn_lab.training.trainer import OnRecord

Streaming = Literal["auto", "always", "never"]
"""When training jets are streamed from files: when they do not fit into memory, or always, or never."""

_BYTES_PER_JET = 16_000  # measured: 5.2 GB for 325,000 JetClass jets of 40 particles and their inputs
_SHARE_OF_MEMORY = 0.5


@dataclass(frozen=True, eq=False)
class PretrainingData:
    """Training jets, or the files that hold them, and jets for validation and for the final measurement.

    Parameters
    ----------
    train : Jets or sequence of Path
    validation, test : Jets
    """

    train: Jets | Sequence[Path]
    validation: Jets
    test: Jets

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.validation.class_names

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the training jets come from."""
        first = self.train if isinstance(self.train, Jets) else read_jets(self.train[0], 0, 1)
        return first.provenance

    def inputs(
        self, transform: Callable[[Jets], Batch], batch_size: int, *, seed: int, shard: Shard
    ) -> Batch | StreamingBatches:
        """Return the training jets as a trainer takes them.

        Parameters
        ----------
        transform
            From jets to network inputs.
        batch_size
            Jets of an update, over all processes.
        seed
            Fixes the order of streamed jets.
        shard : Shard
            This process' share; streamed files are read by one process each, block by block.
        """
        if isinstance(self.train, Jets):
            return transform(self.train)
        own = shard.part(batch_size)
        config = StreamConfig(seed=seed, shard=shard)
        return StreamingBatches(self.train, own.stop - own.start, config, transform=transform)


def settled(config: PretrainConfig, directory: StrPath) -> PretrainConfig:
    """Return the settings with "auto" streaming decided once for a run: all its processes and starts agree.

    Free memory differs between processes and from day to day, and streamed jets come in another order. The
    first process to ask leaves its answer in ``streaming.txt`` of the run directory.

    Raises
    ------
    ConfigError
        As `load_pretraining_data`; then nothing is decided.
    """
    if config.streaming != "auto":
        return config
    path = Path(directory) / "streaming.txt"
    make_folder(path.parent)
    with locked(path):
        if not path.is_file():
            write_text(path, _way(config))
    return replace(config, streaming=path.read_text())


def load_pretraining_data(config: PretrainConfig) -> PretrainingData:
    """Load validation and test jets, and the training jets or the names of their files.

    Raises
    ------
    ConfigError
        When the training jets fit neither into memory nor lie in files that can be streamed.
    """
    way = _way(config) if config.streaming == "auto" else config.streaming
    if way == "never":
        return PretrainingData(*(config.load(split) for split in config.n_jets))
    if not config.files() and fits_in_memory(config.n_train):
        config.load("train")  # simulates and leaves a file
    return PretrainingData(_files(config), config.load("val"), config.load("test"))


def _way(config: PretrainConfig) -> str:
    if fits_in_memory(config.n_train):
        return "never"
    _files(config)
    return "always"


def _files(config: PretrainConfig) -> list[Path]:
    files = config.files()
    if not files:
        name, is_made = config.dataset, config.source != "published" and catalog()[config.dataset].recipe
        simulate = (
            f"omnilearn-lab data simulate {name} jets.h5 --n-jets {config.n_train} --seed {config.seed}"
        )
        raise ConfigError(
            f"{config.n_train:,} jets of '{name}' do not fit into memory and no ML-ready files hold them; "
            f"convert the published files (omnilearn-lab data convert {name}), "
            + (f"simulate them first ({simulate}), " if is_made else "")
            + "or use fewer jets"
        )
    return files


def fits_in_memory(n_jets: int, *, available: int | None = None) -> bool:
    """Whether the inputs of so many jets leave half of the memory free, in every process of this machine.

    Parameters
    ----------
    n_jets
    available
        Bytes; what the machine has by default.

    Examples
    --------
    >>> fits_in_memory(50_000, available=2_000_000_000), fits_in_memory(10**6, available=2_000_000_000)
    (True, False)
    """
    bytes_here = psutil.virtual_memory().available if available is None else available
    return n_jets * _BYTES_PER_JET * processes_here(os.environ) < _SHARE_OF_MEMORY * bytes_here


_PET = TrainConfig(
    epochs=2.5,
    batch_size=128,
    learning_rate=5e-4,
    warmup_epochs=0.1,
    ema_decay=0.999,
    precision="bf16",
    validations_per_epoch=5,
)
_ADAMW = {"learning_rate": 3e-3, "optimizer": "adamw", "betas": (0.9, 0.999), "weight_decay": 0.01}
_TRAINING = {
    "pet": _PET,
    "pet_v2": replace(_PET, epochs=2.0, betas=(0.95, 0.98), weight_decay=0.0),
    "tokens": replace(_PET, **_ADAMW),
}
_MODELS = {"pet": PET, "pet_v2": PETv2, "tokens": TokenTransformer}
_SIZES = {"pet": PETConfig, "pet_v2": PETv2Config, "tokens": TokenTransformerConfig}
_PAPERS = {"pet": "arXiv:2404.16091", "pet_v2": "arXiv:2510.24066", "tokens": "arXiv:2403.05618"}
_V2_INPUTS = {"n_species": 9, "n_extra": 4, "feature_drop": 0.2}


_TERMS = ("classification", "generation", "classification_noised", "masked", "next_token")
_Factor = Annotated[float, Field(ge=0)]


@settings
class Objectives:
    """What a pretraining asks for, and how much each term counts; 0 leaves a term and its head out.

    The class of the noised jet, where classification and generation meet, counts with the product of both.

    Parameters
    ----------
    classification, generation
        Factors of the class and of the velocity; 1 each is the joint loss of the papers.
    masked
        Factor of masked particle modelling, for PET v2: the codes of hidden particles.
    masked_share
        Share of a jet's particles that is hidden.
    n_codes
        Codes of a particle, from k-means on the training jets (the validation jets where those are streamed).

    Raises
    ------
    ConfigError
        When all factors are zero.

    References
    ----------
    arXiv:2606.14870 compares the three.
    """

    classification: _Factor = 1.0
    generation: _Factor = 1.0
    masked: _Factor = 0.0
    masked_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    n_codes: Annotated[int, Field(gt=0)] = 512

    def __post_init__(self) -> None:
        if not (self.classification or self.generation or self.masked):
            raise ConfigError("all factors are 0: classification, generation or masked must be positive")

    @property
    def network(self) -> dict[str, Any]:
        """Fields of a `PETv2Config`: the heads that are asked for."""
        modes = ["masked", "classifier", "generator", "pretrain"]
        mode = modes[(self.classification > 0) + 2 * (self.generation > 0)]
        return {"mode": mode, "n_codes": self.n_codes if self.masked else 0}


@settings
class PretrainConfig:
    """What to pretrain on, and how.

    Parameters
    ----------
    size
        Named size of the network.
    dataset, source
        An entry of the catalogue, and "auto", "simulated" or "published".
    n_train, n_validation, n_test
        Jets of each split.
    seed
        Seed of the data; the training has its own.
    training : TrainConfig, optional
        Left out, settings that suit the network: Lion with the papers' moments, and a learning rate ten
        times OmniLearned's, for trainings of ten thousand updates rather than half a million.
    network : {"pet", "pet_v2", "tokens"}
        "tokens" guesses the next particle, as OmniJet-alpha, with codes from k-means (`Objectives`).
        PET v2 reads species and impact parameters and drops each for one jet in five (twice the published
        rate), as it has fewer jets to learn to do without.
    streaming : {"auto", "always", "never"}
        Stream the training jets from ML-ready files (then all jets of the files count, whatever
        ``n_train``): when they do not fit into memory as the run starts for the first time, always, or never.
    initial
        A checkpoint to go on from, of the same network, size and classes; its jets are counted in the card.
        New weights, when left out.
    objectives : Objectives, optional
        Terms of the loss of PET and PET v2; left out, the joint loss of the papers.
    changes : mapping, optional
        Fields of the network's configuration that differ from its named size.
    max_particles
        Keep the hardest particles of each jet only; None keeps all.

    Raises
    ------
    ConfigError
        For objectives that the network does not have, an unknown network, size or way of streaming, and
        numbers outside their domain.

    Examples
    --------
    >>> PretrainConfig(network="pet_v2").training.betas
    (0.95, 0.98)
    """

    size: str = "tiny"
    dataset: str = "jetclass"
    source: str = "auto"
    n_train: Annotated[int, Field(gt=0)] = 300_000
    n_validation: Annotated[int, Field(gt=0)] = 5_000
    n_test: Annotated[int, Field(gt=0)] = 20_000
    seed: Annotated[int, Field(ge=0)] = 1
    training: TrainConfig | None = None
    network: Literal["pet", "pet_v2", "tokens"] = "pet"
    streaming: Streaming = "auto"
    initial: str | None = None
    objectives: Objectives | None = None
    changes: dict[str, Any] | None = None
    max_particles: Annotated[int, Field(gt=0)] | None = None

    def __post_init__(self) -> None:
        if self.training is None:
            object.__setattr__(self, "training", _TRAINING[self.network])
        _SIZES[self.network].named(self.size, **(self.changes or {}))
        asked = self.objectives or Objectives()
        if self.network != "pet_v2" and (asked.masked or self.network == "tokens" and self.objectives):
            only = "masked" if self.network == "pet" else "objectives"
            raise ConfigError(f"{only}: a pretraining of '{self.network}' has none; 'pet_v2' has all of them")

    @property
    def learns_classes(self) -> bool:
        """The network tells the classes of jets apart after the pretraining."""
        return self.network != "tokens" and (self.objectives or Objectives()).classification > 0

    @property
    def file_name(self) -> str:
        """Name of the checkpoint in the run directory."""
        return f"{self.network}_{self.size}.safetensors"

    @property
    def command(self) -> str:
        """The command that trains so; ``config.yaml`` of the run directory says what no option can."""
        usual = _TRAINING[self.network]
        training = replace(usual, epochs=self.training.epochs)
        plain = PretrainConfig(
            self.size, n_train=self.n_train, training=training, network=self.network, initial=self.initial
        )
        if plain != self:
            return "omnilearn-lab pretrain config.yaml"
        options = {"network": self.network, "size": self.size}
        options |= {"n-train": self.n_train} if self.n_train != PretrainConfig.n_train else {}
        options |= {"epochs": f"{training.epochs:g}"} if training != usual else {}
        options |= {"initial": self.initial} if self.initial else {}
        return " ".join(["omnilearn-lab pretrain", *(f"--{k} {v}" for k, v in options.items())])

    def model(self, n_classes: int) -> nn.Module:
        """Return a network whose weights come from the seed of the training, or from ``initial``.

        Raises
        ------
        CheckpointError
            When ``initial`` is another network, or of another size.
        """
        torch.manual_seed(self.training.seed)
        changes, asked = self.changes or {}, self.objectives or Objectives()
        if self.network == "pet_v2":
            changes = _V2_INPUTS | asked.network | changes
        model = _MODELS[self.network](_SIZES[self.network].named(self.size, n_classes=n_classes, **changes))
        if self.initial:
            assign(model, load_checkpoint(self.initial).state_dict(), self.initial)
        return model

    def objective(self) -> Objective:
        """Return the loss of the network's paper, with the factors that were asked for."""
        asked = self.objectives or Objectives()
        factors = {"classification": asked.classification, "generation": asked.generation}
        if self.network == "pet":
            return JointPretraining(**factors)
        if self.network == "tokens":
            return NextToken()
        return FlowPretraining(**factors, masked=asked.masked, masked_share=asked.masked_share)

    @property
    def n_jets(self) -> dict[str, int]:
        """Jets of each split."""
        return {"train": self.n_train, "val": self.n_validation, "test": self.n_test}

    def load(self, split: str) -> Jets:
        """Load or simulate the jets of a split."""
        return load(self.dataset, split, source=self.source, max_jets=self.n_jets[split], seed=self.seed)

    def files(self) -> list[Path]:
        """Return ML-ready files with the training jets: converted published ones, or the simulated set."""
        store = open_store()
        converted = store.find(f"{self.dataset}/{CONVERTED}/train")
        if converted is not None and self.source != "simulated":
            return sorted(converted.glob("*.h5"))
        recipe = catalog()[self.dataset].recipe
        if recipe is None or self.source == "published":
            return []
        wanted = SimulatedSet(str(recipe), "quick", "train", self.n_train, self.seed)
        made = store.find(wanted.file_name)
        return [made] if made is not None else []

    def inputs(self, jets: Jets) -> Batch:
        """Return jets as the network reads them."""
        inputs = "pet" if self.network == "pet" else "pet_v2"
        jets = jets if self.max_particles is None else jets.truncate(self.max_particles)
        return common.network_batch(jets, inputs=inputs, use_extra=self.network == "pet_v2")


def pretrain(config: PretrainConfig, directory: StrPath, *, on_record: OnRecord | None = None) -> Path:
    """Pretrain with the joint loss of the paper, and write the averaged weights as a checkpoint with card.

    Started by torchrun or srun, the processes share the jets of each update and the first one writes;
    see `launch_pretraining` for several processes from a notebook.

    Parameters
    ----------
    config : PretrainConfig
    directory
        Run directory; a pretraining that was stopped goes on from it.
    on_record
        Called with every new record of the history, in the first process.

    Returns
    -------
    Path
        ``<network>_<size>.safetensors`` in ``directory``, with its card ``.json`` beside it. There is none
        when a file named ``stop`` ended the training before its time.

    Raises
    ------
    TrainingError
        When another process is pretraining in this directory.

    References
    ----------
    OmniLearn, arXiv:2404.16091, section III; OmniLearned, arXiv:2510.24066.
    """
    path = Path(directory) / config.file_name
    data = load_pretraining_data(
        settled(config, directory)
    )  # before the processes meet: a simulation may take an hour
    with process_group():
        _train(config, data, path, on_record)
    return path


def launch_pretraining(
    config: PretrainConfig, directory: StrPath, *, n_processes: int | None = None
) -> LaunchedRun:
    """Pretrain in processes of their own: it goes on when the notebook is closed.

    Calling it again attaches to the training when it runs, and goes on with it when it was stopped or
    killed. Watch it with `omnilearn_lab.widgets.TrainingMonitor`.

    Parameters
    ----------
    config : PretrainConfig
        Written into the run directory, where the processes read it.
    directory
    n_processes
        One per GPU when left out, or one.

    Returns
    -------
    LaunchedRun
        With ``status``, ``stop()``, ``wait()`` and ``tail()``.

    Raises
    ------
    ConfigError
        When the directory holds a run with another configuration.
    """
    run = Run(directory, to_mapping(config))
    arguments = ["pretrain", str(run.directory / "config.yaml"), "--directory", str(run.directory)]
    processes = n_processes or max(1, torch.cuda.device_count())
    return launch(directory, "omnilearn_lab.cli", arguments, n_processes=processes)


def _train(config: PretrainConfig, data: PretrainingData, path: Path, on_record: OnRecord | None) -> None:
    """Train, and write the checkpoint in the first process; nothing of it stays in memory."""
    trainer = _trainer(config, data, path.parent)
    trainer.fit(on_record)
    if trainer.strategy.shard.is_main and trainer.is_complete:
        _write(config, data, trainer, path)


def _trainer(config: PretrainConfig, data: PretrainingData, directory: StrPath) -> Trainer:
    shard = this_shard()
    model = config.model(len(data.class_names)).to(default_device())
    size, seed = config.training.batch_size, config.training.seed
    train = data.inputs(config.inputs, size, seed=seed, shard=shard)
    validation = config.inputs(data.validation)
    for part in model.modules():
        if isinstance(part, Codebook) and not config.initial:
            jets = train if isinstance(train, Batch) else validation
            part.centers.copy_(fit_codebook(jets, len(part.centers), seed=config.seed))
    run = Run(directory, to_mapping(config)) if shard.is_main else None
    agree(True)  # the others look into the directory after the first one has made it
    run = run or Run(directory, to_mapping(config), is_writer=False)
    return Trainer(model, config.objective(), train, validation, config.training, run)


def _write(config: PretrainConfig, data: PretrainingData, trainer: Trainer, path: Path) -> None:
    """Measure the best weights and write them; in a network of one process, where weights are shared out."""
    model = trainer.model
    if trainer.strategy.is_sharded:
        model = config.model(len(data.class_names)).to(default_device())
        model.load_state_dict(trainer.best_weights)
    card, is_lossless = _card(config, data, trainer), False
    if config.learns_classes:
        test = data.test if config.max_particles is None else data.test.truncate(config.max_particles)
        card |= measured(model, test, config.network)
        is_lossless = card["half_precision"]["is_lossless"]
    save_checkpoint(model, path, card=json.loads(json.dumps(card)), half=is_lossless)


def _card(config: PretrainConfig, data: PretrainingData, trainer: Trainer) -> dict[str, Any]:
    before = read_card(config.initial) if config.initial else None
    return {
        "task": f"pretraining: {', '.join(name for name in trainer.history.records[-1] if name in _TERMS)}",
        "paper": _PAPERS[config.network],
        "made_with": config.command,
        "date": date.today().isoformat(),
        "settings": to_mapping(config),
        "data": {
            "provenance": dict(data.provenance),
            "class_names": list(data.class_names),
            "n_train": trainer.batches.n_jets,
            "jets_seen": trainer.history.records[-1]["jets"],
            "jets_seen_before": _jets_seen(before) if before else 0,
            "processes": this_shard().n_ranks,
        },
        "initial": before and {key: before.get(key) for key in ("made_with", "date", "sha256", "data")},
        "seconds": round(trainer.state.seconds, 1),
        "environment": describe_environment(),
        "history": [r for r in trainer.history.records if r["kind"] == "validation"],
    }


def _jets_seen(card: Mapping[str, Any]) -> int:
    """All jets that a checkpoint was trained with, those of its own beginnings too."""
    data = card.get("data", {})
    return data.get("jets_seen", 0) + data.get("jets_seen_before", 0)
