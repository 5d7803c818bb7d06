"""Building blocks on packed rows: norm and attention within a jet, scale and shift, time embedding."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.packing import Group, Packing

__all__ = [
    "Attention",
    "FeedForward",
    "JetNorm",
    "LayerScale",
    "TimeEmbedding",
    "attend",
    "check_heads",
    "modulate",
    "split_heads",
]


class JetNorm(nn.Module):
    """Normalise all n d numbers of a jet together, then scale and shift each channel.

    y = gamma (x - mean) / sqrt(variance + eps) + beta, mean and variance over the particles *and* channels
    of one jet; group normalisation with one group.

    Parameters
    ----------
    width
        Channels d.
    eps
        Added to the variance.

    References
    ----------
    Y. Wu, K. He, Group Normalization, arXiv:1803.08494.

    Examples
    --------
    >>> import torch
    >>> from omnilearn_lab.models.packing import Packing
    >>> packing = Packing.build(torch.tensor([0, 2]))
    >>> JetNorm(1, eps=0.0)(torch.tensor([[1.0], [3.0]]), packing).tolist()
    [[-1.0], [1.0]]
    """

    def __init__(self, width: int, eps: float = 1e-3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, rows: Tensor, packing: Packing) -> Tensor:
        """Map (T, d) to (T, d), in float32 whatever the autocast mode."""
        return _Normalize.apply(rows.to(self.weight.dtype), self.weight, self.bias, packing, self.eps)

    def each(self, rows: Tensor) -> Tensor:
        """Normalise every row on its own, (B, d) to (B, d): jets of one particle."""
        return functional.layer_norm(rows, self.weight.shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Width and eps."""
        return f"{len(self.weight)}, eps={self.eps}"


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, gamma: Tensor, beta: Tensor, packing: Packing, eps: float) -> Tensor:
        size = packing.counts.to(rows.dtype) * rows.shape[1]
        mean = _weighted_sum(rows.sum(1), packing) / size
        centered = rows - packing.to_rows(mean)[:, None]
        squares = torch.linalg.vector_norm(centered, dim=1).square_()
        spread = packing.to_rows(torch.rsqrt(_weighted_sum(squares, packing) / size + eps))[:, None]
        normal = centered.mul_(spread)
        ctx.save_for_backward(normal, spread, gamma)
        ctx.packing, ctx.size = packing, size
        return torch.addcmul(beta, normal, gamma)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        normal, spread, gamma = ctx.saved_tensors
        packing = ctx.packing
        product = gradient * normal
        d_beta, d_gamma = gradient.sum(0), product.sum(0)
        along = packing.to_rows(packing.sum_rows(product @ gamma) / ctx.size)[:, None]
        common = packing.to_rows(packing.sum_rows(gradient @ gamma) / ctx.size)[:, None]
        back = torch.addcmul(common, normal, along)
        if packing.row_weight is not None:
            back.mul_(packing.row_weight[:, None])
        d_rows = torch.mul(gradient, gamma).sub_(back).mul_(spread)
        return d_rows, d_gamma, d_beta, None, None


def _weighted_sum(values: Tensor, packing: Packing) -> Tensor:
    if packing.row_weight is not None:
        values = values * packing.row_weight
    return packing.sum_rows(values)


class LayerScale(nn.Module):
    """Multiply each channel by a trained factor that starts small.

    References
    ----------
    H. Touvron et al., Going deeper with image transformers, arXiv:2103.17239.
    """

    def __init__(self, width: int, start: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), start))

    def forward(self, rows: Tensor) -> Tensor:
        """Map (..., d) to (..., d)."""
        return rows * self.weight


class FeedForward(nn.Module):
    """Two dense layers with GELU between: (..., n_in) to (..., n_out)."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(n_in, n_hidden)
        self.second = nn.Linear(n_hidden, n_out)
        self.dropout = dropout

    def forward(self, rows: Tensor) -> Tensor:
        """Apply the layers."""
        hidden = functional.gelu(self.first(rows))
        return self.second(functional.dropout(hidden, self.dropout, self.training))


class Attention(nn.Module):
    """Multi-head attention among the particles of each jet.

    Parameters
    ----------
    width
        Channels d.
    n_heads
        Heads H; each has d / H channels.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)  # query, key and value rows, in this order
        self.out = nn.Linear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the kernels with the bounds Keras uses for three-axis attention kernels."""
        width, head = self.out.in_features, self.out.in_features // self.n_heads
        bound = math.sqrt(6 / (width * (self.n_heads + head)))
        nn.init.uniform_(self.qkv.weight, -bound, bound)
        bound = math.sqrt(6 / (self.n_heads * (head + width)))
        nn.init.uniform_(self.out.weight, -bound, bound)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, rows: Tensor, packing: Packing) -> Tensor:
        """Let every row attend to all rows of its jet: (T, d) to (T, d)."""
        slots = packing.to_slots(self.qkv(rows))  # (S, 3 d)
        if slots.device.type == "cpu":
            mixed = _AttendOnCPU.apply(slots, packing, self.n_heads)
        else:
            parts = zip(packing.split(slots), packing.groups, strict=True)
            mixed = torch.cat([_join(attend(*self._split(qkv), group)).flatten(0, 1) for qkv, group in parts])
        return self.out(packing.from_slots(mixed))

    def attend_token(self, rows: Tensor, packing: Packing) -> Tensor:
        """Let the first slot of every jet attend to all its rows: (T, d) to (B, d)."""
        weight, bias, width = self.qkv.weight, self.qkv.bias, rows.shape[1]
        slots = packing.to_slots(functional.linear(rows, weight[width:], bias[width:]))  # (S, 2 d)
        firsts = torch.cat([group.take(packing.slot_rows)[:, 0] for group in packing.groups])
        query = functional.linear(rows.index_select(0, firsts), weight[:width], bias[:width])
        queries = query[:, None].split([group.shape[0] for group in packing.groups])
        mixed = [
            _join(attend(*self._split(q), *self._split(key_value), group)).flatten(0, 1)
            for q, key_value, group in zip(queries, packing.split(slots), packing.groups, strict=True)
        ]
        return self.out(torch.cat(mixed).index_select(0, packing.jet_slots))

    def _split(self, columns: Tensor) -> tuple[Tensor, ...]:
        """(G, m, k d) to k tensors (G, H, m, d / H)."""
        return split_heads(columns, self.n_heads, self.out.in_features // self.n_heads).unbind(0)


def check_heads(width: int, n_heads: int) -> None:
    """Refuse a number of heads that does not divide the width with a `ConfigError`.

    Examples
    --------
    >>> check_heads(128, 5)
    Traceback (most recent call last):
    omnilearn_lab.errors.ConfigError: width 128 is not a multiple of n_heads 5: change one
    """
    if width % n_heads:
        raise ConfigError(f"width {width} is not a multiple of n_heads {n_heads}: change one")


def split_heads(columns: Tensor, n_heads: int, head: int) -> Tensor:
    """Put heads in front: (G, m, k H h) to (k, G, H, m, h)."""
    return columns.view(*columns.shape[:2], -1, n_heads, head).permute(2, 0, 3, 1, 4)


def _join(heads: Tensor) -> Tensor:
    """(G, H, m, h) to (G, m, H h)."""
    return heads.transpose(1, 2).flatten(2)


def attend(query: Tensor, key: Tensor, value: Tensor, group: Group) -> Tensor:
    """Scaled dot-product attention in a block: (G, H, q, h), (G, H, m, h) twice to (G, H, q, h)."""
    bias = _key_bias(group)
    bias = None if bias is None else bias.to(query.dtype)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)


def _key_bias(group: Group) -> Tensor | None:
    """Additive logits (G, 1, 1, m): minus infinity in empty slots; None where nothing is to be added."""
    if group.key_bias is not None:
        return group.key_bias[:, None, None, :]
    if group.is_full:
        return None
    zero = torch.zeros((), device=group.mask.device)
    return torch.where(group.mask, zero, -torch.inf)[:, None, None, :]


class _AttendOnCPU(torch.autograd.Function):
    """Attention of all blocks, (S, 3 d) to (S, d), from plain products: on CPU faster than the fused kernel.

    softmax(q k' / sqrt(h) + bias) v; the softmax in float32. The shares are kept for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, slots: Tensor, packing: Packing, n_heads: int) -> Tensor:
        width = slots.shape[1] // 3
        out = slots.new_empty(len(slots), width)
        saved = []
        for qkv, joined, group in zip(packing.split(slots), packing.split(out), packing.groups, strict=True):
            query, key, value = split_heads(qkv, n_heads, width // n_heads).contiguous().unbind(0)
            logits = (query @ key.transpose(-1, -2)).to(torch.promote_types(slots.dtype, torch.float32))
            logits.mul_(query.shape[-1] ** -0.5)
            bias = _key_bias(group)
            share = torch.softmax(logits if bias is None else logits.add_(bias), -1).to(slots.dtype)
            mixed = share @ value
            joined.copy_(_join(mixed))
            saved += [query, key, value, share, mixed]
        ctx.save_for_backward(*saved)
        ctx.packing, ctx.n_heads = packing, n_heads
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        packing, saved = ctx.packing, iter(ctx.saved_tensors)
        width = gradient.shape[1]
        d_slots = gradient.new_empty(len(gradient), 3 * width)
        heads = ctx.n_heads, width // ctx.n_heads
        for d_joined, d_qkv in zip(packing.split(gradient), packing.split(d_slots), strict=True):
            query, key, value, share, mixed = (next(saved) for _ in range(5))
            d_mixed = split_heads(d_joined, *heads)[0].contiguous()
            along = (d_mixed * mixed).sum(-1, keepdim=True)
            d_logits = (d_mixed @ value.transpose(-1, -2)).sub_(along).mul_(share)
            d_logits.mul_(heads[1] ** -0.5)
            d_query, d_key, d_value = split_heads(d_qkv, *heads).unbind(0)
            d_query.copy_(d_logits @ key)
            d_key.copy_(d_logits.transpose(-1, -2) @ query)
            d_value.copy_(share.transpose(-1, -2) @ d_mixed)
        return d_slots, None, None


class TimeEmbedding(nn.Module):
    """Sines and cosines of the diffusion time, times the time, then two dense layers with SiLU, no biases.

    e = t [sin(1000 t f_k), cos(1000 t f_k)], f_k = 10000^(-k / 31), k = 0 ... 31; exactly zero at t = 0.

    Parameters
    ----------
    width
        Columns d of the output.

    Examples
    --------
    >>> import torch
    >>> TimeEmbedding(4)(torch.zeros(1)).abs().sum().item()
    0.0
    """

    N_FREQUENCIES = 32

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * self.N_FREQUENCIES, 2 * width, bias=False)
        self.second = nn.Linear(2 * width, width, bias=False)

    def forward(self, time: Tensor) -> Tensor:
        """Map (B,) to (B, d)."""
        step = torch.arange(self.N_FREQUENCIES, dtype=torch.float32, device=time.device)
        frequency = torch.exp(-step * (math.log(10_000.0) / (self.N_FREQUENCIES - 1)))
        angle = (time.float()[:, None] * frequency) * 1000.0  # float32, in this order
        waves = torch.cat([angle.sin(), angle.cos()], 1) * time[:, None]
        return functional.silu(self.second(functional.silu(self.first(waves))))


def modulate(rows: Tensor, scale_shift: Tensor, packing: Packing) -> Tensor:
    """Return x (1 + s) + h with s and h the halves of a jet's (B, 2 d), for rows (T, d)."""
    scale, shift = packing.to_rows(scale_shift).chunk(2, 1)
    return torch.addcmul(rows + shift, rows, scale)
