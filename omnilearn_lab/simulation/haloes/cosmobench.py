"""Reader of CosmoBench: clouds of haloes or galaxies of other people's simulations, in HDF5."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from omnilearn_lab.errors import DataFileError, translated
from omnilearn_lab.machine import StrPath, check_dataset
from omnilearn_lab.simulation.haloes.universes import Universes

BOXES = {"BSQ": 1000.0, "LH": 100.0}
"""Length of the box [Mpc/h] by the group of the clouds: Quijote's Big Sobol Sequence, CAMELS-SAM."""


def read_cosmobench(
    path: StrPath, *, n_universes: int | None = None, n_points: int | None = None
) -> Universes:
    """Read the first clouds of a file of Quijote or CAMELS-SAM, one split per file.

    A file holds ``params/Omega_m`` and ``params/sigma_8``, and for each cloud i a group ``BSQ/BSQ_i`` (or
    ``LH/LH_i``) with ``X, Y, Z`` [Mpc/h] and ``VX, VY, VZ`` [km/s]; all clouds have 5,000 points.

    Parameters
    ----------
    path
    n_universes, n_points
        Keep the first ones; None keeps all. There are no masses to sort by: ``size`` is one.

    Raises
    ------
    DataFileError
        When the file is missing, damaged, or of another layout.

    References
    ----------
    Huang et al. (CosmoBench), arXiv:2507.03707. The layout follows the code published with it.
    """
    path = Path(path)
    with (
        translated(DataFileError, f"'{path}' is no file of CosmoBench", "see `read_cosmobench`"),
        h5py.File(path) as file,
    ):
        names = [name for name in BOXES if name in file]
        if len(names) != 1:
            raise DataFileError(f"'{path}': one of {list(BOXES)} is expected; it holds {sorted(file)}")
        box = BOXES[names[0]]
        parameters = np.stack([_column(file, f"params/{name}", path) for name in ("Omega_m", "sigma_8")], 1)
        n = len(parameters) if n_universes is None else n_universes
        clouds = [f"{names[0]}/{names[0]}_{i}" for i in range(n)]
        position, velocity = (
            np.stack(
                [np.stack([_column(file, f"{c}/{v}", path, n_points) for v in axes], -1) for c in clouds]
            )
            for axes in (("X", "Y", "Z"), ("VX", "VY", "VZ"))
        )
        arrays = (column.astype(np.float32) for column in (position % box, velocity))
    source = {"source": "published", "group": names[0]}
    return Universes(*arrays, np.ones(position.shape[:2], np.float32), parameters[:n], box, source)


def _column(file: h5py.File, name: str, path: Path, n: int | None = None) -> np.ndarray:
    """The first numbers of a dataset, once it is known to be there, of a believable size, and finite."""
    check_dataset(file[name], path, owner=file)
    values = file[name][:n]
    if not np.isfinite(values.astype(np.float32)).all():
        raise DataFileError(f"'{path}': '{name}' is not finite everywhere; get the file again")
    return values
