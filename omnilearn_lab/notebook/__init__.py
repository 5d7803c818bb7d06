"""TODO."""

from omnilearn_lab.notebook.execute import execute_notebook
from omnilearn_lab.notebook.hardware import Machine, MemoryWatch, recommended_training, this_machine
from omnilearn_lab.notebook.overview import (
    NotebookEntry,
    NotebookMap,
    ObservablesProfile,
    StartProfile,
    notebook_map,
)
from omnilearn_lab.notebook.pretraining import FlavourProfile, OmniLearnedProfile, PretrainingProfile
from omnilearn_lab.notebook.profiles import ClassificationProfile, notebook_profile
from omnilearn_lab.notebook.report import Report, collect_results, write_report
from omnilearn_lab.notebook.results import PROFILES, Results, results_directory
from omnilearn_lab.notebook.results_browser import ResultsBrowser
from omnilearn_lab.notebook.study_profiles import (
    GenerationProfile,
    LhcoProfile,
    OpenDataProfile,
    ReweightingProfile,
    UnfoldingProfile,
    load_generation,
)
from omnilearn_lab.notebook.tagging import (
    NamedNetwork,
    TaggingProfile,
    TransferProfile,
    jets_saved,
    load_splits,
    metric_lost,
    verdict,
)

__all__ = [
    "ClassificationProfile", "FlavourProfile", "GenerationProfile", "LhcoProfile", "Machine", "MemoryWatch",
    "NamedNetwork", "NotebookEntry", "NotebookMap", "ObservablesProfile", "OmniLearnedProfile",
    "OpenDataProfile", "PROFILES", "PretrainingProfile", "Report", "Results", "ResultsBrowser",
    "ReweightingProfile", "StartProfile", "TaggingProfile", "TransferProfile", "UnfoldingProfile",
    "collect_results", "execute_notebook", "jets_saved", "load_generation", "load_splits", "metric_lost",
    "notebook_map", "notebook_profile", "recommended_training", "results_directory", "this_machine",
    "verdict", "write_report",
]  # fmt: skip
