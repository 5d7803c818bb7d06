"""Play jets from noise to particles."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.plotting import PaperFigure, diffusion_trajectory
from omnilearn_lab.widgets.controls import dropdown, slider
from omnilearn_lab.widgets.view import FigureView

__all__ = ["DiffusionPlayer"]

_MILLISECONDS, _FRAMES = 250, 5


class DiffusionPlayer(FigureView):
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
        last = len(self.times) - 1
        self.play = ipywidgets.Play(value=0, max=last, interval=_MILLISECONDS, description="play")
        self.play.tooltip = "watch the jet form; stop goes back to noise"
        step = slider("step", 0, (0, last, 1), "from noise (left) to particles (right)")
        super().__init__({"jet": dropdown("jet", list(self.particles), "which jet to play"), "step": step})
        self.link = ipywidgets.jslink((self.play, "value"), (step, "value"))
        bar = self.widget.children[0]
        bar.children = (self.play, *bar.children)

    def figure(self) -> PaperFigure:
        """Return the present step of the present jet."""
        name, step = self.value("jet"), self.value("step")
        now = slice(step, step + 1)
        path = self.particles[name]
        frame = diffusion_trajectory(self.times[now], path[now], reach=self._reach(path), **self._look())
        time = f"t = {self.times[step]:.2g}"
        frame.alt_text = f"{name}: {path.shape[1]} particles at {time}, step {step} of {len(self.times) - 1}."
        return frame

    def frames(self) -> PaperFigure:
        """Return a few steps of the present jet side by side."""
        return diffusion_trajectory(
            self.times, self.particles[self.value("jet")], n_panels=_FRAMES, **self._look()
        )

    def _look(self) -> dict[str, Any]:
        return {"radius": self.radius, "source": self.source}

    def _reach(self, path: np.ndarray) -> float:
        return 1.05 * max(float(np.abs(path[..., :2]).max()), self.radius)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Offer the live widget and, for readers without a kernel, a few frames."""
        bundle = super()._repr_mimebundle_(include, exclude)
        frames = self.frames()
        picture = base64.b64encode(frames.to_png()).decode()
        return {**bundle, "image/png": picture, "text/plain": frames.alt_text}
