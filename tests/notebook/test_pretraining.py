from dataclasses import replace

import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.notebook import FlavourProfile, OmniLearnedProfile, PretrainingProfile, notebook_profile


def test_no_size_is_refused():
    with pytest.raises(ConfigError, match="at least 1 item"):
        PretrainingProfile(sizes=())


def test_scratch_has_the_sizes_of_the_pretrained_networks():
    settings = PretrainingProfile().classifiers({"a": "tiny", "finetuned": "tiny"})
    assert list(settings) == ["scratch", "a", "finetuned"]
    assert settings["scratch"].like == "tiny"
    assert settings["scratch"].init == "scratch"
    assert settings["a"].training.body_lr_factor == 0.1


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
def test_profiles_of_the_notebook(profile):
    settings = notebook_profile("11_omnilearned", profile, OmniLearnedProfile)
    assert settings.ablation.classifiers(10)
    known = {"QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl", "data"}
    assert all(set(names) <= known and len(names) > 1 for names in settings.classes.subsets.values())
    if profile != "smoke":
        assert min(len(settings.ablation.seeds), len(settings.classes.seeds), len(settings.table.seeds)) >= 3
    assert replace(settings.ablation.training, seed=2).seed == 2


def test_taggers_share_settings_and_differ_in_network_and_origins():
    settings = notebook_profile("12_flavour_tagging", "smoke", FlavourProfile)
    taggers = settings.taggers(has_checkpoint=True)
    assert [name for name, tagger in taggers.items() if tagger.init != "scratch"] == [
        "PET v2 fine-tuned + origins"
    ]
    assert [name for name, tagger in taggers.items() if not tagger.origins] == ["PET v2", "GN2-like"]
    assert len(settings.taggers(has_checkpoint=False)) == len(taggers) - 1
