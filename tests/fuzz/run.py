"""Damaged inputs against everything that opens a file: `make fuzz MINUTES=5 SEED=1`.

Inputs are opened by children with limits on time and memory, some per child, since making a child costs more
than opening a file; whoever ends a child is the one it worked on. What is counted:

=========  ==============================================================================
read       it could be read, and what came out is sound
refused    an error of ours
foreign    another exception: a fault
crash      the child ended by a signal: a fault
hang       it took too long: a fault
memory     it asked for more memory than allowed, and did not say so in our words: a fault
silent     jets came out that are not sound, or rows are missing without a word: a fault
=========  ==============================================================================

A run is fixed by its seed and goes on where it stopped: the state lies in ``build/fuzz/<seed>/`` with every
input that failed. ``tests/fuzz/corpus/<what>/`` keeps those that ever failed; `test_corpus.py` opens them.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import logging
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omnilearn_lab.errors import OmniLearnLabError
from omnilearn_lab.jets import Jets

from tests.fuzz.mutate import mutate
from tests.fuzz.samples import SAMPLES

FAULTS = ("foreign", "crash", "hang", "memory", "silent")
OUTCOMES = ("read", "refused", *FAULTS)
SECONDS, CPU_SECONDS, BYTES, FILE_BYTES = 30.0, 20, 2 << 30, 200_000_000
_PER_CHILD = 25  # inputs
_OURS = 8 << 30  # bytes of address space of the fuzzer itself
_LONGEST = 20_000  # characters of an error of ours


class Outcome(NamedTuple):
    """What came of one input."""

    kind: str
    detail: str = ""


def run_apart(*works: Callable[[], Outcome]) -> list[Outcome]:
    """Run each work in a child with limits on time, memory and file sizes, and return what they say.

    They share a child until one of them ends it.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < len(works):
        left = works[len(outcomes) :]
        reading, writing = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _work_as_child(left, writing)
        os.close(writing)
        try:
            outcomes += _await(child, reading, len(left))
        finally:
            os.close(reading)
    return outcomes


def _work_as_child(works: Sequence[Callable[[], Outcome]], writing: int) -> None:
    """Never returns; everything that happens is told through the pipe or the exit status."""
    faulthandler.disable()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for work in works:
        end = int(time.process_time()) + CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))  # SIGXCPU, not SIGKILL
        try:
            outcome = work()
        except BaseException as error:
            outcome = Outcome("foreign", f"{type(error).__name__}: {error}"[:300])
        with contextlib.suppress(BaseException):
            os.write(writing, json.dumps(outcome).encode("utf-8", "replace") + b"\n")
    os._exit(0)


def _await(child: int, reading: int, n_works: int) -> list[Outcome]:
    """Return what a child says until it has said all, or ends."""
    outcomes: list[Outcome] = []
    text, deadline = b"", time.monotonic() + SECONDS
    while len(outcomes) < n_works:
        if not select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return [*outcomes, Outcome("hang", f"more than {SECONDS:g} s")]
        block = os.read(reading, 1 << 16)
        if not block:
            break
        *lines, text = (text + block).split(b"\n")
        outcomes += [Outcome(*json.loads(line)) for line in lines]
        deadline = time.monotonic() + SECONDS if lines else deadline
    _, status = os.waitpid(child, 0)
    if len(outcomes) == n_works:
        return outcomes
    if not os.WIFSIGNALED(status):
        return [*outcomes, Outcome("crash", "it ended without a word")]
    number = os.WTERMSIG(status)
    return [*outcomes, Outcome("hang" if number == signal.SIGXCPU else "crash", signal.Signals(number).name)]


def open_input(open_file: Callable[[Path], Any], path: Path, n_rows: int | None) -> Outcome:
    """Open one input and judge what comes out; jets whose leaving out is logged are not lost in silence."""
    try:
        with _words() as said:
            result = open_file(path)
    except OmniLearnLabError as error:
        text = str(error)
        is_told = bool(text.strip()) and len(text) < _LONGEST
        return Outcome("refused" if is_told else "foreign", f"{type(error).__name__}: {text[:300]}")
    except MemoryError as error:
        return Outcome("memory", _where(error))
    except Exception as error:
        return Outcome("foreign", f"{type(error).__name__}: {str(error)[:200]} at {_where(error)}")
    n_rows = None if any("left out" in words for words in said) else n_rows
    fault = unsound(result, n_rows) if isinstance(result, Jets) else ""
    return Outcome("silent", fault) if fault else Outcome("read")


@contextlib.contextmanager
def _words() -> Iterator[list[str]]:
    """Keep what the package logs meanwhile."""
    said: list[str] = []
    keeper, log = logging.Handler(), logging.getLogger("omnilearn_lab")
    keeper.emit = lambda record: said.append(record.getMessage())
    before = log.level
    log.addHandler(keeper)
    log.setLevel(logging.INFO)
    try:
        yield said
    finally:
        log.removeHandler(keeper)
        log.setLevel(before)


def _where(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "omnilearn_lab" in f.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def unsound(jets: Jets, n_rows: int | None) -> str:
    """Return what is wrong with jets that were read, or nothing.

    Parameters
    ----------
    n_rows
        How many there should be, where that is known.
    """
    if n_rows is not None and len(jets) < n_rows:
        return f"{len(jets)} of {n_rows} jets, without a word"
    for group in (jets.particles, jets.jet):
        for name, values in group.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                return f"'{name}' is not finite"
    if (jets.particles["pt"] <= 0).any() or (jets.jet["pt"] <= 0).any():
        return "pt is not positive"
    if (jets.particles["energy"] < 0).any():
        return "an energy is negative"
    if "label" in jets.jet and jets.class_names and jets.jet["label"].max(initial=0) >= len(jets.class_names):
        return "a label has no class"
    return ""


class _Input(NamedTuple):
    """A damaged copy of a sample, what was done to it, and how many jets there should be."""

    name: str
    path: Path
    said: str
    n_rows: int | None


class Campaign:
    """Inputs by number, all fixed by a seed; it goes on where it stopped.

    Parameters
    ----------
    seed
    folder
        State and failed inputs.
    names
        Which samples; all by default.
    """

    def __init__(self, seed: int, folder: Path, names: tuple[str, ...] = ()) -> None:
        self.seed, self.folder, self.names = seed, folder, names or tuple(SAMPLES)
        folder.mkdir(parents=True, exist_ok=True)
        self._state = folder / "state.json"
        kept = json.loads(self._state.read_text()) if self._state.is_file() else {"next": 0, "counts": {}}
        self.number: int = kept["next"]
        self.counts: dict[str, Counter] = defaultdict(Counter)
        self.counts |= {name: Counter(counts) for name, counts in kept["counts"].items()}
        self._sound = folder / "sound"
        self._rows = {name: self._make(name) for name in self.names}

    def _make(self, name: str) -> int | None:
        """Write the sound file, check that it is one, and return its number of jets."""
        sample = SAMPLES[name]
        home = self._sound / name
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        sample.make(home / sample.name)
        with tempfile.TemporaryDirectory() as folder:
            place = shutil.copytree(home, Path(folder) / "a") / sample.name
            result = sample.open(place)
        return len(result) if isinstance(result, Jets) else None

    def step(self, n: int = 1) -> None:
        """Make some inputs, open them, and note what came of each."""
        with tempfile.TemporaryDirectory() as folder:
            inputs = [self._input(self.number + i, Path(folder) / f"{i}") for i in range(n)]
            damaged = [one.path.read_bytes() for one in inputs]
            works = [partial(open_input, SAMPLES[one.name].open, one.path, one.n_rows) for one in inputs]
            outcomes = run_apart(*works)
        for one, content, outcome in zip(inputs, damaged, outcomes, strict=True):
            self.counts[one.name][outcome.kind] += 1
            if outcome.kind in FAULTS:
                self._keep(one, content, outcome)
            self.number += 1

    def _input(self, number: int, folder: Path) -> _Input:
        rng = np.random.default_rng([self.seed, number])
        name = self.names[int(rng.integers(len(self.names)))]
        path = shutil.copytree(self._sound / name, folder / "a") / SAMPLES[name].name
        said = mutate(rng, path)
        may_lose = "fewer rows" in said or "another shape" in said or "mask" in said
        n_rows = None if may_lose or not self._has_structure(said) else self._rows[name]
        return _Input(name, path, said, n_rows)

    @staticmethod
    def _has_structure(said: str) -> bool:
        """Whether the number of rows is still what it was: a flipped bit may change it soundly."""
        return ";" not in said and said.startswith(("odd values", "an attribute", "no numbers", "NaN"))

    def _keep(self, one: _Input, damaged: bytes, outcome: Outcome) -> None:
        home = self.folder / "failed" / one.name / f"{self.number}"
        home.mkdir(parents=True, exist_ok=True)
        (home / one.path.name).write_bytes(damaged)
        (home / "about.txt").write_text(f"{outcome.kind}\n{one.said}\n{outcome.detail}\n")

    def save(self) -> None:
        """Write the state, so that a later run goes on from here."""
        counts = {name: dict(counter) for name, counter in self.counts.items()}
        partial = self._state.with_suffix(".new")
        partial.write_text(json.dumps({"next": self.number, "counts": counts}))
        partial.replace(self._state)

    def table(self) -> str:
        """Return the counts, a row per sample and one for all."""
        rows = [["input", "all", *OUTCOMES]]
        total: Counter = Counter()
        for name in sorted(self.counts):
            total += self.counts[name]
            rows.append([name, sum(self.counts[name].values()), *(self.counts[name][o] for o in OUTCOMES)])
        rows.append(["all", sum(total.values()), *(total[o] for o in OUTCOMES)])
        widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(str(c).rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows)

    @property
    def n_faults(self) -> int:
        """How many inputs failed so far."""
        return sum(counter[kind] for counter in self.counts.values() for kind in FAULTS)


def main() -> int:
    """Run for some minutes and print the table; the exit status is 1 when there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--only", nargs="*", default=(), choices=list(SAMPLES), metavar="NAME")
    asked = parser.parse_args()
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_AS, (_OURS, resource.RLIM_INFINITY))  # mutations run without a child
    campaign = Campaign(asked.seed, asked.folder / str(asked.seed), tuple(asked.only))
    first, end = campaign.number, time.monotonic() + 60 * asked.minutes
    try:
        while time.monotonic() < end:
            campaign.step(_PER_CHILD)
            campaign.save()
    finally:
        campaign.save()
    print(campaign.table())
    print(
        f"seed {asked.seed}: inputs {first} to {campaign.number - 1} now, {campaign.n_faults} faults in all;"
    )
    print(f"failed inputs are in {campaign.folder / 'failed'}")
    return 1 if campaign.n_faults else 0


if __name__ == "__main__":
    sys.exit(main())
