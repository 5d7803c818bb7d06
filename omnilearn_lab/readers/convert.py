"""From published files to ML-ready HDF5, block by block: any size in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import Jets, write_jets
from omnilearn_lab.readers.base import Reader
from omnilearn_lab.settings import settings


@settings
class ConvertOptions:
    """How `convert` works.

    Attributes
    ----------
    max_particles
        Slots per jet.
    max_jets
        Stop after so many.
    chunk
        Rows held in memory at once.
    fraction
        Part of each file's rows, such as (0.0, 0.8).

    Examples
    --------
    >>> ConvertOptions(max_jets=1000).max_particles
    150
    """

    max_particles: Annotated[int, Field(gt=0)] = 150
    max_jets: Annotated[int, Field(gt=0)] | None = None
    chunk: Annotated[int, Field(gt=0)] = 10_000
    fraction: tuple[float, float] = (0.0, 1.0)


def convert(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    reader: Reader,
    *,
    options: ConvertOptions | None = None,
) -> Path:
    """Write the jets of published files to one ML-ready file.

    Rows of the input files alternate block by block, so that files with one process each come
    out mixed; shuffle further when training. The file appears under its name only when complete.

    Parameters
    ----------
    paths
        One file or several.
    out
        Target, usually ``*.h5``.
    reader
        What understands the files, see `omnilearn_lab.readers.make_reader`.
    options

    Returns
    -------
    Path

    Raises
    ------
    DataFileError
        When a file is damaged, there are none, or the target cannot be written.
    """
    options = options or ConvertOptions()
    files = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(p) for p in paths]
    if not files:
        raise DataFileError(f"nothing to convert to '{out}': the list of files is empty")
    blocks = _limited(_in_turn([_blocks(path, reader, options) for path in files]), options.max_jets)
    return write_jets(blocks, out, options.max_particles)


def _blocks(path: Path, reader: Reader, options: ConvertOptions) -> Iterator[Jets]:
    total = reader.count(path)
    start, stop = (round(edge * total) for edge in options.fraction)
    jets = reader.iterate(
        path, chunk=options.chunk, start=start, stop=stop, max_particles=options.max_particles
    )
    return (block for block in jets if len(block))


def _in_turn(sources: list[Iterator[Jets]]) -> Iterator[Jets]:
    while sources:
        for source in list(sources):
            block = next(source, None)
            if block is None:
                sources.remove(source)
            else:
                yield block


def _limited(blocks: Iterator[Jets], limit: int | None) -> Iterator[Jets]:
    missing = limit
    for block in blocks:
        yield block if missing is None else block[:missing]
        if missing is not None:
            missing -= min(missing, len(block))
            if missing == 0:
                return
