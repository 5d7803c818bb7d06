"""How to train: settings, optimizers, parameter groups, the learning-rate schedule, the moving average."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from omnilearn_lab.errors import ConfigError, TrainingError
from omnilearn_lab.models.adapters import adapted_layers, add_adapters
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
        Micro-batches per update: same result, less memory. A CPU takes more of them by itself where jets
        times width are many. Where a GPU's memory is exhausted, the number doubles by itself; of several
        processes, the launcher starts all anew from the last checkpoint.
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


class Lion(torch.optim.Optimizer):
    """Lion: the sign of an interpolated momentum, with decoupled weight decay.

    For weights w, gradient g, momentum m:

    w <- w (1 - lr wd);  w <- w - lr sign(beta1 m + (1 - beta1) g);  m <- beta2 m + (1 - beta2) g

    Parameters
    ----------
    params
    lr
    betas
        (beta1, beta2).
    weight_decay

    References
    ----------
    Chen et al., arXiv:2302.06675, algorithm 2.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    >>> (weight * torch.tensor([2.0, 3.0])).sum().backward()
    >>> Lion([weight], lr=0.1).step()
    >>> weight.data
    tensor([ 0.9000, -1.1000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.95, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update the weights once; ``closure`` may re-evaluate the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        weights = [p for p in group["params"] if p.grad is not None]
        if not weights:
            return
        for p in weights:
            self.state[p].setdefault("exp_avg", torch.zeros_like(p))
        gradients = [p.grad for p in weights]
        momenta = [self.state[p]["exp_avg"] for p in weights]
        beta1, beta2 = group["betas"]
        direction = torch._foreach_lerp(gradients, momenta, beta1)
        torch._foreach_sign_(direction)
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, direction, alpha=-group["lr"])
        torch._foreach_lerp_(momenta, gradients, 1 - beta2)


def parameter_groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Split parameters into heads and body (or its blocks), with and without weight decay.

    The body is the submodule named ``body``; its adapters learn as fast as the heads. With ``layer_decay``
    below one, block i of L learns by ``layer_decay ** (L - i)`` slower, and what is below the blocks by
    ``layer_decay ** (L + 1)``. With
    ``trainable="heads"`` the body is frozen, with "adapters" it gets adapters where it has none. Vectors
    and scalars (biases, norms, layer scales) are never decayed.

    Raises
    ------
    TrainingError
        When nothing is left to train; when all is to be trained and an earlier training left the body frozen
        or with adapters.
    """
    if config.trainable == "adapters":
        add_adapters(model, config.adapter_rank, alpha=config.adapter_alpha, seed=config.seed)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    n_blocks = len(getattr(getattr(model, "body", None), "blocks", ()))
    for name, parameter in model.named_parameters():
        is_body = name.startswith("body.") and config.trainable != "adapters"
        if is_body and config.trainable == "heads":
            parameter.requires_grad_(False)
        if parameter.requires_grad:
            depth = _depth(name, n_blocks if config.layer_decay < 1 else 0) if is_body else 0
            groups.setdefault((depth, parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise TrainingError(
            "no parameter is trainable; call model.requires_grad_(True), or give the model heads"
        )
    if config.trainable == "all":
        _check_free(model)
    return [_group(params, depth, decays, config) for (depth, decays), params in sorted(groups.items())]


def _depth(name: str, n_blocks: int) -> int:
    """How far below the heads a parameter of the body is: 1 for the last block, most for the embeddings.

    >>> [_depth(f"body.{name}.weight", 8) for name in ("blocks.7.mlp", "blocks.0.mlp", "embedding")]
    [1, 8, 9]
    """
    block = re.match(r"body\.blocks\.(\d+)\.", name)
    return max(n_blocks - int(block[1]) if block else n_blocks + 1, 1)


def _check_free(model: nn.Module) -> None:
    frozen = [not parameter.requires_grad for parameter in getattr(model, "body", nn.Module()).parameters()]
    if adapted_layers(model):
        raise TrainingError("the body has adapters: set trainable='adapters', or call merge_adapters(model)")
    if frozen and all(frozen):
        raise TrainingError("the body is frozen: set trainable='heads', or call model.requires_grad_(True)")


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer that ``config`` names, over `parameter_groups`."""
    if not config.compile:
        _leave_compiler_out()
    groups = parameter_groups(model, config)
    if config.optimizer == "lion":
        return Lion(groups, lr=config.learning_rate, betas=config.betas)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)


def _leave_compiler_out() -> None:
    """Keep optimizers from loading ``torch.compile`` (70 MB and a second) only to switch it off.

    PyTorch wraps their methods in a function that does so at its first call unless this mark is there.
    """
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None:
            plain.__dynamo_disable = plain


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as named tensors, ``<number of the parameter>.<name>``.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> weight.sum().backward()
    >>> optimizer = Lion([weight])
    >>> optimizer.step()
    >>> optimizer_tensors(optimizer)
    {'0.exp_avg': tensor([0.0100])}
    """
    states = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, named in states.items() for name, value in named.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the tensors of `optimizer_tensors` back; learning rates stay those of the optimizer."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        states.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})


class LearningRate:
    """The learning rate of each update: a linear warm-up, then the schedule of the settings.

    lr(step) = peak (step + 1) / n_warmup in the warm-up, then peak [f + (1 - f) shape(s)] with f the final
    fraction and s running from 0 to 1.

    Parameters
    ----------
    config : TrainConfig
    n_steps, n_warmup
        Updates in all, and those of the warm-up.

    Examples
    --------
    >>> rate = LearningRate(TrainConfig(), n_steps=6, n_warmup=2)
    >>> [round(rate.fraction(step), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """

    def __init__(self, config: TrainConfig, n_steps: int, n_warmup: int) -> None:
        self.shape = config.schedule if callable(config.schedule) else SCHEDULES[config.schedule]
        self.final, self.n_steps, self.n_warmup = config.final_lr_fraction, n_steps, n_warmup

    def fraction(self, step: int) -> float:
        """Return the learning rate at ``step`` (from 0) as a fraction of its peak."""
        if step < self.n_warmup:
            return (step + 1) / self.n_warmup
        done = (step - self.n_warmup) / max(self.n_steps - self.n_warmup, 1)
        return self.final + (1 - self.final) * self.shape(min(done, 1.0))

    def set(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Give each parameter group its learning rate of an update."""
        for group in optimizer.param_groups:
            group.setdefault("peak_lr", group["lr"])
            group["lr"] = group["peak_lr"] * self.fraction(step)


def _cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


def _constant(done: float) -> float:
    return 1.0


def _one_cycle(done: float) -> float:
    """Up by a cosine over the first 30 percent from 1/25, then down: L. Smith, arXiv:1708.07120."""
    if done < _RISE:
        return _START + (1 - _START) * _cosine(1 - done / _RISE)
    return _cosine((done - _RISE) / (1 - _RISE))


_RISE, _START = 0.3, 1 / 25
SCHEDULES = {"cosine": _cosine, "constant": _constant, "one_cycle": _one_cycle}
"""Fractions of the peak learning rate after the warm-up, against the fraction of the updates done."""


def _group(params: list[nn.Parameter], depth: int, decays: bool, config: TrainConfig) -> dict[str, Any]:
    factor = config.body_lr_factor * config.layer_decay**depth if depth else 1.0
    decay = config.weight_decay / factor if decays else 0.0
    return {"params": params, "lr": config.learning_rate * factor, "weight_decay": decay}


class MovingAverage(nn.Module):
    """Exponential moving average of a model's weights: w_bar <- d w_bar + (1 - d) w.

    The memory grows with the number of updates n, d = min(decay, (1 + n) / (10 + n)): otherwise the random
    start would weigh on the average for the first 1 / (1 - decay) updates. The first update copies.

    Parameters
    ----------
    model
        Copied; its later updates enter through `update`.
    decay

    Examples
    --------
    >>> layer = nn.Linear(1, 1)
    >>> average = MovingAverage(layer, 0.9)
    >>> average.update(layer, 0)
    >>> torch.equal(average.module.weight, layer.weight)
    True
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.module = copy.deepcopy(model)

    @torch.no_grad()
    def update(self, model: nn.Module, n: int) -> None:
        """Take in the weights of ``model`` after update ``n`` (from 0); other buffers are copied."""
        averaged, current = (_float_weights(m) for m in (self.module, model))
        if n == 0:
            torch._foreach_copy_(averaged, current)
        else:
            torch._foreach_lerp_(averaged, current, 1 - min(self.decay, (1 + n) / (10 + n)))
        for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)


def _float_weights(model: nn.Module) -> list[Tensor]:
    """This process' part of all weights."""
    weights = (p.detach() for p in model.parameters())
    return [w.to_local() if hasattr(w, "to_local") else w for w in weights]
