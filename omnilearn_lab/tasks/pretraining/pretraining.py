"""Pretrain PET or PET v2: classify and generate jets of many classes at once, and keep it with its card."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from omnilearn_lab.jets import Jets
from omnilearn_lab.models import PET, Batch, PETConfig, PETv2, PETv2Config, read_card, save_checkpoint
from omnilearn_lab.models.checkpoints import assign, load_checkpoint
from omnilearn_lab.settings import settings, to_mapping
from omnilearn_lab.tasks.common.networks import network_batch
from omnilearn_lab.tasks.pretraining.card import held_out, tried_half
from omnilearn_lab.tasks.pretraining.data import (
    JetSource,
    PretrainingData,
    Streaming,
    load_pretraining_data,
    settled,
)
from omnilearn_lab.training import (
    FlowPretraining,
    JointPretraining,
    LaunchedRun,
    Objective,
    Run,
    TrainConfig,
    Trainer,
    default_device,
    describe_environment,
    launch,
    process_group,
    this_shard,
)
from omnilearn_lab.training.distributed import agree

_TRAINING = {
    "pet": TrainConfig(
        epochs=2.5,
        batch_size=128,
        learning_rate=5e-4,
        warmup_epochs=0.1,
        ema_decay=0.999,
        precision="bf16",
        validations_per_epoch=5,
    ),
    "pet_v2": TrainConfig(
        epochs=2.0,
        batch_size=128,
        learning_rate=5e-4,
        betas=(0.95, 0.98),
        weight_decay=0.0,
        warmup_epochs=0.1,
        ema_decay=0.999,
        precision="bf16",
        validations_per_epoch=5,
    ),
}
_SIZES = {"pet": PETConfig, "pet_v2": PETv2Config}
_PAPERS = {"pet": "arXiv:2404.16091", "pet_v2": "arXiv:2510.24066"}
_V2_INPUTS = {"n_species": 9, "n_extra": 4, "feature_drop": 0.2}


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
    network : {"pet", "pet_v2"}
        PET v2 reads species and impact parameters and drops each for one jet in five (twice the published
        rate), as it has fewer jets to learn to do without.
    streaming : {"auto", "always", "never"}
        Stream the training jets from ML-ready files (then all jets of the files count, whatever
        ``n_train``): when they do not fit into memory as the run starts for the first time, always, or never.
    initial
        A checkpoint to go on from, of the same network, size and classes; its jets are counted in the card.
        New weights, when left out.

    Raises
    ------
    ConfigError
        For an unknown network, size or way of streaming, and numbers outside their domain.

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
    network: Literal["pet", "pet_v2"] = "pet"
    streaming: Streaming = "auto"
    initial: str | None = None

    def __post_init__(self) -> None:
        if self.training is None:
            object.__setattr__(self, "training", _TRAINING[self.network])
        _SIZES[self.network].named(self.size)

    @property
    def file_name(self) -> str:
        """Name of the checkpoint in the run directory."""
        return f"{self.network}_{self.size}.safetensors"

    @property
    def command(self) -> str:
        """The command that trains so; ``config.yaml`` of the run directory says what no option can."""
        usual = _TRAINING[self.network]
        training = replace(usual, epochs=self.training.epochs)
        plain = PretrainConfig(self.size, n_train=self.n_train, training=training, network=self.network)
        if plain != self:
            return "omnilearn-lab pretrain config.yaml"
        options = {"network": self.network, "size": self.size}
        options |= {"n-train": self.n_train} if self.n_train != PretrainConfig.n_train else {}
        options |= {"epochs": f"{training.epochs:g}"} if training != usual else {}
        return " ".join(["omnilearn-lab pretrain", *(f"--{k} {v}" for k, v in options.items())])

    def model(self, n_classes: int) -> nn.Module:
        """Return a network whose weights come from the seed of the training, or from ``initial``.

        Raises
        ------
        CheckpointError
            When ``initial`` is another network, or of another size.
        """
        torch.manual_seed(self.training.seed)
        if self.network == "pet":
            model = PET(PETConfig.named(self.size, n_classes=n_classes))
        else:
            model = PETv2(PETv2Config.named(self.size, mode="pretrain", n_classes=n_classes, **_V2_INPUTS))
        if self.initial:
            assign(model, load_checkpoint(self.initial).state_dict(), self.initial)
        return model

    def objective(self) -> Objective:
        """Return the joint loss of the network's paper."""
        return JointPretraining() if self.network == "pet" else FlowPretraining()

    def jets(self) -> JetSource:
        """Return which jets to train and measure on."""
        n_jets = {"train": self.n_train, "val": self.n_validation, "test": self.n_test}
        return JetSource(self.dataset, self.source, self.seed, n_jets, self.streaming)

    def inputs(self, jets: Jets) -> Batch:
        """Return jets as the network reads them."""
        return network_batch(jets, inputs=self.network, use_extra=self.network == "pet_v2")


def pretrain(
    config: PretrainConfig,
    directory: str | os.PathLike[str],
    *,
    on_record: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
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
    source = settled(config.jets(), directory)
    data = load_pretraining_data(source)  # before the processes meet: a simulation may take an hour
    with process_group():
        _train(config, data, path, on_record)
    return path


def launch_pretraining(
    config: PretrainConfig, directory: str | os.PathLike[str], *, n_processes: int | None = None
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


def _train(
    config: PretrainConfig,
    data: PretrainingData,
    path: Path,
    on_record: Callable[[dict[str, Any]], None] | None,
) -> None:
    """Train, and write the checkpoint in the first process; nothing of it stays in memory."""
    trainer = _trainer(config, data, path.parent)
    trainer.fit(on_record)
    if trainer.strategy.shard.is_main and trainer.is_complete:
        _write(config, data, trainer, path)


def _trainer(config: PretrainConfig, data: PretrainingData, directory: str | os.PathLike[str]) -> Trainer:
    shard = this_shard()
    model = config.model(len(data.class_names)).to(default_device())
    size, seed = config.training.batch_size, config.training.seed
    train = data.inputs(config.inputs, size, seed=seed, shard=shard)
    run = Run(directory, to_mapping(config)) if shard.is_main else None
    agree(True)  # the others look into the directory after the first one has made it
    run = run or Run(directory, to_mapping(config), is_writer=False)
    return Trainer(model, config.objective(), train, config.inputs(data.validation), config.training, run)


def _write(config: PretrainConfig, data: PretrainingData, trainer: Trainer, path: Path) -> None:
    """Measure the best weights and write them; in a network of one process, where weights are shared out."""
    model = trainer.model
    if trainer.strategy.is_sharded:
        model = config.model(len(data.class_names)).to(default_device())
        model.load_state_dict(trainer.best_weights)
    card = _card(config, data, trainer) | _measured(model, data.test, config.network)
    is_lossless = card["half_precision"]["is_lossless"]
    save_checkpoint(model, path, card=json.loads(json.dumps(card)), half=is_lossless)


def _measured(model: nn.Module, test: Jets, network: str) -> dict[str, Any]:
    """Held-out classification: all inputs seen, momenta only, and with rounded weights."""
    seen = held_out(model, test, inputs=network)
    return {
        "held_out": seen,
        "held_out_hidden": held_out(model, test, inputs=network, hidden=True),
        "half_precision": tried_half(model, test, seen, inputs=network),
    }


def _card(config: PretrainConfig, data: PretrainingData, trainer: Trainer) -> dict[str, Any]:
    before = read_card(config.initial) if config.initial else None
    return {
        "task": "joint pretraining: classification, generation, classification of noised jets",
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
