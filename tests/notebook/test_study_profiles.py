"""Sizes of the notebooks that generate, reweight, unfold and search."""

import pytest
from omnilearn_lab import notebook
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.settings import from_mapping

PROFILES = {
    "07_generate_jets": notebook.GenerationProfile,
    "08_reweight": notebook.ReweightingProfile,
    "09_unfold": notebook.UnfoldingProfile,
    "10_anomaly_weak_supervision": notebook.LhcoProfile,
    "13_anomaly_open_data": notebook.OpenDataProfile,
}


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
@pytest.mark.parametrize("name", PROFILES)
def test_profiles_can_be_read(name, profile):
    settings = notebook.notebook_profile(name, profile, PROFILES[name])
    assert settings.source == ("published" if profile == "full" else "simulated")


def test_seeds_of_the_comparisons():
    read = {n: notebook.notebook_profile(n, "quick", settings) for n, settings in PROFILES.items()}
    seeds = (
        read["07_generate_jets"].jetnet30.generators.compare.seeds,
        read["08_reweight"].compare.seeds,
        read["09_unfold"].methods.clouds.seeds,
        read["10_anomaly_weak_supervision"].scan.compare.seeds,
        read["13_anomaly_open_data"].search.compare.seeds,
    )
    assert all(len(found) >= 3 for found in seeds)
    assert read["07_generate_jets"].published_sampler.n_evaluations == 600


def test_sizes_are_checked():
    with pytest.raises(ConfigError, match="n_train is 0"):
        from_mapping(notebook.ReweightingProfile, {"source": "simulated", "n_train": 0, "n_test": 5})
    with pytest.raises(ConfigError, match="did you mean 'simulated'"):
        from_mapping(notebook.ReweightingProfile, {"source": "simulate", "n_train": 5, "n_test": 5})
