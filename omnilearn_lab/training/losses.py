"""What a training minimises: each objective turns a model and a batch into named loss terms.

An objective is a callable ``objective(model, batch) -> dict`` of scalar tensors, ``loss`` among them.
Terms are weighted means over the jets of the batch, so that terms of two batches average by the sum of
weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import TrainingError
from omnilearn_lab.models import Batch, ClassifierOutput, perturb

__all__ = ["Classification", "Generation", "JointPretraining", "Objective", "weighted_mean"]

Objective = Callable[[nn.Module, Batch], dict[str, Tensor]]


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Return sum(w x) / sum(w), or the plain mean without weights; shapes (B,)."""
    if weight is None:
        return values.mean()
    return (values * weight).sum() / weight.sum()


@dataclass(frozen=True)
class Classification:
    """Cross-entropy of the jet classes, weighted by the jets' weights.

    With one output the loss is the binary cross-entropy of its logit.

    Parameters
    ----------
    jet_regression
        Factor of the mean squared error of the four standardised jet features, which OmniLearn adds
        in pretraining and leaves out in fine-tuning.
    label_smoothing
    """

    jet_regression: float = 0.0
    label_smoothing: float = 0.0

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        output = model.classify(batch)
        label = _label(batch)
        terms = {"classification": weighted_mean(self.cross_entropy(output.logits, label), batch.weight)}
        terms["loss"] = terms["classification"]
        if self.jet_regression:
            error = functional.mse_loss(output.jet, batch.jet, reduction="none").mean(dim=1)
            terms["regression"] = weighted_mean(error, batch.weight)
            terms["loss"] = terms["loss"] + self.jet_regression * terms["regression"]
        correct = _is_correct(output.logits.detach(), label)
        return terms | {"accuracy": weighted_mean(correct, batch.weight)}

    def cross_entropy(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of each jet, shape (B,)."""
        if logits.shape[1] == 1:
            return functional.binary_cross_entropy_with_logits(logits[:, 0], label.float(), reduction="none")
        return functional.cross_entropy(logits, label, reduction="none", label_smoothing=self.label_smoothing)


@dataclass(frozen=True)
class Generation:
    """Velocity prediction of the diffused particle features.

    L = sum (v - v_hat)^2 over the diffused features of all particles, divided by their number.

    References
    ----------
    OmniLearn, arXiv:2404.16091, eq. 3.
    """

    use_labels: bool = True

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        time = torch.rand(len(batch), device=batch.features.device)
        perturbed = perturb(batch, time, n_diffused=model.config.n_diffused)
        label = batch.label if self.use_labels else None
        velocity = model.velocity(perturbed.batch, time, label)
        loss = functional.mse_loss(velocity, perturbed.target)
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
    alpha : {"jet", "batch"}
        "batch" replaces alpha^2 by its mean over the batch, as OmniLearn's code does by broadcasting.

    References
    ----------
    OmniLearn, arXiv:2404.16091, eq. 4.
    """

    jet_regression: float = 1.0
    alpha: str = "jet"

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        time = torch.rand(len(batch), device=batch.features.device)
        perturbed = perturb(batch, time, n_diffused=model.config.n_diffused)
        output = model.joint(batch, perturbed.batch, time, _label(batch))
        share = perturbed.alpha**2 if self.alpha == "jet" else (perturbed.alpha**2).mean()
        clean, noised = self._terms(output.clean, batch), self._terms(output.perturbed, batch)
        terms = {
            "classification": weighted_mean(clean[0], batch.weight),
            "regression": weighted_mean(clean[1], batch.weight),
            "generation": functional.mse_loss(output.velocity, perturbed.target),
            "classification_noised": weighted_mean(share * noised[0], batch.weight),
            "regression_noised": weighted_mean(share * noised[1], batch.weight),
        }
        regression = self.jet_regression * (terms["regression"] + terms["regression_noised"])
        classification = terms["classification"] + terms["classification_noised"]
        terms["loss"] = classification + terms["generation"] + regression
        correct = _is_correct(output.clean.logits.detach(), _label(batch))
        return terms | {"accuracy": weighted_mean(correct, batch.weight)}

    def _terms(self, output: ClassifierOutput, batch: Batch) -> tuple[Tensor, Tensor]:
        entropy = functional.cross_entropy(output.logits, _label(batch), reduction="none")
        error = functional.mse_loss(output.jet, batch.jet, reduction="none").mean(dim=1)
        return entropy, error


def _label(batch: Batch) -> Tensor:
    if batch.label is None:
        raise TrainingError("this objective needs class labels and the jets have none; add a 'label' column")
    return batch.label


def _is_correct(logits: Tensor, label: Tensor) -> Tensor:
    guess = logits.argmax(dim=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
    return (guess == label).float()
