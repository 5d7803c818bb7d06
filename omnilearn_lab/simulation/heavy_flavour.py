"""Jets for flavour tagging: labels by hadron content, tracks with lifetime signs and origins."""

from __future__ import annotations

import numpy as np

from omnilearn_lab.simulation.clustering import Clusters
from omnilearn_lab.simulation.events import EventBatch, Particles, final_particles
from omnilearn_lab.simulation.recipes import Recipe, Sample
from omnilearn_lab.simulation.selection import (
    Selected,
    build_jets,
    find_jets,
    in_window,
    jet_columns,
    observe,
)
from omnilearn_lab.simulation.truth import delta_r, direction, hard_outgoing, pairs_in_event

_CONE, _MIN_LABEL_PT = 0.3, 5.0  # [GeV]
_LEPTONS, _LEPTON_CONE, _W = (11, 13), 0.4, 24
_TAU, _BEAUTY, _CHARM = 15, 5, 4
_TRACK = {"pt": 0.5, "eta": 2.5, "radius": 300.0, "d0": 3.5, "z0": 5.0}  # GeV, mm
_MAX_TRACKS = 40
_GENERATIONS = 25
_SECONDARY_RADIUS = 0.1  # [mm]
_ORIGIN = {"primary": 2, "b": 3, "b_to_c": 4, "c": 5, "tau": 6, "other": 7}  # as in the ATLAS files


def select_flavour_jets(
    recipe: Recipe, sample: Sample, batch: EventBatch, rng: np.random.Generator
) -> Selected:
    """Label jets b, c, tau or light by what lies within 0.3 of their axis, and keep their tracks.

    The classes of the recipe must be (light, c, b, tau). Jets near an electron or muon from a W, and
    jets without a good track, are left out. Tracks carry ``lifetime_d0`` and ``lifetime_dz`` (positive
    when the track crosses the jet axis in front of the primary vertex) and ``origin``: 2 primary,
    3 from b, 4 from b to c, 5 from c, 6 from tau, 7 other secondary.

    References
    ----------
    ATLAS Collaboration, arXiv 2505.19689: labels, track origins.
    """
    objects = observe(recipe, final_particles(batch), rng)
    clusters = find_jets(recipe, objects)
    rows = np.flatnonzero(in_window(recipe.window, clusters) & ~_near_lepton(clusters, batch))
    tracks, track_clusters, rows = _tracks_of_jets(objects, clusters, rows, batch)
    columns = jet_columns(recipe, sample, batch, clusters.event[rows])
    columns["label"] = jet_flavour(clusters, batch)[rows]
    columns |= {name: getattr(clusters, name)[rows] for name in ("pt", "eta", "phi", "mass")}
    return build_jets(recipe, tracks, track_clusters, np.arange(len(rows)), columns)


def has_quark(pid: np.ndarray, quark: int) -> np.ndarray:
    """Say which PDG codes are hadrons with this quark as the heaviest (or second, in baryons).

    The lighter quark of a meson is not looked at: a B_c counts as beauty.

    Examples
    --------
    >>> has_quark(np.array([521, -5122, 411, 5, 5503]), 5).tolist()
    [True, True, False, False, False]
    """
    size = np.abs(pid) % 10_000_000 % 10_000  # excitations lead with further digits
    content = (size // 100 % 10 == quark) | (size // 1000 % 10 == quark)
    return content & (size // 10 % 10 != 0) & (np.abs(pid) > 100)


def weak_hadrons(batch: EventBatch, quark: int) -> np.ndarray:
    """Return entries of hadrons with this quark none of whose decay products holds it."""
    holds = has_quark(batch["id"], quark)
    rows = np.flatnonzero(holds)
    hands_on = np.zeros(len(holds), dtype=bool)
    hands_on[batch.mother[rows]] = True
    return rows[~hands_on[rows]]


def jet_flavour(clusters: Clusters, batch: EventBatch) -> np.ndarray:
    """Return 0 light, 1 c, 2 b, 3 tau per jet; b wins over c, c over tau."""
    flavour = np.zeros(len(clusters), dtype=np.int64)
    taus = np.flatnonzero(np.abs(batch["id"]) == _TAU)
    for label, rows in ((3, taus), (1, weak_hadrons(batch, _CHARM)), (2, weak_hadrons(batch, _BEAUTY))):
        hard = rows[np.hypot(batch["px"][rows], batch["py"][rows]) > _MIN_LABEL_PT]
        flavour[_has_near(clusters, batch, hard, _CONE)] = label
    return flavour


def track_origin(batch: EventBatch, index: np.ndarray) -> np.ndarray:
    """Return the origin code of generated particles, by what is found among their ancestors."""
    at, mother = index.copy(), batch.mother
    seen = {name: np.zeros(len(index), dtype=bool) for name in ("b", "c", "tau")}
    for _ in range(_GENERATIONS):
        at = mother[at]
        pid = batch["id"][at]
        seen["b"] |= has_quark(pid, _BEAUTY)
        seen["c"] |= has_quark(pid, _CHARM)
        seen["tau"] |= np.abs(pid) == _TAU
    secondary = np.hypot(batch["x"][index], batch["y"][index]) > _SECONDARY_RADIUS
    rules = [seen["b"] & seen["c"], seen["b"], seen["c"], seen["tau"], secondary]
    codes = [_ORIGIN[name] for name in ("b_to_c", "b", "c", "tau", "other")]
    return np.select(rules, codes, _ORIGIN["primary"])


def _near_lepton(clusters: Clusters, batch: EventBatch) -> np.ndarray:
    leptons = hard_outgoing(batch, _LEPTONS)
    leptons = leptons[np.abs(batch["id"][batch.mother[leptons]]) == _W]
    return _has_near(clusters, batch, leptons, _LEPTON_CONE)


def _has_near(clusters: Clusters, batch: EventBatch, rows: np.ndarray, radius: float) -> np.ndarray:
    jet, entry = pairs_in_event(clusters.event, batch.event[rows])
    eta, phi = direction(batch, rows)
    near = delta_r(clusters.eta[jet], clusters.phi[jet], eta[entry], phi[entry]) < radius
    found = np.zeros(len(clusters), dtype=bool)
    found[jet[near]] = True
    return found


def _tracks_of_jets(
    objects: Particles, clusters: Clusters, rows: np.ndarray, batch: EventBatch
) -> tuple[Particles, Clusters, np.ndarray]:
    """Return the good tracks, the jets made of them alone, and which of ``rows`` have any."""
    members, offsets = clusters.members(rows)
    jet = np.repeat(np.arange(len(rows)), np.diff(offsets))
    good = np.flatnonzero(_is_good_track(objects.select(members), batch))
    members, jet = members[good], jet[good]
    significance = np.abs(objects["d0"][members] / objects["d0_err"][members])
    order = np.lexsort((-significance, jet))
    members, jet = members[order], jet[order]
    rank = np.arange(len(jet)) - np.searchsorted(jet, jet)
    members, jet = members[rank < _MAX_TRACKS], jet[rank < _MAX_TRACKS]
    kept, counts = np.unique(jet, return_counts=True)
    axis_eta, axis_phi = clusters.eta[rows][jet], clusters.phi[rows][jet]
    tracks = _with_truth(objects.select(members), axis_eta, axis_phi, batch)
    chosen = {
        name: getattr(clusters, name)[rows[kept]] for name in ("event", "rank", "pt", "eta", "rapidity")
    }
    chosen |= {name: getattr(clusters, name)[rows[kept]] for name in ("phi", "mass")}
    made = Clusters(offsets=np.r_[0, np.cumsum(counts)], constituents=np.arange(len(jet)), **chosen)
    return tracks, made, rows[kept]


def _is_good_track(objects: Particles, batch: EventBatch) -> np.ndarray:
    at = objects["index"]
    radius = np.hypot(batch["x"][at], batch["y"][at])
    sine = objects.pt / np.hypot(objects.pt, objects["pz"])
    return (
        (at >= 0)
        & (objects.pt > _TRACK["pt"])
        & (np.abs(objects.eta) < _TRACK["eta"])
        & (radius < _TRACK["radius"])
        & (np.abs(objects["d0"]) < _TRACK["d0"])
        & (np.abs(objects["dz"] * sine) < _TRACK["z0"])
    )


def _with_truth(
    tracks: Particles, axis_eta: np.ndarray, axis_phi: np.ndarray, batch: EventBatch
) -> Particles:
    """Add lifetime signs and origins.

    The point of closest approach is d0 (sin phi, -cos phi), so its product with the jet direction
    has the sign of d0 sin(phi - phi_jet).
    """
    phi = np.arctan2(tracks["py"], tracks["px"])
    d0_sign = np.sign(tracks["d0"] * np.sin(phi - axis_phi))
    dz_sign = np.sign(tracks["dz"] * (axis_eta - tracks.eta))
    added = {
        "lifetime_d0": d0_sign * np.abs(tracks["d0"]),
        "lifetime_dz": dz_sign * np.abs(tracks["dz"]),
        "origin": track_origin(batch, tracks["index"]),
    }
    return Particles({**tracks.columns, **added}, tracks.n_events)
