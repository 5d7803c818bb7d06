"""One page for a talk: what was trained, how well it tags, what it gets wrong, and how it sees the jets."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ipywidgets
import numpy as np

from omnilearn_lab.display import label
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import pair_score
from omnilearn_lab.plotting import embedding_map, loss_curves, roc_curves, source_label
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.plotting.scores import move_mark
from omnilearn_lab.plotting.style import in_house_style
from omnilearn_lab.tasks.common import Comparison
from omnilearn_lab.training import History
from omnilearn_lab.widgets.jets import JetViewer
from omnilearn_lab.widgets.training import is_validated
from omnilearn_lab.widgets.view import FigureView, as_text, dropdown

_CHOICES = {
    "task": "which jets to tell apart",
    "checkpoint": "whose weights fine-tuning starts from",
    "arm": "how the network was trained",
    "seed": "which training",
}


class Fitted(Protocol):
    """What the explorer asks of a classifier; `omnilearn_lab.PETClassifier` is one."""

    history_: History

    def predict_proba(self, jets: Jets) -> np.ndarray:
        """Return class probabilities, shape (N, C)."""

    def transform(self, jets: Jets) -> np.ndarray:
        """Return the embedding of each jet, shape (N, d)."""


@dataclass(frozen=True, eq=False)
class Explored:
    """What `Explorer` shows of one task and one checkpoint.

    Parameters
    ----------
    jets : Jets
        N test jets with labels.
    probabilities : mapping of arm to sequence of array, shape (N, C)
        Class probabilities, one array per seed.
    histories : mapping of arm to sequence of History
        One per seed.
    embeddings : mapping of arm to sequence of array, shape (N, d)
        One per seed.

    Raises
    ------
    ConfigError
        Without jets, labels or arms, or when the numbers of seeds or jets differ.
    """

    jets: Jets
    probabilities: Mapping[str, Sequence[np.ndarray]]
    histories: Mapping[str, Sequence[History]]
    embeddings: Mapping[str, Sequence[np.ndarray]]

    def __post_init__(self) -> None:
        if not len(self.jets) or "label" not in self.jets.jet or not self.probabilities:
            raise ConfigError("the explorer needs labelled jets and at least one way of training")
        for arm, runs in self.probabilities.items():
            others = (self.histories.get(arm, ()), self.embeddings.get(arm, ()))
            if not len(runs) or any(len(other) != len(runs) for other in others):
                raise ConfigError(f"'{arm}' needs a history and an embedding for each of {len(runs)} seeds")
            for rows in (*runs, *others[1]):
                if len(rows) != len(self.jets):
                    raise ConfigError(f"'{arm}' has {len(rows)} rows for {len(self.jets)} jets")

    @classmethod
    def of(cls, jets: Jets, arms: Mapping[str, Iterable[Fitted]]) -> Explored:
        """Ask fitted classifiers about test jets.

        Parameters
        ----------
        jets : Jets
        arms : mapping of arm to classifiers
            Such as ``{"scratch": [...], "fine-tuned": [...]}``, one classifier per seed.
        """
        runs = {arm: list(some) for arm, some in arms.items()}
        return cls(
            jets,
            {arm: [one.predict_proba(jets) for one in some] for arm, some in runs.items()},
            {arm: [one.history_ for one in some] for arm, some in runs.items()},
            {arm: [one.transform(jets) for one in some] for arm, some in runs.items()},
        )

    @classmethod
    def of_comparison(cls, comparison: Comparison[Any], jets: Jets, embedding: np.ndarray) -> Explored:
        """Take what a comparison of classifiers found on its first N test jets.

        Parameters
        ----------
        comparison : Comparison
            Its results hold the class probabilities of the test jets, and histories where they were trained.
        jets : Jets
            The first N test jets.
        embedding : array, shape (N, d)
            One map for all arms, such as that of the pretrained body: `omnilearn_lab.tasks.common.embed`.
        """
        runs = comparison.results
        return cls(
            jets,
            {arm: [one.probabilities[: len(jets)] for one in some] for arm, some in runs.items()},
            {arm: [one.history or History() for one in some] for arm, some in runs.items()},
            {arm: [embedding] * len(some) for arm, some in runs.items()},
        )


class Explorer(FigureView):
    """Choose task, checkpoint, arm and seed: losses, ROC curves, and a map of jets as the network sees them.

    The map shows the two principal axes of the network's embedding, coloured by class, with crosses on the
    jets that are misclassified. A click on it, or the controls below, choose the jet that is shown.

    Parameters
    ----------
    tasks : mapping of task to mapping of checkpoint to Explored
    signal, background
        Classes of the ROC curves, by number.

    Raises
    ------
    ConfigError
        When there is nothing to explore.
    """

    def __init__(
        self, tasks: Mapping[str, Mapping[str, Explored]], *, signal: int = 1, background: int = 0
    ) -> None:
        if not tasks or not all(tasks.values()):
            raise ConfigError("there is nothing to explore: give {task: {checkpoint: Explored}}")
        self.tasks = {task: dict(checkpoints) for task, checkpoints in tasks.items()}
        self.classes = signal, background
        self._jets: dict[tuple[Any, ...], tuple[np.ndarray, JetViewer]] = {}
        self._place, self._is_offering = ipywidgets.VBox(), False
        self._position = ipywidgets.Text(layout={"display": "none"}, description="click", tooltip="on map")
        self._position.add_class("omnilearn-clicked")
        self.controls = {name: dropdown(name, [], about) for name, about in _CHOICES.items()}
        _offer(self.controls["task"], self.tasks)
        self._offer()
        for name in ("task", "checkpoint"):
            self.controls[name].observe(self._offer, names="value")
        super().__init__(**self.controls)
        self._position.observe(self._clicked, names="value")
        *parts, style = self.widget.children
        self.widget.children = (*parts, self._place, self._position, style)

    @property
    def explored(self) -> Explored:
        """The task and checkpoint chosen."""
        return self.tasks[self.value("task")][self.value("checkpoint")]

    @property
    def viewer(self) -> JetViewer:
        """The jets beside the map."""
        return self._jets[self._choice][1]

    @property
    def points(self) -> np.ndarray:
        """Places of the jets on the map, shape (N, 2)."""
        return self._jets[self._choice][0]

    @property
    def _choice(self) -> tuple[Any, ...]:
        return tuple(self.value(name) for name in _CHOICES)

    @in_house_style
    def figure(self) -> PaperFigure:
        """Return losses, ROC curves and map for the present choice."""
        one, (*_, arm, seed) = self.explored, self._choice
        probabilities = one.probabilities[arm][seed]
        radius = float(one.jets.provenance.get("jet_radius", 0.8))
        viewer = JetViewer(one.jets, probabilities=probabilities, jet_radius=radius)
        viewer.controls["index"].observe(self._mark, names="value")
        self._jets[self._choice] = principal_axes(one.embeddings[arm][seed]), viewer
        figure = PaperFigure(figsize=(15.0, 4.8))
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
        runs = {k: [h for h in some if is_validated(h)] for k, some in one.histories.items()}
        if curves := {label(k): some for k, some in runs.items() if some}:
            loss_curves(curves, ax=left)
        else:
            left.set_axis_off()
        roc_curves({label(k): [self._scores(p) for p in v] for k, v in one.probabilities.items()}, ax=middle)
        looks = {"class_names": one.jets.class_names, "source": source_label(one.jets.provenance)}
        wrong = probabilities.argmax(axis=1) != one.jets.label
        embedding_map(self.points, one.jets.label, crosses=wrong, ax=right, **looks)
        self.move(figure)
        return figure

    def move(self, figure: PaperFigure) -> None:
        """Put the ring on the jet shown."""
        self._place.children = (self.viewer.widget,)
        move_mark(figure, self.points[self.viewer.value("index")])

    def nearest(self, x: float, y: float) -> int | None:
        """Return the jet nearest to a place in the picture, None for a place off the map.

        Parameters
        ----------
        x, y
            Fractions of the picture, from the left and from above.
        """
        figure = self._shown.figure
        panel, size = figure.axes[2], np.array([figure.bbox.width, figure.bbox.height])
        place = np.array([x, 1 - y]) * size
        if not panel.bbox.contains(*place):
            return None
        return int(np.argmin(np.hypot(*(panel.transData.transform(self.points) - place).T)))

    def _redraw(self, change: object = None) -> None:
        if not self._is_offering:
            super()._redraw(change)

    def _offer(self, _: object = None) -> None:
        """Offer the checkpoints of the task, and the arms and seeds of the checkpoint."""
        self._is_offering = True
        _offer(self.controls["checkpoint"], self.tasks[self.value("task")])
        runs = self.explored.probabilities
        _offer(self.controls["arm"], [(label(arm), arm) for arm in runs])
        _offer(self.controls["seed"], [(str(i + 1), i) for i in range(min(map(len, runs.values())))])
        self._is_offering = False

    def _scores(self, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        signal, background = self.classes
        labels = self.explored.jets.label
        used = (labels == signal) | (labels == background)
        return pair_score(probabilities, signal, background)[used], (labels[used] == signal).astype(int)

    def _clicked(self, change: Any) -> None:
        try:
            x, y = map(float, change.new.split())
        except ValueError:
            return
        if (index := self.nearest(x, y)) is not None:
            self.viewer.set(index=index)

    def _mark(self, _: object = None) -> None:
        self.move(self._shown.figure)
        self._image.value = self._shown.to_png()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Offer the live widget and, for readers without a kernel, both pictures below each other."""
        bundle = super()._repr_mimebundle_(include, exclude)
        return {**bundle, "image/png": _below_each_other(self._image.value, self.viewer._image.value)}


def _offer(control: ipywidgets.Dropdown, options: Iterable[Any]) -> None:
    """Offer options; a choice that is among them stays, else the first is chosen."""
    before, pairs = control.value, [one if isinstance(one, tuple) else (one, one) for one in options]
    values = [value for _, value in pairs]
    control.options = pairs
    control.value = before if before in values else values[0]


def principal_axes(rows: np.ndarray) -> np.ndarray:
    """Return rows along the two directions in which they differ most, shape (N, 2), centred.

    >>> principal_axes(np.array([[0.0, 1, 0], [0, 3, 0], [0, 5, 0.1]]))[:, 0].round().astype(int)
    array([-2,  0,  2])
    """
    centred = np.asarray(rows, dtype=np.float64) - np.mean(rows, axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2, np.abs(axes[:2]).argmax(axis=1)].diagonal())[:, None]
    return centred @ axes.T


def _below_each_other(*pictures: bytes) -> str:
    from PIL import Image

    images = [Image.open(io.BytesIO(picture)) for picture in pictures]
    sheet = Image.new("RGB", (max(i.width for i in images), sum(i.height for i in images)), "white")
    for i, image in enumerate(images):
        sheet.paste(image, (0, sum(other.height for other in images[:i])))
    buffer = io.BytesIO()
    sheet.save(buffer, format="png", optimize=True)
    return as_text(buffer.getvalue())
