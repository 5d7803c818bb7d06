"""Unfold deep-inelastic events in the laboratory and read off observables of the Breit frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omnilearn_lab.metrics.distances import TriangularDiscriminator
from omnilearn_lab.tasks.reweighting.distances import DistanceChange, discriminator
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig
from omnilearn_lab.tasks.unfolding.breit import breit_observables, simulate_dis
from omnilearn_lab.tasks.unfolding.omnifold import OmniFold, OmniFoldConfig
from omnilearn_lab.tasks.unfolding.result import UnfoldingResult
from omnilearn_lab.training import TrainConfig

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BREIT_EDGES", "DISUnfolding", "unfold_dis"]

BREIT_EDGES: Mapping[str, np.ndarray] = {
    "Breit jets": np.arange(-0.5, 5.0),
    "Breit jet pT [GeV]": np.linspace(5.0, 35.0, 11),
    "Breit thrust": np.linspace(0.0, 1.0, 11),
}
"""Bins of what `BreitObservables` holds, in its order, by a title for tables and figures."""
_SIMULATION, _DATA = "rapgap_like", "djangoh_like"


@dataclass(frozen=True, eq=False)
class DISUnfolding:
    """Deep-inelastic events of one model, unfolded with those of another.

    Parameters
    ----------
    result : UnfoldingResult
        Weights of the simulated events.
    truth, prior : mapping of observable to array
        Breit-frame observables of the data's hidden particle level, and of the simulation's.
    """

    result: UnfoldingResult
    truth: Mapping[str, np.ndarray]
    prior: Mapping[str, np.ndarray]

    @property
    def edges(self) -> Mapping[str, np.ndarray]:
        """Bins of the observables: `BREIT_EDGES`."""
        return BREIT_EDGES

    def distances(self) -> dict[str, DistanceChange]:
        """Return 1000 times the discriminators to the truth, before and after, in `BREIT_EDGES`."""
        weights = self.result.particle_weights()
        return {
            name: DistanceChange(*(self._distance(name, w) for w in (None, weights))) for name in BREIT_EDGES
        }

    def table(self) -> pd.DataFrame:
        """Return the distances as a table."""
        import pandas as pd

        rows = {
            name: {
                "before": f"{change.before.value:.1f} ± {change.before.uncertainty:.1f}",
                "unfolded": f"{change.after.value:.1f} ± {change.after.uncertainty:.1f}",
                "floor": f"{change.after.floor:.1f}",
            }
            for name, change in self.distances().items()
        }
        return pd.DataFrame(rows).T

    def _distance(self, name: str, weights: np.ndarray | None) -> TriangularDiscriminator:
        return discriminator(self.truth[name], self.prior[name], BREIT_EDGES[name], weights=(None, weights))


def unfold_dis(n_events: int, training: TrainConfig, *, n_iterations: int = 2, seed: int = 1) -> DISUnfolding:
    """Simulate both models, unfold the laboratory hadrons, boost the particle level, and recluster it.

    The network sees the whole hadronic final state in the laboratory and never the Breit frame: the same
    weights serve any frame and any jet algorithm. It starts from scratch, as nothing was pretrained on
    whole events.

    Parameters
    ----------
    n_events
        Of either model.
    training : TrainConfig
        Of both steps.
    n_iterations
    seed
        Of simulation and training.
    """
    simulation = simulate_dis(_SIMULATION, n_events, seed=2 * seed)
    data = simulate_dis(_DATA, n_events, seed=2 * seed + 1)
    config = OmniFoldConfig(RatioConfig(training=training), n_iterations=n_iterations, seeds=(seed,))
    result = OmniFold(config).fit(simulation.pairs, data.pairs.detector)
    measured = (breit_observables(e.pairs.truth).values().values() for e in (data, simulation))
    return DISUnfolding(result, *(dict(zip(BREIT_EDGES, values, strict=True)) for values in measured))
