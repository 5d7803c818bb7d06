"""Flat particles of many events."""

from __future__ import annotations

import numpy as np
from omnilearn_lab.simulation.particles import Particles


def test_offsets_count_events_without_particles():
    particles = Particles({"event": np.array([1, 1, 3])}, 5)
    assert particles.offsets.tolist() == [0, 0, 2, 2, 3, 3]


def test_select_keeps_the_number_of_events():
    particles = Particles({"event": np.array([0, 1]), "px": np.array([1.0, 2.0])}, 3)
    chosen = particles.select(np.array([False, True]))
    assert chosen.n_events == 3 and chosen["px"].tolist() == [2.0] and len(chosen) == 1


def test_pseudorapidity_along_the_beam_is_infinite():
    columns = {"event": np.zeros(1, int), "px": np.zeros(1), "py": np.zeros(1), "pz": np.array([-3.0])}
    assert Particles(columns, 1).eta[0] == -np.inf
