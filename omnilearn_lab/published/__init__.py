"""The papers' tables as data, with their source and how well each number is known."""

from omnilearn_lab.published.load import published_results, published_tables
from omnilearn_lab.published.table import PublishedTable

__all__ = ["PublishedTable", "published_results", "published_tables"]
