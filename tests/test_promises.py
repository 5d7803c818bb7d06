"""The page of promises names tests that exist, and every table of it is read."""

from __future__ import annotations

import ast

import pytest

from tests.faults import PAGE, ROOT, promises

NAMED = sorted({test for row in promises() for test in row.tests})


@pytest.mark.parametrize("test", NAMED)
def test_a_named_test_exists(test):
    path, _, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_line_of_the_page_is_read():
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    n_heads = sum(line.endswith("| tests |") for line in lines)
    assert n_heads == 4 and len(promises()) == len(lines) - n_heads
    assert len(promises("What survives")) >= 12
