"""The ATLAS table of 24 observables and weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers import read_atlas_omnifold
from omnilearn_lab.readers.published.atlas import ATLAS_OBSERVABLES


def write(path, drop=(), fmt="fixed"):
    names = [
        n
        for n in (*ATLAS_OBSERVABLES, "weight_mc", "weights_nominal", "weights_pileup", "target_dd")
        if n not in drop
    ]
    frame = pd.DataFrame({name: i + np.arange(10.0) for i, name in enumerate(names)})
    frame.to_hdf(path, key="df", format=fmt)
    return path


@pytest.mark.parametrize("fmt", ["fixed", "table"])
def test_observables_and_weights(tmp_path, fmt):
    table = read_atlas_omnifold(write(tmp_path / "multifold.h5", fmt=fmt))
    assert len(ATLAS_OBSERVABLES) == len(table.observables) == 24 and len(table) == 10
    assert table.observables["tau3_trackj2"].tolist() == (22 + np.arange(10.0)).tolist()
    assert set(table.weights) == {"weight_mc", "weights_nominal", "weights_pileup", "target_dd"}


def test_some_rows(tmp_path):
    path = write(tmp_path / "multifold.h5")
    assert len(read_atlas_omnifold(path, start=8, stop=20)) == 2
    assert read_atlas_omnifold(path, start=3, stop=5).observables["pT_ll"].tolist() == [3, 4]


def test_bad_requests_are_named(tmp_path):
    with pytest.raises(DataFileError, match="no 'pT_l2'.*did you mean"):
        read_atlas_omnifold(write(tmp_path / "a.h5", drop=["pT_l2"]))
    with pytest.raises(DataFileError, match="not an existing file"):
        read_atlas_omnifold(tmp_path / "b.h5")
    with pytest.raises(DataFileError, match="no rows from 10 on"):
        read_atlas_omnifold(write(tmp_path / "c.h5"), start=10)
    (tmp_path / "d.h5").write_bytes(b"no")
    with pytest.raises(DataFileError, match="fetch it again"):
        read_atlas_omnifold(tmp_path / "d.h5")
