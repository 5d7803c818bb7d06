"""Write the pages of the site that follow from the project itself: start, notebooks, reference."""

from __future__ import annotations

import ast
import html
import importlib
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "omnilearn_lab"
ORDER = (
    "estimators",
    "catalog",
    "jets",
    "readers",
    "simulation",
    "features",
    "observables",
    "models",
    "training",
)
ORDER += ("tasks", "metrics", "published", "plotting", "widgets", "notebook")  # the rest follows by name


def rooms() -> list[str]:
    """Return the dotted names of all rooms with public names: packages, and modules on the ground floor."""
    doors = {path.parent for path in PACKAGE.rglob("__init__.py")} - {PACKAGE}
    modules = {path.with_suffix("") for path in PACKAGE.glob("[a-z]*.py")}
    names = [".".join(path.relative_to(PACKAGE).parts) for path in doors | modules]
    kept = [name for name in names if name != "cli" and public_names(name)]
    place = {name: i for i, name in enumerate(ORDER)}
    return sorted(kept, key=lambda name: (place.get(name.split(".")[0], len(ORDER)), name))


def public_names(room: str) -> dict[str, list[str]]:
    """Return the public names of a room by the module that each is imported from."""
    folder = PACKAGE.joinpath(*room.split("."))
    is_package = folder.is_dir()
    tree = ast.parse((folder / "__init__.py" if is_package else folder.with_suffix(".py")).read_text())
    package = f"omnilearn_lab.{room}"
    listed = getattr(importlib.import_module(package), "__all__", None) or _defined(tree)
    origin = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    modules: dict[str, list[str]] = {}
    for name in listed:
        module = origin.get(name, package) if is_package else package
        modules.setdefault(module if module.startswith(f"{package}.") else package, []).append(name)
    return modules


def _defined(tree: ast.Module) -> list[str]:
    """Return the classes and functions that a module without a list defines for others."""
    kinds = ast.FunctionDef | ast.ClassDef
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def reference_page(room: str) -> str:
    """Return one room's page: for each module its docstring and its public names."""
    package = importlib.import_module(f"omnilearn_lab.{room}")
    parts = [f"# omnilearn_lab.{room}", package.__doc__ or ""]
    for module, names in public_names(room).items():
        short = module.removeprefix("omnilearn_lab.")
        listed = ", ".join(names)
        parts.append(f"## {short}\n\n::: {module}\n    options:\n      members: [{listed}]\n")
    return "\n\n".join(parts)


def notebook_pages() -> dict[str, str]:
    """Return the notebooks by name: the copy executed in ``quick`` when there is one, else the bare one."""
    pages = {}
    for bare in sorted((ROOT / "notebooks").glob("*.ipynb")):
        done = ROOT / "results" / bare.stem / "quick" / bare.name
        pages[bare.stem] = (done if done.is_file() else bare).read_text(encoding="utf-8")
    return pages


def with_formulas(notebook: str) -> str:
    """Return a notebook with the formulas of its text cells as MathML: browsers draw it without a script."""
    content = json.loads(notebook)
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            cell["source"] = re.sub(
                r"(\$\$?)(.+?)\1", lambda m: formula(m[2], m[1] == "$$"), text, flags=re.DOTALL
            )
    return json.dumps(content)


def formula(latex: str, is_block: bool = False) -> str:
    """Return a formula as MathML."""
    from latex2mathml.converter import convert

    return convert(latex, display="block" if is_block else "inline")


def on_page_content(text: str, /, **_: object) -> str:
    """Draw the formulas of docstrings; MkDocs calls this for every page."""
    text = re.sub(
        r"<p>\.\. math:: (.+?)</p>", lambda m: formula(html.unescape(m[1]), True), text, flags=re.DOTALL
    )
    return re.sub(r":math:<code>(.+?)</code>", lambda m: formula(html.unescape(m[1])), text, flags=re.DOTALL)


def title(notebook: str) -> str:
    """Return a notebook's title: the first heading of its first text cell."""
    cells = json.loads(notebook)["cells"]
    text = "".join(next(c["source"] for c in cells if c["cell_type"] == "markdown"))
    return re.search(r"^# (.+)$", text, re.MULTILINE)[1]


def start_page() -> str:
    """Return the README with links that work from inside the site."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.replace("docs/images/", "images/").replace("binder/jupyterhub/README.md", "jupyterhub.md")


def pages() -> dict[str, str]:
    """Return the text of every generated page by its path in the site."""
    made = {"index.md": start_page(), "contributing.md": (ROOT / "CONTRIBUTING.md").read_text()}
    notebooks = notebook_pages()
    made |= {f"notebooks/{name}.ipynb": text for name, text in notebooks.items()}
    made |= {f"reference/{room}.md": reference_page(room) for room in rooms()}
    lines = ["* [Start](index.md)", "* Notebooks"]
    lines += [f"    * [{title(text)}](notebooks/{name}.ipynb)" for name, text in notebooks.items()]
    lines += ["* Reference", *(f"    * [{room}](reference/{room}.md)" for room in rooms())]
    lines += ["* [On a JupyterHub](jupyterhub.md)", "* [Contributing](contributing.md)"]
    made["jupyterhub.md"] = (ROOT / "binder" / "jupyterhub" / "README.md").read_text(encoding="utf-8")
    return made | {"SUMMARY.md": "\n".join(lines) + "\n"}


def write() -> None:
    """Hand the pages to MkDocs."""
    import mkdocs_gen_files

    for path, text in pages().items():
        with mkdocs_gen_files.open(path, "w") as file:
            file.write(with_formulas(text) if path.endswith(".ipynb") else text)


if __name__ in ("__main__", "<run_path>"):
    write()
