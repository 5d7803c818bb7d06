"""Networks, diffusion and checkpoints; torch and nothing of catalogues or physics."""
# ruff: noqa: I001

from omnilearn_lab.models.baselines import PFN, ParticleNet, ParticleNetConfig, PFNConfig
from omnilearn_lab.models.baselines import PlainTransformer, PlainTransformerConfig
from omnilearn_lab.models.batch import Batch, ClassifierOutput
from omnilearn_lab.models.checkpoints import has_checkpoint, load_checkpoint, load_published, read_card
from omnilearn_lab.models.checkpoints import save_checkpoint, shipped_checkpoints, update_card
from omnilearn_lab.models.diffusion import JetInputs, SamplerConfig, perturb, perturb_flow, sample
from omnilearn_lab.models.dijet import DijetClassifier, DijetConfig, DijetGenerator
from omnilearn_lab.models.dijet import JetGenerator, JetGeneratorConfig
from omnilearn_lab.models.pet import PET, PETConfig
from omnilearn_lab.models.pet_v2 import PETv2, PETv2Config
from omnilearn_lab.models.published import PublishedPET

__all__ = [
    "Batch", "ClassifierOutput", "DijetClassifier", "DijetConfig", "DijetGenerator", "JetGenerator",
    "JetGeneratorConfig", "JetInputs", "PET", "PETConfig", "PETv2", "PETv2Config", "PFN", "PFNConfig",
    "ParticleNet", "ParticleNetConfig", "PlainTransformer", "PlainTransformerConfig", "PublishedPET",
    "SamplerConfig", "has_checkpoint", "load_checkpoint", "load_published", "perturb", "perturb_flow",
    "read_card", "sample", "save_checkpoint", "shipped_checkpoints", "update_card",
]  # fmt: skip
