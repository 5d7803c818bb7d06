"""How much each notebook does in each profile, read from ``profiles.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources

import yaml

from omnilearn_lab.config import from_mapping
from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.tasks.comparison import CompareConfig

__all__ = ["ClassificationProfile", "classification_profile"]


@dataclass(frozen=True)
class ClassificationProfile:
    """Sizes and settings of a tagging notebook in one profile.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_train, n_validation, n_test
        Jets of each split.
    compare : CompareConfig
    """

    source: str
    n_train: int
    n_validation: int
    n_test: int
    compare: CompareConfig = field(default_factory=CompareConfig)


def classification_profile(notebook: str, profile: str) -> ClassificationProfile:
    """Return a tagging notebook's settings in a profile.

    Raises
    ------
    ConfigError
        For an unknown notebook or profile.

    Examples
    --------
    >>> classification_profile("03_finetune_top", "smoke").compare.seeds
    (1, 2)
    """
    text = resources.files("omnilearn_lab.tasks").joinpath("profiles.yaml").read_text()
    table = yaml.safe_load(text)
    for key, level in ((notebook, table), (profile, table.get(notebook, {}))):
        if key not in level:
            raise ConfigError(f"no '{key}' in the notebook profiles; {nearest(key, level)}")
    return from_mapping(ClassificationProfile, table[notebook][profile])
