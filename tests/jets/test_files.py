import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError, JetsError
from omnilearn_lab.jets import Jets, index_from_pid, jet_condition, original_command, read_jets, write_jets
from omnilearn_lab.observables import observables
from omnilearn_lab.readers import make_reader

from tests.conftest import random_jets

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize("count", [-1, 0, 1, 40, 2**31 - 1])
def test_numbers_of_particles_that_the_data_do_not_hold_are_refused(jets, tmp_path, count):
    path = write_jets(jets, tmp_path / "jets.h5", max_particles=40)
    with h5py.File(path, "a") as file:
        number, file["counts"][3] = file["counts"][3], count
    with pytest.raises(DataFileError, match=f"row 3: 'counts' is {count}, and 'data' has {number} particles"):
        read_jets(path)
    assert len(read_jets(path, 4)) == len(jets) - 4


def test_empty_rows_are_left_out_with_a_word(jets, tmp_path, caplog):
    path = write_jets(jets, tmp_path / "jets.h5")
    with h5py.File(path, "a") as file:
        file["data"][:2] = file["counts"][:2] = 0
    assert len(read_jets(path)) == len(jets) - 2
    assert f"'jets.h5': left out 2 of {len(jets)} rows: without particles" in caplog.text


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
    with pytest.raises(DataFileError, match=r"jets\.h5.*truncated"):
        read_jets(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataFileError, match=r"none\.h5.*not an existing file"):
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


@pytest.mark.parametrize("value", [2**24 + 1, 2**53 + 1, 2**62])
def test_integers_stay_integers_on_disk(jets, tmp_path, value):
    marked = jets.with_jet(event=value + np.arange(len(jets)), run=np.full(len(jets), value))
    hits = np.arange(jets.n_particles, dtype=np.uint8) % 5
    marked = Jets(
        marked.particles | {"hits": hits.astype(np.int32)}, jets.offsets, marked.jet, jets.class_names
    )
    again = read_jets(write_jets(marked, tmp_path / "jets.h5"))
    assert again.jet["event"].tolist() == (value + np.arange(len(jets))).tolist()
    assert set(again.jet["run"].tolist()) == {value} and again.jet["run"].dtype == np.int64
    assert again.particles["hits"].tolist() == hits.tolist() and again.particles["pid"].dtype == np.int64


def test_jets_without_labels_come_back_without(jets, tmp_path):
    columns = {name: values for name, values in jets.jet.items() if name != "label"}
    again = read_jets(write_jets(Jets(jets.particles, jets.offsets, columns), tmp_path / "jets.h5"))
    assert "label" not in again.jet and len(again) == len(jets)


def original_file(path, momenta, counts, width):
    """A file as OmniLearned's own tool makes it: relative to the axis, but for the energies."""
    px, py, pz, energy = momenta.T
    starts = np.cumsum(counts) - counts
    total = np.add.reduceat(momenta, starts, axis=0)
    axis_eta = np.arcsinh(total[:, 2] / np.hypot(total[:, 0], total[:, 1]))
    axis_phi = np.arctan2(total[:, 1], total[:, 0])
    pt = np.hypot(px, py)
    columns = [np.arcsinh(pz / pt) - np.repeat(axis_eta, counts)]
    columns += [np.angle(np.exp(1j * (np.arctan2(py, px) - np.repeat(axis_phi, counts))))]
    columns += [np.log(pt), np.log(energy), index_from_pid(np.full(len(pt), 211))]
    data = np.zeros((len(counts), counts.max(), width), np.float32)
    data[np.arange(counts.max()) < counts[:, None]] = np.stack(columns[:width], axis=1)
    with h5py.File(path, "w") as file:
        file["data"], file["pid"] = data, np.arange(len(counts)) % 2
    return axis_eta, total


@pytest.mark.parametrize("width", [4, 5])
def test_files_of_the_originals_give_the_masses_of_their_four_vectors(tmp_path, width):
    rng = np.random.default_rng(5)
    counts = rng.integers(20, 60, 400)
    owner = np.repeat(np.arange(400), counts)
    axis = rng.uniform(-2.4, 2.4, 400)
    pt = 0.5 + rng.exponential(12, len(owner))
    eta, phi = axis[owner] + rng.normal(0, 0.25, len(owner)), rng.normal(0, 0.25, len(owner))
    mass = 0.13957 if width == 5 else 0.0
    energy = np.hypot(pt * np.cosh(eta), mass)
    momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=1)
    eta, total = original_file(tmp_path / "theirs.h5", momenta, counts, width)
    jets = read_jets(tmp_path / "theirs.h5")
    expected = np.sqrt(total[:, 3] ** 2 - (total[:, :3] ** 2).sum(axis=1))
    np.testing.assert_allclose(jets.jet["mass"], expected, rtol=0.01)
    np.testing.assert_allclose(np.abs(jets.jet["eta"]), np.abs(eta), atol=0.02)
    far = np.abs(eta) > 0.3
    assert np.mean(np.sign(jets.jet["eta"][far]) == np.sign(eta[far])) > 0.99
    true = Jets.from_four_momenta(momenta, np.append(0, np.cumsum(counts)))
    read, generated = (observables(batch, ["tau_21", "z_g"]) for batch in (jets, true))
    for name, values in read.items():
        np.testing.assert_allclose(values, generated[name], rtol=0.02, atol=2e-3)


def test_what_the_originals_need_to_read_our_files_is_said(jets):
    command = original_command(jets)
    assert "--use-pid" in command and "--use-add --num-add 4" in command and "--num-cond 4" in command
    assert f"--num-classes {len(jets.class_names)}" in command


def test_a_damaged_batch_is_not_called_a_full_disk(jets, tmp_path):
    def batches():
        yield jets
        raise DataFileError("'mine.root', row 15: particle 'px' is not finite")

    with pytest.raises(DataFileError, match="row 15") as error:
        write_jets(batches(), tmp_path / "jets.h5")
    assert "disk" not in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("kilobytes", [1, 20, 100, 400])
def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(tmp_path, kilobytes):
    script = f"""
import resource, signal
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import write_jets
from tests.conftest import random_jets
jets = random_jets(3000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes} * 1024, {kilobytes} * 1024))
try:
    write_jets((jets for _ in range(3)), {str(tmp_path / "jets.h5")!r})
except DataFileError as error:
    print("refused:", error)
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert answer.returncode == 0 and "disk" in answer.stdout, answer.stderr
    assert answer.stderr == "" and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_others_may_read_what_the_umask_lets_them(jets, tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        path = write_jets(jets, tmp_path / "jets.h5")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_a_claim_that_no_file_can_keep_is_refused(tmp_path):
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("data", (10**7, 150, 9), "f4", chunks=(1, 150, 9))
        file["pid"] = np.zeros(1)
    with pytest.raises(DataFileError, match="claims 54 GB in a file of"):
        read_jets(tmp_path / "bomb.h5")


def test_datasets_of_other_lengths_are_refused(jets, tmp_path):
    path = write_jets(jets, tmp_path / "jets.h5")
    with h5py.File(path, "a") as file:
        file["pid"].resize(len(jets) - 3, axis=0)
    with pytest.raises(DataFileError, match="'pid' has .* lost or mixed up"):
        read_jets(path)


def test_a_mass_of_minus_one_never_becomes_an_input(jets, tmp_path):
    mass = np.where(np.arange(len(jets)) == 4, -1.0, jets.jet["mass"])
    with pytest.raises(JetsError, match="jet 4 has pt .* and mass -1 GeV"):
        jet_condition(jets.with_jet(mass=mass))


def test_a_soft_label_of_a_file_is_refused(jets, tmp_path):
    path = write_jets(jets, tmp_path / "jets.h5")
    with h5py.File(path, "a") as file:
        for name in ("jet", "jet_integers", "pid"):
            del file[name]
        file["pid"] = np.linspace(0, 0.9999, len(jets))
    with pytest.raises(JetsError, match="'label' is .* whole numbers are needed"):
        read_jets(path)


@pytest.mark.parametrize("pt", [0.0, -1.0])
def test_a_jet_without_pt_is_named_and_can_be_left_out(tmp_path, pt):
    path = write_jets(random_jets(6), tmp_path / "jets.h5")
    with h5py.File(path, "r+") as file:
        place = list(file.attrs["jet_columns"]).index(b"pt")
        table = file["jet"][()]
        table[3, place] = pt
        file["jet"][...] = table
    with pytest.raises(DataFileError, match=r"row 3: jet pt is .* \(1 such jets\)"):
        read_jets(path)
    assert len(read_jets(path, 0, 3)) == 3
    kept = make_reader("ml_ready", bad_jets="drop").read(path)
    assert kept.jet["row"].tolist() == [0, 1, 2, 4, 5]
