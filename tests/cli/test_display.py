"""Tables, sentences and JSON come out as they went in."""

from __future__ import annotations

import json
from pathlib import Path

from omnilearn_lab.cli.display import make_table, say, shorten, show, show_error, show_json


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
