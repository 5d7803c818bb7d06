"""Pythia in batches."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import SimulationError
from omnilearn_lab.simulation.events import EventSource, final_particles

SETTINGS = (
    "Beams:eCM=13000.",
    "PartonLevel:MPI=off",
    "WeakDoubleBoson:ffbar2gmZgmZ=on",
    "WeakZ0:gmZmode=2",
    "23:onMode=off",
    "23:onIfAny=5 12",
    "PhaseSpace:pTHatMin=300.",
)


@pytest.fixture(scope="module")
def batch():
    return EventSource(SETTINGS, 3).batch(20)


def test_final_particles_balance_in_transverse_momentum_with_the_neutrinos(batch):
    final = batch["status"] > 0
    for name in ("px", "py"):
        total = np.bincount(batch.event[final], batch[name][final], len(batch))
        assert np.abs(total).max() < 1e-3
    energy = np.bincount(batch.event[final], batch["energy"][final], len(batch))
    assert energy == pytest.approx(np.full(20, 13000.0))


def test_mothers_stay_inside_their_event(batch):
    assert np.all(batch.event[batch.mother] == batch.event)


def test_visible_particles_are_charged_and_neutral_and_ordered(batch):
    particles = final_particles(batch)
    assert np.all(np.diff(particles["event"]) >= 0)
    assert not np.isin(np.abs(particles["pid"]), (12, 14, 16)).any()
    assert np.isin(particles["charge"], (-1, 0, 1)).all()
    assert np.all(particles["charge"][particles["pid"] == 211] == 1)
    assert np.abs(np.hypot(particles["x"], particles["y"])).max() > 1  # decays in flight have their vertex


def test_excluded_particles_are_left_out(batch):
    assert not (np.abs(final_particles(batch, exclude=(22,))["pid"]) == 22).any()


def test_same_seed_gives_the_same_events_whatever_the_batches(batch):
    source = EventSource(SETTINGS, 3)
    first, second = source.batch(5), source.batch(15)
    joined = np.concatenate([first["px"], second["px"]])
    assert np.array_equal(joined, batch["px"])
    assert not np.array_equal(EventSource(SETTINGS, 4).batch(5)["px"][:20], first["px"][:20])


def test_unbiased_events_have_weight_one(batch):
    assert np.array_equal(batch.weight, np.ones(20))


def test_unknown_setting_is_named():
    with pytest.raises(SimulationError, match="'Beams:eCMM=13000.'"):
        EventSource(["Beams:eCMM=13000."], 1)


def test_settings_that_cannot_start_are_reported():
    with pytest.raises(SimulationError, match="did not start"):
        EventSource(["Beams:eCM=1.", "HardQCD:all=on"], 1)
