"""TODO."""

from omnilearn_lab.tasks.generation.comparison import (
    GeneratorComparison,
    GeneratorData,
    GeneratorsConfig,
    compare_generators,
)
from omnilearn_lab.tasks.generation.distillation import DistillConfig, distill
from omnilearn_lab.tasks.generation.sampling import SamplerStudy, StudyConfig, sampler_study
from omnilearn_lab.tasks.generation.scores import (
    GenerationScores,
    ScoresConfig,
    beside_published,
    generation_scores,
    scores_by_class,
)
from omnilearn_lab.tasks.generation.trajectory import (
    Trajectory,
    generate_like,
    generate_like_v2,
    generation_trajectory,
)
from omnilearn_lab.tasks.generation.two_stage import JetGeneration, JetGenerationConfig, generate

__all__ = [
    "DistillConfig", "GenerationScores", "GeneratorComparison", "GeneratorData", "GeneratorsConfig",
    "JetGeneration", "JetGenerationConfig", "SamplerStudy", "ScoresConfig", "StudyConfig", "Trajectory",
    "beside_published", "compare_generators", "distill", "generate", "generate_like", "generate_like_v2",
    "generation_scores", "generation_trajectory", "sampler_study", "scores_by_class",
]  # fmt: skip
