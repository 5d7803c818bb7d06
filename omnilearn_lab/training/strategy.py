"""How an update is carried out: in which precision and parts, by how many processes, in how much memory.

The trainer asks for gradients and for validation losses, as if there were one device with room for all.
`Strategy` cuts the jets of an update into parts (micro-batches, shares of processes) whose loss terms and
gradients add up to those of the whole, and makes the parts smaller where memory runs out.
"""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from typing import NoReturn

import torch
from torch import Tensor, nn

from omnilearn_lab.errors import TrainingError
from omnilearn_lab.models import Batch
from omnilearn_lab.training import distributed
from omnilearn_lab.training.batches import Batches, Feed, Portion
from omnilearn_lab.training.distributed import LossModule
from omnilearn_lab.training.heads import evaluating
from omnilearn_lab.training.losses import Extent, Objective, PartDraws, Whole, seeded
from omnilearn_lab.training.optimizers import TrainConfig, make_optimizer
from omnilearn_lab.training.runs import Run

log = logging.getLogger(__name__)

_VALIDATION_SEED = 20_240_416
CPU_CHANNELS = 1 << 13  # jets times width of a part on a CPU: more at once take memory, and no less time


class Strategy:
    """Carry out the work of one training on the devices and in the memory there are.

    Parameters
    ----------
    model
        Trained in place. Made with the weights it goes on from, as its copies in other processes.
    average
        The model that is validated: a moving average of the weights, or the model itself.
    objective
        See `omnilearn_lab.training.losses`.
    optimizer
        Over the parameters of the model; gradients are cleared through it.
    config : TrainConfig
    run : Run
        Where word is left for the next start, when memory runs out in one of several processes.
    """

    def __init__(
        self,
        model: nn.Module,
        average: nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        config: TrainConfig,
        run: Run,
    ) -> None:
        self.model, self.average, self.config, self.run = model, average, config, run
        self.objective, self.optimizer = objective, optimizer
        self.device, self.shard = next(model.parameters()).device, distributed.this_shard()
        self.n_parts = max(config.accumulate, self._parts_on_cpu())
        self.is_sharded = self.shard.n_ranks > 1 and config.parallel == "fsdp"
        self._body = [p for n, p in model.named_parameters() if n.startswith("body.") and p.requires_grad]

    def gradients(self, feed: Feed, step: int) -> dict[str, Tensor]:
        """Put the gradients of an update into the model, and return its loss terms.

        Parameters
        ----------
        feed : Feed
            Where this process' jets come from.
        step
            Number of the update, from which its random numbers are drawn.
        """
        portion = feed.take(step, self.n_parts)
        whole, sizes = _over_ranks(portion)
        self.let_body_learn(step >= self.config.head_updates)
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                return distributed.add_over_ranks(self._add_gradients(portion, step, whole, sizes))
            except torch.OutOfMemoryError as error:
                reason = str(error).split(". ")[0]
            self._use_smaller_parts(step, sizes[self.shard.rank][0] // feed.batches.jets_per_event, reason)
            portion = feed.take(step, self.n_parts)

    def validate(self, batches: Batches, *, live: bool = False) -> tuple[dict[str, float], Batches]:
        """Return the loss terms over all jets, and the batches for next time, smaller where memory ran out.

        Parameters
        ----------
        batches : Batches
        live
            Measure the weights that are trained instead of their moving average.
        """
        losses = self._live_losses if live else self._averaged_losses
        while True:
            try:
                with self.precision():
                    terms = evaluate(losses, batches, shard=self.shard)
                distributed.share_out_again(losses)
                return terms, batches
            except torch.OutOfMemoryError as error:
                reason = str(error).split(". ")[0]
            if self.shard.n_ranks > 1:
                self._ask_for_parts(2 * self.n_parts, f"in validation ({reason})")
            batches = batches.smaller(reason)
            log.warning("out of memory in validation: %d jets at a time now", batches.batch_size)

    def let_body_learn(self, learns: bool) -> None:
        """Make gradients for the body, or leave it as it is for now."""
        if self.shard.n_ranks == 1:
            for parameter in self._body:
                parameter.requires_grad_(learns)
        self._body_rests = not learns

    def do_less_at_once(self, validation: Batches) -> Batches:
        """Take smaller parts, as a process of an earlier start asked for; return batches for validation."""
        n_parts, together = self.run.n_parts_asked, validation.jets_per_event
        if self.shard.is_main:
            log.warning("memory did not suffice: %d parts per update now", n_parts)
        self.n_parts = max(n_parts, self.n_parts)
        n_events = 4 * self.config.batch_size * self.config.accumulate // n_parts // together
        return Batches(validation.jets, max(1, n_events), jets_per_event=together)

    def share_out(self, jets: Batch) -> None:
        """Spread the work over all processes, once weights and optimizer are what they will be.

        Parameters
        ----------
        jets : Batch
            A few jets that tell which parameters the objective does not reach.
        """
        plain = LossModule(self.model, self.objective)
        is_alone = self.shard.n_ranks == 1
        unused = [] if is_alone or self.is_sharded else self._unused(plain, jets)
        self._losses = distributed.spread(plain, self.config.parallel, unused)
        self._live_losses = self._averaged_losses = self._losses if self.is_sharded else plain
        if self.average is not self.model:
            other = LossModule(self.average, self.objective)
            self._averaged_losses = distributed.spread(other, "fsdp") if self.is_sharded else other
        if self.is_sharded:
            spread = make_optimizer(self.model, self.config)
            self.optimizer = distributed.spread_optimizer(self.optimizer, spread)

    def copied(self, module: nn.Module) -> dict[str, Tensor]:
        """Return a copy of a module's weights; where they are shared out, the first process gets them all."""
        if not self.is_sharded:
            return copy.deepcopy(module.state_dict())
        weights = distributed.whole_tensors(module.state_dict())
        return {n: v.to("cpu", copy=True) for n, v in weights.items()} if self.shard.is_main else {}

    def precision(self) -> torch.autocast:
        """Return a context in which matrix products have the precision of the settings."""
        enabled = self.config.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def _parts_on_cpu(self) -> int:
        """Parts that save memory on a CPU; one where jets of an update are looked at together."""
        norms = (isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.model.modules())
        compares = getattr(self.objective, "alpha", "") == "batch" or getattr(
            self.objective, "contrastive", 0
        )
        if self.device.type != "cpu" or compares or any(norms):
            return 1
        width = getattr(getattr(self.model, "config", None), "width", 0)
        return max(1, -(-self.config.batch_size * width // (CPU_CHANNELS * self.shard.n_ranks)))

    def _add_gradients(
        self, portion: Portion, step: int, whole: Whole, ranks: list[tuple[int, int]]
    ) -> dict[str, Tensor]:
        rank, n_parts = self.shard.rank, len(portion.parts)
        sizes = [*ranks[:rank], *portion.sizes, *ranks[rank + 1 :]]
        terms: dict[str, Tensor] = {}
        for number, part in enumerate(portion.parts):
            extent = Extent.of(sizes, rank + number) if len(sizes) > 1 else None
            with distributed.gradients_wait(self._losses, number < n_parts - 1):
                with seeded(self.config.seed, step, self.device):
                    losses = self._part_losses(part, whole, extent)
                (losses["loss"] * self.shard.n_ranks).backward()  # gradients of ranks are averaged
            terms = {name: terms.get(name, 0.0) + value.detach() for name, value in losses.items()}
        if self._body_rests:  # ranks made gradients for it: what they add up was agreed on at the start
            for parameter in self._body:
                parameter.grad = None
        return terms

    def _part_losses(self, part: Batch, whole: Whole, extent: Extent | None) -> dict[str, Tensor]:
        with self.precision(), PartDraws(extent) if extent else nullcontext():
            return self._losses(part, whole)

    def _use_smaller_parts(self, step: int, n_events: int, reason: str) -> None:
        n_parts = 2 * self.n_parts
        if n_parts > n_events:
            raise TrainingError(
                f"memory does not suffice for {n_events} jets in {self.n_parts} parts ({reason}); use "
                "a smaller network, shorter jets, or another device"
            )
        if self.shard.n_ranks > 1:
            self._ask_for_parts(n_parts, f"at step {step} ({reason})")
        log.warning("out of memory at step %d: %d parts per update now", step, n_parts)
        self.n_parts = n_parts
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _ask_for_parts(self, n_parts: int, where: str) -> NoReturn:
        """End one of several processes: the others wait for it, and can only follow by starting anew."""
        advice = f"set accumulate to {n_parts}"
        if self.run.directory:
            self.run.ask_for_parts(n_parts)
            advice = f"start the run again: it goes on from its last checkpoint in {n_parts} parts per update"
        raise TrainingError(
            f"memory does not suffice in process {self.shard.rank} of {self.shard.n_ranks} {where}; {advice}"
        )

    def _unused(self, losses: LossModule, jets: Batch) -> list[str]:
        """Return the parameters that the objective does not reach."""
        with seeded(self.config.seed, 0, self.device):
            losses(jets.to(self.device), Whole.of(jets))["loss"].backward()
        unused = [name for name, p in losses.named_parameters() if p.grad is None]
        self.optimizer.zero_grad(set_to_none=True)
        return unused


@torch.no_grad()
def evaluate(
    losses: nn.Module, batches: Batches, *, shard: distributed.Shard | None = None
) -> dict[str, float]:
    """Return the loss terms over all jets, with the same noise every time.

    Parameters
    ----------
    losses : LossModule
        A model and its objective.
    batches : Batches
    shard : Shard, optional
        Ranks take batches in turn, and all get the result.

    Returns
    -------
    dict of str to float
        Means over jets, weighted when the jets have weights.
    """
    device = next(losses.parameters()).device
    whole = Whole.of(batches.jets)
    terms: dict[str, Tensor] = {}
    with evaluating(losses):
        for number, batch, share in _in_turn(batches, shard or distributed.Shard()):
            with seeded(_VALIDATION_SEED, number, device):
                part = losses(batch.to(device), whole)
            terms = {name: terms.get(name, 0.0) + share * value.double() for name, value in part.items()}
    total = terms if shard is None else distributed.add_over_ranks(terms)
    return dict(zip(total, torch.stack(list(total.values())).tolist(), strict=True))  # one wait for all


def _in_turn(batches: Batches, shard: distributed.Shard) -> Iterator[tuple[int, Batch, float]]:
    """Yield this rank's batches; ranks that have one less end with one that counts nothing.

    All ranks then do the same number of steps, which shared-out weights need.
    """
    for number, batch in enumerate(batches.in_order()):
        if number % shard.n_ranks == shard.rank:
            yield number, batch, 1.0
    if (number + 1) % shard.n_ranks and shard.rank > number % shard.n_ranks:
        yield number, batch, 0.0


def compile_layers(model: nn.Module) -> list[str]:
    """Translate the dense parts of a model in place; parameters and their names stay as they are.

    Jets are packed in blocks whose number and length differ from batch to batch, which a translator would
    have to follow anew each time. So only modules that map rows to rows are translated (the MLPs, where
    most products are), for any number of rows.

    Parameters
    ----------
    model

    Returns
    -------
    list of str
        Names of the translated modules.

    Raises
    ------
    TrainingError
        When nothing can be translated on this machine; the usual reason is a missing C++ compiler.
    """
    try:
        torch.compile(lambda x: x * 2 + 1)(torch.zeros(4, device=next(model.parameters()).device))
    except Exception as error:
        raise TrainingError(
            f"compile=True does not work on this machine ({str(error).splitlines()[0]}); install a C++ "
            "compiler (g++), or set compile=False"
        ) from error
    names = [name for name, module in model.named_modules() if _maps_rows(module)]
    for name in names:
        model.get_submodule(name).compile(dynamic=True)
    return names


def _maps_rows(module: nn.Module) -> bool:
    has_layers = any(isinstance(child, nn.Linear) for child in module.children())
    return has_layers and list(inspect.signature(module.forward).parameters) == ["rows"]


def _over_ranks(portion: Portion) -> tuple[Whole, list[tuple[int, int]]]:
    """Return the sums over all jets of an update, and how many jets and particles each rank has of it."""
    ranks = distributed.gather(portion.sums)
    wholes = [Whole.from_vector(sums[2:]) for sums in ranks]
    return sum(wholes[1:], start=wholes[0]), [tuple(sums[:2].long().tolist()) for sums in ranks]
