"""The training loop: one for every task, short enough to read in a lesson."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from omnilearn_lab.errors import TrainingError
from omnilearn_lab.machine import report, reuse_memory
from omnilearn_lab.models import Batch
from omnilearn_lab.models.adapters import merged
from omnilearn_lab.training import optimizers
from omnilearn_lab.training.batches import Batches, Feed, StreamingBatches, select
from omnilearn_lab.training.distributed import agree, whole_tensors
from omnilearn_lab.training.heads import start_at_prior
from omnilearn_lab.training.history import History, LossMeter, TensorBoardLog
from omnilearn_lab.training.losses import Objective
from omnilearn_lab.training.optimizers import LearningRate, MovingAverage, TrainConfig, make_optimizer
from omnilearn_lab.training.runs import Heartbeat, Run, TrainingState, intact
from omnilearn_lab.training.strategy import Strategy, compile_layers

OnRecord = Callable[[dict[str, Any]], None]


class Trainer:
    """Train a model on packed jets.

    All randomness of update s comes from (seed, s), so a training that was stopped goes on exactly as if
    it had not been. Inside a process group (`omnilearn_lab.training.process_group`) every process
    makes a trainer of its own, with the same arguments; they share the jets of each update, and the result
    is that of one process up to rounding (but where a network or loss looks at the jets of a part together:
    BatchNorm, ``alpha="batch"``).

    How an update is cut into micro-batches and shares of processes, and what happens when memory runs out, is
    the matter of `omnilearn_lab.training.strategy`.

    Parameters
    ----------
    model
        Any module that ``objective`` understands; trained in place.
    objective
        See `omnilearn_lab.training.losses`.
    train : Batch, Batches or StreamingBatches
        Packed jets in memory, or batches of this process' shard, shuffled or streamed from files.
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
        train: Batch | Batches | StreamingBatches,
        validation: Batch,
        config: TrainConfig,
        run: Run | None = None,
    ) -> None:
        self.model, self.objective, self.config, self.run = model, objective, config, run or Run(None)
        self.run.claim()
        in_memory = isinstance(train, Batch)
        self.batches = Batches(train, config.batch_size, seed=config.seed) if in_memory else train
        together = self.batches.jets_per_event
        self.validation = Batches(
            validation, max(4 * config.batch_size // together, 1), jets_per_event=together
        )
        self.n_steps = max(1, round(config.epochs * self.batches.steps_per_epoch))
        per_epoch = self.batches.steps_per_epoch
        self.learning_rate = LearningRate(config, self.n_steps, round(config.warmup_epochs * per_epoch))
        self.steps_between_validations = max(1, round(per_epoch / config.validations_per_epoch))
        optimizer = make_optimizer(model, config)
        if config.start_at_prior and not self.run.is_started:
            jets = getattr(self.batches, "jets", validation)
            start_at_prior(model, objective, jets, jets_per_event=together)
        self.average = MovingAverage(model, config.ema_decay) if config.ema_decay else None
        self.averaged = self.average.module if self.average else model  # what is validated and kept
        if config.compile:
            compile_layers(model)
        self.strategy = Strategy(model, self.averaged, objective, optimizer, config, self.run)
        self.feed = Feed(self.batches, self.strategy.device)
        self.state, self.meter = TrainingState(n_parts=config.accumulate), LossMeter()
        self.history, self.best_weights = self.run.history(), {}
        self._has_trained = False
        self._restore()
        self.strategy.share_out(select(self.validation.jets, torch.arange(together)))
        folder = self.run.directory if self.run.is_writer else None
        self.progress = Heartbeat(folder)
        if folder and config.tensorboard:
            self.history.listeners.append(TensorBoardLog(folder / "tensorboard", self.state.step).add)

    def fit(self, on_record: OnRecord | None = None) -> History:
        """Train to the end (or until stopped) and leave the best weights in the model.

        Weights that are shared out (``parallel="fsdp"``) stay the last ones; the first process has the best
        in ``best_weights``.

        On a CPU the process is asked to keep freed memory for the next update
        (`omnilearn_lab.machine.reuse_memory`).

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
        self.run.claim()
        if on_record and self.strategy.shard.is_main:
            self.history.listeners.append(on_record)
        try:
            self._fit()
        finally:
            self.history.listeners.clear()
            self.strategy.let_body_learn(True)
            self.feed.close()
            self.run.release()
        return self.history

    def _fit(self) -> None:
        if self.strategy.device.type == "cpu":
            reuse_memory()
        if self.state.step == 0 and len(self.history) == 0:
            self._validate()
        clock = saved = time.perf_counter()
        while not self.is_complete and not agree(self.run.wants_stop())[0]:
            self.update(self.state.step)
            now = time.perf_counter()
            self.state = replace(
                self.state, step=self.state.step + 1, seconds=self.state.seconds + now - clock
            )
            clock = now
            self.progress.beat(self.state.step, self.n_steps, jets=self.n_jets_seen)
            report(self.state.step / self.n_steps)
            if self._is_step_for(self.config.records_per_validation):
                self._record_training()
            if self._is_step_for(1):
                self._validate()
                clock = time.perf_counter()
            if agree(now - saved > 60 * self.config.checkpoint_minutes)[0]:
                self._save()
                saved = now
        self._finish()

    def update(self, step: int) -> dict[str, Tensor]:
        """Do one update of the weights and return its loss terms, on the device."""
        self.learning_rate.set(self.strategy.optimizer, step)
        self.model.train()
        terms = self.gradients(step)
        self._check(self.meter.add(step, terms))
        if self.config.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.strategy.optimizer.step()
        if self.average is not None:
            self.average.update(self.model, step)
        return terms

    def gradients(self, step: int) -> dict[str, Tensor]:
        """Put the gradients of an update into the model and return its loss terms, on the device."""
        return self.strategy.gradients(self.feed, step)

    @property
    def n_jets_seen(self) -> int:
        """Jets that all processes have trained on, the same jet counted once an epoch."""
        return self.state.step * self.batches.jets_per_update

    @property
    def is_complete(self) -> bool:
        """Whether all updates are done, or no more are worth it (``patience``)."""
        is_stale = self.config.patience > 0 and self.state.n_worse >= self.config.patience
        return is_stale or self.state.step >= self.n_steps

    def _is_step_for(self, times_per_validation: int) -> bool:
        between = max(1, self.steps_between_validations // times_per_validation)
        since = self.state.step % self.steps_between_validations
        return self.state.step == self.n_steps or since == 0 or since % between == 0

    def _record_training(self) -> None:
        self._check(self.meter.find_bad())
        if self.meter.n_summed:
            self._record("train", {**self.meter.means(), "n_parts": self.strategy.n_parts})

    def _validate(self) -> None:
        self._check(self.meter.find_bad())
        terms, self.validation = self.strategy.validate(self.validation)
        if not math.isfinite(terms["loss"]):
            self._check(max(self.state.step - 1, 0), "validation loss after")
        if self.average is not None and self.config.validate_live:
            live, self.validation = self.strategy.validate(self.validation, live=True)
            terms |= {f"{name}_live": value for name, value in live.items()}
        best = self.state.best_loss
        if best is None or terms["loss"] < best:
            self.state = replace(self.state, best_loss=terms["loss"], best_step=self.state.step, n_worse=0)
            self.best_weights = self.strategy.copied(self.averaged)
            self.run.save_best(whole_tensors(merged(self.averaged).state_dict()))
        else:
            self.state = replace(self.state, n_worse=self.state.n_worse + 1)
        self._record("validation", terms)
        self._save()

    def _record(self, kind: str, terms: dict[str, float]) -> None:
        step, seconds = self.state.step, round(self.state.seconds, 3)
        about = {"kind": kind, "step": step, "epoch": step / self.batches.steps_per_epoch}
        self.history.append({**about, "jets": self.n_jets_seen, "seconds": seconds, **terms})

    def _finish(self) -> None:
        self._has_trained = True
        self._save()
        self.run.obey()
        if self.best_weights and not self.strategy.is_sharded:
            self.model.load_state_dict(self.best_weights)

    def _save(self) -> None:
        """Write everything that is needed to go on, where there is a run."""
        if self.run.directory is None:
            return
        self._check(self.meter.find_bad())
        self.state = replace(
            self.state, sums=self.meter.sums, n_summed=self.meter.n_summed, n_parts=self.strategy.n_parts
        )
        tensors = {
            "model": whole_tensors(self.model.state_dict()),
            "optimizer": whole_tensors(optimizers.optimizer_tensors(self.strategy.optimizer)),
            "best": self.best_weights,
        }
        if self.average is not None:
            tensors["average"] = whole_tensors(self.average.state_dict())
        self.run.save(tensors, self.state)

    def _restore(self) -> None:
        """Go on from the last checkpoint of the run, where there is one."""
        if self.run.directory is not None:
            sets = {"train": self.batches, "validation": self.validation}
            jets = {name: one.fingerprint() for name, one in sets.items()}
            self.state = replace(self.state, jets=jets)
        if self.run.is_started:
            tensors, state = self.run.restore(self.state.jets)
            self.state = replace(state, jets=self.state.jets)
            self.meter = LossMeter(state.sums, state.n_summed)
            self.best_weights, self.strategy.n_parts = tensors.get("best", {}), state.n_parts
            with intact(self.run.directory / "last.safetensors"):
                self.model.load_state_dict(tensors["model"])
                if self.average is not None:
                    self.average.load_state_dict(tensors["average"])
                optimizers.restore_optimizer(self.strategy.optimizer, tensors.get("optimizer", {}))
        self.history.rewind(self.state.step if self.run.is_started else -1)  # -1: killed before it
        if self.run.n_parts_asked:
            self.validation = self.strategy.do_less_at_once(self.validation)

    def _check(self, bad_step: int | None, what: str = "loss at") -> None:
        """Stop where a loss was not a number; nothing was saved since."""
        if bad_step is None:
            return
        rows = self.batches.rows(bad_step)[:8].tolist()
        last = self.run.directory and self.run.directory / "last.safetensors"
        where = f"; last good checkpoint: '{last}'" if last else ""
        raise TrainingError(
            f"not a number: the {what} step {bad_step} (jets {rows} ...); lower the learning rate or look at "
            f"these jets{where}; settings: {asdict(self.config)}"
        )
