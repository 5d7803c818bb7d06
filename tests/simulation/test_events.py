"""Events from Pythia, particles, and silence."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from omnilearn_lab.errors import SimulationError
from omnilearn_lab.simulation.events import EventSource, Particles, final_particles, quiet_stdout

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


def test_output_of_c_code_is_dropped_and_python_text_kept(capfd):
    os.write(1, b"before ")
    with quiet_stdout():
        os.write(1, b"banner ")
    os.write(1, b"after")
    assert capfd.readouterr().out == "before after"


def test_threads_do_not_leave_standard_output_closed(capfd):
    def hold(seconds):
        with quiet_stdout():
            time.sleep(seconds)

    threads = [threading.Thread(target=hold, args=(s,)) for s in (0.02, 0.06, 0.03)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(1, b"still here")
    assert capfd.readouterr().out == "still here"


def test_a_simulation_writes_nothing_to_standard_output():
    code = "from omnilearn_lab.simulation import simulate; simulate('h1_dis', 4, workers=1, progress=False)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "" and done.stderr == ""
