"""Jets on disk: the ML-ready HDF5 layout of OmniLearned, with what exact reading needs beside it.

Datasets, all zero-padded to P slots:

- ``data`` (N, P, F) float32: deta, dphi, ln pt, ln energy; then the species index (F >= 5) and
  tanh d0, d0_err, tanh dz, dz_err (F = 9) when they are known;
- ``pid`` (N,) int64: the class label (that is the layout's name for it);
- ``global`` (N, 4) float32: ln pt, eta, ln(1 + mass), multiplicity / 100;
- ``weights`` (N,) float32, when jets have weights;
- ``counts`` (N,) int32, ``jet`` (N, J) and ``extra`` (N, P, E) float32: ours; other readers ignore them.

OmniLearned recognises padding by ln pt = 0, so a real particle of exactly 1 GeV is written with
ln pt = 1e-6 (a relative change of 1e-6). Our reader uses ``counts`` and has no such gap.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from omnilearn_lab.errors import DataFileError, JetsError
from omnilearn_lab.jets.jets import Jets
from omnilearn_lab.jets.species import index_from_pid, pid_from_index
from omnilearn_lab.machine import atomic_hdf5, check_disk, make_folder

_DISPLACEMENT = ("d0", "d0_err", "dz", "dz_err")
_KINEMATICS = ("deta", "dphi", "pt", "energy")
_ONE_GEV = np.float32(1e-6)
_CHUNK_ROWS = 512


def write_jets(jets: Jets | Iterable[Jets], path: str | os.PathLike[str], max_particles: int = 150) -> Path:
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
    described = {
        "jet_columns": list(jets.jet),
        "extra_columns": _extra_names(jets),
        "class_names": list(jets.class_names),
    }
    if "data" not in file:
        file.attrs.update(described)
        file.attrs["provenance"] = json.dumps(dict(jets.provenance), default=str)
    for name, values in described.items():
        if list(file.attrs[name]) != values:
            raise JetsError(f"a batch has {name} {values}; the first one had {list(file.attrs[name])}")
    for name, values in _columns(jets, slots).items():
        if name not in file:
            chunks = (min(_CHUNK_ROWS, max(len(values), 1)), *values.shape[1:])
            file.create_dataset(
                name,
                data=values,
                chunks=chunks,
                maxshape=(None, *values.shape[1:]),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            )
        else:
            file[name].resize(len(file[name]) + len(values), axis=0)
            file[name][len(file[name]) - len(values) :] = values


def read_jets(path: str | os.PathLike[str], start: int = 0, stop: int | None = None) -> Jets:
    """Read rows ``start:stop`` of an ML-ready file, ours or OmniLearned's.

    Files without our ``jet`` table get jet quantities from the sum of their particles, around
    an axis at (eta, phi) = (0, 0), since the layout does not store the axis.

    Raises
    ------
    DataFileError
        When the file is missing, truncated, or lacks ``data`` or ``pid``.
    """
    path = Path(path)
    if not path.is_file():
        raise DataFileError(f"'{path}' does not exist; check the path, or make it with write_jets")
    try:
        with h5py.File(path, "r") as file:
            return _read(file, slice(start, stop))
    except (OSError, KeyError) as error:
        raise DataFileError(
            f"'{path}' is not a readable ML-ready HDF5 file ({error}); if it is truncated, delete it "
            "and make it again"
        ) from error


def jet_condition(jets: Jets) -> np.ndarray:
    """Return what generation is conditioned on: ln pt, eta, ln(1 + mass) and multiplicity / 100.

    Parameters
    ----------
    jets : Jets

    Returns
    -------
    float32 array, shape (N, 4)
        The layout's ``global``; momenta and masses in GeV.
    """
    jet = jets.jet
    columns = [np.log(jet["pt"]), jet["eta"], np.log1p(jet["mass"]), jet["multiplicity"] / 100]
    return np.stack(columns, axis=1).astype(np.float32)


def _columns(jets: Jets, slots: int) -> dict[str, np.ndarray]:
    names = list(_KINEMATICS) + (["pid"] if "pid" in jets.particles else [])
    displaced = all(n in jets.particles for n in _DISPLACEMENT)
    names += list(_DISPLACEMENT) if displaced and "pid" in jets.particles else []
    data, mask = jets.to_padded(slots, names)
    data[mask] = _encode(data[mask])
    columns = {"data": data, "pid": jets.jet.get("label", np.zeros(len(jets), dtype=np.int64))}
    columns["global"] = jet_condition(jets)
    columns["counts"] = jets.counts.astype(np.int32)
    columns["jet"] = np.stack([v.astype(np.float32) for v in jets.jet.values()], axis=1)
    if "weight" in jets.jet:
        columns["weights"] = jets.jet["weight"]
    extra = _extra_names(jets)
    if extra:
        columns["extra"] = jets.to_padded(slots, extra)[0]
    return columns


def _extra_names(jets: Jets) -> list[str]:
    return [n for n in jets.particles if n not in _KINEMATICS]


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


def _read(file: h5py.File, rows: slice) -> Jets:
    data = file["data"][rows]
    label = file["pid"][rows].astype(np.int64)
    counts = file["counts"][rows] if "counts" in file else None
    mask = data[..., 2] != 0 if counts is None else np.arange(data.shape[1]) < counts[:, None]
    keep = mask.any(axis=1)
    data, mask, label = data[keep], mask[keep], label[keep]
    particles = _decode(data[mask])
    offsets = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    if "extra" in file:
        extra = file["extra"][rows][keep][mask]
        particles |= {name: extra[:, i] for i, name in enumerate(file.attrs["extra_columns"])}
    labels = _labels(file)
    if "jet" in file:
        table = file["jet"][rows][keep]
        jet: dict[str, Any] = {n: table[:, i] for i, n in enumerate(file.attrs["jet_columns"])}
        return Jets.build(particles, offsets, jet, **labels)
    return _without_axis(particles, offsets, {"label": label}, labels)


def _labels(file: h5py.File) -> dict[str, Any]:
    names = tuple(str(n) for n in file.attrs.get("class_names", ()))
    return {
        "class_names": names,
        "provenance": json.loads(file.attrs.get("provenance", '{"source": "published"}')),
    }


def _decode(rows: np.ndarray) -> dict[str, np.ndarray]:
    particles = {
        "deta": rows[:, 0],
        "dphi": rows[:, 1],
        "pt": np.exp(rows[:, 2]),
        "energy": np.exp(rows[:, 3]),
    }
    if rows.shape[1] > 4:
        particles["pid"] = pid_from_index(np.clip(rows[:, 4].astype(np.int64), 0, 8))
    if rows.shape[1] == 9:
        limit = np.float32(1 - 1e-6)
        particles["d0"], particles["dz"] = (np.arctanh(np.clip(rows[:, i], -limit, limit)) for i in (5, 7))
        particles["d0_err"], particles["dz_err"] = rows[:, 6], rows[:, 8]
    return particles


def _without_axis(
    particles: dict[str, np.ndarray], offsets: np.ndarray, jet: dict[str, Any], labels: dict[str, Any]
) -> Jets:
    pt, deta, dphi = particles["pt"], particles["deta"], particles["dphi"]
    momenta = np.stack(
        [pt * np.cos(dphi), pt * np.sin(dphi), pt * np.sinh(deta), particles["energy"]], axis=1
    )
    total = Jets.from_four_momenta(momenta, offsets)
    axis = {
        "pt": total.jet["pt"],
        "mass": total.jet["mass"],
        "eta": 0 * total.jet["pt"],
        "phi": 0 * total.jet["pt"],
    }
    return Jets.build(particles, offsets, axis | jet, **labels)
