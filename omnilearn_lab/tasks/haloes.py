"""Clouds of haloes: the parameters of their universe, and their velocities from their positions.

Networks see positions only. They live on a torus: neighbours and pairs are those of nearest images, absolute
positions are hidden, and training turns every cloud by a random symmetry of the cube.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from scipy.spatial import cKDTree
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from omnilearn_lab.machine import StrPath, run_jobs
from omnilearn_lab.models import Batch, PETv2, PETv2Config, load_checkpoint, save_checkpoint
from omnilearn_lab.models.checkpoints import Transfer, transfer
from omnilearn_lab.settings import settings
from omnilearn_lab.simulation.haloes import Grid, Universes
from omnilearn_lab.tasks.common import LearningCurve, Redrawn, compare
from omnilearn_lab.training import Batches, History, Run, TrainConfig, Trainer, default_device, select
from omnilearn_lab.training.losses import Classification, ParticleRegression, Regression

PRIOR = np.array([[0.1, 0.6], [0.5, 1.0]])
"""Lowest and highest omega_m and sigma_8, of our universes and of CosmoBench's."""
SPEED = 300.0  # unit of velocities [km/s]
N_KINDS = 10  # of blobs
_RIDGE = np.logspace(-3, 4, 30)
_SMALLEST = 0.01  # distance of two haloes in inverse powers, in units of the box

Task = Literal["parameters", "velocities"]
NAMES: Mapping[str, tuple[str, ...]] = {
    "parameters": ("r2_omega_m", "r2_sigma_8"),
    "velocities": ("r2_velocity",),
}
"""What is measured in each task."""


class HaloData(NamedTuple):
    """Universes to train, to choose and to test with."""

    train: Universes
    validation: Universes
    test: Universes

    @classmethod
    def split(cls, universes: Universes, n_validation: int, n_test: int) -> HaloData:
        """Cut the last ``n_test`` universes off for the test, and ``n_validation`` before them."""
        ends = np.cumsum([0, len(universes) - n_validation - n_test, n_validation, n_test])
        return cls(*(part(universes, first, last) for first, last in zip(ends, ends[1:], strict=False)))

    def first(self, n_train: int) -> HaloData:
        """Keep the first training universes only."""
        return self._replace(train=part(self.train, 0, n_train))


def part(universes: Universes, first: int, last: int) -> Universes:
    """Return the universes with numbers ``first`` to ``last`` - 1."""
    names = ("position", "velocity", "size", "parameters")
    return replace(universes, **{name: getattr(universes, name)[first:last] for name in names})


def halo_batch(universes: Universes) -> Batch:
    """Positions from -1 to 1 as features; both tasks' targets in ``jet`` and ``particle_target``."""
    n, n_haloes = universes.position.shape[:2]
    rows = torch.from_numpy(2 * universes.position.reshape(-1, 3) / universes.box - 1).float()
    targets = 2 * (universes.parameters - PRIOR[0]) / (PRIOR[1] - PRIOR[0]) - 1
    velocity = torch.from_numpy(universes.velocity.reshape(-1, 3) / SPEED).float()
    offsets = torch.arange(0, n * n_haloes + 1, n_haloes)
    return Batch(rows, rows[:, :2], offsets, torch.from_numpy(targets).float(), particle_target=velocity)


def blobs(n_sets: int, n_points: int, *, seed: int = 1) -> Batch:
    """Points around random centres on the torus; the class of a set tells how many centres it has.

    Anything can be pretrained on: if blobs help as much as jets do, it is not jets that help.
    """
    rng = np.random.default_rng(seed)
    label = rng.integers(N_KINDS, size=n_sets)
    centres = rng.uniform(-1, 1, (n_sets, 4 * N_KINDS, 3))
    chosen = (rng.random((n_sets, n_points)) * 4 * (label + 1)[:, None]).astype(np.int64)
    points = np.take_along_axis(centres, chosen[..., None], 1) + rng.normal(0, 0.15, (n_sets, n_points, 3))
    rows = torch.from_numpy((points.reshape(-1, 3) + 1) % 2 - 1).float()
    offsets = torch.arange(0, n_sets * n_points + 1, n_points)
    return Batch(rows, rows[:, :2], offsets, torch.zeros(n_sets, 0), torch.from_numpy(label))


class CubeBatches(Batches):
    """Batches of clouds, each reflected and with its axes exchanged at random: the symmetries of a cube."""

    def batch(self, step: int) -> Batch:
        """Return the turned clouds of update ``step``; velocities turn with the positions."""
        clouds = super().batch(step)
        rng = np.random.default_rng([self.seed, step, 1])
        axes = torch.from_numpy(rng.permuted(np.tile(np.arange(3), (len(clouds), 1)), axis=1))
        signs = torch.from_numpy(rng.choice([-1.0, 1.0], (len(clouds), 3))).float()
        rows = clouds.packing.jet
        turned = {
            name: None if value is None else value.gather(1, axes[rows]) * signs[rows]
            for name, value in (("features", clouds.features), ("particle_target", clouds.particle_target))
        }
        return clouds.replace(**turned)


@settings
class HaloArm:
    """One way to train.

    Parameters
    ----------
    start
        "scratch", the name or path of a checkpoint whose body to start from, or, with ``whole``, of one that
        was trained for the same task on other universes.
    training : TrainConfig
    whole
        Keep the last layer, too.
    n_train
        Use the first universes only; None uses all.
    """

    start: str = "scratch"
    training: TrainConfig = TrainConfig()
    whole: bool = False
    n_train: Annotated[int, Field(gt=0)] | None = None


@settings
class HaloSettings:
    """A task, its network, and how each arm trains.

    Parameters
    ----------
    task
    arms : mapping of name to TrainConfig
        "scratch", "collider" (jets) and the names of what is pretrained on; each has its learning rate.
    sizes : mapping of int to float
        Training universes, and the epochs on each.
    pretraining : TrainConfig
        On other universes or blobs.
    seeds
    network : mapping
        Fields of the network that differ from the tiny one.
    jets
        Checkpoint pretrained on jets.
    """

    task: Task
    arms: dict[str, TrainConfig]
    sizes: dict[int, float]
    pretraining: TrainConfig
    seeds: tuple[int, ...] = (1, 2, 3)
    network: dict[str, Any] = field(default_factory=dict)
    jets: str = "v2_tiny"

    def model(self, seed: int, *, n_kinds: int = 0) -> PETv2:
        """Return a new network for the task, or one that tells kinds of blobs."""
        torch.manual_seed(seed)
        outputs = {"mode": "regression", "n_classes": 2}
        if self.task == "velocities":
            outputs = {"mode": "particle_regression", "n_particle_classes": 3}
        if n_kinds:
            outputs = {"mode": "classifier", "n_classes": n_kinds}
        torus = {"n_features": 3, "n_coordinates": 3, "period": 2.0, "pairs": "space"}
        torus |= {"use_positions": False, "use_pair_bias": False, "use_local_pairs": True}
        return PETv2(PETv2Config.named("tiny", **torus | outputs | self.network))

    def started(self, arm: HaloArm, seed: int) -> tuple[PETv2, Transfer | None]:
        """Return the network of an arm, and what of it came from a checkpoint."""
        model = self.model(seed)
        if arm.start == "scratch":
            return model, None
        if arm.whole:
            return load_checkpoint(arm.start), None
        return model, transfer(arm.start, model)


@dataclass(frozen=True, eq=False)
class HaloResult(Redrawn):
    """Predictions for the test universes.

    Parameters
    ----------
    target, guess : array, shape (U, R)
        Parameters, or all velocities of a universe [km/s].
    names
        Of the columns; one name for all of them together in "velocities".
    n_train
        Universes trained on.
    history : History, optional
        Of a network.
    """

    target: np.ndarray
    guess: np.ndarray
    names: tuple[str, ...]
    n_train: int
    history: History | None = None

    @property
    def n_test(self) -> int:
        """Test universes."""
        return len(self.target)

    def values(self) -> dict[str, float]:
        """Return R^2 = 1 - sum of squared errors / sum of squares about the mean, over all test universes."""
        return self.measured_on(np.arange(self.n_test))

    def measured_on(self, rows: np.ndarray) -> dict[str, float]:
        """Return R^2 of some universes."""
        shape = (-1, len(self.names))
        target, guess = self.target[rows].reshape(shape), self.guess[rows].reshape(shape)
        lost = np.square(target - guess).sum(0) / np.square(target - target.mean(0)).sum(0)
        return dict(zip(self.names, (1 - lost).tolist(), strict=True))


def pretrain_haloes(
    sources: Mapping[str, Universes | Batch], chosen: HaloSettings, folder: StrPath
) -> dict[str, str]:
    """Pretrain one network on each source, and return the checkpoints.

    Parameters
    ----------
    sources : mapping of name to Universes or Batch
        Universes of another simulator teach the task itself, labelled sets (`blobs`) their classes. The last
        eighth validates.
    chosen : HaloSettings
    folder
        Where checkpoints are written, one ``.safetensors`` file per source.
    """
    jobs = {name: (source, chosen, Path(folder) / f"{name}.safetensors") for name, source in sources.items()}
    return {name: str(path) for name, path in run_jobs(_pretrain, jobs, title="pretraining").items()}


def _pretrain(source: Universes | Batch, chosen: HaloSettings, path: Path) -> Path:
    is_labelled = isinstance(source, Batch)
    clouds = source if is_labelled else halo_batch(source)
    seed = chosen.pretraining.seed
    model = chosen.model(seed, n_kinds=N_KINDS) if is_labelled else chosen.model(seed)
    objective = Classification() if is_labelled else _objective(chosen.task)
    rows = torch.arange(len(clouds)).tensor_split([len(clouds) - max(1, len(clouds) // 8)])
    _fit(model, objective, [select(clouds, some) for some in rows], chosen.pretraining)
    return save_checkpoint(model.cpu(), path, {"task": chosen.task, "sets": len(clouds)})


def _fit(
    model: PETv2,
    objective: Callable[..., Any],
    clouds: Sequence[Batch],
    training: TrainConfig,
    run: Run | None = None,
) -> History:
    """Train on the first clouds, turned at random, and validate on the second."""
    batches = CubeBatches(clouds[0], training.batch_size, seed=training.seed)
    return Trainer(model.to(default_device()), objective, batches, clouds[1], training, run).fit()


def _objective(task: str) -> Regression | ParticleRegression:
    return Regression() if task == "parameters" else ParticleRegression()


def train_haloes(
    data: HaloData, chosen: HaloSettings, arm: HaloArm, seed: int = 1, run_directory: Path | None = None
) -> HaloResult:
    """Train one arm with one seed and measure it on the test universes."""
    model, _ = chosen.started(arm, seed)
    universes = data.train if arm.n_train is None else part(data.train, 0, arm.n_train)
    clouds = [halo_batch(universes), halo_batch(data.validation)]
    run = Run(run_directory, {"task": chosen.task}) if run_directory else None
    history = _fit(model, _objective(chosen.task), clouds, replace(arm.training, seed=seed), run)
    return _measured(model, data.test, chosen.task, len(universes), history)


def apply_haloes(checkpoint: str, universes: Universes, task: Task) -> HaloResult:
    """Measure a network as it is, trained on other universes: "zero-shot"."""
    return _measured(load_checkpoint(checkpoint), universes, task, 0)


@torch.no_grad()
def _measured(
    model: PETv2, universes: Universes, task: Task, n_train: int, history: History | None = None
) -> HaloResult:
    model.eval()
    device = next(model.parameters()).device
    of = (lambda b: model.classify(b).logits) if task == "parameters" else model.regress_particles
    batches = Batches(halo_batch(universes), 16).in_order()
    guess = torch.cat([of(batch.to(device)).double().cpu() for batch in batches]).numpy()
    if task == "parameters":
        guess = PRIOR[0] + (guess + 1) / 2 * (PRIOR[1] - PRIOR[0])
        return HaloResult(universes.parameters, guess, NAMES[task], n_train, history)
    return _velocities(universes, SPEED * guess, n_train, history)


def _velocities(
    universes: Universes, guess: np.ndarray, n_train: int, history: History | None = None
) -> HaloResult:
    target = universes.velocity.reshape(len(universes), -1)
    return HaloResult(target, guess.reshape(target.shape), NAMES["velocities"], n_train, history)


def compare_haloes(
    data: HaloData, chosen: HaloSettings, starts: Mapping[str, str], **options: Any
) -> LearningCurve:
    """Train every arm at every size with every seed.

    Parameters
    ----------
    data : HaloData
    chosen : HaloSettings
    starts : mapping of arm to checkpoint
        From `pretrain_haloes`; "scratch" and "collider" need none.
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.
    """
    arms = {
        f"{name}-{n}": HaloArm(
            {"scratch": "scratch", "collider": chosen.jets}.get(name) or starts[name],
            replace(training, epochs=epochs),
            whole=name not in ("scratch", "collider", "blobs"),
            n_train=n,
        )
        for n, epochs in chosen.sizes.items()
        for name, training in chosen.arms.items()
    }
    trained = compare(partial(train_haloes, data, chosen), arms, seeds=chosen.seeds, **options)
    return LearningCurve.of(trained, chosen.arms, chosen.sizes)


def two_point(data: HaloData) -> HaloResult:
    """Baseline of the parameters: a ridge regression on the two-point function of the haloes.

    The excess of pairs in twelve shells from 1/100 to 0.4 of the box, and mean and spread of the logarithms
    of the distances to ten neighbours. Regularisation by leave-one-out; predictions stay in the prior.
    """
    rows = [np.stack([_pair_counts(p, u.box) for p in u.position]) for u in (data.train, data.test)]
    fitted = make_pipeline(StandardScaler(), RidgeCV(_RIDGE)).fit(rows[0], data.train.parameters)
    guess = fitted.predict(rows[1]).clip(*PRIOR)
    return HaloResult(data.test.parameters, guess, NAMES["parameters"], len(data.train))


def _pair_counts(position: np.ndarray, box: float) -> np.ndarray:
    n, edges = len(position), np.geomspace(0.01, 0.4, 13)
    points = np.mod(position.astype(np.float64) / box, 1.0)
    points[points >= 1] = 0  # rounding
    tree = cKDTree(points, boxsize=1.0)
    pairs = np.diff(tree.count_neighbors(tree, edges) - n)
    excess = pairs / (n * (n - 1) * 4 / 3 * np.pi * np.diff(edges**3)) - 1
    near = np.log(tree.query(points, k=min(11, n))[0][:, 1:])
    return np.concatenate([np.arcsinh(excess), near.mean(0), near.std(0)])


def least_squares(data: HaloData, *, n_waves: int = 10, n_powers: int = 3) -> HaloResult:
    """Baseline of the velocities: CosmoBench's sums over pairs, with one weight for each, by least squares.

    F_kp(i) = sum_j sin(2 pi k (x_i - x_j) / L) (L / r_ij)^p, k to ``n_waves``, p to ``n_powers``.

    References
    ----------
    Huang et al. (CosmoBench), arXiv:2507.03707, and the code published with it.
    """
    sums = [
        np.concatenate([_pair_sums(p / u.box, n_waves, n_powers) for p in u.position])
        for u in (data.train, data.test)
    ]
    scale = np.sqrt(np.square(sums[0]).mean(0))
    fitted = RidgeCV(_RIDGE, fit_intercept=False).fit(sums[0] / scale, data.train.velocity.ravel())
    return _velocities(data.test, fitted.predict(sums[1] / scale), len(data.train))


def _pair_sums(points: np.ndarray, n_waves: int, n_powers: int) -> np.ndarray:
    """The sums for every halo and axis, shape (3 H, waves powers)."""
    steps = points[:, None] - points
    distance = np.linalg.norm(steps - np.round(steps), axis=-1)
    inverse = 1 / np.maximum(distance, _SMALLEST)
    np.fill_diagonal(inverse, 0)
    sines = (np.sin(2 * np.pi * k * steps) for k in range(1, n_waves + 1))
    powers = [inverse**p for p in range(1, n_powers + 1)]
    return np.stack([np.einsum("ijc,ij->ic", s, p) for s in sines for p in powers], -1).reshape(
        -1, n_waves * n_powers
    )


def linear_theory(data: HaloData, *, size: int = 20, smoothing: float = 0.05) -> HaloResult:
    """Baseline of the velocities: the linear flow into the density of the haloes themselves.

    v = A i k delta / k^2 on a mesh of ``size``^3 cells, smoothed by a Gaussian of ``smoothing`` boxes; A is
    one number for all, from the training universes. CosmoBench fits A on each test cloud: an upper bound.
    """
    flows = [
        np.stack([_flow(p, u.box, size, smoothing) for p in u.position]) for u in (data.train, data.test)
    ]
    amplitude = (flows[0] * data.train.velocity).sum() / np.square(flows[0]).sum()
    return _velocities(data.test, amplitude * flows[1], len(data.train))


def _flow(position: np.ndarray, box: float, size: int, smoothing: float) -> np.ndarray:
    grid = Grid(size, box)
    modes = grid.forward(grid.density_contrast(position)) / grid.k_squared
    modes *= np.exp(-0.5 * grid.k_squared * (smoothing * box) ** 2)
    modes[0, 0, 0] = 0
    return grid.at(grid.gradient(modes), position)
