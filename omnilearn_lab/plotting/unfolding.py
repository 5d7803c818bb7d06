"""Reweighting and unfolding against the truth, with the triangular discriminator in the legend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting.distributions import HistogramOptions, observable_distributions
from omnilearn_lab.plotting.histograms import HistogramAxis
from omnilearn_lab.plotting.style import in_house_style

__all__ = [
    "COMPARISON",
    "observable_axes",
    "reweighting_comparison",
    "unfolding_comparison",
]

COMPARISON = HistogramOptions(ratio_range=(0.7, 1.3), reference_points=True, discriminator=True)
"""Options of a comparison with a reference; pass them to `omnilearn_lab.plotting.observable_grid`
for several observables at once."""


def observable_axes(edges: Mapping[str, Any]) -> dict[str, HistogramAxis]:
    """Return the axes of observables in bins of your own; names that are not known serve as titles.

    Parameters
    ----------
    edges : mapping of observable to array, shape (K + 1,)

    Examples
    --------
    >>> [axis.title for axis in observable_axes({"mass": [0, 10, 75], "my number": [0, 1]}).values()]
    ['$m$ [GeV]', 'my number']
    """
    from omnilearn_lab.observables import OBSERVABLES

    known = {name: (item.label, item.unit) for name, item in OBSERVABLES.items()}
    axes = {}
    for name, bins in edges.items():
        label, unit = known.get(name, (name, ""))
        axes[name] = HistogramAxis(label, bins, unit)
    return axes


@in_house_style
def unfolding_comparison(
    results: Mapping[str, Any],
    observable: Any,
    *,
    reference: str = "truth",
    options: HistogramOptions = COMPARISON,
    source: str | None = None,
    ax: Any = None,
) -> Figure:
    r"""Truth as points; prior, unfolded result and other methods as lines, with their ratio to the truth.

    The legend gives the triangular discriminator
    :math:`10^3\Delta = \frac{10^3}{2}\sum_k (a_k - b_k)^2/(a_k + b_k)` of bin fractions inside
    the range, and the value that two samples of this size would show if they came from the same
    distribution (the floor).

    Parameters
    ----------
    results : mapping of label to values, shape (N,), or to a histogram
        Such as ``{"truth": ..., "prior": ..., "unfolded": ..., "IBU": ...}``. Binned results
        (iterative Bayesian unfolding) are given as ``hist.Hist``.
    observable
        As in `omnilearn_lab.plotting.observable_distributions`.
    reference
        Label of the truth.
    options
        ``options.weights`` holds the weights of each label, shape (N,) or, with a repeated
        unfolding, (S, N). Change them with ``dataclasses.replace(COMPARISON, weights=...)``.
    source, ax
        As in `omnilearn_lab.plotting.observable_distributions`.

    Returns
    -------
    Figure
        One table per label; its description holds the discriminator.

    Raises
    ------
    FigureError
        For an unknown reference and as in `omnilearn_lab.plotting.observable_distributions`.

    References
    ----------
    OmniFold, arXiv:1911.09107, eq. 5; OmniLearn, arXiv:2404.16091, Table VIII.

    Examples
    --------
    >>> import numpy as np
    >>> from omnilearn_lab.plotting import HistogramAxis
    >>> mass, rng = HistogramAxis("Jet mass", np.linspace(0, 75, 11), "GeV"), np.random.default_rng(0)
    >>> samples = {"truth": rng.gamma(4, 5, 500), "prior": rng.gamma(4, 6, 500)}
    >>> unfolding_comparison(samples, mass).figure_data.names
    ('truth', 'prior')
    """
    return observable_distributions(
        results, observable, ratio_to=reference, options=options, source=source, ax=ax
    )


@in_house_style
def reweighting_comparison(
    target: Any,
    nominal: Any,
    observable: Any,
    *,
    weights: Mapping[str, Any],
    options: HistogramOptions = COMPARISON,
    source: str | None = None,
) -> Figure:
    """Target as points, the nominal sample before and after reweighting as lines.

    Parameters
    ----------
    target, nominal : array, shape (N,) and (M,)
        Values of the observable.
    observable
        As in `omnilearn_lab.plotting.observable_distributions`.
    weights : mapping of label to array, shape (M,) or (S, M)
        Weights of the nominal sample from one or several methods.
    options
        Looks; ``options.weights`` may give event weights for ``"target"`` and ``"nominal"``.
    source
        As in `omnilearn_lab.plotting.observable_distributions`.

    Returns
    -------
    Figure
        As `unfolding_comparison`, with labels ``target``, ``nominal`` and those of ``weights``.

    Raises
    ------
    FigureError
        For no weights, and as in `unfolding_comparison`.

    Examples
    --------
    >>> import numpy as np
    >>> from omnilearn_lab.plotting import HistogramAxis
    >>> width = HistogramAxis("Width", [0.0, 0.5, 1.0])
    >>> figure = reweighting_comparison(
    ...     [0.2, 0.3, 0.7], [0.2, 0.7], width, weights={"fine-tuned": [2.0, 1.0]})
    >>> figure.figure_data["fine-tuned"].dependent[0].values.round(3)
    array([1.333, 0.667])
    """
    if not weights:
        raise FigureError("weights is empty; give the weights of at least one reweighting")
    samples = {"target": target, "nominal": nominal} | dict.fromkeys(weights, nominal)
    options = replace(options, weights={**options.weights, **weights})
    return unfolding_comparison(samples, observable, reference="target", options=options, source=source)
