"""Fast simulation: from generated particles to tracks, calorimeter towers and particle-flow objects."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from omnilearn_lab.jets import reduce_pid
from omnilearn_lab.simulation.cards import CalorimeterCard, DetectorCard, TrackerCard
from omnilearn_lab.simulation.events import Particles

_CURVATURE = 0.299792458  # pt [GeV] = 0.2998 q [e] B [T] r [m]
_MIN_PT = 3e-5  # [GeV]
_NEVER = 1e9  # [rad] or path per momentum


class Impact(NamedTuple):
    """Where particles meet the calorimeter, and their point of closest approach to the beam line.

    All arrays have shape (T,). ``alive`` is False for particles born outside the cylinder or with
    pt below 3e-5 GeV; their other values mean nothing.
    """

    alive: np.ndarray
    eta: np.ndarray  # of the impact point, seen from the origin
    phi: np.ndarray
    d0: np.ndarray  # [mm], 0 for neutral particles
    dz: np.ndarray  # [mm]
    track_phi: np.ndarray  # momentum direction at closest approach


class _Orbit(NamedTuple):
    """Transverse circles: signed radius, centre and its distance from the axis [m], start angle."""

    radius: np.ndarray
    x: np.ndarray
    y: np.ndarray
    distance: np.ndarray
    phi: np.ndarray
    pitch: np.ndarray  # z per radian turned [m]


def propagate(particles: Particles, card: DetectorCard) -> Impact:
    """Carry particles along straight lines or helices to the calorimeter face.

    The transverse impact parameter is d0 = (x p_y - y p_x) / pt at the closest approach to the
    beam line, dz the z there. A prompt track of pt [GeV] reaches the face turned by
    arcsin(0.15 B R / pt).

    Parameters
    ----------
    particles : Particles
        With ``charge`` and ``x``, ``y``, ``z`` [mm].
    card : DetectorCard

    Returns
    -------
    Impact
    """
    x, y, z = (particles[name] * 1e-3 for name in "xyz")
    pt = particles.pt
    alive = (np.hypot(x, y) < card.radius) & (np.abs(z) < card.half_length) & (pt > _MIN_PT)
    impact = Impact(alive, *(np.zeros(len(pt)) for _ in range(5)))
    for charged, fly in ((False, _straight), (True, _helix)):
        rows = np.flatnonzero(alive & ((particles["charge"] != 0) == charged))
        values = fly(particles.select(rows), (x[rows], y[rows], z[rows]), pt[rows], card)
        for target, found in zip(impact[1:], values, strict=True):
            target[rows] = found
    return impact


def _straight(particles: Particles, start: tuple, pt: np.ndarray, card: DetectorCard) -> tuple:
    x, y, z = start
    px, py, pz = particles["px"], particles["py"], particles["pz"]
    across = np.sqrt(np.maximum((pt * card.radius) ** 2 - (px * y - py * x) ** 2, 0))
    side = (across - px * x - py * y) / pt**2
    path = np.minimum(side, _to_end_cap(z, pz, card.half_length))
    eta, phi = _direction(x + px * path, y + py * path, z + pz * path)
    zero = np.zeros(len(pt))
    return eta, phi, zero, zero, np.arctan2(py, px)


def _helix(particles: Particles, start: tuple, pt: np.ndarray, card: DetectorCard) -> tuple:
    x, y, z = start
    bend = _CURVATURE * particles["charge"] * card.field
    radius, phi = pt / bend, np.arctan2(particles["py"], particles["px"])
    centre = x + radius * np.sin(phi), y - radius * np.cos(phi)
    orbit = _Orbit(radius, *centre, np.hypot(*centre), phi, particles["pz"] / bend)
    turn_d = orbit.phi + np.arctan2(orbit.x, orbit.y)
    turn_d -= np.pi * np.round(turn_d / np.pi)
    track_phi = orbit.phi - turn_d
    x_d, y_d = orbit.x - orbit.radius * np.sin(track_phi), orbit.y + orbit.radius * np.cos(track_phi)
    d0 = x_d * np.sin(track_phi) - y_d * np.cos(track_phi)
    dz = z + orbit.pitch * turn_d
    turn = np.sign(bend) * _exit_turn(orbit, np.sign(bend) * turn_d, z, card)
    angle = orbit.phi - turn
    eta, phi = _direction(
        orbit.x - orbit.radius * np.sin(angle), orbit.y + orbit.radius * np.cos(angle), z + orbit.pitch * turn
    )
    return eta, phi, 1e3 * d0, 1e3 * dz, track_phi


def _exit_turn(orbit: _Orbit, turn_d: np.ndarray, z: np.ndarray, card: DetectorCard) -> np.ndarray:
    """Angle turned (positive) when a particle leaves through the barrel or an end cap."""
    size = np.abs(orbit.radius)
    speed = orbit.pitch * np.sign(orbit.radius)
    end_cap = _to_end_cap(z, speed, card.half_length)
    cosine = (size**2 + orbit.distance**2 - card.radius**2) / (2 * size * orbit.distance)
    barrel = turn_d + np.arccos(np.clip(cosine, -1, 1))
    return np.where(orbit.distance + size < card.radius, end_cap, np.minimum(end_cap, barrel))


def _to_end_cap(z: np.ndarray, speed: np.ndarray, half_length: float) -> np.ndarray:
    """Path or turn until an end cap; particles that hardly move along the beam never get there."""
    steps = np.full(len(z), _NEVER)
    moves = np.abs(speed) > 1 / _NEVER
    return np.divide(np.sign(speed) * half_length - z, speed, out=steps, where=moves)


def _direction(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.arcsinh(z / np.maximum(np.hypot(x, y), 1e-12)), np.arctan2(y, x)


class Deposits(NamedTuple):
    """Energy that enters a calorimeter, or tracks that point to it; arrays of shape (T,)."""

    event: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    energy: np.ndarray  # [GeV], times the fraction this calorimeter sees


class TowerResult(NamedTuple):
    """Neutral excesses, and the factor to apply to each track's pt (1 where nothing changes)."""

    neutral: Deposits
    factor: np.ndarray


class _Grid(NamedTuple):
    """Towers numbered row by row: eta edges, phi bins per row, number of the first tower per row."""

    edges: np.ndarray
    phi_bins: np.ndarray
    first: np.ndarray


def read_out(
    card: CalorimeterCard,
    deposits: Deposits,
    tracks: Deposits,
    track_sigma: np.ndarray,
    *,
    rng: np.random.Generator,
) -> TowerResult:
    """Simulate one calorimeter for all events at once.

    Each tower's energy is smeared once; below threshold it is set to zero. The excess N over the
    tracks' energy T becomes a neutral object when N > E_min and N / sqrt(S^2 + sigma^2) exceeds the
    significance, S being the tracks' resolution; otherwise the tracks are scaled to the weighted
    mean of tower and tracks.

    Parameters
    ----------
    card : CalorimeterCard
    deposits : Deposits
        Of generated particles.
    tracks : Deposits
        Reconstructed energies at the same face.
    track_sigma : array, shape (tracks,)
        Energy resolution [GeV].
    rng : numpy.random.Generator

    Returns
    -------
    TowerResult
    """
    grid = _grid(card)
    n_deposits = len(deposits.event)
    both = [np.concatenate(pair) for pair in zip(deposits[:3], tracks[:3], strict=True)]
    inside = (both[1] > grid.edges[0]) & (both[1] < grid.edges[-1])
    keys, tower = np.unique(_tower_key(grid, *(column[inside] for column in both)), return_inverse=True)
    own, hit = inside[:n_deposits], inside[n_deposits:]
    n_own = np.count_nonzero(own)
    true = np.bincount(tower[:n_own], deposits.energy[own], len(keys))
    sigma, energy = _smeared(card, grid, keys, true, rng)
    of_track = tower[n_own:]
    sums = [np.bincount(of_track, w[hit], len(keys)) for w in (tracks.energy, track_sigma**2)]
    excess = np.maximum(energy - sums[0], 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        significance = excess / np.sqrt(sums[1] + sigma**2)
    is_neutral = (excess > card.min_energy) & (significance > card.significance)
    factor = np.ones(len(hit))
    factor[hit] = _track_factor(energy, sigma, sums, is_neutral)[of_track]
    return TowerResult(_neutral_objects(grid, keys[is_neutral], excess[is_neutral], rng), factor)


def resolution(card: CalorimeterCard, eta: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Return sigma(E) [GeV] at pseudorapidity ``eta``.

    Examples
    --------
    >>> from omnilearn_lab.simulation import card
    >>> resolution(card("CMS-like").ecal, np.array([0.0]), np.array([50.0])).round(2).tolist()
    [0.96]
    """
    limits, *terms = (np.array(column) for column in list(zip(*card.resolution, strict=True))[:4])
    size = np.abs(eta)
    row = np.minimum(np.searchsorted(limits, size), len(limits) - 1)
    stochastic, noise, constant = (term[row] for term in terms)
    shapes = np.array([row[4] for row in card.resolution])[row]
    factor = np.where(shapes == "barrel", 1 + 0.64 * size**2, 1.0)
    factor = np.where(shapes == "endcap", 2.16 + 5.6 * (size - 2) ** 2, factor)
    return factor * np.sqrt((constant * energy) ** 2 + stochastic**2 * energy + noise**2)


def log_normal(mean: np.ndarray, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw positive numbers with the given means and standard deviations (0 where the mean is 0).

    With b^2 = ln(1 + sigma^2 / mean^2): x = mean exp(-b^2 / 2 + b g), g standard normal.

    Examples
    --------
    >>> log_normal(np.array([5.0, 0.0]), np.zeros(2), np.random.default_rng(0)).tolist()
    [5.0, 0.0]
    """
    relative = np.divide(sigma, mean, out=np.zeros(len(mean)), where=mean > 0)
    width2 = np.log1p(relative**2)
    return mean * np.exp(np.sqrt(width2) * rng.standard_normal(len(mean)) - width2 / 2)


@functools.cache
def _grid(card: CalorimeterCard) -> _Grid:
    edges = np.array(card.eta_edges)
    inner = np.minimum(np.abs(edges[:-1]), np.abs(edges[1:]))
    limits = np.array([limit for limit, _ in card.phi_bins])
    bins = np.array([number for _, number in card.phi_bins])
    phi_bins = bins[np.minimum(np.searchsorted(limits, inner + 1e-9), len(bins) - 1)]
    return _Grid(edges, phi_bins, np.concatenate([[0], np.cumsum(phi_bins)]))


def _tower_key(grid: _Grid, event: np.ndarray, eta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    row = np.searchsorted(grid.edges, eta, side="right") - 1
    bins = grid.phi_bins[row]
    column = np.minimum(((phi + np.pi) / (2 * np.pi) * bins).astype(np.int64), bins - 1)
    return event * grid.first[-1] + grid.first[row] + column


def _tower_row(grid: _Grid, keys: np.ndarray) -> np.ndarray:
    return np.searchsorted(grid.first, keys % grid.first[-1], side="right") - 1


def _smeared(
    card: CalorimeterCard, grid: _Grid, keys: np.ndarray, true: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (sigma, energy) of every tower; towers below threshold have energy 0."""
    row = _tower_row(grid, keys)
    eta = (grid.edges[row] + grid.edges[row + 1]) / 2
    energy = log_normal(true, resolution(card, eta, true), rng)
    sigma = resolution(card, eta, energy)
    return sigma, np.where((energy < card.min_energy) | (energy < card.significance * sigma), 0.0, energy)


def _track_factor(
    energy: np.ndarray, sigma: np.ndarray, sums: list[np.ndarray], is_neutral: np.ndarray
) -> np.ndarray:
    """Scale that brings the tracks of a tower to the weighted mean of tracks and tower."""
    total, variance = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        of_tracks = np.where(variance > 0, 1 / variance, 0)
        of_tower = np.where(sigma > 0, 1 / sigma**2, 0)
        factor = (total * of_tracks + energy * of_tower) / (of_tracks + of_tower) / total
    return np.where(~is_neutral & (total > 0) & (of_tracks + of_tower > 0), factor, 1.0)


def _neutral_objects(grid: _Grid, keys: np.ndarray, energy: np.ndarray, rng: np.random.Generator) -> Deposits:
    """Place each excess at random inside its tower."""
    row = _tower_row(grid, keys)
    step = 2 * np.pi / grid.phi_bins[row]
    phi = -np.pi + step * (keys % grid.first[-1] - grid.first[row] + rng.random(len(keys)))
    eta = grid.edges[row] + (grid.edges[row + 1] - grid.edges[row]) * rng.random(len(keys))
    return Deposits(keys // grid.first[-1], eta, phi, energy)


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
    a, b = (
        np.select(kinds, [np.array(electron)[row], np.array(muon)[row]], np.array(hadron)[row])
        for electron, muon, hadron in (
            (card.electron_a, card.muon_a, card.hadron_a),
            (card.electron_b, card.muon_b, card.hadron_b),
        )
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
