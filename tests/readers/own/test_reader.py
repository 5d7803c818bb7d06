"""Your own files: NanoAOD and Delphes trees, jagged, padded and compound columns, MeV, dry runs."""

from __future__ import annotations

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.jets import read_jets
from omnilearn_lab.readers import OwnFormat, convert, from_file
from omnilearn_lab.readers.own.columns import ColumnMap

from tests.readers.samples import CODES, check_jet, check_particles, truth

MOMENTA = {"px": "px", "py": "py", "pz": "pz", "energy": "E"}


def write_root(path, tree, columns):
    with uproot.recreate(path) as file:
        types = {n: ak.type(v).content if isinstance(v, ak.Array) else v.dtype for n, v in columns.items()}
        file.mktree(tree, {n: str(t) for n, t in types.items()}).extend(columns)
    return path


@pytest.fixture
def jagged(tmp_path):
    true = truth()
    columns = {"px": true.px, "py": true.py, "pz": true.pz, "E": true.energy, "id": true.pid}
    columns = {n: true.jagged(v) for n, v in columns.items()} | {"y": np.arange(12) % 2}
    return write_root(tmp_path / "mine.root", "events", columns)


def test_a_row_per_jet(jagged):
    mapping = {"particles": {**MOMENTA, "pid": "id"}, "jet": {"label": "y"}, "class_names": ["a", "b"]}
    jets = from_file(jagged, mapping)
    order = check_particles(jets, truth())
    check_jet(jets, truth())
    assert jets.label.tolist() == [0, 1] * 6 and jets.class_names == ("a", "b")
    assert jets.provenance["source"] == "own file"
    assert np.array_equal(jets.particles["pid"], truth().pid[order])


def test_a_constant_label_and_rows(jagged):
    jets = from_file(jagged, {"particles": MOMENTA, "label": 1, "class_names": ["a", "b"]}, start=4, stop=9)
    assert jets.label.tolist() == [1] * 5


def nano(true, jets_per_event):
    """Three events in the layout of NanoAOD with particle-flow candidates in one list."""
    jet = true.jet()
    events = np.repeat(np.arange(3), jets_per_event)
    owner = np.repeat(np.arange(len(true.counts)), true.counts)
    per_event = np.bincount(events[owner], minlength=3)
    rank = np.concatenate([np.arange(n) for n in jets_per_event])
    candidates = np.concatenate([np.arange(n)[::-1] for n in per_event])  # stored the other way round
    stored = np.argsort(np.repeat(np.cumsum(per_event) - per_event, per_event) + candidates)
    mass = np.sqrt(np.maximum(true.energy**2 - true.px**2 - true.py**2 - true.pz**2, 0))
    flat = {"pt": true.pt, "eta": true.eta, "phi": true.phi, "mass": mass, "pdgId": true.pid}
    has_track = true.charge != 0  # in cm; -1 in all four columns: no track
    displaced = {"d0": 0.01 * true.charge, "d0Err": 0.001 + 0 * true.pt}
    displaced |= {"dz": 0.02 * true.charge, "dzErr": 0.002 + 0 * true.pt}
    flat |= {"charge": true.charge} | {n: np.where(has_track, v, -1.0) for n, v in displaced.items()}
    columns = {f"PFCands_{n}": ak.unflatten(v[stored], per_event) for n, v in flat.items()}
    columns |= {f"Jet_{n}": ak.unflatten(jet[n], jets_per_event) for n in ("pt", "eta", "phi", "mass")}
    columns["JetPFCands_jetIdx"] = ak.unflatten(rank[owner], per_event)
    columns["JetPFCands_pFCandsIdx"] = ak.unflatten(candidates, per_event)
    columns["run"] = np.array([1, 1, 1])
    return columns


def test_nanoaod(tmp_path):
    true = truth()
    path = write_root(tmp_path / "nano.root", "Events", nano(true, [5, 0, 7]))
    jets = from_file(path, "pfnano")
    order = check_particles(jets, true)
    check_jet(jets, true)
    assert np.array_equal(jets.particles["pid"], true.pid[order])
    np.testing.assert_allclose(jets.particles["d0"], 0.1 * true.charge[order], atol=1e-6)


def test_nanoaod_indices_that_point_nowhere_are_left_out(tmp_path):
    true = truth()
    columns = nano(true, [5, 0, 7])
    columns["JetPFCands_jetIdx"] = ak.where(
        columns["JetPFCands_jetIdx"] == 0, -1, columns["JetPFCands_jetIdx"]
    )
    jets = from_file(write_root(tmp_path / "nano.root", "Events", columns), "pfnano")
    assert len(jets) == 10


def delphes(true, jets="Jet", radius=0.5, per_event=(2, 1, 3)):
    """Energy-flow objects of jets far apart in azimuth, for cones without overlap; which ones are in them."""
    jet, per_event = true.jet(), np.array(per_event)
    event = np.repeat(np.arange(len(per_event)), per_event)
    centre = np.array([-2.0, 0.0, 2.0])[np.concatenate([np.arange(n) for n in per_event])]
    phi = true.phi + np.repeat(centre - jet["phi"], true.counts)
    names = {"PT": jet["pt"], "Eta": jet["eta"], "Mass": jet["mass"], "Phi": centre}
    columns = {f"{jets}.{name}": ak.unflatten(values, per_event) for name, values in names.items()}
    distance = true.eta - np.repeat(jet["eta"], true.counts), phi - np.repeat(centre, true.counts)
    near = np.hypot(distance[0], np.angle(np.exp(1j * distance[1]))) < radius
    kinds = {"EFlowTrack": true.charge != 0, "EFlowPhoton": true.pid == 22}
    kinds |= {"EFlowNeutralHadron": true.pid == 130}
    for name, kind in kinds.items():
        counts = np.bincount(np.repeat(event, true.counts)[kind], minlength=len(per_event))
        pt = "PT" if name == "EFlowTrack" else "ET"
        flat = {pt: true.pt, "Eta": true.eta, "Phi": phi}
        flat |= {"PID": true.pid, "Charge": true.charge} if pt == "PT" else {"E": true.energy}
        columns |= {f"{name}.{n}": ak.unflatten(v[kind], counts) for n, v in flat.items()}
    return columns, near


@pytest.mark.parametrize(("preset", "radius"), [("delphes", 0.5), ("delphes_fatjet", 0.8)])
def test_delphes(tmp_path, preset, radius):
    true = truth(6, massless=True)
    columns, near = delphes(true, "FatJet" if "fat" in preset else "Jet", radius)
    jets = from_file(write_root(tmp_path / "delphes.root", "Delphes", columns), preset)
    assert jets.counts.tolist() == np.add.reduceat(near, np.cumsum(true.counts) - true.counts).tolist()
    assert set(np.unique(jets.particles["pid"])) <= set(CODES.tolist())
    assert jets.particles["pt"].sum() == pytest.approx(true.pt[near].sum(), rel=1e-5)
    assert jets.particles["energy"].sum() == pytest.approx(true.energy[near].sum(), rel=1e-5)
    np.testing.assert_allclose(jets.jet["pt"], true.jet()["pt"], rtol=1e-5)
    assert jets.jet["rank"].tolist() == [0, 1, 0, 0, 1, 2]


def write_own_h5(path, true, scale=1.0):
    """Padded, compound and stacked columns of the same jets."""
    jet = true.jet()
    slots = true.padded([true.pt * scale, true.eta, true.phi, true.energy * scale], 15)
    valid = true.padded([np.ones(len(true.pt))], 15)[..., 0]
    kind = np.dtype([("pt", "f4"), ("eta", "f4"), ("phi", "f4"), ("e", "f4"), ("valid", "?")])
    tracks = np.zeros(slots.shape[:2], dtype=kind)
    for i, name in enumerate(("pt", "eta", "phi", "e")):
        tracks[name] = slots[..., i]
    tracks["valid"] = valid
    with h5py.File(path, "w") as file:
        file["data"] = slots
        file["tracks"] = tracks
        file["jets/pt"], file["jets/eta"], file["jets/phi"] = jet["pt"] * scale, jet["eta"], jet["phi"]
        file["jets/flavour"] = np.arange(len(true.counts)) % 3
    return path


STACKED = {"pt": "data[0]", "eta": "data[1]", "phi": "data[2]", "energy": "data[3]"}
COMPOUND = {
    "pt": "tracks.pt",
    "eta": "tracks.eta",
    "phi": "tracks.phi",
    "energy": "tracks.e",
    "mask": "tracks.valid",
}
JET = {"pt": "jets/pt", "eta": "jets/eta", "phi": "jets/phi", "label": "jets/flavour"}


@pytest.mark.parametrize("particles", [STACKED, COMPOUND])
def test_hdf5_columns(tmp_path, particles):
    path = write_own_h5(tmp_path / "mine.h5", truth())
    jets = from_file(path, {"particles": particles, "jet": JET})
    check_particles(jets, truth())
    check_jet(jets, truth(), 1e-4)
    assert jets.label.tolist() == [0, 1, 2] * 4


@pytest.mark.parametrize(("scale", "unit"), [(1.0, "GeV"), (1e3, "MeV")])
def test_the_unit_is_guessed_and_can_be_given(tmp_path, scale, unit):
    true = truth()
    hard = true._replace(**{n: 20 * getattr(true, n) for n in ("px", "py", "pz", "energy")})
    path = write_own_h5(tmp_path / "mine.h5", hard, scale)
    dry = from_file(path, {"particles": STACKED, "jet": JET}, dry_run=True)
    assert dry.unit == f"{unit} (guessed)" and f"unit: {unit} (guessed)" in repr(dry)
    check_particles(from_file(path, {"particles": STACKED, "jet": JET}), hard)
    check_particles(from_file(path, {"particles": STACKED, "jet": JET, "unit": unit}), hard)


def test_a_dry_run_shows_what_was_understood(tmp_path):
    path = write_root(tmp_path / "nano.root", "Events", nano(truth(), [5, 0, 7]))
    dry = from_file(path, "pfnano", dry_run=True)
    expected = [
        "nano.root, 'Events': 3 rows",
        "a row is an event",
        "by index",
        "unit: GeV",
        "d0_err",
        "PFCands_d0Err",
    ]
    expected += ["not used:", "run", "jet 0: pt", "sum of particle pt / jet pt: 1.000"]
    assert all(part in repr(dry) for part in expected), repr(dry)
    assert "<pre>" in dry._repr_html_() and len(dry.jets) == 12


def test_own_files_convert_in_blocks(tmp_path):
    path = write_own_h5(tmp_path / "mine.h5", truth())
    reader = OwnFormat(columns=ColumnMap(particles=STACKED, jet=JET, unit="GeV", class_names=("a", "b", "c")))
    assert [len(b) for b in reader.iterate(path, chunk=5)] == [5, 5, 2]
    check_particles(read_jets(convert(path, tmp_path / "out.h5", reader)), truth())


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"particles": {"pt": "a"}}, "pt, eta, phi"),
        ({"particle": STACKED}, "did you mean 'particles'"),
        ({"particles": STACKED, "unit": "TeV"}, "known: GeV, MeV, auto"),
        ({"particles": STACKED, "jet": {"pt": "jets/pt"}}, "without 'eta' and 'phi'"),
    ],
)
def test_a_wrong_mapping_is_named(tmp_path, mapping, message):
    with pytest.raises(ConfigError, match=message):
        from_file(tmp_path / "mine.h5", mapping)


def test_an_unknown_preset_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'nanoaod'"):
        from_file(tmp_path / "mine.root", "nanoad")


def test_a_missing_column_names_the_nearest(tmp_path, jagged):
    path = write_own_h5(tmp_path / "mine.h5", truth())
    with pytest.raises(DataFileError, match=r"no column 'tracks.ptt'.*did you mean 'tracks.pt'"):
        from_file(path, {"particles": {**COMPOUND, "pt": "tracks.ptt"}})
    with pytest.raises(DataFileError, match="no column 'pxx'.*did you mean 'px'"):
        from_file(jagged, {"particles": {**MOMENTA, "px": "pxx"}})
    with pytest.raises(DataFileError, match="no tree 'evts'.*did you mean 'events'"):
        from_file(jagged, {"particles": MOMENTA, "tree": "evts"})


def test_events_without_a_way_to_find_particles_are_refused(tmp_path):
    path = write_root(tmp_path / "nano.root", "Events", nano(truth(), [5, 0, 7]))
    mapping = {"particles": {"pt": "PFCands_pt", "eta": "PFCands_eta", "phi": "PFCands_phi"}}
    mapping["jet"] = {"pt": "Jet_pt", "eta": "Jet_eta", "phi": "Jet_phi"}
    with pytest.raises(DataFileError, match=r"jet_index=.*radius="):
        from_file(path, mapping)


def test_a_column_that_is_too_deep_is_refused(tmp_path):
    path = write_own_h5(tmp_path / "mine.h5", truth())
    with pytest.raises(DataFileError, match=r"map columns of one depth.*name\[3\]"):
        from_file(path, {"particles": {**STACKED, "pt": "data"}})


def test_the_new_root_format_reads_like_the_old(tmp_path):
    columns = {name: ak.Array([[1.0, 2.0], [3.0]]) for name in ("pt", "eta", "phi")}
    for kind in ("mktree", "mkrntuple"):
        with uproot.recreate(tmp_path / f"{kind}.root") as file:
            getattr(file, kind)("jets", columns)
    mapping = {"particles": {name: name for name in columns}}
    old, new = (from_file(tmp_path / f"{kind}.root", mapping) for kind in ("mktree", "mkrntuple"))
    assert np.array_equal(old.offsets, new.offsets)
    assert np.array_equal(old.particles["pt"], new.particles["pt"])
