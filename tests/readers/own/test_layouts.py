"""Presets on small files in their layouts: units, weights, species, tracks, and whose a particle is."""

from __future__ import annotations

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.readers import column_map, from_file
from omnilearn_lab.readers.own.columns import presets

from tests.readers.own.nested_tree import write_nested
from tests.readers.own.test_reader import nano, write_root
from tests.readers.samples import check_jet, check_particles, truth

EVENTS = [5, 0, 7]  # jets per event


def renamed(columns, **pairs):
    """Columns with parts of their names replaced."""
    made = {}
    for name, values in columns.items():
        for old, new in pairs.items():
            name = name.replace(old, new) if name.startswith(old) else name
        made[name] = values
    return made


def official(true, events=EVENTS):
    """NanoAOD of v12 and later: other names, no charge, no impact parameters, jets of large radius."""
    columns = renamed(nano(true, events), JetPFCands="FatJetPFCand", PFCands="PFCand", Jet_="FatJet_")
    columns = {n: v for n, v in columns.items() if not n.startswith(("PFCand_d", "PFCand_charge"))}
    columns["FatJetPFCand_pFCandIdx"] = columns.pop("FatJetPFCand_pFCandsIdx")
    return columns


@pytest.mark.parametrize("kind", ["TTree", "RNTuple"])
@pytest.mark.parametrize("preset", ["pfnano", "pfnano_fatjet", "nanoaod", "nanoaod_fatjet"])
def test_nanoaod_of_every_vintage(tmp_path, preset, kind):
    true = truth()
    columns = official(true) if preset.startswith("nanoaod") else nano(true, EVENTS)
    if preset == "pfnano_fatjet":
        columns = renamed(columns, JetPFCands="FatJetPFCands", Jet_="FatJet_")
    if preset == "nanoaod":
        columns = renamed(columns, FatJetPFCand="JetPFCand", FatJet_="Jet_")
    path = tmp_path / "nano.root"
    if kind == "TTree":
        write_root(path, "Events", columns)
    else:
        with uproot.recreate(path) as file:
            file.mkrntuple("Events", columns)
    jets = from_file(path, preset)
    order = check_particles(jets, true)
    check_jet(jets, true)
    assert np.array_equal(jets.particles["pid"], true.pid[order])
    assert jets.jet["row"].tolist() == [0] * 5 + [2] * 7
    assert jets.jet["rank"].tolist() == [*range(5), *range(7)]


def test_cms_stores_displacement_in_cm_and_minus_one_for_no_track(tmp_path):
    true = truth()
    jets = from_file(write_root(tmp_path / "nano.root", "Events", nano(true, EVENTS)), "pfnano")
    order = check_particles(jets, true)
    charge = true.charge[order]
    np.testing.assert_allclose(jets.particles["d0"], 0.1 * charge, atol=1e-6)
    np.testing.assert_allclose(jets.particles["dz"], 0.2 * charge, atol=1e-6)
    np.testing.assert_allclose(jets.particles["d0_err"], 0.01 * np.abs(charge), atol=1e-6)
    assert np.array_equal(jets.particles["has_track"], charge != 0)


@pytest.mark.parametrize("stored", ["unweighted", "weighted", "without PUPPI"])
def test_puppi_weights_are_applied_once_and_where_they_belong(tmp_path, stored):
    true = truth()
    rng = np.random.default_rng(1)
    weight = np.where(rng.random(len(true.pt)) < 0.3, 0.0, rng.uniform(0.2, 1.0, len(true.pt)))
    weight[np.cumsum(true.counts) - true.counts] = 1.0
    scaled = true._replace(**{n: getattr(true, n) * weight for n in ("px", "py", "pz", "energy")})
    columns = nano(true, EVENTS)
    order = np.argsort(np.repeat([0, 2], [true.counts[:5].sum(), true.counts[5:].sum()]), kind="stable")
    per_event = ak.num(columns["PFCands_pt"]).to_list()
    back = ak.flatten(ak.unflatten(weight[order], per_event)[:, ::-1])  # as nano stores them: reversed
    columns["PFCands_puppiWeight"] = ak.unflatten(back, per_event)
    expected = scaled
    if stored == "without PUPPI":
        expected = true
    elif stored == "weighted":
        for name in ("pt", "mass"):
            columns[f"PFCands_{name}"] = columns[f"PFCands_{name}"] * columns["PFCands_puppiWeight"]
    raw = expected.jet()
    corrected = {"pt": 1.1 * raw["pt"], "mass": 1.1 * raw["mass"], "eta": raw["eta"], "phi": raw["phi"]}
    columns |= {f"Jet_{n}": ak.unflatten(v, EVENTS) for n, v in corrected.items()}
    columns["Jet_rawFactor"] = ak.unflatten(np.full(12, 1 - 1 / 1.1), EVENTS)
    path = write_root(tmp_path / "nano.root", "Events", columns)
    jets = from_file(path, "pfnano")
    total = [np.bincount(jets.jet_index, weights=p) for p in jets.cartesian()[:2]]
    np.testing.assert_allclose(np.hypot(*total), raw["pt"], rtol=2e-3)
    kept = len(true.pt) if stored == "without PUPPI" else int((weight > 0).sum())
    assert jets.n_particles == kept
    text = repr(from_file(path, "pfnano", dry_run=True))
    assert "sum of particle pt / jet pt: 1.00" in text
    assert f"PUPPI weights are {'applied' if stored == 'unweighted' else 'not applied'}" in text


def test_forward_deposits_of_cms_are_neutral(tmp_path):
    true = truth()
    columns = nano(true, EVENTS)
    codes = columns["PFCands_pdgId"]
    columns["PFCands_pdgId"] = ak.where(codes == 130, 1, ak.where(codes == 22, 2, codes))
    jets = from_file(write_root(tmp_path / "nano.root", "Events", columns), "pfnano")
    assert np.array_equal(jets.particles["pid"], true.pid[check_particles(jets, true)])


def flat_file(path, true, pid, **more):
    columns = {n: true.jagged(getattr(true, n)) for n in ("px", "py", "pz", "energy")}
    write_root(path, "jets", columns | {"pid": true.jagged(pid)} | more)
    return {"particles": {n: n for n in ("px", "py", "pz", "energy", "pid")}}


@pytest.mark.parametrize(("code", "species"), [(3112, -211), (3312, -211), (12, 130), (310, 130), (-15, 211)])
def test_species_without_a_charge_column_come_from_the_table(tmp_path, code, species):
    true = truth()
    mapping = flat_file(tmp_path / "a.root", true, np.full(len(true.pt), code))
    jets = from_file(tmp_path / "a.root", mapping)
    assert set(jets.particles["pid"].tolist()) == {species}
    assert set(jets.particles["charge"].tolist()) == {float(np.sign(species) * (species != 130))}


def test_a_charge_column_decides(tmp_path):
    true = truth()
    charge = np.where(np.arange(len(true.pt)) % 2, 1, -1)
    pid = np.full(len(true.pt), 9999)
    mapping = flat_file(tmp_path / "a.root", true, pid, charge=true.jagged(charge))
    mapping["particles"]["charge"] = "charge"
    jets = from_file(tmp_path / "a.root", mapping)
    assert np.array_equal(jets.particles["pid"], 211 * charge[check_particles(jets, true)])


@pytest.mark.parametrize(
    ("code", "message"),
    [(1, "is a quark.*codes='cms'"), (9999, "9999 is no hadron"), (0.3, "remap_pids.*codes='energyflow'")],
)
def test_codes_are_never_guessed(tmp_path, code, message):
    true = truth()
    mapping = flat_file(tmp_path / "a.root", true, np.full(len(true.pt), code))
    with pytest.raises(DataFileError, match=message) as error:
        from_file(tmp_path / "a.root", mapping)
    assert "a.root" in str(error.value)


def test_fractional_codes_of_energyflow_are_undone(tmp_path):
    true = truth()
    order = [
        22,
        211,
        -211,
        321,
        -321,
        130,
        2112,
        -2112,
        2212,
        -2212,
        11,
        -11,
        13,
        -13,
    ]  # of its PID2FLOAT_MAP
    fractions = np.array([0.1 * order.index(code) for code in true.pid.tolist()], dtype=np.float32)
    mapping = flat_file(tmp_path / "a.root", true, fractions)
    jets = from_file(tmp_path / "a.root", mapping | {"codes": "energyflow"})
    assert np.array_equal(jets.particles["pid"], true.pid[check_particles(jets, true)])


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("cm", 10.0), ("um", 1e-3), ("m", 1e3)])
def test_lengths_are_brought_to_millimetres(tmp_path, unit, factor):
    true = truth()
    d0 = np.arange(len(true.pt)) + 1.0
    more = {"d0": true.jagged(d0), "err": true.jagged(0.5 + 0 * d0)}
    mapping = flat_file(tmp_path / "a.root", true, true.pid, **more)
    mapping["particles"] |= {"d0": "d0", "d0_err": "err"}
    jets = from_file(tmp_path / "a.root", mapping | {"length_unit": unit})
    order = check_particles(jets, true)
    np.testing.assert_allclose(jets.particles["d0"], factor * d0[order], rtol=1e-6)
    np.testing.assert_allclose(jets.particles["d0_err"], 0.5 * factor, rtol=1e-6)


def edm4hep(true, events=EVENTS):
    jet, first = true.jet(), events[0]
    per_event = np.array([true.counts[:first].sum(), 0, true.counts[first:].sum()])
    columns = {f"ReconstructedParticles.momentum.{x}": getattr(true, f"p{x}") for x in "xyz"}
    columns |= {"ReconstructedParticles.energy": true.energy, "ReconstructedParticles.charge": true.charge}
    columns = {n: ak.unflatten(v, per_event) for n, v in columns.items()}
    back = [np.arange(n)[::-1] for n in per_event]  # particles are stored the other way round
    columns = {n: v[:, ::-1] for n, v in columns.items()}
    columns["_Jet_particles.index"] = ak.unflatten(np.concatenate(back), per_event)
    ends = [np.cumsum(true.counts[:first]), np.zeros(0, int), np.cumsum(true.counts[first:])]
    begins = [np.concatenate([[0], e])[:-1] for e in ends]
    columns["Jet.particles_begin"] = ak.Array([b.tolist() for b in begins])
    columns["Jet.particles_end"] = ak.Array([e.tolist() for e in ends])
    momentum = np.sqrt(jet["e"] ** 2 - jet["mass"] ** 2)
    pz = jet["pt"] * np.sinh(jet["eta"])
    assert np.allclose(momentum, np.hypot(jet["pt"], pz))
    values = {"momentum.x": jet["pt"] * np.cos(jet["phi"]), "momentum.y": jet["pt"] * np.sin(jet["phi"])}
    values |= {"momentum.z": pz, "energy": jet["e"]}
    return columns | {f"Jet.{n}": ak.unflatten(v, events) for n, v in values.items()}


def test_edm4hep_by_ranges_and_cartesian_jets(tmp_path):
    true = truth()
    jets = from_file(write_root(tmp_path / "fcc.root", "events", edm4hep(true)), "edm4hep")
    check_particles(jets, true)
    check_jet(jets, true)
    assert jets.jet["rank"].tolist() == [*range(5), *range(7)]


def test_edm4hep_ranges_that_point_nowhere_give_jets_without_particles(tmp_path):
    true = truth()
    columns = edm4hep(true)
    columns["Jet.particles_end"] = columns["Jet.particles_end"] + 10_000
    jets = from_file(write_root(tmp_path / "fcc.root", "events", columns), "edm4hep")
    assert len(jets) == 0


def physlite(true, name="AnalysisJetsAuxDyn", per_event=(2, 1, 3)):
    """Tracks of jets far apart in azimuth, in MeV and mm; the first track of an event belongs to no jet."""
    per_event = np.array(per_event)
    rank = np.concatenate([np.arange(n) for n in per_event])
    centre = np.array([-2.0, 0.0, 2.0])[rank]
    jet = true.jet()
    phi = centre.repeat(true.counts) + np.clip(true.phi * 0, -0.1, 0.1)
    eta = np.repeat(0.1 * rank, true.counts)
    pt = true.pt
    theta = 2 * np.arctan(np.exp(-eta))
    sign = np.where(np.arange(len(pt)) % 2, 1.0, -1.0)
    q_over_p = sign / (1000 * pt * np.cosh(eta))
    counts = np.add.reduceat(true.counts, np.cumsum(per_event) - per_event)
    tracks = {"qOverP": q_over_p, "theta": theta, "phi": phi, "d0": 0.05 * sign, "z0": 0.1 * sign}
    far = {"qOverP": 1e-5, "theta": 0.1, "phi": 0.0, "d0": 0.0, "z0": 0.0}
    columns = {}
    for quantity, values in tracks.items():
        jagged = ak.unflatten(values, counts)
        columns[f"InDetTrackParticlesAuxDyn.{quantity}"] = ak.concatenate(
            [ak.Array([[far[quantity]]] * len(per_event)), jagged], axis=1
        )
    sums = {"pt": 1000 * jet["pt"], "eta": 0.1 * rank, "phi": centre, "m": 1000 * jet["mass"]}
    columns |= {f"{name}.{n}": ak.unflatten(v, per_event) for n, v in sums.items()}
    return columns, pt, sign


@pytest.mark.parametrize("preset", ["physlite", "physlite_fatjet"])
def test_physlite_tracks_within_a_cone(tmp_path, preset, monkeypatch):
    """Beside a branch that is nested as ATLAS writes it, which no preset reads."""
    true = truth(6, massless=True)
    name = presets()[preset].jet["pt"].removesuffix(".pt")
    columns, pt, sign = physlite(true, name)
    columns[f"{name}.SumPtTrkPt500"] = ak.Array([[[1.0, 2.0], []], [[3.0]], [[], [], [4.0]]])
    jets = from_file(write_nested(tmp_path / "DAOD.root", "CollectionTree", columns, monkeypatch), preset)
    order = np.lexsort((-pt, np.repeat(np.arange(6), true.counts)))
    assert jets.counts.tolist() == true.counts.tolist()
    np.testing.assert_allclose(jets.particles["pt"], pt[order], rtol=1e-5)
    np.testing.assert_allclose(jets.particles["d0"], 0.05 * sign[order], rtol=1e-5)
    assert np.array_equal(jets.particles["charge"], sign[order])
    np.testing.assert_allclose(jets.jet["pt"], true.jet()["pt"], rtol=1e-5)


def nested(true, events=EVENTS):
    """Particles as lists of lists, jets as lists."""
    columns = {n: ak.unflatten(true.jagged(getattr(true, n)), events) for n in ("pt", "eta", "phi", "energy")}
    jet = {n: ak.unflatten(true.jet()[n], events) for n in ("pt", "eta", "phi", "mass")}
    return {f"jet_constituents_{n}": v for n, v in columns.items()} | {f"jet_{n}": v for n, v in jet.items()}


def write_nested_as(kind, path, columns, monkeypatch):
    """The same as an RNTuple, or as a TTree with branches of ``vector<vector<float>>``."""
    if kind == "TTree":
        return write_nested(path, "analysis", columns, monkeypatch)
    with uproot.recreate(path) as file:
        file.mkrntuple("analysis", columns)
    return path


@pytest.mark.parametrize("kind", ["TTree", "RNTuple"])
@pytest.mark.parametrize("given", ["with jets", "without jets"])
def test_particles_nested_in_jets(tmp_path, given, kind, monkeypatch):
    true = truth()
    path = write_nested_as(kind, tmp_path / "nested.root", nested(true), monkeypatch)
    with uproot.open(path) as file:
        assert "ector<" in file["analysis"]["jet_constituents_pt"].typename
    mapping = {"particles": {n: f"jet_constituents_{n}" for n in ("pt", "eta", "phi", "energy")}}
    if given == "with jets":
        mapping["jet"] = {n: f"jet_{n}" for n in ("pt", "eta", "phi", "mass")}
    jets = from_file(path, mapping)
    check_particles(jets, true)
    check_jet(jets, true)
    assert jets.jet["row"].tolist() == [0] * 5 + [2] * 7


def test_events_of_padded_jets_in_hdf5(tmp_path):
    true = truth()
    grid = np.zeros((2, 7, 15, 4))
    place = [(0, i) for i in range(5)] + [(1, i) for i in range(7)]
    padded = true.padded([true.px, true.py, true.pz, true.energy], 15)
    for (event, rank), values in zip(place, padded, strict=True):
        grid[event, rank] = values
    with h5py.File(tmp_path / "grid.h5", "w") as file:
        for i, name in enumerate(("px", "py", "pz", "e")):
            file[name] = grid[..., i]
    jets = from_file(tmp_path / "grid.h5", {"particles": {"px": "px", "py": "py", "pz": "pz", "energy": "e"}})
    check_particles(jets, true)
    assert list(zip(jets.jet["row"].tolist(), jets.jet["rank"].tolist(), strict=True)) == place


def flavour_dump(path, true, unit):
    jet = true.jet()
    owner = np.repeat(np.arange(len(true.counts)), true.counts)
    kinds = [("pt", "f4"), ("eta", "f4"), ("mass", "f4"), ("HadronConeExclTruthLabelID", "i4")]
    jets = np.zeros(len(true.counts), [*kinds, ("eventNumber", "i8")])
    for ours in ("pt", "eta", "mass"):
        jets[ours] = jet[ours] * (unit if ours != "eta" else 1)
    jets["HadronConeExclTruthLabelID"] = np.resize([0, 4, 5, 15], len(jets))
    jets["eventNumber"] = 2**40 + np.arange(len(jets))
    fields = ("pt", "deta", "dphi", "d0", "d0Uncertainty", "z0SinTheta", "z0SinThetaUncertainty")
    tracks = np.zeros((len(jets), 15), [(name, "f4") for name in fields] + [("valid", "?")])
    values = {
        "pt": true.pt * unit,
        "deta": true.eta - jet["eta"][owner],
        "dphi": true.phi - jet["phi"][owner],
    }
    values |= {"d0": 0.1 + 0 * true.pt, "d0Uncertainty": 0.01 + 0 * true.pt, "z0SinTheta": 0.2 + 0 * true.pt}
    values |= {"z0SinThetaUncertainty": 0.02 + 0 * true.pt, "valid": np.ones(len(owner))}
    for name, column in values.items():
        tracks[name] = true.padded([column], 15)[..., 0]
    with h5py.File(path, "w") as file:
        file["jets"], file["tracks"] = jets, tracks
        file["a_longer_one"] = np.zeros(500)
    return path


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_flavour_tagging_dumps_with_other_datasets_beside_them(tmp_path, unit):
    small = truth()
    true = small._replace(**{n: 20 * getattr(small, n) for n in ("px", "py", "pz", "energy")})
    jets = from_file(flavour_dump(tmp_path / "dump.h5", true, unit), "atlas_flavour_dump")
    assert len(jets) == 12 and jets.class_names == ("light", "c", "b", "tau")
    assert jets.label.tolist() == [0, 1, 2, 3] * 3
    assert jets.provenance["label_map"] == {"0": "light", "4": "c", "5": "b", "15": "tau"}
    np.testing.assert_allclose(jets.jet["pt"], true.jet()["pt"], rtol=1e-5)
    assert jets.jet["event"].tolist() == (2**40 + np.arange(12)).tolist()
    np.testing.assert_allclose(jets.particles["d0"], 0.1, rtol=1e-5)


def test_every_preset_states_its_units():
    for name, preset in presets().items():
        assert preset.unit != "auto" or name == "atlas_flavour_dump"  # old and new dumps differ
        assert preset.length_unit == ("cm" if "nano" in name else "mm")


def test_capitals_of_names_do_not_matter(tmp_path):
    columns = official(truth())
    columns["FatJetPFCand_PFCandIDX"] = columns.pop("FatJetPFCand_pFCandIdx")
    jets = from_file(write_root(tmp_path / "nano.ROOT", "Events", columns), "nanoaod_fatjet")
    check_particles(jets, truth())


def test_of_two_cycles_the_newest_counts_and_trees_may_lie_in_folders(tmp_path):
    old, new = truth(8, seed=1), truth(9, seed=2)
    with uproot.recreate(tmp_path / "a.root") as file:
        for true in (old, new):
            columns = {n: true.jagged(getattr(true, n)) for n in ("px", "py", "pz", "energy")}
            file.mktree("dir/jets", {n: str(ak.type(v).content) for n, v in columns.items()}).extend(columns)
    mapping = {"particles": {n: n for n in ("px", "py", "pz", "energy")}}
    for tree in ("", "jets", "dir/jets"):
        assert len(from_file(tmp_path / "a.root", mapping | {"tree": tree})) == 9
    with pytest.raises(DataFileError, match="no tree 'jetz'.*did you mean"):
        from_file(tmp_path / "a.root", mapping | {"tree": "jetz"})


def test_lists_and_patterns_of_files(tmp_path):
    for seed in (0, 1):
        flat_file(tmp_path / f"part{seed}.root", truth(seed=seed), truth(seed=seed).pid)
    mapping = {"particles": {n: n for n in ("px", "py", "pz", "energy", "pid")}}
    paths = [tmp_path / "part0.root", tmp_path / "part1.root"]
    several = from_file(paths, mapping)
    assert (
        several.jet["file"].tolist() == [0] * 12 + [1] * 12
        and several.jet["row"].tolist() == [*range(12)] * 2
    )
    assert len(from_file(f"{tmp_path}/part*.root", mapping)) == 24
    with pytest.raises(DataFileError, match="no file fits"):
        from_file(f"{tmp_path}/none*.root", mapping)


def test_a_file_with_thousands_of_columns_is_not_printed(tmp_path):
    with h5py.File(tmp_path / "wide.h5", "w") as file:
        file["part/px"] = np.ones((2, 1))
        for i in range(2000):
            file[f"column_{i}"] = np.zeros(2)
    with pytest.raises(DataFileError, match="did you mean 'part/px'") as error:
        from_file(
            tmp_path / "wide.h5", {"particles": {"px": "part_pxx", "py": "b", "pz": "c", "energy": "d"}}
        )
    assert len(str(error.value)) < 600


def test_a_range_needs_both_ends():
    with pytest.raises(ConfigError, match="begin and end"):
        column_map({"particles": {n: n for n in ("px", "py", "pz", "energy")}, "begin": "b"})
