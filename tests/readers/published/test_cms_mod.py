"""CMS MOD HDF5: columns found by their names, labels from the parton, real data without labels."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.published.cms import CmsMod

from tests.readers.samples import truth

HARD = np.array([1, -2, 3, 21, 21, 4, -5, 0, 21, 1, 2, 21])
KEPT = np.isin(np.abs(HARD), (1, 2, 3, 21))


def write(path, *, true=None, data=False, swap=False, stored="pfcs"):
    """All datasets with their ``cols`` attributes; ``swap`` exchanges two columns and their names."""
    true = true or truth()
    jet = true.jet()
    mass = np.sqrt(np.maximum(true.energy**2 - true.px**2 - true.py**2 - true.pz**2, 0))
    particles = {
        "pt": true.pt,
        "y": true.y,
        "phi": true.phi,
        "m": mass,
        "pid": true.pid,
        "vertex": 0 * true.pt,
    }
    floats = {
        f"jet_{n}": jet[m] for n, m in {"pt": "pt", "y": "y", "phi": "phi", "m": "mass", "eta": "eta"}.items()
    }
    floats |= {"jec": np.full(12, 1.1), "weight": np.full(12, 1e-6)}
    ints = {"fn": np.zeros(12), "rn": np.ones(12), "npv": np.full(12, 9), "quality": np.full(12, 2)}
    if not data:
        ints["hard_pid"] = HARD
    with h5py.File(path, "w") as file:
        for name, columns in {stored: particles, "jets_f": floats, "jets_i": ints}.items():
            order = list(columns)[::-1] if swap else list(columns)
            kind = np.int64 if name == "jets_i" else np.float64
            made = file.create_dataset(
                name, data=np.stack([columns[n] for n in order], axis=1).astype(kind), compression="gzip"
            )
            made.attrs["cols"] = np.array(order, dtype="S20")
        file[f"{stored}_index"] = np.concatenate([[0], np.cumsum(true.counts)]).astype(np.uint32)
        file["filenames"] = np.array([b"a.root"])
    return path


@pytest.mark.parametrize("swap", [False, True])
def test_columns_are_found_by_name(tmp_path, swap):
    true = truth()
    jets = CmsMod().read(write(tmp_path / "SIM.h5", swap=swap))
    for name in ("pt", "eta", "mass"):
        np.testing.assert_allclose(jets.jet[name], true.jet()[name][KEPT], rtol=1e-5, atol=1e-4)
    kept = np.repeat(KEPT, true.counts)
    order = np.lexsort((-true.pt, np.repeat(np.arange(12), true.counts)))
    px, py, pz, energy = jets.cartesian()
    np.testing.assert_allclose(energy, true.energy[order][kept[order]], rtol=1e-5)
    np.testing.assert_allclose(pz, true.pz[order][kept[order]], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(jets.jet["jec"], 1.1, rtol=1e-6)


def test_labels_come_from_the_parton(tmp_path):
    path = write(tmp_path / "SIM.h5")
    assert CmsMod().read(path).label.tolist() == (np.abs(HARD[KEPT]) < 4).astype(int).tolist()
    jets = CmsMod(convention="omnilearn").read(path)
    assert len(jets) == KEPT.sum() + 1 and (jets.label == 0).sum() == 5


def test_soft_particles_are_cut(tmp_path):
    path = write(tmp_path / "SIM.h5")
    assert CmsMod().read(path).particles["pt"].min() == 1.0
    cut = CmsMod(min_pt=10).read(path)
    assert cut.particles["pt"].min() >= 10


def test_the_published_conversion_mixes_rapidity_and_pseudorapidity(tmp_path):
    true = truth()
    jets = CmsMod(convention="omnilearn").read(write(tmp_path / "SIM.h5"))
    kept = np.abs(HARD) != 4
    kept &= np.abs(HARD) != 5
    rows = np.repeat(kept, true.counts)
    order = np.lexsort((-true.pt, np.repeat(np.arange(12), true.counts)))
    expected = (true.y - np.repeat(true.jet()["eta"], true.counts))[order][rows[order]]
    np.testing.assert_allclose(jets.particles["deta"], expected, atol=1e-5)


def test_real_data_have_no_label(tmp_path):
    jets = CmsMod().read(write(tmp_path / "CMS.h5", data=True))
    assert len(jets) == 12 and "label" not in jets.jet


def test_generator_level(tmp_path):
    path = write(tmp_path / "GEN.h5", stored="gens")
    assert len(CmsMod(level="gen").read(path)) == KEPT.sum()
    with pytest.raises(DataFileError, match="no 'pfcs_index'.*did you mean 'gens_index'"):
        CmsMod().read(path)


def test_blocks_are_the_whole(tmp_path):
    path = write(tmp_path / "SIM.h5")
    blocks = list(CmsMod().iterate(path, chunk=5))
    whole = CmsMod().read(path)
    assert np.concatenate([b.jet["pt"] for b in blocks]).tolist() == whole.jet["pt"].tolist()


def test_row_numbers_count_left_out_jets(tmp_path):
    true = truth()
    path = write(tmp_path / "SIM.h5")
    with h5py.File(path, "a") as file:
        file["pfcs"][int(true.counts[:8].sum()), 1] = np.nan
    with pytest.raises(DataFileError, match="row 8:.*not finite"):
        CmsMod().read(path)


def test_jets_of_other_partons_are_left_out_with_a_word(tmp_path, caplog):
    with caplog.at_level("INFO"):
        jets = CmsMod().read(write(tmp_path / "a.h5"))
    n_other = int((~KEPT).sum())
    assert n_other and f"left out {n_other} of 12 rows: neither a light quark nor a gluon" in caplog.text
    assert len(jets) <= 12 - n_other
