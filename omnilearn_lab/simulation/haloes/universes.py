"""Sets of universes, one cosmology each: in parallel, reproducibly, resumable."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from omnilearn_lab.errors import ConfigError, SimulationError, nearest
from omnilearn_lab.machine import run_kept, usable_cores
from omnilearn_lab.settings import settings
from omnilearn_lab.simulation.haloes.cosmology import Cosmology
from omnilearn_lab.simulation.haloes.gravity import (
    Grid,
    displacements,
    initial_modes,
    particle_mesh,
    perturbation_theory,
)
from omnilearn_lab.simulation.haloes.groups import Haloes, friends_of_friends

_LAYOUT_VERSION = 1  # of the code that turns settings into haloes; raise it when the haloes change
_Positive = Annotated[float, Field(gt=0)]


@settings
class UniverseRecipe:
    """What fixes a set of universes, but their number and the seed.

    Parameters
    ----------
    name
    simulator
        "particle_mesh", or "perturbation_theory" (second order, straight to today).
    box
        Length of the periodic box [Mpc/h].
    n_side
        Particles along a side.
    mesh
        Cells of the force mesh per particle along a side.
    n_steps
        Steps of the particle mesh.
    linking
        Linking length of the haloes in units of the mean distance of particles.
    n_haloes
        The largest ones are kept, so that their number tells nothing.
    omega_m, sigma_8
        Ranges of the parameters, filled evenly by a scrambled Sobol sequence.
    """

    name: str
    simulator: Literal["particle_mesh", "perturbation_theory"] = "particle_mesh"
    box: _Positive = 100.0
    n_side: Annotated[int, Field(ge=8, multiple_of=2)] = 64
    mesh: Annotated[int, Field(ge=1)] = 2
    n_steps: Annotated[int, Field(ge=1)] = 10
    linking: _Positive = 0.2
    n_haloes: Annotated[int, Field(ge=1)] = 256
    omega_m: tuple[_Positive, _Positive] = (0.1, 0.5)
    sigma_8: tuple[_Positive, _Positive] = (0.6, 1.0)

    def __post_init__(self) -> None:
        for name in ("omega_m", "sigma_8"):
            low, high = getattr(self, name)
            if not low < high:
                raise ConfigError(
                    f"{name} ranges from {low:g} to {high:g}; a lower and a higher number are needed"
                )

    def digest(self) -> str:
        """Return twelve hexadecimal digits that change with any setting that changes the haloes."""
        values = dataclasses.asdict(self) | {"layout": _LAYOUT_VERSION}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


_RECIPES = (
    UniverseRecipe("fine"),
    UniverseRecipe("coarse", mesh=1, n_steps=5),
    UniverseRecipe("lpt", simulator="perturbation_theory", linking=0.38),
)
UNIVERSES: Mapping[str, UniverseRecipe] = MappingProxyType({recipe.name: recipe for recipe in _RECIPES})
"""Recipes by name; ``coarse`` is the cheap simulator to pretrain on, and haloes of ``lpt`` cluster otherwise
below 5 Mpc/h. A universe takes about 3.3, 1.3 and 0.4 seconds of one core."""


@dataclass(frozen=True, eq=False)
class Universes:
    """Haloes of U universes, the H largest of each.

    Parameters
    ----------
    position : array, shape (U, H, 3)
        [Mpc/h], in a periodic box of length ``box``.
    velocity : array, shape (U, H, 3)
        Peculiar [km/s].
    size : array, shape (U, H)
        Particles per halo. The mass is omega_m times that: as an input it gives omega_m away.
    parameters : array, shape (U, 2)
        omega_m and sigma_8.
    box
        [Mpc/h]
    provenance : mapping
    """

    position: np.ndarray
    velocity: np.ndarray
    size: np.ndarray
    parameters: np.ndarray
    box: float
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.position)


def simulate_universes(
    what: UniverseRecipe | str,
    n_universes: int,
    *,
    seed: int = 1,
    workers: int | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
) -> Universes:
    """Simulate universes of different cosmologies, each with initial fluctuations of its own.

    Universe i depends on recipe, seed and i alone: asking for more gives the same ones and further ones.

    Parameters
    ----------
    what
        A recipe, or the name of one of `UNIVERSES`.
    n_universes, seed
    workers
        Processes; all usable cores by default, 1 to stay in this process.
    cache
        Directory in which finished universes are kept: what was interrupted goes on where it was.
    progress
        Show a progress bar.

    Raises
    ------
    SimulationError
        For an unknown recipe, no universes, a negative seed, or a box with too few haloes.
    DataFileError
        When the cache cannot be written.

    Examples
    --------
    >>> tiny = UniverseRecipe("tiny", "perturbation_theory", n_side=16, box=50.0, linking=0.5, n_haloes=4)
    >>> universes = simulate_universes(tiny, 2, workers=1, progress=False)
    >>> universes.position.shape, universes.parameters.shape
    ((2, 4, 3), (2, 2))
    """
    recipe = what if isinstance(what, UniverseRecipe) else UNIVERSES.get(what)
    if recipe is None:
        raise SimulationError(f"no recipe of universes '{what}'; {nearest(str(what), UNIVERSES)}")
    if n_universes < 1 or seed < 0:
        raise SimulationError(
            f"{n_universes} universes with seed {seed}: at least 1, and a seed >= 0 are needed"
        )
    parameters = cosmologies(recipe, n_universes, seed)
    folder = None if cache is None else Path(cache) / f"universes-{recipe.name}-{recipe.digest()}-seed{seed}"
    jobs = {i: (recipe, tuple(values), seed, i) for i, values in enumerate(parameters.tolist())}
    options = {"workers": workers or usable_cores(), "progress": progress, "title": "universes"}
    haloes = run_kept(simulate_one, jobs, folder, **options).values()
    columns = {name: np.stack([one[name] for one in haloes]) for name in Haloes._fields}
    source = {"source": "simulated", "recipe": recipe.name, "digest": recipe.digest(), "seed": seed}
    return Universes(**columns, parameters=parameters, box=recipe.box, provenance=source)


def cosmologies(recipe: UniverseRecipe, n: int, seed: int) -> np.ndarray:
    """Return omega_m and sigma_8 of the first n universes, shape (n, 2)."""
    from scipy.stats import qmc

    points = qmc.Sobol(2, scramble=True, seed=seed).random_base2(max(int(np.ceil(np.log2(n))), 0))[:n]
    return qmc.scale(points, *zip(recipe.omega_m, recipe.sigma_8, strict=True))


def simulate_one(
    recipe: UniverseRecipe, parameters: tuple[float, float], seed: int, number: int
) -> dict[str, np.ndarray]:
    """Simulate one universe and return the columns of its largest haloes.

    Raises
    ------
    SimulationError
        When fewer haloes form than the recipe keeps.
    """
    universe, grid = Cosmology(*parameters), Grid(recipe.n_side, recipe.box)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    shifts = displacements(initial_modes(universe, grid, rng), grid)
    if recipe.simulator == "particle_mesh":
        mesh = Grid(recipe.mesh * recipe.n_side, recipe.box)
        particles = particle_mesh(universe, shifts, grid, mesh=mesh, n_steps=recipe.n_steps)
    else:
        particles = perturbation_theory(universe, shifts, grid)
    haloes = friends_of_friends(particles, recipe.box, recipe.linking * recipe.box / recipe.n_side)
    if len(haloes.size) < recipe.n_haloes:
        raise SimulationError(
            f"universe {number} (omega_m {universe.omega_m:.3f}, sigma_8 {universe.sigma_8:.3f}) has "
            f"{len(haloes.size)} haloes of 5 particles, recipe '{recipe.name}' keeps {recipe.n_haloes}; "
            "keep fewer, or take more particles or a larger box"
        )
    return {name: v[: recipe.n_haloes].astype(np.float32) for name, v in haloes._asdict().items()}
