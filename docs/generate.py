"""Write the pages of the site that follow from the project itself: start, notebooks, reference."""

from __future__ import annotations

import ast
import base64
import hashlib
import html
import importlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from omnilearn_lab.notebook.execute import describe_pictures, fold_solutions

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))  # the schematics beside this file
PACKAGE, GALLERY = ROOT / "omnilearn_lab", ROOT / "results" / "gallery"
RESULTS = Path(os.environ.get("OMNILEARN_LAB_RESULTS", ROOT / "results"))
SOURCES = ("pet", "pet_v2")
PROFILES = ("quick", "long", "full", "smoke")  # of executed copies, the best first
RECORDED = ROOT / "notebooks" / "recorded"
FACTS = "omnilearn_lab"  # in the metadata of copies that are kept: where and when they ran
SHARED = "shared"  # beside the notebooks' pages: figures and styles, each once
WIDGET = "application/vnd.jupyter.widget-view+json"
GLOSSARY = "glossary.md"  # beside the notebooks, which link to its terms
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
    """Return the notebooks by name: executed copies where there are any, with a word on where they ran."""
    return {bare.stem: best_copy(bare) for bare in sorted((ROOT / "notebooks").glob("*.ipynb"))}


def best_copy(bare: Path) -> str:
    """Return a notebook as it was executed in the best profile, else the plain one, and say which it is."""
    plain = json.loads(bare.read_text(encoding="utf-8"))
    copies = [
        (done, path.parent, profile, _code(done) == _code(plain))
        for profile, folder in product(PROFILES, (RESULTS, RECORDED))
        if (path := folder / bare.stem / profile / bare.name).is_file()
        and not (done := json.loads(path.read_text("utf-8")))["metadata"]
        .get("papermill", {})
        .get("exception")
    ]
    copies.sort(key=lambda one: (PROFILES.index(one[2]), not one[3]))  # the same code comes first
    download = f"[Download it](./{bare.name}) without outputs."
    if copies:
        return _with_note(_retold(copies[0][0], plain), f"{_where_it_ran(*copies[0])} {download}")
    how = f"`omnilearn-lab run {bare.stem}` fills in the figures"
    how = how if bare.stem[:2].isdigit() else f"`make {bare.stem}` opens it as a page that one can use"
    return _with_note(plain, f"Not executed here: {how}. {download}")


def _retold(copy: dict[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """An executed copy with the text of today: words may be put right without running anything again."""
    text = {cell["id"]: cell for cell in plain["cells"] if cell["cell_type"] == "markdown" and "id" in cell}
    return copy | {"cells": [text.get(cell.get("id"), cell) for cell in copy["cells"]]}


def _papermill(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """What papermill noted of an execution."""
    return notebook["metadata"].get("papermill", {})


def _code(notebook: Mapping[str, Any]) -> list[str]:
    """What a notebook runs, without the parameters that were put in."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return ["".join(c["source"]) for c in cells if "injected-parameters" not in c["metadata"].get("tags", ())]


def facts_of(notebook: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return where and when an executed copy ran: as it was kept with it, else as its results say."""
    results = folder / "results.json"
    about = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    began = notebook["metadata"].get("papermill", {}).get("start_time", "")[:10]
    noted = {
        name: about[name] for name in ("date", "total_seconds", "machine", "versions") if about.get(name)
    }
    return {"date": began, **noted, **notebook["metadata"].get(FACTS, {})}


def _where_it_ran(notebook: Mapping[str, Any], folder: Path, profile: str, is_current: bool) -> str:
    about = facts_of(notebook, folder)
    versions = [f"{name} {version}" for name, version in about.get("versions", {}).items()]
    took = [f"{about['total_seconds']:.0f} s"] if about.get("total_seconds") else []
    facts = [*took, about.get("machine", "a machine that was not noted"), *versions]
    warning = " It only tests that everything runs: its numbers mean nothing." if profile == "smoke" else ""
    stale = "" if is_current else " Its code was changed since."
    return f"Executed in profile `{profile}` on {about['date']} ({', '.join(facts)}).{warning}{stale}"


def _with_note(notebook: dict[str, Any], note: str) -> str:
    """A notebook with a sentence after its first cell, and with outputs that need no kernel."""
    first, *others = without_widgets(notebook)["cells"]
    cell = {"cell_type": "markdown", "id": "where-it-ran", "metadata": {}, "source": f"*{note}*"}
    return json.dumps(notebook | {"cells": [first, cell, *others]})


def without_widgets(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook, changed in its place, whose outputs need no kernel and no script from elsewhere."""
    for one in notebook["cells"]:
        if "outputs" in one:
            one["outputs"] = [kept for output in one["outputs"] if (kept := _static(output))]
    notebook["metadata"].pop("widgets", None)
    return notebook


def _static(output: dict[str, Any]) -> dict[str, Any] | None:
    """An output without its live widget; nothing of progress bars."""
    if output["output_type"] == "stream" and output["name"] == "stderr":
        return None
    data = output.get("data", {})
    if WIDGET not in data:
        return output
    still = {kind: value for kind, value in data.items() if kind not in (WIDGET, "text/plain")}
    return output | {"data": still} if still else None


def for_the_site(notebook: str) -> str:
    """Return a notebook with formulas as MathML, which needs no script, and links that lead on."""
    content = json.loads(notebook)
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            text = re.sub(r"\((\w+)\.ipynb\)", r"(\1.html)", "".join(cell["source"]))
            text = re.sub(
                rf"\({GLOSSARY}(#[\w-]+)?\)", lambda m: f"(../glossary.html{(m[1] or '').lower()})", text
            )
            cell["source"] = _formulas(text)
    return json.dumps(content)


def formula(latex: str, is_block: bool = False) -> str:
    """Return a formula as MathML."""
    from latex2mathml.converter import convert

    made = convert(latex, display="block" if is_block else "inline")
    return f'<span class="formula">{made}</span>' if is_block else made  # which scrolls where it is too wide


def on_page_markdown(text: str, /, *, page: Any, **_: object) -> str:
    """Put schematics, frames and formulas into pages written by hand; MkDocs calls this for every page."""
    by_hand = page.file.src_uri == GLOSSARY or (ROOT / "docs" / page.file.src_uri).is_file()
    if not by_hand or not page.file.src_uri.endswith(".md"):
        return text
    text = text.replace("](../notebooks/", "](notebooks/").replace(
        "](../binder/jupyterhub/README", "](jupyterhub"
    )
    text = re.sub(r"\[\[schematic:(\w+)\]\]", lambda m: schematic(m[1]), text)
    text = re.sub(r"\[\[frames:(\w+)\]\]", lambda m: frames(m[1]), text)
    parts = re.split(r"(```.*?```|`[^`]*`|<svg.*?</svg>)", text, flags=re.DOTALL)
    return "".join(part if i % 2 else _formulas(part) for i, part in enumerate(parts))


def on_config(config: Any, /, **_: object) -> Any:
    """Say at the foot of each page which version it is about; MkDocs calls this once."""
    from omnilearn_lab import __version__

    config.copyright = f"omnilearn_lab {__version__}"
    return config


def schematic(name: str) -> str:
    """Return a network's schematic whose parts lead to their source."""
    import schematics

    _, module = schematics.SCHEMATICS[name]
    lines = f"source/{module.__name__.split('.')[-1]}.html#__codelineno-0-"
    drawn = schematics.draw(name, lambda owner: f"{lines}{schematics.line_of(module, owner)}")
    return drawn.replace("\n", "")  # a blank line would end the block of HTML


def frames(name: str) -> str:
    """Return the picture of an animation's frames where the gallery was built, else how to build it."""
    path = next((p for n in (f"frames_{name}", name) if (p := GALLERY / f"{n}.png").is_file()), None)
    return f"![frames of {name}](gallery/{path.name})" if path else "*`make gallery` draws the frames.*"


def _formulas(text: str) -> str:
    """Return a text with its formulas as MathML; one that begins a line stays in its paragraph."""
    text = re.sub(r"\$\$(.+?)\$\$", lambda m: formula(m[1], is_block=True), text, flags=re.DOTALL)
    return re.sub(r"\$(.+?)\$", lambda m: f"<span>{formula(m[1])}</span>", text, flags=re.DOTALL)


def on_page_content(text: str, /, *, page: Any, config: Any, **_: object) -> str:
    """Draw docstrings' formulas, fold notebooks' solutions, keep figures and styles once; for every page."""
    text = re.sub(
        r"<p>\.\. math:: (.+?)</p>", lambda m: formula(html.unescape(m[1]), True), text, flags=re.DOTALL
    )
    text = re.sub(r":math:<code>(.+?)</code>", lambda m: formula(html.unescape(m[1])), text, flags=re.DOTALL)
    folder = Path(config.site_dir) / "notebooks" / SHARED
    if page.file.src_uri.endswith(".ipynb"):  # half a megabyte of styles, the same on every page
        text = re.sub(r"<style[^>]*>(.*?)</style>", lambda m: _style(m[1], folder), text, flags=re.DOTALL)
        text = describe_pictures(text, json.loads(Path(page.file.abs_src_path).read_text(encoding="utf-8")))
    picture = r'src="data:image/png;base64,([^"]+)"'
    text = re.sub(picture, lambda m: f'src="{_picture(base64.b64decode(m[1]), folder)}"', text)
    return fold_solutions(text)


def _style(text: str, folder: Path) -> str:
    return f'<link rel="stylesheet" href="{_once(text.encode(), folder, "css")}">'


def _picture(png: bytes, folder: Path) -> str:
    return _once(small_picture(png), folder, "png")


def _once(content: bytes, folder: Path, kind: str) -> str:
    """Write what several pages show to one file, named by its content; return its address beside a page."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
    (folder / name).write_bytes(content)
    return f"{SHARED}/{name}"


def small_picture(png: bytes) -> bytes:
    """Return a picture with at most 256 colours, which is what a figure has, where that is smaller."""
    from PIL import Image

    drawn, made = Image.open(io.BytesIO(png)).convert("RGBA"), io.BytesIO()
    on_white = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    on_white.quantize(256, dither=Image.Dither.NONE).save(made, "PNG", optimize=True)
    return min(png, made.getvalue(), key=len)


def on_files(files: Any, /, **_: object) -> Any:
    """Leave the page of contents out, which is no page; MkDocs calls this once."""
    files.remove(files.get_file_from_path("SUMMARY.md"))
    return files


on_files.mkdocs_priority = -100  # type: ignore[attr-defined]  # after the plugin that reads it


def on_post_build(*, config: Any, **_: object) -> None:
    """Put the notebooks without outputs beside their pages; MkDocs calls this at the end."""
    for bare in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(bare, Path(config.site_dir) / "notebooks")


def title(notebook: str) -> str:
    """Return a notebook's title: the first heading of its first text cell."""
    cells = json.loads(notebook)["cells"]
    text = "".join(next(c["source"] for c in cells if c["cell_type"] == "markdown"))
    return re.search(r"^# (.+)$", text, re.MULTILINE)[1]


def start_page() -> str:
    """Return the README with links that work from inside the site."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("(docs/", "(")
    return text.replace("(CONTRIBUTING.md)", "(contributing.md)").replace("(CHANGELOG.md)", "(changelog.md)")


def gallery_page() -> str:
    """Return the page of all figure functions, with their pictures where the gallery was built."""
    listed = GALLERY / "gallery.json"
    if not listed.is_file():
        functions = [name for name in plotting_names() if name[0].islower()]
        lines = [f"* [`{name}`](reference/plotting.md#{_anchor(name)})" for name in functions]
        return "# Figures\n\n`make gallery` draws them all. The functions:\n\n" + "\n".join(lines) + "\n"
    parts = ["# Figures\n\nA click on a name leads to the function; [how to make one](how/figure.md)."]
    for one in json.loads(listed.read_text(encoding="utf-8")):
        target = f"reference/plotting.md#{_anchor(one['function'])}"
        alt = one["alt"].replace("]", "").replace("[", "")
        picture = f"![{alt}](gallery/{one['name']}.png)"
        parts.append(f"## [{one['function']}]({target})\n\n{one['caption']}\n\n{picture}")
    return "\n\n".join(parts) + "\n"


def plotting_names() -> list[str]:
    """Return the public names of the room of figures."""
    return [name for names in public_names("plotting").values() for name in names]


def _anchor(function: str) -> str:
    module = next(module for module, names in public_names("plotting").items() if function in names)
    return f"{module}.{function}"


def source_page(module: str) -> str:
    """Return a module of the networks as a page whose lines can be pointed at."""
    text = (PACKAGE / "models" / f"{module}.py").read_text(encoding="utf-8")
    return f'# models/{module}.py\n\n```python linenums="1"\n{text}```\n'


def recorded_page() -> str | None:
    """Return the report of recorded runs, else of those found here: each notebook in its longest profile."""
    from omnilearn_lab.errors import DataFileError
    from omnilearn_lab.notebook.report import Report, collect_results

    for folder in (RECORDED, RESULTS):
        try:
            judged = [run for run in collect_results(folder) if run.is_judged]
        except DataFileError:
            continue
        judged.sort(key=lambda run: ("quick", "long", "full").index(run.profile))
        longest = {run.notebook: run for run in judged}
        if longest:
            page = Report(longest[name] for name in sorted(longest)).to_markdown()
            return page.replace("# Results", "# The notebooks' report", 1)
    return None


def published_page() -> str:
    """Return the papers' tables."""
    from omnilearn_lab.published import published_results, published_tables

    parts = ["# Published tables\n\nWhat ours are compared with, every number with its source."]
    for key, about in published_tables().items():
        table = (
            published_results(key)._repr_html_().replace("&#x27;", "'")
        )  # Markdown would move it elsewhere
        parts.append(f"## {about}\n\n`published_results({key!r})`\n\n{table}")
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """Return the text of every generated page by its path in the site."""
    made = {"index.md": start_page(), "contributing.md": (ROOT / "CONTRIBUTING.md").read_text()}
    made[GLOSSARY] = (ROOT / "notebooks" / GLOSSARY).read_text(encoding="utf-8")
    hub = (ROOT / "binder" / "jupyterhub" / "README.md").read_text(encoding="utf-8")
    made["jupyterhub.md"] = hub.replace("](../../docs/", "](")
    notebooks = notebook_pages()
    made |= {f"notebooks/{name}.ipynb": text for name, text in notebooks.items()}
    made |= {f"reference/{room}.md": reference_page(room) for room in rooms()}
    made |= {f"source/{module}.md": source_page(module) for module in SOURCES}
    made |= {"gallery.md": gallery_page(), "published.md": published_page()}
    made["changelog.md"] = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if recorded := recorded_page():
        made["recorded.md"] = recorded
    return made | {"SUMMARY.md": contents(notebooks, has_record=bool(recorded))}


def contents(notebooks: Mapping[str, str], *, has_record: bool) -> str:
    """Return the site's contents."""
    lines = ["* [Start](index.md)", "* Learn", "    * [The networks and their losses](networks.md)"]
    lines += ["    * [Glossary](glossary.md)", "    * [Figures](gallery.md)", "* Notebooks"]
    lines += ["    * [What each shows and costs](notebooks.md)"]
    for name, text in notebooks.items():
        number = f"{name[:2] if name[:2].isdigit() else name.capitalize()} · "
        lines.append(f"    * [{number}{title(text)}](notebooks/{name}.ipynb)")
    lines += ["* Results", "    * [Measured](results.md)"]
    lines += ["    * [The notebooks' report](recorded.md)"] * has_record
    lines += ["    * [Published tables](published.md)"]
    lines += ["* How do I ...?", "    * [All questions](how/index.md)"]
    for path in sorted((ROOT / "docs" / "how").glob("*.md")):
        if path.stem != "index":
            lines.append(f"    * [{_heading(path)}](how/{path.name})")
    lines += [
        f"    * [{_heading(ROOT / 'docs' / name)}]({name})" for name in ("elsewhere.md", "full_scale.md")
    ]
    lines += ["    * [On a JupyterHub](jupyterhub.md)", "* Reference"]
    lines += [f"    * [{room}](reference/{room}.md)" for room in rooms()]
    lines += ["* Project", "    * [What we promise](promises.md)", "    * [Contributing](contributing.md)"]
    return "\n".join([*lines, "    * [Changes](changelog.md)"]) + "\n"


def _heading(page: Path) -> str:
    return page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def write() -> None:
    """Hand the pages and the gallery's pictures to MkDocs."""
    import mkdocs_gen_files

    for path, text in pages().items():
        with mkdocs_gen_files.open(path, "w") as file:
            file.write(for_the_site(text) if path.endswith(".ipynb") else text)
    for picture in sorted(GALLERY.glob("*.png")):
        with mkdocs_gen_files.open(f"gallery/{picture.name}", "wb") as file:
            file.write(picture.read_bytes())


if __name__ in ("__main__", "<run_path>"):
    write()
