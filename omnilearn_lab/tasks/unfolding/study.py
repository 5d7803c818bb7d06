"""Unfold one generator with another in every way of the papers' table, and measure the distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.metrics import Spread, spread
from omnilearn_lab.observables import SIX, observables
from omnilearn_lab.published import PublishedTable
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.records import KINDS, ComparisonRecord, published_numbers
from omnilearn_lab.tasks.reweighting.distances import discriminator, observable_edges
from omnilearn_lab.tasks.reweighting.paired_sample import PairedSample
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig, Sample
from omnilearn_lab.tasks.reweighting.study import CompareRatios
from omnilearn_lab.tasks.unfolding.iterative import IBUConfig, IBUResult, bayesian_unfolding
from omnilearn_lab.tasks.unfolding.omnifold import OmniFold, OmniFoldConfig
from omnilearn_lab.tasks.unfolding.result import UnfoldingResult
from omnilearn_lab.training import TrainConfig

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "METHODS",
    "CompareUnfoldings",
    "UnfoldingComparison",
    "UnfoldingProfile",
    "compare_unfoldings",
    "distance_to_truth",
    "table_of",
]

_PET = {"scratch": "OmniFold, scratch", "finetuned": "OmniFold, fine-tuned"}
METHODS = ("IBU", "UniFold", "MultiFold", *_PET.values())
"""Ways of unfolding, in the order of the papers' table."""
_BELOW = 1.0  # undefined observables (ungroomed jets) get a value this far below the range


@settings
class CompareUnfoldings:
    """How every method is trained; all share iterations, seeds and events.

    Parameters
    ----------
    n_iterations
    clouds : CompareRatios
        Networks on particle clouds, from scratch and fine-tuned, and the seeds of all methods.
    later_epochs
        Epochs of every training from the second iteration on.
    tables : RatioConfig
        Networks of UniFold (one observable) and MultiFold (all six).
    later_table_epochs
        The same for those.
    n_bootstrap
        Bootstrap repetitions of MultiFold and of iterative Bayesian unfolding.
    """

    n_iterations: int = 3
    clouds: CompareRatios = field(default_factory=CompareRatios)
    later_epochs: float = 1.0
    tables: RatioConfig = RatioConfig(network="mlp", training=TrainConfig(epochs=10, learning_rate=1e-3))
    later_table_epochs: float = 4.0
    n_bootstrap: int = 10

    def cloud(self, kind: str, seed: int) -> OmniFoldConfig:
        """Return the settings of OmniFold on clouds; ``kind`` is "scratch" or "finetuned"."""
        return self._config(self.clouds.ratio(kind), self.later_epochs, seed)

    def table(self, seed: int, n_bootstrap: int = 0) -> OmniFoldConfig:
        """Return the settings of UniFold and MultiFold."""
        config = self._config(self.tables, self.later_table_epochs, seed)
        return replace(config, n_bootstrap=n_bootstrap)

    def _config(self, ratio: RatioConfig, later_epochs: float, seed: int) -> OmniFoldConfig:
        later = replace(ratio.training, epochs=later_epochs, warmup_epochs=0.0)
        return OmniFoldConfig(ratio, later=later, n_iterations=self.n_iterations, seeds=(seed,))


@settings
class UnfoldingProfile:
    """Sizes of the unfolding notebook.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_events
        Of the simulation, and of the data.
    n_truth
        Further events of the data's generator, whose particle level is what results are compared with.
    min_pt
        Jets need more than this at either level [GeV].
    n_bins
        Bins of the triangular discriminators and of IBU; None takes the published ones.
    compare : CompareUnfoldings
    n_dis
        Deep-inelastic events of either generator.
    dis : TrainConfig
        Networks on whole events, from scratch.
    """

    source: str
    n_events: int
    n_truth: int
    min_pt: float
    n_bins: int | None = None
    compare: CompareUnfoldings = field(default_factory=CompareUnfoldings)
    n_dis: int = 1000
    dis: TrainConfig = field(default_factory=TrainConfig)


def table_of(jets: Jets, names: Sequence[str] = SIX) -> np.ndarray:
    """Return observables as a table, shape (N, K); undefined ones get a value just below their range.

    Ungroomed jets have no ln rho, and none is lost: they share one value that networks can learn.
    """
    values, edges = observables(jets, list(names)), observable_edges()
    columns = [
        np.where(np.isfinite(values[n]), values[n], edges[n][0] - _BELOW if n in edges else 0.0)
        for n in names
    ]
    return np.stack(columns, axis=1)


@dataclass(frozen=True, eq=False)
class UnfoldingComparison:
    """Results of `compare_unfoldings`.

    Parameters
    ----------
    config : CompareUnfoldings
    edges : mapping of observable to array
        Bins of the discriminators and of IBU.
    truth, prior : mapping of observable to array
        Of the events to compare with and of the simulated ones that pass the particle-level selection.
    ibu : mapping of observable to IBUResult
    unfold : mapping of method to result, or to one per observable
        "MultiFold" and both OmniFolds: one `UnfoldingResult` with a member per seed. "UniFold": a
        mapping of observable to result.
    """

    config: CompareUnfoldings
    edges: Mapping[str, np.ndarray]
    truth: Mapping[str, np.ndarray]
    prior: Mapping[str, np.ndarray]
    ibu: Mapping[str, IBUResult]
    unfold: Mapping[str, Any]

    def result(self, method: str, observable: str) -> UnfoldingResult:
        """Return the unbinned result that a method has for an observable."""
        found = self.unfold[method]
        return found[observable] if isinstance(found, Mapping) else found

    def weights(self, method: str, observable: str, iteration: int = -1) -> np.ndarray:
        """Return weights of the events of ``prior``, shape (seeds, N)."""
        result = self.result(method, observable)
        return result.ensemble_weights(iteration)[:, result.pass_truth]

    def distances(self, method: str, observable: str, iteration: int = -1) -> list[float]:
        """Return 1000 times the discriminator to the truth: per seed, or per bootstrap repetition for IBU.

        The first value of IBU is the nominal one.
        """
        truth, edges = self.truth[observable], self.edges[observable]
        if method == "IBU":
            histograms = [self.ibu[observable].iterations[iteration], *self.ibu[observable].bootstrap]
            centers = 0.5 * (edges[1:] + edges[:-1])
            return [discriminator(truth, centers, edges, weights=(None, h)).value for h in histograms]
        values = self.prior[observable]
        return [
            discriminator(truth, values, edges, weights=(None, w)).value
            for w in self.weights(method, observable, iteration)
        ]

    def spread(self, method: str, observable: str) -> Spread:
        """Return mean and spread: over seeds, or nominal value and bootstrap spread for IBU."""
        values = self.distances(method, observable)
        if method != "IBU":
            return spread(values)
        return replace(spread(values[1:] if len(values) > 2 else values), mean=values[0])

    def before(self, observable: str) -> float:
        """Return 1000 times the discriminator between the simulation and the truth."""
        return discriminator(self.truth[observable], self.prior[observable], self.edges[observable]).value

    def no_worse(self, method: str, than: str = "IBU") -> list[str]:
        """Return the observables in which a method is no farther from the truth than another, within errors.

        Within errors: the difference of the means is at most both spreads in quadrature.
        """
        found = []
        for name in self.edges:
            ours, theirs = self.spread(method, name), self.spread(than, name)
            if ours.mean - theirs.mean <= np.hypot(np.nan_to_num(ours.std), np.nan_to_num(theirs.std)):
                found.append(name)
        return found

    def table(self) -> pd.DataFrame:
        """Return 1000 times the distance to the truth of every method, by observable."""
        import pandas as pd

        rows = {}
        for name in self.edges:
            cells = {m: self.spread(m, name) for m in ("IBU", *self.unfold)}
            floor = discriminator(self.truth[name], self.prior[name], self.edges[name]).floor
            rows[name] = (
                {"before": f"{self.before(name):.2f}"}
                | {m: f"{s.mean:.2f} ± {np.nan_to_num(s.std):.2f}" for m, s in cells.items()}
                | {"floor": f"{floor:.2f}"}
            )
        return pd.DataFrame(rows).T

    def by_observable(self) -> dict[str, dict[str, Spread]]:
        """Return method to observable to distance, for ``plotting.metric_bars`` and published tables."""
        return {m: {name: self.spread(m, name) for name in self.edges} for m in ("IBU", *self.unfold)}

    def by_iteration(self, names: Sequence[str]) -> pd.DataFrame:
        """Return the mean distance over seeds after every iteration, a row per method and observable."""
        import pandas as pd

        columns = {f"iteration {i + 1}": i for i in range(self.config.n_iterations)}
        rows = {
            (name, method): {k: np.mean(self.distances(method, name, i)).round(2) for k, i in columns.items()}
            for name in names
            for method in self.unfold
        }
        return pd.DataFrame(rows).T

    def explorer(self) -> dict[str, Any]:
        """Return the arguments of `omnilearn_lab.widgets.UnfoldingExplorer`."""
        steps = range(self.config.n_iterations)
        return {
            "truth": self.truth,
            "prior": self.prior,
            "edges": self.edges,
            "weights": {
                method: {n: np.stack([self.weights(method, n, i) for i in steps]) for n in self.edges}
                for method in self.unfold
            },
            "binned": {"IBU": {name: result.iterations for name, result in self.ibu.items()}},
        }

    def record(self, published: PublishedTable | None = None) -> ComparisonRecord:
        """Return what a results file holds: scratch and fine-tuned clouds, and the other methods beside."""
        kinds = dict(zip(_PET.values(), KINDS, strict=True))
        metrics = {
            name: {kinds.get(m, m): self.distances(m, name) for m in self.unfold} for name in self.edges
        }
        return ComparisonRecord(
            seeds=list(self.config.clouds.seeds),
            n_train=len(self.result(_PET["scratch"], "mass")),
            metrics=metrics,
            smaller_is_better=list(metrics),
            published={} if published is None else published_numbers(published),
        )


def distance_to_truth(
    truth: np.ndarray, values: np.ndarray, weights: np.ndarray, *, n_bins: int = 20
) -> tuple[float, float, float]:
    """Compare any quantity: 1000 times the discriminator before and after weights, and its floor.

    Bins hold equal numbers of the truth's jets.

    Parameters
    ----------
    truth : array, shape (M,)
    values, weights : array, shape (N,)
    n_bins
    """
    good, other = np.isfinite(values), truth[np.isfinite(truth)]
    edges = np.unique(np.quantile(other, np.linspace(0, 1, n_bins + 1)))
    before, after = (
        discriminator(other, values[good], edges, weights=(None, w)) for w in (None, weights[good])
    )
    return before.value, after.value, after.floor


def compare_unfoldings(
    simulation: PairedSample,
    data: PairedSample,
    config: CompareUnfoldings,
    *,
    truth: PairedSample | None = None,
    edges: Mapping[str, np.ndarray] | None = None,
    workers: int | None = None,
) -> UnfoldingComparison:
    """Unfold the detector level of ``data`` with every method; its particle level is never shown to them.

    Parameters
    ----------
    simulation, data : PairedSample
        Of jets.
    config : CompareUnfoldings
    truth : PairedSample, optional
        Independent events of the data's generator, whose particle level is the truth to compare with. By
        default that of the data themselves, which share their fluctuations with what is unfolded: with
        few events, that favours methods that follow them.
    edges
        Bins; the published ones by default.
    workers
        Processes; all usable cores by default.

    Returns
    -------
    UnfoldingComparison
    """
    edges = dict(edges or observable_edges())
    names = list(edges)
    seen = data.detector[data.pass_detector]
    tables = replace(
        simulation, truth=table_of(simulation.truth, names), detector=table_of(simulation.detector, names)
    )
    seen_table = table_of(seen, names)
    jobs = _jobs((simulation, seen), (tables, seen_table), names, config)
    runs = run_jobs(_unfold, jobs, workers=workers, title="unfoldings")
    joined = {
        key: UnfoldingResult.join([runs[(*key, seed)] for seed in config.clouds.seeds])
        for key in dict.fromkeys(job[:2] for job in jobs)
    }
    unfold = {"UniFold": {name: joined["UniFold", name] for name in names}}
    unfold |= {method: joined[method, ""] for method in METHODS if (method, "") in joined}
    ibu = {
        name: bayesian_unfolding(
            _column(tables, i),
            seen_table[:, i],
            edges[name],
            config=IBUConfig(config.n_iterations, config.n_bootstrap),
        )
        for i, name in enumerate(names)
    }
    levels = (observables(s.truth[s.pass_truth], names) for s in (truth or data, simulation))
    return UnfoldingComparison(config, edges, *levels, ibu, unfold)


def _jobs(
    clouds: tuple[PairedSample, Jets],
    tables: tuple[PairedSample, np.ndarray],
    names: Sequence[str],
    config: CompareUnfoldings,
) -> dict[tuple[str, str, int], tuple[Any, ...]]:
    """Every training, the longest first: (method, observable, seed) to arguments."""
    jobs: dict[tuple[str, str, int], tuple[Any, ...]] = {}
    seeds = config.clouds.seeds
    for seed in seeds:
        for kind, method in _PET.items():
            jobs[method, "", seed] = (*clouds, config.cloud(kind, seed))
    for number, seed in enumerate(seeds):
        jobs["MultiFold", "", seed] = (*tables, config.table(seed, 0 if number else config.n_bootstrap))
        for i, name in enumerate(names):
            jobs["UniFold", name, seed] = (_column(tables[0], i), tables[1][:, i], config.table(seed))
    return jobs


def _column(tables: PairedSample, i: int) -> PairedSample:
    return replace(tables, truth=tables.truth[:, i], detector=tables.detector[:, i])


def _unfold(simulation: PairedSample, data: Sample, config: OmniFoldConfig) -> UnfoldingResult:
    return OmniFold(config).fit(simulation, data)
