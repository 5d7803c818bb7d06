"""Jets as rows of tokens: what a codebook loses of them, and jets that a token network writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from omnilearn_lab.display import label
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics.distances import wasserstein
from omnilearn_lab.models.baselines import TokenTransformer
from omnilearn_lab.observables import observables
from omnilearn_lab.tasks.generation.generator import assemble, bare_jets

_SHOWN = ("mass", "tau_21", "pt", "multiplicity")


def tokenized(model: TokenTransformer, jets: Jets) -> Jets:
    """Return the jets with every particle moved to the point of its code: all that the network can know."""
    features = pet_v2_batch(jets).features
    codes = model.codebook.encode(features.to(model.codebook.centers.device))
    return assemble(_rows(model, codes), jets)


def generate_tokens(model: TokenTransformer, n: int, *, length: int, seed: int = 1) -> Jets:
    """Let the network write n jets of at most ``length`` massless particles, around an axis at eta = 0.

    It is told nothing: classes come as often as in the jets that it learned from.
    """
    codes = model.eval().sample(n, length, seed=seed)
    is_particle = codes != model.end
    columns = np.tile([1.0, 0.0, 0.0, 0.0], (n, 1))  # any momentum, around eta = 0
    columns[:, 3] = is_particle.sum(1).cpu().numpy()
    like = bare_jets(columns, np.zeros(n, dtype=np.int64), np.zeros(n), ())
    return assemble(
        _rows(model, codes[is_particle]), like, {"source": "generated", "sampler": f"seed {seed}"}
    )


def _rows(model: TokenTransformer, codes: torch.Tensor) -> np.ndarray:
    """Features of codes (T,); no energy, so that the particles are massless, (T, 4)."""
    rows = model.codebook.decode(codes).double().cpu().numpy()
    return np.column_stack([rows, np.full(len(rows), -np.inf)])


def quantities(jets: Jets, names: Sequence[str] = _SHOWN, *, jet_radius: float) -> dict[str, np.ndarray]:
    """Return observables of the particles that are there; "pt" is that of their sum."""
    values = observables(jets, [name for name in names if name != "pt"], jet_radius=jet_radius)
    summed = assemble(pet_v2_batch(jets).features.double().numpy(), jets)
    return {name: summed.jet["pt"] if name == "pt" else values[name] for name in names}


def jet_resolution(true: Jets, seen: Jets, *, jet_radius: float) -> pd.DataFrame:
    """Compare jets one by one: half the central 68 % and the median of (seen - true) / true, a row each."""
    names = [name for name in _SHOWN if name != "multiplicity"]
    both = [quantities(jets, names, jet_radius=jet_radius) for jets in (true, seen)]
    rows = {}
    for name in names:
        is_there = both[0][name] > 0
        ratio = both[1][name][is_there] / both[0][name][is_there] - 1
        low, middle, high = np.percentile(ratio, (15.87, 50, 84.13))
        rows[label(name)] = {"resolution": (high - low) / 2, "bias": middle}
    return pd.DataFrame.from_dict(rows, orient="index")


def observable_distances(reference: Jets, samples: Mapping[str, Jets], *, jet_radius: float) -> pd.DataFrame:
    """Return the Wasserstein distance of each sample from the reference, a row per sample, in the units of
    the observables.
    """
    true = quantities(reference, jet_radius=jet_radius)
    rows = {}
    for name, jets in samples.items():
        values = quantities(jets, jet_radius=jet_radius)
        rows[name] = {label(key, has_unit=True): wasserstein(true[key], values[key]) for key in true}
    return pd.DataFrame.from_dict(rows, orient="index")
