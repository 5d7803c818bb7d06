"""Clustering whole events into jets with FastJet, for events published without jets."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from omnilearn_lab.errors import MissingDependencyError

_NAMES = {"px": "px", "py": "py", "pz": "pz", "E": "energy"}


class Clustered(NamedTuple):
    """Jets of a block of events.

    ``event`` : int array, shape (N,); ``counts`` : particles per jet, shape (N,);
    ``particle`` : rows of the input particles, jet after jet, shape (T,).
    """

    event: np.ndarray
    counts: np.ndarray
    particle: np.ndarray


def cluster_leading(
    momenta: Mapping[str, np.ndarray], counts: np.ndarray, *, radius: float = 1.0, n_jets: int = 2
) -> Clustered:
    """Find the hardest anti-kT jets of every event, by falling pt.

    Parameters
    ----------
    momenta
        ``px``, ``py``, ``pz``, ``energy`` of all particles, event after event, each shape (T,) [GeV].
    counts : int array, shape (events,)
    radius
        Jet radius R.
    n_jets
        Jets per event; events may have fewer.

    Raises
    ------
    MissingDependencyError
        When FastJet is not installed.

    References
    ----------
    Cacciari, Salam and Soyez, arXiv 0802.1189 and 1111.6097.

    Examples
    --------
    >>> px = np.array([9.0, -5.0, 1.0])
    >>> event = {"px": px, "py": 0 * px, "pz": 0 * px, "energy": np.abs(px)}
    >>> cluster_leading(event, np.array([3])).counts.tolist()
    [2, 1]
    """
    try:
        import awkward as ak
        import fastjet
        import vector
    except ImportError as error:
        raise MissingDependencyError(f"clustering needs fastjet ({error}); install it with pip") from error
    filled = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[filled]
    flat = {ours: np.asarray(momenta[name], dtype=np.float64) for ours, name in _NAMES.items()}
    vector.register_awkward()
    events = ak.unflatten(ak.zip(flat, with_name="Momentum4D"), counts[filled])
    with _without_banner():
        sequence = fastjet.ClusterSequence(events, fastjet.JetDefinition(fastjet.antikt_algorithm, radius))
        jets, members = sequence.inclusive_jets(), sequence.constituent_index()
    order = ak.argsort(jets.px**2 + jets.py**2, axis=1, ascending=False)[:, :n_jets]
    chosen = members[order] + starts
    per_event = np.asarray(ak.num(chosen))
    return Clustered(
        np.repeat(filled, per_event),
        np.asarray(ak.flatten(ak.num(chosen, axis=2))),
        np.asarray(ak.flatten(chosen, axis=None)),
    )


@contextlib.contextmanager
def _without_banner() -> Iterator[None]:
    """Keep the line that FastJet prints at its first use out of standard output."""
    sys.stdout.flush()
    saved = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(nowhere)
