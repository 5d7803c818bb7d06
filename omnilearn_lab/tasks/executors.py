"""Who does the work: processes of this machine, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omnilearn_lab.errors import ConfigError, MissingDependencyError

__all__ = ["open_executor"]

_PATIENCE = "15s"


@contextmanager
def open_executor(workers: int | None = None, *, dask: str | None = None) -> Iterator[Any]:
    """Yield what `omnilearn_lab.simulation.simulate` takes as ``workers``.

    Parameters
    ----------
    workers
        Processes of this machine; none means all usable cores.
    dask
        Address of a Dask scheduler, such as ``tcp://node17:8786``, used instead of processes here.
        Its workers need this package, in the same version.

    Yields
    ------
    int, None, or a connected ``distributed.Client``

    Raises
    ------
    ConfigError
        When both are given, or no scheduler answers.
    MissingDependencyError
        When ``distributed`` is not installed.

    Examples
    --------
    >>> with open_executor(2) as workers:
    ...     workers
    2
    """
    if dask is None:
        yield workers
        return
    if workers is not None:
        raise ConfigError(f"workers={workers} and dask='{dask}' exclude each other; give one of them")
    with _connect(dask) as client:
        yield client


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependencyError(
            "a Dask cluster needs the library 'distributed'; pip install omnilearn_lab[dask]"
        ) from error
    try:
        return Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at '{address}' ({error}); start one with 'dask scheduler', "
            "and give the address that it prints, such as tcp://node17:8786"
        ) from error
