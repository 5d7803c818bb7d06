"""The exponential moving average of the weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from omnilearn_lab.training.distributed import own_part

__all__ = ["MovingAverage"]


class MovingAverage(nn.Module):
    """Exponential moving average of a model's weights: w_bar <- d w_bar + (1 - d) w.

    The memory grows with the number of updates n, d = min(decay, (1 + n) / (10 + n)): otherwise the random
    start would weigh on the average for the first 1 / (1 - decay) updates. The first update copies.

    Parameters
    ----------
    model
        Copied; its later updates enter through `update`.
    decay

    Examples
    --------
    >>> layer = nn.Linear(1, 1)
    >>> average = MovingAverage(layer, 0.9)
    >>> average.update(layer)
    >>> torch.equal(average.module.weight, layer.weight), int(average.n_averaged)
    (True, 1)
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", torch.tensor(0))  # on the CPU: reading it waits for no device

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights of ``model``; other buffers are copied."""
        averaged, current = (_float_weights(m) for m in (self.module, model))
        n = int(self.n_averaged)
        if n == 0:
            torch._foreach_copy_(averaged, current)
        else:
            torch._foreach_lerp_(averaged, current, 1 - min(self.decay, (1 + n) / (10 + n)))
        for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
        self.n_averaged += 1


def _float_weights(model: nn.Module) -> list[Tensor]:
    return [own_part(p.detach()) for p in model.parameters()]
