"""The training loop: one for every task, short enough to read in a lesson."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from omnilearn_lab.errors import TrainingError
from omnilearn_lab.machine import reuse_memory
from omnilearn_lab.models import Batch
from omnilearn_lab.models.adapters import merged
from omnilearn_lab.training.averaging import MovingAverage
from omnilearn_lab.training.batches import Batches, is_same, select
from omnilearn_lab.training.compilation import compile_layers
from omnilearn_lab.training.config import TrainConfig
from omnilearn_lab.training.distributed import (
    LossModule,
    add_over_ranks,
    agree,
    gather,
    gradients_wait,
    share_out_again,
    spread,
    spread_optimizer,
    this_shard,
    whole_tensors,
)
from omnilearn_lab.training.evaluation import evaluate, seeded
from omnilearn_lab.training.history import History
from omnilearn_lab.training.losses import Objective
from omnilearn_lab.training.meter import LossMeter
from omnilearn_lab.training.optimizers import (
    cosine_schedule,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
)
from omnilearn_lab.training.parts import Extent, PartDraws
from omnilearn_lab.training.progress import Heartbeat
from omnilearn_lab.training.runs import Run, TrainingState
from omnilearn_lab.training.streaming import StreamingBatches
from omnilearn_lab.training.tensorboard import TensorBoardLog
from omnilearn_lab.training.whole import Whole

__all__ = ["Trainer"]

log = logging.getLogger(__name__)

OnRecord = Callable[[dict[str, Any]], None]


class Trainer:
    """Train a model on packed jets.

    All randomness of update s comes from (seed, s), so a training that was stopped goes on exactly as if
    it had not been. Inside a process group (`omnilearn_lab.training.process_group`) every process
    makes a trainer of its own, with the same arguments; they share the jets of each update, and the result
    is that of one process up to rounding (but where a network or loss looks at the jets of a part together:
    BatchNorm, ``alpha="batch"``).

    Parameters
    ----------
    model
        Any module that ``objective`` understands; trained in place.
    objective
        See `omnilearn_lab.training.losses`.
    train : Batch or StreamingBatches
        Packed jets in memory, or batches streamed from files, of this process' shard.
    validation : Batch
        Packed jets.
    config : TrainConfig
    run : Run, optional
        Where metrics and checkpoints go. Without it nothing is written. Of several processes only the
        first one has a run that writes.

    Raises
    ------
    TrainingError
        When the run was made with other jets, or another process is training in its directory.

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
        if run:
            run.claim()
        self.model, self.objective, self.config, self.run = model, objective, config, run
        self.device, self.shard = next(model.parameters()).device, this_shard()
        in_memory = isinstance(train, Batch)
        self.batches = Batches(train, config.batch_size, seed=config.seed) if in_memory else train
        self._jets_per_event = getattr(self.batches, "jets_per_event", 1)  # these stay together
        together = 4 * config.batch_size // self._jets_per_event * self._jets_per_event
        self.validation = Batches(validation, max(together, self._jets_per_event))
        self.optimizer = make_optimizer(model, config)
        self.average = MovingAverage(model, config.ema_decay) if config.ema_decay else None
        if config.compile:
            compile_layers(model)
        sets = {"train": self.batches, "validation": self.validation} if run else {}
        jets = {name: one.fingerprint() for name, one in sets.items()}
        self.state, self.meter = TrainingState(n_parts=config.accumulate, jets=jets), LossMeter()
        self.history = run.history() if run else History()
        self.best_weights: dict[str, Tensor] = {}
        per_epoch = self.batches.steps_per_epoch
        self.n_steps = max(1, round(config.epochs * per_epoch))
        self.n_warmup = round(config.warmup_epochs * per_epoch)
        self.steps_between_validations = max(1, round(per_epoch / config.validations_per_epoch))
        self._has_trained = False
        if run and run.is_started:
            self._restore()
        else:
            self.history.rewind(-1)  # of a start that was killed before its first checkpoint
        if run and run.n_parts_asked:
            self._do_less_at_once(run.n_parts_asked)
        self._share_out()
        folder = run.directory if run and run.is_writer else None
        self.heart = Heartbeat(folder)
        log_to = folder / "tensorboard" if folder and config.tensorboard else None
        self.tensorboard = TensorBoardLog(log_to, self.state.step) if log_to else None

    def fit(self, on_record: OnRecord | None = None) -> History:
        """Train to the end (or until stopped) and leave the best weights in the model.

        Weights that are shared out (``parallel="fsdp"``) stay the last ones; the first process has the best
        in ``best_weights``.

        On a CPU the process is asked to keep freed memory for the next update
        (`omnilearn_lab.machine.memory.reuse_memory`).

        Parameters
        ----------
        on_record
            Called with every new record, in the first process: a progress bar, a live plot.

        Returns
        -------
        History

        Raises
        ------
        TrainingError
            When the loss is not a number; the message names the step and the jets. When it was called
            before: the model has its best weights now, not those to go on from.
        """
        if self._has_trained:
            raise TrainingError("this trainer is done; make a new one, which goes on from its run directory")
        if self.run:
            self.run.claim()
        try:
            self._fit(on_record)
        finally:
            if self.run:
                self.run.release()
        return self.history

    def _fit(self, on_record: OnRecord | None) -> None:
        if self.device.type == "cpu":
            reuse_memory()
        on_record = on_record if self.shard.is_main else None
        if self.state.step == 0 and len(self.history) == 0:
            self._validate(on_record)
        clock = saved = time.perf_counter()
        while not self._should_stop():
            self.update(self.state.step)
            now = time.perf_counter()
            self.state = replace(
                self.state, step=self.state.step + 1, seconds=self.state.seconds + now - clock
            )
            clock = now
            self.heart.beat(self.state.step, self.n_steps, jets=self._n_jets())
            if self._is_step_for(self.config.records_per_validation):
                self._record_training(on_record)
            if self._is_step_for(1):
                self._validate(on_record)
                clock = time.perf_counter()
            if self.run and agree(now - saved > 60 * self.config.checkpoint_minutes)[0]:
                self._save()
                saved = now
        self._finish()

    def update(self, step: int) -> dict[str, Tensor]:
        """Do one update of the weights and return its loss terms, on the device."""
        self._set_learning_rate(step)
        self.model.train()
        terms = self._gradients(step)
        self._check(self.meter.add(step, terms))
        if self.config.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model)
        return terms

    def averaged_model(self) -> nn.Module:
        """Return the moving average of the weights, or the model itself when there is none."""
        return self.model if self.average is None else self.average.module

    def _gradients(self, step: int) -> dict[str, Tensor]:
        """Make the gradients of an update, in more and smaller parts while memory does not suffice."""
        batch = self._own_jets(step)
        every = gather((Whole.of(batch), _size(batch)))
        whole = sum((other for other, _ in every[1:]), start=every[0][0])
        sizes = [size for _, size in every]
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                return add_over_ranks(self._add_gradients(batch, step, whole, sizes))
            except torch.OutOfMemoryError as error:
                reason = str(error).split(". ")[0]
            self._use_smaller_parts(len(batch) // self._jets_per_event, reason)

    def _own_jets(self, step: int) -> Batch:
        """Return this process' share of the jets of an update."""
        if self.shard.n_ranks == 1 or isinstance(self.batches, StreamingBatches):
            return self.batches.batch(step)
        rows = self.batches.rows(step).reshape(-1, self._jets_per_event)
        return select(self.batches.jets, torch.from_numpy(rows[self.shard.part(len(rows))].ravel()))

    def _add_gradients(
        self, batch: Batch, step: int, whole: Whole, sizes: list[tuple[int, int]]
    ) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        parts = _parts(batch, self.state.n_parts, self._jets_per_event)
        for number, part in enumerate(parts):
            extent = _extent(parts, number, sizes, self.shard.rank)
            with gradients_wait(self.losses, number < len(parts) - 1):
                with seeded(self.config.seed, step, self.device):
                    losses = self._part_losses(part, whole, extent)
                (losses["loss"] * self.shard.n_ranks).backward()  # gradients of ranks are averaged
            terms = {name: terms.get(name, 0.0) + value.detach() for name, value in losses.items()}
        return terms

    def _part_losses(self, part: Batch, whole: Whole, extent: Extent | None) -> dict[str, Tensor]:
        jets = part.to(self.device)
        with self._precision():
            if extent is None:
                return self.losses(jets, whole)
            with PartDraws(extent):
                return self.losses(jets, whole)

    def _use_smaller_parts(self, n_events: int, reason: str) -> None:
        n_parts = 2 * self.state.n_parts
        if n_parts > n_events:
            raise TrainingError(
                f"memory does not suffice for {n_events} jets in {self.state.n_parts} parts ({reason}); use "
                "a smaller network, shorter jets, or another device"
            )
        if self.shard.n_ranks > 1:
            self._ask_for_parts(n_parts, reason)
        log.warning("out of memory at step %d: %d parts per update now", self.state.step, n_parts)
        self.state = replace(self.state, n_parts=n_parts)
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _ask_for_parts(self, n_parts: int, reason: str) -> NoReturn:
        """End one of several processes: the others wait for it, and can only follow by starting anew."""
        advice = f"set accumulate to {n_parts}"
        if self.run:
            self.run.ask_for_parts(n_parts)
            advice = f"start the run again: it goes on from its last checkpoint in {n_parts} parts per update"
        raise TrainingError(
            f"memory does not suffice in process {self.shard.rank} of {self.shard.n_ranks} at step "
            f"{self.state.step} ({reason}); {advice}"
        )

    def _do_less_at_once(self, n_parts: int) -> None:
        """Take more and smaller parts, as a process of an earlier start asked for."""
        if self.shard.is_main:
            log.warning("memory did not suffice: %d parts per update now", n_parts)
        self.state = replace(self.state, n_parts=max(n_parts, self.state.n_parts))
        n_events = 4 * self.config.batch_size * self.config.accumulate // n_parts // self._jets_per_event
        self.validation = Batches(self.validation.jets, max(1, n_events) * self._jets_per_event)

    def _set_learning_rate(self, step: int) -> None:
        scale = cosine_schedule(step, self.n_steps, self.n_warmup, self.config.final_lr_fraction)
        for group in self.optimizer.param_groups:
            group.setdefault("peak_lr", group["lr"])
            group["lr"] = group["peak_lr"] * scale

    def _is_step_for(self, times_per_validation: int) -> bool:
        between = max(1, self.steps_between_validations // times_per_validation)
        since = self.state.step % self.steps_between_validations
        return self.state.step == self.n_steps or since == 0 or since % between == 0

    def _record_training(self, on_record: OnRecord | None) -> None:
        self._check(self.meter.find_bad())
        if self.meter.n_summed:
            self._record("train", {**self.meter.means(), "n_parts": self.state.n_parts}, on_record)

    def _validate(self, on_record: OnRecord | None) -> None:
        self._check(self.meter.find_bad())
        terms = self._evaluate(self.averaged_losses)
        if not math.isfinite(terms["loss"]):
            self._check(max(self.state.step - 1, 0), "validation loss after")
        if self.average is not None and self.config.validate_live:
            terms |= {f"{name}_live": value for name, value in self._evaluate(self.live_losses).items()}
        if terms["loss"] < self.state.best_loss:
            self.state = replace(self.state, best_loss=terms["loss"], best_step=self.state.step, n_worse=0)
            self.best_weights = self._copied(self.averaged_model())
            if self.run:
                self.run.save_best(whole_tensors(merged(self.averaged_model()).state_dict()))
        else:
            self.state = replace(self.state, n_worse=self.state.n_worse + 1)
        self._record("validation", terms, on_record)
        if self.run:
            self._save()

    def _evaluate(self, losses: nn.Module) -> dict[str, float]:
        while True:
            try:
                with self._precision():
                    terms = evaluate(losses, _forward, self.validation, shard=self.shard)
                share_out_again(losses)
                return terms
            except torch.OutOfMemoryError as error:
                reason = str(error).split(". ")[0]
            size = self.validation.batch_size // 2 // self._jets_per_event * self._jets_per_event
            if not size:
                raise TrainingError(f"memory does not suffice for one validation jet ({reason})")
            if self.shard.n_ranks > 1:
                self._ask_for_parts(2 * self.state.n_parts, reason)
            log.warning("out of memory in validation: %d jets at a time now", size)
            self.validation = Batches(self.validation.jets, size)

    def _record(self, kind: str, terms: dict[str, float], on_record: OnRecord | None) -> None:
        step = self.state.step
        record = {
            "kind": kind,
            "step": step,
            "epoch": step / self.batches.steps_per_epoch,
            "jets": self._n_jets(),
            "seconds": round(self.state.seconds, 3),
            **terms,
        }
        self.history.append(record)
        if self.tensorboard is not None:
            self.tensorboard.add(record)
        if on_record is not None:
            on_record(record)

    @property
    def is_complete(self) -> bool:
        """Whether all updates are done, or no more are worth it (``patience``)."""
        is_stale = self.config.patience > 0 and self.state.n_worse >= self.config.patience
        return is_stale or self.state.step >= self.n_steps

    def _should_stop(self) -> bool:
        return self.is_complete or agree(self.run is not None and self.run.wants_stop())[0]

    def _finish(self) -> None:
        self._has_trained = True
        if self.run:
            self._save()
        if self.tensorboard is not None:
            self.tensorboard.close()
        if self.best_weights and not self.is_sharded:
            self.model.load_state_dict(self.best_weights)

    def _copied(self, module: nn.Module) -> dict[str, Tensor]:
        """Return a copy of a module's weights; where they are shared out, the first process gets them all."""
        if not self.is_sharded:
            return copy.deepcopy(module.state_dict())
        weights = whole_tensors(module.state_dict())
        return {n: v.to("cpu", copy=True) for n, v in weights.items()} if self.shard.is_main else {}

    def _save(self) -> None:
        self._check(self.meter.find_bad())
        self.state = replace(self.state, sums=self.meter.sums, n_summed=self.meter.n_summed)
        parts = {
            "model": whole_tensors(self.model.state_dict()),
            "optimizer": whole_tensors(optimizer_tensors(self.optimizer)),
            "best": self.best_weights,
        }
        if self.average is not None:
            parts["average"] = whole_tensors(self.average.state_dict())
        self.run.save(parts, self.state)

    def _restore(self) -> None:
        parts, state = self.run.restore()
        known = self.state.jets
        if state.jets and not all(is_same(state.jets[name], known[name]) for name in known):
            raise TrainingError(
                f"'{self.run.directory}' holds a run with other jets; use another directory, or delete it"
            )
        self.state = replace(state, jets=known)
        self.meter = LossMeter(self.state.sums, self.state.n_summed)
        self.model.load_state_dict(parts["model"])
        self.best_weights = parts.get("best", {})
        if self.average is not None:
            self.average.load_state_dict(parts["average"])
        restore_optimizer(self.optimizer, parts.get("optimizer", {}))
        self.history.rewind(self.state.step)

    def _share_out(self) -> None:
        """Spread the work over all processes, once weights and optimizer are what they will be."""
        is_alone, average = self.shard.n_ranks == 1, self.averaged_model()
        self.is_sharded = not is_alone and self.config.parallel == "fsdp"
        plain = LossModule(self.model, self.objective)
        unused = [] if is_alone or self.is_sharded else self._unused(plain)
        self.losses = spread(plain, self.config.parallel, unused)
        self.live_losses = self.losses if self.is_sharded else plain
        self.averaged_losses = self.live_losses
        if average is not self.model:
            other = LossModule(average, self.objective)
            self.averaged_losses = spread(other, "fsdp") if self.is_sharded else other
        if self.is_sharded:
            self.optimizer = spread_optimizer(self.optimizer, make_optimizer(self.model, self.config))

    def _unused(self, losses: LossModule) -> list[str]:
        """Return the parameters that the objective does not reach, as one event tells."""
        jets = select(self.validation.jets, torch.arange(self._jets_per_event))
        with seeded(self.config.seed, 0, self.device):
            losses(jets.to(self.device), Whole.of(jets))["loss"].backward()
        unused = [name for name, p in losses.named_parameters() if p.grad is None]
        self.optimizer.zero_grad(set_to_none=True)
        return unused

    def _n_jets(self) -> int:
        """Return the jets seen so far by all processes."""
        n_shares = self.shard.n_ranks if isinstance(self.batches, StreamingBatches) else 1
        return self.state.step * self.batches.batch_size * n_shares

    def _precision(self) -> torch.autocast:
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _check(self, bad_step: int | None, what: str = "loss at") -> None:
        """Stop where a loss was not a number; nothing was saved since."""
        if bad_step is None:
            return
        rows = self.batches.rows(bad_step)[:8].tolist()
        where = f"; last good checkpoint: '{self.run.directory / 'last.safetensors'}'" if self.run else ""
        raise TrainingError(
            f"not a number: the {what} step {bad_step} (jets {rows} ...); lower the learning rate or look at "
            f"these jets{where}; settings: {asdict(self.config)}"
        )


def _parts(batch: Batch, n_parts: int, jets_per_event: int) -> list[Batch]:
    """Cut a batch into parts of whole events."""
    if n_parts == 1:
        return [batch]
    rows = torch.arange(len(batch)).view(-1, jets_per_event)
    return [select(batch, part.flatten()) for part in rows.chunk(n_parts)]


def _extent(parts: list[Batch], number: int, ranks: list[tuple[int, int]], rank: int) -> Extent | None:
    """Return which of the update's random numbers belong to a part; None for all of them."""
    if len(parts) == len(ranks) == 1:
        return None
    sizes = [*ranks[:rank], *map(_size, parts), *ranks[rank + 1 :]]
    return Extent.of(sizes, rank + number)


def _size(batch: Batch) -> tuple[int, int]:
    return len(batch), len(batch.features)


def _forward(losses: nn.Module, part: Batch, whole: Whole) -> dict[str, Tensor]:
    return losses(part, whole)
