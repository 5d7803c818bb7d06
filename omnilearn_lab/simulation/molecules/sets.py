"""Sets of geometries of molecules with energies and forces: made, shipped, or read from OMol25."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from omnilearn_lab.errors import (
    ConfigError,
    DataFileError,
    SimulationError,
    WorkerError,
    nearest,
    translated,
)
from omnilearn_lab.jets.columns import take_rows
from omnilearn_lab.machine import read_arrays, run_kept, usable_cores, write_arrays
from omnilearn_lab.machine.pool import WorkerPool
from omnilearn_lab.settings import settings
from omnilearn_lab.simulation.molecules.chemistry import (
    ELEMENTS,
    bonds_of,
    conformer,
    grow_molecules,
    needed,
)
from omnilearn_lab.simulation.molecules.forces import (
    BOLTZMANN,
    EnergyAndForces,
    NormalModes,
    TightBinding,
    displaced,
    dynamics,
    normal_modes,
    relax,
    thermal_velocities,
)

_LARGEST_ROW = 1 << 24  # bytes of one unpacked row; a molecule of 350 atoms has 50 kB
_LAYOUT_VERSION = 1  # of the code that turns settings into geometries; raise it when they change
_SHIPPED = Path(__file__).with_name("shipped.npz")
_Number = Annotated[int, Field(ge=0)]
_Count = Annotated[int, Field(ge=1)]
_Positive = Annotated[float, Field(gt=0)]


@settings
class MoleculeRecipe:
    """What fixes a set of molecules, but their number and the seed.

    Parameters
    ----------
    name
    heavy
        Fewest and most atoms besides hydrogen.
    n_vibrations, n_dynamics
        Geometries of a molecule: displaced along its normal modes, each at a temperature of its own, and
        from a run of molecular dynamics, one every ``interval`` steps of ``step``.
    temperatures
        Range [K].
    interval, step
        Steps between two geometries of a run, and their length [fs].
    """

    name: str
    heavy: tuple[_Count, _Count] = (3, 6)
    n_vibrations: _Number = 12
    n_dynamics: _Number = 4
    temperatures: tuple[_Positive, _Positive] = (200.0, 800.0)
    interval: _Count = 25
    step: _Positive = 1.0

    def __post_init__(self) -> None:
        for name in ("heavy", "temperatures"):
            low, high = getattr(self, name)
            if low > high:
                raise ConfigError(f"{name} is from {low:g} to {high:g}; the smaller number comes first")
        if not self.n_vibrations + self.n_dynamics:
            raise ConfigError("n_vibrations and n_dynamics are 0; a molecule needs a geometry")

    def digest(self) -> str:
        """Return twelve hexadecimal digits that change with any setting that changes the geometries."""
        values = dataclasses.asdict(self) | {"layout": _LAYOUT_VERSION}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


_RECIPES = MoleculeRecipe("organic"), MoleculeRecipe("organic_large", (3, 6), 30, 10)
MOLECULES: Mapping[str, MoleculeRecipe] = MappingProxyType({recipe.name: recipe for recipe in _RECIPES})
"""Recipes by name. A molecule of ``organic`` takes about half a second of one core."""


@dataclass(frozen=True, eq=False)
class Molecules:
    """N geometries of molecules of H, C, N and O, jagged: T atoms in all.

    Parameters
    ----------
    numbers : int array, shape (T,)
        Atomic numbers.
    position, force : array, shape (T, 3)
        [Angstrom] and [eV/Angstrom].
    offsets : int array, shape (N + 1,)
        Where the atoms of each geometry begin.
    energy : array, shape (N,)
        [eV]
    molecule : int array, shape (N,)
        Which of ``names`` it is.
    names : str array
        SMILES, or a name of the source.
    provenance : mapping
    """

    numbers: np.ndarray
    position: np.ndarray
    force: np.ndarray
    offsets: np.ndarray
    energy: np.ndarray
    molecule: np.ndarray
    names: np.ndarray
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.energy)

    @property
    def counts(self) -> np.ndarray:
        """Atoms of each geometry, shape (N,)."""
        return np.diff(self.offsets)

    def atoms(self, number: int) -> slice:
        """Return the rows of the atoms of a geometry."""
        return slice(*self.offsets[number : number + 2])

    def select(self, rows: np.ndarray) -> Molecules:
        """Return some geometries, by number or by a bool array of shape (N,).

        Examples
        --------
        >>> few = shipped_molecules().select(np.array([3, 0]))
        >>> len(few), len(few.numbers) == few.counts.sum()
        (2, True)
        """
        rows = np.arange(len(self))[rows]
        atoms, offsets = take_rows(self.offsets, rows)
        of_atoms = {name: getattr(self, name)[atoms] for name in ("numbers", "position", "force")}
        each = {name: getattr(self, name)[rows] for name in ("energy", "molecule")}
        return dataclasses.replace(self, offsets=offsets, **of_atoms, **each)

    @classmethod
    def join(
        cls, parts: Sequence[Mapping[str, np.ndarray]], names: Sequence[str], **provenance: Any
    ) -> Molecules:
        """Put geometries of several molecules together.

        Parameters
        ----------
        parts
            For each name ``numbers`` (A,), ``position`` and ``force`` (G, A, 3), ``energy`` (G,).
        names
        **provenance
        """
        sizes = [len(part["energy"]) for part in parts]
        counts = np.repeat([len(part["numbers"]) for part in parts], sizes)
        flat = {
            name: np.concatenate([part[name].reshape(-1, 3) for part in parts]).astype(np.float32)
            for name in ("position", "force")
        }
        return cls(
            numbers=np.concatenate([np.tile(part["numbers"], len(part["energy"])) for part in parts]),
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            energy=np.concatenate([part["energy"] for part in parts]),
            molecule=np.repeat(np.arange(len(parts)), sizes),
            names=np.array(names, dtype=str),
            provenance=provenance,
            **flat,
        )


def simulate_molecules(
    what: MoleculeRecipe | str,
    n_molecules: int,
    *,
    seed: int = 1,
    workers: int | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
) -> Molecules:
    """Make geometries of different molecules, with energies and forces of GFN2-xTB.

    Molecule i depends on recipe, seed and i alone: asking for more gives the same ones and further ones.
    Molecules without a shape, that rearrange when relaxed, or whose electrons do not converge are left out:
    the set is biased to what is stable.

    Parameters
    ----------
    what
        A recipe, or the name of one of `MOLECULES`.
    n_molecules, seed
    workers
        Processes; all usable cores by default, 1 to stay in this process.
    cache
        Directory in which finished molecules are kept: what was interrupted goes on where it was.
    progress
        Show a progress bar.

    Raises
    ------
    MissingDependencyError
        Without RDKit or tblite, of the extra ``molecules``.
    SimulationError
        For an unknown recipe, no molecules, a negative seed, or more molecules than there are.
    DataFileError
        When the cache cannot be written.
    """
    recipe = what if isinstance(what, MoleculeRecipe) else MOLECULES.get(what)
    if recipe is None:
        raise SimulationError(f"no recipe of molecules '{what}'; {nearest(str(what), MOLECULES)}")
    if n_molecules < 1 or seed < 0:
        raise SimulationError(
            f"{n_molecules} molecules with seed {seed}: at least 1, and a seed >= 0 are needed"
        )
    sizes = grow_molecules(recipe.heavy[1])[recipe.heavy[0] - 1 :]
    every = np.random.default_rng(seed).permutation([smiles for size in sizes for smiles in size])
    folder = None if cache is None else Path(cache) / f"molecules-{recipe.name}-{recipe.digest()}-seed{seed}"
    options = {"workers": workers or usable_cores(), "progress": progress, "title": "molecules"}
    made: dict[int, dict[str, np.ndarray]] = {}
    first = 0
    while len(made) < n_molecules and first < len(every):
        last = min(first + round(1.2 * (n_molecules - len(made))) + 1, len(every))
        jobs = {i: (recipe, str(every[i]), seed, i) for i in range(first, last)}
        done = run_kept(simulate_one, jobs, folder, **options)
        made |= {i: arrays for i, arrays in done.items() if len(arrays["energy"])}
        first = last
    if len(made) < n_molecules:
        raise SimulationError(f"recipe '{recipe.name}' has {len(made)} molecules, fewer than {n_molecules}")
    kept = sorted(made)[:n_molecules]
    source = {"source": "simulated", "recipe": recipe.name, "digest": recipe.digest(), "seed": seed}
    return Molecules.join([made[i] for i in kept], [every[i] for i in kept], **source)


def simulate_one(recipe: MoleculeRecipe, smiles: str, seed: int, number: int) -> dict[str, np.ndarray]:
    """Make the geometries of one molecule; none where it is left out.

    Returns
    -------
    dict
        ``numbers`` (A,), ``position`` and ``force`` (G, A, 3), ``energy`` (G,).
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    try:
        return _geometries(recipe, smiles, rng)
    except SimulationError:
        none = np.empty((0, 0, 3))
        return {"numbers": np.empty(0, np.int8), "position": none, "force": none, "energy": np.empty(0)}


def _geometries(recipe: MoleculeRecipe, smiles: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    numbers, position, bonds = conformer(smiles)
    forces = TightBinding(numbers)
    rest = relax(forces, position)
    if (bonds_of(numbers, rest) != bonds).any():
        raise SimulationError(f"'{smiles}' rearranged")
    modes = normal_modes(forces, numbers, rest)
    shapes = [_vibrating(forces, modes, rest, recipe, rng) for _ in range(recipe.n_vibrations)]
    if recipe.n_dynamics:
        temperature = 2 * rng.uniform(*recipe.temperatures)  # half of it goes into the springs
        start = rest, thermal_velocities(numbers, temperature, rng)
        n_steps = recipe.n_dynamics * recipe.interval
        run = dynamics(forces, numbers, start, n_steps=n_steps, step=recipe.step)
        shapes += list(run.position[recipe.interval - 1 :: recipe.interval])
    position = np.array(shapes, dtype=np.float32)
    energy, force = zip(*(forces(shape) for shape in position), strict=True)
    return {
        "numbers": numbers.astype(np.int8),
        "position": position,
        "force": np.array(force, dtype=np.float32),
        "energy": np.array(energy),
    }


def _vibrating(
    forces: EnergyAndForces,
    modes: NormalModes,
    rest: np.ndarray,
    recipe: MoleculeRecipe,
    rng: np.random.Generator,
) -> np.ndarray:
    """A shape at a random temperature; shapes with much more energy than that are drawn again."""
    lowest = forces(rest)[0]
    for _ in range(100):
        temperature = rng.uniform(*recipe.temperatures)
        shape = rest + displaced(modes, temperature, rng)
        with suppress(SimulationError):
            most = 2 * BOLTZMANN * temperature * len(modes.stiffness) + 0.2
            if forces(shape)[0] - lowest < most:
                return shape
    raise SimulationError("a hundred displacements led too high: the modes do not describe this molecule")


def write_molecules(molecules: Molecules, path: str | Path) -> Path:
    """Write a set into one ``.npz`` file."""
    columns = {f.name: getattr(molecules, f.name) for f in dataclasses.fields(molecules)}
    return write_arrays(path, columns | {"provenance": np.array(json.dumps(molecules.provenance))})


def read_molecules(path: str | Path) -> Molecules:
    """Read a set that `write_molecules` wrote.

    Raises
    ------
    DataFileError
        When the file is missing, damaged, or holds something else.
    """
    arrays = read_arrays(path)
    names = [field.name for field in dataclasses.fields(Molecules)]
    if set(arrays) != set(names):
        raise DataFileError(f"'{path}' is no set of molecules: it holds {sorted(arrays)}")
    with translated(DataFileError, f"'{path}' is no set of molecules", "remove it, and make or get it again"):
        return _sound(Molecules(**arrays | {"provenance": json.loads(str(arrays["provenance"]))}), path)


def _sound(molecules: Molecules, path: str | Path) -> Molecules:
    """Refuse sets whose arrays do not fit together, and numbers that are not finite."""
    n, n_atoms = len(molecules.energy), len(molecules.numbers)
    vectors = molecules.position, molecules.force
    fits = all(each.shape == (n_atoms, 3) for each in vectors) and molecules.molecule.shape == (n,)
    ends = molecules.offsets
    fits &= ends.shape == (n + 1,) and (ends[0], ends[-1]) == (0, n_atoms) and (np.diff(ends) > 0).all()
    if not fits or not np.isin(molecules.molecule, np.arange(len(molecules.names))).all():
        raise DataFileError(f"'{path}': the arrays do not fit together; get the file again")
    if not set(molecules.numbers.tolist()) <= set(ELEMENTS):
        raise DataFileError(f"'{path}' has other atoms than H, C, N and O")
    if not all(np.isfinite(values).all() for values in (*vectors, molecules.energy)):
        raise DataFileError(f"'{path}': energies, positions or forces are not finite; get the file again")
    return molecules


def shipped_molecules() -> Molecules:
    """Return the set that comes with the package: 16 geometries of each of 160 molecules, of ``organic``."""
    return read_molecules(_SHIPPED)


def read_omol25(path: str | os.PathLike[str], *, n_molecules: int | None = None) -> Molecules:
    """Read the first neutral molecules of H, C, N and O with paired electrons of a file or folder.

    A file is one LMDB database: the key is the number of a row, the value JSON packed by zlib, with arrays as
    ``{"__ndarray__": [shape, type, numbers]}``. Nothing is unpickled, and a process of
    its own reads. Energies are the total ones [eV].

    Parameters
    ----------
    path
        A ``.aselmdb`` file, or a folder of them.
    n_molecules
        Keep the first ones; None keeps all.

    Raises
    ------
    MissingDependencyError
        Without lmdb.
    DataFileError
        When there is no such file, it is damaged or of another layout, or no molecule passes.

    References
    ----------
    Levine et al. (OMol25), arXiv:2505.08762.
    """
    with WorkerPool(1) as apart:
        try:
            return apart.submit(_read_omol25, Path(path), n_molecules).result()
        except WorkerError as error:
            told = "is damaged: the process that read it was ended by it"
            raise DataFileError(f"'{path}' {told}; get it again") from error


def _read_omol25(path: Path, n_molecules: int | None) -> Molecules:
    """Read in this process, which a file that is cut short would end: LMDB maps files into memory."""
    files = sorted(path.glob("*.aselmdb")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise DataFileError(f"'{path}' is no .aselmdb file, and no folder that holds one")
    parts, names = [], []
    for row in (row for file in files for row in _rows(file)):
        if len(parts) == n_molecules:
            break
        with translated(DataFileError, f"a row of '{path}' is none of OMol25", "see `read_omol25`"):
            about, numbers = row.get("data", {}), _array(row["numbers"])
            if (about.get("charge", 0), about.get("spin", 1)) != (0, 1) or set(numbers) - set(ELEMENTS):
                continue
            vectors = {"position": _array(row["positions"]), "force": _array(row["forces"])}
            one = {name: values.reshape(1, len(numbers), 3) for name, values in vectors.items()}
            parts.append({"numbers": numbers.astype(np.int8), "energy": np.array([row["energy"]])} | one)
            names.append(str(about.get("source", row.get("unique_id", len(names)))))
    if not parts:
        raise DataFileError(f"'{path}' has no neutral molecule of H, C, N and O with paired electrons")
    return _sound(Molecules.join(parts, names, source="published", file=path.name), path)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file in the order of their numbers."""
    with needed("lmdb", "reading OMol25"):
        import lmdb
    with (
        translated(DataFileError, f"'{path}' is damaged", "get it again"),
        lmdb.open(str(path), subdir=False, readonly=True, lock=False) as file,
        file.begin() as view,
    ):
        for number in sorted(int(key) for key, _ in view.cursor() if key.isdigit()):
            packed = zlib.decompressobj()
            text = packed.decompress(view.get(str(number).encode()), _LARGEST_ROW)
            if packed.unconsumed_tail:
                raise DataFileError(f"'{path}', row {number}: more than {_LARGEST_ROW >> 20} MB; no molecule")
            yield json.loads(text)


def _array(value: Any) -> np.ndarray:
    """Numbers as they are written, or with shape and type."""
    shape, dtype, flat = value["__ndarray__"] if isinstance(value, dict) else (-1, None, value)
    return np.array(flat, dtype=dtype and np.dtype(str(dtype))).reshape(shape)
