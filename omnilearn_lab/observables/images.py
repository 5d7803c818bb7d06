"""Jet images: transverse momentum in pixels of pseudorapidity and azimuth around the jet axis."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables.constituents import slices

__all__ = ["JetImage", "average_image", "jet_images"]


class JetImage(NamedTuple):
    """Pixels and their edges."""

    values: np.ndarray
    """Transverse momentum per pixel [GeV or fraction], shape (..., n_pixels, n_pixels): eta, then phi."""
    edges: np.ndarray
    """Edges of the pixels in both directions, shape (n_pixels + 1,)."""


def jet_images(
    jets: Jets, *, n_pixels: int = 33, half_width: float = 0.8, normalise: bool = False
) -> JetImage:
    """Fill one image per jet.

    Parameters
    ----------
    jets : Jets
        N jets; N images of ``n_pixels``^2 single-precision numbers are held in memory.
    n_pixels : int
        Pixels in each direction; an odd number puts the jet axis in the middle of a pixel.
    half_width : float
        The image covers deta and dphi from ``-half_width`` to ``half_width``; particles outside are lost.
    normalise : bool
        Divide by the scalar sum of pt of all particles of the jet.

    Returns
    -------
    JetImage
        ``values`` of shape (N, n_pixels, n_pixels), float32.

    Raises
    ------
    ConfigError
        For fewer than one pixel or a width that is not positive.

    References
    ----------
    Cogan et al., "Jet-Images: Computer Vision Inspired Techniques for Jet Tagging", arXiv:1407.5675.

    Examples
    --------
    >>> image = jet_images(Jets.from_four_momenta([[3, 0, 0, 3], [2, 0, 0, 2]], [0, 2]), n_pixels=3)
    >>> image.values.tolist()
    [[[0.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 0.0]]]
    """
    edges = _edges(n_pixels, half_width)
    values = np.zeros((len(jets), n_pixels, n_pixels), dtype=np.float32)
    for rows in slices(jets):
        values[rows] = _fill(jets, rows, edges, normalise).reshape(-1, n_pixels, n_pixels)
    return JetImage(values, edges)


def average_image(
    jets: Jets, *, n_pixels: int = 33, half_width: float = 0.8, normalise: bool = False
) -> JetImage:
    """Average the images of all jets, with their weights.

    Parameters
    ----------
    jets : Jets
        Any number of jets, at least one.
    n_pixels, half_width, normalise
        As for `jet_images`.

    Returns
    -------
    JetImage
        ``values`` of shape (n_pixels, n_pixels), float64.

    Raises
    ------
    ConfigError
        For no jets, fewer than one pixel, or a width that is not positive.

    Examples
    --------
    >>> jets = Jets.from_four_momenta([[3, 0, 0, 3], [2, 0, 0, 2]], [0, 1, 2])
    >>> float(average_image(jets, n_pixels=1).values[0, 0])
    2.5
    """
    edges = _edges(n_pixels, half_width)
    weight = jets.weight.astype(np.float64)
    if not len(jets) or not weight.sum() > 0:
        raise ConfigError(f"cannot average over {len(jets)} jets with a sum of weights of {weight.sum()}")
    total = np.zeros(n_pixels * n_pixels)
    for rows in slices(jets, 200_000):
        pixel, pt, jet = _deposits(jets, rows, edges, normalise)
        total += np.bincount(pixel, pt * weight[rows][jet], minlength=len(total))
    return JetImage(total.reshape(n_pixels, n_pixels) / weight.sum(), edges)


def _edges(n_pixels: int, half_width: float) -> np.ndarray:
    if n_pixels < 1 or not half_width > 0:
        raise ConfigError(
            f"n_pixels is {n_pixels} and half_width {half_width}; at least 1 and a positive number are needed"
        )
    return np.linspace(-half_width, half_width, n_pixels + 1)


def _fill(jets: Jets, rows: slice, edges: np.ndarray, normalise: bool) -> np.ndarray:
    pixel, pt, jet = _deposits(jets, rows, edges, normalise)
    size = (len(edges) - 1) ** 2
    return np.bincount(jet * size + pixel, pt, minlength=(rows.stop - rows.start) * size)


def _deposits(
    jets: Jets, rows: slice, edges: np.ndarray, normalise: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel, momentum and jet (counted within the slice) of every particle inside the image."""
    first, last = jets.offsets[[rows.start, rows.stop]]
    starts, counts = jets.offsets[rows] - first, jets.counts[rows]
    eta, phi, pt = (jets.particles[name][first:last].astype(np.float64) for name in ("deta", "dphi", "pt"))
    jet = np.repeat(np.arange(len(counts)), counts)
    if normalise:
        pt /= np.add.reduceat(pt, starts)[jet]
    row, column = (np.searchsorted(edges, values, side="right") - 1 for values in (eta, phi))
    n_pixels = len(edges) - 1
    inside = (row >= 0) & (row < n_pixels) & (column >= 0) & (column < n_pixels)
    return (row * n_pixels + column)[inside], pt[inside], jet[inside]
