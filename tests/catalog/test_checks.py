"""The marks of the formats: a sound file passes, and one that ends early does not."""

from __future__ import annotations

import gzip
import os

import h5py
import numpy as np
import pytest
from omnilearn_lab.catalog.checks import checksum, format_fault, is_web_page, matches

from tests.catalog.test_fetch import tar_of
from tests.readers.published.test_jetclass2 import write as write_parquet
from tests.readers.samples import truth, write_energyflow, write_jetclass


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
