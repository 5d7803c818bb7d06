"""The ``full`` profile of every notebook, on small files in the published layout, with small sizes.

To add a notebook: write a function that puts such files below a data folder, where
``omnilearn_lab.catalog.find_published`` looks for them, and returns changes to its ``full`` profile;
name it in ``FULL``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from omnilearn_lab.tasks.notebooks import execute_notebook
from omnilearn_lab.tasks.records import read_results

from tests.readers.samples import truth, write_top

FOLDER = Path(__file__).parents[1] / "notebooks"
TRAINING = {"epochs": 1, "batch_size": 16, "warmup_epochs": 0, "validations_per_epoch": 1}
SMALL = {"seeds": [1, 2], "scratch": TRAINING, "finetuned": TRAINING}


def finetune_top(data: Path, weights: Path) -> dict:
    """Top tagging: three pandas files, and both published networks' layouts with random weights."""
    folder = data / "top_tagging"
    folder.mkdir(parents=True)
    for seed, (split, n_jets) in enumerate({"train": 48, "val": 32, "test": 120}.items()):
        write_top(folder / f"{split}.h5", truth(n_jets, seed=seed), np.arange(n_jets) % 2)
    return {
        "compare": {"checkpoint": str(weights / "pet_v1_keras_small.weights.h5")} | SMALL,
        "compare_v2": {"checkpoint": str(weights / "pet_v2_small_pretrain.pt"), "n_train": 32} | SMALL,
        "curve": {16: 1},
    }


FULL = {"03_finetune_top": finetune_top}


@pytest.mark.nb
@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_full_runs_on_published_files(name, tmp_path, monkeypatch, shared_fixtures):
    changes = FULL[name](tmp_path / "data", shared_fixtures)
    (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"full": changes}))
    monkeypatch.setenv("OMNILEARN_LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMNILEARN_LAB_PROFILES", str(tmp_path))
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path / "results"))
    done = execute_notebook(name, "full", folder=FOLDER, progress=False)
    found = read_results(done.directory)
    assert (found.profile, found.source) == ("full", "published")
    assert found.comparisons or found.numbers
    assert not (tmp_path / "data" / "simulated").exists(), "a published run simulated jets"
