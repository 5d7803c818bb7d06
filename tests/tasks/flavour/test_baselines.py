"""Taggers that train no network: what they see, and that they learn it."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.tasks.flavour.baselines import (
    displacement_table,
    train_displacement_trees,
    train_frozen_tagger,
)
from omnilearn_lab.tasks.flavour.inputs import displacement_score
from tests.tasks.flavour.test_inputs import flavour_jets


@pytest.fixture(scope="module")
def jets():
    sizes = {"train": 300, "val": 150, "test": 300}
    return {name: flavour_jets(n, seed) for seed, (name, n) in enumerate(sizes.items())}


@pytest.mark.parametrize("published", [False, True])
def test_table_holds_the_largest_significances_of_each_jet(published):
    jets = flavour_jets(50, published=published)
    table = displacement_table(jets, 3)
    assert table.shape == (50, 9)
    assert np.nansum(table[:, :3], axis=1) == pytest.approx(displacement_score(jets))
    filled = np.isfinite(table[:, :3]).sum(axis=1)
    assert filled.tolist() == np.minimum(jets.counts, 3).tolist()
    assert all(np.all(np.diff(row[:n]) <= 0) for row, n in zip(table, filled, strict=True))


def test_boosted_trees_find_displaced_tracks(jets):
    result = train_displacement_trees(jets)
    assert result.values()["AUC, b against light"] > 0.9
    assert result.probabilities.shape == (300, 4) and result.n_train == 300


def test_a_frozen_pet_v2_sees_impact_parameters(jets, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_DATA", str(tmp_path))
    assert train_frozen_tagger(jets).values()["AUC, b against light"] > 0.7
    with pytest.raises(ConfigError, match="holds no PET v2"):
        train_frozen_tagger(jets, "tiny")
