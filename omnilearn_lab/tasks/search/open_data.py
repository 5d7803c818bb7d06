"""Anomalies among the jets of CMS open data: samples, weak supervision, control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from omnilearn_lab.catalog import LoadOptions, catalog, load
from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.features import pet_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import load_checkpoint, load_published, read_card
from omnilearn_lab.observables import observables
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks import common
from omnilearn_lab.tasks.common.comparison import compare
from omnilearn_lab.tasks.search import decorrelation
from omnilearn_lab.tasks.search.events import EventNetwork, embed_events, without_labels
from omnilearn_lab.tasks.search.mass_fits import MassFit, MassWindow
from omnilearn_lab.tasks.search.weak_supervision import (
    WeakSupervisionConfig,
    WeakSupervisionResult,
    weak_supervision,
    weak_supervision_of_rows,
)

THREE_PRONG = ("H4q", "Hqql", "Tbqq")
"""JetClass classes with three or more prongs."""
_TOP = "top"
_MIN_PT = 500.0


@dataclass(frozen=True, eq=False)
class OpenDataSamples:
    """Jets within the mass limits, with a column ``soft_drop_mass`` [GeV].

    Parameters
    ----------
    data : Jets
        With labels only in simulation.
    reference : Jets
        Background of the same kind, for training, control and closure.
    """

    data: Jets
    reference: Jets

    @property
    def is_top(self) -> np.ndarray | None:
        """Which data jets are top jets; None for collision data."""
        if "label" not in self.data.jet:
            return None
        return self.data.label == self.data.class_names.index(_TOP)


def load_open_data(
    n_jets: int,
    *,
    source: Literal["simulated", "published"] = "simulated",
    signal_fraction: float = 0.001,
    limits: tuple[float, float] = (100.0, 260.0),
    seed: int = 1,
) -> OpenDataSamples:
    """Load data and reference.

    Parameters
    ----------
    n_jets
        Jets to load before the selection on mass, of data and reference together.
    source
        "simulated": QCD jets of the stand-in with top jets mixed in. "published": Aspen Open Jets as they
        are, compared with simulated QCD of CMS.
    signal_fraction
        Of top jets among the selected data; 0.001 in the publication. Not used with published data.
    limits
        Soft-drop masses that are kept [GeV].
    seed

    Returns
    -------
    OpenDataSamples
        Above 500 GeV, within the limits, in random order.

    Raises
    ------
    JetsError
        When nothing is left, or there are too few top jets to inject.
    """
    if source == "published":
        samples = (
            load(name, source="published", max_jets=n_jets // 2, seed=seed) for name in ("aspen", "cms_qcd")
        )
        return OpenDataSamples(*(_selected(without_labels(jets), limits) for jets in samples))
    options = LoadOptions(variant="search")
    jets = _selected(load("aspen", source="simulated", max_jets=n_jets, seed=seed, options=options), limits)
    is_top = jets.label == jets.class_names.index(_TOP)
    background, half = jets[~is_top], int((~is_top).sum()) // 2
    data = inject(background[:half], jets[is_top], signal_fraction, seed=seed)
    return OpenDataSamples(data, background[half:])


def _selected(jets: Jets, limits: tuple[float, float]) -> Jets:
    if "soft_drop_mass" not in jets.jet:
        mass = observables(jets, ["soft_drop_mass"], jet_radius=0.8)["soft_drop_mass"]
        jets = jets.with_jet(soft_drop_mass=np.nan_to_num(mass, nan=-1.0))
    low, high = limits
    mass = jets.jet["soft_drop_mass"]
    chosen = jets[(mass >= low) & (mass < high) & (jets.jet["pt"] >= _MIN_PT)]
    if not len(chosen):
        raise JetsError(
            f"none of {len(jets)} jets has pt above {_MIN_PT:g} GeV and a soft-drop mass between {low:g} and "
            f"{high:g} GeV; load more"
        )
    return chosen


class RegionRates(NamedTuple):
    """Parts of all tops and of all QCD jets within the mass limits that are left in the signal region."""

    tops: float
    qcd: float


def region_rates(
    samples: OpenDataSamples, scores: tuple[np.ndarray, np.ndarray], kept: Sequence[float], window: MassWindow
) -> dict[float, RegionRates]:
    """Return what a cut leaves in the signal region, per share of the data that is kept.

    Parameters
    ----------
    samples : OpenDataSamples
        Simulated.
    scores : (array, array)
        Of data and of reference jets.
    kept
    window : MassWindow

    Returns
    -------
    dict of share to RegionRates
        Shares are left out where no jet of one kind remains; for collision data, whose tops are not known,
        nothing is returned.
    """
    if samples.is_top is None:
        return {}
    inside, qcd_inside = (
        window.inside(jets.jet["soft_drop_mass"]) for jets in (samples.data, samples.reference)
    )
    rates = {}
    for share in kept:
        cut = np.quantile(scores[0], 1 - share)
        tops = (inside & (scores[0] >= cut))[samples.is_top].mean() if samples.is_top.any() else 0.0
        qcd = (qcd_inside & (scores[1] >= cut)).mean()
        if tops > 0 and qcd > 0:
            rates[share] = RegionRates(float(tops), float(qcd))
    return rates


class ClassProbabilities(NamedTuple):
    """What a pretrained classifier says about jets.

    Attributes
    ----------
    values : array, shape (N, C)
    class_names : tuple of str
    """

    values: np.ndarray
    class_names: tuple[str, ...]

    def score(self, classes: Sequence[str] = THREE_PRONG, background: str = "QCD") -> np.ndarray:
        r"""Return :math:`\sum_k p_k / (\sum_k p_k + p_\mathrm{QCD})`: no training, no data needed.

        Parameters
        ----------
        classes
            Names of the classes k that count as anomalous.
        background

        Returns
        -------
        array, shape (N,)
            Between 0 and 1.

        Raises
        ------
        ConfigError
            For a class that the network does not know.

        References
        ----------
        OmniLearned, arXiv:2510.24066; the search in CMS open data, arXiv:2603.23593.

        Examples
        --------
        >>> ClassProbabilities(np.array([[0.5, 0.25, 0.25]]), ("QCD", "Tbqq", "Wqq")).score(["Tbqq"]).round(3)
        array([0.333])
        """
        for name in (*classes, background):
            if name not in self.class_names:
                raise ConfigError(f"the network has no class '{name}'; {nearest(name, self.class_names)}")
        column = {name: self.values[:, i] for i, name in enumerate(self.class_names)}
        anomalous = np.sum([column[name] for name in classes], axis=0)
        return anomalous / np.maximum(anomalous + column[background], np.finfo(float).tiny)


def class_probabilities(jets: Jets, checkpoint: str = "tiny", *, use_pid: bool = True) -> ClassProbabilities:
    """Apply a pretrained network with the heads it was pretrained with.

    Parameters
    ----------
    jets : Jets
    checkpoint
        Name or path of a checkpoint of ours, or a published ``.h5`` file, whose classes are JetClass's.
    use_pid
        Show the network the particle species.

    Returns
    -------
    ClassProbabilities

    Raises
    ------
    CheckpointError
        When the checkpoint is missing or damaged.
    ConfigError
        When names and number of classes differ.
    """
    if checkpoint.endswith(".h5"):
        model, names = load_published(checkpoint), catalog()["jetclass"].classes
    else:
        model, names = load_checkpoint(checkpoint), tuple(read_card(checkpoint)["data"]["class_names"])
    values = common.predict(model, replace(pet_batch(jets, use_pid=use_pid), label=None, weight=None))
    if values.shape[1] != len(names):
        raise ConfigError(f"'{checkpoint}' has {values.shape[1]} outputs and {len(names)} class names")
    return ClassProbabilities(values, tuple(names))


def inject(background: Jets, signal: Jets, fraction: float, *, seed: int = 1) -> Jets:
    """Mix a share of signal jets into background jets, in random order.

    Parameters
    ----------
    background, signal : Jets
        With the same class names.
    fraction
        Of signal in the mixture, in [0, 1).
    seed

    Returns
    -------
    Jets
        All background jets and n_B f / (1 - f) signal jets; the labels stay, for the final measurement.

    Raises
    ------
    JetsError
        When there are fewer signal jets than that.
    ConfigError
        For a fraction outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise ConfigError(f"fraction is {fraction}; it must lie in [0, 1)")
    n = round(len(background) * fraction / (1 - fraction))
    if n > len(signal):
        raise JetsError(
            f"a signal fraction of {fraction:g} in {len(background)} jets needs {n} signal jets, found "
            f"{len(signal)}: load more, or lower the fraction"
        )
    chosen = np.random.default_rng(seed).permutation(len(signal))[:n]
    return Jets.concatenate([background, signal[chosen]]).shuffle(seed)


@settings
class OpenDataSearchSettings:
    """How weak supervision searches in jets of open data.

    Parameters
    ----------
    signal_region
        Soft-drop masses [GeV].
    fit : MassFit
        Of the uncut spectrum; its limits bound the sidebands.
    kept : tuple of float
        Shares of the background to keep, at every mass.
    weak : WeakSupervisionConfig
        Folds and network; start and training are set by ``compare``.
    compare : ComparisonSettings
    frozen
        As a third arm, a head of ``weak`` on the embeddings by the checkpoint's frozen body.
    head_folds
        Folds of the third arm: its heads take seconds, so that each can learn from more of the jets.

    Raises
    ------
    ConfigError
        When the network reads events of several jets.
    """

    signal_region: tuple[float, float] = (150.0, 210.0)
    fit: MassFit = MassFit((100.0, 260.0), "log_polynomial2", n_bins=16)
    kept: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.3, 0.1, 0.05)
    weak: WeakSupervisionConfig = WeakSupervisionConfig(EventNetwork(jets_per_event=1, use_pid=True))
    compare: common.ComparisonSettings = field(default_factory=common.ComparisonSettings)
    frozen: bool = True
    head_folds: Annotated[int, Field(ge=2)] = 5

    def __post_init__(self) -> None:
        if self.weak.network.jets_per_event != 1:
            raise ConfigError(
                f"jets_per_event is {self.weak.network.jets_per_event}; here every jet is an event: set 1"
            )

    @property
    def window(self) -> MassWindow:
        """Signal region and sidebands."""
        return MassWindow(self.signal_region, self.fit.limits)


@dataclass(frozen=True, eq=False)
class OpenDataResult:
    """One training by weak supervision, applied to the data.

    Parameters
    ----------
    scores : array, shape (N,)
        Of the data jets: the share of data jets with a lower score.
    scan : tuple of ScanPoint
        Bump hunts behind cuts that keep the same share of the background at every mass.
    auc
        Of data against reference in the signal region, out of fold.
    n_train
        Jets.
    """

    scores: np.ndarray
    scan: tuple[decorrelation.ScanPoint, ...]
    auc: float
    n_train: int

    def values(self) -> dict[str, float]:
        """Return the significance in each share of the data (NaN without a fit) and the AUC."""
        measured = {f"significance, {point.kept:.0%} kept": point.significance for point in self.scan}
        return measured | {"auc_data_against_reference": self.auc}


class EmbeddedJets(NamedTuple):
    """Masses [GeV], shape (N,), and what a frozen body makes of the jets, shape (N, K)."""

    masses: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, jets: Jets, checkpoint: str = "tiny", *, workers: int | None = None) -> EmbeddedJets:
        """Embed jets with a ``soft_drop_mass``."""
        rows = embed_events(jets, checkpoint, jets_per_event=1, use_pid=True, workers=workers)
        return cls(jets.jet["soft_drop_mass"].astype(np.float64), rows)

    def take(self, rows: np.ndarray) -> EmbeddedJets:
        """Return some of the jets."""
        return EmbeddedJets(self.masses[rows], self.rows[rows])


def search_embedded(
    data: EmbeddedJets, reference: EmbeddedJets, settings: OpenDataSearchSettings, *, seed: int = 1
) -> OpenDataResult:
    """Search with a small head on embeddings; takes seconds, so that pseudo-experiments can repeat it.

    Parameters
    ----------
    data, reference : EmbeddedJets
    settings : OpenDataSearchSettings
    seed
        Of the folds.
    """
    masses = data.masses, reference.masses
    regions = [settings.window.inside(mass) for mass in masses]
    training = replace(settings.weak.training, seed=seed)
    config = replace(settings.weak, n_folds=settings.head_folds, training=training)
    result = weak_supervision_of_rows(
        data.rows[regions[0]],
        reference.rows[regions[1]],
        config,
        test=np.concatenate([data.rows[~regions[0]], reference.rows[~regions[1]]]),
        background_weights=_planed(masses, settings),
    )
    return _measured(result, masses, settings)


def embedded_control(
    reference: EmbeddedJets, settings: OpenDataSearchSettings, *, n_experiments: int = 20, seed: int = 1
) -> dict[float, decorrelation.Control]:
    """Repeat the whole search without a signal: half of the reference plays the data, the other half itself.

    Parameters
    ----------
    reference : EmbeddedJets
    settings : OpenDataSearchSettings
    n_experiments, seed
        As in `omnilearn_lab.tasks.search.decorrelation.control_experiments`.
    """

    def search(data: np.ndarray, others: np.ndarray) -> tuple[decorrelation.ScanPoint, ...]:
        return search_embedded(reference.take(data), reference.take(others), settings, seed=seed).scan

    n_jets = len(reference.masses)
    return decorrelation.control_experiments(search, n_jets, n_experiments=n_experiments, seed=seed)


def compare_weak_supervision(
    samples: OpenDataSamples, settings: OpenDataSearchSettings, **options: Any
) -> common.Comparison[OpenDataResult]:
    """Train data against reference inside the signal region: from scratch, fine-tuned, and frozen.

    The reference gets weights that give it the data's masses (planing), so that no network looks for those.
    The score is made flat in mass before cuts, and the jets that fail are the template of those that pass.

    Parameters
    ----------
    samples : OpenDataSamples
    settings : OpenDataSearchSettings
    options
        Of `omnilearn_lab.tasks.common.compare`: directory, workers, progress.

    Returns
    -------
    Comparison of OpenDataResult
    """
    arms: dict[str, common.Arm | tuple[EmbeddedJets, EmbeddedJets]] = dict(settings.compare.arms())
    if settings.frozen:
        both, checkpoint = (samples.data, samples.reference), settings.compare.checkpoint
        workers = options.get("workers")
        arms["frozen"] = tuple(EmbeddedJets.of(jets, checkpoint, workers=workers) for jets in both)
    return compare(partial(_search, samples, settings), arms, seeds=settings.compare.seeds, **options)


def _search(
    samples: OpenDataSamples,
    settings: OpenDataSearchSettings,
    arm: common.Arm | tuple[EmbeddedJets, EmbeddedJets],
    seed: int,
    run_directory: Path | None,
) -> OpenDataResult:
    if not isinstance(arm, common.Arm):
        return search_embedded(*arm, settings, seed=seed)
    network = replace(settings.weak.network, init=arm.init, like=arm.like)
    config = replace(settings.weak, network=network, training=replace(arm.training, seed=seed))
    both = [without_labels(jets) for jets in (samples.data, samples.reference)]
    masses = both[0].jet["soft_drop_mass"], both[1].jet["soft_drop_mass"]
    (inside, beside), (background, others) = (
        (jets[chosen], jets[~chosen])
        for jets, chosen in zip(both, map(settings.window.inside, masses), strict=True)
    )
    background = background.with_jet(weight=_planed(masses, settings))
    test = Jets.concatenate([beside, others])
    result = weak_supervision(inside, background, config, test=test, directory=run_directory, workers=1)
    return _measured(result, masses, settings)


def _planed(masses: tuple[np.ndarray, np.ndarray], settings: OpenDataSearchSettings) -> np.ndarray:
    data, reference = (mass[settings.window.inside(mass)] for mass in masses)
    return decorrelation.planing_weights(reference, data, settings.signal_region)


def _measured(
    result: WeakSupervisionResult, masses: tuple[np.ndarray, np.ndarray], settings: OpenDataSearchSettings
) -> OpenDataResult:
    """Put scores of jets inside and beside the region together, make them flat in mass, and hunt."""
    regions = [settings.window.inside(mass) for mass in masses]
    inside, background, others = result.joint_ranks()
    beside = np.split(others, [int((~regions[0]).sum())])
    scores = [np.zeros(len(mass)) for mass in masses]
    for values, region, within, without in zip(scores, regions, (inside, background), beside, strict=True):
        values[region], values[~region] = within, without
    data, reference = (
        decorrelation.scored(mass, values) for mass, values in zip(masses, scores, strict=True)
    )
    scan = decorrelation.flat_scan(data, reference, settings.window, settings.kept)
    return OpenDataResult(scores[0], scan, result.auc, int(regions[0].sum() + regions[1].sum()))
