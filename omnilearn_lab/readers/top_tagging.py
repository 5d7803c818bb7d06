"""Top quark tagging reference: a pandas table of 200 constituents per jet, (E, px, py, pz) each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.base import RawJets, Reader, column

__all__ = ["TopTagging", "open_frame"]

_SLOTS = 200


@contextmanager
def open_frame(path: Path, key: str | None = None) -> Iterator[tuple[Any, str]]:
    """Open a pandas HDF5 store; without ``key`` it must hold one frame.

    Yields
    ------
    store : pandas.HDFStore
    key : str
        Name of the frame. Both pandas layouts ("fixed" and "table") give rows by
        ``store.select(key, start=..., stop=...)``.
    """
    import pandas as pd

    with pd.HDFStore(str(path), mode="r") as store:
        keys = store.keys()
        wanted = f"/{key}" if key else (keys[0] if keys else "")
        if wanted not in keys:
            raise DataFileError(f"'{path}' has no frame '{key}'; found {keys}")
        yield store, wanted


@dataclass(frozen=True)
class TopTagging(Reader):
    """Zenodo 2603256, store key ``table``, columns ``E_0, PX_0, PY_0, PZ_0, ..., is_signal_new``.

    The jet is the sum of its (up to 200) constituents. ``deta`` uses pseudorapidity; the
    OmniLearn conversion uses rapidity, which is the same for these massless constituents.
    The columns ``truthE ...`` are the top parton and are not read.

    References
    ----------
    Kasieczka, Plehn et al., arXiv 1902.09914.

    Examples
    --------
    >>> TopTagging().class_names
    ('QCD', 'top')
    """

    name: ClassVar[str] = "top_tagging"
    class_names: ClassVar[tuple[str, ...]] = ("QCD", "top")

    @contextmanager
    def open(self, path: Path) -> Iterator[_TopFile]:
        """Open the store."""
        with open_frame(path, "table") as (store, key):
            yield _TopFile(store, key, path)


class _TopFile:
    def __init__(self, store: Any, key: str, path: Path) -> None:
        self._store, self._key, self._path = store, key, path
        self.n_rows = frame_rows(store, key)

    def rows(self, start: int, stop: int) -> RawJets:
        frame = self._store.select(self._key, start=start, stop=stop)
        label = column(frame, "is_signal_new", self._path).to_numpy()
        column(frame, f"PZ_{_SLOTS - 1}", self._path)
        names = [f"{part}_{i}" for i in range(_SLOTS) for part in ("E", "PX", "PY", "PZ")]
        values = frame[names].to_numpy(np.float64).reshape(-1, _SLOTS, 4)
        real = values[..., 0] != 0
        energy, px, py, pz = values[real].T
        return RawJets({"px": px, "py": py, "pz": pz, "energy": energy}, real.sum(axis=1), {"label": label})


def frame_rows(store: Any, key: str) -> int:
    """Return the number of rows of a frame in either pandas layout."""
    shape = store.get_storer(key).shape
    return int(shape[0] if isinstance(shape, list | tuple) else store.get_storer(key).nrows)
