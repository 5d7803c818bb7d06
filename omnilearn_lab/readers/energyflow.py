"""EnergyFlow quark and gluon jets: npz files of (pt, rapidity, phi, PDG code)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets.species import charge_of, reduce_pid
from omnilearn_lab.readers.base import RawJets, Reader, Rows, jet_axis, padded_rows
from omnilearn_lab.readers.masses import mass_of, momenta_from_rapidity
from omnilearn_lab.readers.npz import NpzFile, open_npz

__all__ = ["EnergyFlow", "check_convention", "first_particles", "published_charge"]

Convention = Literal["physical", "omnilearn"]
_SLOTS_V1 = 100


def check_convention(convention: str) -> None:
    """Refuse a convention other than ``physical`` and ``omnilearn``."""
    if convention not in ("physical", "omnilearn"):
        raise ConfigError(f"convention={convention!r}; 'physical' or 'omnilearn' is expected")


def published_charge(pid: np.ndarray) -> np.ndarray:
    """Return the "charge" of the OmniLearn conversion: the sign of the PDG code, except for 22 and 130.

    Neutrons get +-1 and electrons and muons the opposite of their charge.

    Examples
    --------
    >>> published_charge(np.array([211, 2112, 11, 22, 130])).tolist()
    [1, 1, 1, 0, 0]
    """
    return np.sign(pid) * ~np.isin(pid, (22, 130))


@dataclass(frozen=True)
class EnergyFlow(Reader):
    """Zenodo 3164691 (Pythia) and 3066475 (Herwig): arrays ``X`` (N, M, 4) and ``y``.

    M differs from file to file, and particles are not sorted.

    Attributes
    ----------
    convention
        ``physical``: masses from the PDG codes in jets and particles alike, pseudorapidity, true charges,
        all particles. ``omnilearn``: what the OmniLearn conversion writes: the first 100
        particles as stored (not the hardest), rapidity minus the jet's pseudorapidity as ``deta``,
        E = pt cosh(y), and `published_charge`; the jet is the sum of all particles.

    References
    ----------
    Komiske, Metodiev and Thaler, arXiv 1810.05165.

    Examples
    --------
    >>> EnergyFlow().class_names
    ('gluon', 'quark')
    """

    convention: Convention = "physical"

    name: ClassVar[str] = "energyflow"
    suffixes: ClassVar[tuple[str, ...]] = (".npz",)
    class_names: ClassVar[tuple[str, ...]] = ("gluon", "quark")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_convention(self.convention)

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the file."""
        with open_npz(path) as file:
            yield Rows(file.n_rows("y"), lambda start, stop: self._rows(file, start, stop))

    def _rows(self, file: NpzFile, start: int, stop: int) -> RawJets:
        values, label = file.rows("X", start, stop), file.rows("y", start, stop)
        mask = values[..., 0] != 0
        names = ("pt", "y", "phi", "pid")
        columns, counts = padded_rows({name: values[..., i] for i, name in enumerate(names)}, mask)
        pid = np.rint(columns["pid"]).astype(np.int64)
        momenta = momenta_from_rapidity(columns["pt"], columns["y"], columns["phi"], mass_of(pid))
        jet = jet_axis(momenta, counts) | {"label": label}
        reduced = reduce_pid(pid)
        physical = RawJets({**momenta, "pid": reduced, "charge": charge_of(reduced)}, counts, jet)
        if self.convention == "physical":
            return physical
        particles = dict(physical.particles)
        particles["deta"] = columns["y"] - np.repeat(jet["eta"], counts)
        particles["energy"] = columns["pt"] * np.cosh(columns["y"])
        particles["charge"] = published_charge(pid)
        return first_particles(RawJets(particles, counts, jet), _SLOTS_V1)


def first_particles(raw: RawJets, limit: int) -> RawJets:
    """Keep the first ``limit`` particles of every jet, in the order of the file.

    ``multiplicity`` then counts all of them, as after any truncation.
    """
    offsets = np.concatenate([[0], np.cumsum(raw.counts)])
    keep = np.arange(offsets[-1]) - np.repeat(offsets[:-1], raw.counts) < limit
    jet = {"multiplicity": raw.counts} | dict(raw.jet)
    kept = {name: values[keep] for name, values in raw.particles.items()}
    return RawJets(kept, np.minimum(raw.counts, limit), jet, raw.rows)
