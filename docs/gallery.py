"""The gallery: every figure function once, on simulated jets, on one page.

``python docs/gallery.py`` writes ``results/gallery/index.html`` with PNG, PDF, and the numbers of each
figure. Nothing on the page needs a trained network: the classifiers are logistic regressions on
jet observables, trained in a second, and everything else is the package's own.
"""

from __future__ import annotations

import argparse
import html
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np
import torch
from omnilearn_lab import plotting
from omnilearn_lab.catalog import load
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import write_text
from omnilearn_lab.metrics import classification_metrics, confusion_matrix, max_sic, roc
from omnilearn_lab.models.diffusion import cosine_level
from omnilearn_lab.observables import observables
from omnilearn_lab.plotting import COMPARISON, HistogramAxis, HistogramOptions
from omnilearn_lab.plotting.distributions import unfolding_steps
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.published import published_results
from omnilearn_lab.tasks.reweighting import PairedSample, RatioConfig
from omnilearn_lab.tasks.search import MassFit, bump_hunt
from omnilearn_lab.tasks.unfolding import OmniFold, OmniFoldConfig, bayesian_unfolding
from omnilearn_lab.widgets.explorer import principal_axes
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import log_loss

_LOG = logging.getLogger(__name__)
_SEEDS = 5
_NAMES = ("mass", "multiplicity", "width", "ln_rho", "tau_21", "z_g")
_COLUMNS = {"mass + width": [0, 2], "six observables": list(range(6))}
_AXES = {
    "mass": HistogramAxis("Jet mass", np.linspace(0, 280, 36), "GeV"),
    "multiplicity": HistogramAxis("Multiplicity", np.arange(-0.5, 141, 4)),
    "ln_rho": HistogramAxis(r"$\ln\rho$", np.linspace(-10, -1, 31)),
}
_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>omnilearn_lab: figure gallery</title>
<style>
body { font-family: Helvetica, Arial, sans-serif; margin: 2rem auto; max-width: 78rem; color: #111; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(30rem, 1fr)); gap: 2rem; }
figure { margin: 0; border: 1px solid #ccc; padding: 1rem; }
figure.wide { grid-column: 1 / -1; }
img { max-width: 100%; height: auto; }
code { background: #f2f2f2; padding: 0.1rem 0.3rem; }
figcaption p { margin: 0.4rem 0; }
</style></head><body>
<h1>Figure gallery</h1>
<p>$about</p>
<main>
$figures
</main></body></html>
""")
_ENTRY = Template("""<figure class="$width" id="$name">
<img src="$name.png" alt="$alt">
<figcaption><p><code>plotting.$function</code></p><p>$caption</p>
<p><a href="$name.png">PNG</a> · <a href="$name.pdf">PDF</a> · <a href="$name/submission.yaml">numbers</a></p>
</figcaption></figure>""")


class Example(NamedTuple):
    """One figure of the gallery; its name starts with the function's."""

    name: str
    caption: str
    figure: PaperFigure

    @property
    def function(self) -> str:
        """The figure function behind it."""
        return max((name for name in plotting.__all__ if self.name.startswith(name)), key=len)


@dataclass(frozen=True, eq=False)
class Sample:
    """Jets with their observables, halves for training and testing, and classifiers trained on one half.

    Parameters
    ----------
    jets : Jets
    values : mapping of observable to array, shape (N,)
    features : array, shape (N, 6)
        Standardised observables.
    is_test : bool array, shape (N,)
    """

    jets: Jets
    values: Mapping[str, np.ndarray]
    features: np.ndarray
    is_test: np.ndarray

    @classmethod
    def of(cls, jets: Jets, seed: int) -> Sample:
        """Compute observables and choose the test half."""
        values = observables(jets, _NAMES, jet_radius=jets.provenance.get("jet_radius", 0.8))
        table = np.stack([np.nan_to_num(values[name], neginf=-14) for name in _NAMES], axis=1)
        is_test = np.random.default_rng(seed).permutation(len(jets)) % 2 == 1
        return cls(jets, values, (table - table.mean(axis=0)) / table.std(axis=0), is_test)

    @property
    def source(self) -> str | None:
        """Label of the data."""
        return plotting.source_label(self.jets.provenance)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.jets.class_names

    def half(self, is_test: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return features and labels of one half."""
        rows = self.is_test == is_test
        return self.features[rows], self.jets.label[rows]

    def scores(self, label: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (scores, labels) of the test half for classifiers of bootstrap samples of the other."""
        (train, truth), (test, test_truth), columns = self.half(False), self.half(True), _COLUMNS[label]
        runs = []
        for seed in range(_SEEDS):
            rows = np.random.default_rng(seed).integers(0, len(train), len(train))
            model = LogisticRegression().fit(train[rows][:, columns], truth[rows])
            runs.append((model.predict_proba(test[:, columns])[:, 1], test_truth))
        return runs

    def of_class(self, label: int, name: str = "mass") -> np.ndarray:
        """Return an observable of the jets of one class."""
        return self.values[name][self.jets.label == label]


def jet_pictures(sample: Sample) -> Iterator[Example]:
    """Single jets, average jets, and a jet on its way from noise."""
    jets, labels = sample.jets, sample.jets.label
    first = {name: int(np.argmax(labels == i)) for i, name in enumerate(sample.names)}
    for name, i in first.items():
        about = f"One {name} jet; area proportional to pT."
        yield Example(f"jet_display_{name}", about, plotting.jet_display(jets, i))
    batches = {name: jets[labels == i] for i, name in enumerate(sample.names)}
    images = plotting.jet_image_average(batches, source=sample.source)
    yield Example("jet_image_average", "Where the transverse momentum goes.", images)
    trajectory = plotting.diffusion_trajectory(*diffused(jets[[first["top"]]]), source=sample.source)
    about = "A simulated jet under the forward diffusion, shown from noise to jet."
    yield Example("diffusion_trajectory", about, trajectory)


def diffused(jet: Jets, n_steps: int = 41) -> tuple[np.ndarray, np.ndarray]:
    """Return times from 1 to 0 and a jet's particles under the networks' noise schedule, shape (S, N, 3)."""
    columns = [jet.particles["deta"], jet.particles["dphi"], np.log(jet.particles["pt"])]
    cloud = np.stack(columns, axis=1).astype(float)
    middle, width = cloud.mean(axis=0), cloud.std(axis=0)
    noise = np.random.default_rng(7).normal(size=cloud.shape)
    times = np.linspace(1, 0, n_steps)
    alpha, sigma = (part.numpy()[:, None, None] for part in cosine_level(torch.tensor(times)))
    steps = middle + width * (alpha * (cloud - middle) / width + sigma * noise)
    steps[..., 2] = np.exp(steps[..., 2])
    return times, steps


def distributions(sample: Sample) -> Iterator[Example]:
    """Observables by class."""
    looks = {"ratio_to": "QCD", "options": HistogramOptions(ratio_range=(0.0, 4.0)), "source": sample.source}
    six = {name: {k: sample.of_class(i, k) for k in _NAMES} for i, name in enumerate(sample.names)}
    masses = {name: values["mass"] for name, values in six.items()}
    one = plotting.observable_distributions(masses, _AXES["mass"], **looks)
    yield Example("observable_distributions", "Jet mass with ratio panel.", one)
    grid = plotting.observable_grid(six, axes=_AXES, **looks)
    yield Example("observable_grid", "The six observables of the papers.", grid)


def efficiencies(sample: Sample) -> Iterator[Example]:
    """Classifiers in the plane of efficiencies."""
    scores = {label: sample.scores(label) for label in _COLUMNS}
    paper = published_results("top_tagging").select(("PET classifier", "OmniLearn"))
    yield Example("roc_curves", "AUC with its spread.", plotting.roc_curves(scores, source=sample.source))
    about = "Bands are the spread over seeds; lines start where 10 background jets pass."
    rejection = plotting.rejection_vs_efficiency(scores, published=paper, source=sample.source)
    yield Example("rejection_vs_efficiency", about, rejection)
    yield Example("sic_curves", about, plotting.sic_curves(scores, source=sample.source))
    point = plotting.working_point_figure(
        *scores["six observables"][0], 0.5, names=("QCD", "top"), source=sample.source
    )
    yield Example("working_point_figure", "One cut on the score.", point)


def searches(sample: Sample) -> Iterator[Example]:
    """A bump in the jet mass, and what weak supervision gains."""
    fit, region = MassFit(limits=(100.0, 260.0), function="log_polynomial2", n_bins=16), (150.0, 200.0)
    tops = sample.of_class(1)
    few = np.append(sample.of_class(0), tops[: len(tops) // 20])
    hunts = {"5 % of the tops": few, "all tops": sample.values["mass"]}
    fits = {label: bump_hunt(masses, region, fit) for label, masses in hunts.items()}
    spectrum = plotting.mass_spectrum(fits, x_label="Jet mass [GeV]", source=sample.source)
    yield Example("mass_spectrum", "A smooth function fitted to the sidebands.", spectrum)
    injections = (0, len(tops) // 20, len(tops) // 5)
    values = [[injected_sic(sample, n, seed) for n in injections] for seed in range(_SEEDS)]
    points = {"logistic regression": (injections, values)}
    scan = plotting.sic_against_injection(points, source=sample.source)
    yield Example("sic_against_injection", "Weak supervision without labels.", scan)


def injected_sic(sample: Sample, n_injected: int, seed: int) -> float:
    """Return the largest significance improvement of weak supervision.

    Half of the background with some signal among it is told from the other half; the true labels of all jets
    measure the result.
    """
    rng = np.random.default_rng(seed)
    background, signal = (rng.permutation(np.flatnonzero(sample.jets.label == k)) for k in (0, 1))
    data, reference = np.array_split(background, 2)
    rows = np.concatenate([data, signal[:n_injected], reference])
    is_data = np.arange(len(rows)) < len(data) + n_injected
    model = LogisticRegression().fit(sample.features[rows], is_data)
    return max_sic(roc(model.decision_function(sample.features), sample.jets.label)).value


def score_figures(sample: Sample) -> Iterator[Example]:
    """Classifier outputs."""
    (scores, truth), source = sample.scores("six observables")[0], sample.source
    by_class = {name: scores[truth == i] for i, name in enumerate(sample.names)}
    histograms = plotting.score_histograms(by_class, source=source)
    yield Example("score_histograms", "Score by true class.", histograms)
    matrix = confusion_matrix(scores, truth, class_names=sample.names)
    yield Example("confusion_matrix", "Rows add up to one.", plotting.confusion_matrix(matrix, source=source))
    test, test_truth = sample.half(True)
    points = principal_axes(test)
    looks = {"class_names": sample.names, "crosses": (scores > 0.5) != test_truth, "source": source}
    about = "The six observables along the two directions in which jets differ most."
    yield Example("embedding_map", about, plotting.embedding_map(points, test_truth, **looks))
    honest = {label: sample.scores(label)[0] for label in _COLUMNS}
    yield Example("calibration", "With binomial errors.", plotting.calibration(honest, source=source))


def trainings(sample: Sample) -> Iterator[Example]:
    """Losses of trainings, and a metric against the number of jets."""
    early = LogisticRegression().fit(*(values[:200] for values in sample.half(False)))
    starts = {"scratch": None, "warm start": early}
    histories = {label: [descent(sample, start, s) for s in range(_SEEDS)] for label, start in starts.items()}
    about = (
        "Logistic regressions by stochastic gradient descent, started from zero and from an earlier fit to "
        "200 jets."
    )
    losses = plotting.loss_curves(histories, baseline="scratch", source=sample.source)
    yield Example("loss_curves", about, losses)
    sizes = [n for n in (50, 100, 200, 500, 1000, 2000) if n <= np.sum(~sample.is_test)]
    curves = {label: (sizes, learning_curve(sample, sizes, label)) for label in _COLUMNS}
    scaling = plotting.scaling_curve(curves, y_label="AUC", source=sample.source)
    yield Example("scaling_curve", "AUC against the size of the training set.", scaling)


def descent(sample: Sample, start: LogisticRegression | None, seed: int) -> tuple[list[int], list[float]]:
    """Run ten epochs of stochastic gradient descent; return epochs and test losses."""
    (train, truth), (test, test_truth), rng = (
        sample.half(False),
        sample.half(True),
        np.random.default_rng(seed),
    )
    model = SGDClassifier(
        loss="log_loss", penalty=None, learning_rate="constant", eta0=0.002, random_state=seed
    )
    model.partial_fit(train[:1], truth[:1], classes=[0, 1])
    model.coef_[:], model.intercept_[:] = (start.coef_, start.intercept_) if start else (0.0, 0.0)
    losses = []
    for _ in range(10):
        rows = rng.permutation(len(train))
        model.partial_fit(train[rows], truth[rows])
        losses.append(float(log_loss(test_truth, model.predict_proba(test)[:, 1])))
    return list(range(1, 11)), losses


def learning_curve(sample: Sample, sizes: Sequence[int], label: str) -> list[list[float]]:
    """Return the AUC for each training size, from random subsets: one row per seed."""
    (train, truth), (test, test_truth), columns = sample.half(False), sample.half(True), _COLUMNS[label]
    areas = []
    for seed in range(_SEEDS):
        order = np.random.default_rng(seed).permutation(len(train))
        models = [LogisticRegression().fit(train[order[:n]][:, columns], truth[order[:n]]) for n in sizes]
        areas.append([roc(m.decision_function(test[:, columns]), test_truth).auc for m in models])
    return areas


def reweighting(sample: Sample) -> Iterator[Example]:
    """Split the jets in two with a known bias, and undo it."""
    target = biased_half(sample)
    weights = [likelihood_ratio(sample, target, seed) for seed in range(_SEEDS)]
    axis, mass, source = _AXES["mass"], sample.values["mass"], sample.source
    options = replace(COMPARISON, ratio_range=(0.0, 2.0))
    reweighted = plotting.reweighting_comparison(
        mass[target], mass[~target], axis, weights={"reweighted": weights}, options=options, source=source
    )
    about = (
        "Two halves of the sample, split with a bias in mass, multiplicity and z_g; a classifier undoes it."
    )
    yield Example("reweighting_comparison", about, reweighted)
    seen = mass * np.random.default_rng(3).normal(1, 0.1, len(mass))
    simulation = PairedSample(mass[~target], seen[~target])
    binned = bayesian_unfolding(simulation, seen[target], axis.edges).to_hist()
    results = {"truth": mass[target], "prior": mass[~target], "unfolded": mass[~target], "IBU": binned}
    options = replace(options, weights={"unfolded": weights})
    unfolded = plotting.unfolding_comparison(results, axis, options=options, source=source)
    about = "The same, beside iterative Bayesian unfolding (IBU) of masses smeared by 10 %."
    yield Example("unfolding_comparison", about, unfolded)


def omnifold_frames(n_events: int = 20_000) -> PaperFigure:
    """Return OmniFold's iterations side by side, on one number per event that a detector smears."""
    rng = np.random.default_rng(1)
    truth, hidden = rng.normal(90, 10, n_events), rng.normal(97, 8, n_events)
    simulation = PairedSample(truth, truth + rng.normal(0, 8, n_events))
    config = OmniFoldConfig(RatioConfig(network="logistic"), n_iterations=4)
    result = OmniFold(config).fit(simulation, hidden + rng.normal(0, 8, n_events))
    weights = [result.particle_weights(iteration=i) for i in range(4)]
    axis = HistogramAxis("A mass", np.linspace(50, 140, 31), "GeV")
    shown = {"truth": hidden, "simulation": truth}
    steps = {"before": (shown, COMPARISON)}
    for i in (1, 2, 4):
        options = replace(COMPARISON, weights={"OmniFold": weights[i - 1]})
        steps[f"iteration {i}"] = (shown | {"OmniFold": truth}, options)
    return unfolding_steps(steps, axis, "toys: Gaussian smearing")


def biased_half(sample: Sample) -> np.ndarray:
    """Choose jets with a probability that depends on mass, multiplicity and z_g."""
    mass, multiplicity, z_g = sample.features[:, 0], sample.features[:, 1], sample.features[:, 5]
    chance = 1 / (1 + np.exp(-(0.8 * mass - 0.4 * multiplicity + 0.5 * z_g)))
    return np.random.default_rng(11).random(len(mass)) < chance


def likelihood_ratio(sample: Sample, target: np.ndarray, seed: int) -> np.ndarray:
    """Return weights of the other half from a classifier trained on a bootstrap sample, of mean one."""
    rows = np.random.default_rng(seed).integers(0, len(target), len(target))
    model = LogisticRegression().fit(sample.features[rows], target[rows])
    ratio = np.exp(np.clip(model.decision_function(sample.features[~target]), -10, 10))
    return ratio / ratio.mean()


def tables(sample: Sample) -> Iterator[Example]:
    """Numbers side by side."""
    chosen = ("accuracy", "auc", "rejection_at_0.5")
    scores = {label: sample.scores(label) for label in _COLUMNS}
    runs = {
        label: [classification_metrics(*pair).to_dict() for pair in pairs] for label, pairs in scores.items()
    }
    own = {label: {m: spread_of([r[m] for r in rows]) for m in chosen} for label, rows in runs.items()}
    table = published_results("top_tagging").select(("PFN", "ParticleNet", "PET classifier", "OmniLearn"))
    compared = plotting.published_vs_ours(
        table.join(own), metrics=chosen, log_x=["rejection_at_0.5"], source=sample.source
    )
    yield Example("published_vs_ours", "Logistic regressions beside the papers' networks.", compared)
    curves = {label: [roc(*pair) for pair in pairs] for label, pairs in scores.items()}
    bars = {
        label: {f"{100 * t:.0f} %": [curve.rejection(t).value for curve in some] for t in (0.3, 0.5, 0.8)}
        for label, some in curves.items()
    }
    titles = {"y_label": r"Background rejection $1/\epsilon_B$", "x_label": r"Signal efficiency $\epsilon_S$"}
    figure = plotting.metric_bars(bars, **titles, source=sample.source)
    about = "Background rejection at three signal efficiencies, with the spread over seeds."
    yield Example("metric_bars", about, figure)


def spread_of(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation."""
    return float(np.mean(values)), float(np.std(values, ddof=1))


MAKERS: tuple[Callable[[Sample], Iterator[Example]], ...] = (
    *(jet_pictures, distributions, efficiencies, searches, score_figures, trainings, reweighting, tables),
)


def gallery_examples(n_jets: int, seed: int) -> tuple[str, list[Example]]:
    """Return a sentence about the data, and all figures of the gallery."""
    jets = load("top_tagging", "test", source="simulated", max_jets=n_jets, seed=seed)
    sample = Sample.of(jets, seed)
    about = (
        f"Every figure function of omnilearn_lab.plotting, on {jets.summary()}: Pythia 8.3 with a fast "
        f"detector simulation, pT 550 to 650 GeV. Classifiers are logistic regressions on jet observables; "
        f"their {_SEEDS} seeds are bootstrap samples of the training half."
    )
    return about, [example for maker in MAKERS for example in maker(sample)]


def build_gallery(folder: str | Path, *, n_jets: int = 4000, seed: int = 1) -> Path:
    """Draw every figure function and write the page ``index.html`` into a folder, which is made if needed."""
    folder = Path(folder)
    about, examples = gallery_examples(n_jets, seed)
    entries = [_entry(folder, example) for example in examples]
    plotting.save_figure(omnifold_frames(), folder / "frames_omnifold", formats=("png",), dpi=110)
    listed = [
        {"name": e.name, "function": e.function, "caption": e.caption, "alt": e.figure.alt_text}
        for e in examples
    ]
    write_text(folder / "gallery.json", json.dumps(listed, indent=1))
    page = folder / "index.html"
    page.write_text(_PAGE.substitute(about=html.escape(about), figures="\n".join(entries)), encoding="utf-8")
    return page


def _entry(folder: Path, example: Example) -> str:
    plotting.save_figure(example.figure, folder / example.name, dpi=130)
    plotting.export_figure_data(example.figure, folder / example.name)
    width, height = example.figure.get_size_inches()
    return _ENTRY.substitute(
        name=example.name,
        function=example.function,
        width="wide" if width / height > 1.8 or width > 9 else "",
        alt=html.escape(example.figure.alt_text),
        caption=html.escape(example.caption),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line: ``python docs/gallery.py [folder] [--jets N]``."""
    parser = argparse.ArgumentParser(description="Build the page with every figure function.")
    parser.add_argument("folder", nargs="?", default="results/gallery")
    parser.add_argument("--jets", type=int, default=4000, help="top-tagging jets to simulate")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    page = build_gallery(options.folder, n_jets=options.jets, seed=options.seed)
    _LOG.info("gallery written to %s", page)


if __name__ == "__main__":
    main()
