"""Published files to the ML-ready layout: one output per input, by several processes or a cluster."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from omnilearn_lab.catalog.entries import catalog
from omnilearn_lab.catalog.load import CONVERTED, PublishedFiles, find_published, where_to_put
from omnilearn_lab.catalog.store import open_store
from omnilearn_lab.errors import CatalogError, DataFileError, nearest, translated
from omnilearn_lab.machine import StrPath, as_finished, locked, make_folder, write_text
from omnilearn_lab.readers import ConvertOptions, Reader, convert
from omnilearn_lab.settings import settings, to_mapping

log = logging.getLogger(__name__)
_NOTE = ".conversion.json"  # in a folder: how its files are made


@settings
class DatasetConversion:
    """How `convert_dataset` works.

    Attributes
    ----------
    data_dir
        Data folder; see `omnilearn_lab.catalog.open_store`.
    catalog_file
        A catalogue file of the user's own.
    drop_bad_jets
        Leave out jets that are not valid, with a logged count, instead of stopping at the first.
    options : ConvertOptions
        With ``max_jets``, everything goes into one file.

    Examples
    --------
    >>> DatasetConversion(options=ConvertOptions(max_jets=1000)).options.max_particles
    150
    """

    data_dir: StrPath | None = None
    catalog_file: StrPath | None = None
    drop_bad_jets: bool = False
    options: ConvertOptions = ConvertOptions()


def convert_dataset(
    name: str, split: str = "train", *, config: DatasetConversion | None = None, workers: Any = None
) -> Path:
    """Convert the published files of a dataset that are on this machine.

    The copy lies in ``<data>/<name>/ml_ready/<split>/``, where `omnilearn_lab.catalog.load`
    looks first; of a dataset with variants it is the default one. The folder appears under its name
    only when all files are there; an interrupted conversion goes on with the files that are missing.

    Parameters
    ----------
    name, split
        A dataset of the catalogue.
    config
    workers
        As for `convert_files`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    CatalogError
        For an unknown dataset or split.
    DataFileError
        When the published files are not here, or are damaged, or were converted before.
    """
    config = config or DatasetConversion()
    item = catalog(config.catalog_file)[name]
    if split not in item.splits:
        raise CatalogError(f"dataset '{name}' has no split '{split}'; {nearest(split, item.splits)}")
    store = open_store(config.data_dir)
    folder = store.target(f"{name}/{CONVERTED}/{split}")
    make_folder(folder.parent)
    with locked(folder):
        if done := store.find(f"{name}/{CONVERTED}/{split}"):
            raise DataFileError(f"'{name}/{split}' was converted before; delete '{done}' to do it again")
        published = find_published(name, item, split, store)
        if published is None:
            raise DataFileError(where_to_put(name, item, split, store))
        _convert_published(published, folder, config, workers)
    return folder


def _convert_published(
    published: PublishedFiles, folder: Path, config: DatasetConversion, workers: Any
) -> None:
    unfinished = make_folder(folder.with_name(f"{folder.name}.unfinished"))
    reader = replace(published.reader, bad_jets="drop") if config.drop_bad_jets else published.reader
    options = replace(config.options, fraction=published.fraction)
    if options.max_jets is None:
        convert_files(published.paths, unfinished, reader, options=options, workers=workers)
    else:
        _note(unfinished, {"jets.h5": "all files"}, reader, options)
        options = evenly(options, len(published.paths))
        convert(published.paths, unfinished / "jets.h5", reader, options=options)
    (unfinished / _NOTE).unlink()
    unfinished.replace(folder)


def _note(folder: Path, files: Mapping[str, str], reader: Reader, options: ConvertOptions | None) -> None:
    """Leave word of how a folder's files are made; files made otherwise are not mixed with them.

    Raises
    ------
    DataFileError
        When the folder was begun in another way, naming what differs.
    """
    path = make_folder(folder) / _NOTE
    how = {"reader": repr(reader)} | to_mapping(options or ConvertOptions())
    before: dict[str, Any] = {"how": {}, "files": {}}
    if path.is_file():
        with translated(DataFileError, f"'{path}' is damaged", f"delete '{folder}' to convert anew"):
            before = {key: dict(json.loads(path.read_text(encoding="utf-8"))[key]) for key in before}
    if not any((folder / name).exists() for name in before["files"]):
        before = {"how": {}, "files": {}}  # nothing was finished
    for was, now in ((before["how"], how), (before["files"], files)):
        for key in sorted(was.keys() & now.keys()):
            if was[key] != now[key]:
                raise DataFileError(
                    f"'{folder}' was begun with {key}: {was[key]}, asked now: {now[key]}; its files would be "
                    "a mixture. Ask for the same, use another folder, or delete this one to begin anew"
                )
    write_text(path, json.dumps({"how": how, "files": {**before["files"], **files}}, indent=1))


def evenly(options: ConvertOptions, n_files: int) -> ConvertOptions:
    """Return options with which a limited number of jets comes from all files in equal parts.

    Examples
    --------
    >>> evenly(ConvertOptions(max_jets=1000), 10).chunk
    100
    """
    if options.max_jets is None:
        return options
    return replace(options, chunk=min(options.chunk, -(-options.max_jets // n_files)))


def convert_files(
    paths: Sequence[StrPath],
    folder: StrPath,
    reader: Reader,
    *,
    options: ConvertOptions | None = None,
    workers: int | Any | None = None,
) -> list[Path]:
    """Convert files one by one into a folder; those that are there already stay as they are.

    Parameters
    ----------
    paths
        Files, read with ``reader``; equal names in several folders are told apart by a number.
    folder
        Target.
    reader
        See `omnilearn_lab.readers.make_reader`.
    options : ConvertOptions
        They hold for every single file.
    workers : int or executor, optional
        Number of processes; all usable cores by default, 1 to stay in this process. Anything with
        ``submit`` also works, such as a Dask client whose workers see the same folders.

    Returns
    -------
    list of Path
        In the order of ``paths``.

    Raises
    ------
    DataFileError
        When a file is damaged, the folder cannot be written, or it was begun with other files or options.
        Files converted until then stay.
    """
    if not paths:
        raise DataFileError(f"nothing to convert to '{folder}': the list of files is empty")
    sources = [Path(path).absolute() for path in paths]
    targets = [Path(folder).absolute() / name for name in _target_names(sources)]
    files = {target.name: str(source) for source, target in zip(sources, targets, strict=True)}
    _note(Path(folder), files, reader, options)
    jobs = {t.name: (s, t, reader) for s, t in zip(sources, targets, strict=True) if not t.exists()}
    log.info("converting %d of %d files", len(jobs), len(sources))
    for name, _ in as_finished(partial(convert, options=options), jobs, workers):
        log.info("converted '%s'", name)
    return targets


def _target_names(sources: Sequence[Path]) -> list[str]:
    """Return names ending in .h5, unique, and independent of which targets exist.

    >>> _target_names([Path("a/x.root"), Path("b/x.root"), Path("b/y.h5")])
    ['x.h5', 'x-1.h5', 'y.h5']
    """
    names: list[str] = []
    stem: Callable[[Path], str] = lambda path: path.name.split(".")[0]  # noqa: E731
    for path in sources:
        number = sum(stem(other) == stem(path) for other in sources[: len(names)])
        names.append(f"{stem(path)}-{number}.h5" if number else f"{stem(path)}.h5")
    return names
