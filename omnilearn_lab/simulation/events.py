"""Events from Pythia 8.3 as flat arrays, the particles they leave, and silence for its banners."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnilearn_lab.errors import MissingDependencyError, SimulationError


@dataclass(frozen=True)
class Particles:
    """T particles of E events, as named flat arrays.

    Parameters
    ----------
    columns : mapping of name to array, shape (T,)
        Always ``event`` (int, not falling), ``px``, ``py``, ``pz``, ``energy`` [GeV]. Usually ``pid``
        and ``charge`` [e]; generated particles add ``x``, ``y``, ``z`` [mm] and ``index`` (position
        in the event record), reconstructed ones ``d0``, ``d0_err``, ``dz``, ``dz_err`` [mm] and
        ``index`` (of the generated particle, -1 for calorimeter objects).
    n_events : int
        E, events without particles included.

    Examples
    --------
    >>> particles = Particles({"event": np.array([0, 0, 2]), "px": np.array([3.0, 1.0, 2.0]),
    ...                        "py": np.array([4.0, 0.0, 0.0])}, 3)
    >>> particles.offsets.tolist(), particles.pt.tolist()
    ([0, 2, 2, 3], [5.0, 1.0, 2.0])
    """

    columns: Mapping[str, np.ndarray]
    n_events: int

    def __len__(self) -> int:
        return len(self.columns["event"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    @property
    def pt(self) -> np.ndarray:
        """Transverse momentum [GeV], shape (T,)."""
        return np.hypot(self["px"], self["py"])

    @property
    def eta(self) -> np.ndarray:
        """Pseudorapidity, shape (T,); +-infinity along the beam."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.arcsinh(self["pz"] / self.pt)

    @property
    def offsets(self) -> np.ndarray:
        """First particle of every event, and T at the end; shape (E + 1,)."""
        return np.searchsorted(self["event"], np.arange(self.n_events + 1))

    def select(self, keep: np.ndarray) -> Particles:
        """Return the particles where ``keep`` (bool or indices) says so; the number of events stays."""
        return Particles({name: values[keep] for name, values in self.columns.items()}, self.n_events)


_LOCK = threading.RLock()  # file descriptors belong to the whole process


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send everything written to file descriptor 1 to nowhere, also what C++ writes.

    Python's own text written before stays in order. Threads take turns.

    Examples
    --------
    >>> with quiet_stdout():
    ...     _ = os.write(1, b"not shown")
    """
    with _LOCK:
        _flush()
        try:
            saved = os.dup(1)
        except OSError:  # no standard output at all: nothing to silence
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        try:
            yield
        finally:
            _flush()
            os.dup2(saved, 1)
            os.close(saved)
            os.close(nowhere)


def _flush() -> None:
    """Empty Python's buffer and that of the C library, so that text lands where it was meant to."""
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)


NEUTRINOS = (12, 14, 16)
_QUIET = ("Print:quiet=on", "Next:numberCount=0", "Random:setSeed=on")
_INTEGERS = ("id", "status", "mother1", "daughter1", "daughter2")
_POSITIONS = {"px": "x", "py": "y", "pz": "z"}


@dataclass(frozen=True)
class EventBatch:
    """The full records of E events with T entries in all.

    Parameters
    ----------
    offsets : int array, shape (E + 1,)
        First entry of every event. Entry 0 of an event stands for the whole event.
    entries : dict of name to array, shape (T,)
        ``id``, ``status``, ``mother1``, ``daughter1``, ``daughter2`` (positions inside the event),
        ``charge`` [e], ``px``, ``py``, ``pz``, ``energy`` [GeV], ``x``, ``y``, ``z`` [mm].
    weight : float array, shape (E,)
        1 unless phase space was biased.
    """

    offsets: np.ndarray
    entries: dict[str, np.ndarray]
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, name: str) -> np.ndarray:
        return self.entries[name]

    @property
    def event(self) -> np.ndarray:
        """Event number of every entry, shape (T,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def mother(self) -> np.ndarray:
        """Position of the first mother in the flat arrays, shape (T,); entry 0 is its own."""
        return self["mother1"] + np.repeat(self.offsets[:-1], np.diff(self.offsets))


class EventSource:
    """A Pythia generator with a seed.

    Parameters
    ----------
    settings : sequence of str
        Pythia strings, read in order.
    seed : int
        1 to 900,000,000. The same seed gives the same events whatever the sizes of the batches.

    Raises
    ------
    SimulationError
        When Pythia refuses a string or does not start.
    MissingDependencyError
        When pythia8mc is not installed.
    """

    def __init__(self, settings: Sequence[str], seed: int) -> None:
        with quiet_stdout():
            self._pythia = _import_pythia().Pythia("", False)
            for text in (*_QUIET, f"Random:seed={seed}", *settings):
                if not self._pythia.readString(text):
                    raise SimulationError(f"Pythia does not accept '{text}'; check the recipe's settings")
            started = self._pythia.init()
        if not started:
            raise SimulationError(f"Pythia did not start with {list(settings)}; check the recipe's settings")
        self._charges: dict[int, float] = {}

    def batch(self, n_events: int) -> EventBatch:
        """Return the next events; the few that Pythia gives up on are left out.

        Raises
        ------
        SimulationError
            When every event of the batch failed.
        """
        with quiet_stdout():
            events = self._pythia.nextBatch(n_events)
        if not len(events):
            raise SimulationError(
                f"Pythia failed for {n_events} events in a row; check the recipe's settings"
            )
        layout = events.prt.layout
        offsets = np.asarray(layout.offsets).astype(np.int64)
        first, last = offsets[0], offsets[-1]
        entries = {k: v[first:last] for k, v in _entries(layout.content).items()}
        entries["charge"] = self._charge(entries["id"])
        weights = events["info", "weights"]
        return EventBatch(offsets - first, entries, np.asarray(weights[:, 0], dtype=np.float64))

    def _charge(self, codes: np.ndarray) -> np.ndarray:
        known, inverse = np.unique(codes, return_inverse=True)
        data = self._pythia.particleData
        for code in known.tolist():
            if code not in self._charges:
                self._charges[code] = float(data.charge(code))
        return np.array([self._charges[code] for code in known.tolist()])[inverse]


def final_particles(batch: EventBatch, exclude: Sequence[int] = ()) -> Particles:
    """Return the visible final particles of every event.

    Parameters
    ----------
    batch : EventBatch
    exclude : sequence of int
        Absolute PDG codes left out beside the neutrinos (a Z boson kept stable, say).

    Returns
    -------
    Particles
        With ``pid``, ``charge``, ``x``, ``y``, ``z`` and ``index`` (position in the flat record).
    """
    hidden = np.isin(np.abs(batch["id"]), (*NEUTRINOS, *exclude))
    index = np.flatnonzero((batch["status"] > 0) & ~hidden & (batch["energy"] > 0))
    names = ("px", "py", "pz", "energy", "charge", "x", "y", "z")
    columns = {name: batch[name][index] for name in names}
    columns |= {"pid": batch["id"][index], "event": batch.event[index], "index": index}
    return Particles(columns, len(batch))


def _entries(record: Any) -> dict[str, np.ndarray]:
    """Read the columns of Pythia's array without copying more than needed."""
    entries = {name: np.asarray(record[name].data) for name in _INTEGERS}
    momentum, vertex = record["p"], record["vProd"]
    entries |= {name: np.asarray(momentum[name].data) for name in ("px", "py", "pz")}
    entries["energy"] = np.asarray(momentum["e"].data)
    index = np.asarray(vertex.index.data)  # -1: produced at the origin
    at = np.maximum(index, 0)
    for name, axis in _POSITIONS.items():
        values = np.asarray(vertex.content[name].data)
        entries[axis] = np.where(index >= 0, values[at], 0.0) if len(values) else np.zeros(len(index))
    return entries


def _import_pythia() -> Any:
    try:
        import pythia8mc
    except ImportError as error:
        raise MissingDependencyError("simulation needs Pythia: pip install pythia8mc") from error
    return pythia8mc
