"""How far a training is, for those who watch its run directory: a small file, written once a second."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Heartbeat", "Progress", "read_progress"]

_FILE = "progress.json"
_MEMORY = 0.8  # of the speed, from one beat to the next


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Parameters
    ----------
    step, n_steps
        Updates done and in all.
    jets
        Jets seen.
    jets_per_second
        Lately; validation and checkpoints count as time.
    time
        When this was written, seconds since 1970.
    """

    step: int
    n_steps: int
    jets: int
    jets_per_second: float
    time: float

    @property
    def fraction(self) -> float:
        """Part of the updates that is done."""
        return self.step / self.n_steps

    @property
    def seconds_left(self) -> float:
        """Time to the end at the present speed; infinite before it is known.

        Examples
        --------
        >>> Progress(step=20, n_steps=100, jets=2000, jets_per_second=50.0, time=0.0).seconds_left
        160.0
        """
        if not self.jets_per_second or not self.step:
            return float("inf")
        return (self.n_steps - self.step) * self.jets / self.step / self.jets_per_second


class Heartbeat:
    """Write the progress of a training into its run directory, at most once a second.

    Parameters
    ----------
    directory
        Run directory; None writes nothing.
    every
        Seconds between two beats.
    clock
        Seconds, growing.

    Examples
    --------
    >>> import tempfile
    >>> seconds = iter([0.0, 2.0, 4.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     heart = Heartbeat(Path(folder), clock=lambda: next(seconds))
    ...     heart.beat(1, 10, jets=100)
    ...     heart.beat(2, 10, jets=200)
    ...     read_progress(folder).jets_per_second
    50.0
    """

    def __init__(
        self, directory: Path | None, *, every: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = directory / _FILE if directory else None
        self.every = every
        self._clock = clock
        self._last = (clock(), -1)
        self._speed = 0.0

    def beat(self, step: int, n_steps: int, *, jets: int) -> None:
        """Take note of the progress; it is written when a second has passed, and at the end."""
        now, (before, jets_before) = self._clock(), self._last
        if self.path is None or (now - before < self.every and step < n_steps):
            return
        if jets_before >= 0 and now > before:
            speed = (jets - jets_before) / (now - before)
            self._speed = _MEMORY * self._speed + (1 - _MEMORY) * speed if self._speed else speed
        self._last = (now, jets)
        _write(self.path, Progress(step, n_steps, jets, self._speed, time.time()))


def read_progress(directory: str | os.PathLike[str]) -> Progress | None:
    """Return the last progress that a training wrote; None before its first beat.

    Examples
    --------
    >>> import tempfile
    >>> read_progress(tempfile.gettempdir() + "/no such run")
    """
    try:
        return Progress(**json.loads((Path(directory) / _FILE).read_text()))
    except (OSError, json.JSONDecodeError, TypeError):
        return None


def _write(path: Path, progress: Progress) -> None:
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(asdict(progress)))
    partial.replace(path)
