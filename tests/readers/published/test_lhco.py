"""LHC Olympics: whole events clustered with anti-kT R = 1.0, and the two converted layouts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.published.lhco import Lhco, LhcoClustered, cluster_leading

from tests.readers.samples import truth, write_h5


def dijet_truth():
    """Twelve narrow jets, two per event, back to back in azimuth."""
    rng = np.random.default_rng(3)
    counts = rng.integers(4, 9, 12)
    owner = np.repeat(np.arange(12), counts)
    pt = rng.uniform(20, 90, counts.sum()) * np.where(owner % 2, 1, 10)  # the first jet is the harder one
    eta = rng.normal(0, 0.1, len(pt)) + 0.3 * (owner % 3)
    phi = rng.normal(0, 0.1, len(pt)) + np.where(owner % 2, -1.5, 1.5)
    return counts, pt, eta, phi


def events(labels=True, soft=True):
    counts, pt, eta, phi = dijet_truth()
    table = np.zeros((6, 2100 + labels))
    for event in range(6):
        rows = np.flatnonzero(np.repeat(np.arange(12), counts) // 2 == event)[::-1]
        flat = np.stack([pt[rows], eta[rows], phi[rows]], axis=1)
        if soft:  # far from both jets: a third one
            flat = np.concatenate([flat, [[1.0, -2.4, 0.0]]])
        table[event, : flat.size] = flat.ravel()
    if labels:
        table[:, -1] = np.arange(6) % 2
    return table


def sums(counts, pt, eta, phi):
    starts = np.cumsum(counts) - counts
    columns = [pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)]
    return np.stack([np.add.reduceat(c, starts) for c in columns], axis=1)


@pytest.mark.parametrize("fmt", ["fixed", "table"])
@pytest.mark.parametrize("key", ["df", "anything"])
def test_events_become_two_jets(tmp_path, fmt, key):
    path = tmp_path / "events_anomalydetection_v2.h5"
    pd.DataFrame(events()).to_hdf(path, key=key, mode="w", format=fmt)
    jets = Lhco().read(path)
    momenta = sums(*dijet_truth())
    pt = np.hypot(momenta[:, 0], momenta[:, 1])
    np.testing.assert_allclose(jets.jet["pt"], pt, rtol=1e-5)
    assert jets.counts.tolist() == dijet_truth()[0].tolist()
    assert jets.jet["event"].tolist() == np.repeat(np.arange(6), 2).tolist()
    assert jets.jet["rank"].tolist() == [0, 1] * 6
    assert jets.label.tolist() == np.repeat(np.arange(6) % 2, 2).tolist()
    both = momenta[0::2] + momenta[1::2]
    mass = np.sqrt(both[:, 3] ** 2 - (both[:, :3] ** 2).sum(axis=1))
    np.testing.assert_allclose(jets.jet["dijet_mass"][::2], mass, rtol=1e-5)


def test_events_without_particles_are_counted(tmp_path, caplog):
    table = events()
    table[[1, 4], :-1] = 0
    pd.DataFrame(table).to_hdf(tmp_path / "a.h5", key="df")
    assert len(Lhco().read(tmp_path / "a.h5")) == 8
    assert "'a.h5': left out 2 of 6 rows: events without particles" in caplog.text


def test_black_boxes_have_no_label(tmp_path):
    pd.DataFrame(events(labels=False)).to_hdf(tmp_path / "box.h5", key="df")
    jets = Lhco().read(tmp_path / "box.h5")
    assert len(jets) == 12 and "label" not in jets.jet


def test_blocks_are_the_whole(tmp_path):
    pd.DataFrame(events()).to_hdf(tmp_path / "a.h5", key="df")
    blocks = list(Lhco().iterate(tmp_path / "a.h5", chunk=4))
    assert [len(b) for b in blocks] == [8, 4]
    assert blocks[1].jet["event"].tolist() == [4, 4, 5, 5]


def test_an_empty_event_gives_no_jets(tmp_path):
    table = events()
    table[2, :2100] = 0
    pd.DataFrame(table).to_hdf(tmp_path / "a.h5", key="df")
    assert Lhco().read(tmp_path / "a.h5").jet["event"].tolist() == [0, 0, 1, 1, 3, 3, 4, 4, 5, 5]


def test_the_features_file_is_refused(tmp_path):
    pd.DataFrame({"pxj1": [1.0], "label": [0.0]}).to_hdf(tmp_path / "a.h5", key="df")
    with pytest.raises(DataFileError, match="2 columns.*features"):
        Lhco().read(tmp_path / "a.h5")


def test_clustering_prints_nothing(capfd):
    momenta = {n: np.array([1.0, 2.0]) for n in ("px", "py", "pz")} | {"energy": np.array([2.0, 4.0])}
    found = cluster_leading(momenta, np.array([0, 1, 0, 1]))
    assert found.event.tolist() == [1, 3] and found.particle.tolist() == [0, 1]
    assert capfd.readouterr().out == ""


def pairs():
    """Six events of two jets, padded to 279, relative to the jet."""
    true = truth(massless=True)
    jet = true.jet()
    owner = np.repeat(np.arange(12), true.counts)
    deta = true.eta - jet["eta"][owner]
    dphi = np.angle(np.exp(1j * (true.phi - jet["phi"][owner])))
    return true, jet, owner, deta, dphi


def check_pairs(jets, true, label):
    order = np.lexsort((-true.pt, np.repeat(np.arange(12), true.counts)))
    np.testing.assert_allclose(jets.particles["pt"], true.pt[order], rtol=1e-4)
    np.testing.assert_allclose(jets.particles["energy"], true.energy[order], rtol=1e-3)
    np.testing.assert_allclose(jets.jet["eta"], true.jet()["eta"], atol=1e-5)
    assert jets.jet["event"].tolist() == np.repeat(np.arange(6), 2).tolist() and set(jets.label) == {label}
    px, py, pz, e = (np.add.reduceat(c, np.arange(0, 12, 2)) for c in _jet_momenta(true))
    mass = np.sqrt(e**2 - px**2 - py**2 - pz**2)
    np.testing.assert_allclose(jets.jet["dijet_mass"][::2], mass, rtol=1e-4)


def _jet_momenta(true):
    starts = np.cumsum(true.counts) - true.counts
    return [np.add.reduceat(c, starts) for c in (true.px, true.py, true.pz, true.energy)]


@pytest.mark.parametrize("name", ["processed_data_background_rel.h5", "processed_data_signal.h5"])
def test_the_notebook_layout(tmp_path, name):
    true, jet, owner, deta, dphi = pairs()
    is_relative = "_rel" in name
    columns = [true.pt / jet["pt"][owner], deta, dphi] if is_relative else [true.pt, true.eta, true.phi]
    second = "y" if is_relative else "eta"
    path = write_h5(
        tmp_path / name,
        jet_data=np.stack([jet["pt"], jet[second], jet["phi"], jet["mass"]], axis=1).reshape(6, 2, 4),
        constituents=true.padded(columns, 279).reshape(6, 2, 279, 3),
        mask=true.padded([np.ones(len(owner))], 279).reshape(6, 2, 279, 1),
    )
    check_pairs(LhcoClustered().read(path), true, int("signal" in name))


def test_the_layout_that_omnilearn_reads(tmp_path):
    true, jet, owner, deta, dphi = pairs()
    columns = [deta, dphi, np.log(1 - 0.99 * true.pt / jet["pt"][owner]), np.log(true.pt)]
    columns += [np.log(1 - 0.99 * true.energy / jet["e"][owner]), np.log(true.energy), np.hypot(deta, dphi)]
    table = np.stack([jet["pt"], jet["eta"], jet["phi"], jet["mass"], true.counts], axis=1)
    path = write_h5(
        tmp_path / "train_background_SR.h5",
        data=true.padded(columns, 279).reshape(6, 2, 279, 7),
        jet=table.reshape(6, 2, 5),
        pid=np.full(6, 3500.0),
    )
    check_pairs(LhcoClustered().read(path), true, 0)
    assert LhcoClustered(min_pt=5).read(path).particles["pt"].min() >= 5


def test_other_names_need_a_label(tmp_path):
    path = write_h5(tmp_path / "events.h5", data=np.zeros((1, 2, 3, 7)))
    with pytest.raises(DataFileError, match="label=0"):
        LhcoClustered().read(path)
