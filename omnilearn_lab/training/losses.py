"""What a training minimises: each objective turns a model and a batch into named loss terms.

An objective is a callable ``objective(model, batch, whole=None) -> dict`` of scalar tensors, ``loss`` among
them. Terms are weighted means over the jets; their normalisation comes from ``whole`` (the batch itself by
default), so that the terms of the parts of a batch add up to those of the batch. An objective without the
third argument also trains; its terms must then be means over jets, by weight.

The formulas of PET v2's flow are in `omnilearn_lab.models.diffusion`.

A training draws times, noise and drops for the jets of an update, and its loss terms are means over them.
When the update is done in parts, by several processes or in micro-batches, each part divides by the sums of
the whole (`Whole`) and draws what one process would have drawn for the same jets (`PartDraws`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from omnilearn_lab.errors import ConfigError, TrainingError
from omnilearn_lab.models import Batch, ClassifierOutput, PETv2, perturb, perturb_flow
from omnilearn_lab.models.baselines import TokenTransformer
from omnilearn_lab.models.batch import hide_particles
from omnilearn_lab.models.diffusion import NO_LABEL, class_entropy, contrastive_entropy, velocity_error

_SUMS = ("weight", "particle_weight", "labelled_weight")
_LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


@dataclass(frozen=True, eq=False)
class Whole:
    """Sums over all jets of an update, of which a batch may be one part.

    Loss terms are weighted means. A part divides its sums by those of the whole, so that the terms and the
    gradients of all parts (micro-batches, ranks, validation batches) simply add up to those of the whole.

    Parameters
    ----------
    weight
        Sum of the weights w of the jets; jets without weights count one each.
    particle_weight, labelled_weight
        Sum of w over all particles, and over those with a class.
    class_weight : float64 Tensor, shape (C,)
        Sum of w of each class, on the CPU; C is the largest label plus one, or more.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(3, 4)
    >>> jets = Batch(x, x[:, :2], torch.tensor([0, 1, 3]), torch.zeros(2, 0), label=torch.tensor([0, 1]))
    >>> whole = Whole.of(jets) + Whole.of(jets)
    >>> whole.weight, whole.particle_weight, whole.class_weight.tolist()
    (4.0, 6.0, [2.0, 2.0])
    """

    weight: float
    particle_weight: float
    labelled_weight: float
    class_weight: Tensor

    @classmethod
    def of(cls, jets: Batch) -> Whole:
        """Add up a batch; on the CPU this is cheap, on a GPU it waits for the device."""
        weight = jet_weights(jets).double()
        counts = jets.counts
        labelled = 0.0
        if jets.particle_label is not None:
            rows = torch.repeat_interleave(weight, counts)
            labelled = float(rows[jets.particle_label >= 0].sum())
        by_class = weight.new_zeros(0)
        if jets.label is not None and not jets.label.is_floating_point():
            by_class = torch.bincount(jets.label, weight)
        return cls(float(weight.sum()), float(weight @ counts.double()), labelled, by_class.cpu())

    def __add__(self, other: Whole) -> Whole:
        size = max(len(self.class_weight), len(other.class_weight))
        by_class = (functional.pad(w.class_weight, (0, size - len(w.class_weight))) for w in (self, other))
        sums = (getattr(self, name) + getattr(other, name) for name in _SUMS)
        return Whole(*sums, sum(by_class))

    def to_vector(self) -> Tensor:
        """Return all sums in a row, float64, shape (3 + C,): what processes tell each other."""
        sums = torch.tensor([getattr(self, name) for name in _SUMS], dtype=torch.float64)
        return torch.cat([sums, self.class_weight.double()])

    @classmethod
    def from_vector(cls, vector: Tensor) -> Whole:
        """Undo `to_vector`."""
        return cls(*vector[: len(_SUMS)].tolist(), vector[len(_SUMS) :])

    @cached_property
    def balance(self) -> Tensor:
        """Factor of each class that gives those present the same sum of weights; mean one, float32, (C,)."""
        share = self.weight / (self.class_weight.clamp_min(1e-30) * (self.class_weight > 0).sum())
        return torch.where(self.class_weight > 0, share, 0.0).float()

    def kind_weights(self, n_jet_classes: int) -> Tensor:
        """Sum of weights of jet classes and of event classes, float32, shape (2,)."""
        kinds = self.class_weight[:n_jet_classes].sum(), self.class_weight[n_jet_classes:].sum()
        return torch.stack(kinds).float()

    def mean(self, values: Tensor, jets: Batch) -> Tensor:
        """Return sum(w x) of a part over the whole's sum(w); x has shape (B,)."""
        weighted = values if jets.weight is None else values * jets.weight
        return weighted.sum() / self.weight

    def mean_of_particles(self, values: Tensor, jets: Batch) -> Tensor:
        """Return the same mean over all particles, each with its jet's weight; x has shape (T,)."""
        weighted = values if jets.weight is None else values * jets.packing.to_rows(jets.weight)
        return weighted.sum() / self.particle_weight

    def mean_of_labelled(self, values: Tensor, jets: Batch) -> Tensor:
        """Return the same mean over the particles with a class, 0 when there is none; x has shape (T,)."""
        rows = jets.packing.to_rows(jet_weights(jets)) * (jets.particle_label >= 0)
        return (values * rows).sum() / max(self.labelled_weight, 1e-30)


def jet_weights(jets: Batch) -> Tensor:
    """Return the weights of jets, ones when they have none, float32, shape (B,).

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(3, 4)
    >>> jet_weights(Batch(x, x[:, :2], torch.tensor([0, 1, 3]), torch.zeros(2, 0)))
    tensor([1., 1.])
    """
    return torch.ones(len(jets), device=jets.features.device) if jets.weight is None else jets.weight


@dataclass(frozen=True)
class Extent:
    """How many jets and particles a part of a batch holds, and how many come before it and in all.

    Parameters
    ----------
    jets, particles
        (number before this part, number in this part, number in the whole batch)
    """

    jets: tuple[int, int, int]
    particles: tuple[int, int, int]

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int]], number: int) -> Extent:
        """Return the extent of part ``number`` of parts with ``sizes`` (jets, particles).

        Examples
        --------
        >>> Extent.of([(2, 30), (2, 50)], 1)
        Extent(jets=(2, 2, 4), particles=(30, 50, 80))
        """
        jets, particles = (
            (sum(column[:number]), column[number], sum(column)) for column in zip(*sizes, strict=True)
        )
        return cls(jets, particles)


class PartDraws(TorchFunctionMode):
    """Inside, ``torch.rand`` and ``torch.randn`` (and ``*_like``) for a part draw for the whole batch.

    Meant are draws whose first size is the part's number of jets or particles, or twice that; other random
    numbers (``dropout``, for one) are drawn as ever.

    Parameters
    ----------
    extent : Extent

    Examples
    --------
    >>> whole = torch.rand(5, generator=torch.manual_seed(1))
    >>> with PartDraws(Extent(jets=(2, 3, 5), particles=(20, 30, 50))):
    ...     _ = torch.manual_seed(1)
    ...     part = torch.rand(3)
    >>> torch.equal(part, whole[2:])
    True
    """

    def __init__(self, extent: Extent) -> None:
        super().__init__()
        self.extent = extent

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Replace a draw for the part by the part's rows of a draw for the whole."""
        options = dict(kwargs or {})
        if func in _LIKE:
            like: Tensor = args[0]
            func, args = _LIKE[func], tuple(like.shape)
            options = {"device": like.device, "dtype": like.dtype} | options
        if func not in _LIKE.values() or not args:
            return func(*args, **options)
        shape = args if isinstance(args[0], int) else tuple(args[0])
        for copies, (before, own, total) in product((1, 2), (self.extent.jets, self.extent.particles)):
            if shape[:1] == (copies * own,):  # two copies: clean and noised jets pass a network together
                drawn = func(copies * total, *shape[1:], **options).unflatten(0, (copies, total))
                return drawn[:, before : before + own].flatten(0, 1)
        return func(shape, **options)


@contextmanager
def seeded(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Draw everything inside from (seed, step), and leave the global generators as they were.

    Examples
    --------
    >>> with seeded(1, 2, torch.device("cpu")):
    ...     first = torch.rand(3)
    >>> with seeded(1, 2, torch.device("cpu")):
    ...     torch.equal(first, torch.rand(3))
    True
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed((seed * 1_000_003 + step) % 2**63)
        yield


Objective = Callable[..., dict[str, Tensor]]

_SMALL_SHARE = 1e-6


def part_terms(objective: Objective, model: nn.Module, part: Batch, whole: Whole) -> dict[str, Tensor]:
    """Return the share of one part in the terms of the whole; the shares of all parts add up."""
    if "whole" in inspect.signature(objective).parameters:
        return objective(model, part, whole)
    share = Whole.of(part).weight / whole.weight
    return {name: share * value for name, value in objective(model, part).items()}


@dataclass(frozen=True)
class Classification:
    """Cross-entropy of the jet classes, weighted by the jets' weights.

    With one output the loss is the binary cross-entropy of its logit: for two samples with weights it
    learns the ratio of their densities, which is what reweighting and unfolding need.

    Parameters
    ----------
    jet_regression
        Factor of the mean squared error of the four standardised jet features, which OmniLearn adds
        in pretraining and leaves out in fine-tuning.
    label_smoothing
    balance
        Give all classes the same sum of weights, as OmniLearned does batch by batch.
    n_jet_classes
        Classes below this number and classes from it on (kinds of events) compete among their own kind,
        and the two losses are added; OmniLearned's pretraining has 200 and 10. None: one kind.

    References
    ----------
    OmniLearn, arXiv:2404.16091; OmniLearned, arXiv:2510.24066.
    """

    jet_regression: float = 0.0
    label_smoothing: float = 0.0
    balance: bool = False
    n_jet_classes: int | None = None

    def __post_init__(self) -> None:
        if self.n_jet_classes is not None and self.label_smoothing:
            raise ConfigError("label_smoothing spreads over all classes: leave it out with n_jet_classes")

    def __call__(self, model: nn.Module, batch: Batch, whole: Whole | None = None) -> dict[str, Tensor]:
        whole = whole or Whole.of(batch)
        output, label = model.classify(batch), check_label(batch)
        losses = self.cross_entropy(output.logits, label) * self.factors(label, whole)
        terms = {"classification": whole.mean(losses, batch)}
        terms["loss"] = terms["classification"]
        if self.jet_regression:
            error = functional.mse_loss(output.jet, batch.jet, reduction="none").mean(dim=1)
            terms["regression"] = whole.mean(error, batch)
            terms["loss"] = terms["loss"] + self.jet_regression * terms["regression"]
        return terms | {"accuracy": whole.mean(is_correct(output.logits.detach(), label), batch)}

    def prior(self, jets: Batch, n_outputs: int) -> Tensor:
        """Return the logits of the shares of the classes, shape (n_outputs,): the best guess without a look.

        Shares are those of the jets' weights, equal with ``balance``; an absent class gets a millionth.
        """
        check_label(jets)
        n_classes = max(n_outputs, 2)
        weight = functional.pad(Whole.of(jets).class_weight, (0, n_classes))[:n_classes]
        weight = (weight > 0).double() if self.balance else weight
        logits = (weight / weight.sum()).clamp_min(_SMALL_SHARE).log().float()
        return logits if n_outputs > 1 else logits[1:] - logits[:1]

    def cross_entropy(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of each jet, shape (B,)."""
        if logits.shape[1] == 1:
            return functional.binary_cross_entropy_with_logits(logits[:, 0], label.float(), reduction="none")
        if self.n_jet_classes is not None:
            return class_entropy(logits, label, n_jet_classes=self.n_jet_classes)
        return functional.cross_entropy(logits, label, reduction="none", label_smoothing=self.label_smoothing)

    def factors(self, label: Tensor, whole: Whole) -> Tensor:
        """Return the factor of each jet's loss that balances classes and averages kinds apart, shape (B,)."""
        factors = torch.ones(len(label), device=label.device)
        if self.balance:
            factors = whole.balance.to(label.device, non_blocking=True)[label]
        if self.n_jet_classes is not None:
            kinds = whole.kind_weights(self.n_jet_classes).to(label.device, non_blocking=True)
            factors = factors * whole.weight / kinds[(label >= self.n_jet_classes).long()]
        return factors


@dataclass(frozen=True)
class Regression:
    """Mean squared error of numbers of each jet: L = |r - r_hat|^2 / C.

    The outputs are the model's logits, so a model with ``n_classes = C``.

    Parameters
    ----------
    beta
        Errors above it count linearly (smooth L1, times 2 beta); 0 for squares everywhere.
    target : {"jet", "condition"}
        Which field of the batch holds the targets, standardised. PET takes ``jet`` as input: it needs
        ``condition``.
    """

    beta: float = 0.0
    target: str = "jet"

    def __call__(self, model: nn.Module, batch: Batch, whole: Whole | None = None) -> dict[str, Tensor]:
        whole = whole or Whole.of(batch)
        guess, target = model.classify(batch).logits, getattr(batch, self.target)
        if guess.shape != target.shape:
            raise TrainingError(
                f"the model gives {guess.shape[1]} numbers per jet and batch.{self.target} holds "
                f"{target.shape[1]}; put the targets there, and build the model with n_classes equal to "
                "their number"
            )
        squares = (guess - target).square()
        if self.beta:
            size = squares.sqrt()
            squares = torch.where(size < self.beta, squares, self.beta * (2 * size - self.beta))
        loss = whole.mean(squares.mean(dim=1), batch)
        return {"regression": loss, "loss": loss}

    def prior(self, jets: Batch, n_outputs: int) -> Tensor:
        """Return the mean target, shape (n_outputs,)."""
        weight = jet_weights(jets)[:, None]
        return ((weight * getattr(jets, self.target)).sum(0) / weight.sum())[:n_outputs]


@dataclass(frozen=True)
class ParticleRegression:
    """Mean squared error of numbers of each particle, ``batch.particle_target``.

    For a `PETv2` of mode "particle_regression" with as many ``n_particle_classes`` as numbers.
    """

    def __call__(self, model: PETv2, batch: Batch, whole: Whole | None = None) -> dict[str, Tensor]:
        if batch.particle_target is None:
            raise TrainingError("regression of particles needs 'particle_target' in the batch")
        error = _velocity_error(model.regress_particles(batch), batch.particle_target)
        loss = (whole or Whole.of(batch)).mean_of_particles(error, batch)
        return {"regression": loss, "loss": loss}


@dataclass(frozen=True)
class Generation:
    """Velocity prediction of the diffused particle features.

    L = sum (v - v_hat)^2 over the diffused features of all particles, divided by their number.

    References
    ----------
    OmniLearn, arXiv:2404.16091, eq. 3.
    """

    use_labels: bool = True

    def __call__(self, model: nn.Module, batch: Batch, whole: Whole | None = None) -> dict[str, Tensor]:
        whole = whole or Whole.of(batch)
        time = torch.rand(len(batch), device=batch.features.device)
        perturbed = perturb(batch, time, n_diffused=model.config.n_diffused)
        label = batch.label if self.use_labels else None
        velocity = model.velocity(perturbed.batch, time, label)
        loss = whole.mean_of_particles(_velocity_error(velocity, perturbed.target), batch)
        return {"generation": loss, "loss": loss}


@dataclass(frozen=True)
class JointPretraining:
    """OmniLearn's joint loss: classify jets, predict their noise, classify noised jets.

    L = CE(y, clean) + MSE(jet, clean) + |v - v_hat|^2 + alpha(t)^2 [CE(y, noised) + MSE(jet, noised)]

    where t ~ U(0, 1) per jet and alpha(t)^2 is the share of signal left, taken per jet. The mean squared
    error of the jet features is in OmniLearn's code and not in the paper's formula;
    ``jet_regression = 0`` gives the paper's.

    Parameters
    ----------
    jet_regression
        Factor of both jet-regression terms.
    classification, generation
        Factors of the terms of the clean jets, and of the velocity; those of the noised jets have both.
    alpha : {"jet", "batch"}
        "batch" replaces alpha^2 by its mean over the batch, as OmniLearn's code does by broadcasting.

    References
    ----------
    OmniLearn, arXiv:2404.16091, eq. 4.
    """

    jet_regression: float = 1.0
    alpha: str = "jet"
    classification: float = 1.0
    generation: float = 1.0

    def __call__(self, model: nn.Module, batch: Batch, whole: Whole | None = None) -> dict[str, Tensor]:
        whole, label = whole or Whole.of(batch), check_label(batch)
        time = torch.rand(len(batch), device=batch.features.device)
        perturbed = perturb(batch, time, n_diffused=model.config.n_diffused)
        output = model.joint(batch, perturbed.batch, time, label)
        share = perturbed.alpha**2 if self.alpha == "jet" else (perturbed.alpha**2).mean()
        clean, noised = self._terms(output.clean, batch), self._terms(output.perturbed, batch)
        errors = _velocity_error(output.velocity, perturbed.target)
        terms = {
            "classification": whole.mean(clean[0], batch),
            "regression": whole.mean(clean[1], batch),
            "generation": whole.mean_of_particles(errors, batch),
            "classification_noised": whole.mean(share * noised[0], batch),
            "regression_noised": whole.mean(share * noised[1], batch),
        }
        on_clean, on_noised = self.classification, self.classification * self.generation
        regression = on_clean * terms["regression"] + on_noised * terms["regression_noised"]
        classification = on_clean * terms["classification"] + on_noised * terms["classification_noised"]
        generation = self.generation * terms["generation"]
        terms["loss"] = classification + generation + self.jet_regression * regression
        return terms | {"accuracy": whole.mean(is_correct(output.clean.logits.detach(), label), batch)}

    def _terms(self, output: ClassifierOutput, batch: Batch) -> tuple[Tensor, Tensor]:
        entropy = functional.cross_entropy(output.logits, check_label(batch), reduction="none")
        error = functional.mse_loss(output.jet, batch.jet, reduction="none").mean(dim=1)
        return entropy, error


@dataclass(frozen=True)
class FlowGeneration:
    """Velocity of the straight path from a jet to its noise, for a `PETv2` of mode "generator".

    L = mean over jets of sum_p |v - v_hat|^2 / n, with z = (1 - t) x + t eta, v = eta - x, t ~ U(0, 1).

    References
    ----------
    OmniLearned, arXiv:2510.24066.

    Examples
    --------
    >>> from omnilearn_lab.models import PETv2Config
    >>> x = torch.randn(6, 4)
    >>> jets = Batch(x, x[:, :2], torch.tensor([0, 2, 6]), torch.zeros(2, 0), label=torch.tensor([0, 1]))
    >>> sorted(FlowGeneration()(PETv2(PETv2Config.named("tiny", mode="generator")), jets))
    ['generation', 'loss']
    """

    def __call__(self, model: PETv2, batch: Batch, whole: Whole | None = None) -> dict[str, Tensor]:
        whole = whole or Whole.of(batch)
        time = torch.rand(len(batch), device=batch.features.device)
        moved = perturb_flow(batch, time)
        velocity = model.velocity(moved.batch, time, batch.label)
        loss = whole.mean(velocity_error(velocity, moved.target, batch.packing), batch)
        return {"generation": loss, "loss": loss}


@dataclass(frozen=True)
class FlowPretraining:
    """OmniLearned's joint loss, for a `PETv2` of mode "pretrain", and masked particle modelling beside it.

    L = a CE(y, clean) + b |v - v_hat|^2 + a b (1 - t)^2 CE(y, noised)
    + c a b (1 - t)^2 contrast(clean, noised) + m CE(codes of hidden particles, visible)

    A term whose factor is zero is not computed, and its head need not be there: the modes "classifier",
    "generator" and "masked" do for parts of the loss.

    Parameters
    ----------
    classes : Classification
        Balance of the classes and kinds of classes, for clean and noised jets. The published pretraining
        has ``Classification(balance=True, n_jet_classes=200)``.
    contrastive
        Factor c of the contrastive loss, which brings the class tokens of a jet and of its noised self
        together and those of different jets apart; 0, as in all published commands, leaves it out. It
        compares the jets of one micro-batch.
    classification, generation
        Factors a and b; 1 in OmniLearned.
    masked
        Factor m of the mean cross-entropy of the codes of hidden particles, for a network with ``n_codes``;
        0, as in OmniLearned, leaves it out.
    masked_share
        Share of a jet's particles that is hidden, see
        `omnilearn_lab.models.batch.hide_particles`.

    References
    ----------
    OmniLearned, arXiv:2510.24066; masked modelling beside it: arXiv:2606.14870.

    Examples
    --------
    >>> from omnilearn_lab.models import PETv2Config
    >>> x = torch.randn(6, 4)
    >>> jets = Batch(x, x[:, :2], torch.tensor([0, 2, 6]), torch.zeros(2, 0), label=torch.tensor([0, 1]))
    >>> terms = FlowPretraining()(PETv2(PETv2Config.named("tiny", mode="pretrain")), jets)
    >>> [name for name in terms if name.startswith("class")]
    ['classification', 'classification_noised']
    """

    classes: Classification = field(default_factory=lambda: Classification(balance=True))
    contrastive: float = 0.0
    classification: float = 1.0
    generation: float = 1.0
    masked: float = 0.0
    masked_share: float = 0.3

    def __call__(self, model: PETv2, batch: Batch, whole: Whole | None = None) -> dict[str, Tensor]:
        whole = whole or Whole.of(batch)
        time = torch.rand(len(batch), device=batch.features.device)
        moved = perturb_flow(batch, time)
        clean = model.body(batch) if self.classification else None
        noised = model.body(moved.batch, time) if self.generation else None
        is_joint = clean is not None and noised is not None
        logits = None if clean is None else model.classifier(clean)
        noised_logits = model.classifier(noised) if is_joint else None
        terms, quality, share = {}, {}, moved.alpha.square()
        if noised is not None:
            velocity = model.generator(noised, batch.label)
            error = velocity_error(velocity, moved.target, batch.packing)
        if clean is not None:
            terms["classification"] = whole.mean(self._entropy(logits, batch, whole), batch)
            quality["accuracy"] = whole.mean(is_correct(logits.detach(), check_label(batch)), batch)
        if noised is not None:
            terms["generation"] = whole.mean(error, batch)
        if is_joint:
            entropy = self._entropy(noised_logits, batch, whole, share)
            terms["classification_noised"] = whole.mean(entropy, batch)
        if is_joint and self.contrastive:
            contrast = contrastive_entropy(_tokens(model, clean), _tokens(model, noised))
            terms["contrastive"] = whole.mean(share * contrast, batch)
        if self.masked:
            terms["masked"] = whole.mean(self._masked_entropy(model, batch), batch)
        factors = self._factors()
        return terms | {"loss": sum(factors[name] * value for name, value in terms.items())} | quality

    def _factors(self) -> dict[str, float]:
        both = self.classification * self.generation
        return {
            "classification": self.classification,
            "generation": self.generation,
            "classification_noised": both,
            "contrastive": self.contrastive * both,
            "masked": self.masked,
        }

    def _entropy(self, logits: Tensor, batch: Batch, whole: Whole, share: Tensor | float = 1.0) -> Tensor:
        label = check_label(batch)
        return share * self.classes.factors(label, whole) * self.classes.cross_entropy(logits, label)

    def _masked_entropy(self, model: PETv2, batch: Batch) -> Tensor:
        """Mean over the hidden particles of each jet, (B,)."""
        hidden = hide_particles(batch, self.masked_share)
        logits = model.guess_hidden(hidden.visible, hidden.places).flatten(0, 1)[hidden.slots]
        codes = model.masked.codebook.encode(hidden.features)
        return hidden.mean(functional.cross_entropy(logits, codes, reduction="none"))


@dataclass(frozen=True)
class NextToken:
    """Mean cross-entropy of the codes of a jet and its end, for a `TokenTransformer`; padding has no part.

    References
    ----------
    OmniJet-alpha, arXiv:2403.05618.
    """

    def __call__(
        self, model: TokenTransformer, batch: Batch, whole: Whole | None = None
    ) -> dict[str, Tensor]:
        whole = whole or Whole.of(batch)
        n_guesses = whole.weight + whole.particle_weight
        loss = whole.mean(model.surprise(batch), batch) * (whole.weight / n_guesses)
        return {"next_token": loss, "loss": loss}


@dataclass(frozen=True)
class FlavourTagging:
    """Class of the jet and origin of its tracks, for a `PETv2` of mode "ftag".

    L = CE(jet class) + c CE(track class), the second over the particles with ``particle_label >= 0``. The
    head of the tracks is told the true class of the jet, as the published one: its own accuracy says
    nothing about jets whose class is unknown.

    Parameters
    ----------
    classes : Classification
        Balance of the classes.
    tracks
        Factor c of the auxiliary task.

    References
    ----------
    OmniLearned, arXiv:2510.24066.

    Examples
    --------
    >>> from omnilearn_lab.models import PETv2Config
    >>> x = torch.randn(6, 4)
    >>> jets = Batch(x, x[:, :2], torch.tensor([0, 2, 6]), torch.zeros(2, 0), label=torch.tensor([0, 1]))
    >>> jets = jets.replace(particle_label=torch.tensor([0, 1, 2, -1, 0, 1]))
    >>> model = PETv2(PETv2Config.named("tiny", mode="ftag", n_particle_classes=3))
    >>> sorted(FlavourTagging()(model, jets))
    ['accuracy', 'accuracy_tracks', 'classification', 'classification_tracks', 'loss']
    """

    classes: Classification = field(default_factory=lambda: Classification(balance=True))
    tracks: float = 1.0

    def __call__(self, model: PETv2, batch: Batch, whole: Whole | None = None) -> dict[str, Tensor]:
        whole, label, origin = whole or Whole.of(batch), check_label(batch), _track_label(batch)
        output, track_logits = model.classify_all(batch, label)
        losses = self.classes.cross_entropy(output.logits, label) * self.classes.factors(label, whole)
        track_losses = functional.cross_entropy(track_logits, origin, ignore_index=NO_LABEL, reduction="none")
        terms = {
            "classification": whole.mean(losses, batch),
            "classification_tracks": whole.mean_of_labelled(track_losses, batch),
        }
        terms["loss"] = terms["classification"] + self.tracks * terms["classification_tracks"]
        correct = is_correct(output.logits.detach(), label), is_correct(track_logits.detach(), origin)
        terms["accuracy"] = whole.mean(correct[0], batch)
        return terms | {"accuracy_tracks": whole.mean_of_labelled(correct[1], batch)}

    def prior(self, jets: Batch, n_outputs: int) -> Tensor:
        """Return the logits of the shares of the jets' classes, shape (n_outputs,)."""
        return self.classes.prior(jets, n_outputs)


def check_label(batch: Batch) -> Tensor:
    """Return the class labels, shape (B,).

    Raises
    ------
    TrainingError
        When the jets have none.
    """
    if batch.label is None:
        raise TrainingError("this objective needs class labels and the jets have none; add a 'label' column")
    return batch.label


def is_correct(logits: Tensor, label: Tensor) -> Tensor:
    """Return 1 where the largest logit is the label's (or a single logit has the right sign), shape (B,).

    Examples
    --------
    >>> is_correct(torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([1, 1]))
    tensor([1., 0.])
    """
    guess = logits.argmax(dim=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
    return (guess == label).float()


def _velocity_error(velocity: Tensor, target: Tensor) -> Tensor:
    """Mean squared error over the features of each particle, shape (T,)."""
    return functional.mse_loss(velocity, target, reduction="none").mean(dim=1)


def _tokens(model: PETv2, encoded: object) -> Tensor:
    """Class tokens of each jet in a row, shape (B, tokens d): what the contrastive loss compares."""
    return encoded.leads()[:, : model.config.n_tokens].flatten(1)


def _track_label(batch: Batch) -> Tensor:
    if batch.particle_label is None:
        raise TrainingError(
            "flavour tagging with track origins needs 'particle_label' in the batch (-1 for no class); "
            "without origins train a classifier with Classification"
        )
    return batch.particle_label
