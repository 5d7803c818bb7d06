"""From files to scores by commands alone."""

import json
import subprocess
import sys
import time

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from omnilearn_lab import PETClassifier
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import read_jets, write_jets

from tests.estimators.test_estimators import make_jets
from tests.readers.own.layouts import LAYOUTS
from tests.readers.own.test_layouts import official
from tests.readers.own.test_reader import nano, write_root
from tests.readers.samples import truth

UNLABELLED = ("delphes", "delphes_fatjet", "physlite_fatjet", "edm4hep")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_jets(make_jets(200), folder / "train.h5", 20)
    write_jets(make_jets(90, seed=1), folder / "test.h5", 20)
    write_jets(make_jets(60, seed=2), folder / "other.h5", 20)
    return folder


@pytest.fixture(scope="module")
def tagger(folder):
    from omnilearn_lab.cli import app
    from typer.testing import CliRunner

    command = ["finetune", str(folder / "train.h5"), "--out", str(folder / "tagger"), "--train", "head"]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    return folder / "tagger"


def test_evaluate(invoke, folder, tagger):
    numbers = json.loads(invoke("evaluate", tagger, folder / "test.h5", "--json").stdout)
    assert numbers["accuracy"] > 0.9 and numbers["auc"] > 0.95
    assert "accuracy" in invoke("evaluate", tagger, folder / "test.h5").output


def test_scores_stand_beside_the_columns(invoke, folder, tagger, tmp_path):
    out = tmp_path / "scored.h5"
    invoke("predict", tagger, folder / "test.h5", "--out", out, "--chunk", 40)
    with h5py.File(folder / "test.h5") as before, h5py.File(out) as after:
        assert np.array_equal(before["data"][()], after["data"][()])
        assert set(after) - set(before) == {"score_wide", "score_narrow"}
        guessed = after["score_narrow"][()] > 0.5
        assert (guessed == (after["pid"][()] == 1)).mean() > 0.9
    assert {path.name for path in tmp_path.iterdir()} == {"scored.h5"}


def test_scores_of_events_are_aligned_with_their_jets(invoke, tagger, tmp_path):
    columns = nano(truth(), [5, 0, 7])
    lost = columns["JetPFCands_jetIdx"] == 2  # the third jet of every event has no particles
    columns["JetPFCands_jetIdx"] = ak.where(lost, -1, columns["JetPFCands_jetIdx"])
    path = write_root(tmp_path / "nano.root", "Events", columns)
    invoke("predict", tagger, path, "--columns", "pfnano", "--out", tmp_path / "s.root", "--chunk", 2)
    with uproot.open(tmp_path / "s.root") as file:
        tree = file["Events"]
        assert tree["PFCands_pt"].array().to_list() == columns["PFCands_pt"].to_list()
        for name in ("score_wide", "score_narrow"):
            scores = tree[name].array()
            assert ak.num(scores).to_list() == [5, 0, 7]
            missing = np.isnan(ak.flatten(scores).to_numpy())
            assert np.flatnonzero(missing).tolist() == [2, 7]


def test_a_killed_predict_goes_on(invoke, folder, tagger, tmp_path, monkeypatch):
    from omnilearn_lab.estimators import PETClassifier

    out, real, calls = tmp_path / "scored.h5", PETClassifier.scores, []

    def dies(self, jets):
        calls.append(len(jets))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, jets)

    monkeypatch.setattr(PETClassifier, "scores", dies)
    invoke("predict", tagger, folder / "test.h5", "--out", out, "--chunk", 30)
    assert not out.exists()
    invoke("predict", tagger, folder / "test.h5", "--out", out, "--chunk", 30)
    assert calls == [30, 30, 30, 30]  # the first of three chunks was not computed again
    invoke("predict", tagger, folder / "test.h5", "--out", tmp_path / "whole.h5", "--chunk", 30)
    with h5py.File(out) as file, h5py.File(tmp_path / "whole.h5") as whole:
        assert set(file) == set(whole)
        for name in ("score_wide", "score_narrow"):
            assert np.array_equal(file[name][()], whole[name][()]) and np.isfinite(file[name][()]).all()


@pytest.mark.slow
def test_a_predict_that_is_killed_leaves_the_same_file(folder, tagger, tmp_path):
    """A process that is killed while it scores, and started again, of a ROOT file."""
    true = truth(2000)
    columns = {f"cand_{n}": true.jagged(getattr(true, n)) for n in ("px", "py", "pz", "energy")}
    source = write_root(tmp_path / "mine.root", "jets", columns)
    names = {n: f"cand_{n}" for n in ("px", "py", "pz", "energy")}
    (tmp_path / "map.yaml").write_text(f"particles: {names}\nunit: GeV\n".replace("'", ""))
    model = PETClassifier("tiny", train="head", use_pid=False).fit(make_jets(100)).save(tmp_path / "model")
    command = [sys.executable, "-m", "omnilearn_lab.cli", "predict", str(model), str(source)]
    command += ["--columns", str(tmp_path / "map.yaml"), "--chunk", "50", "--out"]
    parts = tmp_path / ".scored.root.scores"
    with subprocess.Popen([*command, str(tmp_path / "scored.root")]) as process:
        while process.poll() is None and len(list(parts.glob("*.npz"))) < 5:
            time.sleep(0.01)
        process.kill()
    assert 5 <= len(list(parts.glob("*.npz"))) < 40 and not (tmp_path / "scored.root").exists()
    for name in ("scored.root", "whole.root"):
        subprocess.run([*command, str(tmp_path / name)], check=True)
    assert not parts.exists()
    with uproot.open(tmp_path / "scored.root") as file, uproot.open(tmp_path / "whole.root") as whole:
        assert file["jets"].keys() == whole["jets"].keys()
        for name in file["jets"]:
            assert ak.array_equal(file["jets"][name].array(), whole["jets"][name].array())


def test_several_files_go_to_a_folder(invoke, folder, tagger, tmp_path):
    invoke("predict", tagger, folder / "[to]*er.h5", folder / "test.h5", "--out", tmp_path / "scored")
    assert {path.name for path in (tmp_path / "scored").iterdir()} == {"other.h5", "test.h5"}


def test_embeddings_of_a_tagger_and_of_a_checkpoint(invoke, folder, tagger, tmp_path):
    for model in (tagger, "tiny"):
        invoke("embed", model, folder / "test.h5", "--out", tmp_path / "embedding.h5", "--chunk", 40)
        with h5py.File(tmp_path / "embedding.h5") as file:
            assert file["embedding"].shape == (90, 64) and file["label"].shape == (90,)
            assert np.array_equal(file["label"][()], np.arange(90) % 2)


def test_a_regressor(invoke, folder, tmp_path):
    out = tmp_path / "regressor"
    invoke(
        "finetune",
        folder / "train.h5",
        "--out",
        out,
        "--task",
        "regressor",
        "--train",
        "head",
        "--target",
        "mass",
    )
    numbers = json.loads(invoke("evaluate", out, folder / "test.h5", "--json").stdout)
    assert numbers["mass: root mean square error"] < read_jets(folder / "test.h5").jet["mass"].std()


def test_a_generator(invoke, folder, tmp_path):
    (tmp_path / "short.yaml").write_text("epochs: 1\nkinematics_epochs: 1\nn_steps: 2\n")
    command = ("finetune", folder / "other.h5", "--out", tmp_path / "g", "--task", "generator")
    invoke(*command, "--settings", tmp_path / "short.yaml")
    invoke("generate", tmp_path / "g", "--n-jets", 12, "--label", "narrow", "--out", tmp_path / "made.h5")
    assert len(read_jets(tmp_path / "made.h5")) == 12


def test_reweighting_and_unfolding(invoke, folder, tmp_path):
    (tmp_path / "short.yaml").write_text("epochs: 1\n")
    settings = ("--settings", tmp_path / "short.yaml")
    done = invoke("reweight", folder / "test.h5", folder / "other.h5", "--out", tmp_path / "w.h5", *settings)
    assert "90 weights" in done.output
    with h5py.File(tmp_path / "w.h5") as file:
        assert np.isclose(file["weight"][()].sum(), 90)
    (tmp_path / "short.yaml").write_text("epochs: 1\nn_iterations: 1\n")
    levels = (folder / "test.h5", folder / "test.h5", folder / "other.h5")
    assert "90 weights" in invoke("unfold", *levels, "--out", tmp_path / "u.h5", *settings).output


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("--task", "clasifier"), ConfigError, "did you mean 'classifier'"),
        (("--train", "hed"), ConfigError, "did you mean 'head'"),
        (("--task", "regressor", "--target", "mas"), ConfigError, "did you mean 'mass'"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_trained(
    invoke, folder, tmp_path, arguments, error, message
):
    with pytest.raises(error, match=message):
        invoke("finetune", folder / "train.h5", "--out", tmp_path / "t", *arguments)


def test_a_setting_that_is_none(invoke, folder, tmp_path):
    (tmp_path / "a.yaml").write_text("epoch: 3\n")
    with pytest.raises(ConfigError, match="no parameter 'epoch'.*did you mean 'epochs'"):
        invoke("finetune", folder / "train.h5", "--out", tmp_path / "t", "--settings", tmp_path / "a.yaml")


def test_jets_that_do_not_pair(invoke, folder, tmp_path):
    levels = (folder / "test.h5", folder / "other.h5", folder / "other.h5")
    with pytest.raises((ConfigError, JetsError), match="pair"):
        invoke("unfold", *levels, "--out", tmp_path / "u.h5")


def test_from_an_events_file_to_scores_beside_its_jets(invoke, tagger, tmp_path):
    """inspect proposes a map, finetune's tagger takes it, and every jet of the file keeps its place."""
    path = write_root(tmp_path / "events.root", "Events", official(truth()))
    done = invoke("inspect", path, "--out", tmp_path / "map.yaml")
    assert "nanoaod_fatjet" in done.output
    out = tmp_path / "scored.root"
    invoke("predict", tagger, path, "--columns", tmp_path / "map.yaml", "--out", out)
    with uproot.open(out) as file:
        rows = file["Events"].arrays()
    counts = ak.num(rows["FatJet_pt"])
    assert ak.all(ak.num(rows["score_wide"]) == counts) and ak.any(counts != 1)
    scored = ak.flatten(rows["score_wide"] + rows["score_narrow"])
    assert np.allclose(scored[~np.isnan(scored)], 1, atol=1e-5) and not ak.all(np.isnan(scored))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_map_that_inspect_proposes_is_one_that_finetune_takes(invoke, tmp_path, layout, monkeypatch):
    """Of a layout without labels a number of the jets is learnt."""
    path = LAYOUTS[layout](tmp_path, monkeypatch)
    invoke("inspect", path, "--out", tmp_path / "map.yaml")
    options = ("--columns", tmp_path / "map.yaml", "--out", tmp_path / "t", "--train", "head")
    target = ("--task", "regressor", "--target", "mass") if layout in UNLABELLED else ()
    assert "written" in invoke("finetune", path, *options, *target).output
    out = tmp_path / f"scored{path.suffix}"
    invoke("predict", tmp_path / "t", path, "--columns", tmp_path / "map.yaml", "--out", out)
    assert out.exists()
