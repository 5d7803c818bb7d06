"""What reweighting and unfolding start from: weighted samples, events at two levels, two generators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.catalog import LoadOptions, load_pairs
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets, PairedJets

Sample = Jets | np.ndarray
"""Jets, or a table of observables with shape (N, K) or (N,)."""
_DATASET, _RADIUS = "omnifold_zjets", 0.4
_VARIANTS = {"simulation": "pythia21", "data": "herwig"}


def check_sample(name: str, sample: Sample) -> Sample:
    """Return jets as they are and tables as float64 of shape (N, K); both must hold something finite.

    Raises
    ------
    JetsError
        For an empty sample, another shape, or not-a-number.

    Examples
    --------
    >>> check_sample("source", np.array([1.0, np.nan]))
    Traceback (most recent call last):
    omnilearn_lab.errors.JetsError: source: 1 of 2 rows hold infinities or not-a-number, ...
    """
    if isinstance(sample, Jets):
        if not len(sample):
            raise JetsError(f"{name} holds no jets; loosen the selection")
        return sample
    table = np.asarray(sample, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or not table.size:
        raise JetsError(
            f"{name} has shape {np.shape(sample)}; Jets or a table (N, K) with N, K > 0 is needed"
        )
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(bad):
        raise JetsError(
            f"{name}: {len(bad)} of {len(table)} rows hold infinities or not-a-number, the first is row "
            f"{bad[0]}; drop these jets, or give undefined observables a number of their own"
        )
    return table


def check_weights(name: str, weights: ArrayLike | None, n: int) -> np.ndarray:
    """Return weights as float64 of shape (n,); ones when none are given.

    Raises
    ------
    JetsError
        For another shape, not-a-number, negative weights, or a sum of zero.

    Examples
    --------
    >>> check_weights("source", [1.0, -1.0], 2)
    Traceback (most recent call last):
    omnilearn_lab.errors.JetsError: 1 of the 2 weights of source are negative; ...
    """
    values = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.shape != (n,):
        raise JetsError(f"the weights of {name} have shape {values.shape}; one per jet, ({n},), is needed")
    if not np.isfinite(values).all():
        raise JetsError(f"{int((~np.isfinite(values)).sum())} of the {n} weights of {name} are not finite")
    if (values < 0).any():
        raise JetsError(
            f"{int((values < 0).sum())} of the {n} weights of {name} are negative; weights >= 0 are needed: "
            "take absolute values, or merge or resample negative weights first"
        )
    if not values.sum() > 0:
        raise JetsError(f"the weights of {name} sum to zero; nothing is left to learn from")
    return values


def weights_of(sample: Sample) -> np.ndarray | None:
    """Return the weights that jets carry; a table carries none."""
    return sample.weight if isinstance(sample, Jets) else None


def rows_of(sample: Sample, rows: np.ndarray) -> Sample:
    """Return chosen jets, or rows of a table (a vector is a table of one column)."""
    if isinstance(sample, Jets):
        return sample[rows]
    table = np.asarray(sample, dtype=np.float64)
    return (table[:, None] if table.ndim == 1 else table)[rows]


@dataclass(frozen=True, eq=False)
class PairedSample:
    """N simulated events at particle level (truth) and at detector level.

    Events that pass the particle-level selection only are *missed* (the detector is not fully efficient);
    those that pass the detector-level selection only are *fakes*. A level that was not passed is never
    read: a table may hold not-a-number there, and jets anything.

    Parameters
    ----------
    truth, detector : Jets, or table of shape (N, K) or (N,)
    weight : array, shape (N,), optional
        Weights of the simulation; the jets' own (truth level), or ones.
    pass_truth, pass_detector : bool array, shape (N,), optional
        Which events pass; all by default.

    Raises
    ------
    JetsError
        For levels of different length, bad weights, not-a-number in a level that was passed, or no
        event that passes both levels.

    Examples
    --------
    >>> sample = PairedSample(np.zeros(3), np.array([0.1, np.nan, 0.2]), pass_detector=[True, False, True])
    >>> sample.efficiency, sample.fake_share
    (0.6666666666666666, 0.0)
    """

    truth: Sample
    detector: Sample
    weight: ArrayLike | None = None
    pass_truth: ArrayLike | None = None
    pass_detector: ArrayLike | None = None

    def __post_init__(self) -> None:
        n = len(self.truth)
        if len(self.detector) != n:
            raise JetsError(
                f"{n} events at particle level and {len(self.detector)} at detector level; row i of both "
                "must be the same event: pair them by event number first"
            )
        own = self.truth.weight if isinstance(self.truth, Jets) and self.weight is None else self.weight
        object.__setattr__(self, "weight", check_weights("the simulation", own, n))
        for name in ("pass_truth", "pass_detector"):
            object.__setattr__(self, name, _mask(name, getattr(self, name), n))
        if not (self.weight[self.pass_truth & self.pass_detector] > 0).any():
            raise JetsError("no simulated event passes both levels; loosen the selection")
        check_sample("truth", rows_of(self.truth, self.pass_truth))
        check_sample("detector", rows_of(self.detector, self.pass_detector))

    def __len__(self) -> int:
        return len(self.truth)

    @classmethod
    def of(cls, pairs: PairedJets | PairedSample, **options: Any) -> PairedSample:
        """Return pairs of jets as a sample; one that is a sample already stays as it is."""
        return pairs if isinstance(pairs, cls) else cls(pairs.truth, pairs.detector, **options)

    def select(self, rows: np.ndarray) -> PairedSample:
        """Return some events."""
        levels = {name: rows_of(getattr(self, name), rows) for name in ("truth", "detector")}
        columns = {name: getattr(self, name)[rows] for name in ("weight", "pass_truth", "pass_detector")}
        return PairedSample(**levels, **columns)

    def scaled(self, factor: float | np.ndarray) -> PairedSample:
        """Return the events with their weights multiplied."""
        return replace(self, weight=self.weight * factor)

    @property
    def efficiency(self) -> float:
        """Share of the events at particle level that are also seen at detector level."""
        both = self.pass_truth & self.pass_detector
        return float(self.weight[both].sum() / self.weight[self.pass_truth].sum())

    @property
    def fake_share(self) -> float:
        """Share of the events at detector level that do not belong to the particle level."""
        fakes = self.pass_detector & ~self.pass_truth
        return float(self.weight[fakes].sum() / self.weight[self.pass_detector].sum())


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
    if source not in ("simulated", "published"):
        raise ConfigError(f"source is '{source}'; 'simulated' or 'published' is needed")
    ask, options = (
        partial(load_pairs, _DATASET, split, source=source, seed=seed),
        LoadOptions(data_dir=data_dir),
    )
    if source == "simulated":
        both = ask(max_jets=2 * n_jets, options=options)
        names = both.truth.class_names
        parts = [both[both.truth.label == names.index(name)] for name in _VARIANTS]
    else:
        variants = (replace(options, variant=variant) for variant in _VARIANTS.values())
        parts = [ask(max_jets=n_jets, options=each) for each in variants]
    return TwoGenerators(*(_with_radius(part, source) for part in parts))


def _with_radius(pairs: PairedJets, source: str) -> PairedJets:
    facts = {"jet_radius": _RADIUS, "source": source}
    return PairedJets(
        *(replace(jets, provenance=dict(jets.provenance) | facts) for jets in (pairs.truth, pairs.detector))
    )


def with_acceptance(pairs: PairedJets, min_pt: float) -> PairedSample:
    """Ask for a jet pt above ``min_pt`` [GeV] at each level: events near the cut pass only one of them.

    Returns
    -------
    PairedSample
        Migrations over the cut make some events missed and others fakes.
    """
    passed = {f"pass_{level}": getattr(pairs, level).jet["pt"] > min_pt for level in ("truth", "detector")}
    return PairedSample(pairs.truth, pairs.detector, **passed)


def _mask(name: str, values: ArrayLike | None, n: int) -> np.ndarray:
    mask = np.ones(n, dtype=bool) if values is None else np.asarray(values)
    if mask.dtype != bool or mask.shape != (n,):
        raise JetsError(
            f"{name} has shape {mask.shape} and type {mask.dtype}; bool of shape ({n},) is needed"
        )
    return mask
