"""Learn to generate jets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.estimators.base import JetsLike, SavedEstimator, as_jets
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import SamplerConfig
from omnilearn_lab.tasks.generation import JetGeneration, JetGenerationConfig
from omnilearn_lab.training import TrainConfig
from omnilearn_lab.training.trainer import OnRecord


@dataclass(eq=False, repr=False)
class PETGenerator(SavedEstimator):
    """Generate jets: their kinematics and multiplicity first, then their particles, by class.

    Parameters
    ----------
    checkpoint
        Pretrained PET to start the particles from; None takes the sizes of ``tiny`` and new weights.
    epochs, batch_size, learning_rate
        Of the network for particles.
    kinematics_epochs
        Of the small network for pt, eta, mass and multiplicity.
    n_steps
        Steps of the sampler for particles.
    standardization
        A key of `omnilearn_lab.features.STANDARDIZATIONS`.
    random_state
        Seed of training and sampling.
    directory
        Keep both trainings there; an interrupted `fit` goes on where it was.

    Attributes
    ----------
    generation_ : JetGeneration
    history_ : dict of History
        Of "kinematics" and "particles".
    classes_ : array of str
        Names of the classes that can be asked for.

    References
    ----------
    OmniLearn, arXiv:2404.16091, section V.
    """

    _fitted: ClassVar = "generation_"

    _: KW_ONLY
    epochs: float = 10.0
    learning_rate: float = 5e-4
    kinematics_epochs: float = 50.0
    n_steps: int = 8
    standardization: str = "jetclass"
    directory: str | None = None

    def fit(
        self,
        jets: JetsLike,
        labels: Any = None,
        validation: Jets | None = None,
        *,
        on_record: OnRecord | None = None,
    ) -> PETGenerator:
        """Learn from jets; their own labels and class names say which class is which.

        Parameters
        ----------
        jets : Jets, or a list of them
        labels : int array, shape (N,), optional
            Class numbers; by default the jets' own, and one class where they have none.
        validation : Jets, optional
            To choose the best weights; by default a tenth of ``jets``.
        on_record
            Called with every new record of a history.
        """
        jets = as_jets(jets)
        if labels is not None:
            jets = jets.with_jet(label=np.asarray(labels))
        generation = JetGeneration(self._config(), directory=self.directory)
        self.generation_ = generation.fit(jets, validation, on_record=on_record)
        self.history_ = generation.histories
        self.classes_ = np.array(jets.class_names or ("jets",))
        return self

    def sample(self, n_jets: int, label: str | int | None = None, *, seed: int | None = None) -> Jets:
        """Return generated jets.

        Parameters
        ----------
        n_jets
        label
            Name or number of a class; by default the mixture of the training jets.
        seed
            ``random_state`` by default.
        """
        generation = self._check_fitted()
        if n_jets < 1:
            raise ConfigError(f"n_jets is {n_jets}; at least one jet is to be generated")
        return generation.sample(n_jets, label=label, seed=self.random_state if seed is None else seed)

    def _write(self, folder: Path) -> dict[str, Any]:
        self.generation_.save(folder)
        return {"classes": self.classes_}

    def _read(self, folder: Path, card: Mapping[str, Any]) -> None:
        self.generation_ = JetGeneration.load(folder)
        self.history_, self.classes_ = self.generation_.histories, np.array(card["classes"])

    def _config(self) -> JetGenerationConfig:
        shared: dict[str, Any] = {"batch_size": self.batch_size, "ema_decay": 0.999, "seed": self._seed()}
        return JetGenerationConfig(
            checkpoint=self.checkpoint or "tiny",
            from_scratch=self.checkpoint is None,
            standardization=self.standardization,
            particles=TrainConfig(self.epochs, learning_rate=self.learning_rate, **shared),
            kinematics=TrainConfig(
                self.kinematics_epochs, learning_rate=1e-3, validations_per_epoch=1, **shared
            ),
            sampler=SamplerConfig(self.n_steps),
        )
