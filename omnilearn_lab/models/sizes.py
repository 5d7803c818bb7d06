"""Named sizes of networks, what every size must obey, and whether tensors have the sizes of a network."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field
from torch import Tensor, nn

from omnilearn_lab.errors import CheckpointError, ConfigError, nearest

logger = logging.getLogger(__name__)

Width = Annotated[int, Field(gt=0, le=1 << 16)]
"""Columns of an array: positive, and no more than any machine could hold."""
Count = Annotated[int, Field(gt=0, le=1 << 10)]
"""Layers, heads, neighbours, tokens: positive."""
Number = Annotated[int, Field(ge=0, le=1 << 16)]
"""Columns that a network may do without; 0 for none."""
Probability = Annotated[float, Field(ge=0, lt=1)]
"""Of leaving something out in training."""


class NamedSizes:
    """Configurations with named sizes: ``SIZES`` of a subclass maps each to the fields it changes.

    Raises
    ------
    ConfigError
        When the heads of an attention do not divide its width.
    """

    SIZES = {}  # of mappings

    def __post_init__(self) -> None:
        width, n_heads = getattr(self, "width", 0), getattr(self, "n_heads", 1)
        if width % n_heads:
            raise ConfigError(f"width {width} is not a multiple of n_heads {n_heads}: change one")

    @classmethod
    def named(cls, size: str, **overrides: Any) -> Self:
        """Return the configuration of a named size.

        Raises
        ------
        ConfigError
            For an unknown size.
        """
        if size not in cls.SIZES:
            network = cls.__name__.removesuffix("Config")
            raise ConfigError(f"{network} has no size '{size}'; {nearest(size, cls.SIZES)}")
        return cls(**{**cls.SIZES[size], **overrides})


class Network(nn.Module):
    """A module that counts itself."""

    @property
    def n_parameters(self) -> dict[str, int]:
        """Trainable parameters of each part."""
        return {name: sum(p.numel() for p in part.parameters()) for name, part in self.named_children()}


class Pretrained(Network):
    """A network with a body to be pretrained, whose heads can be given other sizes."""

    config: Any

    def replace_heads(self, **sizes: int) -> list[str]:
        """Give the heads other sizes; only the layers whose shape changes start anew.

        Parameters
        ----------
        **sizes
            Fields of the configuration: ``n_classes``, and ``n_jet_features`` where a network has them.

        Returns
        -------
        list of str
            Names of the parameters that were re-initialised (also logged).

        Raises
        ------
        ConfigError
            For sizes that this network does not have.
        """
        fresh = type(self)(dataclasses.replace(self.config, **sizes)).to(next(self.parameters()).device)
        new = fresh.state_dict()
        fits = fitting(self.state_dict(), new)
        changed = {name.rpartition(".")[0] for name in new.keys() - fits.keys()}
        kept = {name: value for name, value in fits.items() if name.rpartition(".")[0] not in changed}
        fresh.load_state_dict(new | kept)
        for name, part in fresh.named_children():
            setattr(self, name, part.train(self.training))
        self.config = fresh.config
        renewed = [name for name in new if name not in kept]
        logger.info("re-initialised for %s: %s", sizes, ", ".join(renewed) or "nothing")
        return renewed


def fitting(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those tensors that a network has, too, in the same shape.

    Examples
    --------
    >>> import torch
    >>> list(fitting({"a": torch.ones(2), "b": torch.ones(2)}, {"a": torch.ones(3), "b": torch.zeros(2)}))
    ['b']
    """
    return {name: v for name, v in tensors.items() if name in own and own[name].shape == v.shape}


def check_choice(what: str, value: str, choices: Mapping[str, Any]) -> None:
    """Refuse a value that is not among the choices, which users may add to, with a `ConfigError`.

    Examples
    --------
    >>> check_choice("attention", "softmx", {"softmax": None})
    Traceback (most recent call last):
    omnilearn_lab.errors.ConfigError: attention 'softmx'; known: softmax; did you mean 'softmax'?
    """
    if value not in choices:
        raise ConfigError(f"{what} '{value}'; {nearest(value, choices)}")


def check_tensors(
    tensors: Mapping[str, Tensor], source: str, *, expected: Mapping[str, Tensor] | None = None
) -> None:
    """Refuse tensors that do not fit a network, or hold numbers that are not finite.

    Parameters
    ----------
    tensors
        What was read, by name.
    source
        For the message.
    expected
        Tensors of the network, whose names and shapes count; None looks at the numbers only.

    Raises
    ------
    CheckpointError
        Listing all tensors concerned.
    """
    own = tensors if expected is None else expected
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    wrong = [
        f"{key}: {tuple(tensors[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in tensors and tensors[key].shape != own[key].shape
    ]
    if missing or extra or wrong:
        raise CheckpointError(f"{source}: missing {missing}, not expected {extra}, wrong shape {wrong}")
    odd = [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if odd:
        raise CheckpointError(f"{source}: numbers that are not finite in {odd}: get the file again")
