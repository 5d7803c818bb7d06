"""Flavour tagging: b, c and tau jets from displaced tracks, with the origin of tracks as a second task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.classification import ClassifierData, ClassifierResult, train_classifier
from omnilearn_lab.tasks.common.comparison import Comparison, compare
from omnilearn_lab.tasks.common.networks import ClassifierSettings, network_of
from omnilearn_lab.tasks.flavour.inputs import CLASSES
from omnilearn_lab.tasks.flavour.rejections import tagger_values
from omnilearn_lab.training import Classification, FlavourTagging, TrainConfig

N_ORIGINS = 8  # codes of the ATLAS files: 0 pile-up, 1 fake, 2 primary, 3 b, 4 b to c, 5 c, 6 tau, 7 other
N_CONDITION = 4


@settings
class FlavourSettings:
    """One tagger: which network, with which second task, from which weights.

    Parameters
    ----------
    network : {"pet_v2", "track_transformer"}
        The second is in the manner of GN2.
    size
        Named size of the network.
    origins
        Factor of the loss of the track origins; 0 trains without them.
    init
        "scratch", or a checkpoint of a PET v2 whose body to start from.
    training : TrainConfig

    Raises
    ------
    ConfigError
        For pretrained weights for the baseline.
    """

    network: Literal["pet_v2", "track_transformer"] = "pet_v2"
    size: str = "tiny"
    origins: Annotated[float, Field(ge=0)] = 1.0
    init: str = "scratch"
    training: TrainConfig = TrainConfig()

    def __post_init__(self) -> None:
        if self.init != "scratch" and self.network != "pet_v2":
            raise ConfigError(f"'{self.network}' has no pretrained weights: init must be 'scratch'")

    def classifier(self, n_extra: int) -> ClassifierSettings:
        """Return the settings of the network.

        A fine-tuned network has the sizes of its checkpoint. What does not fit, the embedding of the further
        track numbers and the heads, starts anew, as in the published code.

        Parameters
        ----------
        n_extra
            Further numbers of each track.

        Raises
        ------
        ConfigError
            When the checkpoint holds no PET v2.
        """
        if self.init != "scratch" and network_of(self.init) != "pet_v2":
            raise ConfigError(f"'{self.init}' holds no PET v2; flavour tagging fine-tunes one")
        origins = N_ORIGINS if self.origins else 0
        changes = {"n_extra": n_extra, "n_condition": N_CONDITION, "n_particle_classes": origins}
        if self.network == "pet_v2":
            changes |= {"n_species": 0, "feature_drop": 0.0, "mode": "ftag" if origins else "classifier"}
        return ClassifierSettings(
            len(CLASSES), self.init, self.size, self.training, self.network, changes=changes
        )


class TaggerResult(ClassifierResult):
    """What the training of a flavour tagger gave; its values add `tagger_values`."""

    def values(self) -> dict[str, float]:
        """Return the metrics of any classifier, and rejections and areas flavour against flavour."""
        return super().values() | tagger_values(self.probabilities, self.label)


def train_tagger(
    data: ClassifierData, settings: FlavourSettings, seed: int = 1, run_directory: Path | None = None
) -> TaggerResult:
    """Train one tagger and apply it to the test jets.

    Parameters
    ----------
    data : ClassifierData
        From `TrackInputs.data`.
    settings : FlavourSettings
    seed
        Of initial weights and the order of jets.
    run_directory
        Keep metrics and checkpoints there, and go on from them when they exist.

    Raises
    ------
    ConfigError
        When origins are asked for and the jets have none.
    """
    if settings.origins and data.train.particle_label is None:
        raise ConfigError("these tracks have no 'origin': set origins=0, or load jets with track origins")
    objective = FlavourTagging(tracks=settings.origins) if settings.origins else Classification(balance=True)
    classifier = settings.classifier(data.train.extra.shape[1]).with_seed(seed)
    result = train_classifier(data, classifier, objective=objective, run_directory=run_directory)
    return TaggerResult(**vars(result))


def compare_taggers(
    data: ClassifierData, taggers: Mapping[str, FlavourSettings], seeds: Sequence[int], **options: Any
) -> Comparison[TaggerResult]:
    """Train every tagger with every seed, side by side on a CPU.

    Parameters
    ----------
    data : ClassifierData
    taggers : mapping of name to FlavourSettings
    seeds
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    Comparison of TaggerResult
        One arm per tagger.
    """
    return compare(partial(train_tagger, data), taggers, seeds=seeds, **options)
