import pytest
from omnilearn_lab.training.progress import Heartbeat, read_progress


def heart(folder, *seconds, **options):
    times = iter(seconds)
    return Heartbeat(folder, clock=lambda: next(times), **options)


def test_beats_are_at_least_a_second_apart_but_the_last_counts(tmp_path):
    one = heart(tmp_path, 0, 0.5, 1.5, 1.6, 1.7)
    one.beat(1, 4, jets=10)
    assert read_progress(tmp_path) is None
    one.beat(2, 4, jets=20)
    assert read_progress(tmp_path).step == 2
    one.beat(3, 4, jets=30)
    assert read_progress(tmp_path).step == 2
    one.beat(4, 4, jets=40)
    assert read_progress(tmp_path).fraction == 1


def test_speed_follows_what_is_now(tmp_path):
    one = heart(tmp_path, *range(40))
    speeds = []
    for step in range(1, 39):
        one.beat(step, 100, jets=step * 10 if step < 5 else 40 + (step - 4) * 50)
        speeds.append(read_progress(tmp_path).jets_per_second)
    assert speeds[3] == pytest.approx(10)
    assert speeds[-1] == pytest.approx(50, rel=0.01)


def test_resumed_training_does_not_count_what_was_before(tmp_path):
    one = heart(tmp_path, 0, 2, 4)
    one.beat(1000, 2000, jets=100_000)
    one.beat(1001, 2000, jets=100_100)
    assert read_progress(tmp_path).jets_per_second == 50


def test_damaged_file_is_no_progress(tmp_path):
    (tmp_path / "progress.json").write_text("{")
    assert read_progress(tmp_path) is None


def test_no_directory_no_file(tmp_path):
    Heartbeat(None).beat(1, 1, jets=1)
    assert not list(tmp_path.iterdir())
