"""Downloads against a server that drops, lies, corrupts and refuses ranges; no other network."""

from __future__ import annotations

import errno
import hashlib
import io
import multiprocessing
import os
import shutil
import tarfile
import zipfile
import zlib
from collections import namedtuple

import numpy as np
import pytest
import requests
from omnilearn_lab.catalog import FetchOptions, Store, download, fetch, verify
from omnilearn_lab.catalog.download import DownloadSettings, ResumingDownloader
from omnilearn_lab.catalog.fetch import fetch_files
from omnilearn_lab.catalog.local import check_file
from omnilearn_lab.catalog.schema import DataFile
from omnilearn_lab.catalog.unpack import unpack
from omnilearn_lab.errors import CatalogError, DataFileError, DownloadError

from tests.catalog.server import running

BODY = np.random.default_rng(5).bytes(300_000)
OPTIONS = FetchOptions(progress=False, download=DownloadSettings(retries=3, pause=0.0, timeout=5.0))


@pytest.fixture
def web():
    with running() as (address, told):
        told.files["/a.bin"] = BODY
        yield address, told


def md5(body):
    return "md5:" + hashlib.md5(body).hexdigest()


def described(address, name="a.bin", **known):
    """A catalogue file on the test server, which speaks plain http."""
    return DataFile.model_construct(name=name, url=f"{address}/{name}", **known)


def get(web, tmp_path, options=OPTIONS, **known):
    known = {"size": len(BODY), "checksum": md5(BODY)} | known
    return fetch_files("set", [described(web[0], **known)], Store(tmp_path), options)[0]


def left_over(tmp_path):
    """Everything in the dataset's folder but locks and the record."""
    names = (p.name for p in (tmp_path / "set").iterdir())
    return sorted(name for name in names if not name.endswith(".lock") and name != "received.json")


CHECKSUMS = [
    md5(BODY),
    "sha256:" + hashlib.sha256(BODY).hexdigest(),
    f"adler32:{zlib.adler32(BODY):08x}",
    None,
]


@pytest.mark.parametrize("checksum", CHECKSUMS)
@pytest.mark.parametrize("size", [len(BODY), None])
def test_a_file_arrives_whole(web, tmp_path, checksum, size):
    path = get(web, tmp_path, checksum=checksum, size=size)
    assert path.read_bytes() == BODY and left_over(tmp_path) == ["a.bin"]


def test_a_second_call_makes_no_network_call(web, tmp_path):
    get(web, tmp_path)
    web[1].requests.clear()
    get(web, tmp_path)
    assert web[1].requests == []


def test_a_file_put_there_by_hand_makes_no_network_call(web, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin").write_bytes(BODY)
    get(web, tmp_path)
    assert web[1].requests == []


def test_a_file_in_a_shared_folder_makes_no_network_call(web, tmp_path):
    (tmp_path / "shared" / "set").mkdir(parents=True)
    (tmp_path / "shared" / "set" / "a.bin").write_bytes(BODY)
    store = Store(tmp_path / "own", shared=tmp_path / "shared")
    path = fetch_files("set", [described(web[0], checksum=md5(BODY))], store, OPTIONS)[0]
    assert path == tmp_path / "shared" / "set" / "a.bin" and web[1].requests == []


def test_a_dropped_connection_is_resumed(web, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_BLOCK", 1000)
    web[1].drop_after = [100_000, 70_000, 50_000]
    assert get(web, tmp_path).read_bytes() == BODY
    asked = [header for _, header in web[1].requests]
    assert asked == [None, "bytes=100000-", "bytes=170000-", "bytes=220000-"]


def test_a_part_of_an_earlier_session_is_resumed(web, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin.part").write_bytes(BODY[:123_456])
    assert get(web, tmp_path).read_bytes() == BODY
    assert web[1].requests == [("/a.bin", "bytes=123456-")]


def test_a_complete_part_only_needs_its_name(web, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin.part").write_bytes(BODY)
    assert get(web, tmp_path).read_bytes() == BODY and web[1].requests == []


def test_a_server_without_ranges_starts_over(web, tmp_path):
    web[1].ranges, web[1].drop_after = False, [100_000]
    assert get(web, tmp_path).read_bytes() == BODY


def test_another_range_than_asked_for_is_not_glued_on(web, tmp_path):
    web[1].drop_after, web[1].shift = [100_000], 7
    assert get(web, tmp_path, checksum=None).read_bytes() == BODY


def test_a_file_that_changed_meanwhile_starts_over(web, tmp_path):
    target = tmp_path / "set" / "a.bin"
    target.parent.mkdir()
    target.with_name("a.bin.part").write_bytes(b"old" * 1000)
    target.with_name("a.bin.part.etag").write_text('"old"')
    assert get(web, tmp_path, checksum=None).read_bytes() == BODY


def test_a_part_longer_than_the_file_starts_over(web, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin.part").write_bytes(BODY + b"xx")
    assert get(web, tmp_path).read_bytes() == BODY


def test_a_corrupt_copy_is_fetched_once_more(web, tmp_path):
    web[1].corrupt = 1
    assert get(web, tmp_path).read_bytes() == BODY and len(web[1].requests) == 2


@pytest.mark.parametrize("checksum", [md5(b"other"), "adler32:00000000"])
def test_a_wrong_checksum_leaves_nothing(web, tmp_path, checksum):
    with pytest.raises(DownloadError) as error:
        get(web, tmp_path, checksum=checksum, checksum_source="reported")
    assert left_over(tmp_path) == []
    expected = ["a.bin", web[0], checksum, "third party", str(tmp_path / "set" / "a.bin")]
    assert all(part in str(error.value) for part in expected), str(error.value)


def test_a_file_of_another_size_leaves_nothing_under_the_final_name(web, tmp_path):
    web[1].extra = 10
    with pytest.raises(DownloadError, match="300010 bytes instead of 300000"):
        get(web, tmp_path)
    assert "a.bin" not in left_over(tmp_path)


def test_without_a_length_the_checksum_decides(web, tmp_path):
    web[1].no_length, web[1].drop_after = True, [100_000]
    assert get(web, tmp_path, size=None).read_bytes() == BODY


def test_temporary_failures_are_tried_again(web, tmp_path):
    web[1].statuses = [503, 429, 500]
    assert get(web, tmp_path).read_bytes() == BODY


def test_the_pause_doubles(web, tmp_path, monkeypatch):
    pauses = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    web[1].statuses = [503] * 3
    ResumingDownloader(tmp_path / "a.bin", settings=DownloadSettings(pause=1.0))(
        f"{web[0]}/a.bin", str(tmp_path / "out")
    )
    assert pauses == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_final(web, tmp_path, status):
    web[1].statuses = [status]
    with pytest.raises(DownloadError, match=str(status)):
        get(web, tmp_path)
    assert len(web[1].requests) == 1


def test_offline_names_file_address_and_place(tmp_path):
    with running() as (address, _):
        pass
    with pytest.raises(DownloadError) as error:
        get((address, None), tmp_path)
    expected = ["'a.bin'", f"{address}/a.bin", str(tmp_path / "set" / "a.bin"), "put it at"]
    assert all(part in str(error.value) for part in expected), str(error.value)


def test_one_failure_does_not_stop_the_others(web, tmp_path):
    web[1].files["/c.bin"] = b"c" * 1000
    wanted = [described(web[0], name) for name in ("missing.bin", "a.bin", "c.bin")]
    with pytest.raises(DownloadError, match="missing"):
        fetch_files("set", wanted, Store(tmp_path), OPTIONS)
    assert left_over(tmp_path) == ["a.bin", "c.bin"]


def test_a_full_disk_is_noticed_before_the_start(web, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 299_999))
    with pytest.raises(DownloadError, match="subset"):
        get(web, tmp_path)
    assert web[1].requests == []
    with pytest.raises(DownloadError, match="300000 more bytes"):
        get(web, tmp_path, size=None)
    assert left_over(tmp_path) == []


def test_a_disk_that_fills_up_keeps_the_part(web, tmp_path, monkeypatch):
    def full(self, response):
        self.part.write_bytes(BODY[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(ResumingDownloader, "_write", full)
        with pytest.raises(DownloadError, match="the disk is full.*1000 bytes"):
            get(web, tmp_path)
    assert left_over(tmp_path) == ["a.bin.part"]
    assert get(web, tmp_path).read_bytes() == BODY
    assert web[1].requests[-1] == ("/a.bin", "bytes=1000-")


def test_an_unknown_checksum_is_recorded_and_then_holds(web, tmp_path):
    path = get(web, tmp_path, checksum=None)
    file, store = described(web[0]), Store(tmp_path)
    assert check_file("set", file, store).state == "recorded"
    path.write_bytes(BODY[:-1] + b"?")
    assert check_file("set", file, store).state == "wrong"


def test_a_wrong_local_file_is_kept_aside(web, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin").write_bytes(b"precious")
    assert get(web, tmp_path).read_bytes() == BODY
    assert (tmp_path / "set" / "a.bin.wrong").read_bytes() == b"precious"


def test_a_changed_file_is_noticed_by_the_thorough_check_even_with_its_old_stamp(web, tmp_path):
    path = get(web, tmp_path)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_bytes(BODY[:-1] + b"?")
    os.utime(path, ns=times)
    file, store = described(web[0], size=len(BODY), checksum=md5(BODY)), Store(tmp_path)
    assert check_file("set", file, store).state == "ok"
    assert check_file("set", file, store, thorough=True).state == "wrong"


def _process(address, folder):
    get((address, None), folder)


def test_two_processes_at_once_download_once(web, tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_process, args=(web[0], tmp_path)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [w.exitcode for w in workers] == [0, 0] and len(web[1].requests) == 1
    assert (tmp_path / "set" / "a.bin").read_bytes() == BODY


def tar_of(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            file.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def test_an_archive_is_unpacked_and_not_fetched_again(web, tmp_path):
    web[1].files["/b.tar"] = tar_of({"Pythia/x.root": b"jets"})
    wanted = [described(web[0], "b.tar")]
    for _ in range(2):
        folder = fetch_files("set", wanted, Store(tmp_path), OPTIONS)[0]
    assert folder == tmp_path / "set" / "b" and (folder / "Pythia" / "x.root").read_bytes() == b"jets"
    assert len(web[1].requests) == 1 and left_over(tmp_path) == ["b"]


def test_an_https_address_that_leads_to_an_insecure_one_is_refused(tmp_path, monkeypatch):
    elsewhere = requests.Response()
    elsewhere.status_code, elsewhere.url, elsewhere.raw = 200, "http://elsewhere.org/a.h5", io.BytesIO()
    monkeypatch.setattr(requests, "get", lambda url, **_: elsewhere)
    with pytest.raises(DownloadError, match="insecure address http://elsewhere"):
        ResumingDownloader(tmp_path / "a.h5")("https://example.org/a.h5", str(tmp_path / "a.h5"))
    assert not list(tmp_path.iterdir())


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


def test_fetch_needs_a_known_dataset_with_addresses(tmp_path):
    with pytest.raises(CatalogError, match="did you mean 'jetclass'"):
        fetch("jetclas")


def test_verify_tells_missing_from_wrong(tmp_path):
    (tmp_path / "top_tagging").mkdir()
    (tmp_path / "top_tagging" / "val.h5").write_bytes(b"no")
    states = {s.name: s.state for s in verify("top_tagging", options=FetchOptions(data_dir=tmp_path))}
    assert states == {"train.h5": "missing", "val.h5": "wrong", "test.h5": "missing"}
