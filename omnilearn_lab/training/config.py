"""How to train: one frozen dataclass, saved with every run."""

from __future__ import annotations

import math
from dataclasses import fields

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.settings import settings

__all__ = ["TrainConfig"]

_NOT_NEGATIVE = ("weight_decay", "warmup_epochs", "clip_norm", "patience", "seed")
_POSITIVE = (
    "epochs",
    "batch_size",
    "learning_rate",
    "body_lr_factor",
    "accumulate",
    "validations_per_epoch",
    "records_per_validation",
    "adapter_rank",
    "adapter_alpha",
    "checkpoint_minutes",
)


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
    optimizer : {"lion", "adamw"}
    betas
        Decay rates of the optimizer's moments; OmniLearn uses (0.95, 0.99) with Lion.
    weight_decay
        Decoupled, in units of the learning rate.
    warmup_epochs
        Linear rise of the learning rate from zero; then half a cosine down to ``final_lr_fraction``.
    final_lr_fraction
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

    epochs: float = 10.0
    batch_size: int = 256
    learning_rate: float = 3e-4
    body_lr_factor: float = 1.0
    optimizer: str = "lion"
    betas: tuple[float, float] = (0.95, 0.99)
    weight_decay: float = 0.1
    warmup_epochs: float = 0.2
    final_lr_fraction: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.0
    precision: str = "fp32"
    compile: bool = False
    accumulate: int = 1
    validations_per_epoch: float = 2
    records_per_validation: int = 1
    validate_live: bool = False
    patience: int = 0
    trainable: str = "all"
    adapter_rank: int = 8
    adapter_alpha: float = 16.0
    checkpoint_minutes: float = 5.0
    seed: int = 1
    tensorboard: bool = False
    parallel: str = "ddp"

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name} is {value}; it must be finite")
            if name in _POSITIVE and not value > 0:
                raise ConfigError(f"{name} is {value}; it must be positive")
            if name in _NOT_NEGATIVE and not value >= 0:
                raise ConfigError(f"{name} is {value}; it must not be negative")
        if not 0 <= self.final_lr_fraction <= 1:
            raise ConfigError(f"final_lr_fraction is {self.final_lr_fraction}; it must lie in [0, 1]")
        _check_choice("optimizer", self.optimizer, ("lion", "adamw"))
        _check_choice("precision", self.precision, ("fp32", "bf16"))
        _check_choice("trainable", self.trainable, ("all", "heads", "adapters"))
        _check_choice("parallel", self.parallel, ("ddp", "fsdp"))
        if self.parallel == "fsdp" and self.trainable == "adapters":
            raise ConfigError("adapters are for networks that fit one GPU; use parallel='ddp' with them")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay is {self.ema_decay}; it must lie in [0, 1)")
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}"
            )
        if len(self.betas) != 2 or not all(0 <= b < 1 for b in self.betas):
            raise ConfigError(f"betas are {self.betas}; two numbers in [0, 1) are needed")

    def __str__(self) -> str:
        changed = [f for f in fields(self) if getattr(self, f.name) != f.default]
        return "TrainConfig(" + ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in changed) + ")"


def _check_choice(name: str, value: str, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise ConfigError(f"{name} is '{value}'; accepted: {', '.join(accepted)}")
