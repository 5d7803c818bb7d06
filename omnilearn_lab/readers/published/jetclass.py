"""JetClass (ROOT files, one process each) and JetClass-II (parquet files with 188 classes)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.base import RawJets, Reader, Source, column, count_entries, open_root
from omnilearn_lab.readers.kinematics import pid_from_flags
from omnilearn_lab.settings import settings

_CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")
_LABELS = tuple(f"label_{name}" for name in _CLASSES)
_DISPLACEMENT = {"d0": "part_d0val", "d0_err": "part_d0err", "dz": "part_dzval", "dz_err": "part_dzerr"}
_MOMENTUM = {"px": "part_px", "py": "part_py", "pz": "part_pz", "energy": "part_energy"}
_GEOMETRY = {"deta": "part_deta", "dphi": "part_dphi"}
_FLAGS = {
    "charged_hadron": "part_isChargedHadron",
    "neutral_hadron": "part_isNeutralHadron",
    "photon": "part_isPhoton",
    "electron": "part_isElectron",
    "muon": "part_isMuon",
}
PARTICLE_BRANCHES = {**_MOMENTUM, **_GEOMETRY, **_DISPLACEMENT, **_FLAGS, "charge": "part_charge"}
JET_BRANCHES = ("jet_pt", "jet_eta", "jet_phi", "jet_energy", "jet_nparticles", "jet_sdmass")


def jetclass_rows(
    particles: dict[str, np.ndarray], counts: np.ndarray, jet: dict[str, np.ndarray]
) -> RawJets:
    """Translate the columns that JetClass and JetClass-II share.

    ``part_deta`` is published times the sign of ``jet_eta``; it is multiplied by that sign again
    to give the plain difference. There is no jet mass branch: it follows from the four-momentum.
    """
    columns = {name: particles[branch] for name, branch in PARTICLE_BRANCHES.items()}
    flags = {name: columns.pop(name) for name in _FLAGS}
    columns["pid"] = pid_from_flags(flags, columns["charge"])
    columns["pt"] = np.hypot(columns.pop("px"), columns.pop("py"))
    del columns["pz"]
    side = np.where(jet["jet_eta"] < 0, -1, 1)
    columns["deta"] = columns["deta"] * np.repeat(side, counts)
    momentum = jet["jet_pt"].astype(np.float64) * np.cosh(jet["jet_eta"].astype(np.float64))
    mass = np.sqrt(np.maximum(jet["jet_energy"].astype(np.float64) ** 2 - momentum**2, 0))
    kept = {"pt": jet["jet_pt"], "eta": jet["jet_eta"], "phi": jet["jet_phi"], "mass": mass}
    kept |= {"multiplicity": jet["jet_nparticles"], "soft_drop_mass": jet["jet_sdmass"]}
    return RawJets(columns, counts, kept)


@settings
class JetClass(Reader):
    """Zenodo 6619768: tree ``tree``, ten one-hot ``label_*`` branches.

    All constituents are kept. Neutral particles have impact parameters and errors of 0.

    References
    ----------
    Qu, Li and Qian, arXiv 2202.03772.

    Examples
    --------
    >>> len(JetClass().class_names)
    10
    """

    name: ClassVar[str] = "jetclass"
    suffixes: ClassVar[tuple[str, ...]] = (".root",)
    class_names: ClassVar[tuple[str, ...]] = _CLASSES
    storage: ClassVar = open_root

    def count_rows(self, source: Source) -> int:
        """Return the number of jets of the tree."""
        return count_entries(source["tree"], source.path)

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        tree = source["tree"]
        wanted = [*PARTICLE_BRANCHES.values(), *JET_BRANCHES, *_LABELS]
        for name in wanted:
            column(tree, name, source.path)
        arrays = tree.arrays(wanted, entry_start=rows.start, entry_stop=rows.stop)
        raw = jetclass_rows(*_flattened(arrays, source.path))
        one_hot = np.stack([np.asarray(arrays[name]) for name in _LABELS], axis=1)
        label = np.where(one_hot.sum(axis=1) == 1, one_hot.argmax(axis=1), -1)
        return replace(raw, jet={**raw.jet, "label": label})


def _flattened(arrays: Any, path: Path) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray]]:
    """Split a record array of jagged ``part_*`` and flat ``jet_*`` columns into plain arrays."""
    import awkward as ak

    counts = np.asarray(ak.num(arrays["part_px"]))
    particles = {}
    for name in PARTICLE_BRANCHES.values():
        if not np.array_equal(np.asarray(ak.num(arrays[name])), counts):
            raise DataFileError(f"'{path}': '{name}' and 'part_px' differ in length; fetch the file again")
        particles[name] = np.asarray(ak.flatten(arrays[name]))
    return particles, counts, {name: np.asarray(arrays[name]) for name in JET_BRANCHES}


# ---- JetClass-II ---------------------------------------------------------------------------------

_TWO = "bb cc ss qq bc cs bq cq sq gg ee mm tauhtaue tauhtaum tauhtauh"
_FOUR = """
bbbb bbcc bbss bbqq bbgg bbee bbmm bbtauhtaue bbtauhtaum bbtauhtauh bbb bbc bbs bbq bbg bbe bbm cccc ccss
ccqq ccgg ccee ccmm cctauhtaue cctauhtaum cctauhtauh ccb ccc ccs ccq ccg cce ccm ssss ssqq ssgg ssee ssmm
sstauhtaue sstauhtaum sstauhtauh ssb ssc sss ssq ssg sse ssm qqqq qqgg qqee qqmm qqtauhtaue qqtauhtaum
qqtauhtauh qqb qqc qqs qqq qqg qqe qqm gggg ggee ggmm ggtauhtaue ggtauhtaum ggtauhtauh ggb ggc ggs ggq
ggg gge ggm bee cee see qee gee bmm cmm smm qmm gmm btauhtaue ctauhtaue stauhtaue qtauhtaue gtauhtaue
btauhtaum ctauhtaum stauhtaum qtauhtaum gtauhtaum btauhtauh ctauhtauh stauhtauh qtauhtauh gtauhtauh qqqb
qqqc qqqs bbcq ccbs ccbq ccsq sscq qqbc qqbs qqcs bcsq bcs bcq bsq csq bcev csev bqev cqev sqev qqev bcmv
csmv bqmv cqmv sqmv qqmv bctauev cstauev bqtauev cqtauev sqtauev qqtauev bctaumv cstaumv bqtaumv cqtaumv
sqtaumv qqtaumv bctauhv cstauhv bqtauhv cqtauhv sqtauhv qqtauhv
"""
_QCD = """
bbccss bbccs bbcc bbcss bbcs bbc bbss bbs bb bccss bccs bcc bcss bcs bc bss bs b ccss ccs cc css cs c ss
s light
"""
JETCLASS2_CLASSES: tuple[str, ...] = (
    *(f"X_{name}" for name in _TWO.split()),
    *(f"X_YY_{name}" for name in _FOUR.split()),
    *(f"QCD_{name}" for name in _QCD.split()),
)
"""Class names by ``jet_label``: 0-14 two-prong, 15-160 three- and four-prong, 161-187 QCD."""

_BATCH = 10_000


@contextmanager
def open_parquet(path: Path) -> Iterator[_Table]:
    """Open a parquet file; damage is an `OSError`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield _Table(file, path)
    except pa.ArrowException as error:
        raise OSError(str(error)) from error


@settings
class JetClass2(Reader):
    """Hugging Face ``jet-universe/jetclass2``; the label is ``jet_label``.

    Mean pile-up of 50 with PUPPI makes it another domain than JetClass. The files also hold jets
    below the selection that Sophon was trained with (200 < pT < 2500 GeV, soft-drop mass 20-500).

    References
    ----------
    Li et al., arXiv 2405.12972.

    Examples
    --------
    >>> len(JetClass2().class_names), JetClass2().class_names[187]
    (188, 'QCD_light')
    """

    name: ClassVar[str] = "jetclass2"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet",)
    class_names: ClassVar[tuple[str, ...]] = JETCLASS2_CLASSES
    storage: ClassVar = open_parquet

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        table, path = source.file.rows(rows.start, rows.stop), source.path
        lists = {name: table[name].combine_chunks() for name in PARTICLE_BRANCHES.values()}
        counts = lists["part_px"].value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
        particles = {}
        for name, values in lists.items():
            if not np.array_equal(values.value_lengths().to_numpy(zero_copy_only=False), counts):
                raise DataFileError(
                    f"'{path}': '{name}' and 'part_px' differ in length; fetch the file again"
                )
            particles[name] = _plain(values.flatten(), name, path)
        jet = {name: _plain(table[name].combine_chunks(), name, path) for name in JET_BRANCHES}
        raw = jetclass_rows(particles, counts, jet)
        return replace(
            raw, jet={**raw.jet, "label": _plain(table["jet_label"].combine_chunks(), "jet_label", path)}
        )


class _Table:
    """Rows of a parquet file in order, decoded batch by batch; going back starts over."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self.n_rows = file, file.metadata.num_rows
        self._columns = [*PARTICLE_BRANCHES.values(), *JET_BRANCHES, "jet_label"]
        for name in self._columns:
            column(dict.fromkeys(file.schema_arrow.names), name, path)
        self._restart(0)

    def rows(self, start: int, stop: int) -> Any:
        import pyarrow as pa

        if start != self._position:
            self._restart(start)
        parts = []
        while self._position < stop:
            batch = self._carried if self._carried is not None else next(self._batches)
            taken = batch.slice(max(0, start - self._position), stop - max(start, self._position))
            used = max(0, start - self._position) + taken.num_rows
            self._carried = batch.slice(used) if used < batch.num_rows else None
            self._position += used
            parts.append(taken)
        return pa.Table.from_batches(parts or [self._empty()])

    def _restart(self, start: int) -> None:
        """Begin at the row group that holds ``start``."""
        meta = self._file.metadata
        sizes = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        edges = np.concatenate([[0], np.cumsum(sizes)])
        first = min(int(np.searchsorted(edges, start, side="right")) - 1, len(sizes))
        self._position, self._carried = int(edges[first]), None
        self._batches = self._file.iter_batches(
            _BATCH, row_groups=range(first, len(sizes)), columns=self._columns
        )

    def _empty(self) -> Any:
        import pyarrow as pa

        schema = pa.schema([self._file.schema_arrow.field(name) for name in self._columns])
        return pa.RecordBatch.from_pylist([], schema=schema)


def _plain(values: Any, name: str, path: Path) -> np.ndarray:
    if values.null_count:
        raise DataFileError(
            f"'{path}': '{name}' has {values.null_count} missing values; fetch the file again"
        )
    array = values.to_numpy(zero_copy_only=False)
    return array.astype(np.int8) if array.dtype == bool else array
