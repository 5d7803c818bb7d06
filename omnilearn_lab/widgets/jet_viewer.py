"""Browse jets one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnilearn_lab.display import html_table
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables import OBSERVABLES, observables
from omnilearn_lab.plotting import PaperFigure, jet_display
from omnilearn_lab.widgets.controls import button, dropdown, slider
from omnilearn_lab.widgets.view import FigureView

__all__ = ["JetViewer"]

_NAMES = ("mass", "multiplicity", "width", "ln_rho", "tau_21", "z_g")


class JetViewer(FigureView):
    """Look at jets one after the other: particles in the eta-phi plane, observables, label and score.

    Parameters
    ----------
    jets : Jets
        At least one.
    probabilities : array, shape (N, C), optional
        A classifier's class probabilities. With labels they give the button "next misclassified".
    jet_radius
        Of the jet algorithm, for the circle and the observables.

    Raises
    ------
    ConfigError
        For no jets, or probabilities of another number of jets.

    Examples
    --------
    >>> jet = {"pt": [600.0], "eta": [0.0], "phi": [0.0], "mass": [80.0]}
    >>> cloud = {"deta": [0.1, -0.2], "dphi": [0.0, 0.1], "pt": [400.0, 200.0], "energy": [400.0, 210.0]}
    >>> view = JetViewer(Jets.build(cloud, [0, 2], jet))
    >>> "<td>multiplicity</td><td>2</td>" in view.details()
    True
    """

    def __init__(self, jets: Jets, *, probabilities: Any = None, jet_radius: float = 0.8) -> None:
        if len(jets) == 0:
            raise ConfigError("there are no jets to look at")
        self.jets, self.jet_radius = jets, jet_radius
        self.probabilities = None if probabilities is None else np.asarray(probabilities)
        if self.probabilities is not None and self.probabilities.shape[:1] != (len(jets),):
            raise ConfigError(f"{len(jets)} jets, but probabilities of shape {self.probabilities.shape}")
        next_jet, next_wrong = (
            button("next", "the next jet"),
            button("next misclassified", "the next jet that the classifier gets wrong"),
        )
        next_jet.on_click(lambda _: self.step(self._in_class()))
        next_wrong.on_click(lambda _: self.step(self.misclassified()))
        next_wrong.disabled = not len(self.misclassified())
        names = [(name, i) for i, name in enumerate(jets.class_names)] if "label" in jets.jet else []
        super().__init__(
            {
                "index": slider("jet", 0, (0, len(jets) - 1, 1), "number of the jet in the sample"),
                "class": dropdown("class", [("all", -1), *names], "which jets 'next' stops at"),
                "next": next_jet,
                "misclassified": next_wrong,
            }
        )

    def misclassified(self) -> np.ndarray:
        """Return the numbers of the jets whose most probable class is not their own."""
        if self.probabilities is None or "label" not in self.jets.jet:
            return np.array([], dtype=int)
        return np.flatnonzero(self.probabilities.argmax(axis=1) != self.jets.label)

    def step(self, candidates: np.ndarray) -> None:
        """Go to the first candidate after the present jet, or around to the first of all."""
        later = candidates[candidates > self.value("index")]
        if len(candidates):
            self.set(index=int(later[0] if len(later) else candidates[0]))

    def figure(self) -> PaperFigure:
        """Return the display of the present jet."""
        return jet_display(self.jets, self.value("index"), radius=self.jet_radius)

    def details(self) -> str:
        """Return the present jet's observables, label and probabilities as a table."""
        index = self.value("index")
        jet = self.jets[index : index + 1]
        values = observables(jet, _NAMES, jet_radius=self.jet_radius)
        rows = [(name, f"{values[name][0]:.4g} {OBSERVABLES[name].unit or ''}".strip()) for name in _NAMES]
        rows += self._classes(index)
        return html_table(rows, head=False)

    def _classes(self, index: int) -> list[tuple[str, str]]:
        names, rows = self.jets.class_names, []
        if names and "label" in self.jets.jet:
            rows.append(("true class", names[int(self.jets.label[index])]))
        if self.probabilities is not None:
            order = np.argsort(-self.probabilities[index])[:3]
            shown = ", ".join(f"{names[i] if names else i} {self.probabilities[index, i]:.3f}" for i in order)
            rows.append(("most probable", shown))
        return rows

    def _in_class(self) -> np.ndarray:
        wanted = self.controls["class"].value
        return np.flatnonzero((self.jets.label == wanted) if wanted >= 0 else np.full(len(self.jets), True))
