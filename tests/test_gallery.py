"""The gallery shows every figure function, on whatever jets the catalogue gives."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from omnilearn_lab.jets import Jets
from omnilearn_lab.plotting import loss_curves

from tests.plotting.test_data import FIGURES

ROOT = Path(__file__).parents[1]


def toy_jets(n_jets=400, seed=0):
    """One-pronged and two-pronged jets: enough for every figure to have something to show."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n_jets) % 2)
    counts = rng.integers(12, 28, n_jets)
    total = counts.sum()
    eta = rng.normal(0, 0.1, total) + rng.choice([-0.3, 0.3], total) * np.repeat(labels, counts)
    phi, pt = rng.normal(0, 0.1, total), rng.exponential(30.0, total) + 0.5
    momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=1)
    return Jets.from_four_momenta(
        momenta,
        np.append(0, np.cumsum(counts)),
        particles={"pid": rng.choice([-211, 22, 130, 211], total)},
        jet={"label": labels},
        class_names=("QCD", "top"),
        provenance={"source": "toys", "jet_radius": 0.8},
    )


@pytest.fixture(scope="module")
def gallery():
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
    module = sys.modules["gallery"] = importlib.util.module_from_spec(spec)  # dataclasses look it up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gallery"]


def test_every_figure_function_is_shown(gallery, monkeypatch):
    monkeypatch.setattr(gallery, "load", lambda *_, max_jets, **__: toy_jets(max_jets))
    about, examples = gallery.gallery_examples(400, 1)
    assert {example.function for example in examples} == FIGURES
    assert len({example.name for example in examples}) == len(examples)
    assert "400 jets" in about
    for example in examples:
        assert example.figure.alt_text != "figure"
        assert example.figure.figure_data.tables


def test_page_links_only_files_that_exist(gallery, tmp_path, monkeypatch):
    figures = {"small": ([1, 2], [0.5, 0.4]), "second": ([1, 2], [0.6, 0.4])}
    examples = [
        gallery.Example(f"loss_curves_{k}", "A <caption> & more.", loss_curves({k: v}))
        for k, v in figures.items()
    ]
    monkeypatch.setattr(gallery, "gallery_examples", lambda *_: ("about", examples))
    page = gallery.build_gallery(tmp_path, n_jets=400)
    text = page.read_text()
    links = set(re.findall(r'(?:src|href)="([^"]+)"', text))
    assert len(links) == 3 * 2
    for link in links:
        assert (tmp_path / link).is_file(), link
    assert text.count("<img ") == text.count(' alt="') == 2
    assert "A &lt;caption&gt; &amp; more." in text


def test_command_line(gallery, monkeypatch):
    asked = []
    monkeypatch.setattr(gallery, "build_gallery", lambda *args, **options: asked.append((args, options)))
    gallery.main(["page", "--jets", "400"])
    gallery.main([])
    assert asked == [
        (("page",), {"n_jets": 400, "seed": 1}),
        (("results/gallery",), {"n_jets": 4000, "seed": 1}),
    ]
