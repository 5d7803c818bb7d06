"""Generation: jets in two stages, compared with true ones, and what a sampler's steps cost and buy."""
# ruff: noqa: I001

from omnilearn_lab.tasks.generation.generator import JetGeneration, JetGenerationConfig, generate
from omnilearn_lab.tasks.generation.generator import generate_like, generate_like_v2, generation_trajectory
from omnilearn_lab.tasks.generation.sampling import DistillConfig, StudyConfig, distill, sampler_study
from omnilearn_lab.tasks.generation.scores import GeneratorData, GeneratorSettings, beside_published
from omnilearn_lab.tasks.generation.scores import compare_generators, generation_scores, over_floor
from omnilearn_lab.tasks.generation.scores import scores_by_class
from omnilearn_lab.tasks.generation.tokens import generate_tokens, jet_resolution, observable_distances
from omnilearn_lab.tasks.generation.tokens import tokenized

__all__ = [
    "DistillConfig", "GeneratorData", "GeneratorSettings", "JetGeneration", "JetGenerationConfig",
    "StudyConfig", "beside_published", "compare_generators", "distill", "generate", "generate_like",
    "generate_like_v2", "generate_tokens", "generation_scores", "generation_trajectory", "jet_resolution",
    "observable_distances", "over_floor", "sampler_study", "scores_by_class", "tokenized",
]  # fmt: skip
