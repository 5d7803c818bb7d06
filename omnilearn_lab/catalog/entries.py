"""What a data catalogue may say, checked when it is read; its entries, files, citations and table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from omnilearn_lab.display import html_table
from omnilearn_lab.errors import CatalogError, ConfigError, first_lines, nearest, translated
from omnilearn_lab.machine import StrPath
from omnilearn_lab.settings import load_yaml

SplitName = Literal["train", "val", "test"]
_DIGITS = {"md5": 32, "sha256": 64, "adler32": 8}


def _https(url: str) -> str:
    if not re.fullmatch(r"https://[^\s/]+/\S*", url):
        raise ValueError("an https:// address is expected")
    return url


def _relative(name: str) -> str:
    parts = PurePosixPath(name).parts
    is_odd = not name.isprintable() or any(len(part.encode()) > 200 for part in parts)
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or is_odd:
        raise ValueError("a relative file name that stays inside the data folder is expected")
    return name


def _checksum(text: str) -> str:
    kind, _, value = text.partition(":")
    if len(value) != _DIGITS.get(kind) or not re.fullmatch(r"[0-9a-f]+", value):
        raise ValueError("'md5:', 'sha256:' or 'adler32:' and 32, 64 or 8 hexadecimal digits are expected")
    return text


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the first number must not be above the last")
    return pair


Number = Annotated[int, Field(ge=0, lt=100_000)]  # of a file in a series
Share = Annotated[float, Field(ge=0, le=1)]
Url = Annotated[str, AfterValidator(_https)]
FileName = Annotated[str, AfterValidator(_relative)]
Checksum = Annotated[str, AfterValidator(_checksum)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataFile(_Strict):
    """One file of a dataset.

    Attributes
    ----------
    name
        Path below the dataset's folder.
    url
        Direct address; none for files that users bring themselves.
    split
        ``train``, ``val``, ``test``, or ``all`` when splits are fractions of each file.
    size
        Bytes, where known.
    checksum
        ``md5:``, ``sha256:`` or ``adler32:`` and the digits, where known.
    checksum_source
        ``publisher``: taken from the publisher's own list. ``reported``: given by a third party.
        ``unknown``: recorded locally when the file is first downloaded.
    variant
        Which version of the dataset the file belongs to (another generator, level or year).

    Examples
    --------
    >>> DataFile(name="g.hdf5", url="https://zenodo.org/records/6975118/files/g.hdf5").split
    'all'
    """

    name: FileName
    url: Url | None = None
    split: SplitName | Literal["all"] = "all"
    size: int | None = Field(default=None, gt=0, le=10**15)
    checksum: Checksum | None = None
    checksum_source: Literal["publisher", "reported", "unknown"] = "unknown"
    variant: str | None = None


class FileGroup(DataFile):
    """A file, or a numbered series of files sharing one pattern.

    ``{i}`` in ``name`` stands for the number; ``{name}`` in ``url`` for the file name.
    ``numbers`` gives the first and last number, ``digits`` pads them with zeros, and
    ``checksums`` names a list in the companion file ``data_checksums.yaml``, whose first item
    belongs to number ``checksums_start``.

    Examples
    --------
    >>> group = FileGroup(name="QG_jets_{i}.npz", numbers=(1, 3), url="https://zenodo.org/x/{name}")
    >>> [file.name for file in group.expand({})]
    ['QG_jets_1.npz', 'QG_jets_2.npz', 'QG_jets_3.npz']
    """

    name: FileName
    numbers: Annotated[tuple[Number, Number], AfterValidator(_rising)] | None = None
    digits: int = Field(default=1, ge=1, le=20)
    checksums: str | None = None
    checksums_start: Number = 0

    def expand(self, checksums: Mapping[str, str]) -> tuple[DataFile, ...]:
        """Return the files of the group; ``checksums`` maps a series to its list."""
        first, last = self.numbers or (0, 0)
        if self.checksums and self.checksums not in checksums:
            raise CatalogError(
                f"file '{self.name}', field 'checksums': no list '{self.checksums}'; "
                + nearest(self.checksums, checksums)
            )
        listed = checksums[self.checksums].split() if self.checksums else []
        if listed and first < self.checksums_start:
            raise CatalogError(f"file '{self.name}', field 'checksums_start': it is above the first number")
        if listed and last - self.checksums_start >= len(listed):
            raise CatalogError(
                f"file '{self.name}', field 'numbers': only {len(listed)} checksums are listed"
            )
        with translated(CatalogError, f"file '{self.name}' cannot be spelled out", "correct its entry"):
            return tuple(self._file(i, listed) for i in range(first, last + 1))

    def _file(self, number: int, listed: list[str]) -> DataFile:
        name = self.name.replace("{i}", str(number).zfill(self.digits))
        values = self.model_dump(include=set(DataFile.model_fields)) | {"name": name}
        if self.url:
            values["url"] = self.url.replace("{name}", name)
        if listed:
            digest, _, size = listed[number - self.checksums_start].partition("/")
            values |= {"checksum": f"md5:{digest}", "size": int(size) if size else None}
        return DataFile(**values)


class SplitSpec(_Strict):
    """How many jets a split holds, and which part of each file when files are shared.

    Examples
    --------
    >>> SplitSpec(jets=1_211_000).fraction is None
    True
    """

    jets: int | None = Field(default=None, gt=0, le=10**15)
    fraction: Annotated[tuple[Share, Share], AfterValidator(_rising)] | None = None


class Citation(_Strict):
    """A paper or record to cite."""

    text: str
    authors: str | None = None
    """As BibTeX wants them: "Last, First and Last, First and others"."""
    year: int | None = None
    arxiv: str | None = None
    doi: str | None = None


class DatasetEntry(_Strict):
    """Everything the package knows about one dataset.

    Examples
    --------
    >>> from omnilearn_lab.catalog import entry
    >>> entry("top_tagging").classes
    ('QCD', 'top')
    """

    title: str
    physics: str
    selection: str
    kind: Literal["simulation", "data", "mixed"]
    availability: Literal["public", "portal", "on_request"]
    record: Url | None = None
    doi: str | None = None
    licence: str
    citations: tuple[str, ...] = Field(min_length=1)
    table: str | None = None
    splits: dict[SplitName, SplitSpec] = Field(min_length=1)
    files: tuple[FileGroup, ...] = ()
    default_variant: str | None = None
    size_gb: float | None = Field(default=None, gt=0)
    format: Literal["root", "parquet", "pandas_hdf", "h5_plain", "h5_compound", "npz", "ml_ready", "lmdb"]
    reader: str
    reader_options: dict[str, Any] = {}
    variant_options: dict[str, dict[str, Any]] = {}
    needs: tuple[str, ...] = ()
    unit: Literal["GeV", "MeV"] = "GeV"
    four_vector: str = ""
    sorted_by_pt: bool = True
    n_particles: int | None = Field(default=None, gt=0)
    n_features: int | None = Field(default=None, gt=0)
    classes: tuple[str, ...] = ()
    omnilearned_name: str | None = None
    omnilearned_shift: int | None = None
    recipe: str | None = None
    recipe_variants: dict[str, str] = {}
    stand_in: str | None = None
    stand_in_keeps_names: bool = False
    pitfalls: tuple[str, ...] = ()


class Catalogue(_Strict):
    """A whole catalogue file.

    Examples
    --------
    >>> from omnilearn_lab.catalog import catalog
    >>> "jetclass" in catalog().entries
    True
    """

    version: Literal[1]
    datasets: dict[str, DatasetEntry] = {}
    citations: dict[str, Citation] = {}


def read_catalogue(path: str | Path) -> Catalogue:
    """Read and check one catalogue file.

    Parameters
    ----------
    path
        A YAML file with the keys ``version``, ``datasets`` and ``citations``.

    Returns
    -------
    Catalogue

    Raises
    ------
    CatalogError
        When the file is missing, is not YAML, or breaks the schema; the message names file,
        entry, field, what was expected, and the nearest accepted key.
    """
    path = Path(path)
    with translated(CatalogError, f"the catalogue file '{path}' cannot be read", "check the path"):
        return _read(str(path.resolve()), path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: str, _changed: int) -> Catalogue:
    try:
        values = load_yaml(Path(path))
    except ConfigError as error:
        raise CatalogError(str(error)) from error
    if not isinstance(values, dict):
        raise CatalogError(f"'{path}' holds {type(values).__name__}; a mapping with 'version' is expected")
    try:
        return Catalogue.model_validate(values)
    except pydantic.ValidationError as error:
        lines = first_lines(_line(item) for item in error.errors())
        raise CatalogError(f"'{path}' is not a valid catalogue:\n{lines}") from error


def _line(item: Any) -> str:
    place = [str(part) for part in item["loc"]]
    label = "entry '" + place[1] + "', " if place[0] == "datasets" and len(place) > 1 else ""
    field = ".".join(place[2:] if label else place)
    text = f"  {label}field '{field}': {item['msg'].removeprefix('Value error, ')}"
    if item["type"] == "extra_forbidden":
        return f"  {label}field '{field}': unknown key; {nearest(place[-1], _known(place))}"
    return f"{text}; found {item['input']!r:.80}" if item["type"] != "missing" else text


def _known(place: list[str]) -> list[str]:
    """Names of the accepted keys beside the key at ``place``."""
    model: Any = Catalogue
    for part in place[:-1]:
        if not part.isdigit() and part in getattr(model, "model_fields", {}):
            model = _inner(model.model_fields[part].annotation)
    return list(model.model_fields)


def _inner(hint: Any) -> Any:
    """Return the model class named inside a type such as ``dict[str, Model]``."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint
    found = (_inner(option) for option in get_args(hint))
    return next((model for model in found if model is not None), None)


CATALOG_VARIABLE = "OMNILEARN_LAB_CATALOG"
"""Environment variable that names a catalogue file of the user's own."""

_FOLDER = Path(__file__).parent
COLUMNS = ("name", "title", "kind", "published jets", "GB", "simulated stand-in")


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
        table = [COLUMNS, *self.rows()]
        widths = [max(len(row[i]) for row in table) for i in range(len(COLUMNS))]
        lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in table)
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        return html_table([COLUMNS, *self.rows()])


def _row(name: str, item: DatasetEntry) -> tuple[str, ...]:
    jets = sum(split.jets or 0 for split in item.splits.values())
    place = "" if item.availability == "public" else f" ({item.availability.replace('_', ' ')})"
    size = f"{item.size_gb:g}" if item.size_gb else "-"
    published = (f"{jets:,}" if jets else "-") + place
    return name, item.title, item.kind, published, size, item.recipe or "-"


def catalog(file: StrPath | None = None) -> CatalogView:
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
            version=1, datasets=merged.datasets | part.datasets, citations=merged.citations | part.citations
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


def entry(name: str, *, file: StrPath | None = None) -> DatasetEntry:
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


def citation(name: str, *, file: StrPath | None = None) -> str:
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
