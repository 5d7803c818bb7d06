"""Top quark tagging reference: a pandas table of 200 constituents per jet, (E, px, py, pz) each."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np

from omnilearn_lab.readers.base import RawJets, Reader, Source
from omnilearn_lab.readers.frames import open_frame
from omnilearn_lab.settings import settings

_SLOTS = 200
_COLUMNS = [f"{part}_{i}" for i in range(_SLOTS) for part in ("E", "PX", "PY", "PZ")]


@settings
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
    storage: ClassVar = partial(open_frame, key="table")

    def count_rows(self, source: Source) -> int:
        """Return the number of jets."""
        return source.file.n_rows

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        frame = source.file.rows(rows.start, rows.stop)
        label = frame["is_signal_new"]
        values = frame.matrix(_COLUMNS).reshape(-1, _SLOTS, 4)
        real = np.any(values != 0, axis=-1)
        energy, px, py, pz = values[real].astype(np.float64).T
        momenta = {"px": px, "py": py, "pz": pz, "energy": energy}
        return RawJets(momenta, real.sum(axis=1), {"label": label})
