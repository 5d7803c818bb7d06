"""Events and their jets."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from omnilearn_lab.errors import SimulationError
from omnilearn_lab.simulation.events import (
    Clusters,
    EventSource,
    Particles,
    cluster,
    contained,
    delta_r,
    final_particles,
    find_decays,
    hard_outgoing,
    pairs_in_event,
    quiet_stdout,
)

from tests.simulation.helpers import record

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


def particles(rows, n_events):
    """Massless particles from (event, pt, eta, phi) rows."""
    event, pt, eta, phi = np.array(rows, dtype=float).T
    columns = {"event": event.astype(int), "px": pt * np.cos(phi), "py": pt * np.sin(phi)}
    columns |= {"pz": pt * np.sinh(eta), "energy": pt * np.cosh(eta)}
    return Particles(columns, n_events)


def test_two_jets_by_hand_sorted_by_pt_with_an_empty_event_between():
    found = cluster(
        particles([(0, 20, 1.0, 2.0), (0, 90, 0.0, 0.0), (0, 10, 0.1, 0.1), (2, 50, -1, 3)], 3), 0.4, min_pt=5
    )
    assert found.event.tolist() == [0, 0, 2] and found.rank.tolist() == [0, 1, 0]
    assert found.pt[0] == pytest.approx(np.hypot(90 + 10 * np.cos(0.1), 10 * np.sin(0.1)))
    assert [sorted(found.members(np.array([i]))[0].tolist()) for i in range(3)] == [[1, 2], [0], [3]]
    assert found.mass[0] == pytest.approx(np.sqrt(2 * 90 * 10 * (np.cosh(0.1) - np.cos(0.1))))
    assert found.mass[1] == pytest.approx(0, abs=1e-3)


def test_no_jet_above_threshold():
    found = cluster(particles([(0, 20, 0, 0), (1, 30, 0, 0)], 2), 0.4, min_pt=50)
    assert len(found) == 0 and found.offsets.tolist() == [0]


def test_no_particles():
    empty = particles([(0, 20, 0, 0)], 2).select(np.zeros(1, dtype=bool))
    assert len(cluster(empty, 0.4)) == 0


def test_members_follow_the_order_asked_for():
    found = cluster(particles([(0, 20, 1.0, 2.0), (0, 90, 0.0, 0.0)], 1), 0.4)
    members, offsets = found.members(np.array([1, 0]))
    assert members.tolist() == [0, 1] and offsets.tolist() == [0, 1, 2]


def test_rapidity_differs_from_pseudorapidity_for_massive_jets():
    found = cluster(particles([(0, 50, 1.0, 0.3), (0, 50, 1.0, -0.3)], 1), 1.0)
    assert abs(found.rapidity[0]) < abs(found.eta[0])


def test_unknown_algorithm_names_the_nearest():
    with pytest.raises(SimulationError, match="did you mean 'antikt'"):
        cluster(particles([(0, 20, 0, 0)], 1), 0.4, algorithm="anti-kt")


RESONANCES = (6, 23, 24, 25)
# top (1, copy 2) -> W (3, copy 4) b (5); W -> u (6) d (7); Z (8) -> nu nu (9, 10)
TOP = [
    (6, -22, 0, 500.0, 0.0, 0.0),
    (6, -62, 1, 500.0, 10.0, 0.0),
    (24, -22, 2, 350.0, 0.0, 0.0),
    (24, -52, 3, 350.0, 5.0, 0.0),
    (5, -23, 2, 150.0, 30.0, 0.0),
    (2, -23, 4, 200.0, -60.0, 0.0),
    (-1, -23, 4, 150.0, 55.0, 40.0),
    (23, -22, 0, -500.0, 0.0, 0.0),
    (12, -23, 8, -250.0, 10.0, 0.0),
    (-12, -23, 8, -250.0, -10.0, 0.0),
    (21, -23, 0, 10.0, 200.0, 0.0),
]


def jets(phi, *, event=(0,)):
    n = len(phi)
    zero = np.zeros(n)
    return Clusters(
        np.array(event),
        np.arange(n),
        zero,
        zero,
        zero,
        np.array(phi),
        zero,
        np.zeros(n + 1, int),
        np.zeros(0, int),
    )


def test_all_products_of_a_top_share_its_root_and_neutrinos_do_not_count():
    decays = find_decays(record(TOP), RESONANCES)
    assert decays.root.tolist() == [1, 1, 1]


def test_without_the_top_among_the_resonances_the_w_is_the_root():
    decays = find_decays(record(TOP), (24,))
    assert decays.root.tolist() == [3, 3]


def test_jet_around_the_top_holds_it_and_the_opposite_one_does_not():
    decays = find_decays(record(TOP), RESONANCES)
    found = contained(jets([0.0, np.pi, 0.6], event=(0, 0, 0)), decays, 0.8)
    assert found.tolist() == [True, False, False]


def test_a_smaller_cone_loses_a_product():
    decays = find_decays(record(TOP), RESONANCES)
    assert contained(jets([0.0]), decays, 0.3).tolist() == [False]


def test_one_of_two_resonances_is_enough():
    rows = [
        *((24, -22, 0, 300.0, 0.0, 0.0), (1, -23, 1, 150.0, 20.0, 0.0), (-2, -23, 1, 150.0, -20.0, 0.0)),
        *((24, -22, 0, -300.0, 0.0, 0.0), (3, -23, 4, -150.0, 20.0, 0.0), (-4, -23, 4, 0.0, 150.0, 0.0)),
    ]
    decays = find_decays(record(rows), RESONANCES)
    assert decays.root.tolist() == [1, 1, 4, 4]
    assert contained(jets([0.0, np.pi], event=(0, 0)), decays, 0.8).tolist() == [True, False]


def test_no_decays_no_match():
    decays = find_decays(record(TOP[-1:]), RESONANCES)
    assert len(decays.event) == 0 and not contained(jets([0.0]), decays, 0.8).any()


def test_hard_outgoing_finds_the_gluon():
    assert hard_outgoing(record(TOP), (21,)).tolist() == [11]


@pytest.mark.parametrize(("phi1", "phi2", "expected"), [(3.0, -3.0, 2 * np.pi - 6), (0.0, np.pi, np.pi)])
def test_delta_r_wraps(phi1, phi2, expected):
    assert delta_r(0.0, phi1, 0.0, phi2) == pytest.approx(expected)


def test_pairs_of_events_without_partner_are_none():
    left, right = pairs_in_event(np.array([1, 5]), np.array([0, 1, 1, 4]))
    assert left.tolist() == [0, 0] and right.tolist() == [1, 2]
