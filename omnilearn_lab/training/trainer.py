"""The training loop: one for every task, short enough to read in a lesson."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from omnilearn_lab.errors import TrainingError
from omnilearn_lab.models import Batch
from omnilearn_lab.training.batches import Batches, select
from omnilearn_lab.training.config import TrainConfig
from omnilearn_lab.training.history import History
from omnilearn_lab.training.losses import Objective
from omnilearn_lab.training.optimizers import cosine_schedule, make_optimizer
from omnilearn_lab.training.runs import Run, TrainingState
from omnilearn_lab.training.streaming import StreamingBatches

__all__ = ["Trainer", "default_device", "evaluate"]

_VALIDATION_SEED = 20_240_416


class Trainer:
    """Train a model on packed jets.

    All randomness of update s comes from (seed, s), so a training that was stopped goes on exactly as if
    it had not been.

    Parameters
    ----------
    model
        Any module that ``objective`` understands; trained in place.
    objective
        See :mod:`omnilearn_lab.training.losses`.
    train : Batch or StreamingBatches
        Packed jets in memory, or batches streamed from files.
    validation : Batch
        Packed jets.
    config : TrainConfig
    run : Run, optional
        Where metrics and checkpoints go. Without it nothing is written.

    Examples
    --------
    >>> import torch
    >>> from omnilearn_lab.models import Batch, PET, PETConfig
    >>> from omnilearn_lab.training import Classification, TrainConfig, Trainer
    >>> offsets = torch.arange(0, 65 * 4, 4)
    >>> jets = Batch(torch.randn(256, 13), torch.randn(256, 2), offsets, torch.randn(64, 4),
    ...              label=torch.arange(64) % 2)
    >>> model = PET(PETConfig.named("tiny", n_classes=2))
    >>> config = TrainConfig(epochs=1, batch_size=16, validations_per_epoch=1)
    >>> history = Trainer(model, Classification(), jets, jets, config).fit()
    >>> history.column("step")
    array([0., 4.])
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        train: Batch | StreamingBatches,
        validation: Batch,
        config: TrainConfig,
        run: Run | None = None,
    ) -> None:
        self.model, self.objective, self.config, self.run = model, objective, config, run
        self.device = next(model.parameters()).device
        in_memory = isinstance(train, Batch)
        self.batches = Batches(train, config.batch_size, seed=config.seed) if in_memory else train
        self.validation = Batches(validation, 4 * config.batch_size)
        self.optimizer = make_optimizer(model, config)
        self.average = _make_average(model, config.ema_decay)
        self.state = TrainingState()
        self.history = run.history() if run else History()
        self.best_weights: dict[str, Tensor] = {}
        self.n_steps = max(1, round(config.epochs * self.batches.steps_per_epoch))
        self.n_warmup = round(config.warmup_epochs * self.batches.steps_per_epoch)
        per_epoch = self.batches.steps_per_epoch / config.validations_per_epoch
        self.steps_between_validations = max(1, round(per_epoch))
        if run and run.is_started:
            self._restore()

    def fit(self, on_record: Callable[[dict[str, Any]], None] | None = None) -> History:
        """Train to the end (or until stopped) and leave the best weights in the model.

        Parameters
        ----------
        on_record
            Called with every new record: a progress bar, a live plot.

        Returns
        -------
        History

        Raises
        ------
        TrainingError
            When the loss is not a number; the message names the step and the jets.
        """
        if self.state.step == 0 and len(self.history) == 0:
            self._validate(on_record)
        clock = saved = time.perf_counter()
        while self.state.step < self.n_steps and not self._should_stop():
            terms = self.update(self.state.step)
            now = time.perf_counter()
            self._count(terms, now - clock)
            clock = now
            if self._is_validation_step():
                self._record("train", self._mean_terms(), on_record)
                self._validate(on_record)
                clock = time.perf_counter()
            if self.run and now - saved > 60 * self.config.checkpoint_minutes:
                self._save()
                saved = now
        self._finish()
        return self.history

    def update(self, step: int) -> dict[str, float]:
        """Do one update of the weights and return its loss terms."""
        self._set_learning_rate(step)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        terms: dict[str, float] = {}
        with _randomness(self.config.seed, step, self.device):
            for part, share in self._micro_batches(step):
                with self._precision():
                    losses = self.objective(self.model, part.to(self.device))
                (losses["loss"] * share).backward()
                for name, value in losses.items():
                    terms[name] = terms.get(name, 0.0) + share * float(value.detach())
        self._check_finite(terms["loss"], step)
        if self.config.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return terms

    def _count(self, terms: dict[str, float], seconds: float) -> None:
        state = self.state
        sums = {name: state.sums.get(name, 0.0) + value for name, value in terms.items()}
        self.state = replace(
            state,
            step=state.step + 1,
            seconds=state.seconds + seconds,
            sums=sums,
            n_summed=state.n_summed + 1,
        )

    def _mean_terms(self) -> dict[str, float]:
        means = {name: value / self.state.n_summed for name, value in self.state.sums.items()}
        self.state = replace(self.state, sums={}, n_summed=0)
        return means

    def averaged_model(self) -> nn.Module:
        """Return the moving average of the weights, or the model itself when there is none."""
        return self.model if self.average is None else self.average.module

    def _micro_batches(self, step: int) -> Iterator[tuple[Batch, float]]:
        """Yield parts of the update's batch with their share of the loss."""
        batch = self.batches.batch(step)
        if self.config.accumulate == 1:
            yield batch, 1.0
            return
        for rows in torch.arange(len(batch)).chunk(self.config.accumulate):
            yield select(batch, rows), len(rows) / len(batch)

    def _set_learning_rate(self, step: int) -> None:
        scale = cosine_schedule(step, self.n_steps, self.n_warmup, self.config.final_lr_fraction)
        for group in self.optimizer.param_groups:
            group.setdefault("peak_lr", group["lr"])
            group["lr"] = group["peak_lr"] * scale

    def _is_validation_step(self) -> bool:
        step = self.state.step
        return step % self.steps_between_validations == 0 or step == self.n_steps

    def _validate(self, on_record: Callable[[dict[str, Any]], None] | None) -> None:
        with self._precision():
            terms = evaluate(self.averaged_model(), self.objective, self.validation)
        self._check_finite(terms["loss"], self.state.step)
        better = terms["loss"] < self.state.best_loss
        if better:
            self.state = replace(self.state, best_loss=terms["loss"], best_step=self.state.step, n_worse=0)
            self.best_weights = copy.deepcopy(self.averaged_model().state_dict())
            if self.run:
                self.run.save_best(self.averaged_model())
        else:
            self.state = replace(self.state, n_worse=self.state.n_worse + 1)
        self._record("validation", terms, on_record)
        if self.run:
            self._save()

    def _record(self, kind: str, terms: dict[str, float], on_record: Callable | None) -> None:
        step = self.state.step
        record = {
            "kind": kind,
            "step": step,
            "epoch": step / self.batches.steps_per_epoch,
            "jets": step * self.batches.batch_size,
            "seconds": round(self.state.seconds, 3),
            **terms,
        }
        self.history.append(record)
        if on_record is not None:
            on_record(record)

    def _should_stop(self) -> bool:
        patience = self.config.patience
        is_stale = patience > 0 and self.state.n_worse >= patience
        return is_stale or (self.run is not None and self.run.wants_stop())

    def _finish(self) -> None:
        if self.run:
            self._save()
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)

    def _save(self) -> None:
        optimizer = {
            f"{i}.{name}": value
            for i, states in self.optimizer.state_dict()["state"].items()
            for name, value in states.items()
        }
        parts = {"model": self.model.state_dict(), "optimizer": optimizer, "best": self.best_weights}
        if self.average is not None:
            parts["average"] = self.average.state_dict()
        self.run.save(parts, self.state)

    def _restore(self) -> None:
        parts, self.state = self.run.restore()
        self.model.load_state_dict(parts["model"])
        self.best_weights = parts.get("best", {})
        if self.average is not None:
            self.average.load_state_dict(parts["average"])
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in parts.get("optimizer", {}).items():
            index, name = key.split(".", 1)
            states.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": states, "param_groups": groups})
        self.history.rewind(self.state.step)

    def _precision(self) -> torch.autocast:
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _check_finite(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            rows = self.batches.rows(min(step, self.n_steps - 1))[:8].tolist()
            where = f"; last good checkpoint: '{self.run.directory / 'last.safetensors'}'" if self.run else ""
            raise TrainingError(
                f"the loss is {loss} at step {step} (jets {rows} ...); lower the learning rate or look at "
                f"these jets{where}; settings: {asdict(self.config)}"
            )


@torch.no_grad()
def evaluate(model: nn.Module, objective: Objective, batches: Batches) -> dict[str, float]:
    """Return the loss terms over all jets, with the same noise every time.

    Parameters
    ----------
    model
    objective
    batches : Batches

    Returns
    -------
    dict of str to float
        Means over jets, weighted when the jets have weights.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    sums: dict[str, float] = {}
    total = 0.0
    for number, batch in enumerate(batches.in_order()):
        share = float(batch.weight.sum()) if batch.weight is not None else float(len(batch))
        with _randomness(_VALIDATION_SEED, number, device):
            terms = objective(model, batch.to(device))
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + share * float(value)
        total += share
    model.train(was_training)
    return {name: value / total for name, value in sums.items()}


def default_device() -> torch.device:
    """Return the GPU when there is one that works, else the CPU.

    Examples
    --------
    >>> default_device().type in ("cpu", "cuda")
    True
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def _randomness(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Draw everything inside from (seed, step), and leave the global generators as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed((seed * 1_000_003 + step) % 2**63)
        yield


def _make_average(model: nn.Module, decay: float) -> AveragedModel | None:
    if decay == 0:
        return None
    return AveragedModel(model, multi_avg_fn=_Average(decay), use_buffers=True)


@dataclass(frozen=True)
class _Average:
    """Exponential moving average whose memory grows with the number of updates, up to its decay.

    Otherwise the random start would weigh on the average for the first 1 / (1 - decay) updates.
    """

    decay: float

    def __call__(self, averaged: list[Tensor], current: list[Tensor], n_averaged: Tensor) -> None:
        n = int(n_averaged)
        decay = min(self.decay, (1 + n) / (10 + n))
        torch._foreach_lerp_(averaged, current, 1 - decay)
