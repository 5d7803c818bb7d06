import numpy as np
import pytest
from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.readers import GN2_TRACK_INPUTS
from omnilearn_lab.tasks.flavour.inputs import (
    TrackInputs,
    displacement_score,
    reference_probabilities,
)


def flavour_jets(n_jets=40, seed=0, *, published=False):
    """Jets of tracks; those of b jets (label 2) are displaced."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 9, n_jets)
    label = rng.integers(0, 4, n_jets)
    total, offsets = counts.sum(), np.concatenate([[0], np.cumsum(counts)])
    pt = rng.exponential(5, total) + 0.5
    size = np.repeat(np.where(label == 2, 1.0, 0.05), counts)
    columns = {
        "deta": rng.normal(0, 0.1, total),
        "dphi": rng.normal(0, 0.1, total),
        "pt": pt,
        "energy": 2 * pt,
    }
    columns |= {"charge": rng.choice([-1, 1], total), "origin": rng.integers(2, 8, total)}
    columns |= {"d0": rng.normal(0, size), "dz": rng.normal(0, size)}
    columns |= {"lifetime_d0": size + rng.normal(0, 0.05, total), "lifetime_dz": rng.normal(0, size)}
    columns |= {"d0_err": np.full(total, 0.05), "dz_err": np.full(total, 0.1)}
    jet = {"pt": rng.uniform(20, 250, n_jets), "eta": rng.uniform(-2, 2, n_jets)}
    jet |= {"phi": rng.uniform(-3, 3, n_jets), "mass": rng.uniform(1, 20, n_jets), "label": label}
    if published:
        columns |= {name: rng.normal(size=total) for name in GN2_TRACK_INPUTS[4:]}
        jet |= {f"GN2v01_p{name}": rng.uniform(size=n_jets) for name in ("u", "c", "b", "tau")}
    return Jets.build(columns, offsets, jet, class_names=["light", "c", "b", "tau"])


@pytest.mark.parametrize(("published", "n_extra"), [(False, 7), (True, 17)])
def test_inputs_are_of_order_one(published, n_extra):
    jets = flavour_jets(published=published)
    batch = TrackInputs.of(jets).batch(jets)
    assert batch.extra.shape == (jets.n_particles, n_extra)
    assert batch.extra.mean(0).abs().max() < 1e-4
    varying = batch.extra.std(0) > 1e-5  # the errors are constant here
    assert (batch.extra.std(0)[varying] - 1).abs().max() < 0.05
    assert batch.condition.shape == (len(jets), 4)
    assert batch.particle_label.tolist() == jets.particles["origin"].tolist()


def test_scale_is_that_of_the_training_jets():
    train, test = flavour_jets(seed=1), flavour_jets(seed=2)
    data = TrackInputs.of(train).data({"train": train, "val": test, "test": test})
    assert data.train.extra.mean(0).abs().max() < 1e-4
    assert data.test.extra.mean(0).abs().max() > 1e-3


def test_significance_and_curvature_by_hand():
    jets = flavour_jets(3)
    inputs = TrackInputs(("significance of lifetime_d0", "charge / momentum"), (0.0, 0.0), (1.0, 1.0))
    first = inputs.batch(jets).extra[0].tolist()
    ratio = jets.particles["lifetime_d0"][0] / jets.particles["d0_err"][0]
    momentum = jets.particles["pt"][0] * np.cosh(jets.jet["eta"][0] + jets.particles["deta"][0])
    assert first[0] == pytest.approx(np.sign(ratio) * np.log1p(abs(ratio)), rel=1e-5)
    assert first[1] == pytest.approx(jets.particles["charge"][0] / momentum, rel=1e-5)


def test_missing_column_is_named(jets):
    with pytest.raises(JetsError, match="lifetime_d0"):
        TrackInputs.of(jets)


def test_displacement_score_by_hand_and_as_a_tagger():
    jets = flavour_jets(400)
    significance = jets.particles["lifetime_d0"] / jets.particles["d0_err"]
    first = significance[: jets.counts[0]]
    score = displacement_score(jets)
    assert score[0] == pytest.approx(np.sort(first)[::-1][:3].sum(), rel=1e-5)
    assert score[jets.label == 2].mean() > 5 * score[jets.label != 2].mean()


def test_probabilities_of_gn2_where_the_files_have_them():
    assert reference_probabilities(flavour_jets()) is None
    jets = flavour_jets(published=True)
    found = reference_probabilities(jets)
    assert found.shape == (len(jets), 4)
    assert found[:, 2] == pytest.approx(jets.jet["GN2v01_pb"])
