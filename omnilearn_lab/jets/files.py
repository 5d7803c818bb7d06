"""Jets on disk: the ML-ready HDF5 layout of OmniLearned, with what exact reading needs beside it.

Datasets, all zero-padded to P slots:

- ``data`` (N, P, F) float32: deta, dphi, ln pt, ln energy; then the species index (F >= 5) and
  tanh d0, d0_err, tanh dz, dz_err (F = 9) when they are known;
- ``pid`` (N,) int64: the class label (that is the layout's name for it);
- ``global`` (N, 4) float32: ln pt, eta, ln(1 + mass), multiplicity / 100;
- ``weights`` (N,) float32, when jets have weights;
- ``counts`` (N,) int32, ``jet`` (N, J) and ``extra`` (N, P, E) float32, ``jet_integers`` and
  ``extra_integers``: ours; other readers ignore them.

OmniLearned recognises padding by ln pt = 0, so a real particle of exactly 1 GeV is written with
ln pt = 1e-6 (a relative change of 1e-6). Our reader uses ``counts`` and has no such gap. `original_command`
gives the options with which OmniLearned reads a file of ours.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from omnilearn_lab.errors import DataFileError, JetsError
from omnilearn_lab.jets.columns import index_from_pid, jet_kinematics, pid_from_index
from omnilearn_lab.jets.jets import Jets
from omnilearn_lab.machine import StrPath, append_rows, atomic_hdf5, check_disk, make_folder
from omnilearn_lab.machine.files import attributes, check_dataset, reading

_log = logging.getLogger(__name__)
_DISPLACEMENT = ("d0", "d0_err", "dz", "dz_err")
_KINEMATICS = ("deta", "dphi", "pt", "energy")
_SMALL_INTEGERS = ("pid", "origin")
_SQUARED_MASSES = np.zeros(212, np.float32)  # of species, by code [GeV^2]
_SQUARED_MASSES[[211, 130, 13, 11]] = np.square([0.13957, 0.49761, 0.10566, 0.000511])
_COLUMNS = {  # tables of ours, and the attribute that names their columns
    "jet": "jet_columns",
    "jet_integers": "jet_integer_columns",
    "extra": "extra_columns",
    "extra_integers": "extra_integer_columns",
}
_ONE_GEV = np.float32(1e-6)
_CHUNK_ROWS = 512
_LONGEST_ATTRIBUTE = 60_000  # bytes in the object's header; longer text lies elsewhere in the file
_AXIS_STEPS = 6  # of Newton's method


def write_jets(jets: Jets | Iterable[Jets], path: StrPath, max_particles: int = 150) -> Path:
    """Write jets in the ML-ready layout; the file appears under its name only when complete.

    Parameters
    ----------
    jets : Jets, or an iterable of Jets
        Batches are written one after the other, so that a file may be larger than memory. They
        must have the same columns.
    path
        Target, usually ``*.h5``.
    max_particles
        Slots per jet, P; the softest particles beyond it are dropped (``multiplicity`` is kept).

    Returns
    -------
    Path

    Raises
    ------
    DataFileError
        When there are no batches, the folder cannot be written, or the disk is full.
    JetsError
        When a batch has other columns than the first one.
    """
    path = Path(path)
    make_folder(path.parent)
    with atomic_hdf5(path) as file:
        for batch in [jets] if isinstance(jets, Jets) else jets:
            _append(file, batch.truncate(max_particles), max_particles)
            check_disk(file)
        if "data" not in file:
            raise DataFileError(f"nothing to write to '{path}': there are no batches of jets")
    return path


def _append(file: h5py.File, jets: Jets, slots: int) -> None:
    """Add a batch at the end of all datasets, making them for the first batch."""
    reals, integers = _by_kind(jets.jet)
    described = {
        "jet_columns": reals,
        "jet_integer_columns": integers,
        "extra_columns": _by_kind(_extra(jets))[0],
        "extra_integer_columns": _by_kind(_extra(jets))[1],
        "class_names": list(jets.class_names),
    }
    if "data" not in file:
        for name, values in described.items():
            file.attrs[name] = np.array([value.encode() for value in values], dtype="S")
        about = json.dumps(dict(jets.provenance), default=str)
        file.attrs["provenance"] = np.bytes_(about) if len(about) < _LONGEST_ATTRIBUTE else about
    stored = {name: _names(values) for name, values in attributes(file, *described).items()}
    for name, values in described.items():
        if stored[name] != values:
            raise JetsError(f"a batch has {name} {values}; the first one had {stored[name]}")
    for name, column in _columns(jets, slots).items():
        chunks = (min(_CHUNK_ROWS, max(len(column), 1)), *column.shape[1:])
        append_rows(file, name, column, chunks=chunks, compression="gzip", compression_opts=1, shuffle=True)


def read_jets(path: StrPath, start: int = 0, stop: int | None = None) -> Jets:
    """Read rows ``start:stop`` of an ML-ready file, ours or OmniLearned's.

    Files without our ``jet`` table do not store the jet's axis. Its pseudorapidity follows from the
    energies of the particles, E = sqrt((pt cosh(eta + deta))^2 + m^2), up to the sign where these do not
    tell; its azimuth is 0; pt and mass are those of the sum of the particles.

    Raises
    ------
    DataFileError
        When the file is missing, truncated, lacks ``data`` or ``pid``, or holds a jet without pt.
    """
    jets, kept = read_rows(path, start, stop)
    tell_left_out(path, int((~kept).sum()), len(kept), "without particles")
    bad = ~(jets.jet["pt"] > 0)
    if bad.any():
        raise DataFileError(
            f"'{path}', row {start + int(np.argmax(bad))}: jet pt is {jets.jet['pt'][bad][0]} "
            f"({int(bad.sum())} such jets); make the file again, or leave them out with "
            "readers.make_reader('ml_ready', bad_jets='drop').read(...)"
        )
    return jets


def read_rows(path: StrPath, start: int = 0, stop: int | None = None) -> tuple[Jets, np.ndarray]:
    """Do as `read_jets`, and leave it to the caller to look for bad jets and to speak of empty ones.

    Returns
    -------
    jets
        Those with particles.
    kept : bool array, shape (rows,)
        Which rows these are.
    """
    path = Path(path)
    with reading(path, "ML-ready HDF5"), h5py.File(path, "r") as file:
        return _read(file, path, slice(start, stop))


def tell_left_out(path: StrPath, n: int, n_all: int, why: str, level: int = logging.WARNING) -> None:
    """Say in the log how many rows of a file are left out and why; whatever leaves out jets calls this.

    Parameters
    ----------
    path
    n, n_all
        Rows (jets, or events) left out, of so many.
    why
    level
        ``logging.INFO`` where the format's own selection leaves them out.
    """
    if n:
        _log.log(level, "'%s': left out %d of %d rows: %s", Path(path).name, n, n_all, why)


def jet_condition(jets: Jets) -> np.ndarray:
    """Return what generation is conditioned on: ln pt, eta, ln(1 + mass) and multiplicity / 100.

    Parameters
    ----------
    jets : Jets

    Returns
    -------
    float32 array, shape (N, 4)
        The layout's ``global``; momenta and masses in GeV.

    Raises
    ------
    JetsError
        For a jet without pt, or with a negative mass.
    """
    jet = jets.jet
    if len(jets) and (jet["mass"].min() < 0 or jet["pt"].min() <= 0):
        row = int(np.argmax((jet["mass"] < 0) | (jet["pt"] <= 0)))
        raise JetsError(
            f"jet {row} has pt {jet['pt'][row]:g} and mass {jet['mass'][row]:g} GeV, whose logarithms "
            "are inputs; -1 often stands for 'no mass': leave such jets out, or take the particles'"
        )
    columns = [np.log(jet["pt"]), jet["eta"], np.log1p(jet["mass"]), jet["multiplicity"] / 100]
    return np.stack(columns, axis=1).astype(np.float32)


def original_command(jets: Jets) -> str:
    """Return the options with which OmniLearned reads what `write_jets` makes of these jets.

    Its defaults expect four columns per particle and three numbers per jet. Labels count from 0, and so its
    shift for a set of this name must be 0: ``custom`` has none.

    Parameters
    ----------
    jets : Jets

    Examples
    --------
    >>> cloud = {"deta": [0.3], "dphi": [0.4], "pt": [1.0], "energy": [1.0], "pid": [211]}
    >>> jet = {"pt": [2.0], "eta": [0.0], "phi": [0.0], "mass": [0.0]}
    >>> original_command(Jets.build(cloud, [0, 1], jet, class_names=("QCD", "top")))
    'omnilearned train --dataset custom --num-classes 2 --use-pid --pid_idx 4 --num-cond 4'
    """
    words = ["omnilearned train --dataset custom", f"--num-classes {max(len(jets.class_names), 2)}"]
    names = _data_names(jets)
    words += ["--use-pid --pid_idx 4"] if "pid" in names else []
    words += ["--use-add --num-add 4"] if "d0" in names else []
    return " ".join([*words, "--num-cond 4"])


def _extra(jets: Jets) -> dict[str, np.ndarray]:
    return {name: values for name, values in jets.particles.items() if name not in _KINEMATICS}


def _by_kind(columns: Mapping[str, np.ndarray]) -> tuple[list[str], list[str]]:
    """Return the names of the columns of real numbers, and of those of integers."""
    integers = [name for name, values in columns.items() if values.dtype.kind == "i"]
    return [name for name in columns if name not in integers], integers


def _data_names(jets: Jets) -> list[str]:
    names = list(_KINEMATICS) + (["pid"] if "pid" in jets.particles else [])
    displaced = all(n in jets.particles for n in _DISPLACEMENT)
    return names + (list(_DISPLACEMENT) if displaced and "pid" in jets.particles else [])


def _columns(jets: Jets, slots: int) -> dict[str, np.ndarray]:
    data, mask = jets.to_padded(slots, _data_names(jets))
    data[mask] = _encode(data[mask])
    columns = {"data": data, "pid": jets.jet.get("label", np.zeros(len(jets), dtype=np.int64))}
    columns["global"] = jet_condition(jets)
    columns["counts"] = jets.counts.astype(np.int32)
    reals, integers = _by_kind(jets.jet)
    columns["jet"] = np.stack([jets.jet[name] for name in reals], axis=1)
    if integers:
        columns["jet_integers"] = np.stack([jets.jet[name].astype(np.int64) for name in integers], axis=1)
    if "weight" in jets.jet:
        columns["weights"] = jets.jet["weight"]
    reals, integers = _by_kind(_extra(jets))
    if reals:
        columns["extra"] = jets.to_padded(slots, reals)[0]
    if integers:
        is_small = all(n in _SMALL_INTEGERS or jets.particles[n].dtype == np.int32 for n in integers)
        padded = np.zeros((*mask.shape, len(integers)), dtype=np.int32 if is_small else np.int64)
        padded[mask] = np.stack([jets.particles[name] for name in integers], axis=1)
        columns["extra_integers"] = padded
    return columns


def _encode(rows: np.ndarray) -> np.ndarray:
    """Physical columns to the layout's: logarithms, species index, tanh of impact parameters."""
    rows = rows.copy()
    rows[:, 2:4] = np.log(np.maximum(rows[:, 2:4], np.finfo(np.float32).tiny))
    rows[:, 2] = np.where(rows[:, 2] == 0, _ONE_GEV, rows[:, 2])
    if rows.shape[1] > 4:
        rows[:, 4] = index_from_pid(rows[:, 4].astype(np.int64))
    if rows.shape[1] > 5:
        rows[:, [5, 7]] = np.tanh(rows[:, [5, 7]])
    return rows


def _read(file: h5py.File, path: Path, rows: slice) -> tuple[Jets, np.ndarray]:
    _check_layout(file, path)
    about = attributes(file)
    data = file["data"][rows]
    label = file["pid"][rows]
    mask = data[..., 2] != 0
    if "counts" in file:
        _check_counts(file["counts"][rows], mask, path, rows.start or 0)
    kept = mask.any(axis=1)
    keep: Any = slice(None) if kept.all() else kept  # no copy
    data, mask, label = data[keep], mask[keep], label[keep]
    particles = _decode(data[mask])
    offsets = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    for name in ("extra", "extra_integers"):
        if name in file:
            extra = file[name][rows][keep][mask]
            particles |= {n: extra[:, i] for i, n in enumerate(_names(about[_COLUMNS[name]]))}
    labels = {
        "class_names": tuple(_names(about.get("class_names", ()))),
        "provenance": json.loads(about.get("provenance", '{"source": "published"}')),
    }
    if "jet" not in file:
        axis = dict.fromkeys(("pt", "eta", "phi", "mass"), np.zeros(len(offsets) - 1))
        axis |= _fit_axis(particles, offsets) | {"label": label}  # what the energies tell of the axis
        return Jets.build(particles, offsets, axis, **labels), kept
    jet: dict[str, Any] = {}
    for name in ("jet", "jet_integers"):
        if name in file:
            table = file[name][rows][keep]
            jet |= {n: table[:, i] for i, n in enumerate(_names(about[_COLUMNS[name]]))}
    return Jets.build(particles, offsets, jet, **labels), kept


def _check_counts(counts: np.ndarray, mask: np.ndarray, path: Path, start: int) -> None:
    """Refuse numbers of particles that are not those of the filled slots: particles would be lost or made."""
    wrong = (np.arange(mask.shape[1]) < counts[:, None]) != mask
    if wrong.any():
        row = int(np.argmax(wrong.any(axis=1)))
        raise DataFileError(
            f"'{path}', row {start + row}: 'counts' is {counts[row]}, and 'data' has {mask[row].sum()} "
            f"particles in {mask.shape[1]} slots; the file is damaged: make or fetch it again"
        )


def _check_layout(file: h5py.File, path: Path) -> None:
    """Refuse datasets that are missing, of other lengths or of sizes that no file can hold."""
    missing = [name for name in ("data", "pid") if name not in file]
    if missing:
        raise DataFileError(
            f"'{path}' is not a readable ML-ready HDF5 file: {missing} are missing, and {sorted(file)} found"
        )
    data = file["data"]
    if data.ndim != 3 or data.shape[2] < 4:
        raise DataFileError(f"'{path}': 'data' has shape {data.shape}; (N, P, 4 or more) is needed")
    check_dataset(data, path, owner=file)
    for name in ("pid", "counts", *_COLUMNS):
        if name not in file:
            continue
        item = file[name]
        check_dataset(item, path, owner=file)
        if len(item) != len(data):
            raise DataFileError(
                f"'{path}': 'data' has {len(data)} rows and '{name}' has {len(item)}; jets would be "
                "lost or mixed up: make the file again"
            )


def _names(stored: Iterable[Any]) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in stored]


def _decode(rows: np.ndarray) -> dict[str, np.ndarray]:
    """The layout's columns to physical ones; 4 are kinematics, 5 with species, 8 or 9 with displacement."""
    width = rows.shape[1]
    particles = {
        "deta": rows[:, 0],
        "dphi": rows[:, 1],
        "pt": np.exp(rows[:, 2]),
        "energy": np.exp(rows[:, 3]),
    }
    if width in (5, 9):
        particles["pid"] = pid_from_index(np.clip(rows[:, 4].astype(np.int64), 0, 8))
    if width in (8, 9):
        limit = np.float32(1 - 1e-6)
        d0, d0_err, dz, dz_err = rows[:, -4:].T
        particles["d0"], particles["dz"] = (np.arctanh(np.clip(v, -limit, limit)) for v in (d0, dz))
        particles["d0_err"], particles["dz_err"] = d0_err, dz_err
    if width not in (4, 5, 8, 9):
        particles |= {f"feature_{i}": rows[:, i] for i in range(4, width)}
    return particles


def _fit_axis(particles: Mapping[str, np.ndarray], offsets: np.ndarray) -> dict[str, np.ndarray]:
    """Return pt, eta and mass of jets whose eta = x fits E = pt cosh(x + deta) best, by least squares.

    With a = exp(x), p = pt exp(deta) and q = pt exp(-deta), pt cosh(x + deta) is (a p + q / a) / 2, and the
    sum of squares depends on a and on sums over the particles alone. The sign of x is that of the covariance
    of E / pt and deta: particles towards the beam have more energy than those away from it. It is positive
    where that does not tell (one particle). Masses are those of the species.
    """
    if not offsets[-1]:
        return {}
    pt, deta, dphi = (particles[name] for name in ("pt", "deta", "dphi"))
    massless = energy = particles["energy"]
    if "pid" in particles:
        massless = np.sqrt(np.maximum(energy**2 - _SQUARED_MASSES[np.abs(particles["pid"])], 0))
    stretch = np.exp(deta)
    p, q = pt * stretch, pt / stretch
    terms = (pt * np.cos(dphi), pt * np.sin(dphi), p, q, energy, massless, massless * p, massless * q)
    px, py, p_sum, q_sum, e_sum, e, ep, eq = (_per_jet(term, offsets) for term in terms)
    others = (p * p, q * q, p * q, pt, massless * deta, pt * deta)
    pp, qq, pq, pt_sum, e_deta, pt_deta = (_per_jet(term, offsets) for term in others)
    side = np.where(e_deta < e / pt_sum * pt_deta, -1.0, 1.0)
    x = side * np.arccosh(np.maximum(e / pt_sum, 1))
    for _ in range(_AXIS_STEPS):
        a = np.exp(x)
        pull = a * ep / 2 - eq / (2 * a) - a**2 * pp / 4 + qq / (4 * a**2)
        x = x + pull / np.maximum(a**2 * pp / 4 - pq / 2 + qq / (4 * a**2), 1e-9)
    pz = (np.exp(x) * p_sum - np.exp(-x) * q_sum) / 2
    total = jet_kinematics(np.stack([px, py, pz, e_sum], axis=1))
    return {"pt": total["pt"], "mass": total["mass"], "eta": x}


def _per_jet(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sums over the particles of every jet, in double precision."""
    return np.add.reduceat(values, offsets[:-1], dtype=np.float64)
