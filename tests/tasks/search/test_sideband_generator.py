"""Generated dijet events: what is learned, what comes out, and what is refused."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError, TrainingError
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import PET, PETConfig, SamplerConfig, save_checkpoint
from omnilearn_lab.tasks.generation.generator import JetGenerationConfig
from omnilearn_lab.tasks.search.events import check_events, event_column
from omnilearn_lab.tasks.search.mass_fits import MassWindow
from omnilearn_lab.tasks.search.sideband_generator import (
    SidebandGenerator,
    SidebandGeneratorConfig,
    _aligned,
    _turned,
)
from omnilearn_lab.training import TrainConfig
from tests.tasks.dijet_events import dijets


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(PET(PETConfig(width=16, n_layers=1, n_heads=2, n_classes=3)), path, card={})
    return SidebandGeneratorConfig(
        width=16,
        n_jet_layers=1,
        kinematics=TrainConfig(40, 32, learning_rate=3e-3, ema_decay=0.95, validations_per_epoch=0.2),
        kinematics_sampler=SamplerConfig(n_steps=8),
        particles=JetGenerationConfig(
            checkpoint=str(path),
            standardization="lhco",
            particles=TrainConfig(1, 40, learning_rate=1e-3, validations_per_epoch=1),
            sampler=SamplerConfig(n_steps=2),
        ),
        max_particles=5,
    )


def sideband(n=160):
    low, high = dijets(n // 2, seed=1, mass=(2400, 3200)), dijets(n // 2, seed=2, mass=(3800, 4900))
    return Jets.concatenate([low, high])


def test_events_of_the_window_come_out(config, tmp_path):
    generator = SidebandGenerator(config, directory=tmp_path).fit(sideband())
    made = generator.sample([3350.0, 3500.0, 3650.0], seed=4)
    assert check_events(made, 2, "generated") == 3
    assert event_column(made, "dijet_mass").tolist() == [3350.0, 3500.0, 3650.0]
    assert made.jet["rank"].tolist() == [0, 1] * 3 and "label" not in made.jet
    assert made.counts.max() <= 5 and (made.jet["multiplicity"] >= 2).all()
    same, other = (generator.sample([3350.0, 3500.0, 3650.0], seed=s) for s in (4, 5))
    np.testing.assert_array_equal(same.particles["pt"], made.particles["pt"])
    assert not np.array_equal(other.jet["pt"], made.jet["pt"])
    assert set(generator.histories) == {"dijets", "particles"}
    again = SidebandGenerator(config, directory=tmp_path).fit(sideband())
    np.testing.assert_allclose(
        again.sample([3500.0], seed=1).jet["pt"], generator.sample([3500.0], seed=1).jet["pt"]
    )


def test_turning_events_about_the_beam_loses_nothing():
    jets = dijets(30)
    columns = _turned(_aligned(jets), seed=1)
    phi = jets.jet["phi"].astype(float).reshape(-1, 2)
    found = columns["phi"].reshape(-1, 2)
    np.testing.assert_allclose(np.cos(np.diff(found)), np.cos(np.diff(phi)), atol=1e-4)
    np.testing.assert_allclose(np.sin(np.diff(found)), np.sin(np.diff(phi)), atol=1e-4)
    assert np.abs(columns["phi"]).max() <= np.pi and np.ptp(found[:, 0]) > 3


def test_nothing_is_learned_from_the_window(config):
    inside = Jets.concatenate([sideband(), dijets(3, mass=(3400, 3600))])
    with pytest.raises(JetsError, match="3 of 163 sideband events lie inside the signal region"):
        SidebandGenerator(config).fit(inside)


def test_an_empty_sideband_is_named(config):
    with pytest.raises(JetsError, match="the sideband holds 0 events"):
        SidebandGenerator(config).fit(sideband()[:0])
    with pytest.raises(JetsError, match="the sideband holds 5 events"):
        SidebandGenerator(config).fit(dijets(5, mass=(2400, 3200)))


def test_untrained_generators_and_bad_masses_are_refused(config):
    generator = SidebandGenerator(config)
    with pytest.raises(TrainingError, match="call fit"):
        generator.sample([3500.0])
    generator.fit(sideband())
    for masses in ([np.nan], [100.0], [], [[3500.0]]):
        with pytest.raises(JetsError, match="masses must be finite and between 2300 and 5000"):
            generator.sample(masses)


def test_a_window_outside_the_limits_is_refused():
    with pytest.raises(ConfigError, match="must lie inside"):
        MassWindow(signal_region=(2000.0, 2500.0))
