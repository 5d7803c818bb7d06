"""OmniLearn's intermediate files: 7, 8 and 13 features, one-hot labels, hidden particles."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.published.omnilearn import OmniLearnV1

from tests.readers.samples import truth, write_h5


def write(path, n_features=13, one_hot=False, **more):
    true = truth()
    jet = true.jet()
    owner = np.repeat(np.arange(12), true.counts)
    deta = true.eta - jet["eta"][owner]
    dphi = np.angle(np.exp(1j * (true.phi - jet["phi"][owner])))
    size = np.abs(true.pid)
    hidden = np.where(true.pt > jet["pt"][owner] / 2, 0.0, np.log1p(-true.pt / jet["pt"][owner]))
    columns = [deta, dphi, hidden, np.log(true.pt), np.log1p(-0.9 * true.energy / jet["e"][owner])]
    columns += [np.log(true.energy), np.hypot(deta, dphi), true.charge]
    columns += [size == code for code in (211, 130, 22, 11, 13)]
    label = np.arange(12) % 2
    stored = {
        "data": true.padded(columns[:n_features], 30),
        "jet": np.stack([jet["pt"], jet["eta"], jet["mass"], true.counts], axis=1),
        "pid": np.eye(2)[label] if one_hot else label,
    }
    return write_h5(path, **stored, **more)


@pytest.mark.parametrize("n_features", [7, 8, 13])
@pytest.mark.parametrize("one_hot", [False, True])
def test_particles_come_back_also_those_that_column_2_hides(tmp_path, n_features, one_hot):
    true = truth()
    path = write(tmp_path / "train_ttbar.h5", n_features, one_hot)
    jets = OmniLearnV1(classes=("QCD", "top")).read(path)
    order = np.lexsort((-true.pt, np.repeat(np.arange(12), true.counts)))
    np.testing.assert_allclose(jets.particles["pt"], true.pt[order], rtol=1e-5)
    np.testing.assert_allclose(jets.particles["energy"], true.energy[order], rtol=1e-5)
    assert jets.label.tolist() == [0, 1] * 6 and jets.class_names == ("QCD", "top")
    assert ("charge" in jets.particles) == (n_features > 7)
    if n_features == 13:
        assert np.array_equal(jets.particles["pid"], true.pid[order])
    assert np.any(true.pt > np.repeat(true.jet()["pt"], true.counts) / 2)


def test_weights_are_kept(tmp_path):
    path = write(tmp_path / "train_atlas.h5", weights=np.arange(12) + 0.5)
    assert OmniLearnV1().read(path).weight.tolist() == (np.arange(12) + 0.5).tolist()


def test_another_width_is_refused(tmp_path):
    with pytest.raises(DataFileError, match=r"\(2, 3, 4\)"):
        OmniLearnV1().read(write_h5(tmp_path / "a.h5", data=np.zeros((2, 3, 4))))
