"""The entry point: commands, errors in one line, exit status."""

from __future__ import annotations

import subprocess
import sys

import pytest
from omnilearn_lab.errors import MissingDependencyError


def test_all_commands_have_help(command):
    status, text, _ = command("--help")
    assert status == 0 and all(name in text for name in ("run", "simulate", "pretrain", "data"))
    status, text, _ = command("data", "--help")
    names = ("list", "info", "fetch", "simulate", "convert", "verify", "citation")
    assert status == 0 and all(name in text for name in names)


def test_an_error_of_ours_is_one_line_and_status_1(command):
    status, out, error = command("data", "info", "jetclas")
    assert status == 1 and out == ""
    assert error.startswith("error: dataset 'jetclas'") and error.endswith("did you mean 'jetclass'?\n")
    assert error.count("\n") == 1


def test_brackets_in_an_error_are_not_taken_for_markup(command, monkeypatch):
    def fail(*_):
        raise MissingDependencyError("pip install omnilearn_lab[dask]\nand try again")

    monkeypatch.setattr("omnilearn_lab.catalog.entry", fail)
    assert command("data", "info", "jetclass")[2] == "error: pip install omnilearn_lab[dask] and try again\n"


@pytest.mark.parametrize(
    "arguments", [("data", "no_such_command"), ("data", "info"), ("data", "list", "--x")]
)
def test_wrong_usage_is_status_2(command, arguments):
    assert command(*arguments)[0] == 2


def test_importing_the_command_line_loads_no_heavy_library():
    code = (
        "import sys, omnilearn_lab.cli; heavy = {'torch', 'pythia8mc', 'fastjet', 'matplotlib', 'h5py'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
