"""Energies and forces of molecules: how networks train on them, and what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from scipy.spatial.transform import Rotation
from torch import Tensor

from omnilearn_lab.models import Batch
from omnilearn_lab.models.checkpoints import Transfer, transfer
from omnilearn_lab.settings import settings
from omnilearn_lab.simulation.molecules import ELEMENTS, Molecules
from omnilearn_lab.tasks.common import LearningCurve, Redrawn, compare
from omnilearn_lab.tasks.molecules.networks import ContinuousFilters, Forces, MoleculePET
from omnilearn_lab.training import Batches, History, Run, TrainConfig, Trainer, Whole, default_device

NAMES = ("energy_mae", "force_mae", "turning")
"""What is measured: see `MoleculeResult.values`."""
_HELD_OUT = 8  # one of so many geometries of a training molecule
_LARGEST_CHARGE = 8.0  # oxygen's
_LOOKUP = {z: (row, element.radius) for row, (z, element) in enumerate(ELEMENTS.items())}


class MoleculeData(NamedTuple):
    """Geometries to train, to choose and to test with; no molecule is in two of these.

    ``seen`` is a second test: other geometries of the molecules that are trained on, where there are eight.
    """

    train: Molecules
    validation: Molecules
    test: Molecules
    seen: Molecules

    @classmethod
    def split(cls, molecules: Molecules, n_validation: int, n_test: int) -> MoleculeData:
        """Cut the last ``n_test`` molecules off for the test, and ``n_validation`` before them."""
        n = len(molecules.names)
        ends = np.cumsum([0, n - n_validation - n_test, n_validation, n_test])
        which = molecules.molecule
        cuts = zip(ends, ends[1:], strict=False)
        train, *others = (molecules.select((which >= first) & (which < last)) for first, last in cuts)
        number = pd.Series(train.molecule).groupby(train.molecule).cumcount().to_numpy()
        is_held_out = number % _HELD_OUT == _HELD_OUT - 1
        return cls(train.select(~is_held_out), *others, train.select(is_held_out))

    def first(self, n_train: int) -> MoleculeData:
        """Keep the first training molecules only."""
        both = (each.select(each.molecule < n_train) for each in (self.train, self.seen))
        return self._replace(**dict(zip(("train", "seen"), both, strict=True)))

    @property
    def n_train(self) -> int:
        """Training molecules."""
        return len(np.unique(self.train.molecule))


def counts_by_element(molecules: Molecules) -> np.ndarray:
    """Return how many atoms of H, C, N and O each geometry has, shape (N, 4)."""
    of_atoms = molecules.numbers[:, None] == np.array(list(ELEMENTS))
    return np.add.reduceat(of_atoms.astype(np.int64), molecules.offsets[:-1])


@dataclass(frozen=True, eq=False)
class Scales:
    """What energies are counted from, and the units of energies per atom [eV] and forces [eV/Angstrom].

    The reference is a sum over atoms with one energy for each element, by least squares.
    """

    elements: np.ndarray
    energy: float
    force: float

    @classmethod
    def of(cls, molecules: Molecules) -> Scales:
        """Measure the training set."""
        counts = counts_by_element(molecules)
        elements = np.linalg.lstsq(counts, molecules.energy, rcond=None)[0]
        rest = (molecules.energy - counts @ elements) / molecules.counts
        return cls(elements, float(rest.std()), float(molecules.force.std()))

    def reference(self, molecules: Molecules) -> np.ndarray:
        """Return the energy of the elements [eV], shape (N,)."""
        return counts_by_element(molecules) @ self.elements

    @property
    def ratio(self) -> float:
        """Unit of energies over that of forces [Angstrom]."""
        return self.energy / self.force


def molecule_batch(molecules: Molecules, scales: Scales) -> Batch:
    """Coordinates from the mean of the atoms [Angstrom], covalent radius and Z / 8 as features.

    Standardised targets: energy per atom in ``jet``, forces in ``particle_target``.
    """
    counts = molecules.counts
    centre = np.add.reduceat(molecules.position, molecules.offsets[:-1]) / counts[:, None]
    kind, radius = np.array([_LOOKUP[int(z)] for z in molecules.numbers]).T
    columns = molecules.position - np.repeat(centre, counts, axis=0), radius, molecules.numbers
    rows = torch.from_numpy(np.column_stack([*columns[:2], columns[2] / _LARGEST_CHARGE])).float()
    rest = (molecules.energy - scales.reference(molecules)) / counts / scales.energy
    return Batch(
        rows,
        rows[:, :2],
        torch.from_numpy(molecules.offsets),
        torch.from_numpy(rest)[:, None].float(),
        pid=torch.from_numpy(kind.astype(np.int64) + 1),
        particle_target=torch.from_numpy(molecules.force / scales.force).float(),
    )


def turned(batch: Batch, seed: int | list[int]) -> tuple[Batch, Tensor]:
    """Turn every molecule by a rotation of its own, forces included; return the rotations (B, 3, 3), too."""
    turns = Rotation.random(len(batch), random_state=np.random.default_rng(seed)).as_matrix()
    turns = torch.from_numpy(np.asarray(turns)).float()
    of_rows = turns[batch.packing.jet]
    coordinates = turn(batch.features[:, :3], of_rows)
    features = torch.cat([coordinates, batch.features[:, 3:]], 1)
    return batch.replace(features=features, particle_target=turn(batch.particle_target, of_rows)), of_rows


def turn(vectors: Tensor, turns: Tensor) -> Tensor:
    """Return R v of rotations (T, 3, 3) and vectors (T, 3)."""
    return torch.einsum("tij,tj->ti", turns, vectors)


class TurnedBatches(Batches):
    """Batches of molecules, each turned at random."""

    def batch(self, step: int) -> Batch:
        """Return the turned molecules of update ``step``."""
        return turned(super().batch(step), [self.seed, step, 1])[0]


@dataclass(frozen=True)
class EnergyAndForceLoss:
    """Mean error of the energy per atom, and ``force_weight`` times the mean length of a force's error."""

    force_weight: float = 2.0

    def __call__(
        self, model: MoleculePET | ContinuousFilters, batch: Batch, whole: Whole | None = None
    ) -> dict[str, Tensor]:
        energy, force = model.energy_and_forces(batch)
        whole = whole or Whole.of(batch)
        error = (energy / batch.counts - batch.jet[:, 0]).abs()
        length = (force - batch.particle_target).square().sum(-1).add(1e-12).sqrt()
        terms = {"energy": whole.mean(error, batch), "force": whole.mean_of_particles(length, batch)}
        return terms | {"loss": terms["energy"] + self.force_weight * terms["force"]}


@settings
class MoleculeArm:
    """One way to train.

    Parameters
    ----------
    start
        "scratch", or the name or path of a checkpoint whose body to start from.
    network
        "pet", or "schnet" for `ContinuousFilters`.
    forces
        See `MoleculePET`.
    is_turned
        Turn every molecule at random in training.
    training : TrainConfig
    n_train
        Use the first molecules only; None uses all.
    """

    start: str = "scratch"
    network: Literal["pet", "schnet"] = "pet"
    forces: Forces = "pairs"
    is_turned: bool = True
    training: TrainConfig = TrainConfig()
    n_train: Annotated[int, Field(gt=0)] | None = None


@settings
class MoleculeSettings:
    """Arms, training sets and seeds.

    Parameters
    ----------
    arms : mapping of name to MoleculeArm
    sizes : mapping of int to float
        Training molecules, and the epochs on each.
    seeds
    network : mapping
        Fields of PET that differ from the tiny one.
    """

    arms: dict[str, MoleculeArm]
    sizes: dict[int, float]
    seeds: tuple[int, ...] = (1, 2, 3)
    network: dict[str, Any] = field(default_factory=dict)

    def started(
        self, arm: MoleculeArm, seed: int, ratio: float = 1.0
    ) -> tuple[MoleculePET | ContinuousFilters, Transfer | None]:
        """Return the network of an arm, and what of it came from a checkpoint."""
        torch.manual_seed(seed)
        if arm.network == "schnet":
            return ContinuousFilters(ratio=ratio), None
        model = MoleculePET(arm.forces, ratio=ratio, **self.network)
        return model, None if arm.start == "scratch" else transfer(arm.start, model)


@dataclass(frozen=True, eq=False)
class MoleculeResult(Redrawn):
    """Predictions for the test molecules.

    Parameters
    ----------
    molecules : Molecules
        Of the test.
    energy : array, shape (N,)
        [eV]
    force : array, shape (T, 3)
        [eV/Angstrom]
    n_train
        Molecules trained on.
    turning
        By how much forces of turned molecules differ from turned forces, mean over components [meV/Angstrom].
    network, scales
        What was trained.
    history : History, optional
    """

    molecules: Molecules
    energy: np.ndarray
    force: np.ndarray
    n_train: int
    turning: float = 0.0
    network: MoleculePET | ContinuousFilters | None = None
    scales: Scales | None = None
    history: History | None = None
    smaller_is_better = NAMES

    @property
    def n_test(self) -> int:
        """Test geometries."""
        return len(self.molecules)

    def values(self) -> dict[str, float]:
        """Return mean absolute errors [meV/atom] and, by component, [meV/Angstrom], and ``turning``."""
        return self.measured_on(np.arange(self.n_independent)) | {"turning": self.turning}

    @property
    def n_independent(self) -> int:
        """Test molecules: geometries of one are alike."""
        return len(self._sums)

    def measured_on(self, rows: np.ndarray) -> dict[str, float]:
        """Return both mean errors of some molecules."""
        energy, force, atoms = self._sums[rows].sum(0)
        return {"energy_mae": energy / self.n_test, "force_mae": force / atoms}

    def on(self, molecules: Molecules) -> MoleculeResult:
        """Return what the network predicts for other geometries; its turning error is that of the test."""
        energy, force = predict(self.network, molecules, self.scales)
        return replace(self, molecules=molecules, energy=energy, force=force)

    @cached_property
    def _sums(self) -> np.ndarray:
        """Of the errors of each molecule: energy per atom, force, and the number of components, (M, 3)."""
        sets, scale = self.molecules, 1000.0
        energy = scale * np.abs(self.energy - sets.energy) / sets.counts
        force = scale * np.abs(self.force - sets.force).sum(1)
        columns = energy, np.add.reduceat(force, sets.offsets[:-1]), 3.0 * sets.counts
        _, number = np.unique(sets.molecule, return_inverse=True)
        return np.stack([np.bincount(number, column) for column in columns], -1)


@torch.no_grad()
def predict(
    model: MoleculePET | ContinuousFilters, molecules: Molecules, scales: Scales
) -> tuple[np.ndarray, np.ndarray]:
    """Return energies [eV] (N,) and forces [eV/Angstrom] (T, 3)."""
    energy, force = _outputs(model, molecule_batch(molecules, scales))
    return scales.reference(molecules) + scales.energy * energy, scales.force * force


def _outputs(model: MoleculePET | ContinuousFilters, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    model.eval()
    device = next(model.parameters()).device
    done = [model.energy_and_forces(part.to(device)) for part in Batches(batch, 64).in_order()]
    energy, force = (torch.cat(column).double().cpu().numpy() for column in zip(*done, strict=True))
    return energy, force


@torch.no_grad()
def turning_error(model: MoleculePET | ContinuousFilters, molecules: Molecules, scales: Scales) -> float:
    """Return the mean of |F(R x) - R F(x)| over components [meV/Angstrom]: zero where forces turn along."""
    batch = molecule_batch(molecules, scales)
    moved, turns = turned(batch, 1)
    still, after = (torch.from_numpy(_outputs(model, each)[1]).float() for each in (batch, moved))
    return 1000 * scales.force * float((after - turn(still, turns)).abs().mean())


class NetworkForces:
    """A fitted network for one molecule, as what `omnilearn_lab.simulation.molecules.dynamics` follows."""

    def __init__(self, result: MoleculeResult, numbers: np.ndarray) -> None:
        self.result, n = result, len(numbers)
        nothing = {"force": np.zeros((n, 3)), "energy": np.zeros(1), "molecule": np.zeros(1, int)}
        about = {"offsets": np.array([0, n]), "names": np.array([""]), "provenance": {}}
        self._molecule = Molecules(numbers, position=np.zeros((n, 3)), **nothing, **about)

    def __call__(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        """Return energy [eV] and forces [eV/Angstrom]."""
        moved = replace(self._molecule, position=position)
        energy, force = predict(self.result.network, moved, self.result.scales)
        return float(energy[0]), force


def train_molecules(
    data: MoleculeData,
    chosen: MoleculeSettings,
    arm: MoleculeArm,
    seed: int = 1,
    run_directory: Path | None = None,
) -> MoleculeResult:
    """Train one arm with one seed and measure it on the test molecules."""
    data = data if arm.n_train is None else data.first(arm.n_train)
    scales, training = Scales.of(data.train), replace(arm.training, seed=seed)
    model, _ = chosen.started(arm, seed, scales.ratio)
    train, validation = (molecule_batch(each, scales) for each in data[:2])
    batches = (TurnedBatches if arm.is_turned else Batches)(train, training.batch_size, seed=seed)
    run = Run(run_directory, {"task": "molecules"}) if run_directory else None
    history = Trainer(
        model.to(default_device()), EnergyAndForceLoss(), batches, validation, training, run
    ).fit()
    guess = predict(model, data.test, scales)
    turning = turning_error(model, data.test.select(slice(None, None, 5)), scales)
    return MoleculeResult(data.test, *guess, data.n_train, turning, model.cpu(), scales, history)


def compare_molecules(data: MoleculeData, chosen: MoleculeSettings, **options: Any) -> LearningCurve:
    """Train every arm at every size with every seed.

    Parameters
    ----------
    data : MoleculeData
    chosen : MoleculeSettings
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.
    """
    arms: Mapping[str, MoleculeArm] = {
        f"{name}-{n}": replace(arm, training=replace(arm.training, epochs=epochs), n_train=n)
        for n, epochs in chosen.sizes.items()
        for name, arm in chosen.arms.items()
    }
    trained = compare(partial(train_molecules, data, chosen), arms, seeds=chosen.seeds, **options)
    return LearningCurve.of(trained, chosen.arms, chosen.sizes)
