"""How much each notebook does in each profile, read from one small file per notebook."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from typing import TypeVar

import yaml

from omnilearn_lab.config import from_mapping
from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.tasks.comparison import CompareConfig

__all__ = ["ClassificationProfile", "notebook_profile"]

Settings = TypeVar("Settings")


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


def notebook_profile(notebook: str, profile: str, settings: type[Settings]) -> Settings:
    """Return a notebook's settings in a profile, from ``notebook_profiles/<notebook>.yaml``.

    Parameters
    ----------
    notebook
        Name without ending, such as "03_finetune_top".
    profile : {"smoke", "quick", "full"}
    settings
        The dataclass that the notebook's task reads.

    Raises
    ------
    ConfigError
        For an unknown notebook or profile, or a setting that the dataclass does not have.

    Examples
    --------
    >>> notebook_profile("03_finetune_top", "smoke", ClassificationProfile).compare.seeds
    (1, 2)
    """
    folder = resources.files("omnilearn_lab.tasks") / "notebook_profiles"
    known = {file.name.removesuffix(".yaml"): file for file in folder.iterdir()}
    if notebook not in known:
        raise ConfigError(f"no profiles for the notebook '{notebook}'; {nearest(notebook, sorted(known))}")
    table = yaml.safe_load(known[notebook].read_text(encoding="utf-8"))
    if profile not in table:
        raise ConfigError(f"'{notebook}' has no profile '{profile}'; {nearest(profile, table)}")
    return from_mapping(settings, table[profile])
