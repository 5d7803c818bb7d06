"""Other jet taggers, small and readable, to compare with: they train like PET and answer like PET.

They see the particles of a jet and nothing else; PET is also given the pt, eta, mass and multiplicity of
the jet.
"""

from omnilearn_lab.models.baselines.dense import PFN, PFNConfig, RowClassifier, rows_batch
from omnilearn_lab.models.baselines.particle_net import ParticleNet, ParticleNetConfig
from omnilearn_lab.models.baselines.transformer import (
    PlainTransformer,
    PlainTransformerConfig,
    TrackTransformer,
    TrackTransformerConfig,
)  # fmt: skip

__all__ = [
    "PFN", "PFNConfig", "ParticleNet", "ParticleNetConfig", "PlainTransformer", "PlainTransformerConfig",
    "RowClassifier", "TrackTransformer", "TrackTransformerConfig", "rows_batch",
]  # fmt: skip
