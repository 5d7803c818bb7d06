"""JetClass-II: parquet with lists, boolean flags, integer charges; row groups that do not fit the blocks."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.published.jetclass import JETCLASS2_CLASSES, JetClass2

from tests.readers.samples import check_jet, check_particles, jetclass_columns, truth

LABELS = np.array([0, 14, 15, 160, 161, 187, 5, 20, 100, 170, 1, 2])


def write(path, labels=LABELS, drop=(), row_group_size=5):
    columns = jetclass_columns(truth(), flag_type=bool, charge_type=np.int32)
    table = {
        n: pa.array(v.to_list() if isinstance(v, ak.Array) else v)
        for n, v in columns.items()
        if n not in drop
    }
    table["jet_label"] = pa.array(labels.astype(np.int32))
    table["genpart_px"] = pa.array([[]] * len(labels), pa.list_(pa.float32()))
    pq.write_table(pa.table(table), path, row_group_size=row_group_size)
    return path


def test_class_names_follow_the_published_ranges():
    assert len(JETCLASS2_CLASSES) == len(set(JETCLASS2_CLASSES)) == 188
    assert JETCLASS2_CLASSES[0] == "X_bb" and JETCLASS2_CLASSES[14] == "X_tauhtauh"
    assert JETCLASS2_CLASSES[15] == "X_YY_bbbb" and JETCLASS2_CLASSES[160] == "X_YY_qqtauhv"
    assert JETCLASS2_CLASSES[87] == "X_YY_ggg" and JETCLASS2_CLASSES[111] == "X_YY_ctauhtauh"
    assert JETCLASS2_CLASSES[135] == "X_YY_sqev" and JETCLASS2_CLASSES[161] == "QCD_bbccss"


def test_jets_come_back(tmp_path):
    jets = JetClass2().read(write(tmp_path / "Res2P_0000.parquet"))
    order = check_particles(jets, truth(), 1e-4)
    check_jet(jets, truth(), 1e-3)
    assert np.array_equal(jets.particles["pid"], truth().pid[order])
    assert jets.label.tolist() == LABELS.tolist()


@pytest.mark.parametrize("group", [1, 5, 12])
@pytest.mark.parametrize("chunk", [1, 4, 7, 100])
def test_blocks_are_the_whole_whatever_the_row_groups(tmp_path, group, chunk):
    path = write(tmp_path / "a.parquet", row_group_size=group)
    blocks = list(JetClass2().iterate(path, chunk=chunk))
    assert np.concatenate([b.label for b in blocks]).tolist() == LABELS.tolist()
    assert JetClass2().read(path, start=6, stop=9).label.tolist() == LABELS[6:9].tolist()
    assert len(JetClass2().read(path, start=6, stop=6)) == 0


def test_rows_can_be_read_backwards(tmp_path):
    path = write(tmp_path / "a.parquet")
    with JetClass2().open(path) as file:
        later, earlier = file.rows(7, 12), file.rows(2, 4)
    assert later.jet["label"].tolist() == LABELS[7:12].tolist()
    assert earlier.jet["label"].tolist() == LABELS[2:4].tolist()


def test_bad_files_are_named(tmp_path):
    with pytest.raises(DataFileError, match="row 3.*label is outside 0 to 187"):
        JetClass2().read(write(tmp_path / "a.parquet", np.where(np.arange(12) == 3, 188, LABELS)))
    with pytest.raises(DataFileError, match="no 'part_d0val'"):
        JetClass2().read(write(tmp_path / "b.parquet", drop=["part_d0val"]))
    path = write(tmp_path / "c.parquet")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataFileError, match="truncated"):
        JetClass2().read(path)
