"""Flavour taggers that train no network: boosted trees on displacements, and a head on a frozen body."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.tasks.common.classification import ClassifierData, measure
from omnilearn_lab.tasks.common.classifiers import FrozenSettings, train_frozen
from omnilearn_lab.tasks.common.heads import HeadKind, Rows, fit_head
from omnilearn_lab.tasks.flavour.inputs import CLASSES, largest_significances
from omnilearn_lab.tasks.flavour.taggers import TaggerResult

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
    rows = {name: Rows(displacement_table(sample), sample.label) for name, sample in jets.items()}
    trees = fit_head(rows["train"], rows["val"], kind="trees", n_classes=len(CLASSES))
    seconds = time.perf_counter() - start
    data = ClassifierData.from_jets(jets, inputs="pet_v2", use_pid=False)  # for the labels
    result = measure(
        data,
        lambda _: trees.predict(rows["test"].values),
        (0.5, 0.3),
        best_val_loss=trees.val_loss,
        n_train=len(jets["train"]),
        seconds_training=seconds,
    )
    return TaggerResult(**vars(result))


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
    settings = FrozenSettings(len(CLASSES), checkpoint, head)
    if settings.inputs != "pet_v2":
        raise ConfigError(f"'{checkpoint}' holds no PET v2; only that reads impact parameters")
    data = ClassifierData.from_jets(jets, inputs="pet_v2", use_pid=False, use_extra=True)
    return TaggerResult(**vars(train_frozen(data, settings)))
