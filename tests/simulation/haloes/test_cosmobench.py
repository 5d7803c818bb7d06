"""Files of CosmoBench: groups of clouds with parameters, positions and velocities."""

import h5py
import numpy as np
import pytest
from omnilearn_lab.catalog import load_universes
from omnilearn_lab.errors import CatalogError, DataFileError
from omnilearn_lab.simulation.haloes import read_cosmobench


def write(path, group="LH", n=3, n_points=7):
    rng = np.random.default_rng(1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["params/Omega_m"], file["params/sigma_8"] = rng.uniform(0.1, 0.5, n), rng.uniform(0.6, 1, n)
        for i in range(n):
            for axis in "XYZ":
                file[f"{group}/{group}_{i}/{axis}"] = rng.uniform(0, 100, n_points)
                file[f"{group}/{group}_{i}/V{axis}"] = rng.normal(0, 200, n_points)
    return path


@pytest.mark.parametrize(("group", "box"), [("LH", 100.0), ("BSQ", 1000.0)])
def test_clouds_are_read_as_they_are(tmp_path, group, box):
    path = write(tmp_path / "a.hdf5", group)
    sets = read_cosmobench(path, n_universes=2, n_points=5)
    assert sets.position.shape == (2, 5, 3) and sets.box == box and sets.parameters.shape == (2, 2)
    with h5py.File(path) as file:
        assert sets.velocity[1, :, 2] == pytest.approx(file[f"{group}/{group}_1/VZ"][:5], rel=1e-6)
        assert sets.parameters[1, 1] == file["params/sigma_8"][1]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataFileError, match="one of .'BSQ', 'LH'. is expected"):
        read_cosmobench(write(tmp_path / "a.hdf5", "CAMELS"))
    (tmp_path / "b.hdf5").write_bytes(b"jets")
    with pytest.raises(DataFileError, match="no file of CosmoBench"):
        read_cosmobench(tmp_path / "b.hdf5")


@pytest.mark.parametrize("values", [np.full(7, b"text"), np.full(7, np.nan), np.full(7, 1e300)])
def test_what_are_no_numbers_is_named(tmp_path, values):
    path = write(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        del file["LH/LH_1/VY"]
        file["LH/LH_1/VY"] = values
    with pytest.raises(DataFileError, match=r"a.hdf5' is no file|'LH/LH_1/VY' is not finite"):
        read_cosmobench(path)


def test_values_in_other_files_are_not_opened(tmp_path):
    path, other = write(tmp_path / "a.hdf5"), write(tmp_path / "b.hdf5")
    with h5py.File(path, "a") as file:
        del file["LH/LH_1/X"]
        file["LH/LH_1/X"] = h5py.ExternalLink(str(other), "LH/LH_1/X")
    with pytest.raises(DataFileError, match="kept in other files"):
        read_cosmobench(path)


def test_the_catalogue_finds_clouds_and_keeps_simulations(tmp_path):
    name = "camels_sam/CAMELS-SAM_LH_gal_99_top5000_test.hdf5"
    with pytest.raises(DataFileError, match="CAMELS-SAM_LH_gal_99_top5000_test.hdf5' is not there"):
        load_universes("camels_sam", 2, split="test", data_dir=tmp_path)
    write(tmp_path / name)
    assert len(load_universes("camels_sam", 2, split="test", data_dir=tmp_path)) == 2
    tiny = {"n_side": 16, "box": 50.0, "linking": 0.5, "n_haloes": 4}
    made = load_universes("lpt", 1, changes=tiny, data_dir=tmp_path)
    kept = list((tmp_path / "simulated").glob("universes-lpt-*/*.npz"))
    assert made.position.shape == (1, 4, 3) and len(kept) == 1
    with pytest.raises(CatalogError, match="no universes 'quijot'.*'quijote'"):
        load_universes("quijot", 1, data_dir=tmp_path)
