"""Deep-inelastic events: unfolded in the laboratory as whole final states, read off in the Breit frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from omnilearn_lab.display import number
from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.jets import Jets, PairedJets, reduce_pid
from omnilearn_lab.metrics.reweighting import TriangularDiscriminator
from omnilearn_lab.simulation import recipe
from omnilearn_lab.simulation.events import EventBatch, EventSource, Particles, cluster, final_particles
from omnilearn_lab.simulation.selectors import hardest_positron
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig
from omnilearn_lab.tasks.reweighting.reweighter import DistanceChange, discriminator
from omnilearn_lab.tasks.unfolding.omnifold import OmniFold, OmniFoldConfig, UnfoldingResult
from omnilearn_lab.training import TrainConfig

BREIT_EDGES: Mapping[str, np.ndarray] = {
    "Breit jets": np.arange(-0.5, 5.0),
    "Breit jet pT [GeV]": np.linspace(5.0, 35.0, 11),
    "Breit thrust": np.linspace(0.0, 1.0, 11),
}
"""Bins of what `breit_observables` gives, by its title for tables and figures."""
_SIMULATION, _DATA = "rapgap_like", "djangoh_like"
_E_LEPTON, _E_PROTON = 27.6, 920.0  # HERA beams [GeV], the proton along +z
_Q2_MIN, _Y_RANGE = 150.0, (0.08, 0.7)
_ETA, _MIN_PT = (-1.5, 2.75), 0.1  # acceptance for hadrons in the laboratory
_JET_RADIUS, _JET_MIN_PT = 1.0, 5.0  # of jets in the Breit frame [GeV]
_PHOTON = 22
_EFFICIENCY = 0.95
# sampling and constant term of relative energy resolutions; tracks: slope per GeV and constant, of pt
_ELECTROMAGNETIC, _HADRONIC, _TRACK = (0.11, 0.01), (0.50, 0.02), (0.002, 0.015)
_BATCH = 2000
_LEPTON = ("lepton_px", "lepton_py", "lepton_pz", "lepton_energy")


def simulate_dis(model: str, n_events: int, *, seed: int = 1) -> PairedJets:
    """Simulate neutral-current events with all their hadrons, as the recipe ``h1_dis`` generates them.

    That recipe keeps the leading laboratory jet only, which cannot be boosted as an event; the same
    generator settings and selection are used here, and everything in the acceptance is kept. The detector is
    a smearing of energies at fixed directions with an efficiency of 95 % per particle: H1-like in size, not
    verified against H1.

    Parameters
    ----------
    model : {"djangoh_like", "rapgap_like"}
    n_events
        Events that pass the selection, with hadrons at both levels.
    seed

    Returns
    -------
    PairedJets
        Every row is the hadronic final state of one event inside the acceptance in the laboratory; the "jet"
        is its sum. Columns ``lepton_px`` to ``lepton_energy`` [GeV] hold the scattered lepton at each level.

    Raises
    ------
    ConfigError
        For another model.
    """
    chosen = recipe("h1_dis")
    samples = {sample.name: sample for sample in chosen.samples}
    if model not in samples:
        raise ConfigError(f"no model '{model}'; {nearest(model, samples)}")
    source = EventSource((*chosen.settings, *chosen.active.settings, *samples[model].settings), seed)
    rng = np.random.default_rng(seed)
    parts: list[PairedJets] = []
    while sum(map(len, parts)) < n_events:
        parts.append(_select(source.batch(_BATCH), rng))
    facts = {"source": "simulated", "recipe": "h1_dis, whole events", "model": model, "seed": seed}
    facts |= {"jet_radius": _JET_RADIUS, "detector": "H1-like smearing"}
    truth, detector = (
        replace(Jets.concatenate([getattr(p, level) for p in parts])[:n_events], provenance=facts)
        for level in ("truth", "detector")
    )
    return PairedJets(truth, detector)


def dis_kinematics(lepton: np.ndarray) -> dict[str, np.ndarray]:
    r"""Return Q^2 [GeV^2], y and x from the scattered lepton.

    :math:`Q^2 = 2E_e(E' + p_z')`, :math:`y = 1 - (E' - p_z')/(2E_e)`, :math:`x = Q^2/(sy)`.

    Parameters
    ----------
    lepton : array, shape (N, 4)
        (px, py, pz, E) [GeV].

    Examples
    --------
    >>> dis_kinematics(np.array([[20.0, 0.0, -10.0, 22.36]]))["q2"].round(0)
    array([682.])
    """
    pz, energy = lepton[:, 2], lepton[:, 3]
    q2, y = 2 * _E_LEPTON * (energy + pz), 1 - (energy - pz) / (2 * _E_LEPTON)
    return {"q2": q2, "y": y, "x": q2 / (4 * _E_LEPTON * _E_PROTON * y)}


def to_breit_frame(momenta: np.ndarray, lepton: np.ndarray) -> np.ndarray:
    r"""Boost and rotate momenta so that the exchanged boson is (0, 0, -Q, 0) and the proton runs along +z.

    With :math:`q = k - k'` and the proton P, the frame is where :math:`2xP + q` is at rest.

    Parameters
    ----------
    momenta, lepton : array, shape (T, 4)
        (px, py, pz, E) [GeV] of particles, and of the scattered lepton of each particle's event.

    Returns
    -------
    array, shape (T, 4)

    References
    ----------
    Streng, Walsh and Zerwas, Z. Phys. C 2 (1979) 237.

    Examples
    --------
    >>> lepton = np.array([[20.0, 0.0, -10.0, 500**0.5]])
    >>> boson = np.array([[0, 0, -27.6, 27.6]]) - lepton
    >>> to_breit_frame(boson, lepton).round(1) + 0.0
    array([[  0. ,   0. , -26.1,   0. ]])
    """
    boson = np.array([0.0, 0.0, -_E_LEPTON, _E_LEPTON]) - lepton
    proton = np.array([[0.0, 0.0, _E_PROTON, _E_PROTON]])
    x = dis_kinematics(lepton)["x"]
    frame = 2 * x[:, None] * proton + boson
    moved, axis = _boost(momenta, frame), -_boost(boson, frame)[:, :3]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    across = np.cross(axis, np.array([1.0, 0.0, 0.0]))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    basis = np.stack([np.cross(across, axis), across, axis], axis=1)
    return np.concatenate([np.einsum("tij,tj->ti", basis, moved[:, :3]), moved[:, 3:]], axis=1)


def _boost(momenta: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Momenta in the rest frame of ``frame``, row by row."""
    mass = np.sqrt(frame[:, 3] ** 2 - (frame[:, :3] ** 2).sum(axis=1))[:, None]
    along = (momenta[:, :3] * frame[:, :3]).sum(axis=1, keepdims=True)
    energy = (momenta[:, 3:] * frame[:, 3:] - along) / mass
    shift = (energy + momenta[:, 3:]) / (frame[:, 3:] + mass)
    return np.concatenate([momenta[:, :3] - shift * frame[:, :3], energy], axis=1)


def breit_observables(events: Jets) -> dict[str, np.ndarray]:
    """Boost the hadrons of every event to its Breit frame, cluster them there, and measure.

    Parameters
    ----------
    events : Jets
        As of `simulate_dis`.

    Returns
    -------
    dict of title to array, shape (N,)
        Jets of the kT algorithm with R = 1 and pt > 5 GeV; transverse momentum of the hardest [GeV],
        not-a-number without jets; thrust, 1 - (2/Q) sum |p_z| over the current hemisphere, p_z < 0: zero for
        a single quark jet.

    Raises
    ------
    JetsError
        When the scattered lepton is missing.
    """
    missing = [name for name in _LEPTON if name not in events.jet]
    if missing:
        raise JetsError(f"these events have no {missing}; the Breit frame needs the scattered lepton")
    lepton = np.stack([events.jet[name].astype(np.float64) for name in _LEPTON], axis=1)
    momenta = to_breit_frame(np.stack(events.cartesian(), axis=1), lepton[events.jet_index])
    columns = dict(zip(("px", "py", "pz", "energy"), momenta.T, strict=True)) | {"event": events.jet_index}
    jets = cluster(Particles(columns, len(events)), _JET_RADIUS, algorithm="kt", min_pt=_JET_MIN_PT)
    leading = np.full(len(events), np.nan)
    leading[jets.event[jets.rank == 0]] = jets.pt[jets.rank == 0]
    current = np.bincount(events.jet_index, np.maximum(-momenta[:, 2], 0), minlength=len(events))
    q = np.sqrt(dis_kinematics(lepton)["q2"])
    n_jets = np.bincount(jets.event, minlength=len(events)).astype(float)
    return dict(zip(BREIT_EDGES, (n_jets, leading, 1 - 2 * current / q), strict=True))


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

    def undefined(self) -> dict[str, float]:
        """Return the share of true events in which an observable is undefined, such as pt without jets."""
        return {name: float(np.mean(~np.isfinite(values))) for name, values in self.truth.items()}

    def numbers(self) -> dict[str, list[float]]:
        """Return before, after and floor by observable, for a results file."""
        changes = self.distances().items()
        return {name: [c.before.value, c.after.value, c.after.floor] for name, c in changes}

    def table(self) -> pd.DataFrame:
        """Return the distances as a table."""
        rows = {
            name: {
                "before": number(change.before.value, change.before.uncertainty),
                "unfolded": number(change.after.value, change.after.uncertainty),
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
    result = OmniFold(config).fit(simulation, data.detector)
    return DISUnfolding(result, *(breit_observables(events.truth) for events in (data, simulation)))


# ---- events --------------------------------------------------------------------------------------


def _select(batch: EventBatch, rng: np.random.Generator) -> PairedJets:
    """Events with a lepton in the selection (true values) and hadrons at both levels."""
    lepton = hardest_positron(batch)
    kinematics = dis_kinematics(_batch_momenta(batch, lepton))
    in_y = (kinematics["y"] > _Y_RANGE[0]) & (kinematics["y"] < _Y_RANGE[1])
    lepton = lepton[(kinematics["q2"] > _Q2_MIN) & in_y]
    hadrons = final_particles(batch)
    events = batch.event[lepton]
    hadrons = hadrons.select(np.isin(hadrons["event"], events) & ~np.isin(hadrons["index"], lepton))
    levels = {"truth": _accepted(hadrons), "detector": _accepted(_smeared(hadrons, rng))}
    common = np.intersect1d(*(level["event"] for level in levels.values()))
    true_lepton = _batch_momenta(batch, lepton[np.isin(events, common)])
    factor = 1 + _resolution(true_lepton[:, 3], _ELECTROMAGNETIC) * rng.normal(size=len(true_lepton))
    leptons = {"truth": true_lepton, "detector": true_lepton * np.maximum(factor, 0.1)[:, None]}
    return PairedJets(**{name: _rows(level, common, leptons[name]) for name, level in levels.items()})


def _batch_momenta(batch: EventBatch, rows: np.ndarray) -> np.ndarray:
    """Return (px, py, pz, E) of entries of the event record, shape (len(rows), 4)."""
    return np.stack([batch[name][rows] for name in ("px", "py", "pz", "energy")], axis=1)


def _accepted(particles: Particles) -> Particles:
    inside = (particles.eta > _ETA[0]) & (particles.eta < _ETA[1])
    return particles.select(inside & (particles.pt > _MIN_PT))


def _smeared(particles: Particles, rng: np.random.Generator) -> Particles:
    """Particles that are found, with smeared energies and true directions, as massless objects."""
    particles = particles.select(rng.random(len(particles)) < _EFFICIENCY)
    momentum = np.sqrt(particles["px"] ** 2 + particles["py"] ** 2 + particles["pz"] ** 2)
    is_track, is_photon = particles["charge"] != 0, particles["pid"] == _PHOTON
    resolution = np.where(
        is_track,
        np.hypot(_TRACK[0] * particles.pt, _TRACK[1]),
        np.where(is_photon, _resolution(momentum, _ELECTROMAGNETIC), _resolution(momentum, _HADRONIC)),
    )
    factor = np.maximum(1 + resolution * rng.normal(size=len(particles)), 0.1)
    moved = {name: particles[name] * factor for name in ("px", "py", "pz")} | {"energy": momentum * factor}
    return Particles(dict(particles.columns) | moved, particles.n_events)


def _resolution(energy: np.ndarray, terms: tuple[float, float]) -> np.ndarray:
    return np.hypot(terms[0] / np.sqrt(np.maximum(energy, 1e-3)), terms[1])


def _rows(particles: Particles, events: np.ndarray, lepton: np.ndarray) -> Jets:
    """Particles of chosen events as jets, one per event."""
    kept = particles.select(np.isin(particles["event"], events))
    offsets = np.append(np.searchsorted(kept["event"], events), len(kept))
    momenta = np.stack([kept[name] for name in ("px", "py", "pz", "energy")], axis=1)
    columns = {"pid": reduce_pid(kept["pid"], kept["charge"]), "charge": kept["charge"]}
    return Jets.from_four_momenta(
        momenta, offsets, particles=columns, jet=dict(zip(_LEPTON, lepton.T, strict=True))
    )
