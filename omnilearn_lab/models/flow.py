"""Flow matching of PET v2: a straight path from jets to noise, its velocity, and sampling along it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.models.diffusion import Perturbed
from omnilearn_lab.models.packing import Batch
from omnilearn_lab.models.pet_v2 import PETv2
from omnilearn_lab.models.samplers import Samples
from omnilearn_lab.models.solvers import SOLVERS, integrate
from omnilearn_lab.settings import settings

__all__ = [
    "FlowSampleConfig",
    "JetInputs",
    "NoiseConfig",
    "counts_from_condition",
    "follow_line",
    "perturb_flow",
    "sample_flow",
]

ROUNDINGS = ("nearest", "published")
PARTICLES_PER_UNIT = 100  # the last number of a condition is the multiplicity over this


@settings
class NoiseConfig:
    """Normal distribution of the noise, per feature: deta, dphi, ln(pt / GeV), ln(energy / GeV).

    The defaults are the published means and standard deviations, close to those of particles in jets.

    Examples
    --------
    >>> NoiseConfig().mean
    (0.0, 0.0, 1.11398, 1.43384)
    """

    mean: tuple[float, ...] = (0.0, 0.0, 1.11398, 1.43384)
    spread: tuple[float, ...] = (0.270949, 0.27426, 1.30273, 1.33559)

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.spread) or min(self.spread) <= 0:
            raise ConfigError(
                f"noise needs one positive spread per mean; found {self.mean} and {self.spread}"
            )

    def draw(self, n_particles: int, generator: torch.Generator | None = None) -> Tensor:
        """Return noise for particles, shape (T, F)."""
        return self.scale(torch.randn(n_particles, len(self.mean), generator=generator))

    def scale(self, standard: Tensor) -> Tensor:
        """Turn standard normal numbers (T, F) into noise."""
        return standard * standard.new_tensor(self.spread) + standard.new_tensor(self.mean)


def perturb_flow(batch: Batch, time: Tensor, noise: Tensor | None = None) -> Perturbed:
    """Move every jet along the straight line to its noise.

    z = (1 - t) x + t eta and v = eta - x, with eta from `NoiseConfig`. Species, extra numbers and
    conditions stay as they are.

    Parameters
    ----------
    batch
        Clean jets, raw features.
    time
        Time of each jet in [0, 1], shape (B,).
    noise
        eta, shape (T, F); None draws it.

    Returns
    -------
    Perturbed
        Perturbed jets, velocity (T, F), alpha = 1 - t and sigma = t of each jet.

    References
    ----------
    arXiv:2510.24066; X. Liu, C. Gong, Q. Liu, arXiv:2209.03003.

    Examples
    --------
    >>> import torch
    >>> x = torch.ones(1, 4)
    >>> batch = Batch(x, x[:, :2], torch.tensor([0, 1]), torch.zeros(1, 0))
    >>> moved = perturb_flow(batch, torch.tensor([0.25]), torch.zeros(1, 4))
    >>> moved.batch.features[0, 0].item(), moved.target[0, 0].item()
    (0.75, -1.0)
    """
    clean = batch.features
    if noise is None:
        noise = NoiseConfig().scale(torch.randn_like(clean))
    share = batch.packing.to_rows(time)[:, None]
    features = (1 - share) * clean + share * noise
    changed = batch.replace(features=features, points=features[:, :2])
    return Perturbed(changed, noise - clean, 1 - time, time)


def counts_from_condition(condition: Tensor, *, rounding: str = "nearest") -> Tensor:
    """Multiplicity of each jet from the last column of its condition, multiplicity / 100.

    Parameters
    ----------
    condition
        Shape (B, c).
    rounding
        ``"nearest"``, or ``"published"``: truncated in float32, where 53, 59, 105, 106, 117 and 118 lose one.

    Returns
    -------
    Tensor
        int64, shape (B,).

    Examples
    --------
    >>> import torch
    >>> condition = torch.tensor([[0.53]])
    >>> counts_from_condition(condition).item(), counts_from_condition(condition, rounding="published").item()
    (53, 52)
    """
    if rounding not in ROUNDINGS:
        raise ConfigError(f"rounding '{rounding}'; {nearest(rounding, ROUNDINGS)}")
    counts = PARTICLES_PER_UNIT * condition[:, -1]
    return (counts.round() if rounding == "nearest" else counts).long()


@settings
class FlowSampleConfig:
    """How to sample. The defaults are the published ones: midpoint rule, 127 steps, 254 evaluations.

    Parameters
    ----------
    n_steps
        Steps from t = 1 to t = 0, equally long.
    method
        A solver of `omnilearn_lab.models.solvers.SOLVERS`.
    seed
        Of the noise.
    batch_size
        Jets at a time; the result does not depend on it.
    noise
        Distribution at t = 1.
    show_progress
        Show a progress bar.
    """

    n_steps: int = 127
    method: str = "midpoint"
    seed: int = 0
    batch_size: int = 256
    noise: NoiseConfig = NoiseConfig()
    show_progress: bool = False

    def __post_init__(self) -> None:
        if self.method not in SOLVERS:
            raise ConfigError(f"solver '{self.method}'; {nearest(self.method, SOLVERS)}")
        for name in ("n_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: at least 1")


class JetInputs(NamedTuple):
    """What generation starts from: multiplicities (B,), and what the network is told about the jets.

    Labels (B,), conditions (B, c), species (T,) and extra numbers (T, A) of the particles to make.
    """

    counts: Tensor
    label: Tensor | None = None
    condition: Tensor | None = None
    pid: Tensor | None = None
    extra: Tensor | None = None


@torch.no_grad()
def sample_flow(model: PETv2, jets: JetInputs, *, config: FlowSampleConfig | None = None) -> Samples:
    """Generate the particles of jets.

    Parameters
    ----------
    model
        A `PETv2` of mode ``"generator"`` or ``"pretrain"``, in evaluation mode.
    jets
        Multiplicities, labels, conditions.
    config
        Steps, method, seed.

    Returns
    -------
    Samples
        deta, dphi, ln(pt / GeV), ln(energy / GeV) of each particle, shape (T, 4), and offsets (B + 1,).

    Raises
    ------
    JetsError
        If a multiplicity is below one.

    Examples
    --------
    >>> import torch
    >>> from omnilearn_lab.models.pet_v2 import PETv2Config
    >>> model = PETv2(PETv2Config.named("tiny", mode="generator", n_classes=1)).eval()
    >>> made = sample_flow(model, JetInputs(torch.tensor([3, 1])), config=FlowSampleConfig(n_steps=1))
    >>> made.particles.shape
    torch.Size([4, 4])
    """
    config = config or FlowSampleConfig()
    if len(jets.counts) == 0 or int(jets.counts.min()) < 1:
        raise JetsError("every generated jet needs at least one particle: raise the multiplicities to 1")
    offsets = torch.nn.functional.pad(jets.counts.cpu().cumsum(0), (1, 0))
    noise = config.noise.draw(int(offsets[-1]), torch.Generator().manual_seed(config.seed))
    device, parts = model.body.token.device, []
    for first in range(0, len(jets.counts), config.batch_size):
        last = min(first + config.batch_size, len(jets.counts))
        rows = slice(int(offsets[first]), int(offsets[last]))
        start, empty = (
            noise[rows].to(device),
            _empty_batch(jets, offsets[first : last + 1], slice(first, last)),
        )
        parts.append(follow_line(partial(_velocity, model, empty.to(device)), start, config))
    return Samples(torch.cat(parts), offsets)


def follow_line(
    velocity: Callable[[Tensor, float], Tensor], noise: Tensor, config: FlowSampleConfig
) -> Tensor:
    """Take noise at t = 1 to t = 0 along dx/dt = velocity(x, t), with the method and steps of ``config``."""
    times = torch.linspace(1, 0, config.n_steps + 1, dtype=torch.float64).tolist()
    return integrate(
        velocity, noise, times, method=config.method, progress=_bar if config.show_progress else None
    )


def _bar(steps: Iterable[int]) -> Iterable[int]:
    from tqdm.auto import tqdm

    return tqdm(steps, desc="sampling", unit="step", leave=False)


def _empty_batch(jets: JetInputs, offsets: Tensor, which: slice) -> Batch:
    """Jets without features, with what the network is told about them."""
    rows = slice(int(offsets[0]), int(offsets[-1]))
    features = torch.zeros(rows.stop - rows.start, 4)
    told = {name: getattr(jets, name) for name in ("label", "condition", "pid", "extra")}
    parts = {
        name: value[which if name in ("label", "condition") else rows].cpu()
        for name, value in told.items()
        if value is not None
    }
    return Batch(features, features[:, :2], offsets - rows.start, torch.zeros(len(offsets) - 1, 0), **parts)


def _velocity(model: PETv2, jets: Batch, state: Tensor, time: float) -> Tensor:
    moved = jets.replace(features=state, points=state[:, :2])
    return model.velocity(moved, state.new_full((len(jets),), time), jets.label)
