"""Fast simulation: from generated particles to particle-flow objects, many events at once.

Tracks are found with an efficiency and smeared; two calorimeters, electromagnetic then hadronic, sum
energies in towers; what the towers see beyond the tracks becomes photons and neutral hadrons. The
formulas are those of Delphes 3 (arXiv 1307.6346), see `omnilearn_lab.simulation.cards`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from omnilearn_lab.jets import reduce_pid
from omnilearn_lab.simulation.calorimeter import Deposits, log_normal, read_out
from omnilearn_lab.simulation.cards import CalorimeterCard, DetectorCard, TrackerCard
from omnilearn_lab.simulation.events import Particles
from omnilearn_lab.simulation.propagation import Impact, propagate

_ELECTRON, _MUON, _PHOTON = 11, 13, 22
_SHARED = (310, 3122)  # K0S and Lambda: 30 % electromagnetic
_SHARED_FRACTION = 0.3
_MIN_TRACK_PT, _MAX_TRACK_ETA = 0.1, 2.5
_EDGE = 1.5  # barrel to end cap, in abs(eta)
_CELL = (0.0174, np.pi / 180)  # where tracks crowd


@dataclass(frozen=True)
class _Tracks:
    """Tracks with what the combination needs: impact points, energies, relative resolutions."""

    particle: np.ndarray  # row of the generated particle
    eta: np.ndarray  # at the calorimeter face
    phi: np.ndarray
    pt: np.ndarray  # reconstructed [GeV]
    relative: np.ndarray  # relative resolution
    slope: np.ndarray  # pz / pt
    mass: np.ndarray

    @property
    def energy(self) -> np.ndarray:
        return np.sqrt(self.pt**2 * (1 + self.slope**2) + self.mass**2)


def reconstruct(
    particles: Particles, card: DetectorCard, rng: np.random.Generator, *, impact_parameters: bool = True
) -> Particles:
    """Turn generated particles into particle-flow objects.

    Parameters
    ----------
    particles : Particles
        Visible final particles with ``pid``, ``charge``, ``x``, ``y``, ``z`` [mm].
    card : DetectorCard
    rng : numpy.random.Generator
    impact_parameters : bool
        Add smeared ``d0``, ``dz`` and their resolutions ``d0_err``, ``dz_err`` [mm], zero for
        objects without track.

    Returns
    -------
    Particles
        Charged hadrons, electrons and muons from tracks, photons and neutral hadrons from towers;
        ``pid`` in the reduced codes of `omnilearn_lab.jets.SPECIES`; ``index`` is copied from
        the generated particle of a track and -1 otherwise. Tracks that a tower scales to zero are left out.
    """
    impact = propagate(particles, card)
    particles, impact = particles.select(impact.alive), Impact(*(v[impact.alive] for v in impact))
    tracks = measured = _find_tracks(particles, impact, card, rng)
    electromagnetic = _electromagnetic_fraction(particles, card, rng)
    pt, photons = _combine(card.ecal, particles, impact, tracks, electromagnetic, rng=rng)
    tracks = replace(tracks, pt=pt)
    hadronic = _hadronic_fraction(particles, card, electromagnetic)
    pt, neutral = _combine(card.hcal, particles, impact, tracks, hadronic, rng=rng)
    columns = _track_columns(particles, impact, replace(tracks, pt=pt))
    if impact_parameters:
        columns |= _impact_parameters(card.tracker, measured, impact, rng)
    columns = {name: values[pt > 0] for name, values in columns.items()}
    objects = [columns, _neutral_columns(photons, _PHOTON, columns), _neutral_columns(neutral, 130, columns)]
    joined = {name: np.concatenate([o[name] for o in objects]) for name in columns}
    order = np.argsort(joined["event"], kind="stable")
    return Particles({name: values[order] for name, values in joined.items()}, particles.n_events)


# ---- tracks --------------------------------------------------------------------------------------


def _find_tracks(
    particles: Particles, impact: Impact, card: DetectorCard, rng: np.random.Generator
) -> _Tracks:
    charged = np.flatnonzero(particles["charge"] != 0)
    pt, pid = particles.pt[charged], np.abs(particles["pid"][charged])
    probability = _track_efficiency(card.tracker, pid, pt, np.abs(impact.eta[charged]))
    if card.tracker.crowding < 1:
        probability *= card.tracker.crowding ** (_neighbours(particles, impact)[charged])
    found = rng.random(len(charged)) < probability
    rows, pt = charged[found], pt[found]
    relative = _track_resolution(card.tracker, pid[found], pt, np.abs(impact.eta[rows]))
    slope = particles["pz"][rows] / pt
    mass2 = particles["energy"][rows] ** 2 - pt**2 * (1 + slope**2)
    smeared = log_normal(pt, relative * pt, rng)
    return _Tracks(
        rows, impact.eta[rows], impact.phi[rows], smeared, relative, slope, np.sqrt(np.maximum(mass2, 0))
    )


def _track_efficiency(card: TrackerCard, pid: np.ndarray, pt: np.ndarray, eta: np.ndarray) -> np.ndarray:
    barrel, soft = eta <= _EDGE, pt <= 1
    efficiency = np.where(barrel, np.where(soft, 0.70, 0.95), np.where(soft, 0.60, 0.85))
    hard = pt > 100
    electron = np.where(
        barrel,
        np.where(soft, 0.73, np.where(hard, 0.99, 0.95)),
        np.where(soft, 0.50, np.where(hard, 0.90, 0.83)),
    )
    muon = np.where(barrel, np.where(soft, 0.75, 0.99), np.where(soft, 0.70, 0.98))
    if card.tev_muon_loss:
        muon = muon * np.where(pt > 1000, np.exp(0.5 - 5e-4 * pt), 1.0)
    if card.nuclear_loss:
        efficiency = efficiency * (0.95 - 0.05 * np.minimum(eta, _EDGE) / _EDGE)
    efficiency = np.select([pid == _ELECTRON, pid == _MUON], [electron, muon], efficiency)
    return np.where((pt > _MIN_TRACK_PT) & (eta <= _MAX_TRACK_ETA), efficiency, 0.0)


def _track_resolution(card: TrackerCard, pid: np.ndarray, pt: np.ndarray, eta: np.ndarray) -> np.ndarray:
    if card.weightless:
        return np.zeros(len(pt))
    row = np.minimum(np.searchsorted(card.eta_edges, eta), len(card.eta_edges) - 1)
    kinds = [pid == _ELECTRON, pid == _MUON]
    a = np.select(
        kinds, [np.array(card.electron_a)[row], np.array(card.muon_a)[row]], np.array(card.hadron_a)[row]
    )
    b = np.select(
        kinds, [np.array(card.electron_b)[row], np.array(card.muon_b)[row]], np.array(card.hadron_b)[row]
    )
    return np.minimum(np.hypot(a, b * pt), 1.0)


def _neighbours(particles: Particles, impact: Impact) -> np.ndarray:
    """Number of other charged particles in the same cell, per particle."""
    cell = [np.floor(impact.eta / _CELL[0]), np.floor(impact.phi / _CELL[1])]
    key = (particles["event"] * 4096 + cell[0].clip(-600, 600) + 1024) * 1024 + cell[1] + 512
    _, inverse = np.unique(key, return_inverse=True)
    count = np.bincount(inverse, particles["charge"] != 0)[inverse]
    return np.maximum(count - 1, 0)


def _impact_parameters(
    card: TrackerCard, tracks: _Tracks, impact: Impact, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    sine = 1 / np.sqrt(1 + tracks.slope**2)
    row = np.minimum(
        np.searchsorted(card.impact_edges, np.abs(np.arcsinh(tracks.slope))), len(card.impact_edges) - 1
    )
    columns = {}
    for name, table, true in (("d0", card.d0, impact.d0), ("dz", card.dz, impact.dz)):
        a, b, c = np.array(table)[row].T
        by_angle = card.impact_by_polar_angle
        scale = tracks.pt * np.sqrt(sine) if by_angle and name == "d0" else tracks.pt
        sigma = np.hypot(a, b * scale**-c) / (sine if by_angle and name == "dz" else 1.0)
        columns[name] = true[tracks.particle] + sigma * rng.standard_normal(len(sigma))
        columns[f"{name}_err"] = sigma
    return columns


# ---- calorimeters --------------------------------------------------------------------------------


def _electromagnetic_fraction(
    particles: Particles, card: DetectorCard, rng: np.random.Generator
) -> np.ndarray:
    pid = np.abs(particles["pid"])
    fraction = np.where(np.isin(pid, (_ELECTRON, _PHOTON, 111)), 1.0, 0.0)
    fraction[np.isin(pid, _SHARED)] = _SHARED_FRACTION
    if card.hadrons_in_ecal:
        hadron = ~np.isin(pid, (_ELECTRON, _MUON, _PHOTON, 111))
        n_hadrons = np.count_nonzero(hadron)
        showers = rng.random(n_hadrons) >= 0.35
        fraction[hadron] = np.where(showers, rng.beta(1.1, 1.9, n_hadrons), 0.0)
    return fraction


def _hadronic_fraction(particles: Particles, card: DetectorCard, electromagnetic: np.ndarray) -> np.ndarray:
    muon = np.abs(particles["pid"]) == _MUON
    fraction = np.where(muon, 0.0, 1 - electromagnetic)
    if card.non_linearity:
        step = np.clip(np.log10(particles["energy"] / 30), -1, 1)
        fraction = fraction * (1 + card.non_linearity * step)
    return fraction


def _combine(
    card: CalorimeterCard,
    particles: Particles,
    impact: Impact,
    tracks: _Tracks,
    fraction: np.ndarray,
    *,
    rng: np.random.Generator,
) -> tuple[np.ndarray, Deposits]:
    """Return the tracks' new pt [GeV] and the neutral objects of one calorimeter."""
    hit = np.flatnonzero(fraction > 0)
    deposits = Deposits(
        particles["event"][hit], impact.eta[hit], impact.phi[hit], (particles["energy"] * fraction)[hit]
    )
    pointing = fraction[tracks.particle] > 0
    at = tracks.particle[pointing]
    energy = tracks.energy[pointing] * fraction[at]
    seen = Deposits(particles["event"][at], tracks.eta[pointing], tracks.phi[pointing], energy)
    result = read_out(card, deposits, seen, tracks.relative[pointing] * energy, rng=rng)
    pt = tracks.pt.copy()
    pt[pointing] *= result.factor
    return pt, result.neutral


# ---- output --------------------------------------------------------------------------------------


def _track_columns(particles: Particles, impact: Impact, tracks: _Tracks) -> dict[str, np.ndarray]:
    rows, phi = tracks.particle, impact.track_phi[tracks.particle]
    charge = particles["charge"][rows]
    return {
        "event": particles["event"][rows],
        "px": tracks.pt * np.cos(phi),
        "py": tracks.pt * np.sin(phi),
        "pz": tracks.pt * tracks.slope,
        "energy": tracks.energy,
        "charge": charge,
        "pid": reduce_pid(particles["pid"][rows], charge),
        "index": particles["index"][rows],
    }


def _neutral_columns(neutral: Deposits, pid: int, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    pt = neutral.energy / np.cosh(neutral.eta)
    filled = {
        "event": neutral.event,
        "px": pt * np.cos(neutral.phi),
        "py": pt * np.sin(neutral.phi),
        "pz": pt * np.sinh(neutral.eta),
        "energy": neutral.energy,
        "pid": np.full(len(pt), pid, dtype=np.int32),
        "index": np.full(len(pt), -1),
    }
    return {name: filled[name] if name in filled else np.zeros(len(pt)) for name in like}
