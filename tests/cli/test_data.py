"""Commands about data."""

from __future__ import annotations

import hashlib
import json

import h5py
import numpy as np
import pytest
import yaml
from omnilearn_lab.catalog import MeanCheck, StandInCheck, catalog, load
from omnilearn_lab.catalog.stand_ins import StandIn
from omnilearn_lab.errors import CatalogError, ConfigError, DataFileError, DownloadError
from omnilearn_lab.jets import read_jets, write_jets

from tests.conftest import random_jets
from tests.readers.samples import truth, write_energyflow, write_h5, write_top


def published_top(folder, name="train.h5", n_jets=12, seed=0):
    """A tiny file in the published layout of the top-tagging set."""
    folder.mkdir(parents=True, exist_ok=True)
    true = truth(n_jets, seed=seed)
    write_top(folder / name, true, np.arange(n_jets) % 2)
    return true


def test_list_shows_every_dataset(invoke):
    text = invoke("data", "list").output
    rows = json.loads(invoke("data", "list", "--json").output)
    assert [row["name"] for row in rows] == list(catalog())
    assert all(name in text for name in catalog())


def test_info_as_text_and_as_json(invoke):
    text = invoke("data", "info", "jetclass").output
    assert "CC-BY" in text and "Tbl" in text and "part_deta" in text and "100,000,000" in text
    assert json.loads(invoke("data", "info", "jetclass", "--json").output)["recipe"] == "jetclass"


def test_info_says_which_files_nobody_can_verify(invoke):
    told = " ".join(invoke("data", "info", "jetnet150").output.split())
    assert "unverified" in told and "5 of 5 files" in told
    assert "unverified" not in invoke("data", "info", "jetclass").output


@pytest.mark.parametrize("name", list(catalog()))
def test_every_dataset_has_info_and_citation(invoke, name):
    assert invoke("data", "info", name).exit_code == 0
    assert "@misc{" in invoke("data", "citation", name).output


@pytest.mark.parametrize(
    "arguments",
    [("info", "jet"), ("citation", "jet"), ("fetch", "jet"), ("simulate", "jet", "x.h5"), ("convert", "jet")],
)
def test_unknown_datasets_are_refused(invoke, arguments):
    with pytest.raises(CatalogError, match="'jet' is not in the catalogue; known: "):
        invoke("data", *arguments)


def test_fetch_without_a_network_says_what_to_do(invoke, monkeypatch):
    def offline(name, **request):
        raise DownloadError(f"no network: {name} {request['split']} {request['subset']}")

    monkeypatch.setattr("omnilearn_lab.catalog.fetch", offline)
    with pytest.raises(DownloadError, match="no network: jetclass val 2"):
        invoke("data", "fetch", "jetclass", "--split", "val", "--subset", 2)


def test_fetch_prints_the_files(invoke, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "omnilearn_lab.catalog.fetch", lambda name, **_: [tmp_path / "a.h5", tmp_path / "b.h5"]
    )
    assert invoke("data", "fetch", "jetclass").output.split() == [str(tmp_path / n) for n in ("a.h5", "b.h5")]


def test_simulated_jets_are_those_of_load(invoke, tmp_path, data_dir):
    out = tmp_path / "jets.h5"
    done = invoke("data", "simulate", "h1_dis", out, "--n-jets", 20, "--seed", 3, "--workers", 1)
    assert done.exit_code == 0 and "20 jets" in done.output
    jets, expected = read_jets(out), load("h1_dis", source="simulated", max_jets=20, seed=3)
    assert jets.class_names == expected.class_names and jets.provenance["split"] == "train"
    for name, values in expected.jet.items():
        assert np.array_equal(jets.jet[name], values)


def test_a_dataset_is_converted_to_where_load_looks_first(invoke, data_dir):
    published_top(data_dir / "top_tagging")
    before = load("top_tagging", source="published")
    done = invoke("data", "convert", "top_tagging", "--workers", 1)
    assert done.output.split()[-1] == str(data_dir / "top_tagging/ml_ready/train")
    (data_dir / "top_tagging/train.h5").unlink()
    after = load("top_tagging", source="published")
    assert np.array_equal(np.sort(after.jet["pt"]), np.sort(before.jet["pt"]))
    assert sorted(after.label) == sorted(before.label)
    with pytest.raises(DataFileError, match="was converted before; delete"):
        invoke("data", "convert", "top_tagging", "--workers", 1)


def test_files_become_one_file_or_one_each(invoke, tmp_path):
    true = [published_top(tmp_path / "in", f"{name}.h5", seed=i) for i, name in enumerate("ab")]
    files = [tmp_path / "in" / "a.h5", tmp_path / "in" / "b.h5"]
    done = invoke("data", "convert", *files, "--reader", "top_tagging", "--out", tmp_path / "one.h5")
    assert "--num-classes 2 --num-cond 4" in done.output.replace("\n", " ")  # how OmniLearned reads it
    assert len(read_jets(tmp_path / "one.h5")) == 24
    invoke("data", "convert", *files, "--reader", "top_tagging", "--out", tmp_path / "two", "--workers", 1)
    for name, expected in zip("ab", true, strict=True):
        jets = read_jets(tmp_path / "two" / f"{name}.h5")
        np.testing.assert_allclose(jets.jet["pt"], expected.jet()["pt"], rtol=1e-5)


def test_max_jets_takes_from_every_file(invoke, tmp_path):
    for seed, name in enumerate("ab"):
        published_top(tmp_path, f"{name}.h5", seed=seed)
    arguments = ["--reader", "top_tagging", "--out", tmp_path / "few.h5", "--max-jets", 7]
    invoke("data", "convert", tmp_path / "a.h5", tmp_path / "b.h5", *arguments)
    few, first = read_jets(tmp_path / "few.h5"), truth(12, seed=0).jet()["pt"]
    assert len(few) == 7 and np.isclose(few.jet["pt"][:, None], first[None], rtol=1e-5).any(axis=1).sum() == 4


def test_your_own_columns_from_a_yaml_file(invoke, tmp_path):
    jets = random_jets(5)
    data, mask = jets.to_padded(40, ["pt", "deta", "dphi"])
    columns = {f"c{i}": data[..., i] for i in range(3)}
    write_h5(tmp_path / "own.h5", mask=mask, jet_pt=jets.jet["pt"], **columns)
    mapping = {
        "particles": {"pt": "c0", "deta": "c1", "dphi": "c2", "mask": "mask"},
        "jet": {"pt": "jet_pt"},
        "unit": "GeV",
    }
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(mapping))
    own = ("data", "convert", tmp_path / "own.h5", "--columns", tmp_path / "map.yaml")
    assert "5 rows" in invoke(*own, "--dry-run").output
    invoke(*own, "--out", tmp_path / "out.h5")
    np.testing.assert_allclose(read_jets(tmp_path / "out.h5").jet["pt"], jets.jet["pt"], rtol=1e-6)


def test_bad_jets_stop_the_conversion_or_are_dropped(invoke, tmp_path):
    true = truth(8)
    write_energyflow(tmp_path / "qg.npz", true, np.array([0, 1, 0, 1, 0, 1, 0, 7]))
    arguments = (
        "data",
        "convert",
        tmp_path / "qg.npz",
        "--reader",
        "energyflow",
        "--out",
        tmp_path / "qg.h5",
    )
    with pytest.raises(DataFileError, match="row 7: the label is outside"):
        invoke(*arguments)
    assert not (tmp_path / "qg.h5").exists()
    invoke(*arguments, "--drop-bad")
    assert len(read_jets(tmp_path / "qg.h5")) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.h5", "b.h5"], "files need --reader"),
        (["top_tagging", "--out", "x"], "files need --reader"),
        (["mine.root"], "files need --reader or --columns .*inspect mine.root"),
        (["a.h5", "--reader", "jetclass"], "give the target"),
        (["a.h5", "--reader", "jetclass", "--columns", "nanoaod"], "exclude each other"),
        (["a.h5", "--reader", "jetclass", "--dry-run"], "--dry-run goes with --columns"),
        (["a.h5", "--columns", "no_such.yaml"], "not a readable YAML file"),
    ],
)
def test_convert_says_what_is_missing(invoke, arguments, message):
    with pytest.raises(ConfigError, match=message):
        invoke("data", "convert", *arguments)


def test_an_empty_jet_can_be_converted_away(invoke, tmp_path):
    write_jets(random_jets(4), tmp_path / "jets.h5")
    with h5py.File(tmp_path / "jets.h5", "a") as file:
        file["counts"][2], file["data"][2] = 0, 0.0
    invoke("data", "convert", tmp_path / "jets.h5", "--reader", "ml_ready", "--out", tmp_path / "clean.h5")
    assert len(read_jets(tmp_path / "clean.h5")) == 3


CONTENT = b"jets"
ENTRY = {
    "title": "Tiny", "physics": "none", "selection": "none", "kind": "simulation", "availability": "public",
    "licence": "CC0", "citations": ["tiny"], "splits": {"train": {"jets": 1}, "val": {"jets": 1}},
    "format": "h5_plain", "reader": "ml_ready", "classes": ["a"],
}  # fmt: skip


@pytest.fixture
def tiny(data_dir, tmp_path, monkeypatch):
    """A dataset of two files; the one of the training split is here."""
    known = {"checksum": f"md5:{hashlib.md5(CONTENT).hexdigest()}", "size": len(CONTENT)}
    files = [
        {"name": f"{s}.h5", "split": s, "url": f"https://example.org/{s}.h5", **known}
        for s in ("train", "val")
    ]
    own = {
        "version": 1,
        "datasets": {"tiny": ENTRY | {"files": files}},
        "citations": {"tiny": {"text": "Tiny"}},
    }
    (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(own))
    monkeypatch.setenv("OMNILEARN_LAB_CATALOG", str(tmp_path / "catalog.yaml"))
    (data_dir / "tiny").mkdir(parents=True)
    (data_dir / "tiny" / "train.h5").write_bytes(CONTENT)
    return data_dir / "tiny"


def test_good_files_are_status_0(invoke, tiny):
    done = invoke("data", "verify", "tiny", "--split", "train")
    assert done.exit_code == 0 and "train.h5" in done.output and "ok" in done.output


def test_missing_files_are_status_1(invoke, tiny):
    done = invoke("data", "verify", "tiny", "--json")
    assert done.exit_code == 1
    assert {row["name"]: row["state"] for row in json.loads(done.output)} == {
        "train.h5": "ok",
        "val.h5": "missing",
    }


def test_a_changed_file_is_status_1(invoke, tiny):
    (tiny / "train.h5").write_bytes(b"jest")
    done = invoke("data", "verify", "tiny", "--split", "train")
    assert done.exit_code == 1 and "wrong" in done.output


def test_unknown_names_are_refused(invoke, tiny):
    with pytest.raises(CatalogError, match="did you mean 'tiny'"):
        invoke("data", "verify", "tinny")


@pytest.mark.parametrize("arguments", [(), ("jetclass", "--all")])
def test_a_name_or_all(invoke, arguments):
    with pytest.raises(ConfigError, match="or give --all"):
        invoke("data", "verify", *arguments)


GOOD = StandInCheck(
    StandIn("quark_gluon", "herwig", "quark_gluon_herwig"), 20, 99.6, 0.5,
    (
        MeanCheck("pt", 618.2, 8.0, 600.0),
        MeanCheck("mass", 100.0, 1.0),
        MeanCheck("multiplicity", 39.0, 1.0, 40.0),
    ),
)  # fmt: skip
FAILED = StandInCheck(StandIn("lhco", "", "lhco"), problem="no jet passes")


def test_all_prints_every_stand_in(invoke, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "omnilearn_lab.catalog.check_stand_ins", lambda *a, **o: asked.append((a, o)) or [GOOD]
    )
    done = invoke("data", "verify", "--all", "--n-jets", 20, "--seed", 5)
    assert done.exit_code == 0 and asked == [((None, 20), {"seed": 5, "profile": "quick"})]
    row = next(line for line in done.output.splitlines() if "herwig" in line)
    cells = ("quark_gluon (herwig)", "100", "0.50", "618.2 ± 8.0 (600)", "100.0 ± 1.0 ", "39.0 ± 1.0 (40)")
    assert all(cell in row for cell in cells)


def test_a_stand_in_that_fails_is_status_1(invoke, monkeypatch):
    monkeypatch.setattr("omnilearn_lab.catalog.check_stand_ins", lambda *_, **__: [GOOD, FAILED])
    done = invoke("data", "verify", "--all")
    assert done.exit_code == 1 and "no jet passes" in done.output
    found = json.loads(invoke("data", "verify", "--all", "--json").output)
    assert [row["problem"] for row in found] == ["", "no jet passes"]
    assert (
        found[0]["means"]["pt"]["ratio"] == pytest.approx(618.2 / 600)
        and found[0]["what"]["variant"] == "herwig"
    )
