"""The front door: scikit-learn's conventions over jets."""

import numpy as np
import pytest
from omnilearn_lab import Jets, PETClassifier, PETGenerator, PETRegressor, Reweighter, WeakSupervision
from omnilearn_lab.errors import CheckpointError, ConfigError, JetsError
from omnilearn_lab.estimators import load_estimator
from omnilearn_lab.tasks.common import network_batch
from omnilearn_lab.tasks.common.classification import network_outputs
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils import estimator_checks

ALL = [PETClassifier, PETRegressor, PETGenerator, Reweighter, WeakSupervision]


def make_jets(n, seed=0, *, pid=True, names=("wide", "narrow"), **jet):
    """Half of the jets wide, half narrow."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 12, n)
    label = np.arange(n) % 2
    width = np.repeat(np.where(label, 0.02, 0.3), counts)
    pt = rng.exponential(30, counts.sum()) + 1
    eta, phi = rng.normal(0, width), rng.normal(0, width)
    momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=1)
    particles = {"pid": rng.choice([211, -211, 22, 130], len(pt))} if pid else None
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Jets.from_four_momenta(
        momenta, offsets, particles=particles, jet={"label": label} | jet, class_names=names
    )


@pytest.fixture(scope="module")
def jets():
    return make_jets(200)


@pytest.fixture(scope="module")
def tagger(jets):
    return PETClassifier("tiny", train="head").fit(jets)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_mixin_order,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learns_checks(cls, check):
    """Those that hand over arrays of shape (N, K) are left out: jets are jagged."""
    check(cls.__name__, cls())


def test_three_lines_fine_tune_and_the_fourth_predicts(jets):
    tagger = PETClassifier("tiny", epochs=3, batch_size=20, learning_rate=3e-3).fit(jets)
    test = make_jets(100, seed=1)
    assert tagger.score(test) > 0.9
    assert set(tagger.predict(test)) <= {"wide", "narrow"}
    probabilities = tagger.predict_proba(test)
    assert probabilities.shape == (100, 2) and np.allclose(probabilities.sum(axis=1), 1)
    assert tagger.history_.column("step")[-1] == 3 * 9


def test_a_head_leaves_its_place_to_a_class_without_training_jets():
    names = ("other", "wide", "none", "narrow")
    jets = make_jets(200, names=names)
    jets = jets.with_jet(label=np.where(jets.label == 0, 1, 3))
    tagger = PETClassifier("tiny", train="head").fit(jets)
    chances = tagger.predict_proba(jets)
    assert chances.shape == (200, 4) and chances[:, [0, 2]].max() == 0
    assert tagger.classes_.tolist() == list(names) and tagger.score(jets) > 0.9
    three = jets.with_jet(label=np.where(np.arange(200) < 20, 0, jets.label))
    chances = PETClassifier("tiny", train="head").fit(three).predict_proba(three)
    assert chances[:, 2].max() == 0 and chances[:, [0, 1, 3]].min(axis=0).max() > 0


def test_cross_validation(jets):
    scores = cross_val_score(PETClassifier("tiny", train="head"), jets, jets.label, cv=3)
    assert len(scores) == 3 and scores.min() > 0.9


def test_the_embedding_is_what_enters_the_last_layer(jets, tagger):
    rows = tagger.transform(jets)
    assert rows.shape == (200, 64) and rows.dtype == np.float32
    model = tagger.network_
    batch = network_batch(jets)
    head = model.classifier.logits
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    logits = model.classify(batch).logits.detach().numpy()
    assert np.allclose(rows @ weight.T + bias, logits, atol=1e-5)


def test_the_embedding_of_pet_v2_belongs_to_its_jet(jets):
    tagger = PETClassifier("v2_tiny", train="head", use_pid=False).fit(jets)
    rows = tagger.transform(jets)
    assert np.allclose(tagger.transform(jets[[3, 150]]), rows[[3, 150]], atol=1e-4)
    head = tagger.network_.classifier.out
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    logits = network_outputs(tagger.network_, tagger.inputs_.batch(jets))
    assert np.allclose(rows @ weight.T + bias, logits, atol=1e-4)


@pytest.mark.parametrize("train", ["head", "all"])
def test_saved_and_read_back(jets, tmp_path, train):
    tagger = PETClassifier("tiny", train=train, epochs=1, batch_size=50).fit(jets)
    again = load_estimator(tagger.save(tmp_path / "tagger"))
    assert again.get_params() == tagger.get_params()
    assert np.allclose(again.predict_proba(jets), tagger.predict_proba(jets), atol=1e-6)
    assert again.classes_.tolist() == ["wide", "narrow"]
    assert type(PETClassifier.load(tmp_path / "tagger")) is PETClassifier
    with pytest.raises(CheckpointError, match="not a PETRegressor"):
        PETRegressor.load(tmp_path / "tagger")


def test_a_damaged_folder_is_an_error_of_ours(tagger, tmp_path):
    folder = tagger.save(tmp_path / "a")
    card = folder / "estimator.json"
    for text in (
        "",
        "{",
        "[1]",
        '{"estimator": "os"}',
        '{"estimator": "PETClassifier", "parameters": {"a": 1}}',
    ):
        card.write_text(text)
        with pytest.raises((CheckpointError, ConfigError)):
            load_estimator(folder)


def test_inputs_are_remembered_and_others_refused(jets, tagger, tmp_path):
    bare = make_jets(20, seed=2, pid=False)
    with pytest.raises(JetsError, match="trained with particle species"):
        tagger.predict(bare)
    without = PETClassifier("tiny", train="head", use_pid=False).fit(jets)
    assert np.allclose(without.predict_proba(bare), without.predict_proba(make_jets(20, seed=2)))


def test_classes_are_matched_by_name(tagger):
    test = make_jets(100, seed=3)
    swapped = Jets(test.particles, test.offsets, test.jet | {"label": 1 - test.label}, ("narrow", "wide"))
    assert tagger.score(swapped) == tagger.score(test) > 0.9
    other = Jets(test.particles, test.offsets, test.jet, ("QCD", "top"))
    with pytest.raises(
        JetsError, match=r"the classes \['QCD', 'top'\], the tagger knows \['wide', 'narrow'\]"
    ):
        tagger.score(other)


def test_a_file_sorted_by_class_is_split_with_equal_shares(jets):
    order = np.argsort(jets.label, kind="stable")
    tagger = PETClassifier("tiny", train="head").fit(jets[order])
    assert tagger.score(jets) > 0.9


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(200, int), "one class"),
        (np.zeros(3, int), "one for each of 200 jets"),
        (np.linspace(0, 1, 200), "between classes"),
    ],
)
def test_labels_that_teach_nothing(jets, labels, message):
    with pytest.raises(JetsError, match=message):
        PETClassifier(epochs=100).fit(jets, labels)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_no_loss_takes(jets, bad):
    weight = np.ones(200)
    weight[7] = bad
    with pytest.raises(JetsError, match="1 of the 200 weights"):
        PETClassifier(epochs=100).fit(jets, sample_weight=weight)


def test_weights_count(jets):
    weight = np.where(np.arange(200) < 100, 1.0, 0.0)
    labels = np.where(np.arange(200) < 100, jets.label, 1 - jets.label)
    tagger = PETClassifier("tiny", train="head").fit(jets, labels, sample_weight=weight)
    assert tagger.score(jets, jets.label) > 0.9


def test_weights_count_among_the_jets_held_out(jets):
    """Jets without weight have wrong labels and targets: regularisation must not be chosen by them."""
    count, right = np.where(np.arange(200) % 8 < 2, 1.0, 0.0), np.where(jets.label == 1, 1.0, -1.0)
    labels = np.where(count > 0, jets.label, 1 - jets.label)
    tagger = PETClassifier("tiny", train="head").fit(jets, labels, sample_weight=count, validation=0.5)
    assert tagger.score(jets, jets.label) > 0.9
    regressor = PETRegressor("tiny", train="head")
    regressor.fit(jets, np.where(count > 0, right, -right), sample_weight=count, validation=0.5)
    assert np.corrcoef(regressor.predict(jets).ravel(), right)[0, 1] > 0.8
    with pytest.raises(JetsError, match="sum to zero"):
        PETClassifier("tiny", train="head").fit(jets, validation=jets.with_jet(weight=np.zeros(200)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"train": "heads"}, "did you mean 'head'"),
        ({"checkpoint": None, "train": "head"}, "needs a pretrained body"),
        ({"epochs": -1}, "epochs"),
    ],
)
def test_parameters_are_checked_before_anything_is_trained(jets, parameters, message):
    with pytest.raises(ConfigError, match=message):
        PETClassifier(**parameters).fit(jets)


@pytest.mark.parametrize("fraction", [0, 1.5, -0.1])
def test_the_share_held_out(jets, fraction):
    with pytest.raises(ConfigError, match="validation"):
        PETClassifier().fit(jets, validation=fraction)


def test_before_fit(jets):
    for estimator in (PETClassifier(), PETRegressor(), WeakSupervision(), Reweighter()):
        with pytest.raises(NotFittedError):
            estimator.predict(jets)
    with pytest.raises(NotFittedError):
        PETGenerator().sample(3)


def test_what_is_no_jets():
    with pytest.raises(JetsError, match=r"give Jets: read files with readers\.from_file"):
        PETClassifier().fit(np.zeros((5, 3)), [0, 1, 0, 1, 0])


@pytest.mark.parametrize("train", ["head", "all"])
def test_regression_of_the_jet_mass(jets, train, tmp_path):
    mass = np.log(jets.jet["mass"] + 1)
    model = PETRegressor("tiny", train=train, epochs=12, batch_size=20, learning_rate=3e-3).fit(jets, mass)
    assert model.score(make_jets(100, 5), np.log(make_jets(100, 5).jet["mass"] + 1)) > 0.5
    both = PETRegressor("tiny", train="head").fit(jets, {"log mass": mass, "pt": jets.jet["pt"]})
    assert both.target_names_ == ("log mass", "pt") and both.predict(jets).shape == (200, 2)
    again = PETRegressor.load(both.save(tmp_path / "both"))
    assert np.allclose(again.predict(jets), both.predict(jets), atol=1e-4)


@pytest.mark.parametrize(
    ("targets", "message"),
    [(np.ones(200), "the same for all"), (np.full(200, np.nan), "not finite"), (np.ones(3), "3 rows")],
)
def test_targets_that_teach_nothing(jets, targets, message):
    with pytest.raises(JetsError, match=message):
        PETRegressor().fit(jets, targets)


def test_weak_supervision_finds_what_only_the_data_hold(jets):
    background = make_jets(300, seed=8)
    background = background[background.label == 0]
    signal = make_jets(200, seed=9)
    data = Jets.concatenate([background[:100], signal[signal.label == 1][:40]])
    found = WeakSupervision("tiny").fit(data, background[100:])
    assert found.auc_ > 0.55
    test = make_jets(100, seed=10)
    score = found.predict(test)
    assert score[test.label == 1].mean() > score[test.label == 0].mean()


def test_parameters_survive_cloning():
    assert clone(PETClassifier("small", train="head")).get_params()["checkpoint"] == "small"
