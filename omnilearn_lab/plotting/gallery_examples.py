"""What the gallery shows: small real analyses of simulated top and QCD jets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import classification_metrics, roc
from omnilearn_lab.metrics import confusion_matrix as count_confusions
from omnilearn_lab.plotting.classification import rejection_vs_efficiency, roc_curves, sic_curves
from omnilearn_lab.plotting.diffusion import diffusion_trajectory
from omnilearn_lab.plotting.distributions import HistogramOptions, observable_distributions, observable_grid
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.plotting.gallery_models import (
    Regression,
    diffused,
    loss_histories,
    smear,
    unfold_iteratively,
)
from omnilearn_lab.plotting.gallery_searches import fit_sidebands, injection_curve
from omnilearn_lab.plotting.histograms import HistogramAxis
from omnilearn_lab.plotting.jets import jet_display, jet_image_average
from omnilearn_lab.plotting.scores import calibration, confusion_matrix, score_histograms
from omnilearn_lab.plotting.searches import mass_spectrum, sic_against_injection
from omnilearn_lab.plotting.style import source_label
from omnilearn_lab.plotting.tables import metric_bars, published_vs_ours
from omnilearn_lab.plotting.training import loss_curves, scaling_curve
from omnilearn_lab.plotting.unfolding import COMPARISON, reweighting_comparison, unfolding_comparison
from omnilearn_lab.plotting.working_point import working_point_figure
from omnilearn_lab.published import published_results

__all__ = [
    "Example",
    "GallerySample",
    "gallery_examples",
    "prepare_sample",
]

_SEEDS = 5
_NAMES = ("mass", "multiplicity", "width", "ln_rho", "tau_21", "z_g")
_AXES = {
    "mass": HistogramAxis("Jet mass", np.linspace(0, 280, 36), "GeV"),
    "multiplicity": HistogramAxis("Multiplicity", np.arange(-0.5, 141, 4)),
    "ln_rho": HistogramAxis(r"$\ln\rho$", np.linspace(-10, -1, 31)),
}


class Example(NamedTuple):
    """One figure of the gallery."""

    name: str
    function: str
    caption: str
    figure: PaperFigure


@dataclass(frozen=True, eq=False)
class GallerySample:
    """Jets with their observables, halves for training and testing, and classifiers trained on one half.

    Parameters
    ----------
    jets : Jets
    values : mapping of observable to array, shape (N,)
    features : array, shape (N, 6)
        Standardised observables.
    is_test : bool array, shape (N,)
    models : mapping of label to one regression per seed
    source
        Label of the data.
    """

    jets: Jets
    values: Mapping[str, np.ndarray]
    features: np.ndarray
    is_test: np.ndarray
    models: Mapping[str, list[Regression]]
    source: str | None

    def scores(self, label: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (scores, labels) of the test half for every seed."""
        truth = self.jets.label[self.is_test]
        return [(model.predict(self.features[self.is_test]), truth) for model in self.models[label]]

    def of_class(self, label: int, name: str = "mass") -> np.ndarray:
        """Return an observable of the jets of one class."""
        return self.values[name][self.jets.label == label]


def prepare_sample(jets: Jets, seed: int) -> GallerySample:
    """Compute observables and train the gallery's classifiers, one per bootstrap sample."""
    from omnilearn_lab.observables import observables

    values = observables(jets, _NAMES, jet_radius=jets.provenance.get("jet_radius", 0.8))
    table = np.stack([np.nan_to_num(values[name], neginf=-14) for name in _NAMES], axis=1)
    features = (table - table.mean(axis=0)) / table.std(axis=0)
    rng = np.random.default_rng(seed)
    is_test = rng.permutation(len(jets)) % 2 == 1
    train, truth = features[~is_test], jets.label[~is_test]
    models: dict[str, list[Regression]] = {"mass + width": [], "six observables": []}
    for _ in range(_SEEDS):
        rows = rng.integers(0, len(train), len(train))
        models["mass + width"].append(Regression.fit(train[rows], truth[rows], columns=(0, 2)))
        models["six observables"].append(Regression.fit(train[rows], truth[rows]))
    return GallerySample(jets, values, features, is_test, models, source_label(jets.provenance))


def gallery_examples(n_jets: int, seed: int) -> tuple[str, list[Example]]:
    """Return a sentence about the data, and all figures of the gallery."""
    from omnilearn_lab.catalog import load

    jets = load("top_tagging", "test", source="simulated", max_jets=n_jets, seed=seed)
    sample = prepare_sample(jets, seed)
    about = (
        f"Every figure function of omnilearn_lab.plotting, on {jets.summary()}: Pythia 8.3 with a fast "
        f"detector simulation, pT 550 to 650 GeV. Classifiers are logistic regressions on jet observables; "
        f"their {_SEEDS} seeds are bootstrap samples of the training half."
    )
    makers: tuple[Callable[[GallerySample], list[Example]], ...] = (
        _jet_pictures,
        _distributions,
        _efficiencies,
        _searches,
        _score_figures,
        _trainings,
        _reweighting,
        _tables,
    )
    return about, [example for maker in makers for example in maker(sample)]


def _jet_pictures(sample: GallerySample) -> list[Example]:
    jets, labels = sample.jets, sample.jets.label
    first = {name: int(np.argmax(labels == i)) for i, name in enumerate(jets.class_names)}
    displays = [
        Example(
            f"jet_display_{name}",
            "jet_display",
            f"One {name} jet; area proportional to pT.",
            jet_display(jets, i),
        )
        for name, i in first.items()
    ]
    batches = {name: jets[labels == i] for i, name in enumerate(jets.class_names)}
    images = jet_image_average(batches, source=sample.source)
    times, steps = diffused(jets[[first["top"]]], n_steps=41, seed=7)
    trajectory = diffusion_trajectory(times, steps, source=sample.source)
    return [
        *displays,
        Example("jet_image_average", "jet_image_average", "Where the transverse momentum goes.", images),
        Example(
            "diffusion_trajectory",
            "diffusion_trajectory",
            "A simulated jet under the forward diffusion, shown from noise to jet.",
            trajectory,
        ),
    ]


def _distributions(sample: GallerySample) -> list[Example]:
    names = sample.jets.class_names
    masses = {name: sample.of_class(i) for i, name in enumerate(names)}
    options = HistogramOptions(ratio_range=(0.0, 4.0))
    one = observable_distributions(
        masses, _AXES["mass"], ratio_to="QCD", options=options, source=sample.source
    )
    six = {name: {k: sample.of_class(i, k) for k in _NAMES} for i, name in enumerate(names)}
    grid = observable_grid(six, axes=_AXES, ratio_to="QCD", options=options, source=sample.source)
    return [
        Example("observable_distributions", "observable_distributions", "Jet mass with ratio panel.", one),
        Example("observable_grid", "observable_grid", "The six observables of the papers.", grid),
    ]


def _efficiencies(sample: GallerySample) -> list[Example]:
    scores = {label: sample.scores(label) for label in sample.models}
    paper = published_results("top_tagging").select(("PET classifier", "OmniLearn"))
    caption = "Bands are the spread over seeds; lines start where 10 background jets pass."
    rejection = rejection_vs_efficiency(scores, published=paper, source=sample.source)
    return [
        Example("roc_curves", "roc_curves", "AUC with its spread.", roc_curves(scores, source=sample.source)),
        Example("rejection_vs_efficiency", "rejection_vs_efficiency", caption, rejection),
        Example("sic_curves", "sic_curves", caption, sic_curves(scores, source=sample.source)),
    ]


def _searches(sample: GallerySample) -> list[Example]:
    edges, region = np.linspace(100, 260, 17), (150.0, 200.0)
    tops, everything = sample.of_class(1), sample.values["mass"]
    few = np.append(sample.of_class(0), tops[: len(tops) // 20])
    hunts = {"5% of the tops": few, "all tops": everything}
    fits = {label: fit_sidebands(masses, edges, region) for label, masses in hunts.items()}
    spectrum = mass_spectrum(fits, x_label="Jet mass [GeV]", source=sample.source)
    n_signal = int(np.sum(sample.jets.label == 1))
    injections = (0, n_signal // 20, n_signal // 5)
    values = injection_curve(sample.features, sample.jets.label, injections, n_seeds=_SEEDS)
    scan = sic_against_injection({"logistic regression": (injections, values)}, source=sample.source)
    scores, truth = sample.scores("six observables")[0]
    point = working_point_figure(scores, truth, 0.5, names=("QCD", "top"), source=sample.source)
    return [
        Example("mass_spectrum", "mass_spectrum", "An exponential fitted to the sidebands.", spectrum),
        Example("sic_against_injection", "sic_against_injection", "Weak supervision without labels.", scan),
        Example("working_point_figure", "working_point_figure", "One cut on the score.", point),
    ]


def _score_figures(sample: GallerySample) -> list[Example]:
    scores, truth = sample.scores("six observables")[0]
    names = sample.jets.class_names
    by_class = {name: scores[truth == i] for i, name in enumerate(names)}
    matrix = count_confusions(scores, truth, class_names=names)
    honest = {label: sample.scores(label)[0] for label in sample.models}
    source = sample.source
    return [
        Example(
            "score_histograms",
            "score_histograms",
            "Score by true class.",
            score_histograms(by_class, source=source),
        ),
        Example(
            "confusion_matrix",
            "confusion_matrix",
            "Rows add up to one.",
            confusion_matrix(matrix, source=source),
        ),
        Example("calibration", "calibration", "With binomial errors.", calibration(honest, source=source)),
    ]


def _trainings(sample: GallerySample) -> list[Example]:
    train, truth = sample.features[~sample.is_test], sample.jets.label[~sample.is_test]
    test, test_truth = sample.features[sample.is_test], sample.jets.label[sample.is_test]
    histories = loss_histories((train, truth), (test, test_truth), n_seeds=_SEEDS)
    losses = loss_curves(histories, baseline="scratch", source=sample.source)
    sizes = [n for n in (50, 100, 200, 500, 1000, 2000) if n <= len(train)]
    columns = {"mass + width": (0, 2), "six observables": tuple(range(6))}
    curves = {label: (sizes, _learning_curve(sample, sizes, which)) for label, which in columns.items()}
    scaling = scaling_curve(curves, y_label="AUC", source=sample.source)
    return [
        Example(
            "loss_curves",
            "loss_curves",
            "Logistic regressions by stochastic gradient descent, started from zero "
            "and from the weights of an earlier fit to a tenth of the jets.",
            losses,
        ),
        Example("scaling_curve", "scaling_curve", "AUC against the size of the training set.", scaling),
    ]


def _learning_curve(sample: GallerySample, sizes: list[int], columns: tuple[int, ...]) -> list[list[float]]:
    """Return the AUC for each training size, from random subsets: one row per seed."""
    pool, is_test, truth = np.flatnonzero(~sample.is_test), sample.is_test, sample.jets.label
    areas = []
    for seed in range(_SEEDS):
        rows = np.random.default_rng(seed).permutation(pool)
        models = [Regression.fit(sample.features[rows[:n]], truth[rows[:n]], columns=columns) for n in sizes]
        areas.append([roc(m.predict(sample.features[is_test]), truth[is_test]).auc for m in models])
    return areas


def _reweighting(sample: GallerySample) -> list[Example]:
    """Split the jets in two with a known bias, and undo it."""
    target = _biased_half(sample)
    weights = [_ratio(sample, target, seed) for seed in range(_SEEDS)]
    axis, mass, source = _AXES["mass"], sample.values["mass"], sample.source
    options = replace(COMPARISON, ratio_range=(0.0, 2.0))
    reweighted = reweighting_comparison(
        mass[target], mass[~target], axis, weights={"reweighted": weights}, options=options, source=source
    )
    binned = unfold_iteratively((mass[~target], smear(mass[~target], 3)), smear(mass[target], 4), axis.edges)
    results = {"truth": mass[target], "prior": mass[~target], "unfolded": mass[~target], "IBU": binned}
    options = replace(options, weights={"unfolded": weights})
    unfolded = unfolding_comparison(results, axis, options=options, source=source)
    caption = (
        "Two halves of the sample, split with a bias in mass, multiplicity and z_g; a classifier undoes it."
    )
    about_ibu = "The same, beside iterative Bayesian unfolding (IBU) of masses smeared by 10 %."
    return [
        Example("reweighting_comparison", "reweighting_comparison", caption, reweighted),
        Example("unfolding_comparison", "unfolding_comparison", about_ibu, unfolded),
    ]


def _biased_half(sample: GallerySample) -> np.ndarray:
    mass, multiplicity, z_g = sample.features[:, 0], sample.features[:, 1], sample.features[:, 5]
    chance = 1 / (1 + np.exp(-(0.8 * mass - 0.4 * multiplicity + 0.5 * z_g)))
    return np.random.default_rng(11).random(len(mass)) < chance


def _ratio(sample: GallerySample, target: np.ndarray, seed: int) -> np.ndarray:
    """Return weights of the other half from a classifier trained on a bootstrap sample."""
    rows = np.random.default_rng(seed).integers(0, len(target), len(target))
    model = Regression.fit(sample.features[rows], target[rows].astype(int))
    return model.likelihood_ratio(sample.features[~target])


def _tables(sample: GallerySample) -> list[Example]:
    metrics = {
        label: [classification_metrics(*pair) for pair in sample.scores(label)] for label in sample.models
    }
    own = {
        label: {m: [r.to_dict()[m] for r in results] for m in ("accuracy", "auc", "rejection_at_0.5")}
        for label, results in metrics.items()
    }
    spreads = {
        k: {m: (float(np.mean(v)), float(np.std(v, ddof=1))) for m, v in row.items()}
        for k, row in own.items()
    }
    table = (
        published_results("top_tagging")
        .select(("PFN", "ParticleNet", "PET classifier", "OmniLearn"))
        .join(spreads)
    )
    chosen = ("accuracy", "auc", "rejection_at_0.5")
    compared = published_vs_ours(table, metrics=chosen, log_x=["rejection_at_0.5"], source=sample.source)
    efficiencies = (0.3, 0.5, 0.8)
    rejections = {
        label: {
            f"{100 * t:.0f} %": [roc(*pair).rejection(t).value for pair in sample.scores(label)]
            for t in efficiencies
        }
        for label in sample.models
    }
    title = r"Background rejection $1/\epsilon_B$"
    bars = metric_bars(
        rejections, y_label=title, x_label=r"Signal efficiency $\epsilon_S$", source=sample.source
    )
    about_bars = "Background rejection at three signal efficiencies, with the spread over seeds."
    about_table = "Logistic regressions beside the papers' networks."
    return [
        Example("published_vs_ours", "published_vs_ours", about_table, compared),
        Example("metric_bars", "metric_bars", about_bars, bars),
    ]
