"""The published programs' weights: their files, and the padding that one of them was trained with."""

from omnilearn_lab.models.published.padding import PublishedPET
from omnilearn_lab.models.published.v1 import load_keras
from omnilearn_lab.models.published.v2 import load_published_v2, published_name, write_published_v2

__all__ = ["PublishedPET", "load_keras", "load_published_v2", "published_name", "write_published_v2"]
