"""What only notebooks need: their sizes, results, records, report, overview, and how they are run."""

from omnilearn_lab.notebook.execute import execute_notebook, notebook_map
from omnilearn_lab.notebook.hardware import Machine, this_machine
from omnilearn_lab.notebook.profiles import load_generation, load_splits, notebook_profile
from omnilearn_lab.notebook.report import Report, collect_results, verdict, write_report
from omnilearn_lab.notebook.results import PROFILES, Results
from omnilearn_lab.notebook.results_browser import ResultsBrowser

__all__ = [
    "Machine", "PROFILES", "Report", "Results", "ResultsBrowser", "collect_results", "execute_notebook",
    "load_generation", "load_splits", "notebook_map", "notebook_profile", "this_machine", "verdict",
    "write_report",
]  # fmt: skip
