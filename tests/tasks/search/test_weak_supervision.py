"""Weak supervision: nobody judges what it has seen, a signal is found, bad input is named."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, DataFileError, JetsError, MetricError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import roc
from omnilearn_lab.models import PET, PETConfig, save_checkpoint
from omnilearn_lab.tasks.search.events import EventNetwork, EventTraining, embed_events, event_column
from omnilearn_lab.tasks.search.weak_supervision import (
    WeakSupervisionConfig,
    WeakSupervisionResult,
    weak_supervision,
    weak_supervision_of_rows,
)
from omnilearn_lab.training import History, TrainConfig
from tests.tasks.dijet_events import dijets


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A very small network, so that the tests are fast."""
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(PET(PETConfig(width=16, n_layers=1, n_heads=2, n_classes=3)), path, card={})
    return EventNetwork(like=str(path), n_jet_layers=1)


def config(network, epochs=1, folds=2, **changes):
    training = TrainConfig(
        epochs=epochs, batch_size=20, learning_rate=2e-3, validations_per_epoch=1, **changes
    )
    return WeakSupervisionConfig(network, n_folds=folds, training=training)


@pytest.fixture(scope="module")
def found(network):
    """A fifth of the data is a signal that a network can see."""
    data = Jets.concatenate([dijets(120, seed=1), dijets(30, seed=2, wide=0.2, label=1)])
    test = Jets.concatenate([dijets(40, seed=3), dijets(40, seed=4, wide=0.2, label=1)])
    result = weak_supervision(data, dijets(150, seed=5), config(network, epochs=6), test=test, workers=1)
    return data, test, result


def test_signal_is_found_without_labels(found):
    data, test, result = found
    assert roc(result.data_scores, event_column(data, "label")).auc > 0.75
    for scores in result.test_scores:
        assert roc(scores, event_column(test, "label")).auc > 0.75
    assert result.auc > 0.5


def test_cuts_keep_the_share_asked_for(found):
    _, _, result = found
    chosen, test = result.select(0.2)
    background = np.mean(
        [
            (result.background_scores[result.background_folds == k] >= np.inf).mean()
            for k in range(result.config.n_folds)
        ]
    )
    assert background == 0
    assert 0.1 < chosen.mean() < 0.6 and test[40:].mean() > test[:40].mean()
    everything = result.select(1.0)
    assert everything[0].all() and everything[1].all()
    with pytest.raises(MetricError, match="75 background events in a fold"):
        result.select(1e-4)


def test_quantiles_by_hand():
    result = WeakSupervisionResult(
        WeakSupervisionConfig(),
        data_scores=np.array([0.15, 0.9]),
        background_scores=np.array([0.1, 0.2, 0.3, 0.4]),
        data_folds=np.array([0, 1]),
        background_folds=np.array([0, 0, 1, 1]),
        test_scores=np.array([[0.25, 0.0], [0.0, 0.35]]),
        background_weights=np.array([1.0, 3.0, 1.0, 1.0]),
    )
    data, test = result.quantiles()
    assert data.tolist() == [0.25, 1.0]  # one of weight 1 below 0.15; both below 0.9
    assert test.tolist() == [1.0, 0.5]  # judged by folds 0 and 1 in turn
    data, test = result.ranks()
    assert data.tolist() == [0.5, 1.0] and test.tolist() == [1.0, 0.5]


def test_result_is_saved_and_read(found, tmp_path):
    _, _, result = found
    again = WeakSupervisionResult.load(result.save(tmp_path / "scores.npz"))
    assert again.config == result.config and again.auc == result.auc
    np.testing.assert_array_equal(again.test_scores, result.test_scores)
    (tmp_path / "other.npz").write_text("nothing")
    with pytest.raises(DataFileError, match="does not hold scores"):
        WeakSupervisionResult.load(tmp_path / "other.npz")


@pytest.mark.slow
def test_folds_do_not_leak(network):
    """Data and background are the same; a network that has seen an event would recognise it."""
    aucs = []
    for seed in range(4):
        data, background = dijets(150, seed=10 + seed), dijets(150, seed=20 + seed)
        result = weak_supervision(data, background, config(network, epochs=12, seed=seed + 1), workers=1)
        aucs.append(result.auc)
    sigma = np.sqrt(1 / 12 * (1 / 150 + 1 / 150))  # of one AUC without any difference
    assert abs(np.mean(aucs) - 0.5) < 4 * sigma / np.sqrt(len(aucs))


def test_every_event_is_scored_by_a_network_that_did_not_train_on_it(network):
    from omnilearn_lab.tasks.search.weak_supervision import _plan

    plan = _plan({"data": 60, "background": 60}, None, config(network, folds=3))
    for k in range(3):
        job = plan.job(k, None)
        own = set(np.flatnonzero(plan.fold == k))
        assert own == set(job.score) and not own & (set(job.train) | set(job.validation))
        assert not set(job.train) & set(job.validation)
    assert plan.weight[60:].sum() == pytest.approx(60)


def test_no_network_judges_an_event_of_which_it_has_learned_a_copy(network):
    from omnilearn_lab.tasks.search.weak_supervision import _plan

    origin, test = np.repeat(np.arange(100, 150), 2), np.arange(90, 190)
    counts = {"data": 60, "background": 100, "test": 100}
    plan = _plan(counts, None, config(network, folds=3), (origin, test))
    result = plan.collect(
        [EventTraining(np.full(len(plan.job(k, None).score), k), History()) for k in range(3)]
    )
    judged_by = dict(zip(test, result._test()[0], strict=True))
    for k in range(3):
        job = plan.job(k, None)
        learned = {origin[row - 60] for row in np.r_[job.train, job.validation] if 60 <= row < 160}
        assert learned and not learned & {event for event, judge in judged_by.items() if judge == k}
        sides = [
            {origin[row - 60] for row in rows if 60 <= row < 160} for rows in (job.train, job.validation)
        ]
        assert len(sides[0] & sides[1]) <= 1  # copies are not parted, but for the one at the border
    with pytest.raises(JetsError, match="made of 1 events"):
        _plan(counts, None, config(network, folds=3), (np.zeros(100), test))


def test_an_interrupted_training_goes_on(network, tmp_path):
    samples = dijets(40, seed=1), dijets(40, seed=2)
    first = weak_supervision(*samples, config(network), directory=tmp_path, workers=1)
    again = weak_supervision(*samples, config(network), directory=tmp_path, workers=1)
    np.testing.assert_allclose(first.data_scores, again.data_scores, rtol=1e-5)
    assert (tmp_path / "fold0" / "last.safetensors").is_file()


def test_background_weights_are_used_and_checked(network):
    background = dijets(40, seed=2)
    heavy = background.with_jet(weight=np.full(80, 7.0))
    data = dijets(30, seed=1)
    plain, weighted = (weak_supervision(data, b, config(network), workers=1) for b in (background, heavy))
    np.testing.assert_allclose(plain.data_scores, weighted.data_scores, rtol=1e-5)
    for weights, message in ((-1.0, "negative"), (0.0, "sum to zero")):
        bad = background.with_jet(weight=np.full(80, weights))
        with pytest.raises(JetsError, match=message):
            weak_supervision(data, bad, config(network), workers=1)


def test_too_few_events_are_named(network):
    with pytest.raises(JetsError, match="data has 7 events; at least 20"):
        weak_supervision(dijets(7), dijets(40), config(network), workers=1)
    with pytest.raises(JetsError, match="background has 5 events"):
        weak_supervision(dijets(40), dijets(5), config(network), workers=1)


def test_bad_settings_are_named():
    with pytest.raises(ConfigError, match="n_folds is 1"):
        WeakSupervisionConfig(n_folds=1)
    with pytest.raises(ConfigError, match="validation_fraction"):
        WeakSupervisionConfig(validation_fraction=1.0)
    with pytest.raises(ConfigError, match="jets_per_event is 0"):
        EventNetwork(jets_per_event=0)


def test_pretrained_body_is_taken():
    fresh, tuned = (EventNetwork(init, n_jet_layers=1).build(1) for init in ("scratch", "tiny"))
    pretrained = EventNetwork("tiny", jets_per_event=1).build(2)
    for name, value in pretrained.body.state_dict().items():
        assert (tuned.body.state_dict()[name] == value).all()
    assert any((fresh.body.state_dict()[n] != v).any() for n, v in pretrained.body.state_dict().items())


def test_a_head_on_rows_finds_a_signal_without_labels():
    rng = np.random.default_rng(1)
    signal = np.arange(600) < 60
    data = rng.normal(size=(600, 8)) + 2.0 * signal[:, None]
    test = rng.normal(size=(50, 8))
    result = weak_supervision_of_rows(data, rng.normal(size=(600, 8)), test=test)
    assert roc(result.data_scores, signal).auc > 0.9
    assert result.test_scores.shape == (2, 50)
    ranks, background, others = result.joint_ranks()
    assert [len(part) for part in (ranks, background, others)] == [600, 600, 50]
    assert ranks[signal].mean() > 0.9 and abs(background.mean() - 0.5) < 0.05
    nothing = weak_supervision_of_rows(data[60:], rng.normal(size=(600, 8)))
    assert abs(nothing.auc - 0.5) < 0.08
    with pytest.raises(JetsError, match="background has 5 events"):
        weak_supervision_of_rows(data, data[:5])


def test_embeddings_of_an_event_are_ordered_by_jet_mass():
    jets = dijets(6)
    rows = embed_events(jets, workers=1)
    single = embed_events(jets, jets_per_event=1, workers=1)
    assert rows.shape == (6, 2 * single.shape[1])
    heavy, light = (4, 5) if jets.jet["mass"][4] > jets.jet["mass"][5] else (5, 4)
    np.testing.assert_allclose(rows[2], single[[heavy, light]].ravel(), rtol=1e-4, atol=1e-5)
