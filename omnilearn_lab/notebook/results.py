"""What a notebook keeps: its results file with a checked schema, its figures, its folder."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.machine import make_folder
from omnilearn_lab.notebook import recorded
from omnilearn_lab.plotting import export_figure_data, save_figure
from omnilearn_lab.plotting.figure import draw_behind
from omnilearn_lab.tasks.common.comparison import ComparisonRecord

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PROFILES = ("smoke", "quick", "long", "full")
_VERSIONS = ("omnilearn_lab", "torch", "numpy", "pythia8mc", "fastjet")
_ROOT_VARIABLE = "OMNILEARN_LAB_RESULTS"
NO_VERDICT = (
    "profile smoke only tests that everything runs: its numbers mean nothing, and there is no verdict"
)


def results_root() -> Path:
    """Return the folder that all notebooks write below.

    It is the variable ``OMNILEARN_LAB_RESULTS`` when set; else ``results`` beside the folder
    ``notebooks`` when the current folder is that one, and below the current folder otherwise.
    """
    here = Path.cwd()
    default = (here.parent if here.name == "notebooks" else here) / "results"
    return Path(os.environ.get(_ROOT_VARIABLE, default))


def results_directory(notebook: str, profile: str) -> Path:
    """Return the folder for a notebook's results in a profile, below `results_root`.

    Raises
    ------
    ConfigError
        For an unknown profile, or a name that would leave the folder.
    """
    recorded.check_name(notebook)
    if profile not in PROFILES:
        raise ConfigError(f"there is no profile '{profile}'; {nearest(profile, PROFILES)}")
    return results_root() / notebook / profile


class Results:
    """Collects a notebook's numbers and figures.

    Parameters
    ----------
    notebook
        Name without ending, such as "03_finetune_top".
    profile : {"smoke", "quick", "long", "full"}

    Examples
    --------
    >>> import tempfile, os
    >>> os.environ["OMNILEARN_LAB_RESULTS"] = tempfile.mkdtemp()
    >>> path = Results("03_finetune_top", "smoke").write(source="simulated", seeds=[1])
    >>> path.name
    'results.json'
    >>> del os.environ["OMNILEARN_LAB_RESULTS"]
    """

    def __init__(self, notebook: str, profile: str) -> None:
        self.notebook, self.profile = notebook, profile
        self.directory = make_folder(results_directory(notebook, profile))
        self.seconds: dict[str, float] = {}
        self.recorded = recorded.recorded_run(notebook)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure the wall time of a step; it ends up in ``results.json`` under ``seconds``."""
        start = time.perf_counter()
        yield
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.perf_counter() - start, 2)

    def runs(self, name: str) -> Path | None:
        """Return where trainings keep their runs: a folder in ``long`` and ``full``, else nowhere.

        A kernel that ends after hours then loses nothing: run the notebook again, and finished trainings
        are read, interrupted ones go on.

        Parameters
        ----------
        name
            Of the trainings and of the jets they see; other jets need another name.
        """
        return self.directory / "runs" / name if self.profile in ("long", "full") else None

    def figure(self, name: str, figure: Figure) -> Figure:
        """Save a figure as PNG and PDF under a name, its numbers as HEPData tables, and return it.

        Curves of a recorded run stand faintly behind its own; its numbers are of this run alone.
        """
        if getattr(figure, "figure_data", None) is not None and figure.figure_data.tables:
            if self.recorded is not None and name in self.recorded.figures and self._means_something:
                draw_behind(figure, self.recorded.figures[name], self.recorded.title)
            export_figure_data(figure, self.directory / name)
        save_figure(figure, self.directory / name)
        return figure

    @property
    def _means_something(self) -> bool:
        return self.profile != "smoke"

    def conclusion(self, text: str) -> str:
        """Return what a run concludes, or that it can't: ``smoke`` only tests that everything runs."""
        return text if self._means_something else NO_VERDICT

    def beside_recorded(self) -> pd.DataFrame:
        """Return the numbers of ``results.json`` in three columns: here, recorded, published."""
        import pandas as pd

        head, *rows = recorded.three_columns(recorded.read_results(self.directory), self.recorded)
        return pd.DataFrame([row[1:] for row in rows], index=[row[0] for row in rows], columns=head[1:])

    def __repr__(self) -> str:
        lines = [f"profile {self.profile}"] if self._means_something else [NO_VERDICT]
        if self.recorded is not None:
            known = self.recorded.results
            lines.append(
                f"{self.recorded.title}: {known.machine}, omnilearn_lab {known.versions['omnilearn_lab']}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return "".join(f"<p><b>{html.escape(line)}</b></p>" for line in repr(self).splitlines())

    def write(
        self,
        *,
        source: str,
        seeds: Sequence[int],
        comparisons: Mapping[str, ComparisonRecord | Mapping[str, Any]] | None = None,
        numbers: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write ``results.json`` in one step, with notebook, profile, date, versions and times added.

        Parameters
        ----------
        source : {"simulated", "published", "own file"}
            Where the jets came from.
        seeds
            Of all trainings, or the one seed of a notebook that trains nothing.
        comparisons
            Scratch against fine-tuned by title: what `Comparison.record` returns, or a mapping with
            the fields of `ComparisonRecord`. Gains are computed here.
        numbers
            Everything else; numbers that are not finite become null.

        Raises
        ------
        ConfigError
            Naming the field that does not fit the schema.
        """
        kept = {
            title: item.model_dump() if hasattr(item, "model_dump") else item
            for title, item in (comparisons or {}).items()
        }
        record = recorded.check_results(
            {
                "notebook": self.notebook,
                "profile": self.profile,
                "date": datetime.now(UTC).date().isoformat(),
                "versions": {name: metadata.version(name) for name in _VERSIONS},
                "seconds": self.seconds,
                "source": source,
                "seeds": list(seeds),
                "comparisons": kept,
                "numbers": numbers or {},
            }
        )
        return recorded.write_json(record, self.directory / "results.json")
