"""Jets of open data: a data-like mixture, its background, and a score from the pretraining classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from omnilearn_lab.catalog import LoadOptions, catalog, load
from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.features import pet_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import load_checkpoint, load_published, read_card
from omnilearn_lab.observables import observables
from omnilearn_lab.tasks.common.classification import predict
from omnilearn_lab.tasks.search.events import without_labels
from omnilearn_lab.tasks.search.mass_fits import MassWindow

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
    samples: OpenDataSamples,
    scores: tuple[np.ndarray, np.ndarray],
    kept: Sequence[float],
    window: MassWindow,
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
