"""Flavour tagging: which quark made a jet, read from tracks that miss the collision point."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field

from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import background_rejection, roc
from omnilearn_lab.metrics.classification import auc_influence, rejection_influence
from omnilearn_lab.models import Batch
from omnilearn_lab.readers import GN2_TRACK_INPUTS
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks import common
from omnilearn_lab.tasks.common.classification import train_trees
from omnilearn_lab.tasks.common.heads import HeadKind
from omnilearn_lab.training import Classification, FlavourTagging, TrainConfig

CLASSES = ("light", "c", "b", "tau")
"""Flavours in the order of their labels."""
_CONSTANT = 1e-6  # a column whose spread is a smaller part of its mean is left alone


@dataclass(frozen=True)
class TrackInputs:
    """The further numbers of each track, brought to order one: x -> (x - mean) / std.

    Parameters
    ----------
    names
        Columns of the particles, or ``significance of`` a lifetime-signed one, or ``charge / momentum``.
    mean, std
        Of the jets given to `of`.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, jets: Jets) -> TrackInputs:
        """Choose the inputs that these jets carry and measure their mean and spread.

        Published jets have the 17 inputs of GN2 beyond the direction; simulated ones have seven: d0, dz,
        their errors, both lifetime-signed significances, and charge over momentum.

        Raises
        ------
        JetsError
            When the jets have no impact parameters.
        """
        names = _PUBLISHED if "lifetimeSignedD0Significance" in jets.particles else _SIMULATED
        values = np.stack([_column(jets, name) for name in names], axis=1).astype(np.float64)
        mean, std = values.mean(axis=0), values.std(axis=0)
        std = np.where(std > _CONSTANT * np.abs(mean), std, 1.0)
        return cls(names, tuple(mean.tolist()), tuple(std.tolist()))

    def batch(self, jets: Jets) -> Batch:
        """Return jets as a batch with ``extra``, ``condition``, and the origins as ``particle_label``.

        Examples
        --------
        >>> track = {"deta": [0, 0], "dphi": [0, 0], "pt": [2, 1], "energy": [2, 1], "charge": [1, -1]}
        >>> track |= {n: [0.1, 0.2] for n in ("d0", "dz", "d0_err", "dz_err", "lifetime_d0", "lifetime_dz")}
        >>> jets = Jets.build(track, [0, 2], {"pt": [3], "eta": [0], "phi": [0], "mass": [0]})
        >>> TrackInputs.of(jets).batch(jets).extra.shape
        torch.Size([2, 7])
        """
        values = np.stack([_column(jets, name) for name in self.names], axis=1)
        scaled = (values - np.float32(self.mean)) / np.float32(self.std)
        return pet_v2_batch(jets, use_pid=False).replace(extra=torch.from_numpy(scaled.astype(np.float32)))

    def data(self, jets: Mapping[str, Jets]) -> common.ClassifierData:
        """Turn the splits "train", "val" and "test" into network inputs."""
        return common.ClassifierData(*(self.batch(jets[name]) for name in ("train", "val", "test")), CLASSES)


_PUBLISHED = ("d0", "dz", *GN2_TRACK_INPUTS[4:])
_SIMULATED = (
    "d0",
    "dz",
    "charge / momentum",
    "significance of lifetime_d0",
    "significance of lifetime_dz",
    "d0_err",
    "dz_err",
)
_ERRORS = {"significance of lifetime_d0": "d0_err", "significance of lifetime_dz": "dz_err"}


def _column(jets: Jets, name: str) -> np.ndarray:
    """One input of all tracks; significances as sign(x) ln(1 + |x|), as they reach hundreds."""
    if name == "charge / momentum":
        eta = jets.particles["deta"] + np.repeat(jets.jet["eta"], jets.counts)
        return _required(jets, "charge") / (jets.particles["pt"] * np.cosh(eta))
    if name in _ERRORS:
        ratio = _required(jets, name.removeprefix("significance of ")) / _required(jets, _ERRORS[name])
        return np.sign(ratio) * np.log1p(np.abs(ratio))
    values = _required(jets, name)
    return np.sign(values) * np.log1p(np.abs(values)) if name.endswith("Significance") else values


def _required(jets: Jets, name: str) -> np.ndarray:
    if name not in jets.particles:
        raise JetsError(f"flavour tagging needs the track column '{name}'; {nearest(name, jets.particles)}")
    return jets.particles[name]


def displacement_score(jets: Jets, n_tracks: int = 3) -> np.ndarray:
    """Return the sum of the largest lifetime-signed d0 significances of each jet: a tagger without training.

    Parameters
    ----------
    jets : Jets
        Simulated, with ``lifetime_d0`` and ``d0_err``, or published with GN2's inputs.
    n_tracks
        How many to add.

    Returns
    -------
    float64 array, shape (N,)
    """
    return np.nansum(largest_significances(jets, n_tracks), axis=1)


def largest_significances(jets: Jets, n_tracks: int, of: Literal["d0", "dz"] = "d0") -> np.ndarray:
    """Return the largest lifetime-signed significances of each jet's tracks, falling.

    Parameters
    ----------
    jets : Jets
        As for `displacement_score`.
    n_tracks
        How many.
    of : {"d0", "dz"}
        Transverse or longitudinal impact parameter.

    Returns
    -------
    float64 array, shape (N, n_tracks)
        Not-a-number where a jet has fewer tracks.
    """
    stored = {"d0": "lifetimeSignedD0Significance", "dz": "lifetimeSignedZ0SinThetaSignificance"}[of]
    if stored in jets.particles:
        significance = jets.particles[stored]
    else:
        significance = _required(jets, f"lifetime_{of}") / _required(jets, f"{of}_err")
    order = np.lexsort((-significance, jets.jet_index))
    rank = np.arange(jets.n_particles) - np.repeat(jets.offsets[:-1], jets.counts)
    kept = rank < n_tracks
    largest = np.full((len(jets), n_tracks), np.nan)
    largest[jets.jet_index[kept], rank[kept]] = significance[order][kept]
    return largest


def reference_probabilities(jets: Jets) -> np.ndarray | None:
    """Return GN2's probabilities of light, c, b, tau stored in the published files, or None."""
    names = ("GN2v01_pu", "GN2v01_pc", "GN2v01_pb", "GN2v01_ptau")
    if any(name not in jets.jet for name in names):
        return None
    return np.stack([jets.jet[name] for name in names], axis=1).astype(np.float64)


FRACTIONS = {"b": {"c": 0.2, "tau": 0.01}, "c": {"b": 0.2, "tau": 0.01}}
"""Fractions of the other flavours in the discriminants; the rest is light."""
POINTS = {"b": 0.7, "c": 0.3}
"""Efficiencies at which rejections are quoted."""
_TINY = 1e-12


def flavour_discriminant(probabilities: np.ndarray, target: str = "b") -> np.ndarray:
    r"""Return the log-likelihood ratio of b (or c) jets to a mixture of the other flavours.

    .. math:: D_b = \ln\frac{p_b}{f_c p_c + f_\tau p_\tau + (1 - f_c - f_\tau) p_u}

    with :math:`f_c = 0.2`, :math:`f_\tau = 0.01`; for c jets b and c change places.

    Parameters
    ----------
    probabilities : array, shape (N, 4)
        Of light (u), c, b, tau.
    target : {"b", "c"}

    Returns
    -------
    float64 array, shape (N,)

    Raises
    ------
    ConfigError
        For another target.

    References
    ----------
    ATLAS Collaboration, arXiv:2505.19689.

    Examples
    --------
    >>> flavour_discriminant(np.array([[0.25, 0.25, 0.25, 0.25]])).round(6).tolist()
    [0.0]
    """
    if target not in FRACTIONS:
        raise ConfigError(f"no discriminant for '{target}'; {nearest(target, FRACTIONS)}")
    p = np.maximum(np.asarray(probabilities, dtype=np.float64), _TINY)
    fractions = FRACTIONS[target]
    mixture = sum(f * p[:, CLASSES.index(name)] for name, f in fractions.items())
    mixture = mixture + (1 - sum(fractions.values())) * p[:, CLASSES.index("light")]
    return np.log(p[:, CLASSES.index(target)] / mixture)


def tagger_scores(
    probabilities: Mapping[str, Sequence[np.ndarray]], label: np.ndarray, target: str, background: str
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Return (discriminant, is target) of the jets of two flavours, per tagger and seed, for plotting."""
    return {
        name: [_scores(p, label, target, background) for p in runs] for name, runs in probabilities.items()
    }


def tagger_values(
    probabilities: np.ndarray, label: np.ndarray, points: Mapping[str, float] = POINTS
) -> dict[str, float]:
    """Return the rejection of every other flavour at one efficiency of each target, and the areas under ROC.

    Parameters
    ----------
    probabilities : array, shape (N, 4)
    label : array, shape (N,)
    points : mapping of target to efficiency

    Returns
    -------
    dict of str to float
        Called "b at 70 %: against light" and "AUC, b against light"; flavours without jets are left out.

    Examples
    --------
    >>> label = np.repeat([0, 2], 50)
    >>> guess = np.full((100, 4), 0.1) + 0.6 * np.eye(4)[label]
    >>> tagger_values(guess, label, {"b": 0.5})["AUC, b against light"]
    1.0
    """
    values, areas = {}, {}
    for pair in _pairs(label, points):
        both = _scores(probabilities, label, pair.target, pair.other)
        values[pair.rejection] = background_rejection(*both, signal_efficiency=pair.efficiency).value
        areas[pair.area] = roc(*both).auc
    return values | areas


class _Pair(NamedTuple):
    """A flavour against another, at an efficiency."""

    target: str
    other: str
    efficiency: float

    @property
    def rejection(self) -> str:
        return f"{self.target} at {100 * self.efficiency:.0f} %: against {self.other}"

    @property
    def area(self) -> str:
        return f"AUC, {self.target} against {self.other}"


def _pairs(label: np.ndarray, points: Mapping[str, float]) -> list[_Pair]:
    present = {CLASSES[i] for i in np.unique(label)}
    every = (_Pair(target, other, e) for target, e in points.items() for other in CLASSES)
    return [pair for pair in every if pair.other != pair.target and {*pair[:2]} <= present]


def _scores(
    probabilities: np.ndarray, label: np.ndarray, target: str, background: str
) -> tuple[np.ndarray, np.ndarray]:
    used = np.isin(label, [CLASSES.index(target), CLASSES.index(background)])
    is_target = (label[used] == CLASSES.index(target)).astype(np.int64)
    return flavour_discriminant(probabilities, target)[used], is_target


N_ORIGINS = 8  # codes of the ATLAS files: 0 pile-up, 1 fake, 2 primary, 3 b, 4 b to c, 5 c, 6 tau, 7 other
N_CONDITION = 4


@settings
class FlavourSettings:
    """One tagger: which network, with which second task, from which weights.

    Parameters
    ----------
    network : {"pet_v2", "track_transformer"}
        The second is in the manner of GN2.
    size
        Named size of the network.
    origins
        Factor of the loss of the track origins; 0 trains without them.
    init
        "scratch", or a checkpoint of a PET v2 whose body to start from.
    training : TrainConfig

    Raises
    ------
    ConfigError
        For pretrained weights for the baseline.
    """

    network: Literal["pet_v2", "track_transformer"] = "pet_v2"
    size: str = "tiny"
    origins: Annotated[float, Field(ge=0)] = 1.0
    init: str = "scratch"
    training: TrainConfig = TrainConfig()

    def __post_init__(self) -> None:
        if self.init != "scratch" and self.network != "pet_v2":
            raise ConfigError(f"'{self.network}' has no pretrained weights: init must be 'scratch'")

    def classifier(self, n_extra: int) -> common.ClassifierSettings:
        """Return the settings of the network.

        A fine-tuned network has the sizes of its checkpoint. What does not fit, the embedding of the further
        track numbers and the heads, starts anew, as in the published code.

        Parameters
        ----------
        n_extra
            Further numbers of each track.

        Raises
        ------
        ConfigError
            When the checkpoint holds no PET v2.
        """
        if self.init != "scratch" and common.network_of(self.init) != "pet_v2":
            raise ConfigError(f"'{self.init}' holds no PET v2; flavour tagging fine-tunes one")
        origins = N_ORIGINS if self.origins else 0
        changes = {"n_extra": n_extra, "n_condition": N_CONDITION, "n_particle_classes": origins}
        if self.network == "pet_v2":
            changes |= {"n_species": 0, "feature_drop": 0.0, "mode": "ftag" if origins else "classifier"}
        return common.ClassifierSettings(
            len(CLASSES), self.init, self.size, self.training, self.network, changes=changes
        )


class TaggerResult(common.ClassifierResult):
    """What the training of a flavour tagger gave; its values add `tagger_values`."""

    def values(self) -> dict[str, float]:
        """Return the metrics of any classifier, and rejections and areas flavour against flavour."""
        return super().values() | self._by_flavour

    @cached_property
    def _by_flavour(self) -> dict[str, float]:
        return tagger_values(self.probabilities, self.label)

    @cached_property
    def influences(self) -> Mapping[str, np.ndarray]:
        """What every test jet adds to the fluctuation of each metric."""
        own, ones = {}, np.ones(len(self.label))
        scores = {target: flavour_discriminant(self.probabilities, target) for target in POINTS}
        for pair in _pairs(self.label, POINTS):
            sides = (self.label == CLASSES.index(name) for name in pair[:2])
            seen = (scores[pair.target], *sides, ones)
            own[pair.rejection] = rejection_influence(*seen, pair.efficiency)
            own[pair.area] = auc_influence(*seen)
        return {**self.metrics.influences, **own}

    def errors(self) -> dict[str, float]:
        """Return the statistical errors of all of them."""
        return {
            name: float(np.linalg.norm(each)) for name, each in self.influences.items()
        } | super().errors()


def train_tagger(
    data: common.ClassifierData, settings: FlavourSettings, seed: int = 1, run_directory: Path | None = None
) -> TaggerResult:
    """Train one tagger and apply it to the test jets.

    Parameters
    ----------
    data : ClassifierData
        From `TrackInputs.data`.
    settings : FlavourSettings
    seed
        Of initial weights and the order of jets.
    run_directory
        Keep metrics and checkpoints there, and go on from them when they exist.

    Raises
    ------
    ConfigError
        When origins are asked for and the jets have none.
    """
    if settings.origins and data.train.particle_label is None:
        raise ConfigError("these tracks have no 'origin': set origins=0, or load jets with track origins")
    objective = FlavourTagging(tracks=settings.origins) if settings.origins else Classification(balance=True)
    classifier = settings.classifier(data.train.extra.shape[1]).with_seed(seed)
    result = common.train_classifier(data, classifier, objective=objective, run_directory=run_directory)
    return TaggerResult(**vars(result))


def compare_taggers(
    data: common.ClassifierData, taggers: Mapping[str, FlavourSettings], seeds: Sequence[int], **options: Any
) -> common.Comparison[TaggerResult]:
    """Train every tagger with every seed, side by side on a CPU.

    Parameters
    ----------
    data : ClassifierData
    taggers : mapping of name to FlavourSettings
    seeds
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    Comparison of TaggerResult
        One arm per tagger.
    """
    return common.compare(partial(train_tagger, data), taggers, seeds=seeds, **options)


_N_TRACKS = 4
_MOST_JETS = 200_000  # more teach eleven numbers nothing


def displacement_table(jets: Jets, n_tracks: int = _N_TRACKS) -> np.ndarray:
    """Return what a b hadron leaves in a jet as a table of numbers, for boosted trees.

    Parameters
    ----------
    jets : Jets
    n_tracks
        How many of the largest significances to keep.

    Returns
    -------
    float64 array, shape (N, 2 n_tracks + 3)
        The largest lifetime-signed significances of d0, falling; those of dz; number of tracks; ln of pt and
        mass [GeV]. Not-a-number where a jet has fewer tracks.
    """
    largest = [largest_significances(jets, n_tracks, name) for name in ("d0", "dz")]
    about = [jets.counts, np.log(jets.jet["pt"]), np.log1p(jets.jet["mass"])]
    return np.concatenate([*largest, np.stack(about, axis=1)], axis=1)


def train_displacement_trees(jets: Mapping[str, Jets]) -> TaggerResult:
    """Train boosted trees on `displacement_table`, tuned on the validation jets.

    Parameters
    ----------
    jets : mapping of "train", "val", "test" to Jets
    """
    start = time.perf_counter()
    jets = {name: sample[:_MOST_JETS] for name, sample in jets.items()}
    rows = {name: common.Rows(displacement_table(sample), sample.label) for name, sample in jets.items()}
    rows["test"] = rows["test"]._replace(weight=jets["test"].jet.get("weight"))
    return TaggerResult(**vars(train_trees(rows, CLASSES, len(CLASSES), start=start)))


def train_frozen_tagger(
    jets: Mapping[str, Jets], checkpoint: str = "v2_tiny", head: HeadKind = "logistic"
) -> TaggerResult:
    """Train a head on what a pretrained PET v2 makes of each jet, from momenta and impact parameters.

    Parameters
    ----------
    jets : mapping of "train", "val", "test" to Jets
    checkpoint
        Name or path of the pretrained network, which stays as it is.
    head

    Raises
    ------
    ConfigError
        When the checkpoint holds no PET v2.
    """
    settings = common.FrozenSettings(len(CLASSES), checkpoint, head)
    if settings.inputs != "pet_v2":
        raise ConfigError(f"'{checkpoint}' holds no PET v2; only that reads impact parameters")
    data = common.ClassifierData.from_jets(jets, inputs="pet_v2", use_pid=False, use_extra=True)
    return TaggerResult(**vars(common.train_frozen(data, settings)))
