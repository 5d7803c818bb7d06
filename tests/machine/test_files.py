"""Files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.machine import (
    atomic_folder,
    atomic_hdf5,
    atomic_path,
    attributes,
    check_dataset,
    check_disk,
    locked,
    make_folder,
    reading,
    watched,
    write_text,
)
from omnilearn_lab.machine.files import MARK, open_partial
from tests.machine.faults import ROOT, in_child, kill_when, open_folder, run_as, small_disk

ANNA, BERT, GROUP = 20_001, 20_002, 20_100
OLD = time.time() - 2 * 86_400


@pytest.fixture
def everybodys():
    with open_folder() as folder:
        yield folder


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_modes_follow_the_umask(tmp_path, umask, expected):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.json", "{}")
        with atomic_path(tmp_path / "b.bin") as path:  # a library that puts a private file in its place
            path.unlink()
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert (mode(tmp_path / "a.json"), mode(tmp_path / "b.bin")) == (expected, expected)


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = write_text(tmp_path / "a.json", "old")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as path:
        path.write_text("half")
        1 / 0  # noqa: B018
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_no_file_of_anybodys_is_touched_and_no_link_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "a.json").symlink_to(precious)
    write_text(tmp_path / "a.json", "new")
    assert precious.read_text() == "precious" and (tmp_path / "a.json").read_text() == "new"
    assert not (tmp_path / "a.json").is_symlink()


@pytest.mark.parametrize("name", ["ü" * 120 + ".h5", "x" * 200, ".hidden", f"a.{100 * 'b'}.c", "j\udcff"])
def test_long_and_odd_names(tmp_path, name):
    assert write_text(tmp_path / name, "1").read_text() == "1"


def test_a_missing_or_forbidden_folder_is_an_error_of_ours(tmp_path):
    with pytest.raises(DataFileError, match="choose another folder"):
        write_text(tmp_path / "none" / "a.json", "{}")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataFileError, match="choose another folder"):
        make_folder(tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["y" * 200] * 30), "a\0b", ""])
def test_names_that_no_file_can_have_are_errors_of_ours(tmp_path, name):
    with pytest.raises(DataFileError, match="name|too long"):
        make_folder(tmp_path / name / "folder") if name else write_text("", "text")
    with (
        pytest.raises(DataFileError, match="not an existing file|is a folder"),
        reading(tmp_path / name, "x"),
    ):
        pass
    if name and len(name) > 300:
        with pytest.raises(DataFileError, match="too long"):
            write_text(tmp_path / name, "text")


def test_other_errors_of_the_block_pass(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.json"):
        (tmp_path / "elsewhere").read_text()


def test_a_full_disk_keeps_what_was_there(tmp_path):
    with small_disk(tmp_path / "disk", 0.5) as disk:
        target = write_text(disk / "a.json", "old")
        with pytest.raises(DataFileError, match="No space left.*make room"):
            write_text(target, "x" * 1_000_000)
        assert target.read_text() == "old" and list(disk.iterdir()) == [target]


def test_a_killed_writer_leaves_the_old_file_and_its_orphan_is_swept_a_day_later(tmp_path):
    target = write_text(tmp_path / "a.json", "old")
    code = (
        "import sys, time; from omnilearn_lab.machine import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path: path.write_text('half'); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, target], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    kill_when(process, lambda: any(p.read_text() == "half" for p in tmp_path.glob(f".*{MARK}*")))
    assert target.read_text() == "old"
    (orphan,) = tmp_path.glob(f".*{MARK}*")
    write_text(tmp_path / "b.json", "1")
    assert orphan.exists()  # it may still be written
    os.utime(orphan, (OLD, OLD))
    write_text(tmp_path / "b.json", "2")
    assert not orphan.exists()


def test_a_clock_that_runs_ahead_sweeps_nothing(tmp_path, monkeypatch):
    """The age of an orphan is told by the clock of the disk, not by that of this process."""
    (tmp_path / f".a{MARK}{'0' * 16}").write_text("somebody writes here")
    monkeypatch.setattr(time, "time", lambda: OLD + 400 * 86_400)
    write_text(tmp_path / "b.json", "1")
    assert (tmp_path / f".a{MARK}{'0' * 16}").exists()


def test_orphans_are_ours_by_their_names_only(tmp_path):
    names = (".a.partial-notes", "a.json.partial-0123456789abcdef", ".b.part", "x.unpacking")
    ours = (tmp_path / f".x{MARK}{'0' * 16}", tmp_path / f".a.h5{MARK}{'0' * 16}.h5")
    for place in [tmp_path / name for name in names]:
        place.write_text("precious")
        os.utime(place, (OLD, OLD))
    ours[0].mkdir()
    ours[1].write_text("")
    for place in ours:
        os.utime(place, (OLD, OLD))
    write_text(tmp_path / "b.json", "1")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*names, "b.json"])


def test_a_folder_appears_whole(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "jets") as folder:
        (folder / "a").write_text("1")
        1 / 0  # noqa: B018
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "jets") as folder:
        (folder / "a").write_text("1")
    assert [p.name for p in (tmp_path / "jets").iterdir()] == ["a"]


def make_link(path, elsewhere):
    path.symlink_to(elsewhere)


def make_second_name(path, elsewhere):
    elsewhere.write_text("precious")
    path.hardlink_to(elsewhere)


def make_pipe(path, _):
    os.mkfifo(path)


def make_directory(path, _):
    path.mkdir()


@pytest.mark.parametrize("make", [make_link, make_second_name, make_pipe, make_directory])
def test_a_partial_file_is_opened_only_when_it_is_a_plain_file(tmp_path, make):
    elsewhere = tmp_path / "elsewhere"
    make(tmp_path / "a.part", elsewhere)
    with pytest.raises(DataFileError, match="move it away"):
        open_partial(tmp_path / "a.part")
    assert not elsewhere.exists() or elsewhere.read_text() == "precious"


def test_a_lock_that_is_a_link_is_refused(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "a.lock").symlink_to(precious)
    with pytest.raises(DataFileError, match="move it away"), locked(tmp_path / "a"):
        pass
    assert precious.read_text() == "precious"


def test_a_held_lock_is_an_error_after_the_time(tmp_path):
    with locked(tmp_path / "a"):
        second = locked(tmp_path / "a", timeout=0.05)
        with pytest.raises(DataFileError, match="in use by another process"), second:
            pass


def test_two_users_of_a_group_share_files_folders_and_locks(everybodys):
    shared = everybodys / "shared"
    shared.mkdir()
    os.chown(shared, ANNA, GROUP)
    shared.chmod(0o2775)
    write = (
        "from omnilearn_lab.machine import *\n"
        f"folder = make_folder('{shared}/sets/new')\n"
        "with locked(folder / 'a.h5'): print(write_text(folder / 'a.h5', str(os.getuid())).read_text())"
    )
    for user in (ANNA, BERT, ANNA):
        assert run_as(user, write, group=GROUP) == str(user)
    stranger = f"print(open('{shared}/sets/new/a.h5').read())"
    assert run_as(20_003, stranger) == str(ANNA)


def test_a_user_who_may_not_write_is_told(everybodys):
    shared = make_folder(everybodys / "shared")
    write = (
        "from omnilearn_lab.machine import *; from omnilearn_lab.errors import DataFileError\n"
        f"try:\n  with locked('{shared}/a.h5'): pass\n"
        "except DataFileError as error: print(error)"
    )
    assert "Permission denied" in run_as(ANNA, write)
    assert list(Path(shared).iterdir()) == []


WRITE = """
import gc, sys
import numpy as np
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import read_jets, write_jets
from tests.conftest import random_jets
jets = random_jets(400, seed=1)
try:
    write_jets([jets] * 20, sys.argv[1])
except DataFileError as error:
    print(error)
gc.collect()
print("alive")
"""


def fill(file, rows=2000):
    rng = np.random.default_rng(1)
    for _ in range(4):
        values = rng.random((rows, 8))
        if "x" in file:
            file["x"].resize(len(file["x"]) + rows, axis=0)
            file["x"][-rows:] = values
        else:
            file.create_dataset("x", data=values, chunks=(500, 8), maxshape=(None, 8), compression="gzip")


def test_the_file_is_the_one_that_the_library_writes_itself(tmp_path):
    with atomic_hdf5(tmp_path / "a.h5") as file:
        fill(file)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        fill(file)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_copy_is_changed_and_the_source_stays(tmp_path):
    with atomic_hdf5(tmp_path / "a.h5") as file:
        file["x"] = [1, 2]
    before = (tmp_path / "a.h5").read_bytes()
    with atomic_hdf5(tmp_path / "b.h5", copy_of=tmp_path / "a.h5") as file:
        file["y"] = [3]
    assert (tmp_path / "a.h5").read_bytes() == before
    with h5py.File(tmp_path / "b.h5") as file:
        assert list(file["x"]) == [1, 2] and list(file["y"]) == [3]


@pytest.mark.parametrize("kilobytes", [20, 64, 200, 500, 900])
def test_a_full_disk_kills_nothing(tmp_path, kilobytes):
    with small_disk(tmp_path / "disk", kilobytes / 1024) as disk:
        done = in_child(
            WRITE.replace("sys.argv[1]", repr(str(disk / "jets.h5"))).replace("sys.argv[2]", "20")
        )
        assert done.returncode == 0, done.stderr
        assert "No space left" in done.stdout and done.stdout.strip().endswith("alive")
        assert list(disk.iterdir()) == []


def test_a_full_disk_is_noticed_at_the_step_and_the_old_file_stays(tmp_path):
    with small_disk(tmp_path / "disk", 0.25) as disk:
        with atomic_hdf5(disk / "a.h5") as file:
            file["x"] = [1, 2]
        before, steps = (disk / "a.h5").read_bytes(), 0
        with pytest.raises(DataFileError, match="make room"), atomic_hdf5(disk / "a.h5") as file:
            for steps in range(100):  # noqa: B007
                file[f"x{steps}"] = np.arange(5000)
                check_disk(file)
        assert 0 < steps < 10 and (disk / "a.h5").read_bytes() == before


# ---- HDF5, read with care ------------------------------------------------------------------------


def heap(path):
    """A file with text, and where its heap begins."""
    with h5py.File(path, "w") as file:
        file.attrs["words"] = ["jets", "of", "particles"]
        file.attrs["year"], file.attrs["kind"] = 2026, np.bytes_("h5")
        file.create_dataset("text", data=["a", "b" * 300], dtype=h5py.string_dtype())
    return path.read_bytes().index(b"GCOL")


def test_attributes_of_every_kind_come_back(tmp_path):
    heap(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(attributes(file)["words"]) == ["jets", "of", "particles"]
        assert attributes(file, "year", "month") == {"year": 2026}
        assert attributes(file, "kind") == {"kind": b"h5"}
        with watched(file["text"]) as text:
            assert text.asstr()[:].tolist() == ["a", "b" * 300]


READ_TEXT = """
import resource, sys
import h5py
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.machine import attributes, watched

resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
with h5py.File(sys.argv[1]) as file:
    assert attributes(file, "year") == {"year": 2026}
    try:
        attributes(file)
    except DataFileError as error:
        print(error)
    try:
        with watched(file["text"]) as text:
            text[:]
    except DataFileError as error:
        print(error)
"""


@pytest.mark.parametrize("size", [0, 8])
def test_a_heap_without_an_end_is_an_error_in_no_time(tmp_path, size):
    """The HDF5 library walks over it for ever."""
    path = tmp_path / "a.h5"
    start = heap(path)
    data = bytearray(path.read_bytes())
    data[start + 16 : start + 32] = bytes(8) + size.to_bytes(8, "little")  # an object: none, of this size
    path.write_bytes(data)
    done = in_child(READ_TEXT, path)
    assert done.stdout.count(f"the text at byte {start} is damaged") == 2, done.stdout + done.stderr


def test_values_in_other_files_are_not_read(tmp_path):
    np.arange(4.0).tofile(tmp_path / "raw")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("external", (4,), "f8", external=[(str(tmp_path / "raw"), 0, 32)])
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "gone.h5"), "x", (4,))
        file.create_virtual_dataset("virtual", layout)
        file["linked"] = h5py.ExternalLink("b.h5", "/sound")
        file["sound"] = np.ones(3)
        file["text"] = ["a"]
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["sound"] = np.ones(3)
    with h5py.File(tmp_path / "a.h5") as file:
        for name in ("external", "virtual", "linked"):
            with pytest.raises(DataFileError, match="are kept in other files.*h5repack"):
                check_dataset(file[name], tmp_path / "a.h5", owner=file)
        with pytest.raises(DataFileError, match="numbers are needed"):
            check_dataset(file["text"], tmp_path / "a.h5")
        check_dataset(file["text"], tmp_path / "a.h5", text=True)
        check_dataset(file["sound"], tmp_path / "a.h5")
