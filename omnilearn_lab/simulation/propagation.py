"""From production points to the calorimeter face, in a solenoid field."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omnilearn_lab.simulation.cards import DetectorCard
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
    orbit = _orbit(particles, x, y, pt / bend, particles["pz"] / bend)
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


def _orbit(
    particles: Particles, x: np.ndarray, y: np.ndarray, radius: np.ndarray, pitch: np.ndarray
) -> _Orbit:
    phi = np.arctan2(particles["py"], particles["px"])
    centre_x, centre_y = x + radius * np.sin(phi), y - radius * np.cos(phi)
    return _Orbit(radius, centre_x, centre_y, np.hypot(centre_x, centre_y), phi, pitch)


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
