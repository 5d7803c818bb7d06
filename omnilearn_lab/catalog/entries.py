"""Looking things up in the catalogue: entries, files, citations, and a table of everything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from omnilearn_lab.catalog.schema import Catalogue, Citation, DataFile, DatasetEntry, read_catalogue
from omnilearn_lab.display import html_table
from omnilearn_lab.errors import CatalogError, nearest
from omnilearn_lab.settings import load_yaml

CATALOG_VARIABLE = "OMNILEARN_LAB_CATALOG"
"""Environment variable that names a catalogue file of the user's own."""

_FOLDER = Path(__file__).parent
_COLUMNS = ("name", "title", "kind", "published jets", "GB", "simulated stand-in")


@dataclass(frozen=True, repr=False)
class CatalogView:
    """The catalogue as an object that shows itself as a table.

    Attributes
    ----------
    entries
        Dataset entries by name.
    citations
        Papers and records by key.

    Examples
    --------
    >>> print(catalog())  # doctest: +ELLIPSIS
    name ...
    """

    entries: dict[str, DatasetEntry]
    citations: dict[str, Citation]

    def __getitem__(self, name: str) -> DatasetEntry:
        if name not in self.entries:
            raise CatalogError(f"dataset '{name}' is not in the catalogue; {nearest(name, self.entries)}")
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's cells as text, one row per dataset."""
        return [_row(name, item) for name, item in self.entries.items()]

    def __repr__(self) -> str:
        table = [_COLUMNS, *self.rows()]
        widths = [max(len(row[i]) for row in table) for i in range(len(_COLUMNS))]
        lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in table)
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        return html_table([_COLUMNS, *self.rows()])


def _row(name: str, item: DatasetEntry) -> tuple[str, ...]:
    jets = sum(split.jets or 0 for split in item.splits.values())
    place = "" if item.availability == "public" else f" ({item.availability.replace('_', ' ')})"
    return (
        name,
        item.title,
        item.kind,
        (f"{jets:,}" if jets else "-") + place,
        f"{item.size_gb:g}" if item.size_gb else "-",
        item.recipe or "-",
    )


def catalog(file: str | os.PathLike[str] | None = None) -> CatalogView:
    """Return the catalogue: the package's entries, with the user's own added or replacing them.

    Parameters
    ----------
    file
        A catalogue file of the user's own; else the one named by ``OMNILEARN_LAB_CATALOG``, if any.

    Returns
    -------
    CatalogView

    Raises
    ------
    CatalogError
        When a catalogue file is missing or invalid, or an entry cites an unknown key.

    Examples
    --------
    >>> catalog()["jetclass"].classes[:2]
    ('QCD', 'Hbb')
    """
    paths = [_FOLDER / "data_catalog.yaml"]
    own = file or os.environ.get(CATALOG_VARIABLE)
    paths += [Path(own)] if own else []
    merged = Catalogue(version=1)
    for path in paths:
        part = read_catalogue(path)
        merged = Catalogue.model_construct(
            version=1,
            datasets=merged.datasets | part.datasets,
            citations=merged.citations | part.citations,
        )
        _check_references(path, merged)
    return CatalogView(merged.datasets, merged.citations)


def _check_references(path: Path, merged: Catalogue) -> None:
    for name, item in merged.datasets.items():
        for key in item.citations:
            if key not in merged.citations:
                raise CatalogError(
                    f"'{path}', entry '{name}', field 'citations': '{key}' is not under 'citations'; "
                    + nearest(key, merged.citations)
                )


def entry(name: str, *, file: str | os.PathLike[str] | None = None) -> DatasetEntry:
    """Return the catalogue entry of one dataset.

    Raises
    ------
    CatalogError
        For an unknown name; the message gives the nearest one.

    Examples
    --------
    >>> entry("top_tagging").doi
    '10.5281/zenodo.2603256'
    """
    return catalog(file)[name]


def files(
    item: DatasetEntry, split: str | None = None, *, variant: str | None = None
) -> tuple[DataFile, ...]:
    """Return the published files of an entry: of one split or of all, in one variant.

    A file whose ``split`` is ``all`` belongs to every split.

    Parameters
    ----------
    item
        A catalogue entry.
    split
        ``train``, ``val``, ``test``, or none for all of them.
    variant
        One of the entry's variants; none means the entry's default.

    Raises
    ------
    CatalogError
        For an unknown variant.

    Examples
    --------
    >>> [file.name for file in files(entry("top_tagging"), "val")]
    ['val.h5']
    """
    known = {group.variant for group in item.files if group.variant}
    wanted = variant or item.default_variant
    if wanted and wanted not in known:
        raise CatalogError(f"'{item.title}' has no variant '{wanted}'; {nearest(wanted, known)}")
    groups = (group for group in item.files if group.variant in (wanted, None))
    every = (file for group in groups for file in group.expand(_checksums()))
    return tuple(file for file in every if split is None or file.split in (split, "all"))


@lru_cache(maxsize=1)
def _checksums() -> dict[str, str]:
    return load_yaml(_FOLDER / "data_checksums.yaml")


def citation(name: str, *, file: str | os.PathLike[str] | None = None) -> str:
    """Return what to cite for a dataset: text, links, and BibTeX.

    Examples
    --------
    >>> print(citation("top_tagging").splitlines()[0])
    Please cite for 'top_tagging' (licence: CC-BY-4.0):
    """
    view = catalog(file)
    item = view[name]
    lines = [f"Please cite for '{name}' (licence: {item.licence}):"]
    lines += [f"- {_sentence(view.citations[key])}" for key in item.citations]
    if item.doi:
        lines.append(f"- the data record, https://doi.org/{item.doi}")
    return "\n".join(lines + [""] + [_bibtex(key, view.citations[key]) for key in item.citations])


def _sentence(paper: Citation) -> str:
    links = [f"https://arxiv.org/abs/{paper.arxiv}"] if paper.arxiv else []
    links += [f"https://doi.org/{paper.doi}"] if paper.doi else []
    return ", ".join([paper.text, *links])


def _bibtex(key: str, paper: Citation) -> str:
    fields = {"author": paper.authors, "title": paper.text, "year": paper.year}
    fields |= {"eprint": paper.arxiv, "archivePrefix": paper.arxiv and "arXiv", "doi": paper.doi}
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@misc{{{key},\n{body}}}"
