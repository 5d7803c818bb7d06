"""Selectors of the datasets with a rule of their own, and the table of all selectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from omnilearn_lab.jets.columns import jet_kinematics, momenta_from_eta
from omnilearn_lab.simulation.cards import card
from omnilearn_lab.simulation.detector import reconstruct
from omnilearn_lab.simulation.events import (
    Clusters,
    EventBatch,
    delta_r,
    direction,
    final_particles,
    hard_outgoing,
    pairs_in_event,
)
from omnilearn_lab.simulation.recipes import Recipe, Sample
from omnilearn_lab.simulation.selection import (
    Selected,
    between,
    build_jets,
    find_jets,
    in_window,
    jet_columns,
    make_jets,
    observe,
    select_flavour_jets,
    select_jets,
    select_taus,
)

_PARTONS = (1, 2, 3, 4, 5, 21)
_LIGHT, _GLUON = (1, 2, 3), 21
_Z, _Z_MIN_PT = 23, 200.0  # [GeV]
_DIJET_MIN_PT = 20.0  # of the second jet [GeV]
_POSITRON, _E_BEAM = -11, 27.6  # [GeV]
_DIS_Q2, _DIS_Y = 150.0, (0.08, 0.7)
_DIS_ETA, _DIS_PT = (-1.5, 2.75), 0.1


def select_parton_jets(
    recipe: Recipe, sample: Sample, batch: EventBatch, rng: np.random.Generator
) -> Selected:
    """Label the two hardest jets by the nearest outgoing parton: gluon, or u, d, s quark; drop c and b.

    The classes of the recipe must be (gluon, quark).
    """
    objects = observe(recipe, final_particles(batch), rng)
    clusters = find_jets(recipe, objects)
    flavour = _nearest_parton(clusters, batch, recipe.window.radius)
    known = np.isin(flavour, (*_LIGHT, _GLUON))
    rows = np.flatnonzero(in_window(recipe.window, clusters) & (clusters.rank < sample.max_jets) & known)
    columns = jet_columns(recipe, sample, batch, clusters.event[rows])
    columns["label"] = np.where(flavour[rows] == _GLUON, 0, 1)
    return build_jets(recipe, objects, clusters, rows, columns)


def _nearest_parton(clusters: Clusters, batch: EventBatch, radius: float) -> np.ndarray:
    """Absolute code of the parton nearest to each jet axis, 0 when none is within the radius."""
    partons = hard_outgoing(batch, _PARTONS)
    eta, phi = direction(batch, partons)
    jet, parton = pairs_in_event(clusters.event, batch.event[partons])
    distance = delta_r(clusters.eta[jet], clusters.phi[jet], eta[parton], phi[parton])
    order = np.lexsort((distance, jet))
    order = order[distance[order] < radius]
    found, first = np.unique(jet[order], return_index=True)
    flavour = np.zeros(len(clusters), dtype=np.int64)
    flavour[found] = np.abs(batch["id"][partons[parton[order[first]]]])
    return flavour


def select_z_jets(recipe: Recipe, sample: Sample, batch: EventBatch, rng: np.random.Generator) -> Selected:
    """Pair the hardest jet before and after the detector in events with a stable Z of pt > 200 GeV."""
    z = np.flatnonzero((batch["id"] == _Z) & (batch["status"] > 0))
    z = z[np.hypot(batch["px"][z], batch["py"][z]) > _Z_MIN_PT]
    particles = final_particles(batch, exclude=(_Z,))
    particles = particles.select(np.isin(particles["event"], batch.event[z]))
    impact = recipe.impact_parameters
    levels = {
        "detector": reconstruct(particles, card(recipe.detector), rng, impact_parameters=impact),
        "truth": particles,
    }
    found = {level: find_jets(recipe, objects) for level, objects in levels.items()}
    rows = {level: np.flatnonzero(in_window(recipe.window, c) & (c.rank == 0)) for level, c in found.items()}
    common = np.intersect1d(*(found[level].event[rows[level]] for level in found))
    columns = jet_columns(recipe, sample, batch, common) | _z_columns(batch, z, common)
    if not len(common):
        return {}
    mine = {level: at[np.isin(found[level].event[at], common)] for level, at in rows.items()}
    return {n: make_jets(recipe, levels[n], found[n], mine[n], columns) for n in levels}


def _z_columns(batch: EventBatch, z: np.ndarray, events: np.ndarray) -> dict[str, np.ndarray]:
    event, first = np.unique(batch.event[z], return_index=True)
    chosen = z[first][np.searchsorted(event, events)]
    eta, phi = direction(batch, chosen)
    return {"z_pt": np.hypot(batch["px"][chosen], batch["py"][chosen]), "z_eta": eta, "z_phi": phi}


def select_dijets(recipe: Recipe, sample: Sample, batch: EventBatch, rng: np.random.Generator) -> Selected:
    """Keep both leading jets of events whose hardest jet is in the window: rows 2i and 2i + 1 are one event.

    Adds ``dijet_mass`` [GeV].
    """
    objects = observe(recipe, final_particles(batch), rng)
    clusters = find_jets(recipe, objects, min_pt=_DIJET_MIN_PT)
    first = np.flatnonzero((clusters.rank == 0) & in_window(recipe.window, clusters))
    first = first[np.isin(clusters.event[first], clusters.event[clusters.rank == 1])]
    wide = replace(recipe.window, pt=(_DIJET_MIN_PT, np.inf))
    first = first[in_window(wide, clusters)[first + 1]]
    rows = np.stack([first, first + 1], axis=1).ravel()
    columns = jet_columns(recipe, sample, batch, clusters.event[rows])
    columns["dijet_mass"] = np.repeat(_dijet_mass(clusters, first), 2)
    return build_jets(recipe, objects, clusters, rows, columns)


def _dijet_mass(clusters: Clusters, first: np.ndarray) -> np.ndarray:
    pair = np.stack([first, first + 1])
    momenta = momenta_from_eta(*(getattr(clusters, name)[pair] for name in ("pt", "eta", "phi", "mass")))
    return jet_kinematics(np.stack([values.sum(axis=0) for values in momenta.values()], axis=1))["mass"]


def select_dis(recipe: Recipe, sample: Sample, batch: EventBatch, rng: np.random.Generator) -> Selected:
    """Choose the hardest jet of deep-inelastic events by the scattered positron's Q^2 and y.

    Q^2 = 2 E_e (E' + p_z'), y = 1 - (E' - p_z') / (2 E_e), the proton along +z.
    """
    positron = hardest_positron(batch)
    energy, pz = batch["energy"][positron], batch["pz"][positron]
    q2, y = 2 * _E_BEAM * (energy + pz), 1 - (energy - pz) / (2 * _E_BEAM)
    passed = (q2 > _DIS_Q2) & between(y, _DIS_Y)
    particles = final_particles(batch)
    inside = between(particles.eta, _DIS_ETA) & (particles.pt > _DIS_PT)
    good_event = np.isin(particles["event"], batch.event[positron[passed]])
    particles = particles.select(inside & good_event & ~np.isin(particles["index"], positron))
    clusters = find_jets(recipe, particles)
    rows = np.flatnonzero(in_window(recipe.window, clusters) & (clusters.rank == 0))
    columns = jet_columns(recipe, sample, batch, clusters.event[rows])
    at = np.searchsorted(batch.event[positron], columns["event"])
    columns |= {"q2": q2[at], "inelasticity": y[at]}
    return build_jets(recipe, particles, clusters, rows, columns)


def hardest_positron(batch: EventBatch) -> np.ndarray:
    """Entry of the final positron of largest pt in every event that has one."""
    rows = np.flatnonzero((batch["id"] == _POSITRON) & (batch["status"] > 0))
    pt = np.hypot(batch["px"][rows], batch["py"][rows])
    rows = rows[np.lexsort((-pt, batch.event[rows]))]
    return rows[np.unique(batch.event[rows], return_index=True)[1]]


Selector = Callable[[Recipe, Sample, EventBatch, np.random.Generator], Selected]
SELECTORS: Mapping[str, Selector] = MappingProxyType(
    {
        "jets": select_jets,
        "parton_jets": select_parton_jets,
        "z_jets": select_z_jets,
        "dijets": select_dijets,
        "dis": select_dis,
        "flavour_jets": select_flavour_jets,
        "taus": select_taus,
    }
)
"""Selectors by the name used in recipes."""
