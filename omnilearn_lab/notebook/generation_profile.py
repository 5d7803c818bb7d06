"""Sizes and settings of the notebook that generates jets."""

from __future__ import annotations

from dataclasses import field

from omnilearn_lab.catalog import LoadOptions, load
from omnilearn_lab.models import SamplerConfig
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.generation.comparison import GeneratorData, GeneratorsConfig
from omnilearn_lab.tasks.generation.distillation import DistillConfig

__all__ = ["GenerationProfile", "GenerationSizes", "load_generation"]


@settings
class GenerationSizes:
    """Jets and trainings of one dataset.

    Parameters
    ----------
    n_train, n_validation
    n_test
        Jets that are generated and compared; as many more give the floor.
    generators : GeneratorsConfig
    """

    n_train: int
    n_validation: int
    n_test: int
    generators: GeneratorsConfig = field(default_factory=GeneratorsConfig)


@settings
class GenerationProfile:
    """What the notebook does in one profile.

    Parameters
    ----------
    source
        "simulated" or "published".
    jetnet30, jetnet150 : GenerationSizes
    n_study, n_guidance
        Jets of the study of samplers and students, and of the one of guidance.
    published_steps
        Steps of OmniLearn's sampler in the study; 300 is its own number.
    samplers : tuple of SamplerConfig
        Further ways of sampling.
    guidance : tuple of float
        Strengths.
    distill : DistillConfig
    gpu_hours
        Estimate for one GPU; 0 when none is needed.
    """

    source: str
    jetnet30: GenerationSizes
    jetnet150: GenerationSizes
    n_study: int
    n_guidance: int
    samplers: tuple[SamplerConfig, ...]
    guidance: tuple[float, ...]
    distill: DistillConfig
    published_steps: int = 300
    gpu_hours: float = 0.0

    @property
    def published_sampler(self) -> SamplerConfig:
        """The sampler of the publication."""
        return SamplerConfig(self.published_steps, "published")


def load_generation(
    name: str,
    sizes: GenerationSizes,
    *,
    source: str = "auto",
    seed: int = 1,
    options: LoadOptions | None = None,
) -> GeneratorData:
    """Load the jets that a comparison of generators needs.

    Parameters
    ----------
    name
        Dataset of the catalogue, such as "jetnet30".
    sizes : GenerationSizes
    source, seed, options
        As for `omnilearn_lab.catalog.load`.

    Returns
    -------
    GeneratorData
    """
    numbers = {"train": sizes.n_train, "val": sizes.n_validation, "test": 2 * sizes.n_test}
    train, validation, test = (
        load(name, split, source=source, max_jets=n, seed=seed, options=options)
        for split, n in numbers.items()
    )
    half = len(test) // 2
    return GeneratorData(train, validation, test[:half], test[half : 2 * half])
