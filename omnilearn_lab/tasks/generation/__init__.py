"""Generation: jets in two stages, compared with true ones, and what a sampler's steps cost and buy."""

from omnilearn_lab.tasks.generation.comparison import (
    GeneratorData,
    GeneratorSettings,
    compare_generators,
    over_floor,
)
from omnilearn_lab.tasks.generation.distillation import DistillConfig, distill
from omnilearn_lab.tasks.generation.sampling import StudyConfig, sampler_study
from omnilearn_lab.tasks.generation.scores import beside_published, generation_scores, scores_by_class
from omnilearn_lab.tasks.generation.trajectory import generate_like, generation_trajectory
from omnilearn_lab.tasks.generation.two_stage import JetGeneration, JetGenerationConfig, generate

__all__ = [
    "DistillConfig", "GeneratorData", "GeneratorSettings", "JetGeneration", "JetGenerationConfig",
    "StudyConfig", "beside_published", "compare_generators", "distill", "generate", "generate_like",
    "generation_scores", "generation_trajectory", "over_floor", "sampler_study", "scores_by_class",
]  # fmt: skip
