"""Files that are anything: damaged, lying about their size, or with code inside. No reader lets them."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from contextlib import ExitStack, suppress
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from omnilearn_lab.errors import DataFileError, OmniLearnLabError, translated
from omnilearn_lab.jets import write_jets
from omnilearn_lab.readers import from_file, make_reader, read_atlas_omnifold
from omnilearn_lab.readers.base import open_root

from tests.conftest import random_jets
from tests.readers.own.test_layouts import EVENTS, flavour_dump
from tests.readers.own.test_reader import nano, write_root
from tests.readers.published import (
    test_aspen,
    test_atlas_flavour,
    test_atlas_omnifold,
    test_atlas_top,
    test_cms_mod,
    test_h1,
    test_jetclass2,
    test_omnifold,
    test_omnilearn_v1,
)
from tests.readers.samples import truth, write_energyflow, write_jetclass, write_jetnet, write_top
from tests.readers.test_frames import Canary, places

LABELS = np.arange(12) % 2


def _reader(name, **options):
    return make_reader(name, bad_jets="drop", **options).read


@pytest.mark.parametrize(
    ("file", "name", "place", "options"),
    [
        ("g.hdf5", "particle_features", (0, 0, 2), {}),
        ("aspen.h5", "PFCands", (0, 0, 9), {}),
        ("aspen.h5", "PFCands", (0, 0, 10), {"apply_puppi": True}),
        ("cms_mod.h5", "pfcs", (0, 0), {}),
    ],
)
def test_not_a_number_does_not_hide_a_particle(tmp_path, file, name, place, options):
    """Cuts and masks are false for it: the particle would be gone without a word."""
    path = tmp_path / file
    FORMATS[file][0](path)
    with h5py.File(path, "r+") as stored:
        stored[name][place] = np.nan
    with pytest.raises(DataFileError, match="finite|whole number"):
        make_reader({"g.hdf5": "jetnet"}.get(file, path.stem), **options).read(path)


FORMATS = {
    "aspen.h5": (test_aspen.write, _reader("aspen")),
    "atlas_flavour.h5": (test_atlas_flavour.write, _reader("atlas_flavour")),
    "atlas_omnifold.h5": (test_atlas_omnifold.write, read_atlas_omnifold),
    "atlas_top.h5": (test_atlas_top.write, _reader("atlas_top")),
    "cms_mod.h5": (test_cms_mod.write, _reader("cms_mod")),
    "energyflow.npz": (lambda p: write_energyflow(p, truth(), LABELS), _reader("energyflow")),
    "h1.root": (test_h1.write, _reader("h1")),
    "jetclass.root": (lambda p: write_jetclass(p, truth(), LABELS), _reader("jetclass")),
    "jetclass2.parquet": (test_jetclass2.write, _reader("jetclass2")),
    "g.hdf5": (lambda p: write_jetnet(p, truth(massless=True)), _reader("jetnet")),
    "ml_ready.h5": (lambda p: write_jets(random_jets(12), p), _reader("ml_ready")),
    "omnifold.npz": (test_omnifold.write, _reader("omnifold")),
    "omnilearn_v1.h5": (test_omnilearn_v1.write, _reader("omnilearn_v1")),
    "top_fixed.h5": (
        lambda p: write_top(p, truth(massless=True), LABELS, fmt="fixed"),
        _reader("top_tagging"),
    ),
    "top_table.h5": (
        lambda p: write_top(p, truth(massless=True), LABELS, fmt="table"),
        _reader("top_tagging"),
    ),
    "dump.h5": (lambda p: flavour_dump(p, truth(), 1.0), lambda p: from_file(p, "atlas_flavour_dump")),
    "nano.root": (
        lambda p: write_root(p, "Events", nano(truth(), EVENTS)),
        lambda p: from_file(p, "pfnano", bad_jets="drop"),
    ),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    for name, (write, _) in FORMATS.items():
        write(folder / name)
    return folder


@pytest.mark.parametrize("name", [name for name in FORMATS if name.endswith((".h5", ".hdf5"))])
def test_no_pickle_in_any_place_is_ever_run(written, tmp_path, name):
    canary, path = tmp_path / "canary", tmp_path / name
    content = (written / name).read_bytes()
    for protocol in (0, 5):
        path.write_bytes(content)
        for place in places(path):
            with h5py.File(path, "r+") as file:
                file[place].attrs["note"] = np.bytes_(pickle.dumps(Canary(canary), protocol))
                for attribute, value in dict(file[place].attrs).items():
                    if isinstance(value, bytes):
                        file[place].attrs[attribute] = np.bytes_(pickle.dumps(Canary(canary), protocol))
        try:
            FORMATS[name][1](path)
        except DataFileError as error:
            assert name in str(error)
        assert not canary.exists()


@pytest.mark.parametrize("name", [name for name in FORMATS if name.endswith(".npz")])
def test_no_object_in_an_archive_of_arrays_is_ever_loaded(written, tmp_path, name):
    canary, path = tmp_path / "canary", tmp_path / name
    arrays = dict(np.load(written / name))
    for key in arrays:
        np.savez(path, **arrays | {key: np.array([Canary(canary)] * 12, dtype=object)})
        try:
            FORMATS[name][1](path)
        except DataFileError as error:
            assert "never loaded" in str(error)
        assert not canary.exists()


def test_no_metadata_of_parquet_is_ever_run(written, tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "a.parquet"
    table = pq.read_table(written / "jetclass2.parquet")
    planted = {b"pandas": pickle.dumps(Canary(canary)), b"note": pickle.dumps(Canary(canary), 0)}
    pq.write_table(table.replace_schema_metadata(planted), path)
    assert len(FORMATS["jetclass2.parquet"][1](path)) == 12 and not canary.exists()


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_an_error_of_ours_or_none(written, tmp_path, name):
    content, path = (written / name).read_bytes(), tmp_path / name
    rng = np.random.default_rng(7)
    for case in range(40):
        data = bytearray(content)
        if case < 8:
            del data[int(rng.integers(0, len(data))) :]
        else:
            for place in rng.integers(0, len(data), 1 + case % 4):
                data[place] = int(rng.integers(0, 256))
        path.write_bytes(data)
        try:
            FORMATS[name][1](path)
        except OmniLearnLabError as error:
            assert name in str(error), case


def test_an_archive_that_claims_more_than_it_has_is_refused(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 100, 4)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("X.npy", buffer.getvalue() + bytes(100))
        archive.writestr("y.npy", buffer.getvalue() + bytes(100))
    with pytest.raises(DataFileError, match="claims shape .*3,200,000,000,000 bytes, and has 100"):
        make_reader("energyflow").read(tmp_path / "a.npz")


def test_a_dataset_that_claims_more_than_its_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("PFCands", (10**8, 150, 11), "f4", chunks=(1, 150, 11))
    with pytest.raises(DataFileError, match="'PFCands' claims 660 GB in a file of"):
        make_reader("aspen").count(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        for name in ("pt", "eta", "phi"):
            file.create_dataset(name, (10**8, 150), "f4", chunks=(1, 150))
    with pytest.raises(DataFileError, match="'pt' claims 60 GB"):
        from_file(tmp_path / "b.h5", {"particles": {n: n for n in ("pt", "eta", "phi")}})


def test_a_missing_value_is_not_a_flag(written, tmp_path):
    table = pq.read_table(written / "jetclass2.parquet")
    at = table.column_names.index("part_isPhoton")
    flags = table["part_isPhoton"].to_pylist()
    flags[0][0] = None
    pq.write_table(table.set_column(at, "part_isPhoton", pa.array(flags)), tmp_path / "a.parquet")
    with pytest.raises(DataFileError, match="'part_isPhoton' has 1 missing values"):
        make_reader("jetclass2").read(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["g.hdf5", "aspen.h5", "atlas_top.h5", "omnilearn_v1.h5"])
def test_datasets_of_unequal_length_lose_no_jets(written, tmp_path, name):
    path = tmp_path / name
    content = (written / name).read_bytes()
    path.write_bytes(content)
    for place in [p for p in places(path) if p not in ("/", "fjet_C2")]:  # nobody reads it
        path.write_bytes(content)
        with h5py.File(path, "r+") as file:
            kept = file[place][:-3]
            del file[place]
            file[place] = kept
        with pytest.raises(DataFileError, match="rows"):
            FORMATS[name][1](path)


def test_not_a_number_in_a_table_is_named(tmp_path):
    path = test_atlas_omnifold.write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["df/block0_values"][4, 2] = np.nan
    with pytest.raises(DataFileError, match="row 4: .* is not finite"):
        read_atlas_omnifold(path)


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = write_jets(random_jets(3), tmp_path / "a.h5")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(DataFileError, match=r"may not be read by this user.*chmod a\+r"):
        make_reader("ml_ready").read(path)


def test_who_may_not_read_a_file_is_told_whom_to_ask():
    with (
        pytest.raises(DataFileError, match="ask its owner"),
        translated(DataFileError, "'a'", "save it again"),
    ):
        raise PermissionError(13, "Permission denied", "a")


def test_what_libraries_raise_is_told_with_file_and_remedy(tmp_path, monkeypatch):
    path = tmp_path / "jetclass.root"
    write_jetclass(path, truth(), LABELS)
    kinds = (TypeError, AttributeError, RuntimeError, MemoryError, NotImplementedError, RecursionError)
    for kind in (*kinds, lambda text: UnicodeDecodeError("utf-8", b"x", 0, 1, text)):

        def fail(*_, _kind=kind, **__):
            raise _kind("inside the library")

        monkeypatch.setattr(uproot, "open", fail)
        with pytest.raises(DataFileError, match=r"jetclass\.root.*inside the library.*fetch it again"):
            make_reader("jetclass").read(path)
    assert isinstance(path, Path)


def test_a_damaged_root_file_does_not_harm_the_next(tmp_path):
    good, bad = tmp_path / "good.root", tmp_path / "bad.root"
    with uproot.recreate(good, compression=None) as file:
        file.mktree("t", {"x": np.float64}).extend({"x": np.arange(3.0)})
    branch = re.compile(rb"(TBranch\x00.{4}\x00)\x0d", re.DOTALL)  # its class, its size, its version
    bad.write_bytes(branch.sub(b"\\1\x0e", good.read_bytes()))
    assert bad.read_bytes() != good.read_bytes()
    with open_root(good):  # another file is open all the while, and ends last
        for path in (bad, good):
            with suppress(Exception), open_root(path) as file:
                values = file["t"]["x"].array(library="np")
        assert values.tolist() == [0, 1, 2]
    make = uproot.classes["TBranch"].known_versions[13]
    assert make.__module__.startswith("uproot.models"), "the library's own classes are back"


def test_of_two_root_files_open_at_once_the_damaged_one_may_end_first(tmp_path):
    path = tmp_path / "good.root"
    with uproot.recreate(path) as file:
        file.mktree("t", {"x": np.float64}).extend({"x": np.arange(3.0)})
    first, second = ExitStack(), ExitStack()
    first.enter_context(open_root(path))
    uproot.classes["TBranch"].known_versions[13] = None  # what a damaged file leaves
    second.enter_context(open_root(path))
    first.close()
    second.close()
    assert uproot.classes["TBranch"].known_versions[13] is not None
