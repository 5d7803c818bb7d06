"""From flavour-tagging jets to network inputs, and taggers that need no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from omnilearn_lab.errors import JetsError, nearest
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import Batch
from omnilearn_lab.readers import GN2_TRACK_INPUTS
from omnilearn_lab.tasks.common.classification import ClassifierData

CLASSES = ("light", "c", "b", "tau")
"""Flavours in the order of their labels."""
_CONSTANT = 1e-6  # a column whose spread is a smaller part of its mean is left alone


@dataclass(frozen=True)
class TrackInputs:
    """The further numbers of each track, brought to order one: x -> (x - mean) / std.

    Parameters
    ----------
    names
        Columns of the particles, or ``significance of`` a lifetime-signed one, or ``charge / momentum``.
    mean, std
        Of the jets given to `of`.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, jets: Jets) -> TrackInputs:
        """Choose the inputs that these jets carry and measure their mean and spread.

        Published jets have the 17 inputs of GN2 beyond the direction; simulated ones have seven: d0, dz,
        their errors, both lifetime-signed significances, and charge over momentum.

        Raises
        ------
        JetsError
            When the jets have no impact parameters.
        """
        names = _PUBLISHED if "lifetimeSignedD0Significance" in jets.particles else _SIMULATED
        values = np.stack([_column(jets, name) for name in names], axis=1).astype(np.float64)
        mean, std = values.mean(axis=0), values.std(axis=0)
        std = np.where(std > _CONSTANT * np.abs(mean), std, 1.0)
        return cls(names, tuple(mean.tolist()), tuple(std.tolist()))

    def batch(self, jets: Jets) -> Batch:
        """Return jets as a batch with ``extra``, ``condition``, and the origins as ``particle_label``.

        Examples
        --------
        >>> track = {"deta": [0, 0], "dphi": [0, 0], "pt": [2, 1], "energy": [2, 1], "charge": [1, -1]}
        >>> track |= {n: [0.1, 0.2] for n in ("d0", "dz", "d0_err", "dz_err", "lifetime_d0", "lifetime_dz")}
        >>> jets = Jets.build(track, [0, 2], {"pt": [3], "eta": [0], "phi": [0], "mass": [0]})
        >>> TrackInputs.of(jets).batch(jets).extra.shape
        torch.Size([2, 7])
        """
        values = np.stack([_column(jets, name) for name in self.names], axis=1)
        scaled = (values - np.float32(self.mean)) / np.float32(self.std)
        return pet_v2_batch(jets, use_pid=False).replace(extra=torch.from_numpy(scaled.astype(np.float32)))

    def data(self, jets: Mapping[str, Jets]) -> ClassifierData:
        """Turn the splits "train", "val" and "test" into network inputs."""
        return ClassifierData(*(self.batch(jets[name]) for name in ("train", "val", "test")), CLASSES)


_PUBLISHED = ("d0", "dz", *GN2_TRACK_INPUTS[4:])
_SIMULATED = (
    "d0",
    "dz",
    "charge / momentum",
    "significance of lifetime_d0",
    "significance of lifetime_dz",
    "d0_err",
    "dz_err",
)
_ERRORS = {"significance of lifetime_d0": "d0_err", "significance of lifetime_dz": "dz_err"}


def _column(jets: Jets, name: str) -> np.ndarray:
    """One input of all tracks; significances as sign(x) ln(1 + |x|), as they reach hundreds."""
    if name == "charge / momentum":
        eta = jets.particles["deta"] + np.repeat(jets.jet["eta"], jets.counts)
        return _required(jets, "charge") / (jets.particles["pt"] * np.cosh(eta))
    if name in _ERRORS:
        ratio = _required(jets, name.removeprefix("significance of ")) / _required(jets, _ERRORS[name])
        return np.sign(ratio) * np.log1p(np.abs(ratio))
    values = _required(jets, name)
    return np.sign(values) * np.log1p(np.abs(values)) if name.endswith("Significance") else values


def _required(jets: Jets, name: str) -> np.ndarray:
    if name not in jets.particles:
        raise JetsError(f"flavour tagging needs the track column '{name}'; {nearest(name, jets.particles)}")
    return jets.particles[name]


def displacement_score(jets: Jets, n_tracks: int = 3) -> np.ndarray:
    """Return the sum of the largest lifetime-signed d0 significances of each jet: a tagger without training.

    Parameters
    ----------
    jets : Jets
        Simulated, with ``lifetime_d0`` and ``d0_err``, or published with GN2's inputs.
    n_tracks
        How many to add.

    Returns
    -------
    float64 array, shape (N,)
    """
    return np.nansum(largest_significances(jets, n_tracks), axis=1)


def largest_significances(jets: Jets, n_tracks: int, of: Literal["d0", "dz"] = "d0") -> np.ndarray:
    """Return the largest lifetime-signed significances of each jet's tracks, falling.

    Parameters
    ----------
    jets : Jets
        As for `displacement_score`.
    n_tracks
        How many.
    of : {"d0", "dz"}
        Transverse or longitudinal impact parameter.

    Returns
    -------
    float64 array, shape (N, n_tracks)
        Not-a-number where a jet has fewer tracks.
    """
    stored = {"d0": "lifetimeSignedD0Significance", "dz": "lifetimeSignedZ0SinThetaSignificance"}[of]
    if stored in jets.particles:
        significance = jets.particles[stored]
    else:
        significance = _required(jets, f"lifetime_{of}") / _required(jets, f"{of}_err")
    order = np.lexsort((-significance, jets.jet_index))
    rank = np.arange(jets.n_particles) - np.repeat(jets.offsets[:-1], jets.counts)
    kept = rank < n_tracks
    largest = np.full((len(jets), n_tracks), np.nan)
    largest[jets.jet_index[kept], rank[kept]] = significance[order][kept]
    return largest


def reference_probabilities(jets: Jets) -> np.ndarray | None:
    """Return GN2's probabilities of light, c, b, tau stored in the published files, or None."""
    names = ("GN2v01_pu", "GN2v01_pc", "GN2v01_pb", "GN2v01_ptau")
    if any(name not in jets.jet for name in names):
        return None
    return np.stack([jets.jet[name] for name in names], axis=1).astype(np.float64)
