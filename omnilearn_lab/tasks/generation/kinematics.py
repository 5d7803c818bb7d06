"""The first stage of jet generation: what jets there are, and how a network learns their kinematics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.features import jet_features
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import Batch
from omnilearn_lab.models.diffusion import perturb_jets
from omnilearn_lab.settings import settings


@settings
class JetDomain:
    """What jets a generator has seen.

    Parameters
    ----------
    class_names
    shares : tuple of float
        Part of each class in the training jets.
    low, high, mean, std : tuple of 4 float
        Of jet pt, eta, mass [GeV] and multiplicity. The network learns (x - mean) / std; generated values
        outside (low, high) are moved to these ends.
    """

    class_names: tuple[str, ...]
    shares: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, jets: Jets) -> JetDomain:
        """Learn the domain of labelled jets.

        Raises
        ------
        JetsError
            For no jets, a class without jets, or jets with weights that differ.
        """
        if len(jets) == 0:
            raise JetsError("there are no jets to learn from; check the selection")
        if np.ptp(jets.weight) > 0:
            raise JetsError(
                "these jets have weights, which generation does not use: draw jets by weight first"
            )
        names = jets.class_names or tuple(f"class {i}" for i in range(int(jets.label.max()) + 1))
        counts = np.bincount(jets.label, minlength=len(names))
        if (counts == 0).any():
            empty = [name for name, n in zip(names, counts, strict=True) if n == 0]
            raise JetsError(f"no jets of {empty} among {len(jets)}; add some, or leave the classes out")
        columns = jet_features(jets).astype(np.float64)
        std = columns.std(axis=0)
        std[std == 0] = 1.0
        numbers = (columns.min(axis=0), columns.max(axis=0), columns.mean(axis=0), std)
        shares = tuple((counts / len(jets)).tolist())
        return cls(tuple(names), shares, *(tuple(values.tolist()) for values in numbers))

    def standardize(self, jets: Jets) -> np.ndarray:
        """Return what the network learns of each jet, float32, shape (N, 4)."""
        return ((jet_features(jets) - np.array(self.mean)) / np.array(self.std)).astype(np.float32)

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Return jet pt, eta, mass and multiplicity of generated values: the inverse, within the domain."""
        return np.clip(values * np.array(self.std) + np.array(self.mean), self.low, self.high)

    def labels(self, n: int, label: str | int | Sequence[int] | None, seed: int) -> np.ndarray:
        """Return n class numbers: of one class, as given, or drawn with the shares of the training jets.

        Raises
        ------
        ConfigError
            For n below one, or a class that does not exist.
        """
        if n < 1:
            raise ConfigError(f"n is {n}; at least one jet must be asked for")
        if label is None:
            return np.random.default_rng(seed).choice(len(self.shares), size=n, p=self.shares)
        if isinstance(label, str):
            if label not in self.class_names:
                raise ConfigError(f"no class '{label}'; {nearest(label, self.class_names)}")
            return np.full(n, self.class_names.index(label))
        labels = np.full(n, label) if np.ndim(label) == 0 else np.asarray(label)
        if labels.shape != (n,) or labels.min() < 0 or labels.max() >= len(self.class_names):
            raise ConfigError(
                f"labels {label!r:.60} do not fit {n} jets of the classes 0 to {len(self.class_names) - 1} "
                f"({', '.join(self.class_names)})"
            )
        return labels


@dataclass(frozen=True)
class KinematicsGeneration:
    """Training objective of the first stage: mean squared error of the velocity of the jet features.

    References
    ----------
    OmniLearn, arXiv:2404.16091, section on jet generation.
    """

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms of a batch of jets."""
        time = torch.rand(len(batch), device=batch.jet.device)
        perturbed = perturb_jets(batch.jet, time)
        loss = functional.mse_loss(model.velocity(perturbed.jet, time, batch.label), perturbed.target)
        return {"generation": loss, "loss": loss}


def jet_batch(jets: Jets, domain: JetDomain) -> Batch:
    """Return what the first stage learns of labelled jets, which does not look at their particles."""
    return Batch(
        torch.zeros(len(jets), 1),
        torch.zeros(len(jets), 2),
        torch.arange(len(jets) + 1),
        torch.from_numpy(domain.standardize(jets)),
        label=torch.from_numpy(jets.label),
    )


def labelled(jets: Jets) -> Jets:
    """Return jets with labels; those without are one class."""
    return jets if "label" in jets.jet else jets.with_jet(label=np.zeros(len(jets), dtype=np.int64))


def bare_jets(columns: np.ndarray, labels: np.ndarray, phi: np.ndarray, class_names: tuple[str, ...]) -> Jets:
    """Jets with given pt, eta, mass and multiplicity, shape (n, 4); particles share the jet's pt equally."""
    pt, eta, mass, multiplicity = columns.T
    counts = np.maximum(np.rint(multiplicity), 1).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    part = np.repeat(pt / counts, counts)
    zeros = np.zeros(len(part))
    cloud = {"deta": zeros, "dphi": zeros, "pt": part, "energy": part * np.cosh(np.repeat(eta, counts))}
    jet = {"pt": pt, "eta": eta, "phi": phi, "mass": mass, "label": labels}
    return Jets.build(cloud, offsets, jet, class_names=class_names, provenance={"source": "generated"})
