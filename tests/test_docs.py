"""The documentation site: every public name has its place, and the whole site builds without a warning."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.plotting.test_data import FIGURES

ROOT = Path(__file__).parents[1]


def _load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate():
    return _load("generate")


def test_every_room_has_a_page(generate):
    names = {p.stem for p in (ROOT / "omnilearn_lab").iterdir() if not p.name.startswith(("_", "py."))}
    assert {name.split(".")[0] for name in generate.rooms()} == names - {"cli"}


def test_every_public_name_is_listed(generate):
    for room in generate.rooms():
        members = re.findall(r"members: \[(.*)\]", generate.reference_page(room))
        listed = set(re.findall(r"\w+", " ".join(members)))
        missing = set(getattr(importlib.import_module(f"omnilearn_lab.{room}"), "__all__", ())) - listed
        assert not missing, f"{room}: {missing}"


def test_every_notebook_is_in_the_contents(generate):
    contents = generate.pages()["SUMMARY.md"]
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{notebook.name}" in contents


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / target).exists(), target


def test_notebooks_and_datasets_are_counted_right():
    from omnilearn_lab.catalog import catalog

    numbers = sorted(path.name[:2] for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    word = {16: "sixteen", 17: "seventeen", 18: "eighteen", 19: "nineteen", 20: "twenty"}[len(numbers)]
    assert re.search(rf"\b{word}\s+notebooks\b", (ROOT / "README.md").read_text())
    page = (ROOT / "docs" / "notebooks.md").read_text()
    assert re.findall(r"^\| \[(\d\d)\]", page, re.MULTILINE) == numbers
    entries = catalog().entries.values()
    latest, stand_ins = (
        (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1],
        [e for e in entries if e.recipe],
    )
    assert f"- {len(entries)} datasets in one catalogue, {len(stand_ins)} with" in latest
    assert f"- {len(numbers)} notebooks" in latest


def test_the_readme_is_two_screens_and_names_two_commands():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert text.count("![") == 1
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"^make ([a-z-]+)", text, re.MULTILINE)
    assert named == ["run", "test"] and set(re.findall(r"`make ([a-z-]+)", text)) | set(named) <= targets
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line[:1] not in ("#", "")]
    assert commands[-1] == "make test"


def recorded_texts(number: str) -> set[str]:
    """Every mean and spread of the recorded runs of a notebook, as text."""
    from omnilearn_lab.metrics import spread
    from omnilearn_lab.notebook.recorded import RECORDED, read_results
    from omnilearn_lab.tasks.common.comparison import speedup_text

    runs = [read_results(path.parent) for path in RECORDED.glob(f"{number}_*/*/results.json")]
    comparisons = [each for run in runs for each in run.comparisons.values()]
    texts = {
        each.mean_and_spread(m, arm) for each in comparisons for m in each.metrics for arm in each.metrics[m]
    }
    texts |= {speedup_text(each) for each in comparisons}
    numbers = [each for run in runs for each in run.numbers.values()]
    numbers += [row for each in numbers if isinstance(each, dict) for row in each.values()]
    lists = [values for values in numbers if values and isinstance(values, list)]
    return texts | {str(spread(values)) for values in lists if all(isinstance(v, float) for v in values)}


def recorded_values(number: str) -> Iterator[float]:
    """Every number of the recorded runs of a notebook and of their figures, and the mean of every list."""
    from omnilearn_lab.notebook.recorded import RECORDED

    left = [
        json.loads(path.read_text())
        for name in ("results", "figures")
        for path in RECORDED.glob(f"{number}_*/*/{name}.json")
    ]
    while left:
        value = left.pop()
        if isinstance(value, (dict, list)):
            inside = list(value.values() if isinstance(value, dict) else value)
            left += inside
            if inside and all(isinstance(each, float) for each in inside):
                yield float(np.mean(inside))
        elif isinstance(value, (int, float)):
            yield float(value)


def test_claims_quote_what_was_recorded():
    page = (ROOT / "docs" / "results.md").read_text()
    claims = re.findall(
        r"^\| \[(\d\d)\]\(#\d\d-.*\*\*(?:same AUC )?(?:not )?(?:shown|contradicted)", page, re.MULTILINE
    )
    sections = re.findall(r"^### (\d\d) [^\n]*\n(.*?)(?=^##)", page, re.MULTILINE | re.DOTALL)
    assert sorted(claims) == [number for number, _ in sections]
    assert set(claims) >= {f"{n:02d}" for n in range(3, 14)}
    for number, text in sections:
        quoted = re.findall(r"-?[\d.]+ ± [\d.]+\d", text)
        assert quoted and set(quoted) <= recorded_texts(number), number
        bare = re.findall(r"(?<=\| )-?\d+\.\d+(?= \|)", text)  # of baselines, frozen bodies and floors
        values = np.array(list(recorded_values(number)))
        off = [x for x in bare if np.abs(values - float(x)).min() > 0.501 * 10.0 ** -len(x.split(".")[1])]
        assert not off, (number, off)


def test_the_first_numbers_of_a_reader_are_the_recorded_ones():
    recorded = recorded_texts("03")
    for page in ("README.md", "docs/results.md"):
        table = (ROOT / page).read_text().split("\n|---|", 1)[1].split("\n\n")[0]
        cells = [cell.strip() for row in table.splitlines()[1:] for cell in row.split("|")[2:4]]
        assert len(cells) >= 4 and set(cells) - {"1"} <= recorded, page


def test_the_snippet_of_the_readme_gives_scores(monkeypatch):
    """With few jets: the front door's four lines, as they stand there."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    assert len(code.strip().splitlines()) == 5  # one is empty
    scope: dict[str, object] = {}
    exec(compile(code.replace("max_jets=1000", "max_jets=200"), "README.md", "exec"), scope)
    tagger, test = scope["tagger"], scope["test"]
    assert tagger.predict_proba(test).shape == (200, 2) and tagger.score(test) > 0.8


def test_broken_links_are_found(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b c.html").write_text('<h1 id="here">B</h1><img src="no.png">')
    links = ["sub/b%20c.html#here", "sub/b%20c.html#gone", "gone.html", "#top", "https://x.org/y", "sub"]
    links += ["https://arxiv.org/abs/ 1", "https:/x.org", "htps://x.org"]
    page = '<p id="top">' + "".join(f'<a href="{link}">x</a>' for link in links)
    (tmp_path / "a.html").write_text(page)
    broken = [f"a.html: {links[i]}" for i in (1, 2, 5, 6, 7, 8)] + ["sub/b c.html: no.png"]
    assert _load("links").broken_links(tmp_path) == broken


def executed(cells, start="2026-11-30T05:54:47"):
    return json.dumps({"metadata": {"papermill": {"start_time": start}}, "cells": cells})


@pytest.fixture
def one_notebook(generate, monkeypatch, tmp_path):
    """A project of one notebook, and how to put an executed copy of it into a folder."""
    places = {
        "ROOT": tmp_path,
        "RESULTS": tmp_path / "results",
        "RECORDED": tmp_path / "notebooks" / "recorded",
    }
    for name, place in places.items():
        monkeypatch.setattr(generate, name, place)
    bare = tmp_path / "notebooks" / "01_one.ipynb"
    bare.parent.mkdir()
    text = {"cell_type": "markdown", "metadata": {}, "source": ["# One"]}
    code = {"cell_type": "code", "metadata": {}, "source": ["1 + 1"], "outputs": []}
    given = code | {"metadata": {"tags": ["injected-parameters"]}, "source": ["profile = 'long'"]}
    bare.write_text(executed([text, code]))

    def put(folder, profile, source="1 + 1", outputs=(), **facts):
        place = generate.__dict__[folder] / "01_one" / profile
        place.mkdir(parents=True, exist_ok=True)
        cell = code | {"source": [source], "outputs": list(outputs)}
        (place / bare.name).write_text(executed([text, given, cell]))
        if facts:
            (place / "results.json").write_text(json.dumps(facts))
        return place / bare.name

    return SimpleNamespace(
        put=put, told=lambda: json.loads(generate.best_copy(bare))["cells"][1]["source"], bare=bare
    )


def test_a_page_says_where_its_copy_ran(one_notebook):
    put, told = one_notebook.put, one_notebook.told
    assert "Not executed here: `omnilearn-lab run 01_one`" in told()
    assert told().endswith("[Download it](./01_one.ipynb) without outputs.*")
    facts = {"date": "2026-12-01", "total_seconds": 60.4, "machine": "2 cores", "versions": {"torch": "2.9"}}
    put("RECORDED", "long", **facts)
    assert told().startswith("*Executed in profile `long` on 2026-12-01 (60 s, 2 cores, torch 2.9). [Down")
    put("RESULTS", "smoke")
    assert "profile `long`" in told(), "what only tests that everything runs comes last"
    put("RESULTS", "quick", "2 + 2")
    assert "`quick` on 2026-11-30 (a machine that was not noted). Its code was changed since." in told()
    put("RECORDED", "quick")
    assert "`quick`" in told() and "changed since" not in told(), "the code of today comes first"


def test_a_page_has_the_text_of_today_and_the_outputs_of_its_copy(one_notebook, generate):
    copy = one_notebook.put(
        "RECORDED", "quick", outputs=[{"output_type": "stream", "name": "stdout", "text": "2"}]
    )
    bare, done = (json.loads(path.read_text()) for path in (one_notebook.bare, copy))
    for cells in (bare["cells"], done["cells"]):
        cells[0] |= {"id": "head"}
    bare["cells"][0] |= {"source": ["# One, put right"]}
    one_notebook.bare.write_text(json.dumps(bare))
    copy.write_text(json.dumps(done))
    page = json.loads(generate.best_copy(one_notebook.bare))["cells"]
    assert page[0]["source"] == ["# One, put right"] and page[-1]["outputs"][0]["text"] == "2"


def test_the_report_shows_each_notebook_in_its_longest_profile(one_notebook, generate):
    assert generate.recorded_page() is None
    facts = {"notebook": "01_one", "versions": {}, "seconds": {}, "source": "simulated", "seeds": [1]}
    for which in ("RESULTS-quick", "RECORDED-long", "RECORDED-quick", "RESULTS-smoke"):
        folder, profile = which.split("-")
        path = one_notebook.put(folder, profile, date=which)
        (path.parent / "results.json").write_text(json.dumps(facts | {"profile": profile, "date": which}))
    page = generate.recorded_page()
    assert page.startswith("# The notebooks' report\n") and "RECORDED-long" in page
    assert not re.search("RECORDED-quick|RESULTS", page)
    shutil.rmtree(generate.RECORDED)
    assert "RESULTS-quick" in generate.recorded_page() and "smoke" not in generate.recorded_page()


def test_a_copy_that_failed_is_not_shown(one_notebook):
    copy = one_notebook.put("RESULTS", "quick")
    failed = json.loads(copy.read_text())
    failed["metadata"]["papermill"]["exception"] = True
    copy.write_text(json.dumps(failed))
    assert "Not executed here" in one_notebook.told()


def picture():
    """A figure of few colours, as base64: what a notebook holds."""
    from matplotlib.figure import Figure

    figure, made = Figure(), io.BytesIO()
    figure.subplots().plot([1, 2, 4])
    figure.savefig(made, format="png")
    return base64.b64encode(made.getvalue()).decode()


def test_kept_copies_are_small_and_say_where_they_ran(one_notebook, generate, monkeypatch):
    monkeypatch.setitem(sys.modules, "generate", generate)
    png = picture()
    outputs = [{"output_type": "display_data", "data": {"image/png": png, "text/plain": "<Figure>"}}]
    copy = one_notebook.put("RESULTS", "quick", outputs=outputs, date="2026-12-01", machine="2 cores")
    path = _load("executed").keep(copy)
    assert path == generate.RECORDED / "01_one" / "quick" / "01_one.ipynb"
    assert path.stat().st_size < 0.6 * copy.stat().st_size
    shutil.rmtree(generate.RESULTS)
    assert "profile `quick` on 2026-12-01 (2 cores)" in one_notebook.told()


def test_what_takes_a_minute_and_has_no_copy_is_executed(one_notebook, generate, monkeypatch):
    monkeypatch.setitem(sys.modules, "generate", generate)
    script, done = _load("executed"), []
    entries = {
        "01_one": SimpleNamespace(minutes=lambda *_: 0.5),
        "02_two": SimpleNamespace(minutes=lambda *_: 5),
    }
    monkeypatch.setattr(script, "notebook_map", lambda _: SimpleNamespace(entries=entries))
    monkeypatch.setattr(script, "execute_notebook", lambda name, profile, **_: done.append((name, profile)))
    script.main([])
    one_notebook.put("RESULTS", "quick")
    script.main([])
    assert done == [("01_one", "quick")]


def test_pages_share_figures_and_styles(generate, tmp_path):
    source = tmp_path / "a.ipynb"
    shown = {"data": {"image/png": picture()}, "metadata": {"image/png": {"alt": 'a "b" < c'}}}
    source.write_text(json.dumps({"cells": [{"outputs": [shown]}]}))
    file = SimpleNamespace(src_uri="notebooks/a.ipynb", abs_src_path=str(source))
    page, config = SimpleNamespace(file=file), SimpleNamespace(site_dir=tmp_path)
    text = '<style type="text/css">b {}</style><img alt="No description" class="" '
    text += f'src="data:image/png;base64,{picture()}">'
    made = [generate.on_page_content(text, page=page, config=config) for _ in range(2)]
    shared = sorted(path.name for path in (tmp_path / "notebooks" / "shared").iterdir())
    assert len(shared) == 2 and made[0] == made[1] and "base64" not in made[0] and "<style" not in made[0]
    assert all(f'"shared/{name}"' in made[0] for name in shared)
    assert '<img alt="a &quot;b&quot; &lt; c" class="" src="shared/' in made[0]  # for who cannot see


def test_notebooks_lead_to_the_glossary_with_and_without_a_term(generate):
    pytest.importorskip("latex2mathml", reason="pip install -e '.[docs]'")
    cell = {
        "cell_type": "markdown",
        "source": "[all](glossary.md), [one](glossary.md#AUC), [next](01_one.ipynb)",
    }
    made = json.loads(generate.for_the_site(json.dumps({"cells": [cell]})))["cells"][0]["source"]
    assert made == "[all](../glossary.html), [one](../glossary.html#auc), [next](01_one.html)"


def test_a_page_loads_no_script_for_widgets(generate):
    notebook = {"metadata": {"widgets": {"state": {}}}, "cells": [{"cell_type": "markdown", "source": "# A"}]}
    assert json.loads(generate._with_note(notebook, "note"))["metadata"] == {}


def test_outputs_on_pages_need_no_kernel(generate):
    widget = {"output_type": "display_data", "data": {generate.WIDGET: {}, "text/plain": "W"}}
    figure = {"output_type": "display_data", "data": {generate.WIDGET: {}, "image/png": "iVBOR"}}
    bar = {"output_type": "stream", "name": "stderr", "text": "100%"}
    text = {"output_type": "stream", "name": "stdout", "text": "done"}
    made = [generate._static(output) for output in (widget, figure, bar, text)]
    assert made == [None, figure | {"data": {"image/png": "iVBOR"}}, None, text]


@pytest.mark.slow
def test_site_builds(tmp_path):
    pytest.importorskip("mkdocs", reason="pip install -e '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    quiet = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    options = {"cwd": ROOT, "env": os.environ | quiet, "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, **options)
    warnings = [line for line in done.stderr.splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert done.returncode == 0, warnings or done.stderr[-3000:]  # with --quiet, warnings would not count
    assert not _load("links").broken_links(tmp_path)
    assert (tmp_path / "reference" / "models.html").is_file()
    assert "<math " in (tmp_path / "reference" / "metrics.html").read_text()


def test_formulas_need_no_script(generate):
    pytest.importorskip("latex2mathml", reason="pip install -e '.[docs]'")
    page, config = SimpleNamespace(file=SimpleNamespace(src_uri="a.md")), SimpleNamespace(site_dir=".")
    text = "<p>.. math:: a &lt; b</p><p>with :math:<code>x^2</code></p>"
    found = generate.on_page_content(text, page=page, config=config)
    assert found.count("<math ") == 2
    assert ":math:" not in found
    cell = {"cell_type": "markdown", "source": ["jets of $R=0.8$ or ", "$$S/\\sqrt{B}$$"]}
    done = json.loads(generate.for_the_site(json.dumps({"cells": [cell]})))["cells"][0]["source"]
    assert done.count("<math ") == 2
    assert "$" not in done


def test_links_between_notebooks_and_to_the_glossary_lead_on(generate):
    links = "[03](03_finetune_top.ipynb), [a curve](glossary.md#ROC-curve)"
    notebook = json.dumps({"cells": [{"cell_type": "markdown", "source": links}]})
    done = json.loads(generate.for_the_site(notebook))["cells"][0]["source"]
    assert done == "[03](03_finetune_top.html), [a curve](../glossary.html#roc-curve)"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_pages_by_hand_lead_somewhere_and_their_code_runs(page, generate):
    text, made = page.read_text(), generate.pages()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        path = (page.parent / target).resolve()
        assert path.exists() or str(path.relative_to(ROOT / "docs")) in made, target
    scope: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, page.name, "exec"), scope)
    for code in re.findall(r"```py\n(.*?)```", text, re.DOTALL):  # too long to run: the names must be there
        for module, names in re.findall(r"^from (omnilearn_lab[\w.]*) import (.+)$", code, re.MULTILINE):
            for name in names.split(", "):
                assert hasattr(importlib.import_module(module), name), name


def test_commands_of_the_pages_exist():
    commands = {"run", "report", "doctor", "pretrain", "finetune", "predict", "evaluate", "embed", "data"}
    app = importlib.import_module("omnilearn_lab.cli").app
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    assert commands <= known
    command = re.compile(r"^(?:omnilearn-lab|.*-m omnilearn_lab.cli) (\w+)", re.MULTILINE)
    for page in (ROOT / "docs").rglob("*.md"):
        assert set(command.findall(page.read_text())) <= known, page


def test_schematics_show_the_networks_as_they_are():
    schematics = _load("schematics")
    from omnilearn_lab.models import PET, PETConfig, PETv2, PETv2Config

    full = PETv2Config.named("tiny", mode="pretrain", n_species=9, n_extra=4, n_condition=2)
    for name, model in {"pet": PET(PETConfig.named("tiny")), "pet_v2": PETv2(full)}.items():
        schematic, module = schematics.SCHEMATICS[name]
        for box in (box for box in schematic.boxes if box.owner):
            is_token = box.name == "body.token"  # the one part that is a tensor
            assert (model.get_parameter if is_token else model.get_submodule)(box.name) is not None
            assert schematics.line_of(module, box.owner) > 0
        drawn = (ROOT / "docs" / "images" / f"{name}.svg").read_text()
        assert drawn == schematics.draw(name), "draw it again: python docs/schematics.py"


def test_frames_of_a_schematic_do_not_overlap():
    schematics = _load("schematics")
    frame = r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)" rx="8" fill="none"'
    for name in schematics.SCHEMATICS:
        frames = [tuple(map(int, found)) for found in re.findall(frame, schematics.draw(name))]
        assert len(frames) == 3
        for (x, y, w, h), (u, v, k, m) in itertools.combinations(frames, 2):
            assert x + w <= u or u + k <= x or y + h <= v or v + m <= y, name


def test_schematics_lead_to_the_lines_of_the_source(generate):
    from omnilearn_lab.models import pet

    box = r'source/pet\.html#__codelineno-0-(\d+)"><rect[^>]*/><text[^>]*>body.embedding'
    line = int(re.search(box, generate.schematic("pet"))[1])
    assert Path(pet.__file__).read_text().splitlines()[line - 1] == "class Body(nn.Module):"
    assert "source/pet.md" in generate.pages()


def test_the_gallery_page_links_every_function(generate, monkeypatch, tmp_path):
    monkeypatch.setattr(generate, "GALLERY", tmp_path)  # where no gallery was built
    page = generate.gallery_page()
    for name in generate.plotting_names():
        if name in FIGURES:
            assert re.search(rf"reference/plotting\.md#omnilearn_lab\.plotting\.\w+\.{name}\)", page), name


def test_formulas_of_pages_stay_in_their_paragraph_and_code_keeps_its_dollars(generate):
    pytest.importorskip("latex2mathml", reason="pip install -e '.[docs]'")
    page = SimpleNamespace(file=SimpleNamespace(src_uri="glossary.md"))
    made = generate.on_page_markdown("of\n$x$ and `$HOME`", page=page)
    assert "of\n<span><math" in made and "`$HOME`" in made
    other = SimpleNamespace(file=SimpleNamespace(src_uri="index.md"))
    assert generate.on_page_markdown("$x$", page=other) == "$x$"
