"""What the baselines share: named sizes and the answer in the form that PET gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from torch import Tensor, nn

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.models.batch import Batch



class NamedSizes:
    """Configurations with named sizes: ``SIZES`` of a subclass maps each to the fields it changes."""

    SIZES: Mapping[str, Mapping[str, Any]] = {}

    @classmethod
    def named(cls, size: str, **overrides: Any) -> Self:
        """Return the configuration of a named size, ``"tiny"`` or ``"paper"``.

        Raises
        ------
        ConfigError
            For an unknown size.
        """
        if size not in cls.SIZES:
            raise ConfigError(f"{cls.__name__} has no size '{size}'; {nearest(size, cls.SIZES)}")
        return cls(**{**cls.SIZES[size], **overrides})


class Baseline(nn.Module):
    """A classifier of packed jets; subclasses define ``logits``."""

    def logits(self, batch: Batch) -> Tensor:
        """Class logits (B, C)."""
        raise NotImplementedError

    def classify(self, batch: Batch) -> ClassifierOutput:
        """Class logits (B, C) and no jet quantities (B, 0), in float32."""
        logits = self.logits(batch).float()
        return ClassifierOutput(logits, logits.new_zeros(len(logits), 0))

    forward = classify

    @property
    def n_parameters(self) -> dict[str, int]:
        """Trainable parameters of each part."""
        return {name: sum(p.numel() for p in part.parameters()) for name, part in self.named_children()}


def dense(sizes: Sequence[int]) -> nn.Sequential:
    """Dense layers with ReLU after each, He-uniform weights, zero biases: (..., first size) to (..., last).

    References
    ----------
    K. He et al., Delving deep into rectifiers, arXiv:1502.01852.

    Examples
    --------
    >>> [layer.out_features for layer in dense([13, 100, 256])[::2]]
    [100, 256]
    """
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        layer = nn.Linear(n_in, n_out)
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers)
