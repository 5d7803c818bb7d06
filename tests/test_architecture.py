"""The house rules that a machine can check: import directions, sizes, prints, speed of import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import omnilearn_lab
import pytest

PACKAGE = Path(omnilearn_lab.__file__).parent
FLOORS = {
    "errors": 0,
    "display": 0,
    "settings": 1,
    "machine": 1,
    "jets": 2,
    "models": 2,
    "metrics": 2,
    "published": 2,
    "features": 3,
    "observables": 3,
    "simulation": 3,
    "readers": 3,
    "catalog": 4,
    "training": 4,
    "tasks": 5,
    "plotting": 5,
    "estimators": 6,
    "widgets": 6,
    "notebook": 7,
    "cli": 8,
}
MAX_FUNCTION, MAX_FILE, MAX_PARAMETERS = 40, 500, 6
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.AST) -> set[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    parts = [name.split(".") for name in names if name.startswith("omnilearn_lab.")]
    return {p[1] for p in parts if p[1] in FLOORS}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    here = room(path)
    if here == "__init__":
        return
    for other in imported_rooms(ast.parse(path.read_text())) - {here}:
        assert FLOORS[other] < FLOORS[here], (
            f"{path.name} in '{here}' imports '{other}', which is not below it"
        )


def code_lines(node: ast.FunctionDef, source: list[str]) -> int:
    body = node.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    if not body:
        return 1
    lines = source[body[0].lineno - 1 : node.end_lineno]
    return 1 + sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_sizes(path):
    source = path.read_text().splitlines()
    assert len(source) <= MAX_FILE
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert code_lines(node, source) <= MAX_FUNCTION, f"{path.name}: {node.name} is too long"
            arguments = node.args.args + node.args.kwonlyargs
            count = len([a for a in arguments if a.arg not in ("self", "cls")])
            is_command = any(a.annotation and "typer." in ast.unparse(a.annotation) for a in arguments)
            assert count <= MAX_PARAMETERS or is_command, f"{path.name}: {node.name} takes {count} parameters"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_assert_or_print(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert), f"{path.name}:{node.lineno} asserts"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{path.name}:{node.lineno} prints"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_names_are_listed_and_documented(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path.name} has no docstring"
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    listed = next(
        (
            ast.literal_eval(n.value)
            for n in tree.body
            if isinstance(n, ast.Assign)
            and ast.unparse(n.targets[0]) == "__all__"
            and isinstance(n.value, ast.List)
        ),
        None,
    )
    for node in public:
        assert ast.get_docstring(node), f"{path.name}: {node.name} has no docstring"
        assert listed is None or node.name in listed, f"{path.name}: {node.name} is public but not in __all__"


def test_import_is_fast_and_light():
    code = (
        "import sys, time; t = time.perf_counter(); import omnilearn_lab; "
        "heavy = {'torch', 'pythia8mc', 'energyflow', 'fastjet', 'matplotlib'} & set(sys.modules); "
        "print(sorted(heavy), time.perf_counter() - t < 1)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[] True"
