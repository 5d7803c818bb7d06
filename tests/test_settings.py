"""Settings files."""

from __future__ import annotations

import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.settings import read_settings


def test_a_file_of_settings_and_an_empty_one(tmp_path):
    (tmp_path / "a.yaml").write_text("size: small\nn_train: 500\n")
    (tmp_path / "empty.yaml").write_text("")
    assert read_settings(tmp_path / "a.yaml") == {"size": "small", "n_train": 500}
    assert read_settings(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize(
    ("content", "message"), [(b"- 5", "holds a list"), (b"a: [", "YAML"), (b"\xff\xfe\x00", "YAML")]
)
def test_anything_else_is_refused(tmp_path, content, message):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_settings(tmp_path / "a.yaml")


def test_one_mapping_may_take_over_another(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("small: &small {epochs: 1, seed: 3}\nlarge: {<<: *small, epochs: 9}\n")
    assert read_settings(path)["large"] == {"epochs": 9, "seed": 3}
    path.write_text("small: &small {epochs: 1}\nlarge: {<<: *small, epochs: 9, epochs: 8}\n")
    with pytest.raises(ConfigError, match="key given twice: 'epochs'"):
        read_settings(path)
