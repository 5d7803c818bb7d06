"""From events to jets: the steps every dataset shares; plain jets, flavour tagging, hadronic taus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnilearn_lab.jets import Jets, reduce_pid
from omnilearn_lab.jets.columns import jet_kinematics
from omnilearn_lab.simulation.cards import card
from omnilearn_lab.simulation.detector import reconstruct
from omnilearn_lab.simulation.events import (
    NEUTRINOS,
    Clusters,
    EventBatch,
    Particles,
    cluster,
    contained,
    delta_r,
    direction,
    final_particles,
    find_decays,
    hard_outgoing,
    pairs_in_event,
)
from omnilearn_lab.simulation.recipes import JetWindow, Recipe, Sample

_IMPACT = ("d0", "d0_err", "dz", "dz_err")
_OPTIONAL = (*_IMPACT, "lifetime_d0", "lifetime_dz", "origin")

Selected = dict[str, Jets]
"""Batches of jets by level, all of the same length; empty when no event was chosen."""


def select_jets(recipe: Recipe, sample: Sample, batch: EventBatch, rng: np.random.Generator) -> Selected:
    """Choose the hardest jets in the window, matched to a resonance where the sample asks for it."""
    objects = observe(recipe, final_particles(batch), rng)
    clusters = find_jets(recipe, objects)
    keep = in_window(recipe.window, clusters) & (clusters.rank < sample.max_jets)
    if sample.matched:
        keep &= contained(clusters, find_decays(batch, recipe.resonances), recipe.match_radius)
    if sample.drop_outgoing:
        unwanted = batch.event[hard_outgoing(batch, sample.drop_outgoing)]
        keep &= ~np.isin(clusters.event, unwanted)
    rows = np.flatnonzero(keep)
    columns = jet_columns(recipe, sample, batch, clusters.event[rows])
    return build_jets(recipe, objects, clusters, rows, columns)


def find_jets(recipe: Recipe, objects: Particles, *, min_pt: float | None = None) -> Clusters:
    """Cluster with the recipe's jet definition, above its smallest jet pt unless told otherwise."""
    window = recipe.window
    lowest = window.pt[0] if min_pt is None else min_pt
    return cluster(objects, window.radius, algorithm=window.algorithm, min_pt=lowest)


def observe(recipe: Recipe, particles: Particles, rng: np.random.Generator) -> Particles:
    """Pass particles through the recipe's detector, if any, and drop soft constituents."""
    if recipe.detector:
        impact = recipe.impact_parameters
        particles = reconstruct(particles, card(recipe.detector), rng, impact_parameters=impact)
    return particles.select(particles.pt > recipe.active.min_pt)


def in_window(window: JetWindow, clusters: Clusters) -> np.ndarray:
    """Say which jets are in the acceptance, bool array of shape (jets,)."""
    eta = clusters.rapidity if window.use_rapidity else clusters.eta
    return between(clusters.pt, window.pt) & between(eta, window.eta)


def between(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Tell which values lie between two limits.

    Examples
    --------
    >>> between(np.array([1.0, 2.0]), (1.0, 3.0)).tolist()
    [False, True]
    """
    return (values > limits[0]) & (values < limits[1])


def jet_columns(
    recipe: Recipe, sample: Sample, batch: EventBatch, event: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the columns every jet carries: ``event``, ``label``, and ``weight`` where it is needed."""
    columns = {"event": event}
    if sample.class_name in recipe.class_names:  # else the selector finds the label
        columns["label"] = np.full(len(event), recipe.class_names.index(sample.class_name))
    if recipe.weighting == "bias":
        columns["weight"] = batch.weight[event]
    return columns


def build_jets(
    recipe: Recipe, objects: Particles, clusters: Clusters, rows: np.ndarray, columns: Mapping[str, Any]
) -> Selected:
    """Make `Jets` of chosen clusters, under the recipe's first level; nothing when none was chosen."""
    if not len(rows):
        return {}
    return {recipe.levels[0]: make_jets(recipe, objects, clusters, rows, columns)}


def make_jets(
    recipe: Recipe, objects: Particles, clusters: Clusters, rows: np.ndarray, columns: Mapping[str, Any]
) -> Jets:
    """Make `Jets` of at least one chosen cluster, with the recipe's largest number of constituents."""
    members, offsets = clusters.members(rows)
    momenta = np.stack([objects[name][members] for name in ("px", "py", "pz", "energy")], axis=1)
    charge = objects["charge"][members]
    particles = {"pid": reduce_pid(objects["pid"][members], charge), "charge": charge}
    particles |= {name: objects[name][members] for name in _OPTIONAL if name in objects.columns}
    names = recipe.class_names
    jets = Jets.from_four_momenta(momenta, offsets, particles=particles, jet=columns, class_names=names)
    jets = jets.truncate(recipe.max_constituents)
    return jets.with_jet(multiplicity=jets.counts) if recipe.count_kept else jets


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
    rows = np.flatnonzero(has_quark(batch["id"], quark))
    return rows[~np.isin(rows, batch.mother[rows])]


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
    names = ("event", "rank", "pt", "eta", "rapidity", "phi", "mass")
    chosen = {name: getattr(clusters, name)[rows[kept]] for name in names}
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


_PION0 = 111
_TAU_CONE, _MIN_VISIBLE_PT = 0.2, 15.0  # [GeV]
_OTHER = 20
NO_TAU = -1
_COLUMNS = ("decay_mode", "visible_pt", "visible_eta", "visible_phi", "visible_mass")


def select_taus(recipe: Recipe, sample: Sample, batch: EventBatch, rng: np.random.Generator) -> Selected:
    """Keep jets around a hadronic tau (class "tau"), or jets far from every tau (class "jet").

    Jets carry ``decay_mode`` (see `hadronic_taus`; -1 for jets) and the visible momentum of the tau,
    ``visible_pt``, ``visible_eta``, ``visible_phi``, ``visible_mass`` [GeV]: what a regression aims at (zero
    for jets).
    """
    taus = hadronic_taus(batch)
    objects = observe(recipe, final_particles(batch), rng)
    clusters = find_jets(recipe, objects)
    nearest = _nearest_tau(clusters, taus)
    is_tau = sample.class_name == "tau"
    wanted = nearest >= 0 if is_tau else ~_has_near(clusters, batch, _last_taus(batch), 2 * _TAU_CONE)
    rows = np.flatnonzero(in_window(recipe.window, clusters) & (clusters.rank < sample.max_jets) & wanted)
    columns = jet_columns(recipe, sample, batch, clusters.event[rows])
    tau = nearest[rows]
    for name in _COLUMNS:
        nothing = NO_TAU if name == "decay_mode" else 0.0
        columns[name] = np.where(tau >= 0, np.append(taus[name], nothing)[tau], nothing)
    return build_jets(recipe, objects, clusters, rows, columns)


def hadronic_taus(batch: EventBatch) -> dict[str, np.ndarray]:
    """Return the hadronically decaying taus of all events, in the order of the record.

    Returns
    -------
    dict of name to array, shape (T,)
        ``event``, ``visible_pt``, ``visible_eta``, ``visible_phi``, ``visible_mass``, and ``decay_mode``:
        5 (n - 1) + m for n = 1 or 3 charged hadrons and m neutral pions, at most two (one beside three
        charged hadrons), as CMS counts them; 20 for what is left (an odd number of kaons, five prongs).
    """
    last = _last_taus(batch)
    is_tau = np.zeros(len(batch["id"]), dtype=bool)
    is_tau[last] = True
    code, mother = np.abs(batch["id"]), batch.mother
    product = np.flatnonzero(is_tau[mother] & ~np.isin(code, (*NEUTRINOS, _TAU)))
    slot = np.searchsorted(last, mother[product])
    count = {
        name: np.bincount(slot[kind], minlength=len(last))
        for name, kind in (
            ("leptons", np.isin(code[product], _LEPTONS)),
            ("prongs", batch["charge"][product] != 0),
            ("pions", code[product] == _PION0),
            ("all", code[product] > 0),
        )
    }
    names = ("px", "py", "pz", "energy")
    visible = np.stack([np.bincount(slot, batch[name][product], len(last)) for name in names], axis=1)
    hadronic = (count["leptons"] == 0) & (count["prongs"] > 0)
    prongs, pions = count["prongs"], count["pions"]
    most = np.where(prongs == 3, 1, 2)
    simple = np.isin(prongs, (1, 3)) & (count["all"] == prongs + pions)
    mode = np.where(simple, 5 * (prongs - 1) + np.minimum(pions, most), _OTHER)
    columns = {"event": batch.event[last], "decay_mode": mode}
    columns |= {f"visible_{name}": values for name, values in jet_kinematics(visible).items()}
    return {name: values[hadronic] for name, values in columns.items()}


def _last_taus(batch: EventBatch) -> np.ndarray:
    """Entries of taus that decay: copies that hand on to another tau are left out."""
    taus = np.flatnonzero((np.abs(batch["id"]) == _TAU) & (batch["status"] < 0))
    return taus[~np.isin(taus, batch.mother[taus])]


def _nearest_tau(clusters: Clusters, taus: dict[str, np.ndarray]) -> np.ndarray:
    """Position of the nearest hard tau within the cone, -1 where there is none."""
    hard = np.flatnonzero(taus["visible_pt"] > _MIN_VISIBLE_PT)
    jet, tau = pairs_in_event(clusters.event, taus["event"][hard])
    tau = hard[tau]
    eta, phi = taus["visible_eta"][tau], taus["visible_phi"][tau]
    distance = delta_r(clusters.eta[jet], clusters.phi[jet], eta, phi)
    order = np.lexsort((-distance, jet))  # the nearest is written last
    order = order[distance[order] < _TAU_CONE]
    nearest = np.full(len(clusters), NO_TAU)
    nearest[jet[order]] = tau[order]
    return nearest
