"""The exported file gives what the estimator gives, for every multiplicity."""

import functools
import json

import numpy as np
import pytest
from omnilearn_lab import Jets, PETClassifier, PETRegressor
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.estimators import export_onnx
from omnilearn_lab.estimators.export import padded_inputs
from tests.conftest import random_jets

onnxruntime = pytest.importorskip("onnxruntime")
SLOTS = 12


def all_multiplicities():
    jets = random_jets(SLOTS, mean=30.0)
    return Jets.concatenate([jets[i].truncate(i + 1) for i in range(SLOTS)])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a fitted classifier and its file; each is made once."""

    @functools.cache
    def make(checkpoint):
        displaced = checkpoint == "v2_tiny"
        estimator = PETClassifier(checkpoint, epochs=0.5, use_displacement=displaced)
        estimator.fit(random_jets(60, mean=6.0))
        path = tmp_path_factory.mktemp("onnx") / "tagger.onnx"
        return estimator, export_onnx(estimator, path, max_particles=SLOTS)

    return make


def run(path, estimator, jets):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    parts = []
    for i in range(len(jets)):
        inputs = padded_inputs(estimator, estimator.inputs_.batch(jets[i]), SLOTS)
        names = {one.name for one in session.get_inputs()}
        parts.append(session.run(None, {k: v for k, v in inputs.items() if k in names}))
    return (np.concatenate(column) for column in zip(*parts, strict=True)), session


@pytest.mark.parametrize("checkpoint", ["tiny", "v2_tiny"])
def test_scores_and_embeddings_agree(checkpoint, exported):
    (estimator, path), jets = exported(checkpoint), all_multiplicities()
    (scores, embedding), session = run(path, estimator, jets)
    np.testing.assert_allclose(scores, estimator.predict_proba(jets), atol=1e-5)
    np.testing.assert_allclose(embedding, estimator.transform(jets), atol=1e-4)
    about = json.loads(session.get_modelmeta().custom_metadata_map["omnilearn_lab"])
    assert about["outputs"] == ["class 0", "class 1"] and about["units"]["energy"] == "GeV"
    assert about["inputs"]["features"]["shape"] == [1, SLOTS, 4 if checkpoint == "v2_tiny" else 13]


def test_what_empty_slots_hold_changes_nothing(exported):
    (estimator, path), jet = exported("tiny"), all_multiplicities()[2]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = padded_inputs(estimator, estimator.inputs_.batch(jet), SLOTS)
    before = session.run(None, inputs)[0]
    inputs["features"] = np.where(inputs["mask"][:, :, None], inputs["features"], np.float32(77))
    np.testing.assert_array_equal(session.run(None, inputs)[0], before)


def test_a_regressor_behind_a_frozen_body_gives_its_own_units(tmp_path):
    jets = random_jets(60, mean=6.0)
    estimator = PETRegressor("tiny", train="head", epochs=0.5).fit(jets, {"mass": jets.jet["mass"]})
    path = export_onnx(estimator, tmp_path / "mass.onnx", max_particles=SLOTS)
    (numbers, _), _ = run(path, estimator, all_multiplicities())
    np.testing.assert_allclose(numbers, estimator.predict(all_multiplicities()), rtol=1e-4)


def test_sizes_are_checked():
    with pytest.raises(ConfigError, match="2 slots and 1 jet"):
        export_onnx(PETClassifier(), "a.onnx", max_particles=1)
