"""What all estimators share: how they train, what they remember of their inputs, how they are kept."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors.torch import load_file, save_file
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split

from omnilearn_lab.errors import CheckpointError, ConfigError, JetsError, translated
from omnilearn_lab.jets import InputSpec, Jets
from omnilearn_lab.machine import StrPath, atomic_path, make_folder, write_text
from omnilearn_lab.models import Batch, load_checkpoint, save_checkpoint
from omnilearn_lab.settings import from_mapping, settings, to_mapping
from omnilearn_lab.tasks.common.networks import ClassifierSettings, complete_batch, make_model, network_batch
from omnilearn_lab.tasks.reweighting.samples import check_weights
from omnilearn_lab.training import History, Objective, Run, TrainConfig, Trainer, default_device
from omnilearn_lab.training.trainer import OnRecord

_CARD, _NETWORK, _ARRAYS = "estimator.json", "network.safetensors", "arrays.safetensors"
_AT_ONCE = 20_000  # jets turned into network inputs at a time: bounds the memory of long predictions

JetsLike = Jets | Sequence[Jets]


@settings
class Inputs:
    """What a network was trained to see, so that it never silently gets something else.

    Parameters
    ----------
    spec : InputSpec
        Species, impact parameters, classes and units of the jets.
    kind : {"pet", "pet_v2"}
    max_particles
        Only the hardest particles of each jet; None: all.
    standardization
        A key of `omnilearn_lab.features.STANDARDIZATIONS`.
    """

    spec: InputSpec = field(default_factory=InputSpec)
    kind: str = "pet"
    max_particles: int | None = None
    standardization: str = "jetclass"

    def batch(self, jets: Jets) -> Batch:
        """Return jets as the network saw them in training.

        Raises
        ------
        JetsError
            When they lack species or impact parameters that the network was trained with.
        """
        self.spec.check(jets)
        return network_batch(
            jets if self.max_particles is None else jets.truncate(self.max_particles),
            inputs=self.kind,
            use_pid=self.spec.species,
            use_extra=self.spec.displacement,
            standardization=self.standardization,
        )


@dataclass(eq=False, repr=False)
class Estimator(BaseEstimator):
    """Base of all estimators: the parameters they share, and what tells a fitted one."""

    _fitted: ClassVar[str] = "network_"  # set by fit

    checkpoint: str | None = "tiny"
    _: KW_ONLY
    epochs: float = 4.0
    batch_size: int = 128
    learning_rate: float = 1e-3
    random_state: int | None = 1

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, self._fitted)

    def _check_fitted(self) -> Any:
        """Return what `fit` made."""
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"this {type(self).__name__} was not fitted; call fit first")
        return getattr(self, self._fitted)

    def _seed(self) -> int:
        return 0 if self.random_state is None else int(self.random_state)


class SavedEstimator(Estimator):
    """Base of the estimators that a folder can keep: a card with the parameters, and what `fit` made."""

    def save(self, folder: StrPath) -> Path:
        """Keep the fitted estimator in a folder: weights as safetensors, the rest as JSON, nothing pickled.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        self._check_fitted()
        folder = make_folder(folder)
        parameters = {k: v for k, v in self.get_params(deep=False).items() if k != "directory"}
        card = {"estimator": type(self).__name__, "parameters": parameters, **self._write(folder)}
        write_text(folder / _CARD, json.dumps(card, indent=1, default=_plain))
        return folder

    @classmethod
    def load(cls, folder: StrPath) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        CheckpointError
            When the folder holds no such estimator, or a file of it is missing or damaged.
        """
        folder = Path(folder)
        problem = f"'{folder}' holds no estimator: {_CARD} and what it names cannot be read"
        with translated(CheckpointError, problem, "give a folder that an estimator's save wrote"):
            card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
            kind = getattr(importlib.import_module("omnilearn_lab.estimators"), card["estimator"], None)
            if not (isinstance(kind, type) and issubclass(kind, cls)):
                raise CheckpointError(f"'{folder}' holds a '{card['estimator']}', not a {cls.__name__}")
            made = kind(**card["parameters"])
            made._read(folder, card)
        return made

    def _write(self, folder: Path) -> dict[str, Any]:
        """Write what `fit` made; return what else belongs in the card."""
        raise NotImplementedError

    def _read(self, folder: Path, card: Mapping[str, Any]) -> None:
        """Take what `_write` wrote."""
        raise NotImplementedError


class JetEstimator(SavedEstimator):
    """Base of the estimators with one network: parameters, splits, training, saving.

    Attributes
    ----------
    network_ : torch.nn.Module
    history_ : History
        Losses during training.
    inputs_ : Inputs
        What the network sees.
    """

    _arrays: ClassVar[tuple[str, ...]] = ()  # fitted arrays to keep beside the network
    _facts: ClassVar[tuple[str, ...]] = ()  # fitted plain values to keep in the card

    def _write(self, folder: Path) -> dict[str, Any]:
        save_checkpoint(self.network_.cpu(), folder / _NETWORK, {"task": type(self).__name__})
        made = {name: getattr(self, name) for name in self._arrays if hasattr(self, name)}
        arrays = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in made.items()}
        with atomic_path(folder / _ARRAYS) as path:
            save_file(arrays or {"none": torch.zeros(0)}, path)
        facts = {name: getattr(self, name) for name in self._facts if hasattr(self, name)}
        return {"inputs": to_mapping(self.inputs_), "facts": facts}

    def _read(self, folder: Path, card: Mapping[str, Any]) -> None:
        self.inputs_ = from_mapping(Inputs, card["inputs"])
        for name in set(self._facts) & set(card["facts"]):
            setattr(self, name, _array(card["facts"][name]))
        for name, value in load_file(folder / _ARRAYS).items():
            if name in self._arrays:
                setattr(self, name, value.numpy())
        self.network_, self.history_ = load_checkpoint(folder / _NETWORK), History()

    def checksum(self) -> str:
        """Return what tells this fitted estimator from others: a hash of its weights."""
        self._check_fitted()
        digest = hashlib.sha256()
        for name, value in sorted(self.network_.state_dict().items()):
            digest.update(name.encode() + np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
        for name in self._arrays:
            digest.update(np.ascontiguousarray(getattr(self, name, ())).tobytes())
        return digest.hexdigest()

    def _training(self, **changes: Any) -> TrainConfig:
        """The training settings that the parameters say."""
        names = ("epochs", "batch_size", "learning_rate", "precision")
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        factor = 1.0 if self.checkpoint is None else self.body_lr_factor
        return TrainConfig(**values | {"seed": self._seed(), "body_lr_factor": factor} | changes)

    def _network_settings(self, n_outputs: int, training: TrainConfig) -> ClassifierSettings:
        if self.checkpoint is None:
            return ClassifierSettings(n_outputs, network=self.network, size=self.size, training=training)
        return ClassifierSettings(n_outputs, init=str(self.checkpoint), training=training)

    def _remember_inputs(self, jets: Jets, kind: str) -> None:
        species = None if self.use_pid else False  # None: where the jets have them
        spec = InputSpec.of(jets, species=species, displacement=bool(self.use_displacement))
        self.inputs_ = Inputs(spec, kind, self.max_particles, self.standardization)

    def _train(
        self,
        parts: tuple[Batch, Batch],
        chosen: ClassifierSettings,
        objective: Objective,
        on_record: OnRecord | None,
    ) -> None:
        model = make_model(chosen).to(default_device())
        run = None if self.directory is None else Run(self.directory, to_mapping(chosen))
        train, held_out = (complete_batch(part, model) for part in parts)
        trainer = Trainer(model, objective, train, held_out, chosen.training, run)
        self.history_, self.network_ = trainer.fit(on_record), model.eval()

    def _blocks(self, jets: JetsLike, function: Callable[[Batch], np.ndarray]) -> np.ndarray:
        """Apply a function to the network's inputs, some thousand jets at a time."""
        self._check_fitted()
        jets = as_jets(jets)
        starts = range(0, max(len(jets), 1), _AT_ONCE)
        return np.concatenate([function(self.inputs_.batch(jets[i : i + _AT_ONCE])) for i in starts])


def load_estimator(folder: StrPath) -> JetEstimator:
    """Read any estimator of jets that was saved; the folder says which one it is.

    Raises
    ------
    CheckpointError
        When the folder holds none, or a file of it is missing or damaged.

    Examples
    --------
    >>> load_estimator("no/such/folder")
    Traceback (most recent call last):
    omnilearn_lab.errors.CheckpointError: 'no/such/folder' holds no estimator: estimator.json ...
    """
    return JetEstimator.load(folder)


def as_jets(jets: JetsLike) -> Jets:
    """Return jets as they are, and a list of them as one."""
    if isinstance(jets, Jets):
        return jets
    is_list = isinstance(jets, Sequence) and len(jets) > 0 and all(isinstance(part, Jets) for part in jets)
    if not is_list:
        raise JetsError(
            f"jets are a {type(jets).__name__}; give Jets: read files with readers.from_file, "
            "build them with Jets.build or Jets.from_four_momenta"
        )
    return Jets.concatenate(jets)


def split(jets: Jets, labels: np.ndarray | None, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows to train on and rows to hold out: random, seeded, and with equal shares of every class.

    Raises
    ------
    ConfigError
        When a class has too few jets for both.

    Examples
    --------
    >>> jets = Jets.from_four_momenta(np.ones((4, 4)), range(5))
    >>> labels = np.array(["QCD", "QCD", "top", "top"])
    >>> [labels[rows].tolist() for rows in split(jets, labels, 0.5, seed=1)]
    [['QCD', 'top'], ['QCD', 'top']]
    """
    if not 0 < fraction < 1:
        raise ConfigError(
            f"validation is {fraction}; a share between 0 and 1 of the jets is held out, or give jets"
        )
    rows = np.arange(len(jets))
    problem = f"{len(jets)} jets cannot be split into {1 - fraction:g} and {fraction:g}"
    with translated(ConfigError, problem, "give more jets, or another share"):
        train, held_out = train_test_split(rows, test_size=fraction, random_state=seed, stratify=labels)
    return np.sort(train), np.sort(held_out)


def weights(jets: Jets, sample_weight: ArrayLike | None) -> Jets:
    """Return the jets with weights that a loss can take.

    Raises
    ------
    JetsError
        For weights that are negative, not finite, or all zero.
    """
    if sample_weight is None and "weight" not in jets.jet:
        return jets
    given = jets.weight if sample_weight is None else sample_weight
    return jets.with_jet(weight=check_weights("the jets", given, len(jets)).astype(np.float32))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else str(value)


def _array(value: Any) -> Any:
    return np.array(value) if isinstance(value, list) else value


def column_names(targets: Mapping[str, ArrayLike] | ArrayLike) -> tuple[str, ...]:
    """Names of regression targets; numbered where they have none."""
    if isinstance(targets, Mapping):
        return tuple(targets)
    n_columns = 1 if np.ndim(targets) == 1 else np.shape(targets)[1]
    return tuple(f"target_{i}" for i in range(n_columns))
