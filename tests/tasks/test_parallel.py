import pytest
from omnilearn_lab.simulation import usable_cores
from omnilearn_lab.tasks.parallel import run_jobs, usable_workers


def double(x):
    return 2 * x


def fail(_):
    raise ValueError("no")


def test_results_come_in_the_order_of_the_jobs():
    jobs = {name: (i,) for i, name in enumerate("cab")}
    assert run_jobs(double, jobs, workers=2, progress=False) == {"c": 0, "a": 2, "b": 4}
    assert list(run_jobs(double, jobs, workers=1, progress=False)) == ["c", "a", "b"]


def test_the_first_failure_is_raised():
    with pytest.raises(ValueError, match="no"):
        run_jobs(fail, {1: (1,), 2: (2,)}, workers=2, progress=False)


@pytest.mark.parametrize("memory", [0.5e9, 1e9, 2e9, 2.9e9])
def test_little_memory_means_one_training_at_a_time(memory):
    assert usable_workers(memory) == 1


def test_much_memory_leaves_the_choice_to_the_cores():
    assert usable_workers(1e12) == usable_cores()
