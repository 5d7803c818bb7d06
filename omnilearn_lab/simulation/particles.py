"""Particles of many events in flat arrays, ordered by event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Particles"]


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
