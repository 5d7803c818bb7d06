"""Unfold one generator with another in every way of the papers' table, and measure the distances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from omnilearn_lab.display import label
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import Spread, spread
from omnilearn_lab.metrics.reweighting import TriangularDiscriminator
from omnilearn_lab.observables import SIX, observables
from omnilearn_lab.published import PublishedTable
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.common.comparison import Comparison, ComparisonRecord, ComparisonSettings, compare
from omnilearn_lab.tasks.common.networks import embed
from omnilearn_lab.tasks.reweighting.ratios import LINEAR, RatioConfig
from omnilearn_lab.tasks.reweighting.reweighter import discriminator, observable_edges, ratio_arms
from omnilearn_lab.tasks.reweighting.samples import PairedSample
from omnilearn_lab.tasks.unfolding.iterative import IBUConfig, IBUResult, bayesian_unfolding
from omnilearn_lab.tasks.unfolding.omnifold import OmniFold, OmniFoldConfig, UnfoldingResult
from omnilearn_lab.training import TrainConfig

Method = Literal["UniFold", "MultiFold", "scratch", "finetuned", "frozen"]
_TITLES = {
    "scratch": "OmniFold, scratch",
    "finetuned": "OmniFold, fine-tuned",
    "frozen": "OmniFold, frozen body",
}
_MERGED = (1, 2, 4, 5)  # bins of the discriminators that IBU may take together
_discriminator = partial(discriminator, uncertainty="none")  # values and floors are what is read here
_BELOW = 1.0  # undefined observables (ungroomed jets) get a value this far below the range


@settings
class UnfoldingMethods:
    """How every method is trained; all share iterations and seeds.

    Parameters
    ----------
    n_iterations
    clouds : ComparisonSettings
        Networks on particle clouds, from scratch and fine-tuned, and the seeds of all methods.
    later_epochs
        Epochs of every training from the second iteration on.
    tables : RatioConfig
        Networks of UniFold (one observable) and MultiFold (all six).
    later_table_epochs
        The same for those.
    frozen : RatioConfig, optional
        Of OmniFold on the embeddings by the checkpoint's frozen body and the six observables, a network for
        tables; None leaves it out.
    n_bootstrap
        Bootstrap repetitions of MultiFold, of the frozen body and of iterative Bayesian unfolding.
    names
        Which methods; IBU comes with all of them.
    n_particle_events
        Of the simulation and of the data each, the first so many go to the networks that train on particle
        clouds, which are slow; all others unfold everything. None gives all to those, too.
    """

    n_iterations: Annotated[int, Field(gt=0)] = 3
    clouds: ComparisonSettings = field(default_factory=ComparisonSettings)
    later_epochs: float = 1.0
    tables: RatioConfig = RatioConfig(network="mlp", training=TrainConfig(epochs=10, learning_rate=1e-3))
    later_table_epochs: float = 4.0
    frozen: RatioConfig | None = LINEAR
    n_bootstrap: Annotated[int, Field(ge=0)] = 10
    names: Annotated[tuple[Method, ...], Field(min_length=1)] = (
        "UniFold", "MultiFold", "scratch", "finetuned", "frozen",
    )  # fmt: skip
    n_particle_events: Annotated[int, Field(gt=0)] | None = None

    def arms(self) -> dict[str, OmniFoldConfig]:
        """Return how each method unfolds, by name: "UniFold", "MultiFold", and the arms of OmniFold."""
        table = self._config(self.tables, self.later_table_epochs)
        arms = {"UniFold": table, "MultiFold": replace(table, n_bootstrap=self.n_bootstrap)}
        arms |= {kind: self._config(c, self.later_epochs) for kind, c in ratio_arms(self.clouds).items()}
        if self.frozen is not None:
            frozen = self._config(self.frozen, self.later_table_epochs)
            arms["frozen"] = replace(frozen, n_bootstrap=self.n_bootstrap)
        return {name: arms[name] for name in self.names if name in arms}

    def _config(self, ratio: RatioConfig, later_epochs: float) -> OmniFoldConfig:
        later = replace(ratio.training, epochs=later_epochs, warmup_epochs=0.0)
        return OmniFoldConfig(ratio, later=later, n_iterations=self.n_iterations, seeds=self.clouds.seeds)


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


class UnfoldingProblem(NamedTuple):
    """What every method gets: simulation and data as clouds, tables and embedded jets; what to compare with.

    An embedded jet is what the frozen body makes of its particles, followed by its row of the table: a linear
    function of the embedding alone tells simulation and data apart less well, for want of tau_21.
    """

    clouds: tuple[PairedSample, Jets]
    tables: tuple[PairedSample, np.ndarray]
    embedded: tuple[PairedSample, np.ndarray] | None
    truth: Mapping[str, np.ndarray]
    prior: Mapping[str, np.ndarray]
    edges: Mapping[str, np.ndarray]

    def column(self, name: str) -> tuple[PairedSample, np.ndarray]:
        """Simulation and data of one observable."""
        i, (tables, seen) = list(self.edges).index(name), self.tables
        column = replace(tables, truth=tables.truth[:, i], detector=tables.detector[:, i])
        return column, seen[:, i]

    def distance(self, name: str, weights: np.ndarray | None) -> TriangularDiscriminator:
        """1000 times the discriminator between the truth and the simulation with weights."""
        return _discriminator(self.truth[name], self.prior[name], self.edges[name], weights=(None, weights))


@dataclass(frozen=True, eq=False)
class Unfolded:
    """One method with one seed.

    Parameters
    ----------
    results : mapping of observable to UnfoldingResult
        The same object for all observables, but for UniFold.
    distances : mapping of observable to float
        1000 times the discriminator to the truth after the last iteration.
    repetitions : mapping of observable to list of float
        The same in every bootstrap repetition; empty lists without any.
    """

    results: Mapping[str, UnfoldingResult]
    distances: Mapping[str, float]
    repetitions: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def n_train(self) -> int:
        """Simulated events that were unfolded."""
        return int(np.count_nonzero(next(iter(self.results.values())).prior))

    @property
    def smaller_is_better(self) -> tuple[str, ...]:
        """All distances."""
        return tuple(self.distances)

    def values(self) -> Mapping[str, float]:
        """Return the distances."""
        return self.distances


@dataclass(frozen=True, eq=False)
class UnfoldingStudy:
    """Results of `compare_unfoldings`.

    Parameters
    ----------
    problem
        Events and bins.
    trained : Comparison of Unfolded
        "UniFold", "MultiFold", and OmniFold from "scratch", "finetuned" and "frozen".
    ibu : mapping of observable to IBUResult
        With the binning that comes nearest to the truth: the baseline at its best.
    """

    problem: UnfoldingProblem
    trained: Comparison[Unfolded]
    ibu: Mapping[str, IBUResult]

    @property
    def edges(self) -> Mapping[str, np.ndarray]:
        """Bins of the discriminators and of IBU, by observable."""
        return self.problem.edges

    @property
    def truth(self) -> Mapping[str, np.ndarray]:
        """Observables of the events to compare with."""
        return self.problem.truth

    @property
    def prior(self) -> Mapping[str, np.ndarray]:
        """Observables of the simulated events that pass the particle-level selection."""
        return self.problem.prior

    @property
    def methods(self) -> dict[str, str]:
        """Title of each trained method for tables and figures, by the name of its arm."""
        return {arm: _TITLES.get(arm, arm) for arm in self.trained.results}

    def result(self, arm: str, observable: str = "mass") -> UnfoldingResult:
        """Return the unbinned result that a trained method has for an observable, a member per seed."""
        return UnfoldingResult.join([run.results[observable] for run in self.trained.of(arm)])

    def weights(self, arm: str, observable: str = "mass", iteration: int = -1) -> np.ndarray:
        """Return weights of the events of ``prior``, shape (seeds, N)."""
        result = self.result(arm, observable)
        return result.ensemble_weights(iteration)[:, result.pass_truth]

    def mean_weights(self, arms: Sequence[str]) -> dict[str, np.ndarray]:
        """Return weights of the events of ``prior``, averaged over seeds, by the methods' titles."""
        return {self.methods[arm]: self.weights(arm).mean(axis=0) for arm in arms}

    def n_events(self) -> dict[str, int]:
        """Return how many simulated events each method unfolded, by its title."""
        trained = {title: self.trained.of(arm)[0].n_train for arm, title in self.methods.items()}
        return {"IBU": len(self.problem.tables[0])} | trained

    def before(self, observable: str) -> TriangularDiscriminator:
        """Return 1000 times the discriminator between the simulation and the truth."""
        return self.problem.distance(observable, None)

    def spread(self, method: str, observable: str) -> Spread:
        """Return mean and spread over seeds, for "IBU" the nominal value; bootstrap spreads in quadrature."""
        if method != "IBU":
            seeds, first = self.trained.spread(method, observable), self.trained.of(method)[0]
            repeated = first.repetitions.get(observable, ())
            if len(repeated) < 2:
                return seeds
            return replace(seeds, std=float(np.hypot(np.nan_to_num(seeds.std), spread(repeated).std)))
        truth, edges = self.truth[observable], self.edges[observable]
        centers, result = 0.5 * (edges[1:] + edges[:-1]), self.ibu[observable]
        nominal, *others = (
            _discriminator(truth, centers, edges, weights=(None, h)).value
            for h in (result.values, *result.bootstrap)
        )
        return replace(spread(others if len(others) > 1 else [nominal, *others]), mean=nominal)

    def no_worse(self, method: str, than: str = "IBU") -> list[str]:
        """Return the observables in which a method is no farther from the truth than another, within errors.

        Within errors: the difference of the means is at most both spreads in quadrature.
        """
        pairs = {name: [self.spread(m, name) for m in (method, than)] for name in self.edges}
        return [
            name
            for name, (ours, theirs) in pairs.items()
            if ours.mean - theirs.mean <= np.hypot(*np.nan_to_num([ours.std, theirs.std]))
        ]

    def nearest(self) -> dict[str, str]:
        """Return the title of the method with the smallest mean distance, by observable."""
        table = self.by_observable()
        return {name: min(table, key=lambda title: table[title][name].mean) for name in self.edges}

    def judged(self) -> str:
        """Say in words how each method does beside IBU in its best binning, and which is nearest."""
        nearest, n = list(self.nearest().values()), len(self.edges)
        lines = [
            f"{title}: no farther than IBU within errors in {len(self.no_worse(arm))} of {n} observables, "
            f"nearest of all in {nearest.count(title)}"
            for arm, title in self.methods.items()
        ]
        return "\n".join([*lines, f"IBU: nearest of all in {nearest.count('IBU')}"])

    def levels(self) -> dict[str, dict[str, float]]:
        """Return what distances are seen against: the one before unfolding, and the floors, by events."""
        before = {name: self.before(name) for name in self.edges}
        kinds = {"before": "value", "floor": "floor"}
        levels = {title: {n: getattr(d, kind) for n, d in before.items()} for title, kind in kinds.items()}
        for runs in self.trained.results.values():
            result = next(iter(runs[0].results.values()))
            used = result.prior[result.pass_truth] != 0
            if not used.all():
                title = f"floor, {runs[0].n_train:,} events"
                levels[title] = {n: self.problem.distance(n, used.astype(float)).floor for n in self.edges}
        return levels

    def record(self, published: PublishedTable | None = None) -> ComparisonRecord:
        """Return what a results file holds: every trained method, and IBU in its best binning beside them."""
        ibu = Unfolded({}, {name: self.spread("IBU", name).mean for name in self.edges})
        return self.trained.beside("IBU", ibu).record(published)

    def by_observable(self) -> dict[str, dict[str, Spread]]:
        """Return title to observable to distance, for ``plotting.metric_bars`` and published tables."""
        titles = {"IBU": "IBU"} | self.methods
        return {title: {name: self.spread(m, name) for name in self.edges} for m, title in titles.items()}

    def table(self) -> pd.DataFrame:
        """Return 1000 times the distance to the truth of every method, by observable."""
        columns = {
            title: {name: str(s) for name, s in row.items()} for title, row in self.by_observable().items()
        }
        levels = {title: {n: f"{v:.2f}" for n, v in row.items()} for title, row in self.levels().items()}
        first = {"before": levels.pop("before")}
        table = pd.DataFrame(first | columns | levels).rename(index=label)
        table.loc["simulated events"] = pd.Series({title: f"{n:,}" for title, n in self.n_events().items()})
        return table.fillna("")

    def by_iteration(self, names: Sequence[str]) -> pd.DataFrame:
        """Return the mean distance over seeds after every iteration, a row per observable and method."""
        rows = {
            (label(name), title): {
                f"iteration {i + 1}": np.mean(
                    [self.problem.distance(name, w).value for w in self.weights(arm, name, i)]
                ).round(2)
                for i in range(self._n_iterations)
            }
            for name in names
            for arm, title in self.methods.items()
        }
        return pd.DataFrame(rows).T

    def explorer(self) -> dict[str, Any]:
        """Return the arguments of `omnilearn_lab.widgets.UnfoldingExplorer`."""
        steps = range(self._n_iterations)
        return {
            "truth": self.truth,
            "prior": self.prior,
            "edges": self.edges,
            "weights": {
                title: {n: np.stack([self.weights(arm, n, i) for i in steps]) for n in self.edges}
                for arm, title in self.methods.items()
            },
            "binned": {"IBU": {name: result.iterations for name, result in self.ibu.items()}},
        }

    @property
    def _n_iterations(self) -> int:
        return len(next(iter(self.ibu.values())).iterations)


class QuantityDistance(NamedTuple):
    """1000 times the discriminator to the truth before and after weights, and its floor."""

    before: float
    after: float
    floor: float

    def __str__(self) -> str:
        return f"{self.before:.1f} -> {self.after:.1f} (floor {self.floor:.1f})"


def distance_to_truth(
    truth: np.ndarray, values: np.ndarray, weights: np.ndarray, *, n_bins: int = 20
) -> QuantityDistance:
    """Compare any quantity, in bins of equal numbers of the truth's jets.

    Parameters
    ----------
    truth : array, shape (M,)
    values, weights : array, shape (N,)
    n_bins
    """
    good, other = np.isfinite(values), truth[np.isfinite(truth)]
    edges = np.unique(np.quantile(other, np.linspace(0, 1, n_bins + 1)))
    before, after = (
        _discriminator(other, values[good], edges, weights=(None, w)) for w in (None, weights[good])
    )
    return QuantityDistance(before.value, after.value, after.floor)


def compare_unfoldings(
    simulation: PairedSample,
    data: PairedSample,
    methods: UnfoldingMethods,
    *,
    truth: PairedSample | None = None,
    edges: Mapping[str, np.ndarray] | None = None,
    **options: Any,
) -> UnfoldingStudy:
    """Unfold the detector level of ``data`` with every method; its particle level is never shown to them.

    Parameters
    ----------
    simulation, data : PairedSample
        Of jets.
    methods : UnfoldingMethods
    truth : PairedSample, optional
        Independent events of the data's generator, whose particle level is the truth to compare with. By
        default that of the data themselves, which share their fluctuations with what is unfolded: with
        few events, that favours methods that follow them.
    edges
        Bins; the published ones by default.
    **options
        ``workers``, ``directory``, ``progress`` of `omnilearn_lab.tasks.common.compare`.

    Returns
    -------
    UnfoldingStudy
    """
    checkpoint = methods.clouds.checkpoint if "frozen" in methods.arms() else None
    problem = _problem(
        (simulation, data, truth or data),
        dict(edges or observable_edges()),
        methods.n_particle_events,
        partial(embed, checkpoint=checkpoint, workers=options.get("workers")) if checkpoint else None,
    )
    arms = methods.arms()
    slow_first = {name: (name, arms[name]) for name in reversed(arms)}
    trained = compare(
        partial(_unfold, problem),
        slow_first,
        seeds=methods.clouds.seeds,
        **{"progress": "unfoldings"} | options,
    ).select({name: name for name in arms})
    config = IBUConfig(methods.n_iterations, methods.n_bootstrap)
    return UnfoldingStudy(
        problem, trained, {name: _best_ibu(problem, name, config) for name in problem.edges}
    )


def _best_ibu(problem: UnfoldingProblem, name: str, config: IBUConfig) -> IBUResult:
    """IBU in the bins of the discriminator, or in several of them together, whatever is nearest the truth."""
    edges, (simulation, seen) = problem.edges[name], problem.column(name)
    widths = [k for k in _MERGED if (len(edges) - 1) % k == 0]
    results = [bayesian_unfolding(simulation, seen, edges[::k], config=config) for k in widths]
    fine = [result.refined(edges, results[0].response.prior) for result in results]
    truth, centers = problem.truth[name], 0.5 * (edges[1:] + edges[:-1])
    return min(fine, key=lambda r: _discriminator(truth, centers, edges, weights=(None, r.values)).value)


def _problem(
    samples: tuple[PairedSample, PairedSample, PairedSample],
    edges: Mapping[str, np.ndarray],
    n_particle_events: int | None,
    embed_jets: Callable[[Jets], np.ndarray] | None,
) -> UnfoldingProblem:
    simulation, data, truth = samples
    names, seen = list(edges), data.detector[data.pass_detector]
    some, measured = (s.select(np.arange(len(s))[:n_particle_events]) for s in (simulation, data))
    clouds = (some, measured.detector[measured.pass_detector])
    every, n = Jets.concatenate([simulation.truth, simulation.detector, seen]), len(simulation)

    def both(rows: np.ndarray) -> tuple[PairedSample, np.ndarray]:
        return replace(simulation, truth=rows[:n], detector=rows[n : 2 * n]), rows[2 * n :]

    table = table_of(every, names)
    embedded = both(np.hstack([embed_jets(every), table])) if embed_jets else None
    compared = (observables(s.truth[s.pass_truth], names) for s in (truth, simulation))
    return UnfoldingProblem(clouds, both(table), embedded, *compared, edges)


def _unfold(
    problem: UnfoldingProblem, method: tuple[str, OmniFoldConfig], seed: int, run_directory: Path | None
) -> Unfolded:
    """One method with one seed; only the first seed has bootstrap repetitions."""
    name, config = method
    n_bootstrap = config.n_bootstrap if seed == config.seeds[0] else 0
    config = replace(config, seeds=(seed,), n_bootstrap=n_bootstrap)
    if name == "UniFold":
        folders = {n: run_directory and run_directory / n for n in problem.edges}
        results = {
            n: OmniFold(config, run_directory=folders[n]).fit(*problem.column(n)) for n in problem.edges
        }
    else:
        tables = problem.embedded if name == "frozen" else problem.tables
        events = tables if config.step1.reads_tables else problem.clouds
        result = OmniFold(config, run_directory=run_directory).fit(*events)
        results = dict.fromkeys(problem.edges, _among(problem.tables[0], result))
    sets = {n: np.stack([r.particle_weights(), *r.bootstrap])[:, r.pass_truth] for n, r in results.items()}
    distances = {n: [problem.distance(n, w).value for w in ws] for n, ws in sets.items()}
    return Unfolded(results, *({n: d[which] for n, d in distances.items()} for which in (0, slice(1, None))))


def _among(simulation: PairedSample, result: UnfoldingResult) -> UnfoldingResult:
    """Add the events of the simulation that a method did not get, after its own, with weight zero."""
    n_more, passed = len(simulation) - len(result), ("pass_truth", "pass_detector")
    columns = {name: getattr(result, name) for name in ("prior", "push", "pull", "bootstrap")}
    padded = {k: np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, n_more)]) for k, x in columns.items()}
    return replace(result, **padded, **{name: getattr(simulation, name) for name in passed})
