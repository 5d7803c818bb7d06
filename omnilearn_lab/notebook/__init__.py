"""What only notebooks need: their sizes, results, records, report, overview, and how they are run."""

from omnilearn_lab.notebook.execute import execute_notebook
from omnilearn_lab.notebook.hardware import Machine, MemoryWatch, recommended_training, this_machine
from omnilearn_lab.notebook.overview import NotebookEntry, NotebookMap, notebook_map
from omnilearn_lab.notebook.profiles import notebook_profile
from omnilearn_lab.notebook.report import Report, collect_results, verdict, write_report
from omnilearn_lab.notebook.results import PROFILES, Results, results_directory
from omnilearn_lab.notebook.results_browser import ResultsBrowser
from omnilearn_lab.notebook.sizes import load_generation, load_splits

__all__ = [
    "Machine", "MemoryWatch", "NotebookEntry", "NotebookMap", "PROFILES", "Report", "Results",
    "ResultsBrowser", "collect_results", "execute_notebook", "load_generation", "load_splits", "notebook_map",
    "notebook_profile", "recommended_training", "results_directory", "this_machine", "verdict",
    "write_report",
]  # fmt: skip
