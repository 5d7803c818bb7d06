import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.notebook import notebook_profile


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
def test_every_profile_is_complete(profile):
    settings = notebook_profile("03_finetune_top", profile)
    assert settings.n_train > 0
    assert len(settings.compare.seeds) >= 2


def test_unknown_notebook_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean '03_finetune_top'"):
        notebook_profile("03_finetun_top", "quick")


def test_unknown_profile_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        notebook_profile("03_finetune_top", "quik")


def test_own_file_changes_single_settings(tmp_path, monkeypatch):
    packaged = notebook_profile("03_finetune_top", "quick")
    (tmp_path / "03_finetune_top.yaml").write_text("quick: {n_train: 7, compare: {scratch: {epochs: 9}}}")
    monkeypatch.setenv("OMNILEARN_LAB_PROFILES", str(tmp_path))
    with pytest.raises(ConfigError, match="epochs is 9"):  # equal budgets also for own settings
        notebook_profile("03_finetune_top", "quick")
    changes = "quick: {n_train: 7, compare: {scratch: {epochs: 9}, finetuned: {epochs: 9}}, curve: {5: 1}}"
    (tmp_path / "03_finetune_top.yaml").write_text(changes)
    changed = notebook_profile("03_finetune_top", "quick")
    assert (changed.n_train, changed.compare.scratch.epochs) == (7, 9)
    assert changed.n_test == packaged.n_test
    assert changed.curve == {5: 1}  # a table of sizes is replaced, not merged
    assert changed.compare.scratch.learning_rate == packaged.compare.scratch.learning_rate
    assert notebook_profile("03_finetune_top", "smoke").n_train != 7


@pytest.mark.parametrize(
    "text", ["[1, 2]", "quick: 5", "quick: [a]", "a: &a [*a]", "{" * 3000, "quick: {n_train: {}}"]
)
def test_an_own_file_that_is_anything_is_an_error_of_ours(tmp_path, monkeypatch, text):
    (tmp_path / "03_finetune_top.yaml").write_text(text)
    monkeypatch.setenv("OMNILEARN_LAB_PROFILES", str(tmp_path))
    if text.startswith("a:"):
        with pytest.raises(ConfigError, match="fewer references"):
            notebook_profile("03_finetune_top", "quick")
        return
    with pytest.raises(ConfigError):
        notebook_profile("03_finetune_top", "quick")
