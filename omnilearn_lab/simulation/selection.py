"""From events to jets: the steps every dataset shares, and the selector of the plain ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnilearn_lab.jets import Jets, reduce_pid
from omnilearn_lab.simulation.cards import card
from omnilearn_lab.simulation.clustering import Clusters, cluster
from omnilearn_lab.simulation.detector import reconstruct
from omnilearn_lab.simulation.events import EventBatch, Particles, final_particles
from omnilearn_lab.simulation.recipes import JetWindow, Recipe, Sample
from omnilearn_lab.simulation.truth import contained, find_decays, hard_outgoing

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
    return (
        (clusters.pt > window.pt[0])
        & (clusters.pt < window.pt[1])
        & (eta > window.eta[0])
        & (eta < window.eta[1])
    )


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
