"""Search: weak supervision, generated background, bump hunts, scans and cross-checks for new particles."""

from omnilearn_lab.tasks.search.abcd import AbcdPlane, abcd_estimate
from omnilearn_lab.tasks.search.dijet_search import DijetSearchSettings, load_lhco, sculpting, search_dijets
from omnilearn_lab.tasks.search.events import EventNetwork, event_column, select_events
from omnilearn_lab.tasks.search.injection_scan import InjectionSettings, scan_injections
from omnilearn_lab.tasks.search.mass_fits import BumpHunt, MassFit, MassWindow, bump_hunt, sample_masses
from omnilearn_lab.tasks.search.mass_scans import efficiency_scan, significances
from omnilearn_lab.tasks.search.open_data import (
    OpenDataSearchSettings,
    class_probabilities,
    compare_weak_supervision,
    inject,
    load_open_data,
    region_rates,
)
from omnilearn_lab.tasks.search.sensitivity import expected_sensitivity
from omnilearn_lab.tasks.search.sideband_generator import SidebandGenerator, SidebandGeneratorConfig
from omnilearn_lab.tasks.search.weak_supervision import (
    WeakSupervisionConfig,
    WeakSupervisionResult,
    weak_supervision,
)

__all__ = [
    "AbcdPlane", "BumpHunt", "DijetSearchSettings", "EventNetwork", "InjectionSettings", "MassFit",
    "MassWindow", "OpenDataSearchSettings", "SidebandGenerator", "SidebandGeneratorConfig",
    "WeakSupervisionConfig", "WeakSupervisionResult", "abcd_estimate", "bump_hunt", "class_probabilities",
    "compare_weak_supervision", "efficiency_scan", "event_column", "expected_sensitivity", "inject",
    "load_lhco", "load_open_data", "region_rates", "sample_masses", "scan_injections", "sculpting",
    "search_dijets", "select_events", "significances", "weak_supervision",
]  # fmt: skip
