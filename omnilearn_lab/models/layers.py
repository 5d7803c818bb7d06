"""Building blocks of both networks: norms, dense layers, a transformer block, modulation, times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from omnilearn_lab.models.attention import ATTENTIONS
from omnilearn_lab.models.kernels import CHUNK_ROWS, gelu_scaled_tanh, is_plain, linear, scaled_tanh
from omnilearn_lab.models.packing import Packing, Sequences

ANGLE_SCALE = 3.0  # of deta and dphi beside ln pt, as in OmniJet-alpha


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
    >>> from omnilearn_lab.models.packing import Packing, Sequences
    >>> packing = Packing.build(torch.tensor([0, 2]))
    >>> JetNorm(1, eps=0.0)(torch.tensor([[1.0], [3.0]]), packing).tolist()
    [[-1.0], [1.0]]
    """

    def __init__(self, width: int, eps: float = 1e-3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.eps = eps
        self.register_buffer("epsilon", torch.tensor(eps), persistent=False)  # where the weights are

    def forward(self, rows: Tensor, packing: Packing) -> Tensor:
        """Map (rows, d) to (rows, d), in float32 whatever the autocast mode."""
        rows = rows.to(self.weight.dtype)
        if not packing.in_slots:
            return _Normalize.apply(rows, self.weight, self.bias, packing, self.eps)
        blocks = zip(packing.split(rows), packing.split(packing.shares_of(rows.shape[1])), strict=True)
        normalize = _normalize_block if is_plain(rows) else _NormalizeBlock.apply
        with torch.autocast(rows.device.type, enabled=False):
            normal = [normalize(block, self.weight, self.bias, self.epsilon, s) for block, s in blocks]
        return packing.join(normal)

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


class _NormalizeBlock(torch.autograd.Function):
    """The same for a block (B, L, d), arranged for few launches.

    With the share of each number in the mean over its jet, and the root of it, (B, L, 2).
    """

    @staticmethod
    def forward(ctx: Any, block: Tensor, gamma: Tensor, beta: Tensor, eps: Tensor, shares: Tensor) -> Tensor:
        weight, root = shares.split(1, 2)
        centered = block - (block * weight).sum((1, 2), keepdim=True)
        norm = torch.linalg.vector_norm(centered * root, dim=(1, 2), keepdim=True)
        spread = torch.addcmul(eps, norm, norm).rsqrt_()  # (B, 1, 1)
        normal = centered.mul_(spread)
        ctx.save_for_backward(normal, spread, gamma, weight)
        return torch.addcmul(beta, normal, gamma)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        normal, spread, gamma, weight = ctx.saved_tensors
        sums = gradient.new_empty(2, len(gradient), len(gamma))  # over slots; zero gradient in empty ones
        torch.sum(gradient, 1, out=sums[0])
        torch.sum(gradient * normal, 1, out=sums[1])
        d_beta, d_gamma = sums.sum(1).unbind(0)
        minus = torch.addmv(gamma.new_empty(()), sums.flatten(0, 1), gamma, beta=0, alpha=-1)
        common, along = (minus.view(2, -1, 1, 1) * weight).unbind(0)  # (B, L, 1)
        d_block = torch.addcmul(common, gradient, gamma).addcmul_(normal, along).mul_(spread)
        return d_block, d_gamma, d_beta, None, None


def _normalize_block(block: Tensor, gamma: Tensor, beta: Tensor, eps: Tensor, shares: Tensor) -> Tensor:
    """The same as it is defined, for a compiler to arrange."""
    weight, _ = shares.split(1, 2)
    centered = block - (block * weight).sum((1, 2), keepdim=True)
    variance = (centered.square() * weight).sum((1, 2), keepdim=True)
    return torch.addcmul(beta, centered * torch.rsqrt(variance + eps), gamma)


def _weighted_sum(values: Tensor, packing: Packing) -> Tensor:
    if packing.row_weight is not None:
        values = values * packing.row_weight
    return packing.sum_rows(values)


def glorot(module: nn.Module) -> None:
    """Give a dense layer Glorot-uniform weights and zero biases; leave other modules as they are."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class LayerScale(nn.Module):
    """Multiply each channel by a trained factor that starts small.

    References
    ----------
    H. Touvron et al., Going deeper with image transformers, arXiv:2103.17239.
    """

    def __init__(self, width: int, start: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), start))

    def forward(self, update: Tensor, onto: Tensor) -> Tensor:
        """Add the scaled update (..., d) to ``onto``."""
        return torch.addcmul(onto, update.to(onto.dtype), self.weight)


class FeedForward(nn.Module):
    """Two dense layers with GELU between: (..., n_in) to (..., n_out)."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(n_in, n_hidden)
        self.second = nn.Linear(n_hidden, n_out)
        self.dropout = dropout

    def forward(self, rows: Tensor) -> Tensor:
        """Apply the layers."""
        hidden = functional.gelu(linear(rows, self.first.weight, self.first.bias))
        hidden = functional.dropout(hidden, self.dropout, self.training)
        return linear(hidden, self.second.weight, self.second.bias)


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
            values = apply_after(self.norm_in, rows, self.first)
        if self.exact_input and autocast:
            values = values.to(torch.get_autocast_dtype(device))
        return functional.gelu(values) if self.norm is None else gelu_scaled_tanh(values, self.norm.alpha)

    def output(self, hidden: Tensor) -> Tensor:
        """Second layer, on `hidden`."""
        weight = self.second.weight if self.norm is None else self.norm.fold(self.second)
        return linear(hidden, weight, self.second.bias)


def apply_after(norm: DynamicTanh | None, rows: Tensor, layer: nn.Linear) -> Tensor:
    """``layer(norm(rows))`` with the weight of the norm folded into the matrix."""
    if norm is None:
        return linear(rows, layer.weight, layer.bias)
    return linear(norm.bounded(rows), norm.fold(layer), layer.bias)


class Block(nn.Module):
    """Pre-norm transformer block of PET v2: attention, then an MLP, each added to its input.

    Parameters
    ----------
    width, n_heads
        Channels d and heads H.
    ratio
        Hidden width of the MLP over d.
    attention
        A key of `omnilearn_lab.models.attention.ATTENTIONS`.
    """

    def __init__(self, width: int, n_heads: int, ratio: int, *, attention: str = "softmax") -> None:
        super().__init__()
        self.norm = DynamicTanh(width)
        self.attention = ATTENTIONS[attention](width, n_heads, bias=False)
        self.mlp = MLP(width, ratio * width, width, norms="both")

    def forward(self, slots: Tensor, packing: Packing, biases: Sequence[Tensor | None]) -> Tensor:
        """Map slots (S, d) to (S, d); one bias (G, H or 1, m or 1, m) for each block of jets."""
        slots = self.attend(slots, packing, biases)
        return slots + self.mlp(slots)

    def attend(self, slots: Tensor, packing: Packing | Sequences, biases: Sequence[Tensor | None]) -> Tensor:
        """First half of the block."""
        bounded = self.norm.bounded(slots)
        return slots + self.attention(bounded, packing, biases, channel_weight=self.norm.weight)


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


def modulate(rows: Tensor, scale_shift: Tensor, packing: Packing) -> Tensor:
    """Return x (1 + s) + h with s and h the halves of a jet's (B, 2 d), for rows (rows, d)."""
    if packing.in_slots:
        pairs = zip(packing.split(rows), packing.by_group(scale_shift[:, None]), strict=True)
        parts = [(block, *of_jets.chunk(2, 2)) for block, of_jets in pairs]
        return packing.join([torch.addcmul(block + shift, block, scale) for block, scale, shift in parts])
    scale, shift = packing.to_rows(scale_shift).chunk(2, 1)
    return torch.addcmul(rows + shift, rows, scale)


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


class Codebook(nn.Module):
    """K points in the space of (3 deta, 3 dphi, ln pt): the code of a particle is that of the nearest point.

    Parameters
    ----------
    n_codes
        Number of points K. They are a buffer, zero until somebody sets ``centers``: not learned by gradient.

    Examples
    --------
    >>> codebook = Codebook(2)
    >>> codebook.centers[1, 2] = 1.0
    >>> codebook.encode(torch.tensor([[0.0, 0.0, 0.1, 9.0], [0.0, 0.0, 0.9, 9.0]])).tolist()
    [0, 1]
    """

    def __init__(self, n_codes: int) -> None:
        super().__init__()
        self.register_buffer("centers", torch.zeros(n_codes, 3))

    @staticmethod
    def scaled(features: Tensor) -> Tensor:
        """Bring deta, dphi, ln pt (the leading columns, (T, F)) to the space of the points, (T, 3)."""
        return torch.cat([ANGLE_SCALE * features[:, :2], features[:, 2:3]], 1)

    def encode(self, features: Tensor) -> Tensor:
        """Code of each particle, int64, shape (T,), from features (T, F)."""
        exact = "donot_use_mm_for_euclid_dist"
        return torch.cdist(self.scaled(features).float(), self.centers, compute_mode=exact).argmin(1)

    def decode(self, codes: Tensor) -> Tensor:
        """Return deta, dphi and ln pt of codes (...), shape (..., 3)."""
        points = self.centers[codes]
        return torch.cat([points[..., :2] / ANGLE_SCALE, points[..., 2:]], -1)
