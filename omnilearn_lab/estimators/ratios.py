"""Compare two samples of jets: reweight one to the other, unfold data, find what only the data hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import StratifiedKFold

from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.estimators.base import Estimator, JetsLike, SavedEstimator, as_jets
from omnilearn_lab.estimators.networks import PETClassifier
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath
from omnilearn_lab.metrics import roc
from omnilearn_lab.tasks import reweighting, unfolding
from omnilearn_lab.training import TrainConfig


@dataclass(eq=False, repr=False)
class _RatioEstimator(Estimator):
    """Parameters that reweighting and unfolding share."""

    _: KW_ONLY
    network: str = "pet"
    body_lr_factor: float = 0.1
    use_pid: bool = True
    clip: float = 10.0
    directory: str | None = None

    def _ratio(self) -> reweighting.RatioConfig:
        reads_tables = self.network in ("mlp", "logistic")
        init = "scratch" if self.checkpoint is None or reads_tables else str(self.checkpoint)
        factor = 1.0 if init == "scratch" else self.body_lr_factor
        budget = self.epochs, self.batch_size, self.learning_rate
        training = TrainConfig(*budget, body_lr_factor=factor, seed=self._seed())
        inputs: dict[str, Any] = {"use_pid": self.use_pid, "clip": self.clip}
        return reweighting.RatioConfig(self.network, init, **inputs, training=training)


@dataclass(eq=False, repr=False)
class Reweighter(SavedEstimator, _RatioEstimator):
    r"""Weights that make one sample of jets (source) look like another (target).

    A classifier with output f gives :math:`w = f/(1-f) \approx p_\mathrm{target}/p_\mathrm{source}`.

    Parameters
    ----------
    checkpoint
        Pretrained network to start from; None trains from scratch.
    network
        From scratch: a key of `omnilearn_lab.tasks.common.networks.NETWORKS` for jets; "mlp" or "logistic"
        for tables of observables, which have no checkpoint.
    epochs, batch_size, learning_rate, body_lr_factor
        See `omnilearn_lab.training.TrainConfig`.
    use_pid
        Show the network the particle species.
    clip
        Logits are limited to plus or minus this value.
    random_state
        Seed of weights, split and order.
    directory
        Keep the training there; an interrupted `fit` goes on where it was.

    Attributes
    ----------
    reweighter_ : omnilearn_lab.tasks.reweighting.Reweighter
    history_ : History

    References
    ----------
    OmniLearn, arXiv:2404.16091, section VII.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> source, target = rng.normal(0.0, 1, 4000), rng.normal(0.2, 1, 4000)
    >>> weights = Reweighter(None, network="logistic").fit(source, target).predict(source)
    >>> round(np.average(source, weights=weights), 1)
    0.2
    """

    _fitted: ClassVar = "reweighter_"

    def fit(
        self,
        source: JetsLike | np.ndarray,
        target: JetsLike | np.ndarray,
        source_weight: ArrayLike | None = None,
        target_weight: ArrayLike | None = None,
        **options: Any,
    ) -> Reweighter:
        """Learn the ratio target over source.

        Parameters
        ----------
        source, target : Jets, or tables of shape (N, K)
        source_weight, target_weight : array, shape (N,), optional
            By default the jets' own weights, or ones.
        **options
            For `omnilearn_lab.tasks.reweighting.Reweighter.fit_predict`.
        """
        self.reweighter_ = reweighting.Reweighter(self._ratio()).fit(
            _sample(source),
            _sample(target),
            source_weights=source_weight,
            target_weights=target_weight,
            run_directory=self.directory,
            **options,
        )
        self.history_ = self.reweighter_.history
        return self

    def predict(self, jets: JetsLike | np.ndarray) -> np.ndarray:
        """Return the weight of every jet, normalised on the fitted source, shape (N,)."""
        return self._check_fitted().predict(_sample(jets))

    def predict_proba(self, jets: JetsLike | np.ndarray) -> np.ndarray:
        """Return the probabilities of source and target, for equal totals, shape (N, 2)."""
        target = self._check_fitted().predict_probability(_sample(jets))
        return np.stack([1 - target, target], axis=1)

    def _write(self, folder: Path) -> dict[str, Any]:
        self.reweighter_.save(folder)
        return {}

    def _read(self, folder: Path, card: Mapping[str, Any]) -> None:
        self.reweighter_ = reweighting.Reweighter.load(folder)
        self.history_ = self.reweighter_.history


@dataclass(eq=False, repr=False)
class OmniFold(_RatioEstimator):
    """Unfold data: weights of simulated particle-level jets that describe the truth behind the data.

    Parameters
    ----------
    n_iterations
    n_ensemble
        Networks with different seeds, for the uncertainty of the training.
    n_bootstrap
        Repetitions with Poisson weights, for the statistical uncertainty.
    checkpoint, network, epochs, batch_size, learning_rate, body_lr_factor, use_pid, clip, random_state,
    directory
        As for `Reweighter`.

    Attributes
    ----------
    result_ : omnilearn_lab.tasks.unfolding.UnfoldingResult
        Weights at both levels, histograms with uncertainties, a file for others.

    References
    ----------
    arXiv:1911.09107; with efficiency and fakes, arXiv:2105.04448.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth, hidden = rng.normal(0, 1, 4000), rng.normal(0.3, 1, 4000)
    >>> simulation = reweighting.PairedSample(truth, truth + rng.normal(0, 0.5, 4000))
    >>> data = hidden + rng.normal(0, 0.5, 4000)
    >>> fold = OmniFold(None, network="logistic", n_iterations=4).fit(simulation, data)
    >>> abs(np.average(truth, weights=fold.predict()) - 0.3) < 0.05
    True
    """

    _fitted: ClassVar = "result_"

    n_iterations: int = 3
    n_ensemble: int = 1
    n_bootstrap: int = 0

    def fit(
        self, simulation: Any, data: JetsLike | np.ndarray, data_weight: ArrayLike | None = None
    ) -> OmniFold:
        """Unfold data.

        Parameters
        ----------
        simulation : PairedSample, or PairedJets
            Events at particle and at detector level.
        data : Jets, or table
            Detector level only.
        data_weight : array, shape (M,), optional
        """
        first = self._seed()
        config = unfolding.OmniFoldConfig(
            self._ratio(),
            n_iterations=self.n_iterations,
            seeds=tuple(range(first, first + self.n_ensemble)),
            n_bootstrap=self.n_bootstrap,
        )
        self.omnifold_ = unfolding.OmniFold(config, run_directory=self.directory, workers=None)
        self.result_ = self.omnifold_.fit(simulation, _sample(data), data_weights=data_weight)
        return self

    def predict(self, truth: JetsLike | np.ndarray | None = None) -> np.ndarray:
        """Return particle-level weights, shape (N,): of the fitted simulation, or factors for other jets."""
        result = self._check_fitted()
        if truth is None:
            return result.particle_weights()
        return np.mean(self.omnifold_.predict(_sample(truth)), axis=0)

    def save(self, path: StrPath) -> Path:
        """Keep the weights with their uncertainties in an HDF5 file, see `UnfoldingResult.save`."""
        return self._check_fitted().save(path)


@dataclass(eq=False, repr=False)
class WeakSupervision(Estimator):
    """Find what data hold and a background sample does not, without labels (classification without labels).

    Every jet is scored by a network that was trained on the other folds. For events of several jets see
    `omnilearn_lab.tasks.search.weak_supervision`.

    Parameters
    ----------
    checkpoint, train, epochs, batch_size, learning_rate, use_pid, random_state
        As for `PETClassifier`; the default embeds every jet once and fits a small head.
    n_folds

    Attributes
    ----------
    taggers_ : tuple of PETClassifier
        One per fold.
    data_scores_, background_scores_ : array, shape (N,), (M,)
        Out-of-fold probability of being data.
    auc_ : float
        Area under the ROC curve of data against background, out of fold; 0.5 when nothing differs.

    References
    ----------
    Metodiev, Nachman, Thaler, arXiv:1708.02949; Collins, Howe, Nachman, arXiv:1805.02664.
    """

    _fitted: ClassVar = "taggers_"

    _: KW_ONLY
    train: str = "head"
    n_folds: int = 2
    use_pid: bool = True

    def fit(self, data: JetsLike, background: JetsLike) -> WeakSupervision:
        """Train on data against background.

        Parameters
        ----------
        data, background : Jets
            Of the same phase space; weights of either are used.

        Raises
        ------
        ConfigError, JetsError
            For fewer than two folds, or fewer jets than folds.
        """
        data, background = (_plain(as_jets(sample)) for sample in (data, background))
        if self.n_folds < 2:
            raise ConfigError(f"n_folds is {self.n_folds}; with fewer than 2 jets score themselves")
        if min(len(data), len(background)) < 2 * self.n_folds:
            raise JetsError(f"{len(data)} and {len(background)} jets are too few for {self.n_folds} folds")
        jets = Jets.concatenate([data, background])
        is_data = np.arange(len(jets)) < len(data)
        scores, taggers = np.zeros(len(jets)), []
        folds = StratifiedKFold(self.n_folds, shuffle=True, random_state=self._seed())
        for rows, others in folds.split(is_data, is_data):
            taggers.append(self._tagger().fit(jets[rows], is_data[rows].astype(np.int64)))
            scores[others] = taggers[-1].predict_proba(jets[others])[:, 1]
        self.taggers_: tuple[PETClassifier, ...] = tuple(taggers)
        self.data_scores_, self.background_scores_ = scores[is_data], scores[~is_data]
        self.auc_ = roc(scores, is_data, weights=jets.jet.get("weight")).auc
        return self

    def predict(self, jets: JetsLike) -> np.ndarray:
        """Return the probability of being data, the mean over folds, shape (N,)."""
        return np.mean([tagger.predict_proba(jets)[:, 1] for tagger in self._check_fitted()], axis=0)

    def _tagger(self) -> PETClassifier:
        names = ("train", "epochs", "batch_size", "learning_rate", "use_pid", "random_state")
        return PETClassifier(self.checkpoint, **{name: getattr(self, name) for name in names})


def _plain(jets: Jets) -> Jets:
    """The jets without labels: nothing but the sample they are from may teach the network."""
    columns = {name: values for name, values in jets.jet.items() if name != "label"}
    return Jets(jets.particles, jets.offsets, columns, (), jets.provenance)


def _sample(jets: JetsLike | np.ndarray) -> Jets | np.ndarray:
    return jets if isinstance(jets, np.ndarray) else as_jets(jets)
