"""JetNet: HDF5 files of relative particle coordinates with a mask column; one class per file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.base import RawJets, Reader, Source
from omnilearn_lab.readers.kinematics import padded_rows
from omnilearn_lab.settings import settings


@settings
class JetNet(Reader):
    """Zenodo 6975118 (30 particles) and 6975117 (150): ``particle_features``, ``jet_features``.

    The columns of a particle are eta and phi relative to the jet, pt / jet pt, and the mask: the
    fourth is not an energy. Particles are massless, E = pt cosh(eta). There is no azimuth (0 here), and the
    class is the first letter of the file name. In the 30-particle files the multiplicity is capped at 30.

    Attributes
    ----------
    label
        Class of all jets, for files with another name.

    References
    ----------
    Kansal et al., arXiv 2106.11535.

    Examples
    --------
    >>> JetNet().class_names
    ('gluon', 'light quark', 'top', 'W', 'Z')
    """

    label: int | None = None

    name: ClassVar[str] = "jetnet"
    class_names: ClassVar[tuple[str, ...]] = ("gluon", "light quark", "top", "W", "Z")
    counted: ClassVar[str] = "jet_features"

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        label = self._label(source.path)
        particles, jets = source.rows("particle_features", rows), source.rows("jet_features", rows)
        pt, eta, mass, multiplicity = (jets[:, i] for i in range(4))
        mask = (particles[..., 3] > 0.5) & (particles[..., 2] > 0)
        momentum = particles[..., 2] * pt[:, None]
        columns = {
            "deta": particles[..., 0],
            "dphi": particles[..., 1],
            "pt": momentum,
            "energy": momentum * np.cosh(particles[..., 0] + eta[:, None]),
        }
        flat, counts = padded_rows(columns, mask)
        jet = {"pt": pt, "eta": eta, "phi": np.zeros_like(pt), "mass": mass, "multiplicity": multiplicity}
        return RawJets(flat, counts, {**jet, "label": np.full(len(pt), label)})

    def _label(self, path: Path) -> int:
        if self.label is not None:
            return self.label
        letter = re.fullmatch(r"([gqtwz])(30|150)?\.(hdf5|h5)", path.name)
        if letter is None:
            raise DataFileError(
                f"'{path}': the class of a JetNet file is the first letter of its name (g, q, t, w or z, "
                "as in 'g.hdf5' or 't150.hdf5'); rename it, or give JetNet(label=...)"
            )
        return "gqtwz".index(letter[1])
