"""Losses on other jets, and jets saved."""

import pytest
from omnilearn_lab.tasks.common import ClassifierData, ClassifierSettings, train_classifiers
from omnilearn_lab.tasks.tagging import jets_saved, metric_lost
from omnilearn_lab.training import TrainConfig
from tests.training.helpers import packed


def test_what_is_lost_on_other_jets_is_counted_per_seed():
    others = {"same": packed(32, seed=2), "other": packed(32)}
    data = ClassifierData(packed(32), packed(16, seed=1), packed(32, seed=2), others=others)
    settings = ClassifierSettings(2, network="pfn", training=TrainConfig(epochs=1, batch_size=16))
    runs = train_classifiers(data, {"PFN": settings}, seeds=(1, 2), workers=1, progress=False).of("PFN")
    lost = metric_lost(runs)
    assert lost["same"] == [0, 0]
    assert lost["other"] == [r.metrics.auc - r.others["other"].auc for r in runs]


def test_saved_jets_are_read_off_the_scratch_curve():
    sizes = [100, 1000, 10_000]
    saved = jets_saved(sizes, [[0.6, 0.7, 0.8], [0.8, 0.9, 1.0]], [[0.8, 0.85, 0.95]])
    assert saved == {100: 10, 1000: pytest.approx(10**0.5), 10_000: float("inf")}
    assert jets_saved(sizes, [[0.7, 0.8, 0.9]], [[0.7, 0.6, 0.9]]) == {100: 1, 1000: 0, 10_000: 1}
    # a curve that falls counts as its best so far
    assert jets_saved(sizes, [[0.8, 0.7, 0.9]], [[0.85, 0.8, 0.9]])[1000] == pytest.approx(0.1)
