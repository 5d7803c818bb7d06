"""Archives write nothing elsewhere, no more than they state, and leave no half folder."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections import namedtuple

import pytest
from omnilearn_lab.catalog import archives
from omnilearn_lab.catalog.archives import unpack
from omnilearn_lab.errors import DataFileError, DownloadError

from tests.catalog.test_fetch import tar_of
from tests.machine.faults import small_disk


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
    monkeypatch.setattr(archives, "_SMALL", 100_000)
    members = {f"{number}": bytes(10_000_000) for number in range(3)}
    body = zip_of(members) if kind == "zip" else gzip.compress(tar_of(members))
    (tmp_path / f"b.{kind}").write_bytes(body)
    with pytest.raises(DataFileError, match="bytes are accepted"):
        unpack(tmp_path / f"b.{kind}", tmp_path / "b")
    assert [p.name for p in tmp_path.iterdir()] == [f"b.{kind}"]


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MEMBERS", 5)
    (tmp_path / "b.tar").write_bytes(tar_of({f"{number}": b"" for number in range(6)}))
    with pytest.raises(DataFileError, match="at most 5 files"):
        unpack(tmp_path / "b.tar", tmp_path / "b")


def test_a_stated_size_is_not_believed_where_the_disk_has_no_room(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 9_999))
    (tmp_path / "b.tar").write_bytes(tar_of({"a": bytes(10_000)}))
    with pytest.raises(DownloadError, match="make room"):
        unpack(tmp_path / "b.tar", tmp_path / "b")


def test_a_disk_that_fills_up_while_unpacking_leaves_no_folder(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage(10**9, 0, 10**9))
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
