import math

import pytest
from omnilearn_lab.errors import TrainingError
from omnilearn_lab.training import Classification, Run, TrainConfig, Trainer, compare_runs

from tests.training.helpers import packed, small_model


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, rate in {"slow": 1e-4, "fast": 3e-3}.items():
        config = TrainConfig(epochs=1, batch_size=16, learning_rate=rate)
        run = Run(folder / name, {"size": "small", "training": vars(config)})
        Trainer(small_model(), Classification(), packed(), packed(16), config, run).fit()
    return [folder / "slow", folder / "fast"]


def test_only_differing_settings_are_shown(directories):
    table = compare_runs(directories)
    assert table.differences == ("training.learning_rate",)
    assert [run.name for run in table.runs] == ["slow", "fast"]
    frame = table.to_pandas()
    assert frame["training.learning_rate"].tolist() == [1e-4, 3e-3]
    assert list(frame.index) == ["slow", "fast"]


def test_numbers_are_those_of_the_histories(directories):
    for run in compare_runs(directories).runs:
        assert run.best_loss == min(run.history.val_loss)
        assert run.epochs == 1.0
        assert run.jets == 64
        assert run.jets_per_second == pytest.approx(64 / run.history.seconds[-1])


def test_it_shows_itself(directories):
    table = compare_runs(directories)
    assert "learning_rate" in repr(table)
    assert table._repr_html_().startswith("<table")
    assert len(table) == 2


def test_a_run_without_records_has_no_loss(tmp_path):
    Run(tmp_path / "new", {"a": 1})
    run = compare_runs([tmp_path / "new"]).runs[0]
    assert math.isnan(run.best_loss)
    assert math.isnan(run.best_epoch)
    assert math.isnan(run.jets_per_second)


def test_runs_of_one_name_keep_apart(tmp_path):
    for parent in "ab":
        Run(tmp_path / parent / "run", {"seed": parent})
    assert [r.name for r in compare_runs([tmp_path / p / "run" for p in "ab"]).runs] == ["a/run", "b/run"]


def test_other_directories_are_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"no config\.yaml"):
        compare_runs([tmp_path])
    with pytest.raises(TrainingError, match="at least one"):
        compare_runs([])
