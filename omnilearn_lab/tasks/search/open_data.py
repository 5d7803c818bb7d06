"""Searches in jets of open data: a data-like mixture, scores from pretraining classes, scans over cuts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.catalog import catalog
from omnilearn_lab.errors import ConfigError, JetsError, MetricError, nearest
from omnilearn_lab.features import pet_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import load_checkpoint, load_published, read_card
from omnilearn_lab.tasks.common.classification import predict
from omnilearn_lab.tasks.search.mass_fits import BumpHunt, MassFit, bump_hunt

__all__ = [
    "THREE_PRONG",
    "ClassProbabilities",
    "ScanPoint",
    "class_probabilities",
    "efficiency_scan",
    "inject",
]

THREE_PRONG = ("H4q", "Hqql", "Tbqq")
"""JetClass classes with three or more prongs."""


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
    values = predict(model, replace(pet_batch(jets, use_pid=use_pid), label=None, weight=None))
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


@dataclass(frozen=True, eq=False)
class ScanPoint:
    """A bump hunt in the most anomalous part of the data.

    Parameters
    ----------
    kept
        Share of the data that is kept.
    hunt : BumpHunt or None
        None where the sidebands are too thin for a fit; ``problem`` then says so.
    problem
    """

    kept: float
    hunt: BumpHunt | None
    problem: str = ""

    @property
    def significance(self) -> float:
        """Local significance in standard deviations; NaN without a fit."""
        return np.nan if self.hunt is None else self.hunt.significance


def efficiency_scan(
    masses: ArrayLike,
    scores: ArrayLike,
    signal_region: tuple[float, float],
    *,
    fit: MassFit | None = None,
    kept: Sequence[float] = (1.0, 0.3, 0.1, 0.05),
) -> tuple[ScanPoint, ...]:
    """Hunt a bump in shares of the data with the highest scores.

    A score that depends on the mass bends the spectrum: look at the fits' chi2 and at a background-only
    sample before believing an excess. Several cuts are several looks; the p-values are local.

    Parameters
    ----------
    masses, scores : array, shape (N,)
        [GeV]; a larger score is more anomalous.
    signal_region
        [GeV].
    fit : MassFit
    kept
        Shares of the data, as in the documentation of OmniLearned.

    Returns
    -------
    tuple of ScanPoint

    Raises
    ------
    MetricError
        For values that are not finite, different lengths, or shares outside (0, 1].
    """
    masses, scores = np.asarray(masses, dtype=float), np.asarray(scores, dtype=float)
    if masses.shape != scores.shape or masses.ndim != 1 or not len(masses):
        raise MetricError(f"masses and scores have shapes {masses.shape} and {scores.shape}; (N,) is needed")
    if not (np.isfinite(masses).all() and np.isfinite(scores).all()):
        raise MetricError("masses or scores are not finite; remove those jets")
    if not all(0 < share <= 1 for share in kept):
        raise MetricError(f"shares to keep are {tuple(kept)}; they must lie in (0, 1]")
    order = np.argsort(-scores, kind="stable")
    return tuple(
        _scan_point(masses[order[: round(share * len(order))]], share, signal_region, fit) for share in kept
    )


def _scan_point(
    masses: np.ndarray, share: float, signal_region: tuple[float, float], fit: MassFit | None
) -> ScanPoint:
    try:
        return ScanPoint(share, bump_hunt(masses, signal_region, fit))
    except MetricError as error:
        return ScanPoint(share, None, str(error))
