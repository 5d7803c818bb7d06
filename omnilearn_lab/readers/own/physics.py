"""From the units, weights, codes and sentinels of a file to ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from omnilearn_lab.errors import DataFileError, JetsError
from omnilearn_lab.jets import charge_of, reduce_pid
from omnilearn_lab.jets.columns import momenta_from_eta, pdg_charge
from omnilearn_lab.readers.kinematics import axis_of, pid_from_cms
from omnilearn_lab.readers.own.association import Flat
from omnilearn_lab.readers.own.columns import ColumnMap

_MOMENTA = ("pt", "px", "py", "pz", "energy", "mass")
_DISPLACEMENT = ("d0", "d0_err", "dz", "dz_err")
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "um": 1e-3, "m": 1e3}
_QUARKS = (1, 2, 3, 4, 5, 6)
_ENERGYFLOW = (22, 211, -211, 321, -321, 130, 2112, -2112, 2212, -2212, 11, -11, 13, -13)  # 0.0, 0.1, ...

Columns = dict[str, np.ndarray]


def as_our_columns(flat: Flat, columns: ColumnMap, path: Path) -> tuple[Columns, Columns]:
    """Return particle and jet columns in GeV and mm, with species, charges and tracks as in `Jets`.

    Raises
    ------
    DataFileError
        For species codes that are not of the convention that the map names.
    """
    scale = 1e-3 if columns.unit == "MeV" else 1.0
    particles = {n: v * scale if n in _MOMENTA else v for n, v in flat.particles.items()}
    jet = {n: v * scale if n in _MOMENTA else v for n, v in flat.jet.items()}
    if "q_over_p" in particles:
        particles = _tracks(particles, scale)
    try:
        particles |= _species(particles, columns.codes)
    except JetsError as error:
        raise DataFileError(f"'{path}': {error}") from error
    particles |= _displacement(particles, _MILLIMETRES[columns.length_unit])
    if "px" in jet:
        jet = _polar(jet)
    if "deta" not in particles:
        return _cartesian(particles), jet
    if "pt" not in jet:
        raise DataFileError(
            f"'{path}': particles relative to a jet need the jet's pt; map it with jet={{'pt': ...}}"
        )
    zero = np.zeros(len(flat.counts))
    return _relative(particles, flat.counts, jet), {"eta": zero, "phi": zero, "mass": zero, **jet}


def weighted(flat: Flat, *, apply: bool) -> Flat:
    """Return particles with four-momenta times ``puppi_weight``, those of weight 0 left out."""
    if "puppi_weight" not in flat.particles:
        return flat
    weight = flat.particles["puppi_weight"]
    kept = {name: values for name, values in flat.particles.items() if name != "puppi_weight"}
    if not apply:
        return flat._replace(particles=kept)
    real = ~(weight <= 0)  # not-a-number stays and is seen
    kept = {n: (v * weight if n in _MOMENTA else v)[real] for n, v in kept.items()}
    index = np.repeat(np.arange(len(flat.counts)), flat.counts)
    return flat._replace(particles=kept, counts=np.bincount(index[real], minlength=len(flat.counts)))


def puppi_helps(flat: Flat) -> bool:
    """Whether weights bring the particles' sum nearer to the jets' uncorrected pt than without them.

    Files that store weighted momenta already, and jets that were made without PUPPI, are not to be weighted.
    """
    if "puppi_weight" not in flat.particles or "pt" not in flat.jet or not len(flat.counts):
        return "puppi_weight" in flat.particles
    raw = flat.jet["pt"] * (1 - flat.jet.get("raw_factor", 0.0))
    good = (flat.counts > 0) & (raw > 0)
    if not good.any():
        return True
    missed = []
    for weight in (flat.particles["puppi_weight"], np.ones(int(flat.counts.sum()))):
        total = [_sum(p * weight, flat.counts) for p in _transverse(flat.particles)]
        missed.append(np.median(np.abs(np.hypot(*total)[good] / raw[good] - 1)))
    return bool(missed[0] <= missed[1])


def _transverse(particles: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    if "px" in particles:
        return particles["px"], particles["py"]
    return particles["pt"] * np.cos(particles["phi"]), particles["pt"] * np.sin(particles["phi"])


def _sum(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.bincount(np.repeat(np.arange(len(counts)), counts), weights=values, minlength=len(counts))


def _tracks(particles: Columns, scale: float) -> Columns:
    """Momenta and charges of tracks given as charge over momentum and polar angle."""
    kept = {n: v for n, v in particles.items() if n not in ("q_over_p", "theta")}
    ratio, theta = particles["q_over_p"].astype(np.float64), particles["theta"].astype(np.float64)
    kept["pt"] = scale * np.sin(theta) / np.abs(np.where(ratio != 0, ratio, np.inf))
    kept["eta"] = -np.log(np.tan(theta / 2))
    kept.setdefault("charge", np.sign(ratio))
    return kept


def _species(particles: Columns, convention: str) -> Columns:
    """Reduced codes and charges; charges of the file first, then those of the PDG's table."""
    if "pid" not in particles:
        return {}
    code = _pdg_codes(np.asarray(particles["pid"]), convention)
    given = particles.get("charge")
    reduced = reduce_pid(code, pdg_charge(code) if given is None else given)
    return {"pid": reduced, "charge": charge_of(reduced) if given is None else given}


def _pdg_codes(stored: np.ndarray, convention: str) -> np.ndarray:
    whole = np.rint(stored)
    parts = stored[stored != whole]
    if convention == "energyflow":
        place = np.rint(10 * stored).astype(np.int64)
        is_odd = (np.abs(10 * stored - place) > 0.01) | (place < 0) | (place >= len(_ENERGYFLOW))
        if is_odd.any():
            raise JetsError(
                f"species code {stored[is_odd][0]:g} is not one of 0.0, 0.1, ... 1.3, which EnergyFlow's "
                "remap_pids writes; give codes='pdg' or 'cms'"
            )
        return np.array(_ENERGYFLOW)[place]
    if len(parts):
        raise JetsError(
            f"species code {parts[0]:g} is no PDG code; EnergyFlow's remap_pids writes 0.0, 0.1, ... 1.3 in "
            "place of codes: give codes='energyflow' if it made this column"
        )
    code = whole.astype(np.int64)
    if convention == "cms":
        return pid_from_cms(code)
    quarks = np.isin(np.abs(code), _QUARKS)
    if quarks.any():
        raise JetsError(
            f"species code {code[quarks][0]} is a quark, and no constituent of a jet; in CMS files 1 and 2 "
            "are deposits in the forward calorimeter: give codes='cms' if these are"
        )
    return code


def _displacement(particles: Columns, millimetres: float) -> Columns:
    """Impact parameters in mm; zeros, and ``has_track`` 0, where an error below 0 means no track."""
    names = [name for name in _DISPLACEMENT if name in particles]
    if not names:
        return {}
    values = {name: np.asarray(particles[name], dtype=np.float64) * millimetres for name in names}
    errors = [values[name] for name in ("d0_err", "dz_err") if name in values]
    has_track = np.all([np.isfinite(v) for v in values.values()], axis=0)
    if errors:
        has_track &= np.all([error >= 0 for error in errors], axis=0)
    elif "charge" in particles:
        has_track &= particles["charge"] != 0
    cleaned = {name: np.where(has_track, v, 0.0) for name, v in values.items()}
    return cleaned | {"has_track": has_track.astype(np.int32)}


def _polar(jet: Columns) -> Columns:
    """Jets given as px, py, pz, energy."""
    names = ("px", "py", "pz", "energy")
    kept = {name: values for name, values in jet.items() if name not in names}
    return kept | axis_of(*(jet[name].astype(np.float64) for name in names))


def _relative(particles: Columns, counts: np.ndarray, jet: Mapping[str, np.ndarray]) -> Columns:
    kept = {name: values for name, values in particles.items() if name != "mass"}
    eta = particles["deta"] + np.repeat(jet.get("eta", np.zeros(len(counts))), counts)
    kept.setdefault("energy", np.hypot(particles["pt"] * np.cosh(eta), particles.get("mass", 0.0)))
    return kept


def _cartesian(particles: Columns) -> Columns:
    polar = ("pt", "eta", "phi", "mass")
    if "px" in particles:
        return {name: values for name, values in particles.items() if name not in polar}
    momenta = momenta_from_eta(
        particles["pt"], particles["eta"], particles["phi"], particles.get("mass", 0.0)
    )
    return {n: v for n, v in (momenta | particles).items() if n not in polar}
