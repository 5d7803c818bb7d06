"""Pieces of a simulation: reproducible, prefixes of one another, safe on disk."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError, SimulationError
from omnilearn_lab.simulation import chunks, recipe
from omnilearn_lab.simulation.chunks import Chunk, events_used, make_chunk, read_chunk, write_chunk
from omnilearn_lab.simulation.recipes import JetWindow

from tests.machine.faults import small_disk
from tests.simulation.helpers import FAST, same, with_profile


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


@pytest.mark.faults
def test_disk_full(tmp_path, parts):
    with small_disk(tmp_path / "disk", 4 / 1024) as disk:
        with pytest.raises(DataFileError, match="No space left"):
            write_chunk(disk / "piece.npz", parts)
        assert list(disk.iterdir()) == []
