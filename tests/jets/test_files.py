import h5py
import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError, JetsError
from omnilearn_lab.jets import Jets, read_jets, write_jets

from tests.conftest import random_jets


def test_round_trip(jets, tmp_path):
    again = read_jets(write_jets(jets, tmp_path / "jets.h5"))
    assert np.array_equal(again.offsets, jets.offsets)
    assert again.class_names == jets.class_names
    assert again.provenance == jets.provenance
    for name, values in jets.particles.items():
        np.testing.assert_allclose(again.particles[name], values, rtol=2e-6, err_msg=name)
    for name, values in jets.jet.items():
        np.testing.assert_array_equal(again.jet[name], values, err_msg=name)


def test_rows_are_read_alone(jets, tmp_path):
    path = write_jets(jets, tmp_path / "jets.h5")
    np.testing.assert_array_equal(read_jets(path, 10, 15).jet["pt"], jets.jet["pt"][10:15])


def test_layout_is_omnilearned(jets, tmp_path):
    with h5py.File(write_jets(jets, tmp_path / "jets.h5", max_particles=40)) as file:
        assert file["data"].shape == (len(jets), 40, 9)
        assert file["data"].dtype == np.float32
        np.testing.assert_array_equal(file["pid"], jets.label)
        np.testing.assert_allclose(file["global"][:, -1], jets.jet["multiplicity"] / 100)
        assert ((file["data"][..., 2] != 0).sum(axis=1) == jets.counts).all()


def test_particle_of_one_gev_stays_visible(tmp_path):
    jet = {"pt": [1.0], "eta": [0.0], "phi": [0.0], "mass": [0.0]}
    jets = Jets.build({"deta": [0.0], "dphi": [0.0], "pt": [1.0], "energy": [1.0]}, [0, 1], jet)
    with h5py.File(write_jets(jets, tmp_path / "one.h5")) as file:
        assert file["data"][0, 0, 2] != 0


def test_foreign_file_without_our_tables(jets, tmp_path):
    path = write_jets(jets, tmp_path / "jets.h5")
    with h5py.File(path, "a") as file:
        for name in ("jet", "counts", "extra"):
            del file[name]
    again = read_jets(path)
    np.testing.assert_array_equal(again.label, jets.label)
    np.testing.assert_allclose(again.jet["pt"], jets.jet["pt"], rtol=1e-4)


def test_truncated_file_is_named(jets, tmp_path):
    path = write_jets(jets, tmp_path / "jets.h5")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataFileError, match=r"jets\.h5.*delete it"):
        read_jets(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataFileError, match=r"none\.h5.*does not exist"):
        read_jets(tmp_path / "none.h5")


def test_unwritable_folder_is_named(tmp_path, jets):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataFileError, match="choose another folder"):
        write_jets(jets, tmp_path / "file" / "jets.h5")


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_jets(random_jets(5), tmp_path / "jets.h5")
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("h5py.File", full)
    with pytest.raises(DataFileError, match="No space left.*make room"):
        write_jets(random_jets(6), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["jets.h5"]


def test_batches_written_one_by_one_are_one_file(tmp_path):
    whole = random_jets(30)
    write_jets((whole[i : i + 7] for i in range(0, 30, 7)), tmp_path / "batches.h5", 40)
    write_jets(whole, tmp_path / "whole.h5", 40)
    batches, at_once = read_jets(tmp_path / "batches.h5"), read_jets(tmp_path / "whole.h5")
    assert np.array_equal(batches.offsets, at_once.offsets) and batches.class_names == whole.class_names
    for name, values in at_once.particles.items():
        np.testing.assert_array_equal(batches.particles[name], values)
    for name, values in at_once.jet.items():
        np.testing.assert_array_equal(batches.jet[name], values)


def test_batches_with_other_columns_leave_no_file(tmp_path):
    first, second = random_jets(3), random_jets(3).with_jet(weight=np.ones(3))
    with pytest.raises(JetsError, match="jet_columns"):
        write_jets(iter([first, second]), tmp_path / "a.h5")
    with pytest.raises(DataFileError, match="no batches"):
        write_jets(iter([]), tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())
