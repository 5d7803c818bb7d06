"""Low-rank adapters: fine-tune a body through a few extra numbers per weight matrix, and merge them in."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import ConfigError

_BLOCKS = "blocks"  # the name of the lists of transformer blocks in our bodies


class AdaptedLinear(nn.Module):
    """A dense layer whose weight matrix has a product of two narrow ones added: W + (alpha / r) B A.

    B starts at zero, so that nothing changes before the first update. Weight and bias read like those of
    the layer it stands for.

    Parameters
    ----------
    layer
        The layer with W, which is frozen.
    rank
        r, the inner size of the product.
    alpha
        The product counts alpha / r: the size of a change then hardly depends on r.
    generator
        Draws A.

    References
    ----------
    E. Hu et al., LoRA, arXiv:2106.09685, section 4.1.

    Examples
    --------
    >>> layer = nn.Linear(3, 4)
    >>> adapted = AdaptedLinear(layer, 2, alpha=2.0)
    >>> torch.equal(adapted.weight, layer.weight), adapted.rise.shape, adapted.fall.shape
    (True, torch.Size([4, 2]), torch.Size([2, 3]))
    """

    def __init__(
        self, layer: nn.Linear, rank: int, *, alpha: float, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        bound, device = 1 / math.sqrt(layer.in_features), layer.weight.device
        start = (2 * torch.rand(rank, layer.in_features, generator=generator) - 1) * bound
        self.fall = nn.Parameter(start.to(device))
        self.rise = nn.Parameter(torch.zeros(layer.out_features, rank, device=device))
        self.scale = alpha / rank

    @property
    def weight(self) -> Tensor:
        """The changed matrix, (outputs, inputs)."""
        with torch.autocast(self.rise.device.type, enabled=False):
            return torch.addmm(self.layer.weight, self.rise, self.fall, alpha=self.scale)

    @property
    def bias(self) -> Tensor | None:
        """The bias of the layer, (outputs,)."""
        return self.layer.bias

    def forward(self, rows: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        return functional.linear(rows, self.weight, self.bias)

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """Return the ordinary layer with the changed matrix, trainable."""
        self.layer.weight.copy_(self.weight)
        return self.layer.requires_grad_(True)


def add_adapters(model: nn.Module, rank: int = 8, *, alpha: float | None = None, seed: int = 0) -> list[str]:
    """Give every dense layer of the body's transformer blocks an adapter, and freeze the rest of the body.

    Attention (query, key, value, output) and MLP layers of ``model.body`` get one each. The heads stay
    trainable, and so do inputs of the body that a transfer to another space started anew. A model that has
    adapters keeps them.

    Parameters
    ----------
    model
        A network with a ``body``: `PET` or `PETv2`.
    rank
        r, numbers per input and output of a layer.
    alpha
        Strength; None for 2 r.
    seed
        Of the first values.

    Returns
    -------
    list of str
        Names of the adapted layers.

    Raises
    ------
    ConfigError
        When the rank is not positive or the model has no body with blocks.

    Examples
    --------
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> model = PET(PETConfig.named("tiny", n_classes=2))
    >>> len(add_adapters(model, rank=4)), sum(p.numel() for p in model.body.parameters() if p.requires_grad)
    (16, 12288)
    """
    if rank < 1:
        raise ConfigError(f"the rank of adapters is {rank}; it must be at least 1")
    names = _dense_layers(model)
    if not names:
        raise ConfigError(
            f"a {type(model).__name__} has no body with transformer blocks to adapt; use trainable='heads'"
        )
    adapted = set(adapted_layers(model))
    generator = torch.Generator().manual_seed(seed)
    for name in names:
        if name not in adapted:
            layer = model.get_submodule(name)
            wrapped = AdaptedLinear(layer, rank, alpha=alpha or 2.0 * rank, generator=generator)
            model.set_submodule(name, wrapped)
    fresh = getattr(model, "fresh", frozenset())
    for name, parameter in model.body.named_parameters():
        parameter.requires_grad_(name.endswith((".rise", ".fall")) or f"body.{name}" in fresh)
    return names


def merge_adapters(model: nn.Module) -> list[str]:
    """Put the adapters into the weights; the outputs stay the same and the model is an ordinary one again.

    Returns
    -------
    list of str
        Names of the layers that had one. All parameters of the body become trainable.
    """
    names = adapted_layers(model)
    for name in names:
        model.set_submodule(name, model.get_submodule(name).merge())
    if names:
        model.body.requires_grad_(True)
    return names


def merged(model: nn.Module) -> nn.Module:
    """Return a copy with its adapters merged; a model without adapters is returned as it is."""
    if not adapted_layers(model):
        return model
    model = copy.deepcopy(model)
    merge_adapters(model)
    return model


def adapted_layers(model: nn.Module) -> list[str]:
    """Return the names of the layers that have an adapter."""
    return [name for name, layer in model.named_modules() if isinstance(layer, AdaptedLinear)]


def _dense_layers(model: nn.Module) -> list[str]:
    """Dense layers of the body's blocks, adapted or not."""
    named = [(n, m) for n, m in model.named_modules() if n.startswith("body.") and _BLOCKS in n.split(".")]
    adapted = [name for name, layer in named if isinstance(layer, AdaptedLinear)]
    plain = [n for n, m in named if isinstance(m, nn.Linear) and n.removesuffix(".layer") not in adapted]
    return adapted + plain
