import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.features import STANDARDIZATIONS, jet_features, particle_features, pet_batch, pet_v2_batch
from omnilearn_lab.jets import Jets, index_from_pid
from omnilearn_lab.training import select

from tests.conftest import random_jets


def one_jet(**changes):
    particles = {
        "deta": [0.3, -0.1],
        "dphi": [0.4, 0.0],
        "pt": [60.0, 40.0],
        "energy": [80.0, 50.0],
        "pid": [-211, 22],
    }
    jet = {"pt": [99.0], "eta": [1.0], "phi": [0.0], "mass": [30.0]}
    return Jets.build(particles | changes, [0, 2], jet)


def test_columns_by_hand():
    rows = particle_features(one_jet())
    jet_energy = np.sqrt((99 * np.cosh(1.0)) ** 2 + 30**2)
    expected = [
        0.3,
        0.4,
        np.log(1e-6 + 1 - 60 / 99),
        np.log(60),
        np.log(1e-6 + 1 - 80 / jet_energy),
        np.log(80),
        0.5,
    ]
    np.testing.assert_allclose(rows[0, :7], expected, rtol=1e-5)
    assert rows[0, 7:].tolist() == [-1, 1, 0, 0, 0, 0]
    assert rows[1, 7:].tolist() == [0, 0, 0, 1, 0, 0]
    assert jet_features(one_jet()).tolist() == [[99, 1, 30, 2]]


def test_species_can_be_hidden():
    assert not particle_features(one_jet(), use_pid=False)[:, 7:].any()


def test_particle_with_more_than_the_jet_stays_finite():
    rows = particle_features(one_jet(pt=[120.0, 40.0], energy=[500.0, 50.0]))
    assert np.isfinite(rows).all()
    assert rows[0, 2] == pytest.approx(np.log(1e-6))


def test_charge_without_species():
    jets = random_jets(3)
    bare = {k: v for k, v in jets.particles.items() if k != "pid"}
    rows = particle_features(Jets(bare, jets.offsets, jets.jet))
    np.testing.assert_array_equal(rows[:, 7], jets.particles["charge"])
    assert not rows[:, 8:].any()


def test_batch_is_standardised():
    jets = random_jets(20)
    batch = pet_batch(jets)
    scale = STANDARDIZATIONS["jetclass"]
    back = batch.features[:, 3].numpy() * scale.particle_std[3] + scale.particle_mean[3]
    np.testing.assert_allclose(back, np.log(jets.particles["pt"]), atol=1e-5)
    np.testing.assert_array_equal(batch.label, jets.label)
    assert torch.equal(batch.points, batch.features[:, :2])


def test_unknown_standardisation_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'jetclass'"):
        pet_batch(random_jets(2), standardization="jetclas")


def test_v2_inputs_by_hand():
    jets = random_jets(4)
    batch = pet_v2_batch(jets, use_extra=True)
    np.testing.assert_allclose(batch.features[:, 2], np.log(jets.particles["pt"]), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(batch.pid, index_from_pid(jets.particles["pid"]))
    np.testing.assert_allclose(batch.extra[:, 0], np.tanh(jets.particles["d0"]), rtol=1e-6)
    np.testing.assert_allclose(batch.condition[:, 3], jets.jet["multiplicity"] / 100, rtol=1e-6)


def test_v2_extra_needs_impact_parameters():
    with pytest.raises(JetsError, match="d0"):
        pet_v2_batch(one_jet(), use_extra=True)


def test_selection_keeps_every_column():
    batch = pet_v2_batch(random_jets(6), use_extra=True)
    chosen = select(batch, torch.tensor([4, 1]))
    first, last = int(batch.offsets[4]), int(batch.offsets[5])
    for name in ("features", "pid", "extra"):
        assert torch.equal(getattr(chosen, name)[: last - first], getattr(batch, name)[first:last])
    assert torch.equal(chosen.condition, batch.condition[[4, 1]])
