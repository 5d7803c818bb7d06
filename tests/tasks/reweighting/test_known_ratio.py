"""A ratio that is known: the tilt has it, and a learnt one is measured against it."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import JetsError
from omnilearn_lab.observables import observables
from omnilearn_lab.tasks.reweighting.known_ratio import RatioCheck, check_known_ratio, ratio_curves, tilt
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig
from omnilearn_lab.training import TrainConfig
from tests.tasks.small_clouds import clouds

FAST = TrainConfig(epochs=0.5, batch_size=32, learning_rate=1e-3, validations_per_epoch=1)


def test_tilt_has_the_ratio_it_says():
    """The tilted target has the source's mean, weighted by the ratio."""
    jets = clouds(4000, 2.5)
    tilted = tilt(jets, "width", strength=2.0)
    source, target = (observables(part, ["width"])["width"] for part in (tilted.source, tilted.target))
    error = target.std() / np.sqrt(len(target)) + source.std() / np.sqrt(len(source))
    weighted = np.average(source, weights=np.exp(tilted.log_ratio))
    assert abs(weighted - target.mean()) < 3 * error < abs(source.mean() - target.mean())
    assert np.exp(tilted.log_ratio).mean() == pytest.approx(1, abs=0.05)
    with pytest.raises(JetsError, match="at least four jets"):
        tilt(jets[:3])


def test_known_ratio_check():
    tilted = tilt(clouds(120, 2.5))
    check = check_known_ratio(tilted, {"scratch": RatioConfig(training=FAST)}, workers=1)["scratch"]
    assert len(check.learnt) == len(check.true) == 24
    perfect = RatioCheck(check.true, check.true)
    assert perfect.error == 0
    assert perfect.correlation == pytest.approx(1)
    curves = ratio_curves({"perfect": perfect}, n_bins=4)
    np.testing.assert_allclose(curves["perfect"][1], curves["ideal"][1])
