"""Jets for the reconstruction of hadronic taus: tau or jet, visible momentum, decay mode."""

from __future__ import annotations

import numpy as np

from omnilearn_lab.simulation.clustering import Clusters
from omnilearn_lab.simulation.events import NEUTRINOS, EventBatch, final_particles
from omnilearn_lab.simulation.recipes import Recipe, Sample
from omnilearn_lab.simulation.selection import (
    Selected,
    build_jets,
    find_jets,
    in_window,
    jet_columns,
    observe,
)
from omnilearn_lab.simulation.truth import delta_r, pairs_in_event

_TAU, _PION0 = 15, 111
_LEPTONS = (11, 13)
_CONE, _MIN_VISIBLE_PT = 0.2, 15.0  # [GeV]
_GENERATIONS = 25
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
    wanted = nearest >= 0 if sample.class_name == "tau" else ~_is_near_any_tau(clusters, batch)
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
    visible = {
        name: np.bincount(slot, batch[name][product], len(last)) for name in ("px", "py", "pz", "energy")
    }
    hadronic = (count["leptons"] == 0) & (count["prongs"] > 0)
    prongs, pions = count["prongs"], count["pions"]
    most = np.where(prongs == 3, 1, 2)
    simple = np.isin(prongs, (1, 3)) & (count["all"] == prongs + pions)
    mode = np.where(simple, 5 * (prongs - 1) + np.minimum(pions, most), _OTHER)
    pt = np.hypot(visible["px"], visible["py"])
    mass2 = visible["energy"] ** 2 - pt**2 - visible["pz"] ** 2
    columns = {
        "event": batch.event[last],
        "decay_mode": mode,
        "visible_pt": pt,
        "visible_eta": np.arcsinh(visible["pz"] / np.maximum(pt, 1e-12)),
        "visible_phi": np.arctan2(visible["py"], visible["px"]),
        "visible_mass": np.sqrt(np.maximum(mass2, 0)),
    }
    return {name: values[hadronic] for name, values in columns.items()}


def _last_taus(batch: EventBatch) -> np.ndarray:
    """Entries of taus that decay: copies that hand on to another tau are left out."""
    taus = np.flatnonzero((np.abs(batch["id"]) == _TAU) & (batch["status"] < 0))
    hands_on = np.zeros(len(batch["id"]), dtype=bool)
    hands_on[batch.mother[taus]] = True
    return taus[~hands_on[taus]]


def _nearest_tau(clusters: Clusters, taus: dict[str, np.ndarray]) -> np.ndarray:
    """Position of the nearest hard tau within the cone, -1 where there is none."""
    hard = np.flatnonzero(taus["visible_pt"] > _MIN_VISIBLE_PT)
    jet, tau = pairs_in_event(clusters.event, taus["event"][hard])
    tau = hard[tau]
    eta, phi = taus["visible_eta"][tau], taus["visible_phi"][tau]
    distance = delta_r(clusters.eta[jet], clusters.phi[jet], eta, phi)
    order = np.lexsort((-distance, jet))  # the nearest is written last
    order = order[distance[order] < _CONE]
    nearest = np.full(len(clusters), NO_TAU)
    nearest[jet[order]] = tau[order]
    return nearest


def _is_near_any_tau(clusters: Clusters, batch: EventBatch) -> np.ndarray:
    taus = _last_taus(batch)
    px, py, pz = (batch[name][taus] for name in ("px", "py", "pz"))
    eta, phi = np.arcsinh(pz / np.maximum(np.hypot(px, py), 1e-12)), np.arctan2(py, px)
    jet, tau = pairs_in_event(clusters.event, batch.event[taus])
    near = delta_r(clusters.eta[jet], clusters.phi[jet], eta[tau], phi[tau]) < 2 * _CONE
    found = np.zeros(len(clusters), dtype=bool)
    found[jet[near]] = True
    return found
