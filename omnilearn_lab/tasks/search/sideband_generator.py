"""Generated background: two-jet events of a mass window, from those beside it: borrowed, or learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.optimize import minimize_scalar

from omnilearn_lab.errors import JetsError, TrainingError
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath
from omnilearn_lab.models import Batch, DijetConfig, DijetGenerator, PETConfig, SamplerConfig
from omnilearn_lab.models.diffusion import denoise
from omnilearn_lab.settings import settings, to_mapping
from omnilearn_lab.tasks import generation
from omnilearn_lab.tasks.generation.generator import KinematicsGeneration, bare_jets
from omnilearn_lab.tasks.search import events
from omnilearn_lab.tasks.search.mass_fits import MassFit, MassWindow, sample_masses
from omnilearn_lab.training import History, Run, TrainConfig, Trainer, default_device

_N_FEATURES, _PHI = 5, 2
_PHI_WIDTH = 0.1  # typical angle between jets that are back to back but for radiation
_MIN_EVENTS = 20
_REACH = 0.1  # typical logarithm of the factor between a mass and those that lend to it
_STEEPEST = 40.0  # power of the mass with which a spectrum may fall
_N_GRID = 500


@settings
class SidebandGeneratorConfig:
    """How to make two-jet events of a mass window out of those beside it.

    Parameters
    ----------
    window : MassWindow
        Dijet masses: nothing is learned inside the signal region nor outside the limits, which the network
        sees as -1 and 1.
    method
        "borrowed": whole events beside the window, all momenta scaled to the wanted dijet mass (`Lenders`);
        nothing is trained. "flow": two networks, one for the two jets given the dijet mass, one for the
        particles of each; what follows, except for ``max_particles``, is about these.
    width, n_jet_layers
        Of the `omnilearn_lab.models.DijetGenerator` for the two jets' pt, eta, phi, mass and
        multiplicity.
    kinematics : TrainConfig
        Its training; ``batch_size`` counts events.
    kinematics_sampler : SamplerConfig
    particles : JetGenerationConfig
        The second stage: the particles of each jet, from its kinematics.
    max_particles
        Particles generated per jet at most; give the data the same limit.
    validation_fraction
        Share of the events on which the best weights are chosen.

    """

    window: MassWindow = MassWindow()
    method: Literal["borrowed", "flow"] = "borrowed"
    width: int = 64
    n_jet_layers: int = 3
    kinematics: TrainConfig = replace(generation.JetGenerationConfig.kinematics, epochs=30, batch_size=128)
    kinematics_sampler: SamplerConfig = SamplerConfig(n_steps=32)
    particles: generation.JetGenerationConfig = generation.JetGenerationConfig(standardization="lhco")
    max_particles: Annotated[int, Field(gt=0)] = 279
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1


@dataclass(frozen=True, eq=False)
class Lenders:
    r"""Events beside a mass window, of which events of any mass in between are made by scaling all momenta.

    QCD has hardly a scale of its own here: at equal angles, the jets' pt, masses and particles grow with the
    dijet mass. Two things are put right when lenders are drawn for a mass M:

    - A threshold on the leading jet's pt t cuts at every mass another part of :math:`r = p_T/m`. A lender
      must pass it after scaling, :math:`rM > t`, and counts the more, the fewer masses show its r: with one
      over the integral of K over ln m beside the window and above t/r.
    - Lenders on both sides, whatever the spectrum: K is a Gaussian in ln m around M, and an event counts
      with K over the spectrum that there would be without the threshold, :math:`dN/dm \propto m^{-n}`, fitted
      to the masses given each event's r. So what changes slowly with the mass is interpolated.

    Parameters
    ----------
    jets : Jets
        Two rows per event, with ``dijet_mass`` [GeV].
    window : MassWindow

    References
    ----------
    Lynden-Bell, MNRAS 155 (1971) 95 (samples cut along two variables); CURTAINs, arXiv:2203.09470.
    """

    jets: Jets
    window: MassWindow

    @cached_property
    def mass(self) -> np.ndarray:
        """Dijet mass of each event [GeV]."""
        return events.event_column(self.jets, "dijet_mass")

    @cached_property
    def threshold(self) -> float:
        """Lowest pt of a leading jet [GeV]."""
        return float(self._leading.min())

    @cached_property
    def lowest(self) -> np.ndarray:
        """Dijet mass from which on an event's leading jet passes the threshold [GeV]."""
        return self.threshold * self.mass / self._leading

    @cached_property
    def steepness(self) -> float:
        """Power n of the spectrum without the threshold, by maximum likelihood."""

        def loss(n: float) -> float:
            return float(np.mean(n * np.log(self.mass) + np.log(self._above(self._grid ** (1 - n)))))

        return float(minimize_scalar(loss, bounds=(0, _STEEPEST), method="bounded").x)

    def draw(self, mass: np.ndarray, seed: int) -> np.ndarray:
        """Return the number of an event to scale, for each mass [GeV]."""
        rng = np.random.default_rng(seed)
        density = self.mass ** (self.steepness - 1)  # over f(m), in ln m
        chosen = np.empty(len(mass), dtype=np.int64)
        for i, wanted in enumerate(mass):
            near = density * _nearness(self.mass, wanted) * (self.lowest <= wanted)
            weights = np.cumsum(near / self._above(_nearness(self._grid, wanted)))
            chosen[i] = np.searchsorted(weights, rng.random() * weights[-1], side="right")
        return chosen

    def lend(self, mass: np.ndarray, seed: int) -> Jets:
        """Return one event of each mass [GeV]; ``origin`` is the number (``event``) of the event it was."""
        chosen = self.draw(mass, seed)
        factor = np.repeat(mass / self.mass[chosen], 2)
        made = events.select_events(self.jets, chosen)
        number = self.jets.jet.get("event", np.arange(len(self.jets)) // 2)
        particles = dict(made.particles)
        for name in ("pt", "energy"):
            particles[name] = (particles[name] * np.repeat(factor, made.counts)).astype(np.float32)
        scaled = {name: made.jet[name] * factor for name in ("pt", "mass")}
        about = {"source": "generated", "sampler": f"borrowed, seed {seed}"}
        made = replace(made, particles=particles, provenance=about)
        return made.with_jet(**scaled, origin=number[events.event_rows(chosen, 2)])

    @property
    def _leading(self) -> np.ndarray:
        return self.jets.jet["pt"].astype(np.float64).reshape(-1, 2).max(axis=1)

    @cached_property
    def _grid(self) -> np.ndarray:
        """Masses beside the window, at equal steps of ln m."""
        every = np.geomspace(*self.window.limits, _N_GRID, endpoint=False)
        return every[self.window.beside(every)]

    def _above(self, values: np.ndarray) -> np.ndarray:
        """Sum of values on the grid over the masses at which each event passes the threshold."""
        sums = np.append(np.cumsum(values[::-1])[::-1], 0.0)
        first = np.searchsorted(self._grid, self.lowest)
        return np.maximum(sums[first], values[-1])


def _nearness(mass: np.ndarray, wanted: float) -> np.ndarray:
    return np.exp(-0.5 * (np.log(mass / wanted) / _REACH) ** 2)


def made_background(
    data: Jets, n: int, config: SidebandGeneratorConfig, *, fit: MassFit = MassFit(), seed: int = 0
) -> Jets:
    """Make background of the signal region out of data beside it, whatever signal these hold.

    Parameters
    ----------
    data : Jets
        Two rows per event, with ``dijet_mass`` [GeV]; events of the signal region are not used.
    n
        Events to make. Their masses follow the spectrum that is fitted beside the window.
    config : SidebandGeneratorConfig
    fit : MassFit
    seed

    Returns
    -------
    Jets
        As `SidebandGenerator.sample`.
    """
    mass = events.event_column(data, "dijet_mass")
    beside = events.select_events(data, config.window.beside(mass))
    wanted = sample_masses(mass, n, config.window.signal_region, fit=fit, seed=seed)
    return SidebandGenerator(config).fit(beside).sample(wanted, seed=seed)


class SidebandGenerator:
    """Make two-jet events inside a mass window out of those in its sidebands.

    Parameters
    ----------
    config : SidebandGeneratorConfig, optional
    directory
        Keep the trainings of a flow there; an interrupted `fit` goes on where it was.

    Attributes
    ----------
    lenders : Lenders
        Of borrowed events; the others are those of a flow.
    kinematics : DijetGenerator
    particles : JetGeneration
    histories : dict of History

    References
    ----------
    OmniLearn, arXiv:2404.16091, section VIII; CATHODE, arXiv:2109.00546.

    Examples
    --------
    >>> SidebandGenerator().sample([3500.0])
    Traceback (most recent call last):
    omnilearn_lab.errors.TrainingError: this generator has not learned anything yet; call fit(sideband) first
    """

    def __init__(
        self, config: SidebandGeneratorConfig | None = None, *, directory: StrPath | None = None
    ) -> None:
        self.config = config or SidebandGeneratorConfig()
        self.directory = None if directory is None else Path(directory)
        self.lenders: Lenders | None = None
        self.kinematics: DijetGenerator | None = None
        self.particles = generation.JetGeneration(
            self.config.particles, directory=None if self.directory is None else self.directory / "jets"
        )
        self.histories: dict[str, History] = {}

    def fit(self, sideband: Jets) -> SidebandGenerator:
        """Keep the events that lend, or train both stages of a flow.

        Parameters
        ----------
        sideband : Jets
            Two rows per event, with ``dijet_mass`` [GeV]; labels are not looked at.

        Returns
        -------
        SidebandGenerator
            This object.

        Raises
        ------
        JetsError
            For an empty sideband, or events inside the signal region or outside the limits.
        """
        n_events = self._check(sideband)
        bare = events.without_labels(sideband).truncate(self.config.max_particles)
        if self.config.method == "borrowed":
            self.lenders = Lenders(bare, self.config.window)
            return self
        order = np.random.default_rng(self.config.kinematics.seed).permutation(n_events)
        n_validation = max(1, round(self.config.validation_fraction * n_events))
        train, validation = (
            events.select_events(bare, part) for part in (order[n_validation:], order[:n_validation])
        )
        self._fit_kinematics(train, validation)
        self.particles.fit_particles(train, validation)
        self.histories |= self.particles.histories
        return self

    def sample(self, mass: ArrayLike, *, seed: int = 0) -> Jets:
        """Generate one event for each dijet mass.

        Parameters
        ----------
        mass : array, shape (M,)
            [GeV], inside the limits; see `omnilearn_lab.tasks.search.mass_fits.sample_masses`.
        seed
            Of all noise.

        Returns
        -------
        Jets
            2 M rows with ``event``, ``rank`` and the given ``dijet_mass``; particles are relative to the
            jets. Borrowed events have an ``origin`` (`Lenders.lend`), which `weak_supervision` looks at.

        Raises
        ------
        TrainingError
            Before `fit`.
        JetsError
            For masses that are not finite or outside the limits.
        """
        mass = self._check_masses(mass)
        made = self._generate(mass, seed) if self.lenders is None else self.lenders.lend(mass, seed)
        event = np.repeat(np.arange(len(mass)), 2)
        made = made.with_jet(event=event, rank=np.arange(len(event)) % 2, dijet_mass=np.repeat(mass, 2))
        return events.without_labels(made)

    def _generate(self, mass: np.ndarray, seed: int) -> Jets:
        jets = self._sample_kinematics(mass, seed)
        made = self.particles.sample_like(jets.truncate(self.config.max_particles), seed=seed)
        return made.with_jet(multiplicity=jets.jet["multiplicity"])

    def _sample_kinematics(self, mass: np.ndarray, seed: int) -> Jets:
        """The first stage: two jets per mass whose particles are equal parts along the axis."""
        model = self.kinematics
        device = next(model.parameters()).device
        condition = self._condition(mass).to(device)
        noise = torch.randn(len(mass), 2 * _N_FEATURES, generator=torch.Generator().manual_seed(seed))

        @torch.no_grad()
        def velocity(state: torch.Tensor, time: float) -> torch.Tensor:
            return model.velocity(state, state.new_full((len(state),), time), condition)

        made = denoise(velocity, noise.to(device), self.config.kinematics_sampler)
        columns = _turned(made.cpu().numpy().reshape(-1, 2, _N_FEATURES), seed)
        four = np.stack([columns[name] for name in ("pt", "eta", "mass", "multiplicity")], axis=1)
        return bare_jets(four, np.zeros(len(four), dtype=np.int64), columns["phi"], ())

    def _fit_kinematics(self, train: Jets, validation: Jets) -> None:
        config = self.config
        torch.manual_seed(config.kinematics.seed)
        pet = PETConfig.named("tiny", width=config.width, n_jet_features=_N_FEATURES, n_classes=1)
        model = DijetGenerator(DijetConfig(pet, n_jet_layers=config.n_jet_layers)).to(default_device())
        run = None
        if self.directory is not None:
            run = Run(self.directory / "kinematics", {"training": to_mapping(config.kinematics)})
        batches = (self._kinematics_batch(part) for part in (train, validation))
        trainer = Trainer(model, KinematicsGeneration(), *batches, config.kinematics, run)
        self.histories["dijets"] = trainer.fit()
        self.kinematics = model.eval()

    def _kinematics_batch(self, jets: Jets) -> Batch:
        """One row per event: ten jet quantities, with the multiplicity smeared over its bin."""
        smear = np.random.default_rng(self.config.kinematics.seed).uniform(-0.5, 0.5, len(jets))
        smeared = jets.with_jet(multiplicity=jets.jet["multiplicity"] + smear)
        rows = torch.from_numpy(_aligned(smeared).reshape(-1, 2 * _N_FEATURES))
        n = len(rows)
        condition = self._condition(events.event_column(jets, "dijet_mass"))
        return Batch(torch.zeros(n, 1), torch.zeros(n, 2), torch.arange(n + 1), rows, label=condition)

    def _condition(self, mass: np.ndarray) -> torch.Tensor:
        """Scaled mass and a constant one, shape (M, 2)."""
        low, high = self.config.window.limits
        scaled = (2 * mass - low - high) / (high - low)
        return torch.from_numpy(np.stack([scaled, np.ones_like(scaled)], axis=1).astype(np.float32))

    def _check(self, sideband: Jets) -> int:
        n_events = events.check_events(sideband, 2, "sideband") if len(sideband) else 0
        if n_events < _MIN_EVENTS:
            raise JetsError(
                f"the sideband holds {n_events} events; at least {_MIN_EVENTS} are needed: loosen the cuts"
            )
        window = self.config.window
        wrong = ~window.beside(events.event_column(sideband, "dijet_mass"))
        if wrong.any():
            raise JetsError(
                f"{int(wrong.sum())} of {n_events} sideband events lie inside the signal region "
                f"{window.signal_region} or outside {window.limits} GeV; leave them out, else signal is "
                "learned as background"
            )
        return n_events

    def _check_masses(self, mass: ArrayLike) -> np.ndarray:
        if self.kinematics is None and self.lenders is None:
            raise TrainingError("this generator has not learned anything yet; call fit(sideband) first")
        values, (low, high) = np.atleast_1d(np.asarray(mass, dtype=np.float64)), self.config.window.limits
        if values.ndim != 1 or not len(values) or not ((values >= low) & (values <= high)).all():
            raise JetsError(f"masses must be finite and between {low:g} and {high:g} GeV, one per event")
        return values


def _aligned(jets: Jets) -> np.ndarray:
    """Features (events, 2, 5) after turning events about the beam: first jet at 0, second measured from pi.

    Collisions have no preferred azimuth. Learning only how far the jets are from back to back keeps the
    dijet mass, which the two azimuths of the publication leave to the network.
    """
    features = events.dijet_features(jets).reshape(-1, 2, _N_FEATURES)
    phi = jets.jet["phi"].astype(np.float64).reshape(-1, 2)
    features[:, 0, _PHI] = 0.0
    features[:, 1, _PHI] = np.remainder(phi[:, 1] - phi[:, 0], 2 * np.pi) / _PHI_WIDTH - np.pi / _PHI_WIDTH
    return features


def _turned(features: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Kinematics of jets (2 M,) from generated features (M, 2, 5), each event at a random azimuth."""
    columns = events.kinematics_from_features(features.reshape(-1, _N_FEATURES))
    first = np.random.default_rng(seed).uniform(-np.pi, np.pi, len(features))
    second = first + np.pi + _PHI_WIDTH * features[:, 1, _PHI]
    phi = np.stack([first, second], axis=1).ravel()
    return columns | {"phi": np.remainder(phi + np.pi, 2 * np.pi) - np.pi}
