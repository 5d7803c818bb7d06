"""``load("top_tagging")``: any dataset of the catalogue, published or simulated, in one line.

`load_pairs` gives the same jets before and after the detector, which is what unfolding starts from.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import Field

from omnilearn_lab import __version__
from omnilearn_lab.catalog.entries import DatasetEntry, SplitName, catalog, files
from omnilearn_lab.catalog.store import Store, checksum, open_store, unpacked_name
from omnilearn_lab.errors import CatalogError, DataFileError, OmniLearnLabError, nearest, translated
from omnilearn_lab.jets import Jets, PairedJets, read_jets, write_jets
from omnilearn_lab.jets.files import tell_left_out
from omnilearn_lab.machine import StrPath, locked, make_folder, write_text
from omnilearn_lab.readers import OmniFold, Reader, make_reader, read_level_pairs
from omnilearn_lab.settings import settings, to_mapping

log = logging.getLogger(__name__)
_SPLITS = ("train", "val", "test")


@settings
class SimulatedSet:
    """What identifies a simulated data set.

    Attributes
    ----------
    recipe
        Name of a simulation recipe.
    profile
        ``quick`` or ``production``.
    split
        ``train``, ``val`` or ``test``; splits have different seeds.
    n_jets
        Number of jets.
    seed
        The seed that the user gave.
    level
        ``truth`` or ``detector``, for sets that hold the same jets at both levels.
    version
        Version of this package.
    """

    recipe: str
    profile: str
    split: SplitName
    n_jets: Annotated[int, Field(gt=0, le=10**9)]
    seed: Annotated[int, Field(ge=0)]
    level: str = ""
    version: str = __version__

    @property
    def file_name(self) -> str:
        """Path below the data folder; it changes with the settings of the recipe."""
        from omnilearn_lab import simulation

        digest = simulation.recipe(self.recipe, profile=self.profile).digest()
        level = f"-{self.level}" if self.level else ""
        name = f"{self.split}-n{self.n_jets}-seed{self.seed}{level}-v{self.version}.h5"
        return f"simulated/{self.recipe}-{digest}/{name}"


def split_seed(seed: int, split: str) -> int:
    """Return the simulation's seed for one split: splits are independent by construction.

    Examples
    --------
    >>> len({split_seed(1, split) for split in ("train", "val", "test")})
    3
    """
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(_SPLITS.index(split),))
    return int(sequence.generate_state(1)[0] >> 1)


def load_simulated(wanted: SimulatedSet, store: Store, arguments: Mapping[str, Any] | None = None) -> Jets:
    """Return a simulated set from disk, or simulate and keep it.

    Two processes that ask for the same set at once simulate it once: the second one waits.
    A damaged file is noticed by its checksum and made again.

    Parameters
    ----------
    wanted
    store
        Where sets are kept.
    arguments
        Further arguments of `omnilearn_lab.simulation.simulate`.

    Returns
    -------
    Jets
        As read back from disk, so that the first and every later call give the same numbers.
    """
    if (jets := _kept(wanted, store)) is not None:
        return jets
    path = store.target(wanted.file_name)
    make_folder(path.parent)
    with locked(path):
        if (jets := _kept(wanted, store)) is not None:
            return jets
        made = _simulate(wanted, path.parent, arguments or {})
        write_jets(made, path, max_particles=int(made.counts.max(initial=1)))
        note = to_mapping(wanted) | {"checksum": checksum(path)}
        write_text(_sidecar(path), json.dumps(note, indent=1))
        return read_jets(path)


def _simulate(wanted: SimulatedSet, folder: Path, arguments: Mapping[str, Any]) -> Jets:
    from omnilearn_lab import simulation

    seed = split_seed(wanted.seed, wanted.split)
    log.info("simulating %d jets of '%s' (%s)", wanted.n_jets, wanted.recipe, wanted.split)
    recipe = simulation.recipe(wanted.recipe, profile=wanted.profile)
    if not wanted.level:
        return simulation.simulate(recipe, wanted.n_jets, seed=seed, cache=folder / "parts", **arguments)
    pairs = simulation.simulate_pairs(recipe, wanted.n_jets, seed=seed, cache=folder / "parts", **arguments)
    return getattr(pairs, wanted.level)


def _kept(wanted: SimulatedSet, store: Store) -> Jets | None:
    """Return the jets of a finished file; its note is written last, so a file without one is not finished."""
    note = store.find(f"{wanted.file_name}.json")
    return None if note is None else _read(note.with_suffix(""), wanted)


def _read(path: Path, wanted: SimulatedSet) -> Jets | None:
    """Return the jets of a file that is intact, else none."""
    if not os.access(path, os.R_OK):
        log.warning("this user may not read '%s' (its owner can allow it); simulating it again", path)
        return None
    try:
        with translated(DataFileError, "it cannot be read", "it is made again"):
            if json.loads(_sidecar(path).read_text())["checksum"] != checksum(path):
                raise DataFileError("its checksum is not the one noted when it was written")
            jets = read_jets(path)
    except OmniLearnLabError as error:
        log.warning("the cached file '%s' is damaged (%s); simulating it again", path, error)
        return None
    if len(jets) != wanted.n_jets:
        log.warning("'%s' holds %d jets, not %d; simulating it again", path, len(jets), wanted.n_jets)
        return None
    return jets


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")


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
    tell_left_out("the sample", len(jets) - 2 * len(first), len(jets), "one of two jets of an event")
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


Source = Literal["auto", "simulated", "published"]


@settings
class LoadOptions:
    """How `load` goes about its work; the defaults suit a laptop.

    Attributes
    ----------
    data_dir
        Data folder; see `omnilearn_lab.catalog.open_store`.
    catalog_file
        A catalogue file of the user's own.
    variant
        Another version of the dataset, such as ``herwig``; see the entry's files.
    max_particles
        Keep the hardest particles only; none keeps all.
    n_simulated
        Jets to simulate when ``max_jets`` is not given.
    profile
        How the stand-in is simulated: ``quick`` or ``production``.
    simulation
        Further arguments of `omnilearn_lab.simulation.simulate`, such as ``workers``.

    Examples
    --------
    >>> LoadOptions(max_particles=30).n_simulated
    10000
    """

    data_dir: StrPath | None = None
    catalog_file: StrPath | None = None
    variant: str | None = None
    max_particles: Annotated[int, Field(gt=0)] | None = None
    n_simulated: Annotated[int, Field(gt=0)] = 10_000
    profile: str = "quick"
    simulation: Mapping[str, Any] = Field(default_factory=dict)


def load(
    name: str,
    split: SplitName = "train",
    *,
    source: Source = "auto",
    max_jets: int | None = None,
    seed: int = 1,
    options: LoadOptions | None = None,
) -> Jets:
    """Load jets of a dataset of the catalogue.

    Parameters
    ----------
    name
        A dataset, see `omnilearn_lab.catalog.catalog`.
    split
        ``train``, ``val`` or ``test``. Simulated splits have different seeds; published ones are
        the publisher's, or disjoint fractions of the files where there are none.
    source
        ``published``: the published files, which must be there. ``simulated``: the stand-in,
        simulated now or taken from the cache. ``auto``: published when there, else simulated.
    max_jets
        Number of jets; none means all published jets, or ``options.n_simulated`` simulated ones.
    seed
        Fixes the simulation, and the choice and order of published jets.
    options
        Folders and limits.

    Returns
    -------
    Jets
        In random order; ``provenance`` names dataset, split, source and seed.

    Raises
    ------
    CatalogError
        For an unknown dataset, split or source, or a dataset without stand-in.
    DataFileError
        When published files are asked for and are not there: the message says where to put them.

    Examples
    --------
    >>> load("top_taging")
    Traceback (most recent call last):
    omnilearn_lab.errors.CatalogError: dataset 'top_taging' is not in the catalogue; known: ... 'top_tagging'?
    """
    options = options or LoadOptions()
    item, published, store = _look_up(name, split, source, max_jets, options)
    if published is None:
        recipe = item.recipe_variants.get(options.variant or "", str(item.recipe))
        wanted = SimulatedSet(recipe, options.profile, split, max_jets or options.n_simulated, seed)
        jets, used = load_simulated(wanted, store, options.simulation), "simulated"
    else:
        jets, used = load_published(published, max_jets=max_jets, seed=seed), "published"
    log.info("%s/%s: %d %s jets", name, split, len(jets), used)
    jets = jets if options.max_particles is None else jets.truncate(options.max_particles)
    facts = {"dataset": name, "split": split, "source": used, "seed": seed}
    facts |= {"variant": options.variant} if options.variant else {}
    facts |= {"unverified": True} if published is not None and published.is_unverified else {}
    return replace(jets, class_names=_class_names(item, jets, used), provenance={**jets.provenance, **facts})


def load_pairs(
    name: str = "omnifold_zjets",
    split: SplitName = "train",
    *,
    source: Source = "auto",
    max_jets: int | None = None,
    seed: int = 1,
    options: LoadOptions | None = None,
) -> PairedJets:
    """Load jets at particle level and at detector level; parameters as in `load`.

    Returns
    -------
    PairedJets
        ``truth`` and ``detector``, of equal length: row i of both comes from one event.

    Raises
    ------
    CatalogError
        Also for a dataset that has one level only.

    Examples
    --------
    >>> load_pairs("jetclass")
    Traceback (most recent call last):
    omnilearn_lab.errors.CatalogError: dataset 'jetclass' has one level only; use load() for it
    """
    options = options or LoadOptions()
    if catalog(options.catalog_file)[name].reader != OmniFold.name:
        raise CatalogError(f"dataset '{name}' has one level only; use load() for it")
    item, published, store = _look_up(name, split, source, max_jets, options)
    if published is not None:
        pairs, used = _published_pairs(published, max_jets, seed), "published"
    else:
        n_jets = max_jets or options.n_simulated
        wanted = SimulatedSet(str(item.recipe), options.profile, split, n_jets, seed)
        levels = [replace(wanted, level=name) for name in ("truth", "detector")]
        pairs = PairedJets(*(load_simulated(level, store, options.simulation) for level in levels))
        used = "simulated"
    log.info("%s/%s: %d %s pairs of jets", name, split, len(pairs), used)
    return pairs


def _look_up(
    name: str, split: SplitName, source: str, max_jets: int | None, options: LoadOptions
) -> tuple[DatasetEntry, PublishedFiles | None, Store]:
    """Return the entry, the published files where they are to be used, and the store; refuse what is not."""
    item = catalog(options.catalog_file)[name]
    if split not in item.splits:
        raise CatalogError(f"dataset '{name}' has no split '{split}'; {nearest(split, item.splits)}")
    if source not in get_args(Source):
        raise CatalogError(f"there is no source '{source}'; {nearest(source, get_args(Source))}")
    if source == "simulated" and item.recipe is None:
        raise CatalogError(f"dataset '{name}' has no simulated stand-in; use source='published'")
    if source != "simulated" or options.variant not in item.recipe_variants:
        files(item, split, variant=options.variant)  # names an unknown variant
    if max_jets is not None and max_jets < 1:
        raise CatalogError(f"max_jets is {max_jets}; at least 1 is needed")
    store = open_store(options.data_dir)
    published = None
    if source != "simulated":
        published = find_published(name, item, split, store, variant=options.variant)
    if published is None and (source == "published" or item.recipe is None):
        raise DataFileError(where_to_put(name, item, split, store))
    return item, published, store


def _class_names(item: DatasetEntry, jets: Jets, used: str) -> tuple[str, ...]:
    """The catalogue's class names, unless the stand-in has classes of its own."""
    is_own = item.stand_in_keeps_names and used == "simulated"
    return jets.class_names if is_own or len(item.classes) != len(jets.class_names) else item.classes


def _published_pairs(published: PublishedFiles, max_jets: int | None, seed: int) -> PairedJets:
    reader = published.reader if isinstance(published.reader, OmniFold) else OmniFold()
    parts, missing = [], max_jets
    for path in published.paths:
        parts.append(read_level_pairs(path, stop=missing, reader=reader))
        missing = None if missing is None else missing - len(parts[-1])
        if missing is not None and missing <= 0:
            break
    levels = ([getattr(part, level) for part in parts] for level in ("truth", "detector"))
    pairs = PairedJets(*map(Jets.concatenate, levels))
    return pairs[np.random.default_rng(seed).permutation(len(pairs))]
