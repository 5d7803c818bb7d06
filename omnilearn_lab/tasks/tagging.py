"""Jet tagging: boosted trees, ablations of a network, tables of jet classes, what a transfer saves."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import Field

from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables import OBSERVABLES, SIX, Observable, observables
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks import common
from omnilearn_lab.tasks.common.classification import train_trees
from omnilearn_lab.training import TrainConfig

_MEDIANS = ("soft_drop_mass", "multiplicity", "tau_21", "tau_32")
_LEPTONS = (11, 13)
_WIDE = {"mass": (0.0, 250.0), "multiplicity": (-0.5, 119.5), "ln_rho": (-12.0, 0.0)}


def by_class(jets: Jets) -> dict[str, Jets]:
    """Return the jets of each class by its name, classes without jets left out.

    Raises
    ------
    JetsError
        For jets without labels.
    """
    parts = {name: jets[jets.label == number] for number, name in enumerate(jets.class_names)}
    return {name: part for name, part in parts.items() if len(part)}


def displaced_particles(jets: Jets, *, significance: float = 3.0) -> np.ndarray:
    r"""Count the charged particles of each jet that miss the collision point.

    A particle counts when :math:`|d_0| / \sigma(d_0)` exceeds ``significance``. Hadrons with a b or c quark
    fly millimetres before they decay; their decay products point past the collision.

    Parameters
    ----------
    jets : Jets
        With particle columns ``d0`` and ``d0_err`` [mm]; an error of zero means "no track".
    significance

    Returns
    -------
    int64 array, shape (N,)

    Raises
    ------
    JetsError
        When the jets have no impact parameters.

    Examples
    --------
    >>> track = {"deta": [0, 0], "dphi": [0, 0], "pt": [2, 1], "energy": [2, 1]}
    >>> track |= {"d0": [1, 0], "d0_err": [0.1, 0.1]}
    >>> jet = {"pt": [3], "eta": [0], "phi": [0], "mass": [0]}
    >>> displaced_particles(Jets.build(track, [0, 2], jet)).tolist()
    [1]
    """
    missing = {"d0", "d0_err"} - set(jets.particles)
    if missing:
        raise JetsError(f"these jets have no {sorted(missing)}: impact parameters [mm] are needed")
    d0, error = (np.abs(jets.particles[name]) for name in ("d0", "d0_err"))
    is_displaced = (error > 0) & (d0 > significance * error)
    return np.add.reduceat(is_displaced.astype(np.int64), jets.offsets[:-1])


def lepton_fraction(jets: Jets) -> np.ndarray:
    """Return the share of each jet's transverse momentum that electrons and muons carry, shape (N,)."""
    if "pid" not in jets.particles:
        raise JetsError("these jets have no 'pid': particle species are needed")
    pt = jets.particles["pt"].astype(np.float64)
    is_lepton = np.isin(np.abs(jets.particles["pid"]), _LEPTONS)
    starts = jets.offsets[:-1]
    return np.add.reduceat(pt * is_lepton, starts) / np.add.reduceat(pt, starts)


def class_table(jets: Jets, *, jet_radius: float = 0.8) -> pd.DataFrame:
    """Return one row per class: jets, medians of observables, displaced particles, leptons.

    Parameters
    ----------
    jets : Jets
        With labels; impact parameters and species give two more columns when they are there.
    jet_radius
        R of the jets.

    Returns
    -------
    DataFrame
        Medians (``soft_drop_mass`` in GeV), the mean number of displaced particles, and the percentage of
        jets in which electrons and muons carry more than a tenth of the momentum.
    """
    return pd.DataFrame({name: _row(part, jet_radius) for name, part in by_class(jets).items()}).T


def _row(jets: Jets, jet_radius: float) -> dict[str, float]:
    values = observables(jets, _MEDIANS, jet_radius=jet_radius)
    row = {"number of jets": len(jets)} | {name: round(float(np.median(v)), 2) for name, v in values.items()}
    if "d0" in jets.particles:
        row["displaced particles"] = round(float(displaced_particles(jets).mean()), 2)
    if "pid" in jets.particles:
        row["with a lepton [%]"] = round(100 * float((lepton_fraction(jets) > 0.1).mean()), 1)
    return row


def wide_axes(n_bins: int = 50) -> dict[str, Observable]:
    """Return axes of the six observables for large-radius jets, heavier and richer than the published ones.

    Examples
    --------
    >>> wide_axes(25)["mass"].limits
    (0.0, 250.0)
    """
    return {
        name: replace(OBSERVABLES[name], limits=_WIDE.get(name, OBSERVABLES[name].limits), n_bins=n_bins)
        for name in SIX
    }


@settings
class BoostedTreesConfig:
    """What the trees see, and what is measured.

    Parameters
    ----------
    observables
        Names of `omnilearn_lab.observables.OBSERVABLES`.
    use_weights
        Whether the jets' weights count in loss and metrics.
    signal_efficiencies
        Where background rejections are measured.
    jet_radius
        R, when the jets' provenance does not know it.
    most_jets
        At most so many jets of each sample are looked at, the first ones: more teach six numbers nothing.
    """

    observables: Annotated[tuple[str, ...], Field(min_length=1)] = SIX
    use_weights: bool = True
    signal_efficiencies: tuple[float, ...] = (0.5, 0.3)
    jet_radius: Annotated[float, Field(gt=0)] | None = None
    most_jets: Annotated[int, Field(gt=0)] = 200_000


def train_boosted_trees(
    jets: Mapping[str, Jets], config: BoostedTreesConfig = BoostedTreesConfig()
) -> common.ClassifierResult:
    """Train gradient-boosted trees on observables of jets and measure them on other jets.

    Number, depth and rate of the trees are those with the smallest loss on the validation jets. An observable
    that a jet does not have (ln rho of a jet with no groomed mass) counts as missing: the trees learn on
    which side of a cut such jets go.

    Parameters
    ----------
    jets : mapping of "train", "val", "test" to Jets
        With labels 0 ... C - 1, all of which the training jets have; jets under further names are measured
        too.
    config : BoostedTreesConfig

    Returns
    -------
    ClassifierResult

    Raises
    ------
    JetsError
        When jets have no labels, or a class of other jets is not among the training jets.

    References
    ----------
    J. H. Friedman, Greedy function approximation, Annals of Statistics 29 (2001) 1189; histogram trees as in
    G. Ke et al., LightGBM, NeurIPS 2017.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> counts = np.tile([3, 6], 150)
    >>> cloud = {"pt": rng.uniform(1, 2, 1350), "energy": np.full(1350, 2.0)}
    >>> cloud |= {name: rng.normal(0, 0.1, 1350) for name in ("deta", "dphi")}
    >>> offsets = np.concatenate([[0], counts.cumsum()])
    >>> jet = {"pt": np.full(300, 9.0), "eta": np.zeros(300), "phi": np.zeros(300), "mass": np.ones(300)}
    >>> jets = Jets.build(cloud, offsets, jet | {"label": np.tile([0, 1], 150)})
    >>> splits = {"train": jets[:100], "val": jets[100:200], "test": jets[200:]}
    >>> bool(train_boosted_trees(splits, BoostedTreesConfig(jet_radius=0.8)).metrics.auc > 0.9)
    True
    """
    start = time.perf_counter()
    jets = {name: sample[: config.most_jets] for name, sample in jets.items()}
    rows = {name: _rows(sample, name, config) for name, sample in jets.items()}
    train = rows["train"]
    for name, sample in rows.items():
        if unseen := sorted(set(np.unique(sample.label)) - set(np.unique(train.label))):
            raise JetsError(f"{name} jets have labels {unseen}, which no training jet has; load more")
    class_names, n_classes = jets["test"].class_names, int(train.label.max()) + 1
    points = config.signal_efficiencies
    return train_trees(rows, class_names, n_classes, start=start, signal_efficiencies=points)


def _rows(jets: Jets, name: str, config: BoostedTreesConfig) -> common.Rows:
    """Observables as columns, not-a-number where a jet has none; labels and weights."""
    if "label" not in jets.jet:
        raise JetsError(f"the {name} jets have no labels: a classifier needs a jet column 'label'")
    values = observables(jets, config.observables, jet_radius=config.jet_radius)
    table = np.stack(list(values.values()), axis=1)
    weight = jets.jet.get("weight") if config.use_weights else None
    return common.Rows(np.where(np.isfinite(table), table, np.nan), jets.jet["label"], weight)


@settings
class AblationSettings:
    """A complete PET v2 and the same with one ingredient less.

    Parameters
    ----------
    size
        Named size of all networks.
    base
        Fields of `PETv2Config` changed for all of them.
    variants
        Name of each network, and what it changes; the complete one changes nothing.
    pet
        Fields of `PETConfig` changed for the PET of the first paper.
    seeds
    training : TrainConfig
        The same for all.

    Raises
    ------
    ConfigError
        When no network is complete.
    """

    size: str
    base: dict[str, Any]
    variants: dict[str, dict[str, Any]]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    pet: dict[str, Any] = field(default_factory=dict)
    training: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if {} not in self.variants.values():
            raise ConfigError("one variant must change nothing: it is what the others are compared with")

    @property
    def complete(self) -> str:
        """Name of the network with all ingredients."""
        return next(name for name, changes in self.variants.items() if not changes)

    @property
    def ingredients(self) -> dict[str, tuple[str, str]]:
        """What each ingredient brings, as pairs for `Comparison.gains`: the complete network over another."""
        others = [name for name in (*self.variants, "PET") if name != self.complete]
        return {name: (self.complete, name) for name in others}

    def classifiers(self, n_classes: int) -> dict[str, common.ClassifierSettings]:
        """Return the settings of every variant, and those of the PET of the first paper as "PET"."""
        networks = {name: ("pet_v2", {**self.base, **changes}) for name, changes in self.variants.items()}
        networks["PET"] = ("pet", self.pet)
        return {
            name: common.ClassifierSettings(
                n_classes, size=self.size, training=self.training, network=network, changes=changes
            )
            for name, (network, changes) in networks.items()
        }


def ablate(
    data: common.ClassifierData,
    settings: AblationSettings,
    *,
    pet_data: common.ClassifierData | None = None,
    **options: Any,
) -> common.Comparison[common.ClassifierResult]:
    """Train every variant with every seed on the same jets.

    Parameters
    ----------
    data : ClassifierData
        With the inputs of a PET v2, species and further numbers included.
    settings : AblationSettings
    pet_data
        The same jets with PET's inputs, for the PET of the first paper.
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    Comparison of ClassifierResult
        One arm per variant, and "PET".
    """
    sets, arms = {"pet_v2": data, "pet": pet_data}, settings.classifiers(data.n_classes)
    return common.train_classifiers(sets, arms, seeds=settings.seeds, **options)


def metric_lost(results: Sequence[common.ClassifierResult], metric: str = "auc") -> dict[str, list[float]]:
    """Return, per seed, a metric on the test jets minus that on each further set of jets, by its name."""
    tested = [(result.metrics.to_dict()[metric], result.others) for result in results]
    names = results[0].others if results else ()
    return {name: [value - others[name].to_dict()[metric] for value, others in tested] for name in names}


def mean_lost(
    results: Sequence[common.ClassifierResult], metric: str = "auc"
) -> dict[str, tuple[float, float]]:
    """Return the mean of `metric_lost`, by the name of the further jets, with its error.

    The error holds the spread over seeds and the statistical errors of both samples of jets, in quadrature:
    they are different jets, so nothing cancels.
    """
    lost = {}
    for name, values in metric_lost(results, metric).items():
        seeds = np.var(values, ddof=1) if len(values) > 1 else 0.0
        jets = np.mean([r.errors()[metric] ** 2 + r.others[name].errors()[metric] ** 2 for r in results])
        lost[name] = (float(np.mean(values)), float(np.sqrt(seeds + jets)))
    return lost


def jets_saved(sizes: Sequence[int], scratch: ArrayLike, finetuned: ArrayLike) -> dict[int, float]:
    """Return, for each size, how many times more jets training from scratch needs to do as well.

    The number of jets at which the mean of scratch training reaches that of fine-tuning with n jets, over n;
    between two sizes linear in the logarithm of the number of jets.

    Parameters
    ----------
    sizes
        Training jets, rising, shape (K,).
    scratch, finetuned : array, shape (S, K)
        A metric that grows as a tagger gets better, per seed; as from `LearningCurve.values`.

    Returns
    -------
    dict of int to float
        Infinite where scratch training does not get there with all its jets; 0 where fine-tuning is worse
        than scratch training with the fewest.

    Examples
    --------
    >>> jets_saved([100, 10_000], [[0.80, 0.90]], [[0.85, 0.95]])
    {100: 10.0, 10000: inf}
    """
    reached = np.maximum.accumulate(np.mean(scratch, axis=0))
    values = np.mean(finetuned, axis=0)
    return {
        int(n): round(_size_for(value, reached, sizes) / n, 9) for n, value in zip(sizes, values, strict=True)
    }


def _size_for(value: float, curve: np.ndarray, sizes: Sequence[int]) -> float:
    """Number of jets at which a rising curve reaches a value; 0 below its start, infinite above its end."""
    if value < curve[0]:
        return 0.0
    if value > curve[-1]:
        return math.inf
    above = int(np.searchsorted(curve, value))
    if above == 0:
        return float(sizes[0])
    share = (value - curve[above - 1]) / (curve[above] - curve[above - 1])
    return float(sizes[above - 1] * (sizes[above] / sizes[above - 1]) ** share)
