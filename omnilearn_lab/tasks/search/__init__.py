"""TODO."""

from omnilearn_lab.tasks.search.abcd import AbcdCounts, AbcdEstimate, AbcdPlane, abcd_estimate
from omnilearn_lab.tasks.search.dijet_search import (
    DijetSearch,
    LhcoProfile,
    LhcoSamples,
    Sculpting,
    load_lhco,
    sculpting,
    search_dijets,
)
from omnilearn_lab.tasks.search.dijets import dijet_features, event_column, select_events
from omnilearn_lab.tasks.search.event_training import EventNetwork
from omnilearn_lab.tasks.search.injection_scan import SicScan, SicScanConfig, random_sic, sic_scan
from omnilearn_lab.tasks.search.mass_fits import BumpHunt, MassFit, bump_hunt, sample_masses
from omnilearn_lab.tasks.search.open_data import (
    THREE_PRONG,
    ClassProbabilities,
    ScanPoint,
    class_probabilities,
    efficiency_scan,
    inject,
)
from omnilearn_lab.tasks.search.open_data_samples import (
    OpenDataComparison,
    OpenDataProfile,
    OpenDataSamples,
    compare_weak_supervision,
    load_open_data,
    region_rates,
    split_region,
)
from omnilearn_lab.tasks.search.sensitivity import Sensitivity, expected_sensitivity
from omnilearn_lab.tasks.search.sideband_generator import SidebandGenerator, SidebandGeneratorConfig
from omnilearn_lab.tasks.search.weak_supervision import (
    WeakSupervisionConfig,
    WeakSupervisionResult,
    weak_supervision,
    weak_supervisions,
)

__all__ = [
    "AbcdCounts", "AbcdEstimate", "AbcdPlane", "BumpHunt", "ClassProbabilities", "DijetSearch",
    "EventNetwork", "LhcoProfile", "LhcoSamples", "MassFit", "OpenDataComparison", "OpenDataProfile",
    "OpenDataSamples", "ScanPoint", "Sculpting", "Sensitivity", "SicScan", "SicScanConfig",
    "SidebandGenerator", "SidebandGeneratorConfig", "THREE_PRONG", "WeakSupervisionConfig",
    "WeakSupervisionResult", "abcd_estimate", "bump_hunt", "class_probabilities", "compare_weak_supervision",
    "dijet_features", "efficiency_scan", "event_column", "expected_sensitivity", "inject", "load_lhco",
    "load_open_data", "random_sic", "region_rates", "sample_masses", "sculpting", "search_dijets",
    "select_events", "sic_scan", "split_region", "weak_supervision", "weak_supervisions",
]  # fmt: skip
