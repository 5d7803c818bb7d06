"""Simulation and conversion on a Dask cluster give the same as on this machine."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from omnilearn_lab.catalog import convert_files
from omnilearn_lab.errors import ConfigError, MissingDependencyError
from omnilearn_lab.jets import read_jets
from omnilearn_lab.machine import open_executor
from omnilearn_lab.readers import make_reader
from omnilearn_lab.simulation import simulate
from tests.readers.samples import truth, write_top


def test_without_dask_the_number_of_processes_is_handed_on():
    with open_executor(3) as workers:
        assert workers == 3
    with open_executor() as workers:
        assert workers is None


def test_dask_and_workers_exclude_each_other():
    with pytest.raises(ConfigError, match="exclude each other"), open_executor(2, dask="tcp://a:1"):
        pass


def test_a_missing_library_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    missing = pytest.raises(MissingDependencyError, match=r"pip install omnilearn_lab\[dask\]")
    with missing, open_executor(dask="tcp://127.0.0.1:1"):
        pass


@pytest.fixture(scope="module")
def scheduler():
    """Address of a cluster of one worker in this process."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: clusters are NOT tested")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp"
        ) as cluster:
            yield cluster.scheduler_address


def test_an_address_where_nobody_answers(scheduler, monkeypatch):
    monkeypatch.setattr("omnilearn_lab.machine.pool._PATIENCE", "0.2s")
    silent = pytest.raises(ConfigError, match="no Dask scheduler answers at 'tcp://127.0.0.1:1'")
    with silent, open_executor(dask="tcp://127.0.0.1:1"):
        pass


@pytest.mark.slow
def test_a_cluster_makes_the_same_jets(scheduler):
    with open_executor(dask=scheduler) as client:
        remote = simulate("h1_dis", 20, seed=5, workers=client, progress=False)
    local = simulate("h1_dis", 20, seed=5, workers=1, progress=False)
    for name, values in local.particles.items():
        assert np.array_equal(remote.particles[name], values)
    assert np.array_equal(remote.offsets, local.offsets) and np.array_equal(remote.label, local.label)


def test_a_cluster_converts_the_same_files(scheduler, tmp_path):
    for number in range(2):
        write_top(tmp_path / f"{number}.h5", truth(6, seed=number), np.arange(6) % 2)
    paths, reader = [tmp_path / "0.h5", tmp_path / "1.h5"], make_reader("top_tagging")
    with open_executor(dask=scheduler) as client:
        remote = convert_files(paths, tmp_path / "remote", reader, workers=client)
    local = convert_files(paths, tmp_path / "local", reader, workers=1)
    assert [path.name for path in remote] == ["0.h5", "1.h5"]
    for one, other in zip(remote, local, strict=True):
        assert np.array_equal(read_jets(one).particles["pt"], read_jets(other).particles["pt"])
