import json

import numpy as np
from omnilearn_lab.training import History
from omnilearn_lab.training.launch import launch
from omnilearn_lab.training.losses import Classification

from tests.training.full_device import make_trainer


def test_a_launched_training_of_two_processes_starts_anew_with_less_at_once(tmp_path):
    """One runs out of memory in validation, then in its second update."""
    run = launch(tmp_path, "tests.training.full_device", [str(tmp_path)], n_processes=2)
    assert run.wait(300) == "finished", run.tail(40)
    assert sorted(p.name for p in tmp_path.glob("done-*")) == ["done-0.json", "done-1.json"]
    assert json.loads((tmp_path / "memory.json").read_text()) == {"n_parts": 4}
    log = run.tail(10_000)
    for n_parts in (2, 4):
        assert f"from its last checkpoint in {n_parts} parts per update" in log
    history, expected = History.load(tmp_path), make_trainer(Classification()).fit()
    assert history.column("n_parts", "train")[-1] == 4
    np.testing.assert_allclose(history.val_loss, expected.val_loss, rtol=2e-5)
