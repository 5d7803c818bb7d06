"""Boosted decision trees on jet observables: what a tagger reaches without looking at particles."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import classification_metrics
from omnilearn_lab.observables import SIX, observables
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.classification import ClassifierResult
from omnilearn_lab.tasks.common.heads import Rows, fit_head


@settings
class BoostedTreesConfig:
    """What the trees see, and what is measured.

    Parameters
    ----------
    observables
        Names of `omnilearn_lab.observables.OBSERVABLES`.
    use_weights
        Whether the jets' weights count in loss and metrics.
    signal_efficiencies
        Where background rejections are measured.
    jet_radius
        R, when the jets' provenance does not know it.
    most_jets
        At most so many jets of each sample are looked at, the first ones: more teach six numbers nothing.
    """

    observables: Annotated[tuple[str, ...], Field(min_length=1)] = SIX
    use_weights: bool = True
    signal_efficiencies: tuple[float, ...] = (0.5, 0.3)
    jet_radius: Annotated[float, Field(gt=0)] | None = None
    most_jets: Annotated[int, Field(gt=0)] = 200_000


def train_boosted_trees(
    jets: Mapping[str, Jets], config: BoostedTreesConfig | None = None
) -> ClassifierResult:
    """Train gradient-boosted trees on observables of jets and measure them on other jets.

    Number, depth and rate of the trees are those with the smallest loss on the validation jets. An observable
    that a jet does not have (ln rho of a jet with no groomed mass) counts as missing: the trees learn on
    which side of a cut such jets go.

    Parameters
    ----------
    jets : mapping of "train", "val", "test" to Jets
        With labels 0 ... C - 1, all of which the training jets have; jets under further names are measured
        too.
    config : BoostedTreesConfig

    Returns
    -------
    ClassifierResult

    Raises
    ------
    JetsError
        When jets have no labels, or a class of other jets is not among the training jets.

    References
    ----------
    J. H. Friedman, Greedy function approximation, Annals of Statistics 29 (2001) 1189; histogram trees as in
    G. Ke et al., LightGBM, NeurIPS 2017.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> counts = np.tile([3, 6], 150)
    >>> cloud = {"pt": rng.uniform(1, 2, 1350), "energy": np.full(1350, 2.0)}
    >>> cloud |= {name: rng.normal(0, 0.1, 1350) for name in ("deta", "dphi")}
    >>> offsets = np.concatenate([[0], counts.cumsum()])
    >>> jet = {"pt": np.full(300, 9.0), "eta": np.zeros(300), "phi": np.zeros(300), "mass": np.ones(300)}
    >>> jets = Jets.build(cloud, offsets, jet | {"label": np.tile([0, 1], 150)})
    >>> splits = {"train": jets[:100], "val": jets[100:200], "test": jets[200:]}
    >>> bool(train_boosted_trees(splits, BoostedTreesConfig(jet_radius=0.8)).metrics.auc > 0.9)
    True
    """
    config, start = config or BoostedTreesConfig(), time.perf_counter()
    jets = {name: sample[: config.most_jets] for name, sample in jets.items()}
    rows = {name: _rows(sample, name, config) for name, sample in jets.items()}
    train, test = rows["train"], rows["test"]
    for name, sample in rows.items():
        if unseen := sorted(set(np.unique(sample.label)) - set(np.unique(train.label))):
            raise JetsError(f"{name} jets have labels {unseen}, which no training jet has; load more")
    n_classes = int(train.label.max()) + 1
    trees = fit_head(train, rows["val"], kind="trees", n_classes=n_classes)
    trained = time.perf_counter()
    names, efficiencies = jets["test"].class_names, config.signal_efficiencies
    probabilities = {name: trees.predict(rows[name].values) for name in rows if name not in ("train", "val")}
    metrics = {
        name: classification_metrics(
            guess,
            rows[name].label,
            weights=rows[name].weight,
            signal_efficiencies=efficiencies,
            class_names=names,
        )
        for name, guess in probabilities.items()
    }
    return ClassifierResult(
        probabilities["test"],
        metrics.pop("test"),
        test.label,
        test.weight,
        trees.val_loss,
        len(train.label),
        seconds_training=trained - start,
        seconds_evaluation=time.perf_counter() - trained,
        others=metrics,
    )


def _rows(jets: Jets, name: str, config: BoostedTreesConfig) -> Rows:
    """Observables as columns, not-a-number where a jet has none; labels and weights."""
    if "label" not in jets.jet:
        raise JetsError(f"the {name} jets have no labels: a classifier needs a jet column 'label'")
    values = observables(jets, config.observables, jet_radius=config.jet_radius)
    table = np.stack(list(values.values()), axis=1)
    weight = jets.jet.get("weight") if config.use_weights else None
    return Rows(np.where(np.isfinite(table), table, np.nan), jets.jet["label"], weight)
