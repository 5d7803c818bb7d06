"""Simulating."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError, SimulationError
from omnilearn_lab.simulation import recipe, run, simulate, simulate_pairs
from omnilearn_lab.simulation.recipes import JetWindow
from omnilearn_lab.simulation.run import (
    Chunk,
    _equal_pt_weight,
    _share,
    cache_directory,
    cached,
    events_used,
    make_chunk,
    read_chunk,
    write_chunk,
)

from tests.conftest import random_jets
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
    monkeypatch.setattr(run, "_MAX_EMPTY", 3)
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


@pytest.mark.parametrize("name", ["jets/offsets", "jets/particles/pt", "jets/jet/mass", "checksum"])
def test_a_changed_byte_is_recognised(path, name):
    with zipfile.ZipFile(path) as file:
        member = file.getinfo(f"{name}.npy")
    content = bytearray(path.read_bytes())
    content[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 0xFF
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


SETTINGS = {"workers": 1, "progress": False}


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(run, "_CHUNK", 10)


@pytest.fixture(scope="module")
def jets():
    return simulate(FAST, 40, seed=3, **SETTINGS)


def test_balanced_classes_random_order_and_provenance(jets):
    assert np.bincount(jets.label).tolist() == [20, 20]
    assert 0 < np.count_nonzero(np.diff(jets.label)) < 39 and jets.label[:20].mean() not in (0, 1)
    expected = {"source": "simulated", "recipe": "h1_dis", "seed": 3, "n_jets": 40, "detector": "none"}
    assert expected.items() <= jets.provenance.items()
    assert jets.provenance["digest"] == FAST.digest() and jets.provenance["n_events"] >= 40
    assert {"pid", "charge"} <= set(jets.particles)


@pytest.mark.parametrize("name_or_recipe", ["h1_dis", FAST])
def test_a_name_is_as_good_as_a_recipe(jets, name_or_recipe):
    assert same(simulate(name_or_recipe, 40, seed=3, **SETTINGS), jets)


def test_same_jets_for_one_and_two_workers(small_pieces):
    alone = simulate(ONE_SAMPLE, 25, seed=3, workers=1, progress=False)
    assert same(alone, simulate(ONE_SAMPLE, 25, seed=3, workers=2, progress=False))


def test_any_executor_will_do(jets):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert same(simulate(FAST, 40, seed=3, workers=executor, progress=False), jets)


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_jets(jets):
    distributed = pytest.importorskip("distributed")
    options = {"processes": False, "n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    with distributed.Client(**options) as client:
        assert same(simulate(FAST, 40, seed=3, workers=client, progress=False), jets)


def test_other_seeds_give_other_jets(jets):
    other = simulate(FAST, 40, seed=4, **SETTINGS)
    assert len(np.intersect1d(other.jet["pt"], jets.jet["pt"])) == 0


def test_more_jets_contain_the_fewer(jets):
    more = simulate(FAST, 60, seed=3, **SETTINGS)
    assert set(jets.jet["event"]) < set(more.jet["event"])


def test_a_finished_simulation_is_read_from_the_cache(jets, tmp_path, monkeypatch):
    assert same(simulate(FAST, 40, seed=3, cache=tmp_path, **SETTINGS), jets)
    monkeypatch.setattr(run, "make_chunk", lambda chunk: pytest.fail("simulated again"))
    assert same(simulate(FAST, 40, seed=3, cache=tmp_path, **SETTINGS), jets)


def test_an_interrupted_simulation_goes_on_where_it_was(small_pieces, tmp_path, monkeypatch):
    whole = simulate(ONE_SAMPLE, 30, seed=3, **SETTINGS)
    made, original = [], run.make_chunk

    def until_interrupted(chunk):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(chunk)
        return original(chunk)

    monkeypatch.setattr(run, "make_chunk", until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(ONE_SAMPLE, 30, seed=3, cache=tmp_path, **SETTINGS)
    monkeypatch.setattr(run, "make_chunk", lambda chunk: made.append(chunk) or original(chunk))
    assert same(simulate(ONE_SAMPLE, 30, seed=3, cache=tmp_path, **SETTINGS), whole)
    assert len(made) == 3 and len(set(made)) == 3


def test_a_corrupt_piece_is_made_again(small_pieces, tmp_path, caplog):
    first = simulate(ONE_SAMPLE, 30, seed=3, cache=tmp_path, **SETTINGS)
    damaged = sorted(tmp_path.rglob("*.npz"))[1]
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        assert same(simulate(ONE_SAMPLE, 30, seed=3, cache=tmp_path, **SETTINGS), first)
    assert damaged.name in caplog.text and damaged.read_bytes() == content


def test_a_cache_that_cannot_be_written_stops_before_simulating(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "make_chunk", lambda chunk: pytest.fail("simulated"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match="cannot write"):
        simulate(FAST, 40, cache=tmp_path / "file", **SETTINGS)


def test_two_processes_at_once_do_not_disturb_each_other(tmp_path):
    code = (
        "import sys; from omnilearn_lab.simulation import simulate; "
        "jets = simulate('h1_dis', 20, workers=1, progress=False, cache=sys.argv[1]); "
        "print(jets.jet['pt'].sum())"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate()[0] for process in both]
    assert answers[0] == answers[1] != "" and len(list(tmp_path.rglob("*.npz"))) == 2
    assert not list(tmp_path.rglob("*.part"))


def test_ctrl_c_stops_parent_and_workers(tmp_path):
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from omnilearn_lab.simulation import simulate; print('ready', flush=True); "
        "simulate('jetclass', 20000, workers=2, progress=False, cache=sys.argv[1])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    process.stdout.readline()
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    try:
        process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode not in (0, None) and time.monotonic() - start < 10


def test_an_error_in_a_worker_reaches_the_caller(monkeypatch, small_pieces):
    broken = replace(FAST, settings=(*FAST.settings, "No:such=thing"))
    with pytest.raises(SimulationError, match="'No:such=thing'"):
        simulate(broken, 40, workers=2, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("jetclas", 10), "did you mean 'jetclass'"),
        (("h1_dis", 0), "positive multiple of 1"),
        (("lhco", 11), "positive multiple of 2"),
    ],
)
def test_impossible_requests(arguments, message):
    with pytest.raises(SimulationError, match=message):
        simulate(*arguments, **SETTINGS)


def test_negative_seed_and_no_workers():
    with pytest.raises(SimulationError, match="seed is -1"):
        simulate(FAST, 10, seed=-1, **SETTINGS)
    with pytest.raises(SimulationError, match="workers is 0"):
        simulate(FAST, 10, workers=0, progress=False)


def test_pairs_need_a_recipe_with_two_levels():
    with pytest.raises(SimulationError, match="'h1_dis' has one level only"):
        simulate_pairs("h1_dis", 10, **SETTINGS)


def test_shares_add_up():
    assert _share(11, [10.0, 1.0]) == [10, 1]
    assert sum(_share(997, [0.5, 0.3, 0.3])) == 997
    assert _share(3, [1.0] * 10) == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]


def test_equal_pt_weights_flatten_the_spectrum():
    rng = np.random.default_rng(1)
    pt = np.concatenate([350 * rng.pareto(3, 4000) + 350, rng.uniform(350, 2000, 4000)])
    label = np.repeat([0, 1], 4000)
    jets = random_jets(8000, mean=2).with_jet(pt=pt, label=label)
    weight = _equal_pt_weight(jets)
    for wanted in (0, 1):
        mine = label == wanted
        edges = np.log(np.quantile(pt[mine], [0.05, 0.35, 0.65, 0.95]))
        content, _ = np.histogram(np.log(pt[mine]), edges, weights=weight[mine])
        density = content / np.diff(edges)
        assert density == pytest.approx(np.full(3, density.mean()), rel=0.1)
        assert weight[mine].mean() == pytest.approx(1, rel=1e-6)


def test_environment_of_the_caller_is_left_alone():
    before = dict(os.environ)
    simulate(FAST, 4, **SETTINGS)
    assert dict(os.environ) == before


@pytest.mark.parametrize("name", ["jetclass", "top_tagging"])
def test_production_profile_has_another_digest(name):
    assert recipe(name).digest() != recipe(name, profile="production").digest()
