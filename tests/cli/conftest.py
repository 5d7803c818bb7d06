"""The command line as a user meets it, with an empty data folder."""

from __future__ import annotations

import sys

import pytest
from omnilearn_lab.cli import app, main
from typer.testing import CliRunner


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """An empty data folder."""
    monkeypatch.setenv("OMNILEARN_LAB_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def invoke(data_dir):
    """Run a command inside this process; errors of ours are raised."""

    def run(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)

    return run


@pytest.fixture
def command(data_dir, monkeypatch, capsys):
    """Run ``omnilearn-lab`` as the shell does; returns exit status, output and error output."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["omnilearn-lab", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        written = capsys.readouterr()
        return left.value.code or 0, written.out, written.err

    return run
