"""The published programs' weights: their files, and the padding that one of them was trained with."""

from omnilearn_lab.models.published.padding import PublishedPET, PublishedPETConfig
from omnilearn_lab.models.published.v1 import load_keras, save_keras
from omnilearn_lab.models.published.v2 import load_published_v2, published_name, write_published_v2

__all__ = [
    "PublishedPET", "PublishedPETConfig", "load_keras", "save_keras", "load_published_v2", "published_name",
    "write_published_v2",
]  # fmt: skip
