"""OmniFold pairs: pt in units of 100 GeV, species as floats, photons that look like padding."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.readers import OmniFold, read_level_pairs

from tests.readers.samples import check_jet, check_particles, truth

SPECIES = {22: 0.0, 211: 0.1, -211: 0.2, 130: 0.3, 11: 0.4, -11: 0.5, 13: 0.6, -13: 0.7}


def arrays(true, prefix, slots, empty=()):
    jet = true.jet()
    owner = np.repeat(np.arange(12), true.counts)
    code = np.array([SPECIES[p] for p in true.pid]) + 1e-9
    dphi = np.angle(np.exp(1j * (true.phi - jet["phi"][owner])))
    particles = true.padded([true.pt / 100, true.y - jet["y"][owner], dphi, code], slots)
    particles[list(empty)] = 0
    table = {"jets": np.stack([jet["pt"], jet["y"], jet["phi"], jet["mass"]], axis=1), "particles": particles}
    table |= {
        "mults": true.counts,
        "lhas": np.full(12, 0.3),
        "widths": np.full(12, 0.2),
        "ang2s": np.full(12, 0.1),
    }
    table |= {"tau2s": np.full(12, 0.05), "sdms": 0.9 * jet["mass"], "zgs": np.full(12, 0.25)}
    return {f"{prefix}_{name}": values for name, values in table.items()}


def write(path, gen_empty=(), sim_empty=()):
    boson = np.stack([np.full(12, 250.0), np.zeros(12), np.ones(12)], axis=1)
    np.savez_compressed(
        path,
        gen_Zs=boson,
        **arrays(truth(), "gen", 20, gen_empty),
        **arrays(truth(seed=1), "sim", 15, sim_empty),
    )
    return path


@pytest.mark.parametrize(("level", "seed"), [("particle", 0), ("detector", 1)])
def test_both_levels_come_back(tmp_path, level, seed):
    true = truth(seed=seed)
    jets = OmniFold(level=level).read(write(tmp_path / "Pythia21_Zjet_pTZ-200GeV_0.npz"))
    order = check_particles(jets, true)
    check_jet(jets, true)
    assert np.array_equal(jets.particles["pid"], true.pid[order])
    assert np.array_equal(jets.particles["charge"], true.charge[order])
    np.testing.assert_allclose(jets.jet["width"], 0.2, rtol=1e-6)
    np.testing.assert_allclose(jets.jet["z_pt"], 250, rtol=1e-6)


def test_photons_are_not_padding(tmp_path):
    jets = OmniFold(level="particle").read(write(tmp_path / "a.npz"))
    assert (jets.particles["pid"] == 22).sum() == (truth().pid == 22).sum() > 0


def test_pairs_stay_pairs_when_a_jet_is_empty(tmp_path, caplog):
    pair = read_level_pairs(write(tmp_path / "a.npz", gen_empty=[3], sim_empty=[3, 8]))
    assert len(pair.truth) == len(pair.detector) == 10
    assert "left out 1 of 11 rows: without particles at the other level" in caplog.text
    assert pair.truth.jet["event"].tolist() == pair.detector.jet["event"].tolist()
    assert pair.truth.jet["event"].tolist() == [0, 1, 2, 4, 5, 6, 7, 9, 10, 11]
    np.testing.assert_allclose(pair.truth.jet["pt"][3], truth().jet()["pt"][4], rtol=1e-5)


def test_blocks_know_their_event(tmp_path):
    path = write(tmp_path / "a.npz")
    events = [b.jet["event"].tolist() for b in OmniFold().iterate(path, chunk=5)]
    assert sum(events, []) == list(range(12))
    assert read_level_pairs(path, start=4, stop=6).detector.jet["event"].tolist() == [4, 5]


def test_bad_requests_are_named(tmp_path):
    with pytest.raises(ConfigError, match="known: detector, particle"):
        OmniFold(level="gen")
    np.savez(tmp_path / "a.npz", gen_jets=np.ones((2, 4)))
    with pytest.raises(DataFileError, match="no 'sim_jets'.*did you mean 'gen_jets'"):
        OmniFold().read(tmp_path / "a.npz")
