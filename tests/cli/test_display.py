"""Tables, sentences and JSON come out as they went in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omnilearn_lab.catalog import catalog
from omnilearn_lab.cli import display
from omnilearn_lab.cli.display import hdf5_target, make_table, say, shorten, show, show_error, show_json
from omnilearn_lab.errors import ConfigError


def test_a_table_holds_every_cell_and_no_markup(capsys):
    show(make_table("a [title]", ("name", "pt"), [("[red]x", "618.2"), ("y", "[/]")], numbers=1))
    text = capsys.readouterr().out
    assert all(cell in text for cell in ("name", "pt", "[red]x", "618.2", "[/]"))


def test_a_sentence_is_neither_wrapped_nor_styled(capsys):
    long = "[bold]" + "jet " * 100
    say(long)
    assert capsys.readouterr().out == long + "\n"


def test_json_can_be_read_back(capsys):
    show_json({"path": Path("a/b"), "n": 3, "none": None})
    assert json.loads(capsys.readouterr().out) == {"path": "a/b", "n": 3, "none": None}


def test_errors_go_to_the_error_stream(capsys):
    show_error(ValueError("first\n  second"))
    out, error = capsys.readouterr()
    assert out == "" and error == "error: first second\n"


def test_paths_inside_the_working_directory_are_shortened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shorten(tmp_path / "x" / "y") == str(Path("x/y"))
    assert shorten(tmp_path.parent) == str(tmp_path.parent)


def test_80_columns_break_no_word(capsys, monkeypatch, invoke):
    monkeypatch.setattr(display, "_PIPE_WIDTH", 80)
    text = invoke("data", "list").output
    assert all(len(line) <= 80 for line in text.splitlines())
    words = {word for row in catalog().rows() for cell in row for word in cell.split()}
    assert words <= set(text.split()) | {"hadronic_taus"}


def test_where_nothing_fits_words_are_broken_and_nothing_is_lost(capsys, monkeypatch):
    monkeypatch.setattr(display, "_PIPE_WIDTH", 40)
    show(make_table("", ("name", "a", "b"), [("first_word_whole", "x" * 25, "y" * 25)]))
    text = capsys.readouterr().out
    assert "first_word_whole" in text and text.count("x") == 25 and text.count("y") == 25


@pytest.mark.parametrize("command", ["pretrain", "run", "finetune"])
def test_help_fits_80_columns(invoke, command):
    text = invoke(command, "--help").output
    assert all(len(line) <= 80 for line in text.splitlines())


def test_hdf5_goes_to_files_named_so_and_new_folders_are_told(tmp_path, capsys, invoke):
    with pytest.raises(ConfigError, match=r"'.*jets\.txt' would hold HDF5; name it 'jets\.h5'"):
        invoke("simulate", "top_tagging", tmp_path / "jets.txt", "--n-jets", 2)
    assert not list(tmp_path.glob("*.txt"))
    assert hdf5_target(tmp_path / "a.h5") and capsys.readouterr().out == ""
    assert hdf5_target(tmp_path / "new" / "a.hdf5") and "making the folder" in capsys.readouterr().out
