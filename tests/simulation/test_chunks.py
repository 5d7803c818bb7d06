"""Pieces of a simulation: seeds, order, files, and the directories they are kept in."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError, SimulationError
from omnilearn_lab.simulation import chunks, recipe, simulate
from omnilearn_lab.simulation.chunks import (
    Chunk,
    cache_directory,
    cached,
    events_used,
    make_chunk,
    read_chunk,
    write_chunk,
)
from omnilearn_lab.simulation.recipes import JetWindow

from tests.machine.faults import small_disk
from tests.simulation.helpers import FAST, ONE_SAMPLE, same, with_profile
from tests.test_shared_cache import obey_permissions


@pytest.fixture(scope="module")
def chunk():
    return Chunk(FAST, 0, 0, 30, seed=1)


@pytest.fixture(scope="module")
def parts(chunk):
    return make_chunk(chunk)


def test_a_piece_has_the_jets_asked_for_and_can_be_made_again(chunk, parts):
    assert len(parts["jets"]) == 30
    assert same(parts["jets"], make_chunk(chunk)["jets"])


def test_a_smaller_piece_is_the_beginning_of_a_larger_one(parts):
    assert same(make_chunk(Chunk(FAST, 0, 0, 11, seed=1))["jets"], parts["jets"][:11])


@pytest.mark.parametrize("other", [(0, 1, 1), (1, 0, 1), (0, 0, 2)])
def test_pieces_samples_and_seeds_are_independent(parts, other):
    sample, number, seed = other
    jets = make_chunk(Chunk(FAST, sample, number, 30, seed=seed))["jets"]
    assert len(np.intersect1d(jets.jet["pt"], parts["jets"].jet["pt"])) == 0


def test_events_are_counted_and_numbered_per_piece(parts):
    other = make_chunk(Chunk(FAST, 0, 1, 5, seed=1))["jets"]
    event = parts["jets"].jet["event"]
    assert np.all(np.diff(event) > 0) and event[0] < event[-1] < other.jet["event"][0]
    assert 30 <= events_used(parts) <= 250


def test_both_signs_of_a_leptonic_w_in_the_first_jets():
    """A leading lepton of one charge only would tell the class."""
    sample = recipe("jetclass").class_names.index("Hqql")
    jets = make_chunk(Chunk(recipe("jetclass"), sample, 0, 40, seed=1))["jets"]
    lepton = np.isin(np.abs(jets.particles["pid"]), (11, 13)) & (jets.particles["pt"] > 30)
    charges = jets.particles["charge"][lepton]
    assert len(charges) > 20
    assert 0.25 < (charges > 0).mean() < 0.75


def test_an_impossible_selection_is_reported(monkeypatch):
    monkeypatch.setattr(chunks, "_MAX_EMPTY", 3)
    nothing = with_profile("h1_dis", window=JetWindow(1.0, (5000.0, 6000.0), (-1, 1), algorithm="kt"))
    with pytest.raises(SimulationError, match="recipe 'h1_dis', sample 'djangoh_like': no jet in .* events"):
        make_chunk(Chunk(nothing, 0, 0, 5, seed=1))


# ---- files ---------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path, parts):
    target = tmp_path / "piece.npz"
    write_chunk(target, parts)
    return target


def test_written_jets_are_read_back_exactly(path, parts):
    assert same(read_chunk(path, FAST)["jets"], parts["jets"])
    assert [p.name for p in path.parent.iterdir()] == ["piece.npz"]


def test_a_truncated_file_is_recognised(path):
    path.write_bytes(path.read_bytes()[:-200])
    assert read_chunk(path, FAST) is None


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_changed_byte_is_recognised(path, place):
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0xFF
    path.write_bytes(content)
    assert read_chunk(path, FAST) is None


def test_consistent_file_with_other_numbers_is_recognised(path):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["jets/jet/mass"] = arrays["jets/jet/mass"] + 1
    np.savez(path, **arrays)
    assert read_chunk(path, FAST) is None


def test_a_missing_file_is_none(tmp_path):
    assert read_chunk(tmp_path / "absent.npz", FAST) is None


def test_a_write_that_fails_leaves_nothing_and_says_what_to_do(tmp_path, parts):
    (tmp_path / "piece.npz").mkdir()  # a directory in the way
    with pytest.raises(DataFileError, match="choose another folder"):
        write_chunk(tmp_path / "piece.npz", parts)
    assert [p.name for p in tmp_path.iterdir()] == ["piece.npz"]


def test_disk_full(tmp_path, parts):
    with small_disk(tmp_path / "disk", 4 / 1024) as disk:
        with pytest.raises(DataFileError, match="No space left"):
            write_chunk(disk / "piece.npz", parts)
        assert list(disk.iterdir()) == []


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
        pytest.raises(DataFileError, match="cannot write .*choose another folder"),
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


AS_ANOTHER_USER = """
import sys
from pathlib import Path
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.simulation import simulate
from tests.simulation.helpers import ONE_SAMPLE
cache = Path(sys.argv[1])
options = {"workers": 1, "progress": False, "cache": cache}
print(simulate(ONE_SAMPLE, 10, **options).jet["pt"].sum())
for n_jets, mode in ((1200, 0o444), (10, 0o000)):
    for file in cache.rglob("*.npz"):
        file.chmod(mode)
    try:
        simulate(ONE_SAMPLE, n_jets, **options)
    except DataFileError as error:
        print(error)
"""


def test_who_may_only_read_is_served_and_told_what_is_missing(tmp_path):
    first = simulate(ONE_SAMPLE, 10, workers=1, progress=False, cache=tmp_path)
    (folder,) = tmp_path.iterdir()
    folder.chmod(0o555)
    command = (*obey_permissions(), sys.executable, "-c", AS_ANOTHER_USER, str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    served, missing, closed = done.stdout.splitlines()
    assert float(served) == pytest.approx(float(first.jet["pt"].sum()))
    assert "2 of 2 pieces are not in the cache" in missing and "but not write" in missing
    assert "you may not read" in closed and "owner" in closed and "damaged" not in done.stderr


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
