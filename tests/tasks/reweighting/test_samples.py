"""Two generators from published files, and events that pass one level only."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.jets import PairedJets
from omnilearn_lab.observables import observables
from omnilearn_lab.tasks.reweighting.samples import load_two_generators, with_acceptance
from tests.tasks.small_clouds import clouds, write_zjets


def test_published_files_of_both_generators(tmp_path):
    folder = tmp_path / "omnifold_zjets"
    folder.mkdir()
    write_zjets(folder / "Pythia21_Zjet_pTZ-200GeV_0.npz", 30)
    write_zjets(folder / "Herwig_Zjet_pTZ-200GeV_0.npz", 30, seed=1, spread=0.2)
    found = load_two_generators("train", 20, source="published", data_dir=tmp_path)
    assert len(found.simulation) == len(found.data) == 20
    widths = [observables(part.truth, ["width"])["width"].mean() for part in (found.simulation, found.data)]
    assert widths[1] > 1.5 * widths[0]  # not the same file twice, and the radius is known
    assert found.data.detector.provenance["source"] == "published"
    with pytest.raises(DataFileError):
        load_two_generators("test", 20, source="published", data_dir=tmp_path)
    with pytest.raises(ConfigError, match="'simulated' or 'published'"):
        load_two_generators("train", 20, source="real", data_dir=tmp_path)


def test_acceptance_makes_misses_and_fakes():
    pairs = PairedJets(clouds(300, 2.0), clouds(300, 2.4, seed=1))
    threshold = float(np.median(pairs.truth.jet["pt"]))
    sample = with_acceptance(pairs, threshold)
    assert 0.4 < sample.pass_truth.mean() < 0.6
    assert 0 < sample.efficiency < 1
    assert 0 < sample.fake_share < 1
    assert len(pairs[sample.pass_truth]) == sample.pass_truth.sum()
    assert len(sample.select(np.arange(10))) == 10
