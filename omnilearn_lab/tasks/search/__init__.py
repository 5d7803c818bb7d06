"""Search: weak supervision, generated background, bump hunts, flat cuts with controls, and cross-checks."""
# ruff: noqa: I001

from omnilearn_lab.tasks.search.decorrelation import efficiency_scan, flat_control, flat_scan, judged, scored
from omnilearn_lab.tasks.search.decorrelation import significances
from omnilearn_lab.tasks.search.dijet_search import DijetSearchSettings, judged_searches, load_lhco, sculpting
from omnilearn_lab.tasks.search.dijet_search import search_dijets
from omnilearn_lab.tasks.search.events import event_column
from omnilearn_lab.tasks.search.injection_scan import InjectionSettings, scan_injections
from omnilearn_lab.tasks.search.mass_fits import MassFit, bump_hunt, expected_sensitivity, sample_masses
from omnilearn_lab.tasks.search.open_data import EmbeddedJets, OpenDataSearchSettings, class_probabilities
from omnilearn_lab.tasks.search.open_data import compare_weak_supervision, embedded_control, load_open_data
from omnilearn_lab.tasks.search.open_data import region_rates
from omnilearn_lab.tasks.search.sideband_generator import SidebandGenerator, SidebandGeneratorConfig
from omnilearn_lab.tasks.search.weak_supervision import weak_supervision

__all__ = [
    "DijetSearchSettings", "EmbeddedJets", "InjectionSettings", "MassFit", "OpenDataSearchSettings",
    "SidebandGenerator", "SidebandGeneratorConfig", "bump_hunt", "class_probabilities",
    "compare_weak_supervision", "efficiency_scan", "embedded_control", "event_column", "expected_sensitivity",
    "flat_control", "flat_scan", "judged", "judged_searches", "load_lhco", "load_open_data", "region_rates",
    "sample_masses", "scan_injections", "scored", "sculpting", "search_dijets", "significances",
    "weak_supervision",
]  # fmt: skip
