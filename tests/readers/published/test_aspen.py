"""Aspen Open Jets: real jets without labels, soft-drop mass, PUPPI weights, odd codes."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.published.cms import Aspen

from tests.readers.samples import check_particles, truth, write_h5


def write(path, change_pid=None, **change):
    true = truth()
    jet = true.jet()
    charged = true.charge != 0
    pid = np.where(charged & (np.abs(true.pid) > 13), 211 * true.charge, true.pid)
    pid = pid if change_pid is None else change_pid(pid)
    columns = [
        true.px,
        true.py,
        true.pz,
        true.energy,
        0.1 * charged,
        0.01 * charged,
        0.2 * charged,
        0.02 * charged,
    ]
    columns += [true.charge, pid, np.where(true.pt > 5, 1.0, 0.5)]
    stored = {
        "PFCands": true.padded(columns, 150).astype(np.float32),
        "jet_kinematics": np.stack(
            [1.1 * jet["pt"], jet["eta"], jet["phi"], np.where(true.counts > 5, 40, -1)], axis=1
        ),
        "event_info": np.stack([np.ones(12), np.ones(12), 100 + np.arange(12)], axis=1).astype(np.int64),
        "jet_tagging": np.stack([true.counts + 3, *np.ones((12, 12))], axis=1),
    }
    return write_h5(path, **(stored | change))


def test_candidates_come_back(tmp_path):
    true = truth()
    jets = Aspen().read(write(tmp_path / "RunG_batch0.h5"))
    order = check_particles(jets, true, 1e-4)
    np.testing.assert_allclose(jets.jet["mass"], true.jet()["mass"], rtol=1e-3)
    np.testing.assert_allclose(jets.jet["pt"], 1.1 * true.jet()["pt"], rtol=1e-5)
    assert np.array_equal(jets.particles["charge"], true.charge[order])
    np.testing.assert_allclose(jets.particles["dz_err"], 0.02 * (true.charge[order] != 0), atol=1e-7)
    assert set(jets.jet["soft_drop_mass"]) <= {-1.0, 40.0} and "label" not in jets.jet
    assert jets.jet["multiplicity"].tolist() == (true.counts + 3).tolist()
    assert jets.jet["event"].tolist() == list(range(100, 112))


def test_puppi_weights_can_be_applied(tmp_path):
    jets = Aspen(apply_puppi=True).read(write(tmp_path / "a.h5"))
    raw = Aspen().read(tmp_path / "a.h5")
    weight = np.where(raw.particles["pt"] > 5, 1, 0.5)
    assert jets.particles["pt"].sum() == pytest.approx((raw.particles["pt"] * weight).sum(), rel=1e-5)


def test_entries_with_odd_codes_are_left_out(tmp_path):
    path = write(tmp_path / "a.h5", change_pid=lambda pid: np.where(np.arange(len(pid)) == 4, 2, pid))
    assert Aspen().read(path).n_particles == truth().counts.sum() - 1


def test_bad_files_are_named(tmp_path):
    with pytest.raises(DataFileError, match="no 'PFCands'"):
        Aspen().read(write_h5(tmp_path / "a.h5", jet_kinematics=np.ones((2, 4))))
    path = write(tmp_path / "b.h5")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataFileError, match="truncated"):
        Aspen().read(path)
