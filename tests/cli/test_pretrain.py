"""Settings of a pretraining, from file and options."""

from __future__ import annotations

import pytest
from omnilearn_lab.errors import ConfigError


@pytest.fixture
def started(monkeypatch):
    """Note what a pretraining is started with, instead of starting it."""
    calls = []

    def pretrain(settings, directory, *, on_record):
        calls.append((settings, directory))
        on_record({"kind": "train", "epoch": 0.5, "jets": 100, "seconds": 2.0, "loss": 1.25})
        return directory / "checkpoint"

    monkeypatch.setattr("omnilearn_lab.tasks.pretraining.pretrain", pretrain)
    return calls


def test_options_go_before_the_file(invoke, started, tmp_path):
    (tmp_path / "settings.yaml").write_text("size: small\nn_train: 500\n")
    done = invoke(
        "pretrain", tmp_path / "settings.yaml", "--n-train", 50, "--epochs", 0.5, "--directory", tmp_path
    )
    ((settings, directory),) = started
    assert (settings.size, settings.n_train, settings.training.epochs) == ("small", 50, 0.5)
    assert directory == tmp_path and "loss 1.2500 (50 jets/s)" in done.output and "wrote" in done.output


@pytest.mark.parametrize(
    ("text", "message"),
    [("n_trein: 5", "did you mean 'n_train'"), ("- 5", "holds a list"), ("a: [", "not a readable YAML file")],
)
def test_wrong_settings_are_refused(invoke, started, tmp_path, text, message):
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        invoke("pretrain", tmp_path / "settings.yaml")
    assert not started


def test_a_missing_file_is_an_error_of_ours(invoke, started, tmp_path):
    with pytest.raises(ConfigError, match="not a readable YAML file"):
        invoke("pretrain", tmp_path / "none.yaml")
