"""Events stay together; jet quantities go in and come back."""

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import JetsError
from omnilearn_lab.models import Batch, DijetClassifier, DijetConfig, PETConfig
from omnilearn_lab.tasks.common.classification import predict
from omnilearn_lab.tasks.search.events import (
    EventClassification,
    check_events,
    dijet_features,
    event_batch,
    event_column,
    event_rows,
    kinematics_from_features,
    select_events,
    without_labels,
)
from omnilearn_lab.training import Batches, TrainConfig, Trainer
from tests.tasks.dijet_events import dijets


def test_features_and_their_inverse():
    jets = dijets()
    found = kinematics_from_features(dijet_features(jets))
    for name in ("pt", "eta", "phi", "mass", "multiplicity"):
        np.testing.assert_allclose(found[name], jets.jet[name], rtol=1e-3, atol=1e-3)


def test_azimuth_at_the_seam_stays_finite():
    jets = dijets(1).with_jet(phi=[np.pi, -np.pi])
    assert np.isfinite(dijet_features(jets)).all()


def test_events_are_selected_whole():
    jets = dijets(6)
    chosen = select_events(jets, np.array([4, 1]))
    assert chosen.jet["event"].tolist() == [4, 4, 1, 1]
    assert event_column(chosen, "dijet_mass").tolist() == jets.jet["dijet_mass"][[8, 2]].tolist()
    assert event_rows(np.array([2, 0]), 2).tolist() == [4, 5, 0, 1]


def test_broken_events_are_named():
    jets = dijets(4)
    with pytest.raises(JetsError, match="7 jets, which do not form events of 2"):
        check_events(jets[:7], 2, "data")
    with pytest.raises(JetsError, match="rows 0 to 1 of data belong to different events"):
        check_events(jets[1:7], 2, "data")
    with pytest.raises(JetsError, match="no column 'mjj'"):
        event_column(jets, "mjj")


def test_every_event_comes_once_an_epoch_with_both_jets():
    batches = Batches(event_batch(dijets(10)), 5, seed=3, jets_per_event=2)
    rows = np.concatenate([batches.rows(step) for step in range(batches.steps_per_epoch)])
    assert sorted(rows) == list(range(20)) and batches.steps_per_epoch == 2
    assert (rows[::2] % 2 == 0).all() and (rows[1::2] == rows[::2] + 1).all()
    assert not np.array_equal(batches.rows(0), batches.rows(2))


def test_loss_is_the_weighted_mean_over_events():
    jets = event_batch(dijets(6))
    weight = torch.tensor([1.0, 0, 2, 0, 3, 1]).repeat_interleave(2)
    label = torch.tensor([1, 0, 0, 1, 1, 0]).repeat_interleave(2)
    pet = PETConfig(width=8, n_layers=1, n_heads=2, n_jet_features=5, n_classes=1)
    model = DijetClassifier(DijetConfig(pet, n_jet_layers=1)).eval()
    batch = jets.replace(label=label, weight=weight)
    logit = model.classify(batch).logits[:, 0]
    sign = torch.tensor([1.0, -1, -1, 1, 1, -1])
    by_hand = (torch.nn.functional.softplus(-sign * logit) * weight[::2]).sum() / 7
    torch.testing.assert_close(EventClassification()(model, batch)["loss"], by_hand)


def test_events_of_three_jets_stay_together():
    jets = event_batch(dijets(60)).replace(label=torch.arange(120) // 3 % 2, weight=torch.ones(120))
    pet = PETConfig(width=8, n_layers=1, n_heads=2, n_jet_features=5, n_classes=1)
    model = DijetClassifier(DijetConfig(pet, n_jets=3, n_jet_layers=1))
    config = TrainConfig(epochs=1, batch_size=4, validations_per_epoch=1)
    batches = Batches(jets, 4, jets_per_event=3)
    assert len(Trainer(model, EventClassification(3), batches, jets, config).fit()) == 3
    many = Batch.stack([jets] * 3)
    assert predict(model, many).shape == (120, 2)


def test_single_jets_keep_the_four_quantities_of_pet():
    jets = dijets(3)
    assert event_batch(jets, jets_per_event=1).jet.shape == (6, 4)
    assert event_batch(jets).jet.shape == (6, 5)
    assert "label" not in without_labels(jets).jet and event_batch(jets).label is None


def test_not_a_number_cannot_enter():
    with pytest.raises(JetsError, match="'dijet_mass' is not finite at row 3"):
        dijets(3).with_jet(dijet_mass=[1, 1, 1, np.nan, 1, 1])
