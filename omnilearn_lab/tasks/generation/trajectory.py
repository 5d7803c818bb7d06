"""Generate jets with a trained PET, and watch them form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from omnilearn_lab.features import jets_from_features, pet_batch, pet_v2_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import PET, JetInputs, PETv2, SamplerConfig, sample
from omnilearn_lab.models.diffusion.samplers import denoising_path


def generate_like(
    model: PET,
    jets: Jets,
    *,
    config: SamplerConfig | None = None,
    standardization: str = "jetclass",
    keep_jet: bool = False,
) -> Jets:
    """Generate one jet for each given jet, with its kinematics, multiplicity and class.

    This is the second stage of the papers' generation, and with true jets the variant they call "ideal";
    with jets from a `omnilearn_lab.models.JetGenerator` it is the full chain.

    Parameters
    ----------
    model : PET
        With the classes of ``jets``, when these have labels.
    jets : Jets
        Condition: jet pt, eta, mass, number of particles, label.
    config : SamplerConfig
        Solver, steps, seed, progress bar.
    standardization
        A key of `omnilearn_lab.features.STANDARDIZATIONS`.
    keep_jet
        Keep the given jets' pt, eta, phi and mass, with particles relative to them, as JetNet's metrics
        need; otherwise the jet is the sum of its generated particles.

    Returns
    -------
    Jets
        In the order of ``jets``; ``provenance`` holds solver, steps and seed.

    References
    ----------
    OmniLearn, arXiv:2404.16091, section V (jet generation).

    Examples
    --------
    >>> from omnilearn_lab.models import PETConfig
    >>> jet = {"pt": [600.0], "eta": [0.0], "phi": [0.0], "mass": [80.0], "label": [0]}
    >>> cloud = {"deta": [0.1, -0.2], "dphi": [0.0, 0.1], "pt": [400.0, 200.0], "energy": [400.0, 200.0]}
    >>> like = Jets.build(cloud, [0, 2], jet)
    >>> made = generate_like(PET(PETConfig(width=8, n_layers=1, n_heads=2)), like, config=SamplerConfig(2))
    >>> made.counts.tolist(), made.provenance["sampler"]
    ([2], 'ralston3, 2 steps, seed 0')
    """
    config = config or SamplerConfig()
    rows = generated_features(model, jets, config=config, standardization=standardization)
    generated = jets_from_features(rows, jets, standardization=standardization, keep_jet=keep_jet)
    about = {"source": "generated", "sampler": f"{config.method}, {config.n_steps} steps, seed {config.seed}"}
    return Jets(generated.particles, generated.offsets, generated.jet, generated.class_names, about)


def generated_features(
    model: PET, jets: Jets, *, config: SamplerConfig, standardization: str = "jetclass"
) -> np.ndarray:
    """Return the standardised features that `generate_like` makes jets of, shape (T, n_diffused)."""
    batch = pet_batch(jets, standardization=standardization)
    model.eval()
    told = JetInputs(torch.from_numpy(jets.counts), batch.jet, batch.label)
    made = sample(model, told, config=config)
    return made.particles.cpu().numpy()


class Trajectory(NamedTuple):
    """Jets on their way from noise to particles: times (S,), and the jets at each of them."""

    times: tuple[float, ...]
    jets: tuple[Jets, ...]

    def particles(self, index: int) -> np.ndarray:
        """Return deta, dphi, pt [GeV] of one jet at every time, shape (S, N, 3)."""
        one = [step[index].particles for step in self.jets]
        return np.array([np.stack([p[n] for n in ("deta", "dphi", "pt")], axis=1) for p in one])


def generation_trajectory(
    model: PET, jets: Jets, *, config: SamplerConfig | None = None, standardization: str = "jetclass"
) -> Trajectory:
    """Generate jets like given ones and keep every step, for `omnilearn_lab.widgets.DiffusionPlayer`.

    Parameters
    ----------
    model : PET
    jets : Jets
        A few jets: condition, as for `generate_like`.
    config : SamplerConfig
        A Runge-Kutta method; ``guidance`` and ``batch_size`` are not used.
    standardization
        As for `generate_like`.

    Returns
    -------
    Trajectory
        ``n_steps + 1`` times from 1 to 0; the last jets are those of `generate_like`.

    Examples
    --------
    >>> from omnilearn_lab.models import PETConfig
    >>> jet = {"pt": [600.0], "eta": [0.0], "phi": [0.0], "mass": [80.0]}
    >>> cloud = {"deta": [0.1, -0.2], "dphi": [0.0, 0.1], "pt": [400.0, 200.0], "energy": [400.0, 200.0]}
    >>> model = PET(PETConfig(width=8, n_layers=1, n_heads=2))
    >>> path = generation_trajectory(model, Jets.build(cloud, [0, 2], jet), config=SamplerConfig(2))
    >>> path.times, path.particles(0).shape
    ((1.0, 0.5, 0.0), (3, 2, 3))
    """
    config = config or SamplerConfig()
    batch = pet_batch(jets, standardization=standardization).to(next(model.parameters()).device)
    model.eval()
    states = denoising_path(model, batch, config=config)
    steps = [
        jets_from_features(rows.cpu().numpy(), jets, standardization=standardization, keep_jet=True)
        for rows in states
    ]
    return Trajectory(tuple(i / config.n_steps for i in range(config.n_steps, -1, -1)), tuple(steps))


def generate_like_v2(model: PETv2, jets: Jets, *, config: SamplerConfig | None = None) -> Jets:
    """Generate one jet for each given jet with a PET v2: same number of particles, class and condition.

    Parameters
    ----------
    model : PETv2
        Of mode "generator" or "pretrain". A conditional one is told as many columns of ln pt, eta,
        ln(1 + mass) and multiplicity / 100 as it has, counted from the end.
    jets : Jets
        Condition, and jet axes that the generated particles are put around.
    config : SamplerConfig
        Solver, steps, seed, progress bar.

    Returns
    -------
    Jets
        pt and energy are exp of the generated logarithms; an energy below pt cosh(eta) is raised to it.

    References
    ----------
    OmniLearned, arXiv:2510.24066.

    Examples
    --------
    >>> from omnilearn_lab.models import PETv2Config
    >>> jet = {"pt": [600.0], "eta": [0.0], "phi": [0.0], "mass": [80.0]}
    >>> cloud = {"deta": [0.1, -0.2], "dphi": [0.0, 0.1], "pt": [400.0, 200.0], "energy": [400.0, 200.0]}
    >>> model = PETv2(PETv2Config.named("tiny", mode="generator", n_classes=1))
    >>> like = Jets.build(cloud, [0, 2], jet)
    >>> generate_like_v2(model, like, config=SamplerConfig(1)).counts.tolist()
    [2]
    """
    config = config or SamplerConfig(127, "midpoint")
    batch = pet_v2_batch(jets)
    model.eval()
    n_told = model.config.n_condition
    condition = batch.condition[:, -n_told:] if n_told else None
    label = batch.label if model.config.n_classes > 1 else None
    pid = batch.pid if model.config.n_species else None
    told = JetInputs(torch.from_numpy(jets.counts), None, label, condition, pid)
    rows = sample(model, told, config=config).particles.cpu().double().numpy()
    eta = rows[:, 0] + np.repeat(jets.jet["eta"], jets.counts)
    phi = rows[:, 1] + np.repeat(jets.jet["phi"], jets.counts)
    pt = np.exp(rows[:, 2])
    energy = np.maximum(np.exp(rows[:, 3]), pt * np.cosh(eta))
    momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=1)
    kept = {"label": jets.label} if "label" in jets.jet else {}
    about = {"source": "generated", "sampler": f"{config.method}, {config.n_steps} steps, seed {config.seed}"}
    return Jets.from_four_momenta(
        momenta, jets.offsets, jet=kept, class_names=jets.class_names, provenance=about
    )
