"""Hadronic taus: decay modes and visible momenta by hand, branching fractions, jets around them."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.simulation import recipe, simulate
from omnilearn_lab.simulation.events import EventSource
from omnilearn_lab.simulation.taus import hadronic_taus

from tests.simulation.helpers import record

HADRONIC = 0.648  # of all tau decays (Particle Data Group)
MODES = {0: 0.115, 1: 0.259, 2: 0.108, 10: 0.098, 11: 0.048}  # branching fractions, kaons included
N_EVENTS = 1000  # of two taus


def with_charge(batch):
    charges = {211: 1.0, -211: -1.0, 321: 1.0}
    batch.entries["charge"] = np.array([charges.get(code, 0.0) for code in batch["id"]])
    return batch


@pytest.mark.parametrize(
    ("products", "mode"),
    [
        ([211], 0),
        ([211, 111], 1),
        ([321, 111, 111, 111], 2),
        ([211, 211, -211], 10),
        ([211, 211, -211, 111, 111], 11),
        ([211, 311], 20),
    ],
)
def test_decay_mode_and_visible_momentum_by_hand(products, mode):
    """A tau that hands on to its last copy, which decays to a neutrino and the products."""
    rows = [(15, -23, 0, 50.0, 0.0, 9.0), (15, -51, 1, 50.0, 0.0, 9.0), (16, 91, 2, 20.0, 0.0, 3.0)]
    rows += [(code, 91, 2, 30.0 / len(products), 1.0, 6.0 / len(products)) for code in products]
    taus = hadronic_taus(with_charge(record(rows)))
    assert taus["decay_mode"].tolist() == [mode]
    assert taus["visible_pt"][0] == pytest.approx(np.hypot(30.0, len(products)))
    assert taus["visible_eta"][0] == pytest.approx(np.arcsinh(6.0 / taus["visible_pt"][0]))


def test_leptonic_decays_are_left_out():
    rows = [(15, -23, 0, 50.0, 0.0, 9.0), (16, 91, 1, 20.0, 0.0, 3.0), (11, 91, 1, 20.0, 0.0, 3.0)]
    assert not len(hadronic_taus(with_charge(record(rows)))["event"])


def test_decay_modes_have_the_known_branching_fractions():
    chosen = recipe("hadronic_taus")
    bare = ("PartonLevel:ISR=off", "PartonLevel:FSR=off")  # the decay of a tau does not depend on them
    settings = (*chosen.settings, *chosen.active.settings, *chosen.samples[0].settings, *bare)
    taus = hadronic_taus(EventSource(settings, 3).batch(N_EVENTS))
    n_all = 2 * N_EVENTS
    counts = {mode: np.count_nonzero(taus["decay_mode"] == mode) for mode in MODES}
    for mode, expected in MODES.items():
        error = np.sqrt(expected * (1 - expected) / n_all)
        assert counts[mode] / n_all == pytest.approx(expected, abs=5 * error), mode
    error = np.sqrt(HADRONIC * (1 - HADRONIC) / n_all)
    assert len(taus["event"]) / n_all == pytest.approx(HADRONIC, abs=5 * error)
    assert taus["visible_mass"].max() < 1.777 + 1e-3
    assert np.median(taus["visible_mass"][taus["decay_mode"] == 1]) == pytest.approx(0.77, abs=0.06)  # rho
    assert taus["visible_mass"][taus["decay_mode"] == 0].max() < 0.5  # a pion or a kaon


@pytest.fixture(scope="module")
def jets():
    return simulate("hadronic_taus", 400, workers=1, progress=False, seed=2)


def test_jets_carry_what_a_regression_aims_at(jets):
    is_tau = jets.label == 1
    assert jets.class_names == ("jet", "tau") and is_tau.sum() == 200
    assert set(np.unique(jets.jet["decay_mode"][is_tau])) <= {0, 1, 2, 10, 11, 20}
    assert (jets.jet["decay_mode"][~is_tau] == -1).all() and not jets.jet["visible_pt"][~is_tau].any()
    response = jets.jet["pt"][is_tau] / jets.jet["visible_pt"][is_tau]
    assert np.median(response) == pytest.approx(1.0, abs=0.06) and 0.05 < response.std() < 0.6
    assert np.abs(jets.jet["eta"] - jets.jet["visible_eta"])[is_tau].max() < 0.2


def test_taus_are_narrow_and_poor(jets):
    is_tau = jets.label == 1
    assert jets.counts[is_tau].mean() < 0.7 * jets.counts[~is_tau].mean()
    charged = np.add.reduceat((jets.particles["charge"] != 0).astype(float), jets.offsets[:-1])
    one_prong = is_tau & np.isin(jets.jet["decay_mode"], (0, 1, 2))
    three_prong = is_tau & np.isin(jets.jet["decay_mode"], (10, 11))
    assert np.median(charged[one_prong]) == 1 and np.median(charged[three_prong]) == 3
