"""What each ingredient of PET v2 brings: the complete network against the same with one ingredient less.

Every training here is small: the answers are those of the sizes used, with their spread over seeds.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any

from pydantic import Field

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.classification import ClassifierData, ClassifierResult
from omnilearn_lab.tasks.common.classifiers import train_classifiers
from omnilearn_lab.tasks.common.comparison import Comparison
from omnilearn_lab.tasks.common.networks import ClassifierSettings
from omnilearn_lab.training import TrainConfig


@settings
class AblationSettings:
    """A complete PET v2 and the same with one ingredient less.

    Parameters
    ----------
    size
        Named size of all networks.
    base
        Fields of `PETv2Config` changed for all of them.
    variants
        Name of each network, and what it changes; the complete one changes nothing.
    pet
        Fields of `PETConfig` changed for the PET of the first paper.
    seeds
    training : TrainConfig
        The same for all.

    Raises
    ------
    ConfigError
        When no network is complete.
    """

    size: str
    base: dict[str, Any]
    variants: dict[str, dict[str, Any]]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    pet: dict[str, Any] = field(default_factory=dict)
    training: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if {} not in self.variants.values():
            raise ConfigError("one variant must change nothing: it is what the others are compared with")

    @property
    def complete(self) -> str:
        """Name of the network with all ingredients."""
        return next(name for name, changes in self.variants.items() if not changes)

    @property
    def ingredients(self) -> dict[str, tuple[str, str]]:
        """What each ingredient brings, as pairs for `Comparison.gains`: the complete network over another."""
        others = [name for name in (*self.variants, "PET") if name != self.complete]
        return {name: (self.complete, name) for name in others}

    def classifiers(self, n_classes: int) -> dict[str, ClassifierSettings]:
        """Return the settings of every variant, and those of the PET of the first paper as "PET"."""
        networks = {name: ("pet_v2", {**self.base, **changes}) for name, changes in self.variants.items()}
        networks["PET"] = ("pet", self.pet)
        return {
            name: ClassifierSettings(
                n_classes, size=self.size, training=self.training, network=network, changes=changes
            )
            for name, (network, changes) in networks.items()
        }


def ablate(
    data: ClassifierData,
    settings: AblationSettings,
    *,
    pet_data: ClassifierData | None = None,
    **options: Any,
) -> Comparison[ClassifierResult]:
    """Train every variant with every seed on the same jets.

    Parameters
    ----------
    data : ClassifierData
        With the inputs of a PET v2, species and further numbers included.
    settings : AblationSettings
    pet_data
        The same jets with PET's inputs, for the PET of the first paper.
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    Comparison of ClassifierResult
        One arm per variant, and "PET".
    """
    sets, arms = {"pet_v2": data, "pet": pet_data}, settings.classifiers(data.n_classes)
    return train_classifiers(sets, arms, seeds=settings.seeds, **options)
