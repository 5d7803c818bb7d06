"""Published files that are already on this machine: finding them, and reading jets from them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn_lab.catalog.archives import unpacked_name
from omnilearn_lab.catalog.entries import files
from omnilearn_lab.catalog.schema import DatasetEntry, SplitName
from omnilearn_lab.catalog.store import Store
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import Jets
from omnilearn_lab.readers import Reader, make_reader

log = logging.getLogger(__name__)
CONVERTED = "ml_ready"
"""Folder of converted copies, below the dataset's folder."""

_FILES_PER_LOAD = 40


@dataclass(frozen=True)
class PublishedFiles:
    """Files of one split, with the reader that understands them.

    Attributes
    ----------
    paths
    reader
    fraction
        The part of each file's rows that belongs to the split.
    is_unverified
        Whether the publisher gives no checksum of some of them.
    """

    paths: tuple[Path, ...]
    reader: Reader
    fraction: tuple[float, float] = (0.0, 1.0)
    is_unverified: bool = False


def find_published(
    name: str, item: DatasetEntry, split: SplitName, store: Store, *, variant: str | None = None
) -> PublishedFiles | None:
    """Return the files of a split that are on this machine, or none.

    Looked for, in this order: a converted copy in ``<name>/ml_ready/<split>/``, the published
    files in ``<name>/`` (archives in the folder they were unpacked into), and files of the user's
    own in ``<name>/<split>/``.
    """
    if converted := _inside(store.find(f"{name}/{CONVERTED}/{split}"), (".h5", ".hdf5")):
        return PublishedFiles(converted, make_reader("ml_ready"))
    chosen = item.variant_options.get(variant or item.default_variant or "", {})
    reader = make_reader(item.reader, **{**item.reader_options, **chosen})
    expected = files(item, split, variant=variant)
    groups = [_present(store.find(f"{name}/{unpacked_name(file.name)}"), reader) for file in expected]
    if found := tuple(path for group in groups for path in group):
        missing = groups.count(())
        if missing:
            here = len(groups) - missing
            log.info("%s/%s: %d of %d published files are here", name, split, here, len(groups))
        used = [file for group, file in zip(groups, expected, strict=True) if group]
        is_unverified = any(file.checksum is None for file in used)
        return PublishedFiles(found, reader, item.splits[split].fraction or (0.0, 1.0), is_unverified)
    own = _inside(store.find(f"{name}/{split}"), reader.suffixes)
    return PublishedFiles(own, reader) if own else None


def _present(place: Path | None, reader: Reader) -> tuple[Path, ...]:
    if place is not None and place.is_file():
        return (place,)
    return _inside(place, reader.suffixes)


def _inside(folder: Path | None, suffixes: Sequence[str]) -> tuple[Path, ...]:
    """Return the data files below a folder, in the order of their names."""
    if folder is None or not folder.is_dir():
        return ()
    return tuple(sorted(p for p in folder.rglob("*") if p.name.endswith(tuple(suffixes)) and p.is_file()))


def where_to_put(name: str, item: DatasetEntry, split: str, store: Store) -> str:
    """Return a message that says which files are missing, from where, and where they belong."""
    expected = files(item, split)
    if not expected:
        return (
            f"'{name}' has no public download ({item.availability}); put its files in "
            f"'{store.target(f'{name}/{split}')}'" + (", or use source='simulated'" if item.recipe else "")
        )
    first = expected[0]
    return (
        f"the published files of '{name}/{split}' are not here: {len(expected)} files such as '{first.name}' "
        f"({first.url}); run omnilearn_lab.catalog.fetch('{name}', split='{split}'), or put them by hand "
        f"into '{store.target(name)}'" + (", or use source='simulated'" if item.recipe else "")
    )


def load_published(found: PublishedFiles, *, max_jets: int | None = None, seed: int = 1) -> Jets:
    """Read jets from published files, in random order.

    With ``max_jets``, up to 40 files are read that cover all processes evenly (files of one
    process have names that differ in their numbers only), and from each a block of rows at a
    random place.

    Parameters
    ----------
    found
    max_jets
        None reads everything: use streaming batches for sets that do not fit in memory.
    seed
        Fixes the choice and the order.

    Raises
    ------
    DataFileError
        When a file is damaged, or no jet is left.
    """
    rng = np.random.default_rng(seed)
    paths = found.paths if max_jets is None else _spread(found.paths, _FILES_PER_LOAD, rng)
    parts: list[Jets] = []
    for number, path in enumerate(paths):
        missing = None if max_jets is None else max_jets - sum(map(len, parts))
        wanted = None if missing is None else -(-missing // (len(paths) - number))
        parts += _some_rows(found, path, wanted, rng)
    if not sum(map(len, parts)):
        raise DataFileError(f"no jets in {len(paths)} files such as '{paths[0]}'; are they complete?")
    return _shuffled(Jets.concatenate(parts), seed)[:max_jets]


def _shuffled(jets: Jets, seed: int) -> Jets:
    """Random order; two jets of one event (``rank`` 0 and 1) stay together, single ones are left out."""
    if "rank" not in jets.jet:
        return jets.shuffle(seed)
    event, rank = jets.jet["event"], jets.jet["rank"]
    first = np.flatnonzero((rank[:-1] == 0) & (rank[1:] == 1) & (event[:-1] == event[1:]))
    first = np.random.default_rng(seed).permutation(first)
    return jets[np.stack([first, first + 1], axis=1).ravel()]


def _some_rows(found: PublishedFiles, path: Path, wanted: int | None, rng: np.random.Generator) -> list[Jets]:
    """Read ``wanted`` jets in one block at a random place of the split's part of a file."""
    total = found.reader.count(path)
    first, last = (round(edge * total) for edge in found.fraction)
    if wanted is not None and wanted < last - first:
        first += int(rng.integers(last - first - wanted + 1))
        last = first + wanted
    return list(found.reader.iterate(path, start=first, stop=last))


def _spread(paths: Sequence[Path], limit: int, rng: np.random.Generator) -> list[Path]:
    """Choose at most ``limit`` files (at least one per process), evenly from all processes."""
    groups: dict[str, list[Any]] = {}
    for path in paths:
        groups.setdefault(re.sub(r"\d+", "", path.name), []).append(path)
    for group in groups.values():
        rng.shuffle(group)
    rounds = max(map(len, groups.values()))
    in_turn = [group[i] for i in range(rounds) for group in groups.values() if i < len(group)]
    return in_turn[: max(limit - limit % len(groups), len(groups))]
