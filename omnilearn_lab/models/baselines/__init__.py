"""Other jet taggers, small and readable, to compare with: they train like PET and answer like PET.

They see the particles of a jet and nothing else; PET is also given the pt, eta, mass and multiplicity of
the jet. Names are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "PFN": "pfn",
    "PFNConfig": "pfn",
    "ParticleNet": "particle_net",
    "ParticleNetConfig": "particle_net",
    "PlainTransformer": "transformer",
    "PlainTransformerConfig": "transformer",
    "TrackTransformer": "track_transformer",
    "TrackTransformerConfig": "track_transformer",
}

__all__ = [
    "PFN",
    "PFNConfig",
    "ParticleNet",
    "ParticleNetConfig",
    "PlainTransformer",
    "PlainTransformerConfig",
    "TrackTransformer",
    "TrackTransformerConfig",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
