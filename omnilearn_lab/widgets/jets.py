"""Browse jets one by one, and play them from noise to particles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from omnilearn_lab.display import html_table, label
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables import OBSERVABLES, observables
from omnilearn_lab.plotting import diffusion_trajectory, jet_display
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.plotting.jets import move_trajectory
from omnilearn_lab.widgets.view import FigureView, PlayedView, button, dropdown, slider

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
    >>> "<td>N</td><td>2</td>" in view.details()
    True
    """

    def __init__(self, jets: Jets, *, probabilities: Any = None, jet_radius: float = 0.8) -> None:
        if len(jets) == 0:
            raise ConfigError("there are no jets to look at")
        self.jets, self.jet_radius = jets, jet_radius
        self.probabilities = None if probabilities is None else np.asarray(probabilities)
        if self.probabilities is not None and self.probabilities.shape[:1] != (len(jets),):
            raise ConfigError(f"{len(jets)} jets, but probabilities of shape {self.probabilities.shape}")
        next_jet = button("next", "the next jet")
        next_wrong = button("next misclassified", "the next jet that the classifier gets wrong")
        next_jet.on_click(lambda _: self.step(self._in_class()))
        next_wrong.on_click(lambda _: self.step(self.misclassified()))
        next_wrong.disabled = not len(self.misclassified())
        names = [(name, i) for i, name in enumerate(jets.class_names)] if "label" in jets.jet else []
        super().__init__(
            index=slider("jet", 0, (0, len(jets) - 1, 1), "number of the jet in the sample"),
            **{"class": dropdown("class", [("all", -1), *names], "which jets 'next' stops at")},
            next=next_jet,
            misclassified=next_wrong,
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
        rows = [(label(k), f"{values[k][0]:.4g} {OBSERVABLES[k].unit or ''}".strip()) for k in _NAMES]
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


_MILLISECONDS, _FRAMES = 250, 5


class DiffusionPlayer(PlayedView):
    """Watch jets form: play, or move the slider (arrow keys work too) from noise to particles.

    Without a kernel a few frames stand side by side.

    Parameters
    ----------
    times : sequence of float, shape (S,)
        Diffusion time of each step, usually from 1 to 0.
    particles : mapping of name to array, shape (S, N, 2) or (S, N, 3)
        deta, dphi and, if given, pt [GeV] at each step, one entry per jet;
        `omnilearn_lab.tasks.Trajectory.particles` gives them.
    radius
        Of the jet algorithm, for the circle.
    source
        What the data are.

    Raises
    ------
    ConfigError
        For no jets.
    FigureError
        For shapes that do not fit, or values that are not finite.

    Examples
    --------
    >>> path = np.random.default_rng(0).normal(size=(3, 20, 3))
    >>> player = DiffusionPlayer([1.0, 0.5, 0.0], {"gluon": path})
    >>> player.set(step=2)
    >>> player.summary
    'gluon: 20 particles at t = 0, step 2 of 2.'
    """

    moved_by = ("step",)

    def __init__(
        self,
        times: Sequence[float],
        particles: Mapping[str, Any],
        *,
        radius: float = 0.4,
        source: str | None = None,
    ) -> None:
        if not particles:
            raise ConfigError("there is no jet to play; give at least one trajectory")
        self.times = np.asarray(times, dtype=float)
        self.particles = {name: np.asarray(steps, dtype=float) for name, steps in particles.items()}
        self.radius, self.source = radius, source
        for steps in self.particles.values():
            diffusion_trajectory(self.times, steps, n_panels=1)  # names what does not fit
        step = slider("step", 0, (0, len(self.times) - 1, 1), "from noise (left) to particles (right)")
        jet = dropdown("jet", list(self.particles), "which jet to play")
        about = "watch the jet form; stop goes back to noise"
        super().__init__("step", _MILLISECONDS, about, jet=jet, step=step)

    def figure(self) -> PaperFigure:
        """Return the present step of the present jet."""
        name, step = self.value("jet"), self.value("step")
        now = slice(step, step + 1)
        path = self.particles[name]
        reach = 1.05 * max(float(np.abs(path[..., :2]).max()), self.radius)
        frame = diffusion_trajectory(self.times[now], path[now], reach=reach, **self._look())
        frame.alt_text = self._about()
        return frame

    def move(self, figure: PaperFigure) -> None:
        """Show the present step."""
        step = self.value("step")
        move_trajectory(figure, self.times[step], self.particles[self.value("jet")][step])
        figure.alt_text = self._about()

    def _about(self) -> str:
        name, step = self.value("jet"), self.value("step")
        time, n = f"t = {self.times[step]:.2g}", self.particles[name].shape[1]
        return f"{name}: {n} particles at {time}, step {step} of {len(self.times) - 1}."

    def frames(self) -> PaperFigure:
        """Return a few steps of the present jet side by side."""
        return diffusion_trajectory(
            self.times, self.particles[self.value("jet")], n_panels=_FRAMES, **self._look()
        )

    def _look(self) -> dict[str, Any]:
        return {"radius": self.radius, "source": self.source}
