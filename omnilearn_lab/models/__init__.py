"""Networks, diffusion and checkpoints; torch and nothing of catalogues or physics."""

from omnilearn_lab.models.baselines import (
    PFN,
    ParticleNet,
    ParticleNetConfig,
    PFNConfig,
    PlainTransformer,
    PlainTransformerConfig,
)  # fmt: skip
from omnilearn_lab.models.batch import Batch, ClassifierOutput
from omnilearn_lab.models.checkpoints import (
    has_checkpoint,
    load_checkpoint,
    load_published,
    read_card,
    save_checkpoint,
    shipped_checkpoints,
    update_card,
)  # fmt: skip
from omnilearn_lab.models.diffusion import (
    JetGenerator,
    JetGeneratorConfig,
    JetInputs,
    SamplerConfig,
    perturb,
    perturb_flow,
    sample,
)  # fmt: skip
from omnilearn_lab.models.dijet import DijetClassifier, DijetConfig, DijetGenerator
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
