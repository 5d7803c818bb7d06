"""Files on this machine."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections import namedtuple

import h5py
import numpy as np
import pytest
from omnilearn_lab.catalog import open_store, store
from omnilearn_lab.catalog.store import checksum, format_fault, is_web_page, matches, unpack
from omnilearn_lab.errors import DataFileError, DownloadError

from tests.catalog.test_fetch import tar_of
from tests.machine.faults import small_disk
from tests.readers.published.test_jetclass2 import write as write_parquet
from tests.readers.samples import truth, write_energyflow, write_jetclass


@pytest.fixture(autouse=True)
def user_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("OMNILEARN_LAB_DATA", raising=False)
    monkeypatch.setattr(store, "_user_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_the_argument_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_DATA", str(tmp_path / "env"))
    assert open_store(tmp_path / "arg").own == tmp_path / "arg"
    assert open_store().own == tmp_path / "env"


def test_the_user_cache_is_the_default(user_cache):
    assert open_store().own == user_cache and user_cache.is_dir()


def test_a_shared_folder_gets_a_cache_on_top(tmp_path, monkeypatch, user_cache):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "a.h5").write_text("shared")
    monkeypatch.setattr(store, "_is_writable", lambda folder: folder != shared)
    found = open_store(shared)
    assert found.find("a.h5") == shared / "a.h5" and found.find("b.h5") is None
    found.target("a.h5").write_text("own")
    assert found.find("a.h5") == user_cache / "a.h5"


def test_an_unwritable_place_is_named_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match="OMNILEARN_LAB_DATA") as error:
        open_store(tmp_path / "file" / "data")
    assert str(tmp_path / "file" / "data") in str(error.value)


def test_an_unwritable_cache_is_named_with_the_remedy(monkeypatch, user_cache):
    monkeypatch.setattr(store, "_is_writable", lambda folder: False)
    with pytest.raises(DataFileError, match="OMNILEARN_LAB_DATA") as error:
        open_store()
    assert str(user_cache) in str(error.value)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd"])
def test_no_name_leaves_the_folder(tmp_path, name):
    with pytest.raises(DataFileError, match="leaves the data folder"):
        open_store(tmp_path).target(name)


def test_a_folder_may_be_a_link_to_another_disk(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "a.h5").write_text("")
    (tmp_path / "data" / "jetclass").symlink_to(tmp_path / "big")
    assert open_store(tmp_path / "data").find("jetclass/a.h5") is not None


def write_hdf5(path, version="earliest"):
    with h5py.File(path, "w", libver=version) as file:
        file["x"] = np.arange(20_000)


LABELS = np.arange(12) % 2
WRITERS = {
    "a.h5": write_hdf5,
    "new.h5": lambda path: write_hdf5(path, "latest"),
    "a.root": lambda path: write_jetclass(path, truth(), LABELS),
    "a.parquet": write_parquet,
    "a.npz": lambda path: write_energyflow(path, truth(), LABELS),
    "a.tar": lambda path: path.write_bytes(tar_of({"x": b"1" * 50_000})),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_sound_file_passes_and_one_that_ends_early_does_not(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    assert format_fault(path, name) is None
    size = path.stat().st_size
    for share in (0.7, 0.3):
        os.truncate(path, int(share * size))
        assert format_fault(path, name)


@pytest.mark.parametrize("name", [*WRITERS, "a.tar.gz"])
@pytest.mark.parametrize("content", [b"", b"jets", b"<html>Sign in</html>", bytes(70_000)])
def test_other_content_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert format_fault(tmp_path / name, name)


def test_where_a_format_has_no_marks_nothing_is_known(tmp_path):
    for name, content in {"a.csv": b"1,2", "a.h5.gz": gzip.compress(b"jets")}.items():
        (tmp_path / name).write_bytes(content)
        assert format_fault(tmp_path / name, name) == ""


@pytest.mark.parametrize(
    "start", [b"<!doctype HTML>", b"  \n<html lang='en'>", b"<!-- a --><HTML>", b"<head>"]
)
def test_pages_for_browsers_are_seen(start):
    assert is_web_page(start)


@pytest.mark.parametrize("start", [b"", b"PAR1", b"\x89HDF", b"<xml>", b"jets <html>", b"<" * 1000])
def test_data_are_no_pages(start):
    assert not is_web_page(start)


@pytest.mark.parametrize("kind", ["md5", "sha256", "adler32"])
def test_a_changed_byte_changes_every_kind_of_checksum(tmp_path, kind):
    path = tmp_path / "a"
    path.write_bytes(b"jets" * 1000)
    before = checksum(path, kind)
    assert before.startswith(f"{kind}:") and matches(path, before)
    path.write_bytes(b"jets" * 999 + b"jetz")
    assert not matches(path, before)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_cannot_write_elsewhere(tmp_path, name, kind):
    archive = tmp_path / "in" / f"b.{kind}"
    archive.parent.mkdir()
    if kind == "tar":
        archive.write_bytes(tar_of({name: b"evil"}))
    else:
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr(name, b"evil")
    try:
        unpack(archive, tmp_path / "in" / "b")
    except DataFileError as error:
        assert str(archive) in str(error) or "leaves the data folder" in str(error)
    written = [p for p in tmp_path.rglob("evil") if not p.is_relative_to(tmp_path / "in" / "b")]
    assert written == [] and not os.path.exists("/evil")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_an_archive_cannot_lead_elsewhere(tmp_path, kind):
    archive = tmp_path / "b.tar"
    with tarfile.open(archive, "w") as file:
        link = tarfile.TarInfo("door")
        link.type, link.linkname = kind, "../.."
        file.addfile(link)
        through = tarfile.TarInfo("door/evil")
        through.size = 4
        file.addfile(through, io.BytesIO(b"evil"))
    with pytest.raises(DataFileError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "in" / "b")
    assert not list(tmp_path.rglob("evil"))
    assert not (tmp_path / "in" / "b").exists()


def test_a_truncated_archive_leaves_no_folder(tmp_path):
    archive = tmp_path / "b.tar"
    archive.write_bytes(tar_of({"x": b"1" * 5000, "y": b"2" * 5000})[:7000])
    with pytest.raises(DataFileError, match="fetch it again"):
        unpack(archive, tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.tar"]


def zip_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, body in members.items():
            file.writestr(name, body)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_bomb_is_refused_before_it_is_written(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(store, "_SMALL", 100_000)
    members = {f"{number}": bytes(10_000_000) for number in range(3)}
    body = zip_of(members) if kind == "zip" else gzip.compress(tar_of(members))
    (tmp_path / f"b.{kind}").write_bytes(body)
    with pytest.raises(DataFileError, match="bytes are accepted"):
        unpack(tmp_path / f"b.{kind}", tmp_path / "b")
    assert [p.name for p in tmp_path.iterdir()] == [f"b.{kind}"]


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_MEMBERS", 5)
    (tmp_path / "b.tar").write_bytes(tar_of({f"{number}": b"" for number in range(6)}))
    with pytest.raises(DataFileError, match="at most 5 files"):
        unpack(tmp_path / "b.tar", tmp_path / "b")


def test_a_stated_size_is_not_believed_where_the_disk_has_no_room(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 9_999))
    (tmp_path / "b.tar").write_bytes(tar_of({"a": bytes(10_000)}))
    with pytest.raises(DownloadError, match="make room"):
        unpack(tmp_path / "b.tar", tmp_path / "b")


def test_a_disk_that_fills_up_while_unpacking_leaves_no_folder(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage(10**9, 0, 10**9))
    (tmp_path / "b.tar").write_bytes(tar_of({str(number): os.urandom(100_000) for number in range(5)}))
    with small_disk(tmp_path / "disk", 0.3) as disk:
        with pytest.raises(DownloadError, match="the disk is full"):
            unpack(tmp_path / "b.tar", disk / "b")
        assert list(disk.iterdir()) == []


def test_a_folder_of_the_users_with_a_name_like_ours_stays(tmp_path):
    mine = tmp_path / "b.unpacking"
    mine.mkdir()
    (mine / "notes.txt").write_text("precious")
    (tmp_path / "b.tar").write_bytes(tar_of({"a": b"1"}))
    unpack(tmp_path / "b.tar", tmp_path / "b")
    assert (mine / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_modes_are_the_umasks_not_the_packers(tmp_path, kind):
    if kind == "tar":
        with tarfile.open(tmp_path / "b.tar", "w") as file:
            member = tarfile.TarInfo("a")
            member.mode = 0o4600
            file.addfile(member)
    else:
        (tmp_path / "b.zip").write_bytes(zip_of({"a": b"1"}))
    before = os.umask(0o022)
    try:
        folder = unpack(tmp_path / f"b.{kind}", tmp_path / "b")
    finally:
        os.umask(before)
    assert (
        stat.S_IMODE((folder / "a").stat().st_mode) == 0o644 and stat.S_IMODE(folder.stat().st_mode) == 0o755
    )


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_archive_is_an_error_of_ours(tmp_path, seed):
    import numpy as np

    rng = np.random.default_rng(seed)
    kind = ("tar", "zip", "tar.gz")[seed % 3]
    members = {"a": rng.bytes(3000), "b/c": bytes(2000)}
    body = bytearray(zip_of(members) if kind == "zip" else tar_of(members))
    body = bytearray(gzip.compress(bytes(body))) if kind == "tar.gz" else body
    for place in rng.integers(0, min(len(body), 1200), 3):
        body[place] ^= 1 << rng.integers(8)
    (tmp_path / f"b.{kind}").write_bytes(body)
    try:
        unpack(tmp_path / f"b.{kind}", tmp_path / "b")
    except (DataFileError, DownloadError) as error:
        assert "b." in str(error) and ";" in str(error)
        assert not (tmp_path / "b").exists()
