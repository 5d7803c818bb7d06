import numpy as np
import pytest
from omnilearn_lab.errors import JetsError
from omnilearn_lab.metrics.distances import FpdConfig, KpdConfig, Sampling
from omnilearn_lab.observables import observables
from omnilearn_lab.tasks.generation import generation_scores, scores_by_class
from omnilearn_lab.tasks.generation.scores import ScoresConfig, relative_cloud, relative_mass
from tests.conftest import random_jets

FEW = ScoresConfig(Sampling(300, 3))


def wider(jets, factor):
    """The same jets with all particles further from the axis."""
    from dataclasses import replace

    angles = {name: (jets.particles[name] * factor).astype(np.float32) for name in ("deta", "dphi")}
    return replace(jets, particles=dict(jets.particles) | angles)


def test_mass_is_that_of_the_sum():
    jets = random_jets(30)
    found = relative_mass(jets) * jets.jet["pt"]
    np.testing.assert_allclose(found, observables(jets, ["mass"])["mass"], rtol=1e-3, atol=1e-2)


def test_cloud_is_padded_and_relative():
    jets = random_jets(10)
    cloud = relative_cloud(jets)
    assert cloud.shape == (10, jets.counts.max(), 3)
    total = cloud[..., 2].sum(axis=1) * jets.jet["pt"]
    np.testing.assert_allclose(total, np.add.reduceat(jets.particles["pt"], jets.offsets[:-1]), rtol=1e-5)


def test_truth_against_truth_is_below_changed_jets():
    reference, other = random_jets(300, seed=1), random_jets(300, seed=2)
    floor = generation_scores(reference, other, config=FEW).to_dict()
    far = generation_scores(reference, wider(other, 1.5), config=FEW).to_dict()
    assert set(floor) == {"w1_mass", "w1_particles", "w1_efp"}
    assert all(far[name] > 2 * floor[name] for name in floor), (floor, far)


def test_all_metrics_on_request():
    config = ScoresConfig(
        Sampling(50, 2), True, FpdConfig(20, 40, 3, 2), KpdConfig(2, 30), coverage=Sampling(10, 2)
    )
    jets = random_jets(60, mean=5)
    found = generation_scores(jets, wider(jets, 1.2), config=config)
    names = ["w1_mass", "w1_particles", "w1_efp", "fpd", "kpd", "coverage", "mmd"]
    assert list(found.to_dict()) == names
    assert all(len(found.results()[name]) == 2 for name in names)


def test_scores_by_class():
    jets = random_jets(80, mean=5)
    found = scores_by_class(jets, jets, config=FEW)
    assert list(found) == ["class 0", "class 1"]
    assert found["class 0"].n_jets == int((jets.label == 0).sum())
    with pytest.raises(JetsError, match="class 'class 1' has .* and 0 generated"):
        scores_by_class(jets, jets[jets.label == 0])


def test_no_jets_is_an_error():
    jets = random_jets(5)
    with pytest.raises(JetsError, match="no generated jets"):
        generation_scores(jets, jets[:0])
