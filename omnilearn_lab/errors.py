"""The errors this package raises on purpose.

Every message says what was asked, what was found, what is accepted and what to do.
All classes derive from `OmniLearnLabError`, so one ``except`` catches them all.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST_REASON = 300  # characters of what a library says

_MOST_NAMES = 10
_ASK = "this user may not read it: ask its owner for permission (chmod a+r)"


class OmniLearnLabError(Exception):
    """Base class of all errors raised on purpose by this package."""


class ConfigError(OmniLearnLabError, ValueError):
    """A configuration holds an unknown key or a value outside its domain."""


class JetsError(OmniLearnLabError, ValueError):
    """Arrays do not form a valid batch of jets."""


class MetricError(OmniLearnLabError, ValueError):
    """A metric is undefined for these numbers (one class only, no weight, not-a-number, ...)."""


class CatalogError(OmniLearnLabError, ValueError):
    """A dataset is unknown, or its catalogue entry is invalid."""


class DataFileError(OmniLearnLabError, OSError):
    """A data file is missing, truncated, or not in the expected layout."""


class DownloadError(OmniLearnLabError, OSError):
    """A file could not be fetched or does not match its checksum."""


class FigureError(OmniLearnLabError, ValueError):
    """The numbers handed to a figure are empty, not finite, or do not fit together."""


class SimulationError(OmniLearnLabError, RuntimeError):
    """A simulation could not start or did not reach the number of jets asked for."""


class CheckpointError(OmniLearnLabError, ValueError):
    """Weights do not fit the model, or a checkpoint file is damaged."""


class TrainingError(OmniLearnLabError, RuntimeError):
    """A training cannot go on (not-a-number loss, empty data, ...)."""


class WorkerError(OmniLearnLabError, RuntimeError):
    """A worker process ended before its work was done (out of memory, killed)."""


class MissingDependencyError(OmniLearnLabError, ImportError):
    """An optional library is needed and absent or broken."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"known: a, b, c; did you mean 'b'?"`` for an error message.

    Of more than ten names, the ten nearest are given.

    Parameters
    ----------
    name
        What was asked for.
    known
        The accepted names.

    Returns
    -------
    str
        The accepted names, and the nearest of them when one is near.

    Examples
    --------
    >>> nearest("jetclas", ["jetclass", "top_tagging"])
    "known: jetclass, top_tagging; did you mean 'jetclass'?"
    >>> nearest("jetclas", [])
    'there are none'
    """
    names = sorted(known)
    if not names:
        return "there are none"
    shown = names
    if len(names) > _MOST_NAMES:
        near = set(difflib.get_close_matches(str(name), names, n=_MOST_NAMES, cutoff=0))
        shown = [other for other in names if other in near][:_MOST_NAMES]
    text = "known: " + ", ".join(shown)
    if len(shown) < len(names):
        text += f" and {len(names) - len(shown):,} more"
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"{text}; did you mean '{close[0]}'?" if close else text


@contextmanager
def translated(kind: type[OmniLearnLabError], what: str, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises in the block, on content that it does not expect, into an error of ours.

    Errors of ours pass as they are. Keep the block to the calls that look at a stranger's content.

    Parameters
    ----------
    kind
        Class of the new error.
    what
        What could not be done, with file and place.
    remedy
        What to do.

    Examples
    --------
    >>> with translated(DataFileError, "'a.json' is not readable", "write it again"):
    ...     {}["jets"]
    Traceback (most recent call last):
    omnilearn_lab.errors.DataFileError: 'a.json' is not readable (KeyError: 'jets'); write it again
    """
    try:
        yield
    except OmniLearnLabError:
        raise
    except Exception as error:
        remedy = _ASK if isinstance(error, PermissionError) else remedy
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise kind(f"{what} ({type(error).__name__}{': ' * bool(reason)}{reason}); {remedy}") from error


def first_lines(lines: Iterable[str]) -> str:
    """Join lines below each other; of many the first ten, and how many more there are.

    Examples
    --------
    >>> first_lines(f"row {i}" for i in range(1000)).splitlines()[-2:]
    ['row 9', '  and 990 more']
    """
    every = list(lines)
    more = [f"  and {len(every) - _MOST_NAMES} more"] if len(every) > _MOST_NAMES else []
    return "\n".join([*every[:_MOST_NAMES], *more])


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file; no system has one of a name that is too long or impossible.

    Examples
    --------
    >>> is_file(__file__), is_file("x" * 10_000), is_file("a\\0b")
    (True, False, False)
    """
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Do as `is_file` for folders.

    Examples
    --------
    >>> is_folder("x" * 10_000)
    False
    """
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False
