"""How much signal must the data hold before weak supervision finds it? Scratch against fine-tuned."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import RocCurve, Spread, max_sic, roc, spread
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.comparison import ComparisonSettings
from omnilearn_lab.tasks.common.records import KINDS
from omnilearn_lab.tasks.search.dijets import check_events, without_labels
from omnilearn_lab.tasks.search.event_training import EventJob, EventNetwork, train_events

__all__ = ["SicScan", "SicScanConfig", "random_sic", "sic_scan"]

_N_RANDOM = 20
_MIN_EVENTS = 20


@settings
class SicScanConfig:
    """Sizes of a scan over injected signal.

    Parameters
    ----------
    n_data
        Background events among the data.
    n_reference
        Background events to compare with.
    injections : tuple of int
        Signal events among the data.
    validation_fraction
        Share of data and reference on which the best epoch is chosen.
    min_background
        Background test events that must pass a cut; the SIC is not read off where fewer do.
    network : EventNetwork
        Its ``init`` and ``like`` are set by the comparison.
    compare : ComparisonSettings
        Checkpoint, seeds and the two trainings; a seed is a trial with other events in each role.

    Raises
    ------
    ConfigError
        For no injections, or negative or repeated ones.
    """

    n_data: int = 1000
    n_reference: int = 1000
    injections: tuple[int, ...] = (0, 50, 150)
    validation_fraction: float = 0.2
    min_background: int = 10
    network: EventNetwork = EventNetwork()
    compare: ComparisonSettings = field(default_factory=ComparisonSettings)

    def __post_init__(self) -> None:
        if not self.injections or min(self.injections) < 0:
            raise ConfigError(f"injections are {self.injections}; at least one number of events is needed")
        if len(set(self.injections)) < len(self.injections):
            raise ConfigError(f"injections are {self.injections}; each may appear only once")
        if min(self.n_data, self.n_reference) < _MIN_EVENTS:
            raise ConfigError(
                f"n_data is {self.n_data} and n_reference {self.n_reference}; at least {_MIN_EVENTS} each"
            )


@dataclass(frozen=True, eq=False)
class SicScan:
    """What `sic_scan` found.

    Parameters
    ----------
    config : SicScanConfig
    curves : mapping of (kind, injection) to tuple of RocCurve
        Signal against background in test events, one curve per seed; kind is "scratch" or "finetuned".
    random : Spread
        Largest SIC of a random score on as many test events, with the same floor: what no training
        gives.
    n_test_background, n_test_signal
    """

    config: SicScanConfig
    curves: Mapping[tuple[str, int], tuple[RocCurve, ...]]
    random: Spread
    n_test_background: int
    n_test_signal: int

    def significance(self, injection: int) -> float:
        """Injected signal over the square root of the data's background: the cut-free significance."""
        return injection / np.sqrt(self.config.n_data)

    def values(self, kind: str, injection: int, metric: str = "max_sic") -> list[float]:
        """Return one number per seed: ``max_sic`` or ``auc``."""
        curves = self.curves[kind, injection]
        if metric == "auc":
            return [curve.auc for curve in curves]
        return [max_sic(curve, min_background=self.config.min_background).value for curve in curves]

    def points(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Return injected events (K,) and the largest SIC (seeds, K), for plotting."""
        injections = self.config.injections
        return np.array(injections), np.array([self.values(kind, n) for n in injections]).T

    def record(self, injection: int) -> dict[str, Any]:
        """Return the comparison at one injection, for a results file."""
        metrics = {
            name: {kind: self.values(kind, injection, name) for kind in KINDS} for name in ("max_sic", "auc")
        }
        return {
            "seeds": list(self.config.compare.seeds),
            "n_train": self.config.n_data + injection + self.config.n_reference,
            "n_test": self.n_test_background + self.n_test_signal,
            "metrics": metrics,
        }

    def reach(self, kind: str) -> int | None:
        """Return the smallest injection whose mean SIC beats a random score by two spreads, if any.

        The spread is the larger of the random score's and that over seeds.
        """
        for injection in sorted(self.config.injections):
            found = spread(self.values(kind, injection))
            if injection and found.mean > self.random.mean + 2 * max(
                self.random.std, np.nan_to_num(found.std)
            ):
                return injection
        return None


def sic_scan(
    background: Jets,
    signal: Jets,
    config: SicScanConfig | None = None,
    *,
    directory: str | os.PathLike[str] | None = None,
    workers: int | None = None,
) -> SicScan:
    """Train data-against-background networks for several injections and measure them with true labels.

    The background is ideal: reference events come from the same sample as the data's background. Each
    seed shuffles the roles; injected signal never appears among the test events. All trainings of a seed
    share background and test events.

    Parameters
    ----------
    background, signal : Jets
        Events of the signal region.
    config : SicScanConfig
    directory
        Keep every run there, and go on from what is there.
    workers
        Processes; all usable cores by default.

    Returns
    -------
    SicScan

    Raises
    ------
    JetsError
        When there are too few events for the roles.

    References
    ----------
    OmniLearn, arXiv:2404.16091, section VIII and Figure 7.
    """
    config = config or SicScanConfig()
    n = config.network.jets_per_event
    counts = {
        name: check_events(jets, n, name) for name, jets in (("background", background), ("signal", signal))
    }
    _check_roles(counts, config)
    roles = {seed: _roles(counts, config, seed) for seed in config.compare.seeds}
    jobs = {
        (kind, injection, seed): _job(roles[seed], config, (kind, injection, seed), directory)
        for seed in config.compare.seeds
        for injection in config.injections
        for kind in KINDS
    }
    done = train_events(
        Jets.concatenate([without_labels(background), without_labels(signal)]), jobs, workers=workers
    )
    is_signal = np.arange(sum(counts.values())) >= counts["background"]
    curves = {
        (kind, injection): tuple(
            roc(done[kind, injection, seed].scores, is_signal[roles[seed]["test"]])
            for seed in config.compare.seeds
        )
        for kind in KINDS
        for injection in config.injections
    }
    labels = is_signal[roles[config.compare.seeds[0]]["test"]]
    chance = random_sic(labels, min_background=config.min_background)
    return SicScan(config, curves, chance, int((~labels).sum()), int(labels.sum()))


def random_sic(labels: np.ndarray, *, min_background: float = 10, n_trials: int = _N_RANDOM) -> Spread:
    """Return the largest SIC that random scores reach on these test events: the floor of every claim.

    It lies above 1, because the largest of many fluctuations is taken.

    Parameters
    ----------
    labels : bool array, shape (N,)
        True for signal.
    min_background
        As in `omnilearn_lab.metrics.max_sic`.
    n_trials

    Examples
    --------
    >>> random_sic(np.arange(2000) < 500).mean > 1
    True
    """
    rng = np.random.default_rng(len(labels))
    return spread(
        [
            max_sic(roc(rng.random(len(labels)), labels), min_background=min_background).value
            for _ in range(n_trials)
        ]
    )


def _check_roles(counts: Mapping[str, int], config: SicScanConfig) -> None:
    needed = {
        "background": config.n_data + config.n_reference + _MIN_EVENTS,
        "signal": max(config.injections) + _MIN_EVENTS,
    }
    for name, number in needed.items():
        if counts[name] < number:
            raise JetsError(
                f"{counts[name]} {name} events in the signal region; the scan uses {number - _MIN_EVENTS} "
                f"for training and at least {_MIN_EVENTS} for the test: load more events, or scan fewer"
            )


def _roles(counts: Mapping[str, int], config: SicScanConfig, seed: int) -> dict[str, np.ndarray]:
    """Event numbers of each role; signal follows background in the joined sample."""
    rng = np.random.default_rng(seed)
    background = rng.permutation(counts["background"])
    signal = counts["background"] + rng.permutation(counts["signal"])
    ends = np.cumsum([config.n_data, config.n_reference])
    data, reference, rest = np.split(background, ends)
    kept = signal[max(config.injections) :]
    return {
        "data": data,
        "reference": reference,
        "signal": signal,
        "test": np.concatenate([rest, kept]),
        "all": np.arange(sum(counts.values())),
    }


def _job(
    roles: Mapping[str, np.ndarray],
    config: SicScanConfig,
    key: tuple[str, int, int],
    directory: str | os.PathLike[str] | None,
) -> EventJob:
    kind, injection, seed = key
    settings = config.compare.arm(kind)
    data = np.concatenate([roles["data"], roles["signal"][:injection]])
    is_data, weight = np.zeros(len(roles["all"]), dtype=bool), np.ones(len(roles["all"]))
    is_data[data] = True
    weight[roles["reference"]] = len(data) / len(roles["reference"])
    used = np.random.default_rng(seed).permutation(np.concatenate([data, roles["reference"]]))
    n_validation = max(1, round(config.validation_fraction * len(used)))
    name = f"{kind}-{injection}-seed{seed}"
    return EventJob(
        train=used[n_validation:],
        validation=used[:n_validation],
        score=roles["test"],
        is_data=is_data,
        weight=weight,
        network=replace(config.network, init=settings.init, like=settings.like),
        training=replace(settings.training, seed=seed),
        run_directory=None if directory is None else str(Path(directory) / name),
    )
