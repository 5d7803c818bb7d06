"""Building blocks of PET v2: tanh normalisation, MLP, transformer blocks, neighbourhood block, time waves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from omnilearn_lab.models.kernels import attend, gelu_scaled_tanh, linear, scaled_tanh
from omnilearn_lab.models.packing import Packing

__all__ = ["MLP", "Block", "DynamicTanh", "SelfAttention", "TimeWaves", "TokenBlock", "in_chunks"]

CHUNK_ROWS = 2560  # rows of an MLP at a time on CPU: intermediates stay in the processor's cache


class DynamicTanh(nn.Module):
    """y = w * tanh(alpha x), with one alpha and a weight per channel: takes the place of a normalisation.

    Layers that follow apply ``w`` through their own matrix, see `fold`.

    Parameters
    ----------
    width
        Channels d.

    References
    ----------
    J. Zhu et al., Transformers without Normalization, arXiv:2503.10622.

    Examples
    --------
    >>> import torch
    >>> [round(y, 4) for y in DynamicTanh(2)(torch.tensor([0.0, 2.0])).tolist()]
    [0.0, 0.7616]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1,), 0.5))
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, rows: Tensor) -> Tensor:
        """Map (..., d) to (..., d)."""
        return scaled_tanh(rows, self.alpha) * self.weight

    def bounded(self, rows: Tensor) -> Tensor:
        """Return tanh(alpha x) without the weight."""
        return scaled_tanh(rows, self.alpha)

    def fold(self, layer: nn.Linear) -> Tensor:
        """Matrix that acts on `bounded` as ``layer`` acts on the output."""
        return layer.weight * self.weight


class MLP(nn.Module):
    """Dense layer, exact GELU, dense layer, with DynamicTanh in front of both, the second, or none.

    Parameters
    ----------
    n_in, n_hidden, n_out
        Widths.
    norms
        ``"both"``, ``"inner"`` (in front of the second layer) or ``"none"``.
    bias
        With biases.
    exact_input
        Keep the first layer in float32 under autocast (for coordinates and logarithms).
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        n_out: int,
        *,
        norms: str = "inner",
        bias: bool = True,
        exact_input: bool = False,
    ) -> None:
        super().__init__()
        self.norm_in = DynamicTanh(n_in) if norms == "both" else None
        self.first = nn.Linear(n_in, n_hidden, bias=bias)
        self.norm = DynamicTanh(n_hidden) if norms != "none" else None
        self.second = nn.Linear(n_hidden, n_out, bias=bias)
        self.exact_input = exact_input

    def forward(self, rows: Tensor) -> Tensor:
        """Map (..., n_in) to (..., n_out)."""
        return self.output(self.hidden(rows))

    def hidden(self, rows: Tensor) -> Tensor:
        """What the second layer acts on, (..., n_hidden)."""
        device = rows.device.type
        autocast = torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=autocast and not self.exact_input):
            values = _after(self.norm_in, rows, self.first)
        if self.exact_input and autocast:
            values = values.to(torch.get_autocast_dtype(device))
        return functional.gelu(values) if self.norm is None else gelu_scaled_tanh(values, self.norm.alpha)

    def output(self, hidden: Tensor) -> Tensor:
        """Second layer, on `hidden`."""
        weight = self.second.weight if self.norm is None else self.norm.fold(self.second)
        return linear(hidden, weight, self.second.bias)


def _after(norm: DynamicTanh | None, rows: Tensor, layer: nn.Linear) -> Tensor:
    """``layer(norm(rows))`` with the weight of the norm folded into the matrix."""
    if norm is None:
        return linear(rows, layer.weight, layer.bias)
    return linear(norm.bounded(rows), norm.fold(layer), layer.bias)


class SelfAttention(nn.Module):
    """Multi-head attention without biases, on sequences of one length or on blocks of several.

    Parameters
    ----------
    width
        Channels d.
    n_heads
        Heads H.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)  # query, key and value rows, in this order
        self.out = nn.Linear(width, width, bias=False)

    def mix(self, qkv: Tensor, bias: Tensor | None) -> Tensor:
        """Attend within each of G sequences: (G, m, 3 d) to (G, m, d)."""
        return attend(qkv.view(*qkv.shape[:2], 3, self.n_heads, -1), bias)


class Block(nn.Module):
    """Pre-norm transformer block: attention, then an MLP, each added to its input.

    Parameters
    ----------
    width, n_heads
        Channels d and heads H.
    ratio
        Hidden width of the MLP over d.
    """

    def __init__(self, width: int, n_heads: int, ratio: int) -> None:
        super().__init__()
        self.norm = DynamicTanh(width)
        self.attention = SelfAttention(width, n_heads)
        self.mlp = MLP(width, ratio * width, width, norms="both")

    def forward(self, slots: Tensor, packing: Packing, biases: Sequence[Tensor | None]) -> Tensor:
        """Map slots (S, d) to (S, d); one bias (G, H or 1, m or 1, m) for each block of jets."""
        parts = packing.split(_after(self.norm, slots, self.attention.qkv))
        mixed = [self.attention.mix(*pair).flatten(0, 1) for pair in zip(parts, biases, strict=True)]
        slots = slots + linear(torch.cat(mixed), self.attention.out.weight)
        return slots + self.mlp(slots)

    def attend_short(self, rows: Tensor, bias: Tensor | None) -> Tensor:
        """First half of the block for sequences of one length: (G, m, d) to (G, m, d)."""
        mixed = self.attention.mix(_after(self.norm, rows, self.attention.qkv), bias)
        return rows + linear(mixed, self.attention.out.weight)


class TokenBlock(nn.Module):
    """Tokens of a jet attend to its other rows (no norm in front), then pass an MLP; the rows stay.

    Parameters
    ----------
    width, n_heads, ratio
        As for `Block`.
    """

    def __init__(self, width: int, n_heads: int, ratio: int) -> None:
        super().__init__()
        self.attention = SelfAttention(width, n_heads)
        self.mlp = MLP(width, ratio * width, width, norms="both")

    def forward(self, tokens: Tensor, slots: Tensor, packing: Packing, biases: Sequence[Tensor]) -> Tensor:
        """Map tokens (B, n, d), jets in block order, to (B, n, d); biases (G, 1, 1, m) for the keys."""
        width, attention = tokens.shape[-1], self.attention
        queries = linear(tokens, attention.qkv.weight[:width])
        parts = packing.split(linear(slots, attention.qkv.weight[width:]))
        mixed = []
        for query, part, bias in zip(
            queries.split([len(part) for part in parts]), parts, biases, strict=True
        ):
            key, value = part.chunk(2, -1)
            heads = [x.unflatten(-1, (attention.n_heads, -1)).transpose(1, 2) for x in (query, key, value)]
            out = functional.scaled_dot_product_attention(*heads, attn_mask=bias.to(query.dtype))
            mixed.append(out.transpose(1, 2).flatten(2))
        tokens = tokens + linear(torch.cat(mixed), attention.out.weight)
        return tokens + self.mlp(tokens)


class TimeWaves(nn.Module):
    """Embedding of the diffusion time: MLP of t sqrt(2) cos(t f + phi), exactly zero at t = 0.

    The frequencies f (normal, times 2 pi) and phases phi (uniform in a period) are drawn once and kept.

    Parameters
    ----------
    width
        Channels d.
    ratio
        Hidden width over d.

    Examples
    --------
    >>> import torch
    >>> TimeWaves(4, 2)(torch.zeros(1)).abs().sum().item()
    0.0
    """

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * math.pi * torch.randn(width))
        self.register_buffer("phases", 2 * math.pi * torch.rand(width))
        self.mlp = MLP(width, ratio * width, width, bias=False, exact_input=True)

    def forward(self, time: Tensor) -> Tensor:
        """Map (B,) to (B, d)."""
        time = time[:, None]
        waves = torch.cos(time * self.frequencies + self.phases) * math.sqrt(2)
        return self.mlp(time * waves)


def in_chunks(
    function: Callable[..., Tensor], *inputs: Tensor, size: int = CHUNK_ROWS, recompute: bool = False
) -> Tensor:
    """Apply a row-wise function to pieces of its inputs and join the results.

    On CPU the intermediates of a piece stay in the processor's cache; elsewhere all rows go at once. With
    ``recompute`` they are computed again in the backward pass: memory holds inputs and results alone.

    Examples
    --------
    >>> import torch
    >>> in_chunks(torch.neg, torch.arange(3.0), size=2).tolist()
    [-0.0, -1.0, -2.0]
    """
    if recompute and torch.is_grad_enabled():
        function = partial(checkpoint, function, use_reentrant=False, preserve_rng_state=False)
    if inputs[0].device.type != "cpu" or torch.compiler.is_compiling():
        return function(*inputs)
    pieces = zip(*(x.split(size) for x in inputs), strict=True)
    return torch.cat([function(*piece) for piece in pieces])
