"""A catalogue file says what is wrong with it: file, entry, field, what was expected, nearest key."""

from __future__ import annotations

import pytest
from omnilearn_lab.catalog.schema import DataFile, FileGroup, read_catalogue
from omnilearn_lab.errors import CatalogError

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
