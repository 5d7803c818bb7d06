"""Reweight one sample of jets to look like another, and measure how well that went."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.metrics import CalibrationCurve, calibration_curve, effective_sample_size
from omnilearn_lab.metrics.distances import TriangularDiscriminator
from omnilearn_lab.observables import SIX
from omnilearn_lab.tasks.reweighting.distances import DistanceChange, distance_changes, observables_of
from omnilearn_lab.tasks.reweighting.paired_sample import rows_of
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig, Sample, check_sample, check_weights
from omnilearn_lab.tasks.reweighting.reweighter import Reweighter, weights_of
from omnilearn_lab.training import History

__all__ = ["ReweightingResult", "measure", "reweight"]

_NUMBERS = ("effective_sample_size", "n_clipped", "seconds")


@dataclass(frozen=True, eq=False)
class ReweightingResult:
    """What a reweighting gave, measured on jets that it was not fitted to (if such were given).

    Parameters
    ----------
    weights : array, shape (N,)
        Of the measured source jets, their own weights included.
    distances : mapping of observable to DistanceChange
        Triangular discriminators to the target before and after.
    effective_sample_size
        Number of unweighted jets that the weighted source is worth.
    n_clipped
        Source jets whose logit was clipped.
    calibration : CalibrationCurve
        Of the classifier's probability, source and target having equal totals.
    history : History
    seconds
        Of fit and measurement.
    """

    weights: np.ndarray
    distances: Mapping[str, DistanceChange]
    effective_sample_size: float
    n_clipped: int
    calibration: CalibrationCurve
    history: History
    seconds: float

    def values(self) -> dict[str, float]:
        """Return flat numbers for a results file.

        Discriminators after reweighting, effective share of the jets, and calibration error.
        """
        after = {name: change.after.value for name, change in self.distances.items()}
        return after | {
            "effective_fraction": self.effective_sample_size / len(self.weights),
            "calibration_error": self.calibration.expected_calibration_error,
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to an ``.npz`` file (arrays and one JSON text, no pickles)."""
        path = Path(path).with_suffix(".npz")
        about = {
            "distances": {name: _plain(asdict(change)) for name, change in self.distances.items()},
            "calibration": _plain(asdict(self.calibration)),
            "history": self.history.records,
        }
        about |= {name: getattr(self, name) for name in _NUMBERS}
        partial = path.with_suffix(".part.npz")
        np.savez(partial, weights=self.weights, about=json.dumps(about))
        return partial.replace(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ReweightingResult:
        """Read what `save` wrote.

        Raises
        ------
        DataFileError
            When the file is missing or not one of these.
        """
        try:
            with np.load(path) as file:
                weights, about = file["weights"], json.loads(str(file["about"]))
        except (OSError, KeyError, ValueError) as error:
            raise DataFileError(
                f"'{path}' is no saved reweighting ({error}); give a file of save()"
            ) from error
        distances = {
            name: DistanceChange(
                **{when: TriangularDiscriminator(**_arrays(d)) for when, d in change.items()}
            )
            for name, change in about.pop("distances").items()
        }
        calibration = CalibrationCurve(**_arrays(about.pop("calibration")))
        history = History(about.pop("history"))
        return cls(weights, distances, calibration=calibration, history=history, **about)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays as lists, below any depth; not-a-number stays, as Python's JSON allows."""
    return {
        name: _plain(v) if isinstance(v, Mapping) else v.tolist() if isinstance(v, np.ndarray) else v
        for name, v in values.items()
    }


def _arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as arrays again; ``outside`` is a pair."""
    return {
        name: tuple(v) if name == "outside" else np.array(v) if isinstance(v, list) else v
        for name, v in values.items()
    }


def reweight(
    source: Sample,
    target: Sample,
    config: RatioConfig | None = None,
    *,
    evaluate: tuple[Sample, Sample] | None = None,
    edges: Mapping[str, np.ndarray] | None = None,
    run_directory: str | os.PathLike[str] | None = None,
) -> ReweightingResult:
    """Fit a `Reweighter` and measure it.

    Parameters
    ----------
    source, target : Jets, or table
        Jets bring their own weights.
    config : RatioConfig
    evaluate
        (source, target) to measure on; without it the fitted jets are used, which flatters.
    edges
        Bins of the observables to compare; `omnilearn_lab.tasks.reweighting.distances.observable_edges` by
        default for jets, twenty bins of each column for tables.
    run_directory
        As in `Reweighter.fit`.

    Returns
    -------
    ReweightingResult

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> result = reweight(rng.normal(0, 1, 4000), rng.normal(0.3, 1, 4000), RatioConfig(network="logistic"))
    >>> result.distances["column 0"].after.value < result.distances["column 0"].before.value
    True
    """
    start = time.perf_counter()
    for sample in evaluate or (source, target):  # an observable that is missing is noticed before training
        observables_of(rows_of(sample, np.arange(1)), list(edges or SIX))
    reweighter = Reweighter(config).fit(source, target, run_directory=run_directory)
    result = measure(reweighter, *(evaluate or (source, target)), edges=edges)
    return replace(result, seconds=time.perf_counter() - start)


def measure(
    reweighter: Reweighter,
    source: Sample,
    target: Sample,
    *,
    edges: Mapping[str, np.ndarray] | None = None,
) -> ReweightingResult:
    """Apply a fitted reweighter to source jets and compare them with target jets; see `reweight`."""
    samples = check_sample("source", source), check_sample("target", target)
    own = [
        check_weights(name, weights_of(s), len(s))
        for name, s in zip(("source", "target"), samples, strict=True)
    ]
    logits = [reweighter.logits(sample) for sample in samples]
    weights = own[0] * reweighter.predict(samples[0])
    return ReweightingResult(
        weights=weights,
        distances=distance_changes(samples, (own[0], own[1]), weights, edges=edges),
        effective_sample_size=effective_sample_size(weights),
        n_clipped=int(np.count_nonzero(np.abs(logits[0]) > reweighter.config.clip)),
        calibration=_calibration(logits, own),
        history=reweighter.history,
        seconds=0.0,
    )


def _calibration(logits: list[np.ndarray], weights: list[np.ndarray]) -> CalibrationCurve:
    probability = 0.5 * (1 + np.tanh(0.5 * np.concatenate(logits)))
    label = np.repeat([0, 1], [len(x) for x in logits])
    balanced = np.concatenate([w / w.sum() for w in weights])
    return calibration_curve(probability, label, weights=balanced, n_bins=20)
