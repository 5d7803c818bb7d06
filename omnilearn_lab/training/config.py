"""How to train: one frozen dataclass, saved with every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.settings import settings

_Positive = Annotated[float, Field(gt=0)]
_NotNegative = Annotated[float, Field(ge=0)]
_Count = Annotated[int, Field(ge=1)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Decay = Annotated[float, Field(ge=0, lt=1)]


@settings
class TrainConfig:
    """Settings of one training.

    Parameters
    ----------
    epochs
        Passes over the training jets; may be a fraction.
    batch_size
        Jets per update.
    learning_rate
        Peak learning rate of the heads.
    body_lr_factor
        The body's learning rate is the peak times this; OmniLearn fine-tunes with 0.1. The body's
        weight decay is divided by it, so that their product stays the same.
    layer_decay
        Each transformer block of the body learns by this factor slower than the one above it.
    start_at_prior
        Let the output layer start anew, so that the first prediction is the share of each class in the jets
        (the mean, in a regression): a new head does not begin with confident nonsense.
    head_updates
        The body rests for so many updates, in which the heads learn to read it.
    optimizer : {"lion", "adamw"}
    betas
        Decay rates of the optimizer's moments; OmniLearn uses (0.95, 0.99) with Lion.
    weight_decay
        Decoupled, in units of the learning rate.
    schedule : {"cosine", "constant", "one_cycle"} or callable
        How the learning rate goes on after the warm-up: half a cosine down, no change, or up over the first
        30 percent and then down (set ``warmup_epochs`` to 0). Your own function takes the fraction of the
        updates that is done, from 0 to 1, and returns a fraction of the peak.
    warmup_epochs
        Linear rise of the learning rate from zero, before the schedule.
    final_lr_fraction
        What the schedule's 0 stands for, as a fraction of the peak.
    clip_norm
        Largest norm of the whole gradient; 0 switches clipping off.
    ema_decay
        Decay of the exponential moving average of the weights, per update, reached after a warm-up of
        9 / (1 - decay) updates; 0 switches it off.
    precision : {"fp32", "bf16"}
        bf16 runs matrix products in bfloat16 (autocast) and keeps weights in float32.
    compile
        Translate the dense layers with ``torch.compile``: the first updates take minutes, later ones are
        faster on a GPU. Rounding differs.
    accumulate
        Micro-batches per update: same result, less memory. Where a GPU's memory is exhausted, the number
        doubles by itself; of several processes, the launcher starts all anew from the last checkpoint.
    validations_per_epoch
        How often the validation loss is measured; 0.5 means after every second epoch.
    records_per_validation
        How often the mean training loss is recorded between two validations.
    validate_live
        With a moving average, measure the weights that are trained too: terms named ``..._live``.
    patience
        Stop after this many validations without a better loss; 0 never stops early.
    trainable : {"all", "heads", "adapters"}
        "heads" freezes the body; "adapters" trains the heads and low-rank additions to the body's
        attention and MLP layers, at the learning rate of the heads.
    adapter_rank, adapter_alpha
        Size and strength of the adapters.
    checkpoint_minutes
        Time between two checkpoints; one is also made at every validation.
    seed
        Fixes the order of jets, noise and drops. Weights are initialised by whoever makes the model.
    parallel : {"ddp", "fsdp"}
        With several processes: every process keeps all weights, or (for networks that do not fit one GPU)
        weights, gradients and optimizer state are shared out. One process needs neither.
    tensorboard
        Also write the records for TensorBoard, into ``tensorboard/`` of the run directory.

    Raises
    ------
    ConfigError
        For a value outside its domain.
    """

    epochs: _Positive = 10.0
    batch_size: _Count = 256
    learning_rate: _Positive = 3e-4
    body_lr_factor: _Positive = 1.0
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    start_at_prior: bool = False
    head_updates: Annotated[int, Field(ge=0)] = 0
    optimizer: Literal["lion", "adamw"] = "lion"
    betas: tuple[_Decay, _Decay] = (0.95, 0.99)
    weight_decay: _NotNegative = 0.1
    schedule: Literal["cosine", "constant", "one_cycle"] | Callable[[float], float] = "cosine"
    warmup_epochs: _NotNegative = 0.2
    final_lr_fraction: _Fraction = 0.0
    clip_norm: _NotNegative = 1.0
    ema_decay: _Decay = 0.0
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    accumulate: _Count = 1
    validations_per_epoch: _Positive = 2
    records_per_validation: _Count = 1
    validate_live: bool = False
    patience: Annotated[int, Field(ge=0)] = 0
    trainable: Literal["all", "heads", "adapters"] = "all"
    adapter_rank: _Count = 8
    adapter_alpha: _Positive = 16.0
    checkpoint_minutes: _Positive = 5.0
    seed: Annotated[int, Field(ge=0)] = 1
    tensorboard: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"

    def __post_init__(self) -> None:
        if self.parallel == "fsdp" and self.trainable == "adapters":
            raise ConfigError("adapters are for networks that fit one GPU; use parallel='ddp' with them")
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}"
            )
