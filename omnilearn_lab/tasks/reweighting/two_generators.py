"""Jets of two generators at two levels, and jets with a ratio that is known: what the studies run on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from omnilearn_lab.catalog import LoadOptions, load_pairs
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables import observables
from omnilearn_lab.simulation import PairedJets
from omnilearn_lab.tasks.reweighting.paired_sample import PairedSample

__all__ = ["TiltedJets", "TwoGenerators", "load_two_generators", "select_pairs", "tilt", "with_acceptance"]

_DATASET, _RADIUS = "omnifold_zjets", 0.4
_VARIANTS = {"simulation": "pythia21", "data": "herwig"}


@dataclass(frozen=True)
class TwoGenerators:
    """Z + jets events of two generators.

    Parameters
    ----------
    simulation, data : PairedJets
        The truth of ``data`` is what unfolding should find, and must not be shown to it.
    """

    simulation: PairedJets
    data: PairedJets


def load_two_generators(
    split: str, n_jets: int, *, source: str = "simulated", seed: int = 1, data_dir: str | None = None
) -> TwoGenerators:
    """Load Z + jets pairs of both generators.

    Published: Pythia 8 (tune A14) as simulation and Herwig 7 as data, as in the papers. Simulated: Pythia 8.3
    with tune A14, and with another fragmentation and shower coupling in the place of Herwig.

    Parameters
    ----------
    split : {"train", "val", "test"}
    n_jets
        Of each generator.
    source : {"simulated", "published"}
    seed
    data_dir
        Data folder, as in `omnilearn_lab.catalog.LoadOptions`.

    Raises
    ------
    ConfigError
        For another source.
    DataFileError
        When published files are asked for and are not there.
    """
    if source == "simulated":
        options = LoadOptions(data_dir=data_dir)
        both = load_pairs(
            _DATASET, split, source="simulated", max_jets=2 * n_jets, seed=seed, options=options
        )
        names = both.truth.class_names
        parts = [select_pairs(both, both.truth.label == names.index(name)) for name in _VARIANTS]
    elif source == "published":
        parts = [
            load_pairs(
                _DATASET,
                split,
                source="published",
                max_jets=n_jets,
                seed=seed,
                options=LoadOptions(data_dir=data_dir, variant=variant),
            )
            for variant in _VARIANTS.values()
        ]
    else:
        raise ConfigError(f"source is '{source}'; 'simulated' or 'published' is needed")
    return TwoGenerators(*(_with_radius(part, source) for part in parts))


def _with_radius(pairs: PairedJets, source: str) -> PairedJets:
    facts = {"jet_radius": _RADIUS, "source": source}
    return PairedJets(
        *(replace(jets, provenance=dict(jets.provenance) | facts) for jets in (pairs.truth, pairs.detector))
    )


def select_pairs(pairs: PairedJets, rows: np.ndarray | slice) -> PairedJets:
    """Return some events, at both levels."""
    return PairedJets(pairs.truth[rows], pairs.detector[rows])


def with_acceptance(pairs: PairedJets, min_pt: float) -> PairedSample:
    """Ask for a jet pt above ``min_pt`` [GeV] at each level: events near the cut pass only one of them.

    Returns
    -------
    PairedSample
        Migrations over the cut make some events missed and others fakes.
    """
    passed = {f"pass_{level}": getattr(pairs, level).jet["pt"] > min_pt for level in ("truth", "detector")}
    return PairedSample(pairs.truth, pairs.detector, **passed)


@dataclass(frozen=True, eq=False)
class TiltedJets:
    """Two samples of the same jets, one of them thinned out by a known probability.

    Parameters
    ----------
    source, target : Jets
        Independent jets; the density of ``target`` is that of ``source`` times the ratio.
    log_ratio : array, shape (N,)
        Of the source jets, for densities of equal integral.
    """

    source: Jets
    target: Jets
    log_ratio: np.ndarray


def tilt(jets: Jets, observable: str = "width", *, strength: float = 1.5, seed: int = 1) -> TiltedJets:
    r"""Make a target whose likelihood ratio to the source is known exactly.

    Half of the jets are the source. Of the others, a jet stays with probability
    :math:`\sigma(a (x - \bar x)/s)` (x: the observable, a: strength, s: its standard deviation), so the
    ratio is that probability over its mean.

    Parameters
    ----------
    jets : Jets
    observable
        A name that `omnilearn_lab.observables.observables` knows.
    strength
        Zero leaves nothing to learn.
    seed

    Raises
    ------
    JetsError
        For fewer than four jets, or an observable that is not finite for all of them.
    """
    x = observables(jets, [observable])[observable]
    if len(jets) < 4 or not np.isfinite(x).all():
        raise JetsError(f"tilting needs at least four jets with a finite {observable}; {len(jets)} given")
    rng = np.random.default_rng(seed)
    first = rng.permutation(len(jets)) < len(jets) // 2
    probability = 1 / (1 + np.exp(-strength * (x - x.mean()) / x.std()))
    kept = ~first & (rng.random(len(jets)) < probability)
    ratio = probability[first] / probability.mean()
    return TiltedJets(jets[first], jets[kept], np.log(ratio))
