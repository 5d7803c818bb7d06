"""Where data live: argument, environment, user cache; shared folders; unwritable ones."""

from __future__ import annotations

import pytest
from omnilearn_lab.catalog import open_store, store
from omnilearn_lab.errors import DataFileError


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
