"""Weak supervision in jets of open data: from scratch, fine-tuned, and with a head on a frozen body."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.comparison import Arm, Comparison, ComparisonSettings, compare
from omnilearn_lab.tasks.search.decorrelation import (
    Control,
    control_experiments,
    flat_scan,
    planing_weights,
    scored,
)
from omnilearn_lab.tasks.search.events import EventNetwork, embed_events, without_labels
from omnilearn_lab.tasks.search.mass_fits import MassFit, MassWindow
from omnilearn_lab.tasks.search.mass_scans import ScanPoint
from omnilearn_lab.tasks.search.open_data import OpenDataSamples
from omnilearn_lab.tasks.search.weak_supervision import (
    WeakSupervisionConfig,
    WeakSupervisionResult,
    weak_supervision,
    weak_supervision_of_rows,
)


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

    Raises
    ------
    ConfigError
        When the network reads events of several jets.
    """

    signal_region: tuple[float, float] = (150.0, 210.0)
    fit: MassFit = MassFit((100.0, 260.0), "log_polynomial2", n_bins=16)
    kept: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.3, 0.1, 0.05)
    weak: WeakSupervisionConfig = WeakSupervisionConfig(EventNetwork(jets_per_event=1, use_pid=True))
    compare: ComparisonSettings = field(default_factory=ComparisonSettings)
    frozen: bool = True

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
    scan: tuple[ScanPoint, ...]
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
    config = replace(settings.weak, training=replace(settings.weak.training, seed=seed))
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
) -> dict[float, Control]:
    """Repeat the whole search without a signal: half of the reference plays the data, the other half itself.

    Parameters
    ----------
    reference : EmbeddedJets
    settings : OpenDataSearchSettings
    n_experiments, seed
        As in `omnilearn_lab.tasks.search.decorrelation.control_experiments`.
    """
    n_jets = len(reference.masses)

    def search(data: np.ndarray, others: np.ndarray) -> tuple[ScanPoint, ...]:
        return search_embedded(reference.take(data), reference.take(others), settings, seed=seed).scan

    return control_experiments(search, n_jets, n_data=n_jets // 2, n_experiments=n_experiments, seed=seed)


def compare_weak_supervision(
    samples: OpenDataSamples,
    settings: OpenDataSearchSettings,
    *,
    directory: str | os.PathLike[str] | None = None,
    workers: int | None = None,
) -> Comparison[OpenDataResult]:
    """Train data against reference inside the signal region: from scratch, fine-tuned, and frozen.

    The reference gets weights that give it the data's masses (planing), so that no network looks for those.
    The score is made flat in mass before cuts, and the jets that fail are the template of those that pass.

    Parameters
    ----------
    samples : OpenDataSamples
    settings : OpenDataSearchSettings
    directory, workers
        See `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    Comparison of OpenDataResult
    """
    arms: dict[str, Arm | tuple[EmbeddedJets, EmbeddedJets]] = dict(settings.compare.arms())
    if settings.frozen:
        both, checkpoint = (samples.data, samples.reference), settings.compare.checkpoint
        arms["frozen"] = tuple(EmbeddedJets.of(jets, checkpoint, workers=workers) for jets in both)
    return compare(
        partial(_search, samples, settings),
        arms,
        seeds=settings.compare.seeds,
        directory=directory,
        workers=workers,
    )


def _search(
    samples: OpenDataSamples,
    settings: OpenDataSearchSettings,
    arm: Arm | tuple[EmbeddedJets, EmbeddedJets],
    seed: int,
    run_directory: Path | None,
) -> OpenDataResult:
    if not isinstance(arm, Arm):
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
    return planing_weights(reference, data, settings.signal_region)


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
    data, reference = (scored(mass, values) for mass, values in zip(masses, scores, strict=True))
    scan = flat_scan(data, reference, settings.window, settings.kept)
    return OpenDataResult(scores[0], scan, result.auc, int(regions[0].sum() + regions[1].sum()))
