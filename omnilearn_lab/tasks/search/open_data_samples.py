"""Jets for the search in open data: data with a share of top jets, and QCD jets to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from omnilearn_lab.catalog import LoadOptions, load
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables import observables
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.comparison import ComparisonSettings
from omnilearn_lab.tasks.common.records import KINDS
from omnilearn_lab.tasks.search.dijets import without_labels
from omnilearn_lab.tasks.search.event_training import EventNetwork
from omnilearn_lab.tasks.search.mass_fits import MassFit
from omnilearn_lab.tasks.search.open_data import ScanPoint, efficiency_scan, inject
from omnilearn_lab.tasks.search.weak_supervision import (
    WeakSupervisionConfig,
    WeakSupervisionResult,
    weak_supervisions,
)

__all__ = [
    "OpenDataComparison",
    "OpenDataProfile",
    "OpenDataSamples",
    "compare_weak_supervision",
    "in_region",
    "load_open_data",
    "region_rates",
    "split_region",
]

_TOP = "top"
_MIN_PT = 500.0


@settings
class OpenDataProfile:
    """Sizes of the open-data notebook in one profile.

    Parameters
    ----------
    source
        "simulated": QCD jets of the stand-in with top jets mixed in. "published": Aspen Open Jets as they
        are, compared with simulated QCD of CMS.
    n_jets
        Jets to load before the selection on mass, of data and reference together.
    signal_fraction
        Of top jets among the selected data; 0.001 in the publication. Not used with published data.
    signal_region
        Soft-drop masses [GeV].
    fit : MassFit
        Its limits are the selection.
    kept : tuple of float
        Shares of the data to hunt in.
    checkpoint
        Whose class probabilities are the score without training.
    weak : WeakSupervisionConfig
        Folds and network; start and training are set by ``compare``.
    compare : ComparisonSettings

    Raises
    ------
    ConfigError
        When the network reads events of several jets.
    """

    source: str
    n_jets: int
    signal_fraction: float = 0.001
    signal_region: tuple[float, float] = (150.0, 210.0)
    fit: MassFit = MassFit((100.0, 260.0), "log_polynomial2", n_bins=16)
    kept: tuple[float, ...] = (1.0, 0.3, 0.1, 0.05)
    checkpoint: str = "tiny"
    weak: WeakSupervisionConfig = WeakSupervisionConfig(EventNetwork(jets_per_event=1, use_pid=True))
    compare: ComparisonSettings = field(default_factory=ComparisonSettings)

    def __post_init__(self) -> None:
        if self.weak.network.jets_per_event != 1:
            raise ConfigError(
                f"jets_per_event is {self.weak.network.jets_per_event}; here every jet is an event: set 1"
            )


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


def load_open_data(profile: OpenDataProfile, *, seed: int = 1) -> OpenDataSamples:
    """Load data and reference of a profile.

    Parameters
    ----------
    profile : OpenDataProfile
    seed

    Returns
    -------
    OpenDataSamples
        Above 500 GeV, within the limits of the fit, in random order.

    Raises
    ------
    JetsError
        When nothing is left, or there are too few top jets to inject.
    """
    if profile.source == "published":
        samples = (
            load(name, source="published", max_jets=profile.n_jets // 2, seed=seed)
            for name in ("aspen", "cms_qcd")
        )
        return OpenDataSamples(*(_selected(without_labels(jets), profile) for jets in samples))
    options = LoadOptions(variant="search")
    jets = load("aspen", source="simulated", max_jets=profile.n_jets, seed=seed, options=options)
    jets = _selected(jets, profile)
    is_top = jets.label == jets.class_names.index(_TOP)
    background, half = jets[~is_top], int((~is_top).sum()) // 2
    data = inject(background[:half], jets[is_top], profile.signal_fraction, seed=seed)
    return OpenDataSamples(data, background[half:])


def _selected(jets: Jets, profile: OpenDataProfile) -> Jets:
    if "soft_drop_mass" not in jets.jet:
        mass = observables(jets, ["soft_drop_mass"], jet_radius=0.8)["soft_drop_mass"]
        jets = jets.with_jet(soft_drop_mass=np.nan_to_num(mass, nan=-1.0))
    low, high = profile.fit.limits
    mass = jets.jet["soft_drop_mass"]
    chosen = jets[(mass >= low) & (mass < high) & (jets.jet["pt"] >= _MIN_PT)]
    if not len(chosen):
        raise JetsError(
            f"none of {len(jets)} jets has pt above {_MIN_PT:g} GeV and a soft-drop mass between {low:g} and "
            f"{high:g} GeV; load more"
        )
    return chosen


@dataclass(frozen=True, eq=False)
class OpenDataComparison:
    """Weak supervision from scratch and fine-tuned.

    Parameters
    ----------
    samples : OpenDataSamples
    profile : OpenDataProfile
    results : mapping of "scratch" and "finetuned" to tuple of WeakSupervisionResult
        One per seed; test events are the data jets beside the signal region, in their order.
    """

    samples: OpenDataSamples
    profile: OpenDataProfile
    results: Mapping[str, tuple[WeakSupervisionResult, ...]]

    def scores(self, kind: str) -> list[np.ndarray]:
        """Return, per seed, one score per data jet: the share of data jets with a lower one."""
        inside = in_region(self.samples.data, self.profile)
        found = []
        for result in self.results[kind]:
            scores = np.zeros(len(inside))
            scores[inside], scores[~inside] = result.ranks()
            found.append(scores)
        return found

    def scans(self, kind: str) -> list[tuple[ScanPoint, ...]]:
        """Return, per seed, the bump hunts in shares of the data."""
        profile, mass = self.profile, self.samples.data.jet["soft_drop_mass"]
        return [
            efficiency_scan(mass, scores, profile.signal_region, fit=profile.fit, kept=profile.kept)
            for scores in self.scores(kind)
        ]

    def aucs(self, kind: str) -> list[float]:
        """Return, per seed, the AUC of data against reference, out of fold."""
        return [result.auc for result in self.results[kind]]

    def significances(self) -> dict[str, dict[str, list[float]]]:
        """Return kind, share of the data, and the significance per seed; NaN where no fit was possible."""
        labels = [f"{share:.0%} kept" for share in self.profile.kept]
        scans = {kind: self.scans(kind) for kind in self.results}
        return {
            kind: {label: [scan[i].significance for scan in runs] for i, label in enumerate(labels)}
            for kind, runs in scans.items()
        }

    def record(self) -> dict[str, Any]:
        """Return the comparison for a results file."""
        found = self.significances()
        metrics = {
            f"significance, {share}": {kind: found[kind][share] for kind in found}
            for share in next(iter(found.values()))
        }
        inside = in_region(self.samples.data, self.profile), in_region(self.samples.reference, self.profile)
        return {
            "seeds": list(self.profile.compare.seeds),
            "n_train": int(sum(part.sum() for part in inside)),
            "metrics": metrics | {"auc_data_against_reference": {k: self.aucs(k) for k in found}},
        }


def compare_weak_supervision(
    samples: OpenDataSamples,
    profile: OpenDataProfile,
    *,
    directory: str | None = None,
    workers: int | None = None,
) -> OpenDataComparison:
    """Train data against reference inside the signal region, from scratch and from a checkpoint.

    Parameters
    ----------
    samples : OpenDataSamples
    profile : OpenDataProfile
    directory, workers
        See `omnilearn_lab.tasks.search.weak_supervision`.

    Returns
    -------
    OpenDataComparison
    """
    inside, beside = split_region(samples.data, profile)
    reference, _ = split_region(samples.reference, profile)
    configs = {}
    for kind in KINDS:
        settings = profile.compare.arm(kind)
        network = replace(profile.weak.network, init=settings.init, like=settings.like)
        for seed in profile.compare.seeds:
            training = replace(settings.training, seed=seed)
            configs[f"{kind}-seed{seed}"] = replace(profile.weak, network=network, training=training)
    found = weak_supervisions(inside, reference, configs, test=beside, directory=directory, workers=workers)
    results = {kind: tuple(found[f"{kind}-seed{seed}"] for seed in profile.compare.seeds) for kind in KINDS}
    return OpenDataComparison(samples, profile, results)


def split_region(jets: Jets, profile: OpenDataProfile) -> tuple[Jets, Jets]:
    """Return the jets inside the signal region and those beside it."""
    inside = in_region(jets, profile)
    return jets[inside], jets[~inside]


def in_region(jets: Jets, profile: OpenDataProfile) -> np.ndarray:
    """Which jets lie in the signal region."""
    mass = jets.jet["soft_drop_mass"]
    return (mass >= profile.signal_region[0]) & (mass < profile.signal_region[1])


def region_rates(
    samples: OpenDataSamples,
    profile: OpenDataProfile,
    scores: tuple[np.ndarray, np.ndarray],
    kept: Sequence[float],
) -> dict[float, tuple[float, float]]:
    """Return, per share of the data that is kept, which part of tops and of QCD is left in the signal region.

    Parameters
    ----------
    samples, profile
        Simulated.
    scores : (array, array)
        Of data and of reference jets.
    kept

    Returns
    -------
    dict of share to (tops, QCD)
        Parts of all tops and of all QCD jets within the mass limits. Shares are left out where no jet of
        one kind remains; for collision data, whose tops are not known, nothing is returned.
    """
    if samples.is_top is None:
        return {}
    inside, beside = in_region(samples.data, profile), in_region(samples.reference, profile)
    rates = {}
    for share in kept:
        cut = np.quantile(scores[0], 1 - share)
        tops = (inside & (scores[0] >= cut))[samples.is_top].mean() if samples.is_top.any() else 0.0
        qcd = (beside & (scores[1] >= cut)).mean()
        if tops > 0 and qcd > 0:
            rates[share] = (float(tops), float(qcd))
    return rates
