"""True jets, and small files in exactly the published layouts, written with the publishers' libraries."""

from __future__ import annotations

import gzip
import shutil
from typing import NamedTuple

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import uproot

CODES = np.array([211, -211, 22, 130, 11, -11, 13, -13])
CHARGE = np.array([1, -1, 0, 0, -1, 1, -1, 1])
MASSES = {211: 0.139570, 22: 0.0, 130: 0.497611, 11: 0.000511, 13: 0.105658}


class Truth(NamedTuple):
    """Particles of N jets in random order, jet after jet; the jet is their sum."""

    counts: np.ndarray
    px: np.ndarray
    py: np.ndarray
    pz: np.ndarray
    energy: np.ndarray
    pid: np.ndarray
    charge: np.ndarray

    @property
    def pt(self):
        return np.hypot(self.px, self.py)

    @property
    def eta(self):
        return np.arcsinh(self.pz / self.pt)

    @property
    def phi(self):
        return np.arctan2(self.py, self.px)

    @property
    def y(self):
        return 0.5 * np.log((self.energy + self.pz) / (self.energy - self.pz))

    def jet(self):
        starts = np.cumsum(self.counts) - self.counts
        px, py, pz, energy = (np.add.reduceat(c, starts) for c in (self.px, self.py, self.pz, self.energy))
        pt = np.hypot(px, py)
        mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0))
        y = 0.5 * np.log((energy + pz) / (energy - pz))
        return {
            "pt": pt,
            "eta": np.arcsinh(pz / pt),
            "phi": np.arctan2(py, px),
            "mass": mass,
            "y": y,
            "e": energy,
        }

    def padded(self, columns, slots):
        """Rectangular (N, slots, len(columns)) array, zero where there is no particle."""
        out = np.zeros((len(self.counts), slots, len(columns)))
        out[np.arange(slots) < self.counts[:, None]] = np.stack(columns, axis=1)
        return out

    def jagged(self, column):
        return ak.unflatten(column, self.counts)


def truth(n_jets=12, seed=0, massless=False):
    """Jets with negative and positive eta, and phi near pi; one particle has pt of exactly 1 GeV."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 12, n_jets)
    total = counts.sum()
    jet_eta = np.where(np.arange(n_jets) % 2, 1, -1) * rng.uniform(0.2, 1.5, n_jets)
    jet_phi = np.where(np.arange(n_jets) % 3, rng.uniform(-3, 3, n_jets), np.pi)
    pt = rng.exponential(20, total) + 1.5
    pt[0] = 1.0
    eta = np.repeat(jet_eta, counts) + rng.normal(0, 0.2, total)
    phi = np.repeat(jet_phi, counts) + rng.normal(0, 0.2, total)
    kind = rng.integers(0, len(CODES), total)
    pid = CODES[kind]
    mass = np.zeros(total) if massless else np.array([MASSES[abs(code)] for code in pid])
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    return Truth(counts, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy, pid, CHARGE[kind])


def check_particles(jets, true, tolerance=2e-5):
    """The jets hold the true four-momenta, sorted by pt."""
    order = np.lexsort((-true.pt, np.repeat(np.arange(len(true.counts)), true.counts)))
    assert np.array_equal(jets.counts, true.counts)
    for found, expected in zip(jets.cartesian(), (true.px, true.py, true.pz, true.energy), strict=True):
        np.testing.assert_allclose(found, expected[order], rtol=tolerance, atol=tolerance * true.energy.max())
    return order


def check_jet(jets, true, tolerance=2e-5):
    """The jets are the sums of their particles."""
    for name, expected in true.jet().items():
        if name in ("pt", "eta", "mass"):
            np.testing.assert_allclose(jets.jet[name], expected, rtol=tolerance, atol=tolerance * 10)
    turn = np.angle(np.exp(1j * (jets.jet["phi"] - true.jet()["phi"])))
    np.testing.assert_allclose(turn, 0, atol=tolerance)


# ---- writers -----------------------------------------------------------------------------------


def write_top(path, true, labels, *, fmt="table", **changes):
    """pandas HDFStore, key ``table``, 806 float32 columns."""
    values = true.padded([true.energy, true.px, true.py, true.pz], 200).reshape(len(true.counts), -1)
    names = [f"{part}_{i}" for i in range(200) for part in ("E", "PX", "PY", "PZ")]
    frame = pd.DataFrame(values.astype(np.float32), columns=names)
    parton = ("truthE", "truthPX", "truthPY", "truthPZ")
    tail = {name: np.full(len(frame), 7.0, np.float32) for name in parton}
    tail |= {"ttv": np.zeros(len(frame), int), "is_signal_new": labels}
    frame = pd.concat([frame, pd.DataFrame(tail)], axis=1)
    for name, value in changes.items():
        frame.loc[frame.index[value[0]], name] = value[1]
    frame.to_hdf(path, key="table", mode="w", format=fmt)
    return frame


def jetclass_columns(true, *, flag_type=np.int32, charge_type=np.float32):
    """The columns that JetClass and JetClass-II share, with the published sign of part_deta."""
    jet = true.jet()
    side = np.repeat(np.sign(jet["eta"]), true.counts)
    size = np.abs(true.pid)
    charged = true.charge != 0
    flat = {
        "part_px": true.px,
        "part_py": true.py,
        "part_pz": true.pz,
        "part_energy": true.energy,
        "part_deta": (true.eta - np.repeat(jet["eta"], true.counts)) * side,
        "part_dphi": np.angle(np.exp(1j * (true.phi - np.repeat(jet["phi"], true.counts)))),
        "part_d0val": 0.1 * charged,
        "part_d0err": 0.01 * charged,
        "part_dzval": -0.2 * charged,
        "part_dzerr": 0.02 * charged,
    }
    columns = {name: true.jagged(values.astype(np.float32)) for name, values in flat.items()}
    columns["part_charge"] = true.jagged(true.charge.astype(charge_type))
    flags = {"ChargedHadron": 211, "NeutralHadron": 130, "Photon": 22, "Electron": 11, "Muon": 13}
    columns |= {f"part_is{n}": true.jagged((size == code).astype(flag_type)) for n, code in flags.items()}
    jets = {"pt": jet["pt"], "eta": jet["eta"], "phi": jet["phi"], "energy": jet["e"]}
    jets |= {"nparticles": true.counts, "sdmass": 0.9 * jet["mass"]}
    jets |= {f"tau{i}": 0.1 * i * np.ones(len(true.counts)) for i in range(1, 5)}
    return columns | {f"jet_{n}": np.asarray(v, dtype=np.float32) for n, v in jets.items()}


def write_jetclass(path, true, labels, *, drop=(), change=None):
    """ROOT tree ``tree`` of float vectors, written with uproot."""
    classes = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
    columns = jetclass_columns(true)
    columns |= {f"label_{n}": (labels == i).astype(np.float32) for i, n in enumerate(classes)}
    columns |= change or {}
    columns = {n: v for n, v in columns.items() if n not in drop}
    with uproot.recreate(path) as file:
        types = {n: ak.type(v).content if isinstance(v, ak.Array) else v.dtype for n, v in columns.items()}
        tree = file.mktree("tree", {n: str(t) for n, t in types.items()})
        tree.extend(columns)


def write_energyflow(path, true, labels, slots=20):
    """npz with X (pt, y, phi, pid) and y; phi within pi of the jet."""
    jet_phi = np.repeat(true.jet()["phi"], true.counts)
    phi = jet_phi + np.angle(np.exp(1j * (true.phi - jet_phi)))
    values = true.padded([true.pt, true.y, phi, true.pid], slots)
    np.savez_compressed(path, X=values, y=labels.astype(float))


def gzipped(path):
    with path.open("rb") as source, gzip.open(f"{path}.gz", "wb") as target:
        shutil.copyfileobj(source, target)
    return path.with_name(path.name + ".gz")


def write_h5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
    return path


def write_jetnet(path, true, *, slots=30, mask_value=1.0, multiplicity=None, pt_scale=1.0):
    """HDF5 of relative (eta, phi, pt, mask) and jet (pt, eta, mass, multiplicity); the name is the class."""
    jet = true.jet()
    owner = np.repeat(np.arange(len(true.counts)), true.counts)
    columns = [true.eta - jet["eta"][owner], np.angle(np.exp(1j * (true.phi - jet["phi"][owner])))]
    columns += [true.pt / jet["pt"][owner], np.full(len(owner), mask_value)]
    counts = true.counts if multiplicity is None else multiplicity
    features = np.stack([pt_scale * jet["pt"], jet["eta"], pt_scale * jet["mass"], counts], axis=1)
    particles = true.padded(columns, slots).astype(np.float32)
    return write_h5(path, particle_features=particles, jet_features=features.astype(np.float32))
