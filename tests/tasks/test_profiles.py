import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.tasks import ClassificationProfile, notebook_profile


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
def test_every_profile_is_complete(profile):
    settings = notebook_profile("03_finetune_top", profile, ClassificationProfile)
    assert settings.n_train > 0
    assert len(settings.compare.seeds) >= 2


def test_unknown_notebook_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean '03_finetune_top'"):
        notebook_profile("03_finetun_top", "quick", ClassificationProfile)


def test_unknown_profile_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        notebook_profile("03_finetune_top", "quik", ClassificationProfile)
