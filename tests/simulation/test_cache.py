"""Directories of finished pieces."""

from __future__ import annotations

import logging
import threading

import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.simulation import recipe
from omnilearn_lab.simulation.cache import cache_directory, cached
from omnilearn_lab.simulation.chunks import Chunk, make_chunk, write_chunk

from tests.simulation.helpers import FAST, same


def test_no_cache_no_directory():
    with cache_directory(FAST, 1, None) as directory:
        assert directory is None


def test_recipe_profile_and_seed_have_directories_of_their_own(tmp_path):
    wanted = [(FAST, 1), (FAST, 2), (recipe("jetclass"), 1), (recipe("jetclass", profile="production"), 1)]
    found = set()
    for chosen, seed in wanted:
        with cache_directory(chosen, seed, tmp_path) as directory:
            found.add(directory)
    assert len(found) == 4 and all(d.parent == tmp_path for d in found)


def test_a_cache_that_cannot_be_written_is_reported_before_anything_starts(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    with (
        pytest.raises(DataFileError, match="cannot write into the cache.*choose another directory"),
        cache_directory(FAST, 1, blocked),
    ):
        pytest.fail("entered")


def test_a_second_process_waits_for_the_first(tmp_path, caplog):
    order = []

    def second():
        with cache_directory(FAST, 1, tmp_path):
            order.append("second")

    with caplog.at_level(logging.WARNING), cache_directory(FAST, 1, tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert "another process works on" in caplog.text and "h1_dis" in caplog.text


def test_small_pieces_are_taken_from_larger_ones_and_never_the_reverse(tmp_path):
    large = Chunk(FAST, 0, 0, 12, seed=1)
    parts = make_chunk(large)
    write_chunk(tmp_path / large.file_name, parts)
    assert same(cached(Chunk(FAST, 0, 0, 5, seed=1), tmp_path)["jets"], parts["jets"][:5])
    assert cached(Chunk(FAST, 0, 0, 13, seed=1), tmp_path) is None
    assert cached(Chunk(FAST, 0, 1, 5, seed=1), tmp_path) is None
    assert cached(large, None) is None


def test_a_damaged_piece_is_reported_and_not_used(tmp_path, caplog):
    chunk = Chunk(FAST, 0, 0, 5, seed=1)
    (tmp_path / chunk.file_name).write_bytes(b"PK nonsense")
    with caplog.at_level(logging.WARNING):
        assert cached(chunk, tmp_path) is None
    assert "is damaged; simulating it again" in caplog.text
