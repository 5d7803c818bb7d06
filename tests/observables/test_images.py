"""Jet images: where a particle lands, what is conserved."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables import average_image, jet_images


def placed(deta, dphi, pt, weight=(1.0,)):
    """One jet with given places relative to its axis."""
    jet = {"pt": [sum(pt)], "eta": [0.0], "phi": [0.0], "mass": [0.0], "weight": list(weight)}
    return Jets.build({"deta": deta, "dphi": dphi, "pt": pt, "energy": pt}, [0, len(pt)], jet)


def test_rows_are_eta_and_columns_phi():
    image = jet_images(placed([0.3, -0.3], [-0.3, 0.0], [2.0, 5.0]), n_pixels=3, half_width=0.45)
    np.testing.assert_array_equal(image.values, [[[0, 5, 0], [0, 0, 0], [2, 0, 0]]])
    np.testing.assert_allclose(image.edges, [-0.45, -0.15, 0.15, 0.45])


def test_particles_outside_are_lost_not_moved():
    image = jet_images(placed([0.0, 0.5, 0.0], [0.0, 0.0, -0.5], [2.0, 5.0, 7.0]), n_pixels=5, half_width=0.4)
    assert image.values.sum() == 2.0
    assert image.values[0, 2, 2] == 2.0


def test_normalised_images_hold_fractions_of_the_whole_jet():
    jets = placed([0.0, 0.5], [0.0, 0.0], [2.0, 6.0])
    assert jet_images(jets, half_width=0.4, normalise=True).values.sum() == 0.25


def test_pt_is_conserved_and_the_average_is_the_mean(toy_jets):
    images = jet_images(toy_jets, n_pixels=21, half_width=3.0)
    scalar = np.add.reduceat(toy_jets.particles["pt"], toy_jets.offsets[:-1])
    np.testing.assert_allclose(images.values.sum(axis=(1, 2)), scalar, rtol=1e-5)
    average = average_image(toy_jets, n_pixels=21, half_width=3.0)
    np.testing.assert_allclose(average.values, images.values.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_the_average_respects_weights():
    jets = Jets.concatenate([placed([0.0], [0.0], [1.0], [3.0]), placed([0.0], [0.0], [5.0], [1.0])])
    assert average_image(jets, n_pixels=1).values.tolist() == [[2.0]]


def test_bad_requests(toy_jets):
    with pytest.raises(ConfigError, match="n_pixels is 0"):
        jet_images(toy_jets, n_pixels=0)
    with pytest.raises(ConfigError, match="half_width -1"):
        average_image(toy_jets, half_width=-1)
    with pytest.raises(ConfigError, match="0 jets"):
        average_image(toy_jets[:0])
    with pytest.raises(ConfigError, match="sum of weights"):
        average_image(toy_jets.with_jet(weight=np.zeros(len(toy_jets))))
