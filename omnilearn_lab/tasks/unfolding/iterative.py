"""Iterative Bayesian unfolding of one observable in bins: what unbinned methods are measured against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import weighted_hist
from omnilearn_lab.settings import settings
from omnilearn_lab.tasks.reweighting.samples import PairedSample, check_weights

if TYPE_CHECKING:
    import hist


@settings
class IBUConfig:
    """Settings of `bayesian_unfolding`.

    Parameters
    ----------
    n_iterations
    n_bootstrap
        Repetitions with Poisson(1) weights of the data, for the statistical uncertainty.
    normalise
        Scale the simulation to the total of the data first, as OmniFold does.
    seed
        Of the repetitions.
    """

    n_iterations: Annotated[int, Field(gt=0)] = 3
    n_bootstrap: Annotated[int, Field(ge=0)] = 50
    normalise: bool = True
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Response:
    r"""What the detector does to K particle-level bins, seen in L detector-level bins.

    Parameters
    ----------
    migration : array, shape (L, K)
        :math:`R_{ij} = P(\text{seen in } i \mid \text{true in } j)`; columns sum to the efficiency.
    prior : array, shape (K,)
        The simulation's particle level.
    fakes : array, shape (L,)
        Expected entries at detector level that belong to no particle-level bin.

    Examples
    --------
    >>> sample = PairedSample(np.array([0.5, 0.5, 1.5, 1.5]), np.array([0.5, 1.5, 1.5, 9.0]))
    >>> Response.of(sample, np.array([0.0, 1.0, 2.0])).migration
    array([[0.5, 0. ],
           [0.5, 0.5]])
    """

    migration: np.ndarray
    prior: np.ndarray
    fakes: np.ndarray

    @classmethod
    def of(
        cls, sample: PairedSample, edges: np.ndarray, detector_edges: np.ndarray | None = None
    ) -> Response:
        """Count simulated events, by bins of one observable at both levels.

        An event outside the range of a level counts as not passing that level.

        Raises
        ------
        JetsError
            When a level holds more than one observable.
        """
        edges_of = {"truth": edges, "detector": edges if detector_edges is None else detector_edges}
        bins = {
            level: _bins(getattr(sample, level), edges_of[level], getattr(sample, f"pass_{level}"))
            for level in edges_of
        }
        n_truth, n_detector = (len(edges_of[level]) - 1 for level in ("truth", "detector"))
        table = np.zeros((n_detector + 1, n_truth + 1))  # the last of each: not passed
        np.add.at(table, (bins["detector"], bins["truth"]), sample.weight)
        prior = table[:, :-1].sum(axis=0)
        migration = np.divide(table[:-1, :-1], prior, out=np.zeros((n_detector, n_truth)), where=prior > 0)
        return cls(migration, prior, table[:-1, -1])

    @property
    def efficiency(self) -> np.ndarray:
        """Probability to be seen at all, shape (K,)."""
        return self.migration.sum(axis=0)

    def fold(self, truth: np.ndarray) -> np.ndarray:
        """Return what the detector shows of a particle-level histogram, fakes included, shape (L,)."""
        return self.migration @ truth + self.fakes

    def unfold(self, data: np.ndarray, n_iterations: int) -> np.ndarray:
        r"""Return the estimates of all iterations, shape (I, K).

        .. math:: t_j \leftarrow \frac{t_j}{\epsilon_j} \sum_i R_{ij} \frac{d_i}{\sum_k R_{ik} t_k + f_i}

        Bins that the simulation never reconstructs keep their prior.
        """
        truth, estimates = self.prior, []
        for _ in range(n_iterations):
            folded = self.fold(truth)
            ratio = np.divide(data, folded, out=np.zeros_like(folded), where=folded > 0)
            update = np.divide(
                self.migration.T @ ratio, self.efficiency, out=np.ones_like(truth), where=self.efficiency > 0
            )
            truth = truth * update
            estimates.append(truth)
        return np.stack(estimates)


@dataclass(frozen=True, eq=False)
class IBUResult:
    """An unfolded histogram.

    Parameters
    ----------
    edges : array, shape (K + 1,)
    iterations : array, shape (I, K)
        Sums of weights at particle level after every iteration.
    bootstrap : array, shape (B, K)
        The last iteration in every repetition.
    response : Response
    """

    edges: np.ndarray
    iterations: np.ndarray
    bootstrap: np.ndarray
    response: Response

    @property
    def values(self) -> np.ndarray:
        """The last iteration, shape (K,)."""
        return self.iterations[-1]

    @property
    def statistical(self) -> np.ndarray:
        """Standard deviation over repetitions, shape (K,); NaN with fewer than two."""
        if len(self.bootstrap) < 2:
            return np.full(len(self.values), np.nan)
        return self.bootstrap.std(axis=0, ddof=1)

    def refined(self, edges: np.ndarray, prior: np.ndarray) -> IBUResult:
        """Return the same in finer bins: inside a bin the shape is that of the prior.

        Parameters
        ----------
        edges : array, shape (L + 1,)
            Holding all edges of this result.
        prior : array, shape (L,)
            Of the simulation, in the finer bins.

        Raises
        ------
        JetsError
            When an edge of this result is not among the finer ones.
        """
        if not np.isin(self.edges, edges).all():
            raise JetsError(f"edges {self.edges.tolist()} are not all among {np.asarray(edges).tolist()}")
        place = np.searchsorted(self.edges, edges[:-1], side="right") - 1
        whole = np.bincount(place, prior, minlength=len(self.values))
        width = np.diff(edges) / np.diff(self.edges)[place]
        share = np.divide(prior, whole[place], out=width, where=whole[place] > 0)
        return replace(
            self,
            edges=np.asarray(edges),
            iterations=self.iterations[:, place] * share,
            bootstrap=self.bootstrap[:, place] * share,
        )

    def to_hist(self) -> hist.Hist:
        """Return a ``hist.Hist``, for plotting."""
        return weighted_hist(self.edges, self.values, np.nan_to_num(self.statistical) ** 2)


def bayesian_unfolding(
    simulation: PairedSample,
    data: ArrayLike,
    edges: ArrayLike,
    *,
    detector_edges: ArrayLike | None = None,
    data_weights: ArrayLike | None = None,
    config: IBUConfig = IBUConfig(),
) -> IBUResult:
    """Unfold one observable by iterating Bayes' theorem from the simulation's particle level.

    Parameters
    ----------
    simulation : PairedSample
        With the observable at both levels, shape (N,).
    data : array, shape (M,)
        The observable in data; entries outside the bins are left out.
    edges : array, shape (K + 1,)
        Bins at particle level.
    detector_edges : array, shape (L + 1,), optional
        Bins at detector level; the same by default.
    data_weights : array, shape (M,), optional
    config : IBUConfig

    Returns
    -------
    IBUResult

    Raises
    ------
    JetsError
        For bad weights or bins, no data, or more than one observable.

    References
    ----------
    D'Agostini, Nucl. Instrum. Meth. A 362 (1995) 487, eqs. 3 to 7.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth, hidden = rng.normal(0, 1, 4000), rng.normal(0.5, 1, 4000)
    >>> simulation = PairedSample(truth, truth + rng.normal(0, 0.2, 4000))
    >>> result = bayesian_unfolding(simulation, hidden + rng.normal(0, 0.2, 4000), [-3, -1, 0, 1, 3])
    >>> np.abs(result.values / np.histogram(hidden, result.edges)[0] - 1).max() < 0.1
    True
    """
    edges, seen = (_edges(e) for e in (edges, edges if detector_edges is None else detector_edges))
    values = np.asarray(data, dtype=float).ravel()
    if not len(values):
        raise JetsError("the data hold no events; loosen the selection")
    weights = check_weights("the data", data_weights, len(values))
    if config.normalise:
        simulation = simulation.scaled(weights.sum() / simulation.weight[simulation.pass_detector].sum())
    response = Response.of(simulation, edges, seen)
    rng = np.random.default_rng(config.seed)
    repetitions = [weights * rng.poisson(1.0, len(values)) for _ in range(config.n_bootstrap)]
    nominal, *others = (
        response.unfold(np.histogram(values, seen, weights=w)[0], config.n_iterations)
        for w in (weights, *repetitions)
    )
    return IBUResult(edges, nominal, np.array([o[-1] for o in others]).reshape(-1, len(edges) - 1), response)


def _edges(edges: ArrayLike) -> np.ndarray:
    array = np.asarray(edges, dtype=float)
    if array.ndim != 1 or len(array) < 2 or not (np.diff(array) > 0).all():
        raise JetsError(f"bin edges must rise and be at least two, found {array.tolist()}")
    return array


def _bins(values: object, edges: np.ndarray, passed: np.ndarray) -> np.ndarray:
    """Bin of each event; the number of bins where it did not pass or lies outside."""
    if isinstance(values, Jets) or np.ndim(values) > 1 and np.shape(values)[1] != 1:
        raise JetsError("unfolding in bins takes one observable per level, shape (N,)")
    column = np.asarray(values, dtype=float).ravel()
    index = np.searchsorted(edges, column, side="right") - 1
    index = np.where(column == edges[-1], len(edges) - 2, index)
    inside = passed & (index >= 0) & (index < len(edges) - 1)
    return np.where(inside, index, len(edges) - 1)
