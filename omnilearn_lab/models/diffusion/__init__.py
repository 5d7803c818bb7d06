"""From jets to noise and back: paths, their velocities, solvers, samplers, the kinematics of jets."""

from omnilearn_lab.models.diffusion.distillation import distillation_pair
from omnilearn_lab.models.diffusion.jet_generator import (
    JetGenerator,
    JetGeneratorConfig,
    perturb_jets,
    sample_jets,
)  # fmt: skip
from omnilearn_lab.models.diffusion.objectives import (
    NO_LABEL,
    class_entropy,
    contrastive_entropy,
    velocity_error,
)  # fmt: skip
from omnilearn_lab.models.diffusion.paths import Perturbed, cosine_level, perturb, perturb_flow
from omnilearn_lab.models.diffusion.samplers import (
    JetInputs,
    SamplerConfig,
    Samples,
    denoise,
    denoising_path,
    sample,
)  # fmt: skip
from omnilearn_lab.models.diffusion.solvers import integrate

__all__ = [
    "JetGenerator", "JetGeneratorConfig", "JetInputs", "NO_LABEL", "Perturbed", "SamplerConfig", "Samples",
    "class_entropy", "contrastive_entropy", "cosine_level", "denoise", "denoising_path", "distillation_pair",
    "integrate", "perturb", "perturb_flow", "perturb_jets", "sample", "sample_jets", "velocity_error",
]  # fmt: skip
