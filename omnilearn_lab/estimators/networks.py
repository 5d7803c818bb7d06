"""Classify jets, or learn numbers of them, with PET from a checkpoint or from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.linear_model import Ridge

from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.estimators import base
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import Batch
from omnilearn_lab.tasks.common import heads
from omnilearn_lab.tasks.common.classification import network_outputs, predict
from omnilearn_lab.tasks.common.networks import complete_batch, make_model
from omnilearn_lab.training import Classification, History, Regression, default_device, embed_jets
from omnilearn_lab.training.trainer import OnRecord

TRAIN = ("all", "head", "adapters")
_STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # inverse regularisation of a head, chosen on held-out jets
_NEVER = -1e9  # the logit of a class that has no training jet


@dataclass(eq=False, repr=False)
class _PETEstimator(TransformerMixin, base.JetEstimator):
    """Parameters that classifier and regressor share."""

    _: KW_ONLY
    train: str = "all"
    body_lr_factor: float = 0.1
    network: str = "pet"
    size: str = "tiny"
    use_pid: bool = True
    use_displacement: bool = False
    max_particles: int | None = None
    standardization: str = "jetclass"
    precision: str = "fp32"
    directory: str | None = None

    def transform(self, jets: base.JetsLike) -> np.ndarray:
        """Return the network's embedding, one row per jet, float32, shape (N, d).

        What enters the last layer of its classifier: for nearest neighbours, linear probes, maps.
        """
        return self._blocks(jets, self._embedding)

    def _embedding(self, batch: Batch) -> np.ndarray:
        return embed_jets(self.network_, complete_batch(batch, self.network_))

    def _check_parameters(self) -> None:
        if self.train not in TRAIN:
            raise ConfigError(f"train is '{self.train}'; {nearest(self.train, TRAIN)}")
        if self.train != "all" and self.checkpoint is None:
            raise ConfigError(
                f"train='{self.train}' needs a pretrained body; name a checkpoint, such as 'tiny'"
            )

    def _fit_network(
        self,
        parts: tuple[tuple[Jets, np.ndarray], tuple[Jets, np.ndarray]],
        n_outputs: int,
        on_record: OnRecord | None,
    ) -> None:
        """Train the network, or only embed the jets for a head of its own."""
        changes = {"trainable": "adapters"} if self.train == "adapters" else {}
        chosen = self._network_settings(n_outputs, self._training(**changes))
        (jets, targets), (others, their_targets) = parts
        base.weights(others, None)  # some of the jets held out must count
        self._remember_inputs(jets, chosen.inputs)
        if self.train == "head":
            self.network_ = make_model(chosen).to(default_device()).eval()
            self.history_ = History()
            self._fit_head(
                *(
                    heads.Rows(self.transform(some), values, some.jet.get("weight"))
                    for some, values in ((jets, targets), (others, their_targets))
                )
            )
            return
        batches = tuple(
            self._with_targets(self.inputs_.batch(some), values)
            for some, values in ((jets, targets), (others, their_targets))
        )
        self._train(batches, chosen, self._objective(), on_record)


@dataclass(eq=False, repr=False)
class PETClassifier(ClassifierMixin, _PETEstimator):
    """Tag jets: fine-tune a pretrained PET, train one from scratch, or fit a small head on its embedding.

    Parameters
    ----------
    checkpoint
        "tiny", "tiny_5m", "small", "v2_tiny" (shipped), the path of a checkpoint of ours, a published file
        (``.h5``, ``.pt``), or None to train from scratch.
    train : {"all", "head", "adapters"}
        "head" computes the embedding once and fits a logistic regression on it, in seconds; "adapters"
        trains low-rank additions to the body.
    epochs, batch_size, learning_rate, body_lr_factor, precision
        See `omnilearn_lab.training.TrainConfig`; the body's rate is the peak rate times ``body_lr_factor``.
    network, size
        From scratch: a key of `omnilearn_lab.tasks.common.networks.NETWORKS`, and a named size.
    use_pid
        Show the network the particle species, where the jets have them.
    use_displacement
        Show the network the impact parameters (PET v2).
    max_particles
        Keep the hardest particles only.
    standardization
        A key of `omnilearn_lab.features.STANDARDIZATIONS`.
    random_state
        Seed of weights, split, order and noise.
    directory
        Keep metrics and checkpoints of the training there; an interrupted `fit` goes on where it was.

    Attributes
    ----------
    classes_ : array, shape (C,)
        Names where the jets have class names, else the labels found.
    network_, history_, inputs_
        See `JetEstimator`.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> pt = np.concatenate([rng.uniform(1, 2, 200), rng.uniform(50, 90, 200)])
    >>> cloud = {"deta": rng.normal(0, 0.1, 400), "dphi": rng.normal(0, 0.1, 400), "pt": pt, "energy": pt}
    >>> jets = Jets.from_four_momenta(np.stack([pt, 0 * pt, 0 * pt, pt], 1), range(0, 401, 4))
    >>> tagger = PETClassifier("tiny", train="head").fit(jets, np.repeat(["soft", "hard"], 50))
    >>> [str(name) for name in tagger.classes_], tagger.score(jets, np.repeat(["soft", "hard"], 50))
    (['hard', 'soft'], 1.0)
    """

    _arrays: ClassVar = ("head_coefficients_", "head_intercept_", "head_mean_", "head_scale_")
    _facts: ClassVar = ("classes_",)

    def fit(
        self,
        jets: base.JetsLike,
        labels: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        validation: float | Jets = 0.1,
        *,
        on_record: OnRecord | None = None,
    ) -> PETClassifier:
        """Train on labelled jets.

        Parameters
        ----------
        jets : Jets, or a list of them
        labels : array, shape (N,), optional
            Numbers or names; by default the jets' own labels, by name where they have class names.
        sample_weight : array, shape (N,), optional
            Not negative; by default the jets' own weights.
        validation
            Share of the jets held out to choose the best weights (random, seeded, equal shares of every
            class), or labelled jets.
        on_record
            Called with every new record of the history.

        Raises
        ------
        JetsError, ConfigError
            For labels or weights that cannot be learnt from, before anything is trained.
        """
        self._check_parameters()
        jets = base.weights(base.as_jets(jets), sample_weight)
        names = _labels(jets, labels)
        self.classes_, numbers = np.unique(names, return_inverse=True)
        if labels is None and jets.class_names:
            self.classes_ = np.array(jets.class_names)
            numbers = jets.label
        if len(self.classes_) < 2:
            raise JetsError(f"all {len(jets)} jets are of one class ({self.classes_[0]!r}); two are needed")
        if isinstance(validation, Jets):
            others = base.weights(validation, None)
            parts = (jets, numbers), (others, self._numbers(_labels(others, None)))
        else:
            train, held_out = base.split(jets, numbers, validation, self._seed())
            parts = (jets[train], numbers[train]), (jets[held_out], numbers[held_out])
        self._fit_network(parts, len(self.classes_), on_record)
        return self

    def predict_proba(self, jets: base.JetsLike) -> np.ndarray:
        """Return the probability of every class, in the order of ``classes_``, shape (N, C)."""
        if self.train != "head":
            return self._blocks(jets, lambda batch: predict(self.network_, batch, precision=self.precision))
        rows = (self.transform(jets) - self.head_mean_) / self.head_scale_
        logits = rows @ self.head_coefficients_.T + self.head_intercept_
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    def predict(self, jets: base.JetsLike) -> np.ndarray:
        """Return the most probable class of every jet, shape (N,)."""
        best = self.predict_proba(jets).argmax(axis=1)
        return self.classes_[best]

    def score_names(self) -> tuple[str, ...]:
        """Return the names of the columns of `scores`: the classes."""
        return tuple(map(str, self.classes_))

    def scores(self, jets: base.JetsLike) -> np.ndarray:
        """Return what is written beside the jets of a file: the probability of every class, shape (N, C)."""
        return self.predict_proba(jets)

    def numbers_of(self, jets: Jets) -> np.ndarray:
        """Return the class numbers of labelled jets in the order of ``classes_``, matched by name.

        Raises
        ------
        JetsError
            For classes that the tagger does not know.
        """
        return self._numbers(_labels(jets, None))

    @classmethod
    def untrained(cls, checkpoint: str, jets: Jets, **parameters: Any) -> PETClassifier:
        """Return a pretrained network as it is, for `transform`: nothing was trained on the jets' classes.

        Parameters
        ----------
        checkpoint
        jets : Jets
            Such as will be embedded: they say which columns the network is shown.
        **parameters
            As for the class.
        """
        made = cls(checkpoint, train="head", **parameters)
        chosen = made._network_settings(2, made._training())
        made._remember_inputs(jets, chosen.inputs)
        made.network_, made.history_ = make_model(chosen).to(default_device()).eval(), History()
        return made

    def score(
        self, jets: base.JetsLike, labels: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the share of jets whose class is right; classes are matched by name."""
        jets = base.as_jets(jets)
        is_right = self._numbers(_labels(jets, labels)) == self.predict_proba(jets).argmax(axis=1)
        given = jets.jet.get("weight") if sample_weight is None else sample_weight
        return float(np.average(is_right, weights=given))

    def _numbers(self, names: np.ndarray) -> np.ndarray:
        """Class numbers of names; other classes are an error."""
        known = {name: number for number, name in enumerate(self.classes_.tolist())}
        unknown = sorted({str(name) for name in np.unique(names).tolist() if name not in known})
        if unknown:
            raise JetsError(
                f"these jets have the classes {unknown}, the tagger knows {list(map(str, known))}; "
                "map them by name"
            )
        return np.array([known[name] for name in names.tolist()], dtype=np.int64)

    def _objective(self) -> Classification:
        return Classification()

    def _with_targets(self, batch: Batch, numbers: np.ndarray) -> Batch:
        return batch.replace(label=torch.from_numpy(np.asarray(numbers, dtype=np.int64)))

    def _fit_head(self, train: heads.Rows, held_out: heads.Rows) -> None:
        fitted = heads.fit_head(train, held_out, n_classes=len(self.classes_), seed=self._seed()).model
        scaler, head = fitted[0], fitted[-1]
        self.head_mean_, self.head_scale_ = scaler.mean_, scaler.scale_
        rows = head.classes_[1:] if len(head.classes_) == 2 else head.classes_  # of two, it keeps the second
        self.head_coefficients_ = np.zeros((len(self.classes_), head.coef_.shape[1]))
        self.head_intercept_ = np.full(len(self.classes_), _NEVER)  # a class without a jet to learn from
        self.head_intercept_[head.classes_] = 0.0
        self.head_coefficients_[rows], self.head_intercept_[rows] = head.coef_, head.intercept_


@dataclass(eq=False, repr=False)
class PETRegressor(RegressorMixin, _PETEstimator):
    """Learn numbers of jets: a mass or energy correction, the visible momentum of a tau.

    The loss is the squared error of the targets, each divided by its spread over the training jets; ``beta``
    makes it linear for errors above (smooth L1), for targets with tails.

    Parameters
    ----------
    beta
        In units of the targets' spread; 0 for squares everywhere.
    checkpoint, train, epochs, batch_size, learning_rate, body_lr_factor, network, size, use_pid,
    use_displacement, max_particles, standardization, precision, random_state, directory
        As for `PETClassifier`.

    Attributes
    ----------
    target_names_ : tuple of str
    target_mean_, target_std_ : array, shape (K,)
    network_, history_, inputs_
        See `JetEstimator`.
    """

    _arrays: ClassVar = ("target_mean_", "target_std_", "head_coefficients_", "head_intercept_")
    _facts: ClassVar = ("target_names_", "is_single_")

    beta: float = 0.0

    def fit(
        self,
        jets: base.JetsLike,
        targets: Mapping[str, ArrayLike] | ArrayLike,
        sample_weight: ArrayLike | None = None,
        validation: float = 0.1,
        *,
        on_record: OnRecord | None = None,
    ) -> PETRegressor:
        """Train on jets with known numbers.

        Parameters
        ----------
        jets : Jets, or a list of them
        targets : array, shape (N,) or (N, K), or mapping of name to array
        sample_weight, validation, on_record
            As for `PETClassifier.fit`.

        Raises
        ------
        JetsError
            For targets that are not finite, do not vary, or do not belong to the jets.
        """
        self._check_parameters()
        jets = base.weights(base.as_jets(jets), sample_weight)
        self.target_names_ = base.column_names(targets)
        columns = list(targets.values()) if isinstance(targets, Mapping) else [targets]
        values = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
        self.is_single_ = not isinstance(targets, Mapping) and np.ndim(targets) == 1
        self._check_targets(values, len(jets))
        self.target_mean_, self.target_std_ = values.mean(axis=0), values.std(axis=0)
        train, held_out = base.split(jets, None, validation, self._seed())
        self._fit_network(
            ((jets[train], values[train]), (jets[held_out], values[held_out])), values.shape[1], on_record
        )
        return self

    def predict(self, jets: base.JetsLike) -> np.ndarray:
        """Return the numbers of every jet, shape (N,) or (N, K) as the targets were."""
        if self.train == "head":
            scaled = self.transform(jets) @ self.head_coefficients_.T + self.head_intercept_
        else:
            scaled = self._blocks(jets, self._outputs)
        values = scaled * self.target_std_ + self.target_mean_
        return values[:, 0] if self.is_single_ else values

    def score_names(self) -> tuple[str, ...]:
        """Return the names of the columns of `scores`: the targets."""
        return self.target_names_

    def scores(self, jets: base.JetsLike) -> np.ndarray:
        """Return what is written beside the jets of a file: every target, shape (N, K)."""
        return self.predict(jets).reshape(-1, len(self.target_names_))

    @torch.no_grad()
    def _outputs(self, jets: Batch) -> np.ndarray:
        return network_outputs(self.network_, jets, precision=self.precision)

    def _check_targets(self, values: np.ndarray, n_jets: int) -> None:
        if len(values) != n_jets or not np.isfinite(values).all():
            bad = len(values) - int(np.isfinite(values).all(axis=1).sum())
            raise JetsError(
                f"{len(values)} rows of targets for {n_jets} jets, {bad} with numbers that are not finite"
            )
        constant = [
            name
            for name, spread in zip(self.target_names_, values.std(axis=0), strict=True)
            if not spread > 0
        ]
        if constant:
            raise JetsError(f"the targets {constant} are the same for all jets; nothing is to be learnt")

    def _objective(self) -> Regression:
        return Regression(beta=self.beta, target="condition")

    def _with_targets(self, batch: Batch, values: np.ndarray) -> Batch:
        scaled = (values - self.target_mean_) / self.target_std_
        return batch.replace(condition=torch.from_numpy(scaled.astype(np.float32)))

    def _fit_head(self, train: heads.Rows, held_out: heads.Rows) -> None:
        scaled, theirs = ((rows.label - self.target_mean_) / self.target_std_ for rows in (train, held_out))

        def loss(head: Ridge) -> float:
            squares = (head.predict(held_out.values).reshape(theirs.shape) - theirs) ** 2
            return float(np.average(squares, axis=0, weights=held_out.weight).mean())

        head = min((Ridge(alpha=1 / c).fit(train.values, scaled, train.weight) for c in _STRENGTHS), key=loss)
        self.head_coefficients_ = np.atleast_2d(head.coef_)
        self.head_intercept_ = np.atleast_1d(head.intercept_)


def _labels(jets: Jets, labels: ArrayLike | None) -> np.ndarray:
    """Labels as names where there are names, else as they are.

    Raises
    ------
    JetsError
        For no labels, labels of another number, or numbers that are no class.
    """
    if labels is None:
        if "label" not in jets.jet:
            raise JetsError("these jets have no labels; give them as labels=..., one per jet")
        numbers = np.asarray(jets.label)
        return np.array(jets.class_names)[numbers] if jets.class_names else numbers
    names = np.asarray(labels)
    if names.shape != (len(jets),):
        raise JetsError(f"labels have shape {names.shape}; one for each of {len(jets)} jets is needed")
    if names.dtype.kind == "f":
        if not np.array_equal(names, np.round(names)):
            raise JetsError(
                "labels are numbers between classes (such as 0.9); round them, or use PETRegressor"
            )
        names = names.astype(np.int64)
    return names
