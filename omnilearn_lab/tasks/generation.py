"""Generate jets with a trained PET."""

from __future__ import annotations

import torch

from omnilearn_lab.features import jets_from_features, pet_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import PET, SamplerConfig, sample

__all__ = ["generate_like"]


def generate_like(
    model: PET, jets: Jets, *, config: SamplerConfig | None = None, standardization: str = "jetclass"
) -> Jets:
    """Generate one jet for each given jet, with its kinematics, multiplicity and class.

    This is the second stage of the papers' generation, and with true jets the variant they call "ideal";
    with jets from a :class:`omnilearn_lab.models.JetGenerator` it is the full chain.

    Parameters
    ----------
    model : PET
        With the classes of ``jets``, when these have labels.
    jets : Jets
        Condition: jet pt, eta, mass, number of particles, label.
    config : SamplerConfig
        Solver, steps, seed, progress bar.
    standardization
        A key of :data:`omnilearn_lab.features.STANDARDIZATIONS`.

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
    batch = pet_batch(jets, standardization=standardization)
    device = next(model.parameters()).device
    label = None if batch.label is None else batch.label.to(device)
    model.eval()
    counts = torch.from_numpy(jets.counts)
    made = sample(model, counts, batch.jet.to(device), label=label, config=config)
    generated = jets_from_features(made.particles.cpu().numpy(), jets, standardization=standardization)
    about = {"source": "generated", "sampler": f"{config.method}, {config.n_steps} steps, seed {config.seed}"}
    return Jets(generated.particles, generated.offsets, generated.jet, generated.class_names, about)
