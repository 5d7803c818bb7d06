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
