"""Classification without labels: a network that tells data from background finds what only the data hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.stats import rankdata

from omnilearn_lab.errors import DataFileError, JetsError, MetricError, translated
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath, atomic_path, run_jobs
from omnilearn_lab.metrics import roc
from omnilearn_lab.settings import from_mapping, settings, to_mapping
from omnilearn_lab.tasks.common.heads import HeadKind
from omnilearn_lab.tasks.reweighting.samples import check_weights
from omnilearn_lab.tasks.search import events
from omnilearn_lab.training import History, TrainConfig

_MIN_EVENTS_PER_FOLD = 10
_TRAINING = TrainConfig(epochs=3, batch_size=50, learning_rate=1e-3, body_lr_factor=0.1)


@settings
class WeakSupervisionConfig:
    """How to look for what data have and background has not.

    Parameters
    ----------
    network : EventNetwork
    n_folds
        Every event is scored by a network that was trained on the other folds.
    validation_fraction
        Share of the training folds on which the best epoch is chosen.
    training : TrainConfig
        ``batch_size`` counts events; ``seed`` also fixes folds and initial weights.
    frozen
        Name or path of a checkpoint: its frozen body embeds the events, and ``head`` learns from that. Empty:
        ``network`` is trained.
    head : {"logistic", "mlp", "trees"}
        What learns from embeddings, here and in `weak_supervision_of_rows`.

    """

    network: events.EventNetwork = events.EventNetwork()
    n_folds: Annotated[int, Field(ge=2)] = 2
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    training: TrainConfig = _TRAINING
    frozen: str = ""
    head: HeadKind = "logistic"


@dataclass(frozen=True, eq=False)
class WeakSupervisionResult:
    """Scores of events by networks that did not see them.

    Parameters
    ----------
    config : WeakSupervisionConfig
    data_scores, background_scores : array, shape (n_data,), (n_background,)
        Out-of-fold probability of being data; background stands for the reference sample.
    data_folds, background_folds : int array
        The fold of each event.
    test_scores : array, shape (n_folds, n_test)
        Further events, by each of the networks.
    background_weights : array, shape (n_background,)
        Scaled to the number of data events.
    test_folds : int array, shape (n_test,), optional
        The fold whose network judges each test event; they take turns by default.
    histories : tuple of History
        One per fold; empty after `load`.
    """

    config: WeakSupervisionConfig
    data_scores: np.ndarray
    background_scores: np.ndarray
    data_folds: np.ndarray
    background_folds: np.ndarray
    test_scores: np.ndarray
    background_weights: np.ndarray
    test_folds: np.ndarray | None = None
    histories: tuple[History, ...] = ()

    @property
    def auc(self) -> float:
        """Area under the ROC curve of data against background, out of fold; 0.5 when nothing differs."""
        scores = np.concatenate([self.data_scores, self.background_scores])
        is_data = np.arange(len(scores)) < len(self.data_scores)
        weights = np.concatenate([np.ones(len(self.data_scores)), self.background_weights])
        return roc(scores, is_data, weights=weights).auc

    def quantiles(self) -> tuple[np.ndarray, np.ndarray]:
        """Return, for data and test events, the share of the background with a lower score.

        Each fold's network has its own scale; the background of the fold makes them comparable. Data
        events are judged by the network of their fold, test events by one network each, so that both samples
        are judged alike.
        """
        pairs = ((self.data_scores, self.data_folds), self._test())
        data, others = (np.zeros(len(scores)) for scores, _ in pairs)
        for fold in range(self.config.n_folds):
            mine = self.background_folds == fold
            order = np.argsort(self.background_scores[mine])
            below = np.append(0.0, np.cumsum(self.background_weights[mine][order]))
            for out, (scores, folds) in zip((data, others), pairs, strict=True):
                place = np.searchsorted(self.background_scores[mine][order], scores[folds == fold])
                out[folds == fold] = below[place] / below[-1]
        return data, others

    def ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """Return, for data and test events, the share of both that its network scores no higher, in (0, 1].

        Cutting here keeps a known share of all events, whether or not the background describes the data.
        Events are judged as in `quantiles`.
        """
        data, test = self._ranked((self.data_scores, self.data_folds), self._test())
        return data, test

    def joint_ranks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return, for data, background and test events, the share of all that its network scores no higher.

        Data and background of the same kind are treated alike here: what differs is the signal, or chance.
        """
        background = self.background_scores, self.background_folds
        return self._ranked((self.data_scores, self.data_folds), background, self._test())

    def _test(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores of the test events, each by one fold, and that fold."""
        events = np.arange(self.test_scores.shape[1])
        turn = events % self.config.n_folds if self.test_folds is None else self.test_folds
        return self.test_scores[turn, events], turn

    def _ranked(self, *samples: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
        """Ranks in (0, 1] of (scores, folds), fold by fold among all samples together."""
        scores, folds = (np.concatenate(parts) for parts in zip(*samples, strict=True))
        ranks = np.zeros(len(scores))
        for fold in range(self.config.n_folds):
            ranks[folds == fold] = rankdata(scores[folds == fold]) / np.sum(folds == fold)
        return tuple(np.split(ranks, np.cumsum([len(values) for values, _ in samples[:-1]])))

    def select(self, background_efficiency: float) -> tuple[np.ndarray, np.ndarray]:
        """Return which data and which test events pass at a background efficiency, two bool arrays.

        Raises
        ------
        MetricError
            When not one background event per fold is left above the cut.
        """
        n = min(np.bincount(self.background_folds, minlength=self.config.n_folds))
        if not 1 / n <= background_efficiency <= 1:
            raise MetricError(
                f"background_efficiency is {background_efficiency:g}; with {n} background events in a fold "
                f"it must lie in [{1 / n:.2g}, 1]: raise it, or add background"
            )
        data, test = self.quantiles()
        return data >= 1 - background_efficiency, test >= 1 - background_efficiency

    def save(self, path: StrPath) -> Path:
        """Write scores, folds and settings to one ``.npz`` file, in one step."""
        arrays = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        with atomic_path(path) as partial:
            np.savez_compressed(partial, config=np.array(json.dumps(to_mapping(self.config))), **arrays)
        return Path(path)

    @classmethod
    def load(cls, path: StrPath) -> WeakSupervisionResult:
        """Read what `save` wrote.

        Raises
        ------
        DataFileError
            When the file is missing or another kind of file.
        """
        problem = f"'{path}' does not hold scores of weak_supervision"
        with translated(DataFileError, problem, "give a file of save()"):
            with np.load(path, allow_pickle=False) as file:
                values: dict[str, Any] = dict(file)
            config = from_mapping(WeakSupervisionConfig, json.loads(str(values.pop("config"))))
            return cls(config=config, **values)


def weak_supervision(
    data: Jets,
    background: Jets,
    config: WeakSupervisionConfig = WeakSupervisionConfig(),
    *,
    test: Jets | None = None,
    directory: StrPath | None = None,
    workers: int | None = None,
) -> WeakSupervisionResult:
    r"""Train a network to tell data from background, without knowing which data events are signal.

    With signal fraction f the optimal score is a rising function of :math:`p_S/p_B`, whatever f > 0
    is; without a signal, data and background are alike and no network can tell them apart. The background
    must describe the data's background: the idealised study takes further events of the same kind, the
    realistic one generates them from the sidebands (`omnilearn_lab.tasks.search.made_background`).

    Parameters
    ----------
    data, background : Jets
        Events of the signal region; the jets of an event are rows one after the other. A column
        ``weight`` of the background is used, scaled so that both samples weigh the same. Background with a
        column ``origin`` was made of the test events of that number (column ``event``): an event and all that
        was made of it share a fold, so that no network judges an event of which it has learned a copy.
    config : WeakSupervisionConfig
    test : Jets, optional
        Further events to score, such as sidebands or labelled events; they must be in neither sample.
    directory
        Keep each fold's run there, and go on from what is there.
    workers
        Processes; all usable cores by default. With one there is no progress bar.

    Returns
    -------
    WeakSupervisionResult

    Raises
    ------
    JetsError
        For too few events, rows that do not form events, or weights that are negative or sum to zero.

    References
    ----------
    Metodiev, Nachman, Thaler, arXiv:1708.02949 (classification without labels); Collins, Howe, Nachman,
    arXiv:1805.02664 (cross-validation over folds); OmniLearn, arXiv:2404.16091, section VIII.
    """
    samples = {"data": data, "background": background} | ({} if test is None else {"test": test})
    n_jets = config.network.jets_per_event
    counts = {name: events.check_events(jets, n_jets, name) for name, jets in samples.items()}
    given = background.jet["weight"][::n_jets] if "weight" in background.jet else None
    plan = _plan(counts, given, config, _origins(background, test, n_jets))
    joined, train = Jets.concatenate(map(events.without_labels, samples.values())), events.train_event_network
    if config.frozen:
        inputs = {"jets_per_event": n_jets, "use_pid": config.network.use_pid, "workers": workers}
        return plan.of_rows(events.embed_events(joined, config.frozen, **inputs))
    with events.shared_events(joined, config.network) as path:
        jobs = {k: (path, plan.job(k, directory)) for k in range(config.n_folds)}
        folds = run_jobs(train, jobs, workers=workers, progress=workers != 1, title="folds")
    return plan.collect(list(folds.values()))


def weak_supervision_of_rows(
    data: np.ndarray,
    background: np.ndarray,
    config: WeakSupervisionConfig = WeakSupervisionConfig(),
    *,
    test: np.ndarray | None = None,
    background_weights: ArrayLike | None = None,
    origins: tuple[np.ndarray, np.ndarray] | None = None,
) -> WeakSupervisionResult:
    """Do `weak_supervision` with a small head on rows of numbers, such as embeddings by a frozen body.

    Parameters
    ----------
    data, background : array, shape (N, K), (M, K)
        A row per event.
    config : WeakSupervisionConfig
        Folds, seed and kind of head; the head's regularisation is chosen on the validation share.
    test : array, shape (T, K), optional
        Further events to score.
    background_weights : array, shape (M,), optional
    origins : pair of arrays, shape (M,) and (T,), optional
        Number of the event that each background row was made of, and numbers of the test rows, as there.

    Returns
    -------
    WeakSupervisionResult

    Raises
    ------
    JetsError
        As there.
    """
    samples = {"data": data, "background": background} | ({} if test is None else {"test": test})
    plan = _plan({name: len(rows) for name, rows in samples.items()}, background_weights, config, origins)
    return plan.of_rows(np.concatenate(list(samples.values())))


@dataclass(frozen=True, eq=False)
class _Plan:
    """Folds and weights of the joined events: data, background, test; test events have fold -1.

    ``group`` numbers events that must not be parted, where there are such; ``test_folds`` as in the result.
    """

    config: WeakSupervisionConfig
    fold: np.ndarray
    weight: np.ndarray
    n_data: int
    n_background: int
    group: np.ndarray | None = None
    test_folds: np.ndarray | None = None

    def job(self, k: int, directory: StrPath | None) -> events.EventJob:
        """The training whose network scores fold k and the test events."""
        config, seed = self.config, 1000 * self.config.training.seed + k
        rows = np.flatnonzero((self.fold >= 0) & (self.fold != k))
        others = np.random.default_rng(seed).permutation(rows)
        if self.group is not None:  # copies of one event stand together: training or validation
            order = np.random.default_rng(seed).permutation(self.group.max() + 1)
            others = rows[np.argsort(order[self.group[rows]], kind="stable")]
        n_validation = max(1, round(config.validation_fraction * len(others)))
        return events.EventJob(
            train=others[n_validation:],
            validation=others[:n_validation],
            score=self._scored(k),
            is_data=np.arange(len(self.fold)) < self.n_data,
            weight=self.weight,
            network=config.network,
            training=replace(config.training, seed=seed),
            run_directory=None if directory is None else Path(directory) / f"fold{k}",
        )

    def _scored(self, k: int) -> np.ndarray:
        return np.flatnonzero((self.fold == k) | (self.fold < 0))

    def of_rows(self, rows: np.ndarray) -> WeakSupervisionResult:
        """Fit a head per fold on a row per event."""
        jobs = (self.job(k, None) for k in range(self.config.n_folds))
        return self.collect([events.train_event_head(rows, job, self.config.head) for job in jobs])

    def collect(self, trainings: list[events.EventTraining]) -> WeakSupervisionResult:
        """Put the scores of the folds together."""
        scores, test = np.zeros(len(self.fold)), []
        for k, training in enumerate(trainings):
            is_own = self.fold[self._scored(k)] == k
            scores[self.fold == k] = training.scores[is_own]
            test.append(training.scores[~is_own])
        ends = self.n_data, self.n_data + self.n_background
        return WeakSupervisionResult(
            self.config,
            data_scores=scores[: ends[0]],
            background_scores=scores[ends[0] : ends[1]],
            data_folds=self.fold[: ends[0]],
            background_folds=self.fold[ends[0] : ends[1]],
            test_scores=np.stack(test),
            background_weights=self.weight[ends[0] : ends[1]],
            test_folds=self.test_folds,
            histories=tuple(training.history for training in trainings),
        )


def _origins(background: Jets, test: Jets | None, n_jets: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The event that each background event was made of, where that is told, and the test events' numbers."""
    if "origin" not in background.jet:
        return None
    of_test = np.zeros(0) if test is None else events.event_column(test, "event", n_jets)
    return events.event_column(background, "origin", n_jets), of_test


def _plan(
    counts: Mapping[str, int],
    given: ArrayLike | None,
    config: WeakSupervisionConfig,
    origins: tuple[np.ndarray, np.ndarray] | None = None,
) -> _Plan:
    """Fold and weight of every event, for so many events of each sample and weights of the background."""
    needed = _MIN_EVENTS_PER_FOLD * config.n_folds
    for name in ("data", "background"):
        if counts[name] < needed:
            raise JetsError(
                f"{name} has {counts[name]} events; at least {needed} are needed for {config.n_folds} folds: "
                "widen the signal region, or load more events"
            )
    n_data, n_background, n_test = (counts.get(name, 0) for name in ("data", "background", "test"))
    weight = check_weights("background", given, n_background)
    rng = np.random.default_rng(config.training.seed)
    folds = [rng.permutation(n) % config.n_folds for n in (n_data, n_background)]
    group = test_folds = None
    if origins is not None:
        number, place = np.unique(np.concatenate(origins), return_inverse=True)
        of_number = rng.permutation(len(number)) % config.n_folds
        folds[1], test_folds = np.split(of_number[place], [n_background])
        group = np.concatenate([np.arange(n_data), n_data + place])
        if np.bincount(folds[1], minlength=config.n_folds).min() < _MIN_EVENTS_PER_FOLD:
            raise JetsError(
                f"the background was made of {len(np.unique(origins[0]))} events, which leaves a fold with "
                f"fewer than {_MIN_EVENTS_PER_FOLD}: take more events, or fewer folds"
            )
    return _Plan(
        config,
        fold=np.concatenate([*folds, np.full(n_test, -1)]),
        weight=np.concatenate([np.ones(n_data), weight * (n_data / weight.sum()), np.ones(n_test)]),
        n_data=n_data,
        n_background=n_background,
        group=group,
        test_folds=test_folds,
    )
