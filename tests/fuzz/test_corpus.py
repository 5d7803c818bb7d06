"""Inputs that ever failed stay mended; and the harness itself sees every kind of fault."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from omnilearn_lab.errors import DataFileError

from tests.conftest import random_jets
from tests.fuzz import run
from tests.fuzz.mutate import change_yaml, mutate
from tests.fuzz.run import Campaign, Outcome, open_input, run_apart, unsound
from tests.fuzz.samples import SAMPLES

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(path for path in CORPUS.glob("*/*/*") if path.name == SAMPLES[path.parts[-3]].name)
REFUSED = {path for path in CASES if (path.parent / "refused").exists()}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What opening every case gives, in one child after the other as far as they live."""
    root = tmp_path_factory.mktemp("cases")
    places = [shutil.copytree(path.parent, root / str(i)) / path.name for i, path in enumerate(CASES)]
    opens = [SAMPLES[path.parts[-3]].open for path in CASES]
    works = [partial(open_input, *one, None) for one in zip(opens, places, strict=True)]
    return dict(zip(CASES, run_apart(*works), strict=True))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_a_case_that_failed_once(path, outcomes):
    """Cases marked ``refused`` must be; of the others nothing but soundness is asked."""
    outcome = outcomes[path]
    assert outcome.kind == "refused" if path in REFUSED else outcome.kind in ("read", "refused"), outcome
    assert outcome.kind == "read" or len(outcome.detail) > 30


@pytest.mark.parametrize(("words", "kind"), [("left out 2 of 6 rows: why", "read"), ("read", "silent")])
def test_jets_may_be_left_out_with_a_word(words, kind):
    def fewer(_):
        logging.getLogger("omnilearn_lab.readers").info(words)
        return random_jets(4, mean=5)

    assert open_input(fewer, Path("a.h5"), 6).kind == kind


def test_there_is_a_corpus():
    assert len(CASES) >= 10


def fails(_):
    raise KeyError("jets")


def crashes(_):
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(_):
    time.sleep(60)


def computes(_):
    while True:
        pass


def hoards(_):
    return np.ones(10**10)


def refuses(_):
    raise DataFileError("'a.h5' is damaged; fetch it again")


def loses(_):
    return random_jets(5)


WAYS = [(fails, "foreign"), (crashes, "crash"), (hangs, "hang"), (computes, "hang"), (hoards, "memory")]
WAYS += [(refuses, "refused")]


@pytest.mark.parametrize(("way", "kind"), [*WAYS, (loses, "silent"), (lambda _: 3, "read")])
def test_every_kind_of_fault_is_seen(way, kind, monkeypatch):
    monkeypatch.setattr(run, "SECONDS", 2.0 if way is hangs else 20.0)
    monkeypatch.setattr(run, "CPU_SECONDS", 2)
    works = [partial(open_input, one, Path("a.h5"), 6) for one in (refuses, way, refuses)]
    assert [outcome.kind for outcome in run_apart(*works)] == ["refused", kind, "refused"]


def test_a_billion_values_are_not_walked_over(tmp_path):
    deep = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else '1'}]" for i in range(12))
    (tmp_path / "a.yaml").write_text(deep)
    assert "left as it is" in change_yaml(np.random.default_rng(1), tmp_path / "a.yaml")
    assert (tmp_path / "a.yaml").read_text() == deep


def test_an_error_without_a_text_is_a_fault():
    def mute(_):
        raise DataFileError("")

    assert open_input(mute, Path("a.h5"), None).kind == "foreign"


def test_unsound_jets_are_seen():
    jets = random_jets(5)
    assert unsound(jets, 5) == "" and "without a word" in unsound(jets, 6)
    jets.jet["pt"][2] = -1
    assert unsound(jets, 5) == "pt is not positive"
    jets.particles["energy"][0] = np.nan
    assert unsound(jets, 5) == "'energy' is not finite"


def test_a_campaign_goes_on_and_is_fixed_by_its_seed(tmp_path):
    names = ("column map", "progress")
    whole = Campaign(3, tmp_path / "whole", names)
    whole.step(8)
    first = Campaign(3, tmp_path / "parts", names)
    for _ in range(5):
        first.step()
    first.save()
    second = Campaign(3, tmp_path / "parts", names)
    assert second.number == 5
    for _ in range(3):
        second.step()
    assert second.counts == whole.counts and second.table() == whole.table()


def test_a_fault_is_kept_with_its_input(tmp_path, monkeypatch):
    campaign = Campaign(1, tmp_path, ("progress",))
    monkeypatch.setattr(run, "run_apart", lambda *works: [Outcome("crash", "SIGSEGV")])
    campaign.step()
    (kept,) = (tmp_path / "failed" / "progress").iterdir()
    assert {path.name for path in kept.iterdir()} == {"progress.json", "about.txt"}
    assert campaign.n_faults == 1 and "crash" in (kept / "about.txt").read_text()


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_sound_and_every_mutation_is_fixed_by_its_seed(name, tmp_path):
    sample = SAMPLES[name]
    places = [tmp_path / side for side in "ab"]
    for place in places:
        place.mkdir()
        sample.make(place / sample.name)
    said = [mutate(np.random.default_rng(4), place / sample.name) for place in places]
    assert said[0] == said[1]
    (tmp_path / "c").mkdir()
    sample.make(tmp_path / "c" / sample.name)
    (outcome,) = run_apart(lambda: open_input(sample.open, tmp_path / "c" / sample.name, None))
    assert outcome.kind == "read"
