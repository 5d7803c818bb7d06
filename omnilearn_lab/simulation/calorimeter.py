"""Calorimeter towers: energies summed, smeared, and compared with the tracks that point to them."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from omnilearn_lab.simulation.cards import CalorimeterCard


class Deposits(NamedTuple):
    """Energy that enters a calorimeter, or tracks that point to it; arrays of shape (T,)."""

    event: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    energy: np.ndarray  # [GeV], times the fraction this calorimeter sees


class TowerResult(NamedTuple):
    """Neutral excesses, and the factor to apply to each track's pt (1 where nothing changes)."""

    neutral: Deposits
    factor: np.ndarray


class _Grid(NamedTuple):
    """Towers numbered row by row: eta edges, phi bins per row, number of the first tower per row."""

    edges: np.ndarray
    phi_bins: np.ndarray
    first: np.ndarray


def read_out(
    card: CalorimeterCard,
    deposits: Deposits,
    tracks: Deposits,
    track_sigma: np.ndarray,
    *,
    rng: np.random.Generator,
) -> TowerResult:
    """Simulate one calorimeter for all events at once.

    Each tower's energy is smeared once; below threshold it is set to zero. The excess N over the
    tracks' energy T becomes a neutral object when N > E_min and N / sqrt(S^2 + sigma^2) exceeds the
    significance, S being the tracks' resolution; otherwise the tracks are scaled to the weighted
    mean of tower and tracks.

    Parameters
    ----------
    card : CalorimeterCard
    deposits : Deposits
        Of generated particles.
    tracks : Deposits
        Reconstructed energies at the same face.
    track_sigma : array, shape (tracks,)
        Energy resolution [GeV].
    rng : numpy.random.Generator

    Returns
    -------
    TowerResult
    """
    grid = _grid(card)
    n_deposits = len(deposits.event)
    both = [np.concatenate(pair) for pair in zip(deposits[:3], tracks[:3], strict=True)]
    inside = (both[1] > grid.edges[0]) & (both[1] < grid.edges[-1])
    keys, tower = np.unique(_tower_key(grid, *(column[inside] for column in both)), return_inverse=True)
    own, hit = inside[:n_deposits], inside[n_deposits:]
    n_own = np.count_nonzero(own)
    true = np.bincount(tower[:n_own], deposits.energy[own], len(keys))
    sigma, energy = _smeared(card, grid, keys, true, rng)
    of_track = tower[n_own:]
    sums = [np.bincount(of_track, w[hit], len(keys)) for w in (tracks.energy, track_sigma**2)]
    is_neutral, excess = _excess(card, energy, sigma, sums)
    factor = np.ones(len(hit))
    factor[hit] = _track_factor(energy, sigma, sums, is_neutral)[of_track]
    return TowerResult(_neutral_objects(grid, keys[is_neutral], excess[is_neutral], rng), factor)


def resolution(card: CalorimeterCard, eta: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Return sigma(E) [GeV] at pseudorapidity ``eta``.

    Examples
    --------
    >>> from omnilearn_lab.simulation.cards import CMS_LIKE
    >>> resolution(CMS_LIKE.ecal, np.array([0.0]), np.array([50.0])).round(2).tolist()
    [0.96]
    """
    limits, *terms = (np.array(column) for column in list(zip(*card.resolution, strict=True))[:4])
    size = np.abs(eta)
    row = np.minimum(np.searchsorted(limits, size), len(limits) - 1)
    stochastic, noise, constant = (term[row] for term in terms)
    shapes = np.array([row[4] for row in card.resolution])[row]
    factor = np.where(shapes == "barrel", 1 + 0.64 * size**2, 1.0)
    factor = np.where(shapes == "endcap", 2.16 + 5.6 * (size - 2) ** 2, factor)
    return factor * np.sqrt((constant * energy) ** 2 + stochastic**2 * energy + noise**2)


def log_normal(mean: np.ndarray, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw positive numbers with the given means and standard deviations (0 where the mean is 0).

    With b^2 = ln(1 + sigma^2 / mean^2): x = mean exp(-b^2 / 2 + b g), g standard normal.

    Examples
    --------
    >>> log_normal(np.array([5.0, 0.0]), np.zeros(2), np.random.default_rng(0)).tolist()
    [5.0, 0.0]
    """
    relative = np.divide(sigma, mean, out=np.zeros(len(mean)), where=mean > 0)
    width2 = np.log1p(relative**2)
    return mean * np.exp(np.sqrt(width2) * rng.standard_normal(len(mean)) - width2 / 2)


@functools.cache
def _grid(card: CalorimeterCard) -> _Grid:
    edges = np.array(card.eta_edges)
    inner = np.minimum(np.abs(edges[:-1]), np.abs(edges[1:]))
    limits = np.array([limit for limit, _ in card.phi_bins])
    bins = np.array([number for _, number in card.phi_bins])
    phi_bins = bins[np.minimum(np.searchsorted(limits, inner + 1e-9), len(bins) - 1)]
    return _Grid(edges, phi_bins, np.concatenate([[0], np.cumsum(phi_bins)]))


def _tower_key(grid: _Grid, event: np.ndarray, eta: np.ndarray, phi: np.ndarray) -> np.ndarray:
    row = np.searchsorted(grid.edges, eta, side="right") - 1
    bins = grid.phi_bins[row]
    column = np.minimum(((phi + np.pi) / (2 * np.pi) * bins).astype(np.int64), bins - 1)
    return event * grid.first[-1] + grid.first[row] + column


def _tower_row(grid: _Grid, keys: np.ndarray) -> np.ndarray:
    return np.searchsorted(grid.first, keys % grid.first[-1], side="right") - 1


def _smeared(
    card: CalorimeterCard, grid: _Grid, keys: np.ndarray, true: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return (sigma, energy) of every tower; towers below threshold have energy 0."""
    row = _tower_row(grid, keys)
    eta = (grid.edges[row] + grid.edges[row + 1]) / 2
    energy = log_normal(true, resolution(card, eta, true), rng)
    sigma = resolution(card, eta, energy)
    return sigma, np.where((energy < card.min_energy) | (energy < card.significance * sigma), 0.0, energy)


def _excess(
    card: CalorimeterCard, energy: np.ndarray, sigma: np.ndarray, sums: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    excess = np.maximum(energy - sums[0], 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        significance = excess / np.sqrt(sums[1] + sigma**2)
    return (excess > card.min_energy) & (significance > card.significance), excess


def _track_factor(
    energy: np.ndarray, sigma: np.ndarray, sums: list[np.ndarray], is_neutral: np.ndarray
) -> np.ndarray:
    """Scale that brings the tracks of a tower to the weighted mean of tracks and tower."""
    total, variance = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        of_tracks = np.where(variance > 0, 1 / variance, 0)
        of_tower = np.where(sigma > 0, 1 / sigma**2, 0)
        factor = (total * of_tracks + energy * of_tower) / (of_tracks + of_tower) / total
    return np.where(~is_neutral & (total > 0) & (of_tracks + of_tower > 0), factor, 1.0)


def _neutral_objects(grid: _Grid, keys: np.ndarray, energy: np.ndarray, rng: np.random.Generator) -> Deposits:
    """Place each excess at random inside its tower."""
    row = _tower_row(grid, keys)
    step = 2 * np.pi / grid.phi_bins[row]
    phi = -np.pi + step * (keys % grid.first[-1] - grid.first[row] + rng.random(len(keys)))
    eta = grid.edges[row] + (grid.edges[row + 1] - grid.edges[row]) * rng.random(len(keys))
    return Deposits(keys // grid.first[-1], eta, phi, energy)
