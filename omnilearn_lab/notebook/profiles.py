"""What each notebook is run with: its settings, and the profiles smoke, quick and full."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from omnilearn_lab.catalog import LoadOptions, load
from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath
from omnilearn_lab.models import SamplerConfig
from omnilearn_lab.settings import from_mapping, read_settings, settings
from omnilearn_lab.tasks import generation, unfolding
from omnilearn_lab.tasks import search as searches
from omnilearn_lab.tasks.common import ClassifierComparisonSettings, ClassifierSettings, ComparisonSettings
from omnilearn_lab.tasks.flavour import FlavourSettings
from omnilearn_lab.tasks.haloes import HaloSettings
from omnilearn_lab.tasks.molecules import MoleculeSettings
from omnilearn_lab.tasks.pretraining import ClassStudySettings, ObjectiveStudySettings, PretrainConfig
from omnilearn_lab.tasks.tagging import AblationSettings
from omnilearn_lab.training import TrainConfig

Source = Literal["simulated", "published"]
Count = Annotated[int, Field(gt=0)]


@settings
class Sizes:
    """Jets, or other examples, of each split."""

    n_train: Count
    n_validation: Count
    n_test: Count


@settings
class StartProfile:
    """Sizes of the first notebook: jets to look at, and the bins of their mass [GeV]."""

    n_jets: int
    mass_bin: int


@settings
class HaloProfile(Sizes):
    """Sizes and settings of the notebook on haloes.

    Parameters
    ----------
    dataset
        A recipe of universes, or clouds of CosmoBench; see `omnilearn_lab.catalog.load_universes`.
    n_train, n_validation, n_test
        Universes of each split.
    parameters, velocities : HaloSettings
        The two tasks.
    changes : mapping
        Fields of all recipes that differ.
    cheap : mapping of recipe to int
        Universes of other simulators to pretrain on.
    n_blobs
        Sets of blobs to pretrain on.
    """

    dataset: str
    parameters: HaloSettings
    velocities: HaloSettings
    changes: dict[str, Any] = field(default_factory=dict)
    cheap: dict[str, int] = field(default_factory=dict)
    n_blobs: Count = 100


@settings
class MoleculeProfile(Sizes):
    """Sizes and settings of the notebook on molecules.

    Parameters
    ----------
    dataset
        "shipped", a recipe of molecules, or "omol25"; see `omnilearn_lab.catalog.load_molecules`.
    n_train, n_validation, n_test
        Molecules of each split.
    starts, ways : MoleculeSettings
        Three starts on training sets of several sizes; other ways to make forces on the largest one.
    n_steps
        Of the runs of molecular dynamics.
    """

    dataset: str
    starts: MoleculeSettings
    ways: MoleculeSettings
    n_steps: Count = 400


@settings
class ObservablesProfile:
    """Sizes of the notebook on observables.

    Parameters
    ----------
    source
        "simulated" or "published", of the JetClass jets.
    n_jets
        JetClass jets of all classes together.
    n_pairs
        Z + jets, before and after the detector.
    n_bins
        Bins of the histograms.
    """

    source: str
    n_jets: int
    n_pairs: int
    n_bins: int


@settings
class ClassificationProfile(Sizes):
    """Sizes and settings of a tagging notebook in one profile.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_train, n_validation, n_test
        Jets of each split.
    compare : ClassifierComparisonSettings
    compare_v2 : ClassifierComparisonSettings, optional
        The same with PET v2.
    n_v2
        Jets of each split at most for PET v2; None uses all.
    curve : mapping of int to float
        Smaller training sets, and the epochs on each, for the learning curve.
    """

    source: str
    compare: ClassifierComparisonSettings = field(default_factory=ClassifierComparisonSettings)
    compare_v2: ClassifierComparisonSettings | None = None
    n_v2: int | None = None
    curve: Mapping[int, float] = field(default_factory=dict)


@settings
class TauProfile(Sizes):
    """Sizes of the notebook on hadronic taus; jets are simulated in every profile.

    Parameters
    ----------
    n_train, n_validation, n_test
        Jets of each split, half of them taus.
    compare : ClassifierComparisonSettings
        Of all three studies.
    """

    compare: ClassifierComparisonSettings = field(default_factory=ClassifierComparisonSettings)


@settings
class NamedNetwork:
    """A further network to train, under a name for tables and figures."""

    name: str
    settings: ClassifierSettings


@settings
class TaggingProfile(ClassificationProfile):
    """Sizes and settings of one tagging study.

    Parameters
    ----------
    others
        Variants of the dataset whose test jets the trained networks are also measured on.
    n_other
        Jets of each.
    max_particles
        Keep the hardest particles only; None keeps all.
    hidden
        Columns of particles or jets to leave out: species that the published files do not have, weights
        that the published study ignores.
    baselines
        Other networks to train on the same jets.
    baseline_seeds
        Their seeds.
    """

    others: tuple[str, ...] = ()
    n_other: int = 0
    max_particles: int | None = None
    hidden: tuple[str, ...] = ()
    baselines: tuple[NamedNetwork, ...] = ()
    baseline_seeds: tuple[int, ...] = (1,)

    @property
    def networks(self) -> dict[str, ClassifierSettings]:
        """The further networks by name, measured where the comparison is."""
        efficiencies = self.compare.signal_efficiencies
        return {b.name: replace(b.settings, signal_efficiencies=efficiencies) for b in self.baselines}


@settings
class TransferProfile:
    """The two studies of the notebook on full simulation."""

    cms: TaggingProfile
    atlas: TaggingProfile


def load_splits(dataset: str, profile: TaggingProfile, *, seed: int = 1) -> dict[str, Jets]:
    """Load the splits "train", "val" and "test" of a dataset, and the test jets of its other variants.

    Parameters
    ----------
    dataset
        Name in the catalogue.
    profile : TaggingProfile
        Source, sizes, variants, and columns to leave out.
    seed
        Of the simulation, or of the choice among published jets.

    Returns
    -------
    dict of str to Jets
        Splits first, then the variants by name.
    """
    sizes = {"train": profile.n_train, "val": profile.n_validation, "test": profile.n_test}
    wanted = {split: (split, n, None) for split, n in sizes.items()}
    wanted |= {variant: ("test", profile.n_other, variant) for variant in profile.others}
    splits = {}
    for name, (split, n, variant) in wanted.items():
        options = LoadOptions(variant=variant, max_particles=profile.max_particles)
        jets = load(dataset, split, source=profile.source, max_jets=n, seed=seed, options=options)
        particles, columns = (
            {key: values for key, values in table.items() if key not in profile.hidden}
            for table in (jets.particles, jets.jet)
        )
        splits[name] = Jets(particles, jets.offsets, columns, jets.class_names, jets.provenance)
    return splits


@settings
class GenerationSizes(Sizes):
    """Jets and trainings of one dataset.

    Parameters
    ----------
    n_train, n_validation
    n_test
        Jets that are generated and compared; as many more give the floor.
    generators : GeneratorSettings
    """

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
    n_particle_jets
        Of the training jets, those that networks learn from; None takes all. The frozen body learns from all.
    n_bins
        Bins of the triangular discriminators; None takes the published ones.
    compare : ComparisonSettings
    """

    source: Source
    n_train: Count
    n_test: Count
    n_particle_jets: Count | None = None
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
        A longer scan without training networks: more events, weaker signals, more trials.
    generator : SidebandGeneratorConfig
        Its ``method`` makes the background of the search.
    methods
        Ways to make background that are compared with true background.
    n_controls
        Parts of the data without signal on which the search is repeated.
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
    methods: tuple[Literal["borrowed", "flow"], ...] = ("borrowed",)
    n_controls: Count = 5
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


@settings
class PretrainingProfile:
    """Sizes and settings of the pretraining notebook in one profile.

    Parameters
    ----------
    pretraining : PretrainConfig
        Of every pretraining; ``n_train`` is replaced by each of ``sizes``.
    sizes
        Pretraining jets.
    checkpoint
        The checkpoint to look at and to compare with.
    n_generated
        Jets to generate.
    n_steps
        Steps of the sampler.
    n_train, n_validation, n_test
        Jets of the downstream task.
    seeds
        One downstream training of each kind per seed.
    scratch, finetuned : TrainConfig
        Of the downstream trainings, at equal budgets.
    """

    pretraining: PretrainConfig = field(default_factory=PretrainConfig)
    sizes: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)] = (1000, 10_000)
    checkpoint: str = "tiny"
    n_generated: int = 500
    n_steps: int = 16
    n_train: int = 1000
    n_validation: int = 500
    n_test: int = 2000
    seeds: tuple[int, ...] = (1, 2, 3)
    scratch: TrainConfig = field(default_factory=TrainConfig)
    finetuned: TrainConfig = field(default_factory=lambda: TrainConfig(body_lr_factor=0.1))

    def classifiers(self, pretrained: Mapping[str, StrPath]) -> dict[str, ClassifierSettings]:
        """Return what to train downstream: from scratch, and from each pretrained network by name."""
        like = next(iter(pretrained.values()))
        scratch = ClassifierSettings(2, like=str(like), training=self.scratch)
        tuned = {
            name: ClassifierSettings(2, init=str(source), training=self.finetuned)
            for name, source in pretrained.items()
        }
        return {"scratch": scratch} | tuned


@settings
class OmniLearnedProfile(Sizes):
    """Sizes and settings of the notebook on OmniLearned in one profile.

    Parameters
    ----------
    source
        "simulated" or "published".
    max_particles
        The hardest particles kept in ablation and class study; None keeps all.
    n_train, n_validation, n_test
        JetClass jets of the ablation.
    n_data
        Data-like jets (Aspen), one more pretraining class.
    n_top, n_top_test
        Top-tagging jets of the class study: for training, and for validation and test each.
    n_top_table
        Training jets of the top-tagging table.
    table : ClassifierComparisonSettings
        Its trainings.
    sizes
        Named sizes whose cost is measured.
    ablation : AblationSettings
    classes : ClassStudySettings
    objectives : ObjectiveStudySettings
        Needs a combination "generation", and tokens.
    jetnet : GenerationSizes
        Jets of its generators; as many JetClass jets are written by the token network.
    """

    source: str
    max_particles: int | None
    n_data: int
    n_top: int
    n_top_test: int
    n_top_table: int
    ablation: AblationSettings
    classes: ClassStudySettings
    table: ClassifierComparisonSettings
    objectives: ObjectiveStudySettings
    jetnet: GenerationSizes
    sizes: tuple[str, ...] = ("tiny", "small")


@settings
class FlavourProfile(Sizes):
    """Sizes and settings of the flavour-tagging notebook in one profile.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_train, n_validation, n_test
        Jets of each split.
    seeds
    size
        Named size of PET v2; the baseline has the same name of its own sizes.
    baseline_size
    checkpoint
        Where fine-tuning starts: a shipped name or a file.
    scratch, finetuned : TrainConfig
        Of both networks trained from scratch, and of fine-tuning.
    """

    source: str
    seeds: tuple[int, ...]
    size: str = "tiny"
    baseline_size: str = "tiny"
    checkpoint: str = "v2_tiny"
    scratch: TrainConfig = field(default_factory=TrainConfig)
    finetuned: TrainConfig = field(default_factory=TrainConfig)

    def taggers(self, *, has_checkpoint: bool) -> dict[str, FlavourSettings]:
        """Return the taggers to compare, by name."""
        ours = FlavourSettings("pet_v2", self.size, 1.0, "scratch", self.scratch)
        gn2 = FlavourSettings("track_transformer", self.baseline_size, 1.0, "scratch", self.scratch)
        tuned = replace(ours, init=self.checkpoint, training=self.finetuned)
        return {
            "PET v2": replace(ours, origins=0.0),
            "PET v2 + origins": ours,
            "GN2-like": replace(gn2, origins=0.0),
            "GN2-like + origins": gn2,
        } | ({"PET v2 fine-tuned + origins": tuned} if has_checkpoint else {})


log = logging.getLogger(__name__)
_OWN_FOLDER = "OMNILEARN_LAB_PROFILES"


def notebook_profile(notebook: str, profile: str) -> Any:
    """Return a notebook's settings in a profile, from ``notebook/profiles/<notebook>.yaml``.

    The file's first line, ``settings: NAME``, says which class of this module they fill.
    A file of the same name in the folder ``OMNILEARN_LAB_PROFILES`` changes single settings: your own
    sizes, without touching the package.

    Parameters
    ----------
    notebook
        Name without ending, such as "03_finetune_top".
    profile : {"smoke", "quick", "long", "full"}

    Raises
    ------
    ConfigError
        For an unknown notebook or profile, or a setting that the class does not have.

    Examples
    --------
    >>> notebook_profile("03_finetune_top", "smoke").compare.seeds
    (1, 2)
    """
    folder = resources.files("omnilearn_lab.notebook") / "profiles"
    known = {file.name.removesuffix(".yaml"): file for file in folder.iterdir()}
    if notebook not in known:
        raise ConfigError(f"no profiles for the notebook '{notebook}'; {nearest(notebook, sorted(known))}")
    table = yaml.safe_load(known[notebook].read_text(encoding="utf-8"))
    cls = globals()[table.pop("settings")]
    if profile not in table:
        raise ConfigError(f"'{notebook}' has no profile '{profile}'; {nearest(profile, table)}")
    own = _own_changes(notebook, profile)
    try:
        return from_mapping(cls, _merged(table[profile], own))
    except ConfigError as error:
        where = f"'{os.environ[_OWN_FOLDER]}/{notebook}.yaml', profile '{profile}': " if own else ""
        raise ConfigError(f"{where}{error}") from error


def _own_changes(notebook: str, profile: str) -> Mapping[str, Any]:
    folder = os.environ.get(_OWN_FOLDER)
    path = Path(folder or ".") / f"{notebook}.yaml"
    if folder is None or not path.is_file():
        return {}
    changes = read_settings(path).get(profile) or {}
    if not isinstance(changes, Mapping):
        raise ConfigError(
            f"'{path}', profile '{profile}': lines like 'name: value' are expected, not {changes!r}"
        )
    log.info("%s, profile %s: settings changed by '%s'", notebook, profile, path)
    return changes


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with some values changed; mappings by name are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        both = _is_named(merged.get(key)) and _is_named(value)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
