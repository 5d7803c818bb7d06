"""The papers' tables as data, with their source and how well each number is known."""

from omnilearn_lab.published.tables import PublishedTable, published_results, published_tables

__all__ = ["PublishedTable", "published_results", "published_tables"]
