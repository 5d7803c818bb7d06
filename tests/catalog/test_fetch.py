"""Downloads against a server that drops, lies, corrupts and refuses ranges; no other network."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import logging
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import zlib
from collections import namedtuple

import h5py
import numpy as np
import pytest
import requests
import urllib3
from omnilearn_lab.catalog import FetchOptions, download, fetch, verify
from omnilearn_lab.catalog.download import Download, DownloadSettings, check_file
from omnilearn_lab.catalog.entries import DataFile
from omnilearn_lab.catalog.fetch import fetch_files
from omnilearn_lab.catalog.store import Store
from omnilearn_lab.errors import CatalogError, DataFileError, DownloadError

from tests.catalog.server import running
from tests.machine.faults import ROOT, kill_when, small_disk

BODY = np.random.default_rng(5).bytes(300_000)
PATIENCE = DownloadSettings(retries=3, pause=0.0, timeout=5.0)
OPTIONS = FetchOptions(progress=False, download=PATIENCE)


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
    target.with_name("a.bin.part.json").write_text('{"etag": "\\"old\\""}')
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
    with pytest.raises(DownloadError, match="more than 300000 bytes"):
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
    Download(tmp_path / "a.bin", described(web[0]), DownloadSettings(pause=1.0)).fetch()
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


def test_where_no_name_can_be_looked_up_one_error_comes_at_once(tmp_path, monkeypatch, caplog):
    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(download.time, "sleep", lambda _: pytest.fail("waited for a network"))
    wanted = [described("http://nowhere.test", name) for name in ("a.bin", "b.bin", "c.bin")]
    with caplog.at_level("INFO"), pytest.raises(DownloadError, match=r"'a\.bin'.*is there a network\?"):
        fetch_files("set", wanted, Store(tmp_path), OPTIONS)
    assert not caplog.records


def test_a_proxy_that_does_not_answer_is_named_at_once(tmp_path, monkeypatch, caplog):
    with running() as (address, _):
        pass  # nobody listens there
    monkeypatch.setenv("http_proxy", address)
    monkeypatch.setattr(download.time, "sleep", lambda _: pytest.fail("waited for a proxy"))
    wanted = [described("http://nowhere.test", name) for name in ("a.bin", "b.bin")]
    with caplog.at_level("INFO"), pytest.raises(DownloadError, match=r"'a\.bin'.*https_proxy names does not"):
        fetch_files("set", wanted, Store(tmp_path), OPTIONS)
    assert not caplog.records


def test_a_network_that_goes_away_is_waited_for(web, tmp_path, monkeypatch):
    web[1].drop_after, real, calls = [100_000], socket.getaddrinfo, []

    def fail_once(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise socket.gaierror(-2, "Name or service not known")
        return real(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", fail_once)
    assert get(web, tmp_path).read_bytes() == BODY
    assert len(calls) > 2


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
    def full(self, blocks, total):
        self.part.write_bytes(BODY[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Download, "_write", full)
        with pytest.raises(DownloadError, match="the disk is full.*1000 bytes"):
            get(web, tmp_path)
    assert left_over(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    assert get(web, tmp_path).read_bytes() == BODY
    assert web[1].requests[-1] == ("/a.bin", "bytes=1000-")


def test_an_unknown_checksum_is_recorded_and_then_holds(web, tmp_path):
    path = get(web, tmp_path, checksum=None)
    file, store = described(web[0]), Store(tmp_path)
    assert check_file("set", file, store).state == "unverified"
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


class Redirects(requests.adapters.HTTPAdapter):
    """Answers https addresses as told, and notes what was asked for."""

    def __init__(self, hops, body=b""):
        super().__init__()
        self.hops, self.body, self.asked = dict(hops), body, []

    def send(self, request, **_):
        self.asked.append(request.url)
        answer = requests.Response()
        answer.request, answer.url, answer.status_code = request, request.url, 200
        answer.raw = urllib3.HTTPResponse(io.BytesIO(self.body), preload_content=False)
        if request.url in self.hops:
            answer.status_code, answer.headers["Location"] = 302, self.hops[request.url]
        else:
            answer.headers["Content-Length"] = str(len(self.body))
        return answer


@pytest.fixture
def hops(monkeypatch):
    def install(adapter):
        monkeypatch.setattr(requests.Session, "get_adapter", lambda self, url: adapter)
        return adapter

    return install


HTTPS = DataFile(name="a.bin", url="https://a.org/a.bin")


@pytest.mark.parametrize("where", ["http://b.org/a.bin", "HTTP://b.org/a.bin", "ftp://b.org/a.bin"])
def test_every_hop_is_https(tmp_path, hops, where):
    """Also where the insecure address would lead back to a secure one."""
    web = hops(Redirects({"https://a.org/a.bin": where, where.lower(): "https://c.org/a.bin"}, BODY))
    with pytest.raises(DownloadError, match="leads to the insecure address"):
        Download(tmp_path / "a.bin", HTTPS, PATIENCE).fetch()
    assert web.asked == ["https://a.org/a.bin"] and not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["https://b.org/a.bin", "//b.org/a.bin", "/b/a.bin"])
def test_hops_between_https_addresses_are_followed(tmp_path, hops, where):
    web = hops(Redirects({"https://a.org/a.bin": where}, BODY))
    assert Download(tmp_path / "a.bin", HTTPS, PATIENCE).fetch().read_bytes() == BODY
    assert len(web.asked) == 2


PAGE = b"\n<!DOCTYPE html><html><title>Sign in</title></html>"


@pytest.mark.parametrize(
    ("body", "kind"), [(PAGE, "application/octet-stream"), (b"hello", "text/html; charset=utf-8")]
)
def test_a_login_page_is_no_data_and_costs_no_byte_of_the_part(web, tmp_path, body, kind):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin.part").write_bytes(BODY[:1000])
    web[1].files["/a.bin"], web[1].kind, web[1].ranges = body, kind, False
    with pytest.raises(DownloadError, match="web page instead of the file.*a login"):
        get(web, tmp_path, checksum=None, size=None)
    assert left_over(tmp_path) == ["a.bin.part"]
    assert (tmp_path / "set" / "a.bin.part").read_bytes() == BODY[:1000]


def h5_bytes():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["x"] = np.arange(20_000)
    return buffer.getvalue()


@pytest.mark.parametrize("is_resumable", [True, False])
def test_a_third_of_a_file_is_not_accepted_where_nothing_tells_its_length(web, tmp_path, is_resumable):
    body = h5_bytes()
    web[1].files["/a.h5"], web[1].no_length, web[1].ranges = body, True, is_resumable
    web[1].drop_after = [len(body) // 3] if is_resumable else [len(body) // 3] * 10
    wanted = [described(web[0], "a.h5")]
    if is_resumable:
        assert fetch_files("set", wanted, Store(tmp_path), OPTIONS)[0].read_bytes() == body
        return
    with pytest.raises(DownloadError, match=f"of the {len(body)} bytes that it tells"):
        fetch_files("set", wanted, Store(tmp_path), OPTIONS)
    assert not (tmp_path / "set" / "a.h5").exists() and not (tmp_path / "set" / "received.json").exists()


def test_a_file_that_nothing_tells_complete_is_refused(web, tmp_path):
    web[1].no_length = True
    with pytest.raises(DownloadError, match="nothing tells whether it arrived complete"):
        get(web, tmp_path, size=None, checksum=None)
    assert "a.bin" not in left_over(tmp_path)


def test_a_file_of_another_format_is_refused_and_not_recorded(web, tmp_path):
    web[1].files["/a.h5"] = BODY
    with pytest.raises(DownloadError, match="does not begin as an HDF5 file"):
        fetch_files("set", [described(web[0], "a.h5")], Store(tmp_path), OPTIONS)
    assert left_over(tmp_path) == [] and not (tmp_path / "set" / "received.json").exists()


def test_unverified_files_are_named(web, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        get(web, tmp_path)
        assert not caplog.text
        get(web, tmp_path / "other", checksum=None)
    assert "1 of 1 files are unverified" in caplog.text and "a.bin" in caplog.text


def begin(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})


KILLED = """
import sys, time
from pathlib import Path
from omnilearn_lab.catalog import download
from omnilearn_lab.catalog.fetch import FetchOptions, fetch_files
from omnilearn_lab.catalog.entries import DataFile
from omnilearn_lab.catalog.store import Store
def slow(*_):
    Path(sys.argv[2], "now").touch()
    time.sleep(60)
download.matches = download.checksum = slow
known = {"checksum": sys.argv[3]} if sys.argv[3] else {}
file = DataFile.model_construct(name="a.bin", url=sys.argv[1] + "/a.bin", **known)
fetch_files("set", [file], Store(Path(sys.argv[2])), FetchOptions(progress=False))
"""


@pytest.mark.parametrize("checksum", [md5(BODY), None])
def test_a_kill_while_the_checksum_is_computed_loses_nothing(web, tmp_path, checksum):
    process = begin(KILLED, web[0], tmp_path, checksum or "")
    kill_when(process, (tmp_path / "now").exists)
    assert "a.bin.part" in left_over(tmp_path) and len(web[1].requests) == 1
    assert get(web, tmp_path, checksum=checksum, size=None).read_bytes() == BODY
    assert len(web[1].requests) == 1 and left_over(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("moment", range(5))
def test_a_killed_download_goes_on_where_it_stopped(web, tmp_path, moment):
    web[1].files["/a.bin"], web[1].pause = BODY * 20, 0.002
    code = KILLED.replace("download.matches = download.checksum = slow", "")
    process = begin(code, web[0], tmp_path, md5(BODY * 20))
    part = tmp_path / "set" / "a.bin.part"
    kill_when(process, lambda: part.exists() and part.stat().st_size > moment * len(BODY) * 3)
    have, web[1].pause = part.stat().st_size, 0
    assert get(web, tmp_path, size=None, checksum=md5(BODY * 20)).read_bytes() == BODY * 20
    assert web[1].requests[-1] == ("/a.bin", f"bytes={have}-")


@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_no_link_is_followed_when_a_part_is_opened(web, tmp_path, kind):
    (tmp_path / "set").mkdir()
    precious, part = tmp_path / "precious", tmp_path / "set" / "a.bin.part"
    precious.write_bytes(b"precious")
    part.symlink_to(precious) if kind == "symlink" else part.hardlink_to(precious)
    with contextlib.suppress(DownloadError, DataFileError):
        get(web, tmp_path)
    assert precious.read_bytes() == b"precious"


def test_a_disk_that_is_full_keeps_what_arrived_and_goes_on_elsewhere(web, tmp_path):
    web[1].no_length = True
    with small_disk(tmp_path / "disk", 0.15) as disk:
        with pytest.raises(DownloadError, match="the disk is full"):
            get(web, disk, size=None)
        part = disk / "set" / "a.bin.part"
        assert 0 < part.stat().st_size < len(BODY)
        (tmp_path / "set").mkdir()
        shutil.copy(part, tmp_path / "set")
    assert get(web, tmp_path).read_bytes() == BODY
    assert web[1].requests[-1][1].startswith("bytes=")


@pytest.mark.parametrize(
    "notes", ["{", "[]", '{"a.bin": 3}', '{"a.bin": {"checksum": 5}}', "[" * 100_000, "\\ud800"]
)
def test_a_damaged_record_counts_as_none(web, tmp_path, notes):
    get(web, tmp_path)
    (tmp_path / "set" / "received.json").write_text(notes)
    file = described(web[0], size=len(BODY), checksum=md5(BODY))
    assert check_file("set", file, Store(tmp_path)).state == "ok"
    assert check_file("set", described(web[0]), Store(tmp_path)).state == "unverified"


def test_fetch_needs_a_known_dataset_with_addresses(tmp_path):
    with pytest.raises(CatalogError, match="did you mean 'jetclass'"):
        fetch("jetclas")


def test_verify_tells_missing_from_wrong(tmp_path):
    (tmp_path / "top_tagging").mkdir()
    (tmp_path / "top_tagging" / "val.h5").write_bytes(b"no")
    states = {s.name: s.state for s in verify("top_tagging", options=FetchOptions(data_dir=tmp_path))}
    assert states == {"train.h5": "missing", "val.h5": "wrong", "test.h5": "missing"}
