"""The Breit frame: kinematics by definition, invariants kept, events of the right shape."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.tasks.unfolding.breit import (
    BREIT_EDGES,
    breit_observables,
    dis_kinematics,
    simulate_dis,
    to_breit_frame,
    unfold_dis,
)
from omnilearn_lab.training import TrainConfig

FAST = TrainConfig(epochs=0.5, batch_size=32, learning_rate=1e-3, validations_per_epoch=1)
LEPTON_BEAM, PROTON = np.array([[0, 0, -27.6, 27.6]]), np.array([[0, 0, 920.0, 920.0]])


def leptons(n=50, seed=0):
    rng = np.random.default_rng(seed)
    q2, y, phi = rng.uniform(150, 2000, n), rng.uniform(0.1, 0.6, n), rng.uniform(-np.pi, np.pi, n)
    plus, minus = q2 / 55.2, 55.2 * (1 - y)
    pt = np.sqrt(plus * minus)
    px, py = pt * np.cos(phi), pt * np.sin(phi)
    return np.stack([px, py, (plus - minus) / 2, (plus + minus) / 2], axis=1), q2, y


def dot(a, b):
    return a[:, 3] * b[:, 3] - (a[:, :3] * b[:, :3]).sum(axis=1)


def test_kinematics_invert_their_definition():
    lepton, q2, y = leptons()
    found = dis_kinematics(lepton)
    np.testing.assert_allclose(found["q2"], q2)
    np.testing.assert_allclose(found["y"], y)
    boson = LEPTON_BEAM - lepton
    np.testing.assert_allclose(-dot(boson, boson), q2)
    np.testing.assert_allclose(found["x"], q2 / (2 * dot(np.broadcast_to(PROTON, boson.shape), boson)))


def test_boson_and_proton_are_where_they_should_be():
    lepton, q2, _ = leptons()
    boson = to_breit_frame(LEPTON_BEAM - lepton, lepton)
    np.testing.assert_allclose(boson[:, [0, 1, 3]], 0, atol=1e-7)
    np.testing.assert_allclose(boson[:, 2], -np.sqrt(q2))
    proton = to_breit_frame(np.broadcast_to(PROTON, lepton.shape), lepton)
    np.testing.assert_allclose(proton[:, :2], 0, atol=1e-6)
    assert (proton[:, 2] > 0).all()


def test_products_of_momenta_are_kept():
    lepton, *_ = leptons()
    rng = np.random.default_rng(1)
    a, b = (rng.normal(size=(50, 4)) * 5 + [0, 0, 0, 20] for _ in range(2))
    np.testing.assert_allclose(
        dot(to_breit_frame(a, lepton), to_breit_frame(b, lepton)), dot(a, b), rtol=1e-8, atol=1e-6
    )


def test_a_single_struck_quark_has_no_jets_and_no_thrust():
    lepton, *_ = leptons(20)
    x = dis_kinematics(lepton)["x"][:, None]
    quark = x * PROTON + LEPTON_BEAM - lepton
    jet = dict(zip(("lepton_px", "lepton_py", "lepton_pz", "lepton_energy"), lepton.T, strict=True))
    found = breit_observables(Jets.from_four_momenta(quark, np.arange(21), jet=jet))
    assert (found["Breit jets"] == 0).all()
    assert np.isnan(found["Breit jet pT [GeV]"]).all()
    np.testing.assert_allclose(found["Breit thrust"], 0, atol=0.01)  # jets are kept in single precision


def test_simulated_events():
    events = simulate_dis("rapgap_like", 60, seed=3)
    truth, detector = events.truth, events.detector
    assert len(truth) == len(detector) == 60
    q2 = dis_kinematics(np.stack([truth.jet[f"lepton_{n}"] for n in ("px", "py", "pz", "energy")], axis=1))[
        "q2"
    ]
    assert (q2 > 149).all()
    # hadrons balance the lepton, but for what leaves the acceptance
    assert np.corrcoef(truth.jet["pt"], np.hypot(truth.jet["lepton_px"], truth.jet["lepton_py"]))[0, 1] > 0.8
    assert 0.9 < np.median(detector.jet["pt"] / truth.jet["pt"]) < 1.05
    observables = breit_observables(truth)
    assert list(observables) == list(BREIT_EDGES)
    assert 0 < np.mean(observables["Breit jets"] > 0) < 1
    again = simulate_dis("rapgap_like", 60, seed=3)
    np.testing.assert_array_equal(again.detector.particles["pt"], detector.particles["pt"])


def test_bad_requests():
    with pytest.raises(ConfigError, match="did you mean 'rapgap_like'"):
        simulate_dis("rapgap", 5)
    with pytest.raises(JetsError, match="scattered lepton"):
        breit_observables(Jets.from_four_momenta([[1.0, 0, 0, 1.0]], [0, 1]))


def test_breit_frame_study():
    study = unfold_dis(80, FAST, n_iterations=1)
    assert len(study.result) == 80
    assert set(study.distances()) == set(study.truth) == set(BREIT_EDGES)
    assert list(study.table().columns) == ["before", "unfolded", "floor"]
    undefined = study.undefined()
    assert undefined["Breit jets"] == 0 < undefined["Breit jet pT [GeV]"] < 1
