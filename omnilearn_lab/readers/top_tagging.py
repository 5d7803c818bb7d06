"""Top quark tagging reference: a pandas table of 200 constituents per jet, (E, px, py, pz) each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.readers.base import RawJets, Reader, Rows, column
from omnilearn_lab.readers.frames import open_frame

__all__ = ["TopTagging"]

_SLOTS = 200


@dataclass(frozen=True)
class TopTagging(Reader):
    """Zenodo 2603256, store key ``table``, columns ``E_0, PX_0, PY_0, PZ_0, ..., is_signal_new``.

    The jet is the sum of its (up to 200) constituents. ``deta`` uses pseudorapidity; the
    OmniLearn conversion uses rapidity, which is the same for these massless constituents.
    The columns ``truthE ...`` are the top parton and are not read.

    References
    ----------
    Kasieczka, Plehn et al., arXiv 1902.09914.

    Examples
    --------
    >>> TopTagging().class_names
    ('QCD', 'top')
    """

    name: ClassVar[str] = "top_tagging"
    class_names: ClassVar[tuple[str, ...]] = ("QCD", "top")

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the store."""
        with open_frame(path, "table") as frame:
            yield Rows(frame.n_rows, lambda start, stop: _read(frame.select(start, stop), path))


def _read(frame: Any, path: Path) -> RawJets:
    label = column(frame, "is_signal_new", path).to_numpy()
    names = [f"{part}_{i}" for i in range(_SLOTS) for part in ("E", "PX", "PY", "PZ")]
    for name in names:
        column(frame, name, path)
    values = frame[names].to_numpy(np.float64).reshape(-1, _SLOTS, 4)
    real = np.any(values != 0, axis=-1)
    energy, px, py, pz = values[real].T
    return RawJets({"px": px, "py": py, "pz": pz, "energy": energy}, real.sum(axis=1), {"label": label})
