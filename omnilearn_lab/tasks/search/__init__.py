"""Search: weak supervision, generated background, bump hunts, flat cuts with controls, and cross-checks."""
# ruff: noqa: I001

from omnilearn_lab.tasks.search.decorrelation import efficiency_scan, flat_control, flat_scan, judged, scored
from omnilearn_lab.tasks.search.decorrelation import significances
from omnilearn_lab.tasks.search.dijet_search import DijetSearchSettings, dijet_control, judged_searches
from omnilearn_lab.tasks.search.dijet_search import load_lhco, sculpting, search_dijets
from omnilearn_lab.tasks.search.events import event_column
from omnilearn_lab.tasks.search.injection_scan import InjectionSettings, scan_injections
from omnilearn_lab.tasks.search.mass_fits import MassFit, bump_hunt, expected_sensitivity
from omnilearn_lab.tasks.search.open_data import EmbeddedJets, OpenDataSearchSettings, class_probabilities
from omnilearn_lab.tasks.search.open_data import compare_weak_supervision, embedded_control, load_open_data
from omnilearn_lab.tasks.search.open_data import region_rates
from omnilearn_lab.tasks.search.sideband_generator import SidebandGenerator, SidebandGeneratorConfig
from omnilearn_lab.tasks.search.sideband_generator import made_background
from omnilearn_lab.tasks.search.weak_supervision import weak_supervision

__all__ = [
    "DijetSearchSettings", "EmbeddedJets", "InjectionSettings", "MassFit", "OpenDataSearchSettings",
    "SidebandGenerator", "SidebandGeneratorConfig", "bump_hunt", "class_probabilities",
    "compare_weak_supervision", "dijet_control", "efficiency_scan", "embedded_control", "event_column",
    "expected_sensitivity", "flat_control", "flat_scan", "judged", "judged_searches", "load_lhco",
    "load_open_data", "made_background", "region_rates", "scan_injections", "scored", "sculpting",
    "search_dijets", "significances", "weak_supervision",
]  # fmt: skip
