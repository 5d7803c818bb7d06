"""The objectives of PET v2: flow matching, joint pretraining, and flavour tagging with track origins.

Every term is a weighted mean over jets; see `omnilearn_lab.training.losses` for the contract and
`omnilearn_lab.models.objectives` for the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from omnilearn_lab.errors import TrainingError
from omnilearn_lab.models import Batch, PETv2, perturb_flow
from omnilearn_lab.models.objectives import NO_LABEL, contrastive_entropy, velocity_error
from omnilearn_lab.training.losses import Classification, check_label, is_correct
from omnilearn_lab.training.whole import Whole

__all__ = ["FlavourTagging", "FlowGeneration", "FlowPretraining"]


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
    """OmniLearned's joint loss, for a `PETv2` of mode "pretrain".

    L = CE(y, clean) + |v - v_hat|^2 + (1 - t)^2 CE(y, noised) + c (1 - t)^2 contrast(clean, noised)

    Parameters
    ----------
    classes : Classification
        Balance of the classes and kinds of classes, for clean and noised jets. The published pretraining
        has ``Classification(balance=True, n_jet_classes=200)``.
    contrastive
        Factor c of the contrastive loss, which brings the class tokens of a jet and of its noised self
        together and those of different jets apart; 0, as in all published commands, leaves it out. It
        compares the jets of one micro-batch.

    References
    ----------
    OmniLearned, arXiv:2510.24066.

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

    def __call__(self, model: PETv2, batch: Batch, whole: Whole | None = None) -> dict[str, Tensor]:
        whole, label = whole or Whole.of(batch), check_label(batch)
        time = torch.rand(len(batch), device=batch.features.device)
        moved = perturb_flow(batch, time)
        clean, noised = model.body(batch), model.body(moved.batch, time)
        logits, noised_logits = model.classifier(clean), model.classifier(noised)
        error = velocity_error(model.generator(noised, label), moved.target, batch.packing)
        share, factors = moved.alpha.square(), self.classes.factors(label, whole)
        terms = {
            "classification": whole.mean(factors * self.classes.cross_entropy(logits, label), batch),
            "generation": whole.mean(error, batch),
            "classification_noised": whole.mean(
                share * factors * self.classes.cross_entropy(noised_logits, label), batch
            ),
        }
        terms["loss"] = sum(terms.values())
        if self.contrastive:
            entropy = contrastive_entropy(_tokens(model, clean), _tokens(model, noised))
            terms["contrastive"] = whole.mean(share * entropy, batch)
            terms["loss"] = terms["loss"] + self.contrastive * terms["contrastive"]
        return terms | {"accuracy": whole.mean(is_correct(logits.detach(), label), batch)}


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
