"""What generation metrics share: how jets are drawn, and the form of a score."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from omnilearn_lab.errors import MetricError

__all__ = ["N_COMPARABLE", "GenerationScore", "Sampling", "Weights"]

N_COMPARABLE = 50_000  # jets per sample in JetNet's and the papers' numbers

Weights = tuple[ArrayLike | None, ArrayLike | None]


@dataclass(frozen=True)
class Sampling:
    """How many jets are drawn (with replacement), how often, and the seed.

    Parameters
    ----------
    n_jets
        Jets drawn from each sample; never more than the smaller sample holds.
    n_batches
        Repetitions; the mean is the value and their standard deviation the uncertainty.
    seed
        Seed of the draws.
    """

    n_jets: int = N_COMPARABLE
    n_batches: int = 5
    seed: int = 42

    def __post_init__(self) -> None:
        if self.n_jets < 1 or self.n_batches < 1:
            raise MetricError(f"sampling needs at least one jet and one batch, found {self}")


@dataclass(frozen=True)
class GenerationScore:
    """A distance between generated and reference jets.

    Parameters
    ----------
    value, uncertainty
        Mean over the features of ``values`` and of ``uncertainties``, as the papers quote it.
    values, uncertainties : tuple of float
        One per feature (particle feature, polynomial); a single one for masses, FPD and KPD.
    n_reference, n_generated
        Jets in the two samples.
    is_comparable
        True only with JetNet's own sample and batch sizes: then the number may stand beside
        published ones. Smaller samples have a larger statistical floor.
    """

    value: float
    uncertainty: float
    values: tuple[float, ...]
    uncertainties: tuple[float, ...]
    n_reference: int
    n_generated: int
    is_comparable: bool

    def __str__(self) -> str:
        mark = (
            "" if self.is_comparable else f" (not comparable: {min(self.n_reference, self.n_generated)} jets)"
        )
        return f"{self.value:.3g} ± {self.uncertainty:.1g}{mark}"
