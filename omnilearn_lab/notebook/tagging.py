"""What the tagging notebooks share: their sizes, their jets, and a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from omnilearn_lab.catalog import LoadOptions, load
from omnilearn_lab.display import label, signed
from omnilearn_lab.jets import Jets
from omnilearn_lab.notebook.profiles import ClassificationProfile
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.classification import ClassifierResult
from omnilearn_lab.tasks.common.networks import ClassifierSettings
from omnilearn_lab.tasks.common.records import ComparisonRecord

__all__ = [
    "NamedNetwork",
    "TaggingProfile",
    "TransferProfile",
    "jets_saved",
    "load_splits",
    "metric_lost",
    "verdict",
]


@dataclass(frozen=True)
class NamedNetwork:
    """A further network to train, under a name for tables and figures."""

    name: str
    settings: ClassifierSettings


@settings
class TaggingProfile(ClassificationProfile):
    """Sizes and settings of one tagging study.

    Parameters
    ----------
    others
        Variants of the dataset whose test jets the trained networks are also measured on.
    n_other
        Jets of each.
    max_particles
        Keep the hardest particles only; None keeps all.
    hidden
        Columns of particles or jets to leave out: species that the published files do not have, weights
        that the published study ignores.
    baselines
        Other networks to train on the same jets.
    baseline_seeds
        Their seeds.
    """

    others: tuple[str, ...] = ()
    n_other: int = 0
    max_particles: int | None = None
    hidden: tuple[str, ...] = ()
    baselines: tuple[NamedNetwork, ...] = ()
    baseline_seeds: tuple[int, ...] = (1,)

    @property
    def networks(self) -> dict[str, ClassifierSettings]:
        """The further networks by name, measured where the comparison is."""
        efficiencies = self.compare.signal_efficiencies
        return {b.name: replace(b.settings, signal_efficiencies=efficiencies) for b in self.baselines}


@settings
class TransferProfile:
    """The two studies of the notebook on full simulation."""

    cms: TaggingProfile
    atlas: TaggingProfile


def load_splits(dataset: str, profile: TaggingProfile, *, seed: int = 1) -> dict[str, Jets]:
    """Load the splits "train", "val" and "test" of a dataset, and the test jets of its other variants.

    Parameters
    ----------
    dataset
        Name in the catalogue.
    profile : TaggingProfile
        Source, sizes, variants, and columns to leave out.
    seed
        Of the simulation, or of the choice among published jets.

    Returns
    -------
    dict of str to Jets
        Splits first, then the variants by name.
    """
    sizes = {"train": profile.n_train, "val": profile.n_validation, "test": profile.n_test}
    wanted = {split: (split, n, None) for split, n in sizes.items()}
    wanted |= {variant: ("test", profile.n_other, variant) for variant in profile.others}
    return {
        name: _load(dataset, profile, split, n, variant, seed) for name, (split, n, variant) in wanted.items()
    }


def metric_lost(results: Sequence[ClassifierResult], metric: str = "auc") -> dict[str, list[float]]:
    """Return, per seed, a metric on the test jets minus that on each further set of jets, by its name."""
    tested = [(result.metrics.to_dict()[metric], result.others) for result in results]
    names = results[0].others if results else ()
    return {name: [value - others[name].to_dict()[metric] for value, others in tested] for name in names}


def jets_saved(sizes: Sequence[int], scratch: ArrayLike, finetuned: ArrayLike) -> dict[int, float]:
    """Return, for each size, how many times more jets training from scratch needs to do as well.

    The number of jets at which the mean of scratch training reaches that of fine-tuning with n jets, over n;
    between two sizes linear in the logarithm of the number of jets.

    Parameters
    ----------
    sizes
        Training jets, rising, shape (K,).
    scratch, finetuned : array, shape (S, K)
        A metric that grows as a tagger gets better, per seed; as from `LearningCurve.values`.

    Returns
    -------
    dict of int to float
        Infinite where scratch training does not get there with all its jets; 0 where fine-tuning is worse
        than scratch training with the fewest.

    Examples
    --------
    >>> jets_saved([100, 10_000], [[0.80, 0.90]], [[0.85, 0.95]])
    {100: 10.0, 10000: inf}
    """
    reached = np.maximum.accumulate(np.mean(scratch, axis=0))
    values = np.mean(finetuned, axis=0)
    return {
        int(n): round(_size_for(value, reached, sizes) / n, 9) for n, value in zip(sizes, values, strict=True)
    }


def verdict(
    record: ComparisonRecord,
    *,
    metrics: Sequence[str] = ("auc", "rejection_at_0.5"),
    published_speedup: float | None = None,
) -> str:
    """Say in words, from the numbers alone, what fine-tuning brought, and every further arm.

    Parameters
    ----------
    record : ComparisonRecord
    metrics
        Which of its metrics to speak of.
    published_speedup
        How many times fewer epochs the paper reports.

    Returns
    -------
    str
        One line per metric and arm, and one on speed when speed-ups were measured.

    Examples
    --------
    >>> record = ComparisonRecord(seeds=[1, 2], n_train=100, speedup_epochs=[2.0, 4.0],
    ...     metrics={"auc": {"scratch": [0.80, 0.82], "finetuned": [0.85, 0.88]}})
    >>> print(verdict(record, metrics=["auc"], published_speedup=3))
    auc: scratch 0.81, fine-tuned 0.865, gain +0.0550 ± 0.0050 (2 seeds): better
    epochs to scratch's best loss: 2.0 to 4.0 times fewer, reached in 2 of 2 seeds; the paper: 3 times
    """
    lines = [line for metric in metrics for line in _metric_lines(record, metric)]
    if record.speedup_epochs is not None:
        lines.append(_speed_line(record.speedup_epochs, published_speedup))
    return "\n".join(lines)


def _load(
    dataset: str, profile: TaggingProfile, split: str, n_jets: int, variant: str | None, seed: int
) -> Jets:
    options = LoadOptions(variant=variant, max_particles=profile.max_particles)
    jets = load(dataset, split, source=profile.source, max_jets=n_jets, seed=seed, options=options)
    particles, columns = (
        {name: values for name, values in table.items() if name not in profile.hidden}
        for table in (jets.particles, jets.jet)
    )
    return Jets(particles, jets.offsets, columns, jets.class_names, jets.provenance)


def _size_for(value: float, curve: np.ndarray, sizes: Sequence[int]) -> float:
    """Number of jets at which a rising curve reaches a value; 0 below its start, infinite above its end."""
    if value < curve[0]:
        return 0.0
    if value > curve[-1]:
        return math.inf
    above = int(np.searchsorted(curve, value))
    if above == 0:
        return float(sizes[0])
    share = (value - curve[above - 1]) / (curve[above] - curve[above - 1])
    return float(sizes[above - 1] * (sizes[above] / sizes[above - 1]) ** share)


def _metric_lines(record: ComparisonRecord, metric: str) -> list[str]:
    """Fine-tuned, and every further arm, against scratch."""
    arms = [arm for arm in record.metrics[metric] if arm != "scratch"]
    scratch = f"{metric}: scratch {_mean(record, metric, 'scratch')}, "
    return [scratch + _gain_text(record, metric, arm) for arm in arms]


def _gain_text(record: ComparisonRecord, metric: str, arm: str) -> str:
    text, gain = f"{label(arm)} {_mean(record, metric, arm)}", record.gain(metric, arm)
    if gain is None:
        return text
    n_limits = sum(record.n_lower_limits.get(kind, {}).get(metric, 0) for kind in ("scratch", arm))
    note = f"; {n_limits} of {2 * len(record.seeds)} values are lower limits" if n_limits else ""
    return f"{text}, gain {signed(gain.difference, gain.error)} ({gain.n} seeds): {gain.verdict}{note}"


def _mean(record: ComparisonRecord, metric: str, arm: str) -> str:
    return f"{np.nanmean(np.array(record.metrics[metric][arm], float)):.4g}"


def _speed_line(factors: Sequence[float | None], published: float | None) -> str:
    known = [factor for factor in factors if factor is not None]
    text = "epochs to scratch's best loss: "
    if known:
        text += f"{min(known):.1f} to {max(known):.1f} times fewer, "
    text += f"reached in {len(known)} of {len(factors)} seeds"
    return text + (f"; the paper: {published:g} times" if published is not None else "")
