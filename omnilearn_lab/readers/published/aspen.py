"""Aspen Open Jets: real jets of CMS 2016 data, rectangular HDF5 datasets."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from omnilearn_lab.jets import charge_of, reduce_pid
from omnilearn_lab.readers.base import RawJets, Reader, Source
from omnilearn_lab.readers.kinematics import jet_axis, padded_rows
from omnilearn_lab.settings import settings

_CANDIDATE = ("px", "py", "pz", "energy", "d0", "d0_err", "dz", "dz_err", "charge", "pid", "puppi")
_SMALLEST_CODE = 11


@settings
class Aspen(Reader):
    """FDR Hamburg 16505: ``PFCands`` (N, 150, 11), ``jet_kinematics``, ``event_info``, ``jet_tagging``.

    Jets have no label. ``mass`` is that of the sum of the candidates, ``soft_drop_mass`` the stored one
    (-1: undefined). Of jets with more than 150 candidates the first 150 of the original list are
    stored, which are not the hardest. Entries with \\|PDG id\\| < 11 are left out.

    Attributes
    ----------
    apply_puppi
        Multiply candidates by their PUPPI weight, and drop those of weight 0.

    References
    ----------
    Amram et al., arXiv 2412.10504.

    Examples
    --------
    >>> Aspen(apply_puppi=True).apply_puppi
    True
    """

    apply_puppi: bool = False

    name: ClassVar[str] = "aspen"
    counted: ClassVar[str] = "PFCands"

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        stored, kinematics = source.rows("PFCands", rows), source.rows("jet_kinematics", rows)
        mask = np.any(stored[..., :4] != 0, axis=-1) & (np.abs(stored[..., 9]) >= _SMALLEST_CODE)
        if self.apply_puppi:
            mask &= stored[..., 10] > 0
            stored[..., :4] *= stored[..., 10:]
        columns, counts = padded_rows({name: stored[..., i] for i, name in enumerate(_CANDIDATE)}, mask)
        columns["pid"] = reduce_pid(np.rint(columns["pid"]).astype(np.int64), columns["charge"])
        columns["charge"] = charge_of(columns["pid"])
        jet = jet_axis(columns, counts)
        jet |= {name: kinematics[:, i] for i, name in enumerate(("pt", "eta", "phi", "soft_drop_mass"))}
        if "jet_tagging" in source:
            jet["multiplicity"] = source.rows("jet_tagging", rows)[:, 0]
        if "event_info" in source:
            jet["event"] = source.rows("event_info", rows)[:, 2]
        return RawJets(columns, counts, jet)
