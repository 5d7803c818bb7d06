"""Made dijet events: what is borrowed or learned, what comes out, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError, TrainingError
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import PET, PETConfig, SamplerConfig, save_checkpoint
from omnilearn_lab.tasks.generation.generator import JetGenerationConfig
from omnilearn_lab.tasks.search.events import check_events, event_column
from omnilearn_lab.tasks.search.mass_fits import MassFit, MassWindow
from omnilearn_lab.tasks.search.sideband_generator import (
    Lenders,
    SidebandGenerator,
    SidebandGeneratorConfig,
    _aligned,
    _turned,
    made_background,
)
from omnilearn_lab.training import TrainConfig
from tests.tasks.dijet_events import dijets


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(PET(PETConfig(width=16, n_layers=1, n_heads=2, n_classes=3)), path, card={})
    return SidebandGeneratorConfig(
        method="flow",
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


def scale_free(n=40_000, seed=1, steepness=6.0, threshold=1200.0):
    """Events with dN/dm ~ m^-n, and pt / m of the leading jet alike at all masses, but for the threshold."""
    rng = np.random.default_rng(seed)
    mass = 2300 * (1 - rng.random(n) * (1 - (5000 / 2300) ** (1 - steepness))) ** (1 / (1 - steepness))
    pt = mass * 0.5 * np.sqrt(1 - rng.uniform(0, 0.8, n))  # cos^2 of the angle
    mass, pt = mass[pt > threshold], pt[pt > threshold]
    both = np.stack([pt, 0.9 * pt], axis=1).ravel()
    eta = np.arccosh(np.maximum(mass / (2 * np.sqrt(0.9) * pt), 1))
    eta = np.stack([eta, -eta], axis=1).ravel()
    jet = {"pt": both, "eta": eta, "phi": np.tile([0.0, np.pi], len(pt)), "mass": 0.1 * both}
    jet |= {"event": np.repeat(np.arange(len(pt)) + 1000, 2), "dijet_mass": np.repeat(mass, 2)}
    cloud = {"deta": 0 * both, "dphi": 0 * both, "pt": both, "energy": both * np.cosh(eta)}
    return Jets.build(cloud, np.arange(2 * len(pt) + 1), jet)


def beside(jets, window=MassWindow()):
    return jets[np.repeat(window.beside(event_column(jets, "dijet_mass")), 2)]


def test_borrowed_events_have_the_wanted_mass_and_the_shapes_of_their_lenders():
    lenders = beside(dijets(400, seed=1, mass=(2400, 4900)))
    wanted = np.linspace(3310, 3690, 50)
    made = SidebandGenerator().fit(lenders).sample(wanted, seed=4)
    assert check_events(made, 2, "made") == 50 and "label" not in made.jet
    np.testing.assert_allclose(event_column(made, "dijet_mass"), wanted, rtol=1e-6)
    rows = (2 * event_column(made, "origin").astype(int)[:, None] + [0, 1]).ravel()  # numbered from 0
    origin = dijets(400, seed=1, mass=(2400, 4900))[rows]
    factor = made.jet["dijet_mass"] / origin.jet["dijet_mass"]
    for name in ("pt", "mass"):
        np.testing.assert_allclose(made.jet[name], origin.jet[name] * factor, rtol=1e-5)
    for name in ("eta", "phi", "multiplicity"):
        np.testing.assert_array_equal(made.jet[name], origin.jet[name])
    for name in ("deta", "dphi"):
        np.testing.assert_array_equal(made.particles[name], origin.particles[name])
    sums = np.add.reduceat(made.particles["pt"], made.offsets[:-1])
    np.testing.assert_allclose(sums, made.jet["pt"], rtol=1e-4)  # as of the lenders
    assert not MassWindow().inside(origin.jet["dijet_mass"]).any()
    generator = SidebandGenerator().fit(lenders)
    same, other = (generator.sample(wanted, seed=seed).jet["origin"] for seed in (4, 5))
    np.testing.assert_array_equal(same, made.jet["origin"])
    assert (other != made.jet["origin"]).any()


def test_borrowed_events_mind_the_threshold():
    """Where the spectrum is known: made events have the angles of true ones, though fewer are seen below."""
    window = MassWindow()
    jets, truth = scale_free(), scale_free(seed=2)
    lenders = Lenders(beside(jets), window)
    assert lenders.steepness == pytest.approx(6, abs=0.25)
    wanted = event_column(truth, "dijet_mass")
    inside = window.inside(wanted)
    made = SidebandGenerator().fit(beside(jets)).sample(wanted[inside], seed=1)
    ratio = made.jet["pt"][::2] / made.jet["dijet_mass"][::2]
    true = (truth.jet["pt"][::2] / truth.jet["dijet_mass"][::2])[inside]
    assert made.jet["pt"][::2].min() > 1199.9
    error = true.std() * np.sqrt(2 / len(true))
    assert abs(ratio.mean() - true.mean()) < 4 * error
    unscaled = (jets.jet["pt"][::2] / jets.jet["dijet_mass"][::2])[window.beside(jets.jet["dijet_mass"][::2])]
    assert abs(unscaled.mean() - true.mean()) > 10 * error  # what is put right
    assert abs(np.log(event_column(made, "dijet_mass") / 3500).mean()) < 0.02


def test_background_of_data_comes_from_beside_the_window():
    data, fit = dijets(600, seed=3, mass=(2400, 4900)), MassFit(function="log_polynomial2", n_bins=9)
    made = made_background(data, 30, SidebandGeneratorConfig(max_particles=4), fit=fit, seed=1)
    assert MassWindow().inside(event_column(made, "dijet_mass")).all() and made.counts.max() == 4
    mass = event_column(data, "dijet_mass")
    assert MassWindow().beside(mass[event_column(made, "origin").astype(int)]).all()


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


@pytest.mark.parametrize("method", ["borrowed", "flow"])
def test_untrained_generators_and_bad_masses_are_refused(config, method):
    generator = SidebandGenerator(replace(config, method=method))
    with pytest.raises(TrainingError, match="call fit"):
        generator.sample([3500.0])
    generator.fit(sideband())
    for masses in ([np.nan], [100.0], [], [[3500.0]]):
        with pytest.raises(JetsError, match="masses must be finite and between 2300 and 5000"):
            generator.sample(masses)


def test_a_window_outside_the_limits_is_refused():
    with pytest.raises(ConfigError, match="must lie inside"):
        MassWindow(signal_region=(2000.0, 2500.0))
