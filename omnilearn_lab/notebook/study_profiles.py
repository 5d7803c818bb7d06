"""Sizes and settings of the notebooks that generate, reweight, unfold and search."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from omnilearn_lab.catalog import LoadOptions, load
from omnilearn_lab.models import SamplerConfig
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks import generation, unfolding
from omnilearn_lab.tasks import search as searches
from omnilearn_lab.tasks.common.comparison import ComparisonSettings
from omnilearn_lab.training import TrainConfig

Source = Literal["simulated", "published"]
Count = Annotated[int, Field(gt=0)]


@settings
class GenerationSizes:
    """Jets and trainings of one dataset.

    Parameters
    ----------
    n_train, n_validation
    n_test
        Jets that are generated and compared; as many more give the floor.
    generators : GeneratorSettings
    """

    n_train: Count
    n_validation: Count
    n_test: Count
    generators: generation.GeneratorSettings = field(default_factory=generation.GeneratorSettings)


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

    source: Source
    jetnet30: GenerationSizes
    jetnet150: GenerationSizes
    n_study: Count
    n_guidance: Count
    samplers: tuple[SamplerConfig, ...]
    guidance: tuple[float, ...]
    distill: generation.DistillConfig
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
) -> generation.GeneratorData:
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
    return generation.GeneratorData(train, validation, test[:half], test[half : 2 * half])


@settings
class ReweightingProfile:
    """Sizes of the reweighting notebook.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_train, n_test
        Jets of each generator.
    n_bins
        Bins of the triangular discriminators; None takes the published ones.
    compare : ComparisonSettings
    """

    source: Source
    n_train: Count
    n_test: Count
    n_bins: Count | None = None
    compare: ComparisonSettings = field(default_factory=ComparisonSettings)


@settings
class UnfoldingProfile:
    """Sizes of the unfolding notebook.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_events
        Of the simulation, and of the data.
    n_truth
        Further events of the data's generator, whose particle level is what results are compared with.
    min_pt
        Jets need more than this at either level [GeV].
    n_bins
        Bins of the triangular discriminators and of IBU; None takes the published ones.
    methods : UnfoldingMethods
    n_dis
        Deep-inelastic events of either generator.
    dis : TrainConfig
        Networks on whole events, from scratch.
    """

    source: Source
    n_events: Count
    n_truth: Count
    min_pt: float
    n_bins: Count | None = None
    methods: unfolding.UnfoldingMethods = field(default_factory=unfolding.UnfoldingMethods)
    n_dis: Count = 1000
    dis: TrainConfig = field(default_factory=TrainConfig)


@settings
class LhcoProfile:
    """Sizes of the LHC Olympics notebook.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_window
        Events near the resonance for the scan, of both kinds; simulated only.
    n_spectrum
        Events of the whole mass range, of both kinds; None takes all published ones.
    max_particles
        Hardest particles of each jet that networks see.
    n_generated
        Events to generate in the signal region.
    scan : InjectionSettings
    frozen_scan : InjectionSettings, optional
        A longer scan with the frozen body alone: more events, weaker signals, more trials.
    generator : SidebandGeneratorConfig
    search : DijetSearchSettings
    injections : tuple of int
        Signal events of the search, of any mass.
    """

    source: Source
    n_window: Count
    n_spectrum: Count | None
    max_particles: Count
    n_generated: Count
    scan: searches.InjectionSettings = field(default_factory=searches.InjectionSettings)
    frozen_scan: searches.InjectionSettings | None = None
    generator: searches.SidebandGeneratorConfig = field(default_factory=searches.SidebandGeneratorConfig)
    search: searches.DijetSearchSettings = field(default_factory=searches.DijetSearchSettings)
    injections: tuple[int, ...] = (0, 100)


@settings
class OpenDataProfile:
    """Sizes of the open-data notebook.

    Parameters
    ----------
    source
        "simulated": QCD jets of the stand-in with top jets mixed in. "published": Aspen Open Jets as they
        are, compared with simulated QCD of CMS.
    n_jets
        Jets to load before the selection on mass, of data and reference together.
    signal_fraction
        Of top jets among the selected data; 0.001 in the publication. Not used with published data.
    checkpoint
        Whose class probabilities are the score without training.
    search : OpenDataSearchSettings
    """

    source: Source
    n_jets: Count
    signal_fraction: float = 0.001
    checkpoint: str = "tiny"
    search: searches.OpenDataSearchSettings = field(default_factory=searches.OpenDataSearchSettings)
