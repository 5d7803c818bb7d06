"""Getting published files: several at once, checked, resumed, unpacked; never half-written."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field
from tqdm.auto import tqdm

from omnilearn_lab.catalog.download import (
    Download,
    DownloadSettings,
    FileStatus,
    OfflineError,
    check_file,
    place,
    record,
)
from omnilearn_lab.catalog.entries import DataFile, catalog, files
from omnilearn_lab.catalog.store import Store, open_store, unpack, unpacked_name
from omnilearn_lab.errors import CatalogError, DownloadError
from omnilearn_lab.machine import StrPath, locked, make_folder
from omnilearn_lab.settings import settings

log = logging.getLogger(__name__)
_MARGIN = 1.05
_GB = 1e9


@settings
class FetchOptions:
    """How `fetch` works.

    Attributes
    ----------
    data_dir
        Data folder; see `omnilearn_lab.catalog.open_store`.
    catalog_file
        A catalogue file of the user's own.
    variant
        Another version of the published files, such as ``herwig``.
    parallel
        Files at once.
    keep_archives
        Keep ``.tar`` and ``.zip`` files after they were unpacked.
    progress
        Show a progress bar.
    download : DownloadSettings
        Retries and time-outs.

    Examples
    --------
    >>> FetchOptions(parallel=1).keep_archives
    False
    """

    data_dir: StrPath | None = None
    catalog_file: StrPath | None = None
    variant: str | None = None
    parallel: Annotated[int, Field(ge=1, le=64)] = 3
    keep_archives: bool = False
    progress: bool = True
    download: DownloadSettings = DownloadSettings()


def fetch(
    name: str, *, split: str | None = None, subset: int | None = None, options: FetchOptions | None = None
) -> list[Path]:
    """Download the published files of a dataset, check and unpack them.

    A file that is there with the right checksum costs no network call. A download that was
    interrupted goes on where it stopped. A file gets its final name only when it is complete
    and its checksum is right. Where the publisher gives none, the file is only known to begin and end as
    its format asks for; it counts as unverified, a warning says so, and its checksum is recorded.

    Parameters
    ----------
    name
        A dataset of the catalogue.
    split
        ``train``, ``val`` or ``test``; none means all.
    subset
        The first files only.
    options

    Returns
    -------
    list of Path
        The files, or the folders that archives were unpacked into.

    Raises
    ------
    CatalogError
        For an unknown dataset, or one without public files.
    DownloadError
        When the disk has no room for the files, or a file could not be fetched: the message
        names file, address, and where to put it by hand.
    """
    options = options or FetchOptions()
    item = catalog(options.catalog_file)[name]
    wanted = [file for file in files(item, split, variant=options.variant) if file.url]
    if not wanted:
        raise CatalogError(
            f"dataset '{name}' has no files with an address ({item.availability}); "
            f"see {item.record or item.doi or 'its citation'}"
        )
    return fetch_files(name, wanted[:subset], open_store(options.data_dir), options)


def fetch_files(name: str, wanted: Sequence[DataFile], store: Store, options: FetchOptions) -> list[Path]:
    """Download the given files into ``<store>/<name>/``; see `fetch`."""
    folder = make_folder(store.target(name))
    missing = [file for file in wanted if not check_file(name, file, store).is_here]
    _check_space(folder, missing)
    sizes = [file.size for file in missing]
    total = sum(filter(None, sizes)) if all(sizes) else None
    look = {"unit": "B", "unit_scale": True, "disable": not (options.progress and missing)}
    with tqdm(total=total, desc=f"fetching {name}", **look) as bar:
        _Job(name, store, options, _Progress(bar)).run(wanted)
    unverified = [file.name for file in missing if file.checksum is None]
    if unverified:
        log.warning(
            "%d of %d files are unverified: their publisher gives no checksum (%s, ...); they begin and end "
            "as their format asks for, and 'omnilearn-lab data verify %s' tells when one changes",
            len(unverified),
            len(wanted),
            unverified[0],
            name,
        )
    return [place(name, file, store) for file in wanted]


class _Progress:
    """One bar for all bytes of a fetch, shared by its threads; also how they are told to stop."""

    def __init__(self, bar: tqdm) -> None:
        self._bar, self._lock, self.stop = bar, threading.Lock(), threading.Event()

    def __call__(self, change: int) -> None:
        if self.stop.is_set():
            raise DownloadError("the download was stopped; call fetch again to go on")
        with self._lock:
            self._bar.update(change)


@dataclass(frozen=True)
class _Job:
    """What every thread of one fetch needs to know."""

    name: str
    store: Store
    options: FetchOptions
    progress: _Progress

    def run(self, wanted: Sequence[DataFile]) -> None:
        """Fetch files, several at once; the failure of one does not stop the others."""
        with ThreadPoolExecutor(max_workers=self.options.parallel) as pool:
            futures = [pool.submit(self.one, file) for file in wanted]
            try:
                failures = [error for future in futures if (error := future.exception()) is not None]
            except BaseException:
                self.progress.stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for other in failures[1:]:
            if not isinstance(other, OfflineError):  # which the first one tells for all
                log.error("%s", other)
        if failures:
            raise failures[0]

    def one(self, file: DataFile) -> None:
        """Fetch, check and unpack one file, while no other process does."""
        target = self.store.target(f"{self.name}/{file.name}")
        make_folder(target.parent)
        with locked(target):
            is_new = not check_file(self.name, file, self.store).is_here
            if is_new:
                _set_aside(target)
                download = Download(target, file, self.options.download, self.progress)
                record(self.store.target(self.name), file, download.fetch())
                download.finish()
            archive = self.store.find(f"{self.name}/{file.name}")
            if archive is not None and unpacked_name(file.name) != file.name:
                unpack(archive, target.with_name(unpacked_name(target.name)))
                if is_new and not self.options.keep_archives:
                    archive.unlink()


def _set_aside(target: Path) -> None:
    """Keep a wrong file under a name that is free instead of overwriting it."""
    if target.exists():
        names = [target.with_name(f"{target.name}.wrong{number or ''}") for number in range(100)]
        aside = next((name for name in names if not name.exists()), names[-1])
        log.warning("'%s' is not the published file; it is kept as '%s'", target, aside.name)
        target.replace(aside)


def _check_space(folder: Path, missing: Sequence[DataFile]) -> None:
    arrived = sum(p.stat().st_size for file in missing if (p := folder / f"{file.name}.part").exists())
    needed = _MARGIN * (sum(file.size or 0 for file in missing) - arrived)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{len(missing)} files need {needed / _GB:.2f} GB, and '{folder}' has {free / _GB:.2f} GB free; "
            "make room, take the first files only (subset=...), or choose another data folder"
        )


def verify(name: str, *, split: str | None = None, options: FetchOptions | None = None) -> list[FileStatus]:
    """Read every local file of a dataset again and compare checksums.

    Returns
    -------
    list of FileStatus

    Raises
    ------
    CatalogError
        For an unknown dataset.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     verify("top_tagging", split="val", options=FetchOptions(data_dir=folder))[0].state
    'missing'
    """
    options = options or FetchOptions()
    item = catalog(options.catalog_file)[name]
    store = open_store(options.data_dir)
    wanted = files(item, split, variant=options.variant)
    return [check_file(name, file, store, thorough=True) for file in wanted]
