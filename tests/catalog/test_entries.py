"""What a catalogue may say, and what it says."""

from __future__ import annotations

import re

import omnilearn_lab.catalog as room
import pytest
import yaml
from omnilearn_lab.catalog import catalog, citation, entry, files
from omnilearn_lab.catalog.entries import _FOLDER, DataFile, FileGroup, _checksums, read_catalogue
from omnilearn_lab.errors import CatalogError
from omnilearn_lab.readers import make_reader
from omnilearn_lab.simulation import RECIPES

GOOD = """
version: 1
datasets:
  mine:
    title: My jets
    physics: QCD jets
    selection: none
    kind: simulation
    availability: on_request
    licence: private
    citations: [me]
    splits: {train: {jets: 10}}
    format: h5_plain
    reader: ml_ready
    files:
      - name: a.h5
        url: https://example.org/a.h5
citations:
  me: {text: My thesis}
"""


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_a_good_file_is_read(tmp_path):
    found = read_catalogue(write(tmp_path, GOOD))
    assert found.datasets["mine"].splits["train"].jets == 10


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    title:", "    titel:", ["entry 'mine'", "'titel'", "did you mean 'title'"]),
        ("        url:", "        urll:", ["entry 'mine'", "files.0.urll", "did you mean 'url'"]),
        ("{jets: 10}", "{jest: 10}", ["entry 'mine'", "splits.train.jest", "did you mean 'jets'"]),
        ("{jets: 10}", "{jets: many}", ["entry 'mine'", "splits.train.jets", "integer", "many"]),
        ("https://example", "http://example", ["files.0.url", "https", "http://example"]),
        ("https://example.org/a.h5", "file:///etc/passwd", ["files.0.url", "https"]),
        ("name: a.h5", "name: ../../a.h5", ["files.0.name", "inside the data folder", "../../a.h5"]),
        ("name: a.h5", "name: /a.h5", ["files.0.name", "inside the data folder"]),
        ("kind: simulation", "kind: simulated", ["'kind'", "'simulation'", "'simulated'"]),
        ("version: 1", "version: 2", ["'version'"]),
        ("    licence: private\n", "", ["entry 'mine'", "'licence'", "required"]),
        ("datasets:", "datasats:", ["'datasats'", "did you mean 'datasets'"]),
    ],
)
def test_a_mistake_is_named(tmp_path, old, new, expected):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(CatalogError) as error:
        read_catalogue(path)
    assert all(part in str(error.value) for part in [str(path), *expected]), str(error.value)


@pytest.mark.parametrize("text", ["version: [1", "- a list", "version: 1\nversion: 1\n", ""])
def test_a_file_that_is_no_catalogue_is_named(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(CatalogError, match=str(path)):
        read_catalogue(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CatalogError, match=r"nowhere\.yaml"):
        read_catalogue(tmp_path / "nowhere.yaml")


def test_yaml_cannot_build_objects(tmp_path):
    text = GOOD.replace("title: My jets", "title: !!python/object/apply:os.getcwd []")
    with pytest.raises(CatalogError, match="YAML"):
        read_catalogue(write(tmp_path, text))


@pytest.mark.parametrize("checksum", ["md5:abc", "sha1:" + 40 * "0", 32 * "0", "md5:" + 32 * "G"])
def test_a_malformed_checksum_is_refused(checksum):
    with pytest.raises(ValueError, match="hexadecimal"):
        DataFile(name="a", checksum=checksum)


def test_a_series_takes_checksums_and_sizes_from_its_list():
    group = FileGroup(name="f{i}.h5", numbers=(2, 3), digits=2, checksums="s", checksums_start=1)
    listed = {"s": " ".join(f"{str(i) * 32}/{100 + i}" for i in (1, 2, 3))}
    files = group.expand(listed)
    assert [f.name for f in files] == ["f02.h5", "f03.h5"]
    assert [f.checksum for f in files] == ["md5:" + 32 * "2", "md5:" + 32 * "3"]
    assert [f.size for f in files] == [102, 103]


def test_a_series_without_its_list_is_an_error():
    with pytest.raises(CatalogError, match="did you mean 'series'"):
        FileGroup(name="f{i}", numbers=(0, 1), checksums="seres").expand({"series": ""})


def test_a_list_that_is_too_short_is_an_error():
    with pytest.raises(CatalogError, match="only 1 checksums"):
        FileGroup(name="f{i}", numbers=(0, 1), checksums="s").expand({"s": 32 * "0"})


BOMB = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else '1'}]" for i in range(10))
TOO_MUCH = {
    "numbers": GOOD.replace("name: a.h5", "name: 'a{i}.h5'\n        numbers: [0, 1000000000000000000]"),
    "digits": GOOD.replace(
        "name: a.h5", "name: 'a{i}.h5'\n        numbers: [0, 1]\n        digits: 999999999"
    ),
    "jets": GOOD.replace("jets: 10", "jets: 1" + 30 * "0"),
    "values": f"{BOMB}\n{GOOD}",
    "references": f"a: &a [*a]\n{GOOD}",
    "YAML": "[" * 100_000,
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_a_catalogue_cannot_ask_for_too_much(tmp_path, what):
    path = tmp_path / "catalog.yaml"
    path.write_text(TOO_MUCH[what])
    with pytest.raises(CatalogError, match=what):
        read_catalogue(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("numbers: [3, 1]", "name: 'a{i}.h5'"), "first number must not be above"),
        (("fraction: [0.8, 0.2]", "jets: 10"), "first number must not be above"),
        (("fraction: [0.0, 1.5]", "jets: 10"), "less than or equal to 1"),
    ],
)
def test_ranges_rise_and_stay_in_their_limits(tmp_path, change, message):
    new, beside = change
    text = GOOD.replace("name: a.h5", f"{beside}\n        {new}") if "name" in beside else GOOD
    text = text if "name" in beside else text.replace(beside, f"{beside}, {new}")
    (tmp_path / "catalog.yaml").write_text(text)
    with pytest.raises(CatalogError, match=message):
        read_catalogue(tmp_path / "catalog.yaml")


def test_a_file_name_that_breaks_its_address_is_named():
    group = FileGroup(name="a b {i}.h5", numbers=(0, 1), url="https://example.org/{name}")
    with pytest.raises(CatalogError, match="a b .*https://"):
        group.expand({})


def test_a_list_of_checksums_begins_no_later_than_the_files():
    group = FileGroup(name="f{i}", numbers=(0, 1), checksums="s", checksums_start=1)
    with pytest.raises(CatalogError, match="checksums_start"):
        group.expand({"s": f"{32 * '0'} {32 * '1'}"})


NAMES = [
    *("top_tagging", "jetclass", "jetclass2", "quark_gluon", "cms_open_data", "atlas_top", "h1_dis"),
    *("jetnet30", "jetnet150", "omnifold_zjets", "atlas_omnifold", "lhco", "aspen", "cms_qcd", "cms_bsm"),
    *("atlas_flavour", "hadronic_taus", "omnilearned", "quijote", "camels_sam", "omol25"),
]
FILES = {  # of all variants
    "top_tagging": 3,
    "jetclass": 12,
    "jetclass2": 2010,
    "quark_gluon": 80,
    "cms_open_data": 730,
    "atlas_top": 1035,
    "h1_dis": 0,
    "jetnet30": 5,
    "jetnet150": 5,
    "omnifold_zjets": 68,
    "atlas_omnifold": 1,
    "lhco": 6,
    "aspen": 80,
    "cms_qcd": 0,
    "cms_bsm": 0,
    "atlas_flavour": 3,
    "hadronic_taus": 0,
    "omnilearned": 3,
    "quijote": 0,
    "camels_sam": 0,
    "omol25": 0,
}


def variants(item):
    return {group.variant for group in item.files} or {None}


def all_files(item):
    return [file for variant in variants(item) for file in files(item, variant=variant)]


def test_every_dataset_is_there():
    assert list(catalog()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_files_are_complete_and_named_once(name):
    found = all_files(entry(name))
    assert len(found) == FILES[name]
    assert len({file.name for file in found}) == len(found)
    assert all("{" not in file.name + file.url for file in found)


@pytest.mark.parametrize("name", NAMES)
def test_every_split_has_files_in_the_default_variant(name):
    item = entry(name)
    assert not item.files or all(files(item, split) for split in item.splits)


@pytest.mark.parametrize("name", NAMES)
def test_splits_that_share_files_are_disjoint_fractions(name):
    item = entry(name)
    edges = [spec.fraction for spec in item.splits.values() if spec.fraction]
    if any(group.split == "all" for group in item.files):
        assert len(edges) == len(item.splits)
        assert [low for low, _ in edges][1:] == [high for _, high in edges][:-1]
        assert edges[0][0] == 0 and edges[-1][1] == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_reader_exists_and_knows_the_classes(name):
    item = entry(name)
    apart = {
        "atlas_omnifold": "read_atlas_omnifold",
        "cosmobench": "load_universes",
        "omol25": "load_molecules",
    }
    if item.reader in apart:
        with pytest.raises(CatalogError, match=apart[item.reader]):
            make_reader(item.reader)
        return
    reader = make_reader(item.reader, **item.reader_options)
    own = reader.class_names or getattr(reader, "classes", ())
    assert tuple(own) == item.classes or not item.classes or name == "jetclass2"
    for options in item.variant_options.values():
        make_reader(item.reader, **item.reader_options, **options)


@pytest.mark.parametrize("name", [n for n in NAMES if entry(n).recipe in RECIPES])
def test_the_stand_in_has_the_same_classes(name):
    item = entry(name)
    found = RECIPES[item.recipe].class_names
    if item.classes and name not in ("cms_bsm", "h1_dis", "jetclass2"):
        assert len(found) == len(item.classes), (found, item.classes)


def test_every_checksum_of_the_companion_file_is_used_by_a_file():
    used = {f.checksum for name in NAMES for f in all_files(entry(name)) if f.checksum}
    listed = {"md5:" + word.partition("/")[0] for series in _checksums().values() for word in series.split()}
    assert listed <= used
    assert sum(len(series.split()) for series in _checksums().values()) == 10 + 80 + 68 + 80 + 730


def test_the_bytes_of_aspen_add_up_to_the_record():
    assert sum(file.size for file in all_files(entry("aspen"))) == 207_292_621_489


def test_known_checksums_belong_to_their_files():
    known = {f.name: f.checksum for f in all_files(entry("quark_gluon"))}
    assert known["QG_jets.npz"] == "md5:f5d052f10a79c6e8b9382637aca0ef52"
    assert known["QG_jets_1.npz"] == "md5:f6a1081c76a47386bc11abcf0e499552"
    assert known["QG_jets_withbc_11.npz"] == "md5:d7731f5abdf7d3e0c17eca846c25eff3"
    cms = {f.name: f.checksum for f in all_files(entry("cms_open_data"))}
    assert cms["SIM1800_Jet300_pT375-infGeV_19_compressed.h5"] == "md5:8ae77f523764cc51f3ec4bb5fe678c16"
    assert cms["GEN470_pT375-infGeV_73_compressed.h5"] == "md5:6de6a9855b468d8a8273e32c780f96dd"


def test_unverified_checksums_say_so():
    sources = {name: {f.checksum_source for f in all_files(entry(name))} for name in NAMES if FILES[name]}
    assert sources["top_tagging"] == sources["aspen"] == {"reported"}
    assert sources["jetclass"] == sources["omnifold_zjets"] == {"publisher"}
    for name in NAMES:
        for file in all_files(entry(name)):
            assert (file.checksum is None) == (file.checksum_source == "unknown"), file.name


def test_the_file_at_the_top_level_is_the_shipped_one():
    top = _FOLDER.parents[1] / "data_catalog.yaml"
    if not top.exists():
        pytest.skip("not a checkout: data_catalog.yaml lies inside the package only")
    assert top.resolve() == _FOLDER / "data_catalog.yaml"


def test_no_key_is_given_twice_by_chance():
    text = (_FOLDER / "data_catalog.yaml").read_text()
    names = re.findall(r"^  ([a-z0-9_]+):$", text.split("citations:\n  ")[0], re.M)
    assert len(names) == len(set(names))
    assert yaml.safe_load(text)["version"] == 1


def test_the_table_is_readable():
    view = catalog()
    assert len(repr(view).splitlines()) == len(NAMES) + 1
    assert view._repr_html_().count("<tr>") == len(NAMES) + 1
    assert "100,000,000" not in repr(view) and "125,000,000" in repr(view)


@pytest.mark.parametrize("name", NAMES)
def test_a_citation_names_papers_and_licence(name):
    text = citation(name)
    assert entry(name).licence in text and text.count("@misc") == len(entry(name).citations)
    for field in ("author", "title", "year"):
        assert text.count(f"  {field} = {{") == len(entry(name).citations), field


def test_an_unknown_variant_names_the_nearest():
    with pytest.raises(CatalogError, match="did you mean 'herwig'"):
        files(entry("quark_gluon"), variant="herwg")


OWN = """
version: 1
datasets:
  mine: {title: Mine, physics: p, selection: s, kind: data, availability: on_request, licence: l,
         citations: [me], splits: {train: {}}, format: h5_plain, reader: ml_ready}
citations: {me: {text: Thesis}}
"""


def test_a_users_own_catalogue_is_added(tmp_path, monkeypatch):
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    assert len(catalog(path)) == len(NAMES) + 1 and "mine" not in catalog().entries
    monkeypatch.setenv("OMNILEARN_LAB_CATALOG", str(path))
    assert entry("mine").title == "Mine"


def test_a_citation_key_that_is_unknown_is_named(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN.replace("[me]", "['Qu:2022mxk']"))
    with pytest.raises(CatalogError, match="entry 'mine'.*did you mean 'Qu:2022mxj'"):
        catalog(path)


def test_public_names():
    assert all(hasattr(room, name) for name in room.__all__)
