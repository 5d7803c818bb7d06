"""The house rules that a machine can check: imports, sizes, doors, prints."""

from __future__ import annotations

import ast
import functools
import io
import re
import subprocess
import sys
import tokenize
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
ROOT = PACKAGE.parent
MAX_FUNCTION, MAX_FILE, MAX_PARAMETERS = 40, 345, 6  # lines of code: comments and docstrings are free
MAX_MODULES, MAX_NAMES, MAX_PLUMBING = 14, 30, 0.105
MAX_FILES = 190
MODULES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


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
    for other in imported_rooms(tree_of(path)) - {here}:
        assert FLOORS[other] < FLOORS[here], (
            f"{path.name} in '{here}' imports '{other}', which is not below it"
        )


@functools.cache
def lines_of_code(path: Path) -> set[int]:
    """Numbers of the lines that hold more than comments and docstrings."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    lines: set[int] = set()
    for token in tokens:
        if token.type not in skipped | {tokenize.ENDMARKER}:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree_of(path)):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_sizes(path):
    lines = lines_of_code(path)
    assert len(lines) <= MAX_FILE
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef):
            n_lines = len(lines & set(range(node.lineno, node.end_lineno + 1)))
            assert n_lines <= MAX_FUNCTION, f"{path.name}: {node.name} has {n_lines} lines of code"
            arguments = node.args.args + node.args.kwonlyargs
            count = len([a for a in arguments if a.arg not in ("self", "cls")])
            is_command = any(a.annotation and "typer." in ast.unparse(a.annotation) for a in arguments)
            is_command |= path.parts[-2] == "cli"
            assert count <= MAX_PARAMETERS or is_command, f"{path.name}: {node.name} takes {count} parameters"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(PACKAGE.parent)))
def test_a_folder_is_a_room_and_not_a_hall(folder):
    names = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(names) <= MAX_MODULES, f"{len(names)} modules in {folder.name}"
    assert len(door(folder)) <= MAX_NAMES, f"{len(door(folder))} public names"


def door(folder: Path) -> list[str]:
    """The names that a package hands on."""
    for node in tree_of(folder / "__init__.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


def test_files_hold_a_concept_each():
    assert len(MODULES) <= MAX_FILES, f"{len(MODULES)} files: put what is one concept into one"


def test_little_of_the_code_is_plumbing():
    n_lines = n_plumbing = 0
    for path in MODULES:
        n_lines += len(lines_of_code(path))
        for node in ast.walk(tree_of(path)):
            is_list = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            if is_list or isinstance(node, ast.Import | ast.ImportFrom):
                n_plumbing += node.end_lineno - node.lineno + 1
    assert n_plumbing <= MAX_PLUMBING * n_lines, f"{n_plumbing} of {n_lines} lines import or list names"


def test_no_circle():
    """Modules import one another in one direction only; what is imported for type checking counts, too."""
    modules = {module_name(path): path for path in MODULES}
    arrows = {name: imported_modules(path, modules) for name, path in modules.items()}
    finished: set[str] = set()

    def visit(name: str, trail: list[str]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in finished:
            for other in sorted(arrows[name]):
                visit(other, [*trail, name])
            finished.add(name)

    for name in modules:
        visit(name, [])


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, modules: dict[str, Path]) -> set[str]:
    """Modules that a module takes names from; a package's door counts only for names that it defines."""
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module in modules:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (inner & modules.keys()) or {node.module}
    return names - {module_name(path)}


def test_no_function_below_the_roof_takes_a_profile():
    for path in MODULES:
        if room(path) in ("notebook", "cli"):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.arg) and node.annotation:
                assert "Profile" not in ast.unparse(node.annotation), f"{path.name}: {node.arg}"


@functools.cache
def words_of(path: Path) -> set[str]:
    return set(re.findall(r"\w+", path.read_text()))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(PACKAGE.parent)))
def test_what_a_door_hands_on_is_asked_for(folder):
    """By another room, a notebook, a command, a benchmark, the documentation, or a test of another room."""
    own_tests = ROOT / "tests" / folder.relative_to(PACKAGE)
    files = [
        *PACKAGE.rglob("*.py"),
        *(ROOT / "notebooks").glob("*.ipynb"),
        *(ROOT / "benchmarks").glob("*.py"),
    ]
    files += [*(ROOT / "docs").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    files += [path for path in (ROOT / "tests").rglob("*.py") if not path.is_relative_to(own_tests)]
    asked = set().union(*(words_of(path) for path in files if not path.is_relative_to(folder)))
    unasked = [name for name in door(folder) if name not in asked]
    assert not unasked or folder == PACKAGE


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_assert_or_print(path):
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.Assert), f"{path.name}:{node.lineno} asserts"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{path.name}:{node.lineno} prints"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_names_are_listed_and_documented(path):
    tree = tree_of(path)
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
