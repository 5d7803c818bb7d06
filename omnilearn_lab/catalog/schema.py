"""What a data catalogue may say: the types behind ``data_catalog.yaml``, checked when it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, get_args

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from omnilearn_lab.errors import CatalogError, ConfigError, nearest, translated
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
    format: Literal["root", "parquet", "pandas_hdf", "h5_plain", "h5_compound", "npz", "ml_ready"]
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
        raise CatalogError(_explain(path, error)) from error


def _explain(path: str, error: pydantic.ValidationError) -> str:
    return f"'{path}' is not a valid catalogue:\n" + "\n".join(_line(item) for item in error.errors())


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
