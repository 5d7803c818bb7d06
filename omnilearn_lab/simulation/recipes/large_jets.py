"""Recipes for large-radius jets: JetClass, top tagging, searches, CMS and ATLAS; and flavour tagging."""

from __future__ import annotations

from dataclasses import replace

from omnilearn_lab.simulation.recipes.recipe import (
    CMS_CYLINDER,
    NO_LONG_DECAYS,
    NO_MPI,
    PURE_Z,
    TOP_PAIRS,
    W_LEPTONS,
    W_QUARKS,
    Z_INVISIBLE,
    Z_QUARKS,
    JetWindow,
    Profile,
    Recipe,
    Sample,
    energy,
    pt_hat,
    resonance,
)

# JetClass was made with Pythia's default decays: what decays behind the calorimeter face is lost, which takes
# 1.5 to 2 % from the jets. The quick profile leaves out multiple interactions, whose energy inside a jet of
# R = 0.8 is as large; it leaves out the loss, too, so that the masses of W, Z and top jets stay in place.
JETCLASS_QUICK = Profile((*NO_MPI, *CMS_CYLINDER))

_HIGGS = ("HiggsSM:ffbar2HZ=on", "25:m0=125.", *Z_INVISIBLE, "25:onMode=off")
_H_TO_WW = (*_HIGGS, "25:onIfMatch=24 -24")
_W_SIGNS = (  # either sign of W gives the lepton, else the lepton's charge would tell the class
    ("24:onMode=off", "24:onPosIfAny=1 2 3 4 5", "24:onNegIfAny=11 13"),
    ("24:onMode=off", "24:onNegIfAny=1 2 3 4 5", "24:onPosIfAny=11 13"),
)


def _boson(name: str, *settings: str) -> Sample:
    return Sample(name, settings, matched=True)


JETCLASS = Recipe(
    name="jetclass",
    title="JetClass: ten kinds of jets",
    settings=(*energy(13), *pt_hat(450, 1300)),
    samples=(
        Sample(
            "QCD",
            ("WeakBosonAndParton:qqbar2gmZg=on", "WeakBosonAndParton:qg2gmZq=on", *PURE_Z, *Z_INVISIBLE),
            max_jets=1,
        ),
        _boson("Hbb", *_HIGGS, "25:onIfMatch=5 -5"),
        _boson("Hcc", *_HIGGS, "25:onIfMatch=4 -4"),
        _boson("Hgg", *_HIGGS, "25:onIfMatch=21 21"),
        _boson("H4q", *_H_TO_WW, *W_QUARKS),
        Sample("Hqql", _H_TO_WW, variants=_W_SIGNS, matched=True),
        _boson("Zqq", "WeakDoubleBoson:ffbar2gmZgmZ=on", *PURE_Z, *Z_QUARKS),
        _boson("Wqq", "WeakDoubleBoson:ffbar2WW=on", *W_QUARKS),
        _boson("Tbqq", *TOP_PAIRS, *W_QUARKS),
        _boson("Tbl", *TOP_PAIRS, *W_LEPTONS),
    ),
    window=JetWindow(0.8, (500.0, 1000.0), (-2.0, 2.0)),
    detector="JetClass-like",
    impact_parameters=True,
    max_constituents=128,
    quick=JETCLASS_QUICK,
    production=Profile(),
    published=(("pt", 618.2, 106.7), ("mass", 120.6, 40.2), ("multiplicity", 39.4, 15.1)),
    reference="2202.03772",
)

TOP_TAGGING = Recipe(
    name="top_tagging",
    title="Top-tagging reference set: top against QCD",
    settings=(*energy(14), *NO_LONG_DECAYS),
    samples=(
        Sample("qcd", ("HardQCD:all=on", *pt_hat(480, 900))),
        Sample("top", (*TOP_PAIRS, *W_QUARKS, *pt_hat(500, 900)), matched=True),
    ),
    window=JetWindow(0.8, (550.0, 650.0), (-2.0, 2.0)),
    detector="ATLAS-like",
    max_constituents=200,
    quick=Profile(NO_MPI),
    production=Profile(NO_MPI),  # the published set has no multiple interactions either
    reference="1902.09914",
)


_INFINITE = float("inf")
_CMS_QUICK = Profile(NO_MPI, min_pt=1.0)
_B, _C, _Y = 9000001, 9000002, 9000003  # codes of user-defined resonances

# ---- dijet resonance -----------------------------------------------------------------------------

# W' -> B C: a user-defined final state of a Z' has no cross-section in Pythia. B takes the charge of the W'.
_LHCO_SIGNAL = (
    *resonance(_B, "XRD", mass=500, window=50, charge_type=3),
    f"{_B}:oneChannel = 1 0.5 103 2 -1",
    f"{_B}:addChannel = 1 0.5 103 4 -3",
    *resonance(_C, "YRD", mass=100, window=10),
    f"{_C}:oneChannel = 1 0.2 103 1 -1",
    *(f"{_C}:addChannel = 1 0.2 103 {q} -{q}" for q in (2, 3, 4, 5)),
    "NewGaugeBoson:ffbar2Wprime=on",
    "34:m0=3500.",
    "34:mWidth=1.",
    "34:doForceWidth=on",
    "34:mMin=3000.",
    "34:mMax=4000.",
    f"34:oneChannel = 1 1.0 103 {_B} {_C}",
)

LHCO = Recipe(
    name="lhco",
    title="LHC Olympics R&D: dijets, and a 3.5 TeV resonance to two boosted two-prong jets",
    settings=(*energy(13), *NO_LONG_DECAYS),
    samples=(
        Sample("background", ("HardQCD:all=on", *pt_hat(1100, 2600)), fraction=10.0),
        Sample("signal", _LHCO_SIGNAL, fraction=1.0),
    ),
    window=JetWindow(1.0, (1200.0, _INFINITE), (-2.5, 2.5)),
    selector="dijets",
    detector="CMS-like",
    max_constituents=279,
    quick=Profile(NO_MPI),
    production=Profile(NO_MPI),  # none in the published set either
    published=(("pt", 1287.2, 244.2), ("mass", 205.1, 151.1), ("multiplicity", 57.2, 29.4)),
    reference="2101.08320",
)

# Twice the background in the mass window for the same time; the mass spectrum around it is cut off.
LHCO_SIGNAL_REGION = replace(
    LHCO,
    name="lhco_signal_region",
    title="LHC Olympics R&D, events near 3.5 TeV only: for studies inside the signal region",
    samples=(
        Sample(
            "background",
            ("HardQCD:all=on", *pt_hat(1100), "PhaseSpace:mHatMin=3000.", "PhaseSpace:mHatMax=4200."),
            fraction=10.0,
        ),
        Sample("signal", _LHCO_SIGNAL, fraction=1.0),
    ),
    published=(),
)

# ---- data-like mixture and its simulation --------------------------------------------------------

_CMS_SETTINGS = (*energy(13), *CMS_CYLINDER)

ASPEN = Recipe(
    name="aspen",
    title="Aspen Open Jets: a mixture as in collision data, by leading-order cross-sections",
    settings=(*_CMS_SETTINGS, *pt_hat(280)),
    samples=(  # fractions: cross-section [pb] times jets per event
        Sample("qcd", ("HardQCD:all=on",), fraction=15600.0),
        Sample(
            "w", ("WeakBosonAndParton:qqbar2Wg=on", "WeakBosonAndParton:qg2Wq=on", *W_QUARKS), fraction=34.0
        ),
        Sample(
            "z",
            ("WeakBosonAndParton:qqbar2gmZg=on", "WeakBosonAndParton:qg2gmZq=on", *PURE_Z, *Z_QUARKS),
            fraction=15.0,
        ),
        Sample("top", (*TOP_PAIRS, *W_QUARKS), fraction=9.8),
        Sample("vh", ("HiggsSM:ffbar2HZ=on", "HiggsSM:ffbar2HW=on"), fraction=0.034),
    ),
    window=JetWindow(0.8, (300.0, _INFINITE), (-2.5, 2.5)),
    detector="CMS-like",
    impact_parameters=True,
    max_constituents=150,
    quick=_CMS_QUICK,
    production=Profile(),
    reference="2412.10504",
)

_HIGH = pt_hat(470)
ASPEN_SEARCH = replace(
    ASPEN,
    name="aspen_search",
    title="Aspen Open Jets above 500 GeV, with more top jets than in nature, to choose an injection from",
    settings=_CMS_SETTINGS,
    samples=(
        Sample("qcd", ("HardQCD:all=on", *_HIGH), fraction=1000.0),
        Sample(
            "w",
            ("WeakBosonAndParton:qqbar2Wg=on", "WeakBosonAndParton:qg2Wq=on", *W_QUARKS, *_HIGH),
            fraction=2.2,
        ),
        Sample(
            "z",
            ("WeakBosonAndParton:qqbar2gmZg=on", "WeakBosonAndParton:qg2gmZq=on", *PURE_Z, *Z_QUARKS, *_HIGH),
            fraction=1.0,
        ),
        Sample("top", (*TOP_PAIRS, *W_QUARKS, *_HIGH), fraction=30.0, matched=True),
    ),
    window=JetWindow(0.8, (500.0, _INFINITE), (-2.5, 2.5)),
)

CMS_QCD = Recipe(
    name="cms_qcd",
    title="CMS simulated QCD jets, in slices of hardness",
    settings=_CMS_SETTINGS,
    samples=tuple(
        Sample(f"qcd_{low}", ("HardQCD:all=on", *pt_hat(low, high)), label="qcd")
        for low, high in ((280, 470), (470, 800), (800, 1400))
    ),
    window=JetWindow(0.8, (300.0, _INFINITE), (-2.5, 2.5)),
    detector="CMS-like",
    impact_parameters=True,
    max_constituents=150,
    quick=_CMS_QUICK,
    production=Profile(),
    reference="2510.24066",
)


def _two_prong(mass: float, low: float, *channels: str) -> tuple[str, ...]:
    """A scalar of any mass [GeV] recoiling against a parton of at least ``low`` GeV, with chosen decays."""
    return (
        "HiggsSM:gg2Hg(l:t)=on",
        "HiggsSM:qg2Hq(l:t)=on",
        f"25:m0={mass:g}",
        "25:mWidth=0.01",
        "25:doForceWidth=on",
        "25:mMin=10.",
        "25:mMax=0.",
        "25:onMode=off",
        *(f"25:onIfMatch={channel}" for channel in channels),
        *pt_hat(low, 2500),
    )


def _four_prong(mass: float, inner_mass: float, low: float, *channels: str) -> tuple[str, ...]:
    """A scalar that decays to two lighter ones, each to one of the channels, beside an invisible Z."""
    first, *others = channels
    share = 1 / len(channels)
    return (
        "HiggsSM:ffbar2HZ=on",
        *Z_INVISIBLE,
        *resonance(_Y, "Y0", mass=inner_mass, window=5),
        f"{_Y}:oneChannel = 1 {share:g} 103 {first}",
        *(f"{_Y}:addChannel = 1 {share:g} 103 {channel}" for channel in others),
        f"25:m0={mass:g}",
        "25:mWidth=0.01",
        "25:doForceWidth=on",
        "25:mMin=10.",
        "25:mMax=0.",
        "25:onMode=off",
        f"25:addChannel = 1 0.5 103 {_Y} {_Y}",
        *pt_hat(low, 2500),
    )


_LIGHT_PAIRS = ("1 -1", "2 -2", "3 -3")

CMS_BSM = Recipe(
    name="cms_bsm",
    title="CMS simulated jets from eight kinds of heavy resonances",
    settings=_CMS_SETTINGS,
    samples=(
        Sample("w", ("WeakDoubleBoson:ffbar2WW=on", *W_QUARKS, *pt_hat(300)), matched=True),
        Sample("z", ("WeakDoubleBoson:ffbar2gmZgmZ=on", *PURE_Z, *Z_QUARKS, *pt_hat(300)), matched=True),
        Sample("h_bb", _two_prong(125, 300, "5 -5"), matched=True),
        Sample("h_tautau", _two_prong(125, 300, "15 -15"), matched=True),
        Sample("top", (*TOP_PAIRS, *W_QUARKS, *pt_hat(350)), matched=True),
        Sample("x60_bb", _two_prong(60, 300, "5 -5"), matched=True),
        Sample("x250_bb", _two_prong(250, 650, "5 -5"), matched=True),
        Sample("x200_y60_4b", _four_prong(200, 60, 500, "5 -5"), matched=True),
    ),
    window=JetWindow(0.8, (300.0, _INFINITE), (-2.5, 2.5)),
    resonances=(6, 23, 24, 25, _Y),
    detector="CMS-like",
    impact_parameters=True,
    max_constituents=150,
    quick=_CMS_QUICK,
    production=Profile(),
    reference="2510.24066",
)

_TWO_PRONGS = {
    "bb": ("5 -5",),
    "cc": ("4 -4",),
    "ss": ("3 -3",),
    "qq": ("1 -1", "2 -2"),
    "gg": ("21 21",),
    "tautau": ("15 -15",),
}
_FOUR_PRONGS = {"bbbb": ("5 -5",), "cccc": ("4 -4",), "qqqq": _LIGHT_PAIRS, "gggg": ("21 21",)}

JETCLASS2 = Recipe(
    name="jetclass2",
    title="JetClass-II: two- and four-prong resonances of several masses, and QCD",
    settings=energy(13),
    samples=(
        *(
            Sample(f"X_{kind}_{mass}", _two_prong(mass, low, *channels), label=f"X_{kind}", matched=True)
            for kind, channels in _TWO_PRONGS.items()
            for mass, low in ((40, 220), (125, 350), (300, 750))
        ),
        *(
            Sample(
                f"X_YY_{kind}_{mass}",
                _four_prong(mass, inner, low, *channels),
                label=f"X_YY_{kind}",
                matched=True,
            )
            for kind, channels in _FOUR_PRONGS.items()
            for mass, inner, low in ((125, 40, 350), (200, 60, 500))
        ),
        *(
            Sample(f"QCD_{low}", ("HardQCD:all=on", *pt_hat(low, high)), label="QCD")
            for low, high in ((200, 400), (400, 800), (800, 1600))
        ),
    ),
    window=JetWindow(0.8, (200.0, 2500.0), (-2.5, 2.5)),
    resonances=(6, 23, 24, 25, _Y),
    detector="JetClass-like",
    impact_parameters=True,
    max_constituents=150,
    quick=JETCLASS_QUICK,
    production=Profile(),
    reference="2405.12972",
)

# ---- ATLAS ---------------------------------------------------------------------------------------


def _z_prime(mass: float) -> tuple[str, ...]:
    return (
        "NewGaugeBoson:ffbar2gmZZprime=on",
        "Zprime:gmZmode=3",
        f"32:m0={mass:g}",
        f"32:mMin={0.7 * mass:g}",
        f"32:mMax={1.3 * mass:g}",
        "32:onMode=off",
        "32:onIfAny=6",
        *W_QUARKS,
    )


ATLAS_TOP = Recipe(
    name="atlas_top",
    title="ATLAS top tagging: tops from heavy resonances against dijets, with training weights",
    settings=(*energy(13), *NO_LONG_DECAYS),
    samples=(
        Sample(
            "qcd",
            (
                "HardQCD:all=on",
                *pt_hat(350),
                "PhaseSpace:bias2Selection=on",
                "PhaseSpace:bias2SelectionPow=8.5",
                "PhaseSpace:bias2SelectionRef=500.",
            ),
            fraction=5.0,
        ),
        # masses and power chosen for the published mean pt; ungroomed, so heavier and richer than published
        *(
            Sample(f"top_{mass}", _z_prime(mass), label="top", matched=True)
            for mass in (1500, 3000, 4500, 6000, 7500)
        ),
    ),
    window=JetWindow(1.0, (350.0, _INFINITE), (-2.0, 2.0)),
    match_radius=0.75,
    detector="ATLAS-like",
    max_constituents=200,
    weighting="equal_pt",
    published=(("pt", 1739.0, 975.0), ("mass", 221.7, 203.7), ("multiplicity", 55.2, 25.1)),
    reference="2407.20127",
)

ATLAS_FLAVOUR = Recipe(
    name="atlas_flavour",
    title="ATLAS flavour tagging: b, c, tau and light jets of top pairs, as tracks",
    settings=(
        *energy(13.6),
        *TOP_PAIRS,
        "ParticleDecays:limitCylinder=on",
        "ParticleDecays:xyMax=300.",
        "ParticleDecays:zMax=1000.",
    ),
    samples=(Sample("top_pairs", ()),),
    window=JetWindow(0.4, (20.0, 250.0), (-2.5, 2.5)),
    selector="flavour_jets",
    detector="ATLAS-like",
    impact_parameters=True,
    classes=("light", "c", "b", "tau"),
    max_constituents=40,
    reference="2505.19689",
)
