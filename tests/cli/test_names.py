"""Names that commands look up as they run: one that is not there shows to the user alone."""

from __future__ import annotations

import ast
from functools import reduce
from pathlib import Path

import omnilearn_lab
import pytest

COMMANDS = sorted((Path(omnilearn_lab.__file__).parent / "cli").glob("*.py"))


def dotted(node: ast.AST) -> list[str]:
    """Names of a chain such as lab.training.attach, the first one first; of anything else, none."""
    if isinstance(node, ast.Name):
        return [node.id]
    before = dotted(node.value) if isinstance(node, ast.Attribute) else []
    return [*before, node.attr] if before else []


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_every_name_of_a_room_is_there(path):
    chains = (dotted(node) for node in ast.walk(ast.parse(path.read_text())))
    for _, *names in (chain for chain in chains if chain[:1] == ["lab"]):
        reduce(getattr, names, omnilearn_lab)
