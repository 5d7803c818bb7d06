"""Recipes for quark, gluon and boson jets of smaller radius: EnergyFlow, CMS 2011A, H1, JetNet, Z + jets."""

from __future__ import annotations

from dataclasses import replace

from omnilearn_lab.simulation.recipes.recipe import (
    A14,
    CMS_CYLINDER,
    NO_LONG_DECAYS,
    NO_MPI,
    OTHER_SHOWER,
    PURE_Z,
    TOP_PAIRS,
    W_QUARKS,
    Z_INVISIBLE,
    Z_QUARKS,
    JetWindow,
    Profile,
    Recipe,
    Sample,
    energy,
    pt_hat,
)

_Z_GLUON, _Z_QUARK = "WeakBosonAndParton:qqbar2gmZg=on", "WeakBosonAndParton:qg2gmZq=on"
_TAU_PAIRS_FROM_Z = ("23:onMode=off", "23:onIfAny=15")
_INFINITE = float("inf")

QUARK_GLUON = Recipe(
    name="quark_gluon",
    title="Quark against gluon jets at particle level, without c and b quarks",
    settings=(*energy(14), *PURE_Z, *Z_INVISIBLE, *pt_hat(460, 650)),  # default decays, as published
    samples=(
        Sample("gluon", (_Z_GLUON,)),  # the process name says what recoils against the Z
        Sample("quark", (_Z_QUARK,), drop_outgoing=(4, 5)),
    ),
    window=JetWindow(0.4, (500.0, 550.0), (-1.7, 1.7), use_rapidity=True),
    max_constituents=150,
    reference="1810.05165",
)

QUARK_GLUON_HERWIG = replace(
    QUARK_GLUON,
    name="quark_gluon_herwig",
    title="Quark against gluon jets with another shower and fragmentation, in place of Herwig",
    settings=(*OTHER_SHOWER, *QUARK_GLUON.settings),
)

CMS_OPEN_DATA = Recipe(
    name="cms_open_data",
    title="CMS 2011A quark against gluon jets with a full-simulation-like response",
    settings=(
        *energy(7),
        *NO_LONG_DECAYS,
        *pt_hat(340, 1800),
        "PhaseSpace:bias2Selection=on",
        "PhaseSpace:bias2SelectionPow=4.5",
        "PhaseSpace:bias2SelectionRef=400.",
    ),
    samples=(Sample("dijets", ("HardQCD:all=on",)),),
    window=JetWindow(0.5, (375.0, _INFINITE), (-2.4, 2.4)),
    selector="parton_jets",
    detector="full-like",
    classes=("gluon", "quark"),
    max_constituents=100,
    weighting="bias",
    quick=Profile(NO_MPI, min_pt=1.0),
    production=Profile(min_pt=1.0),  # the published studies keep particles above 1 GeV
    reference="1908.08542",
)

CMS_OPEN_DATA_FAST = replace(
    CMS_OPEN_DATA,
    name="cms_open_data_fast",
    title="CMS 2011A quark against gluon jets with the CMS-like fast simulation",
    detector="CMS-like",
)

CMS_OPEN_DATA_DATA = replace(
    CMS_OPEN_DATA,
    name="cms_open_data_data",
    title="In place of CMS 2011A collision data: another shower, full-simulation-like response",
    settings=(*OTHER_SHOWER, *CMS_OPEN_DATA.settings),
)

_DIS = (
    "Beams:frameType=2",
    "Beams:idA=2212",
    "Beams:eA=920.",
    "Beams:idB=-11",
    "Beams:eB=27.6",
    "WeakBosonExchange:ff2ff(t:gmZ)=on",
    "PhaseSpace:Q2Min=150.",
    "PDF:lepton=off",
    "TimeShower:QEDshowerByL=off",
    "SpaceShower:pTmaxMatch=2",
)

H1_DIS = Recipe(
    name="h1_dis",
    title="Deep-inelastic scattering with two shower models, particle level",
    settings=_DIS,
    samples=(
        Sample("djangoh_like", ("SpaceShower:dipoleRecoil=off",)),
        Sample("rapgap_like", ("SpaceShower:dipoleRecoil=on",)),
    ),
    window=JetWindow(1.0, (10.0, _INFINITE), (-1.5, 2.75), algorithm="kt"),
    selector="dis",
    max_constituents=100,
    quick=Profile(),
    production=Profile(),  # no multiple interactions in deep-inelastic scattering
    published=(("pt", 19.16, 9.19), ("eta", 0.572, 0.805), ("mass", 6.00, 3.00), ("multiplicity", 11.7, 5.1)),
    reference="2106.11058",
)

JETNET150 = Recipe(
    name="jetnet150",
    title="JetNet: gluon, quark, top, W and Z jets near 1 TeV, up to 150 particles",
    settings=(*energy(13), *pt_hat(940, 1300)),
    samples=(
        Sample("g", ("HardQCD:gg2gg=on", "HardQCD:qqbar2gg=on")),
        Sample("q", ("HardQCD:gg2qqbar=on", "HardQCD:qq2qq=on", "HardQCD:qqbar2qqbarNew=on")),
        Sample("t", (*TOP_PAIRS, *W_QUARKS)),  # not matched: the published tops are partly contained
        Sample("w", ("WeakDoubleBoson:ffbar2WW=on", *W_QUARKS)),
        Sample("z", ("WeakDoubleBoson:ffbar2gmZgmZ=on", *PURE_Z, *Z_QUARKS)),
    ),
    window=JetWindow(0.4, (800.0, _INFINITE), (-2.5, 2.5)),
    max_constituents=150,
    count_kept=True,
    published=(("pt", 1045.9, 123.2), ("mass", 94.0, 43.1), ("multiplicity", 49.4, 20.8)),
    reference="2106.11535",
)

JETNET30 = replace(
    JETNET150,
    name="jetnet30",
    title="JetNet: gluon, quark, top, W and Z jets near 1 TeV, the 30 hardest particles",
    max_constituents=30,
    published=(("pt", 1045.9, 123.2), ("mass", 94.0, 43.1), ("multiplicity", 29.0, 2.76)),
)

OMNIFOLD_ZJETS = Recipe(
    name="omnifold_zjets",
    title="Z + jets before and after the detector; another shower in the place of data",
    settings=(
        *energy(14),
        _Z_GLUON,
        _Z_QUARK,
        *PURE_Z,
        "23:mayDecay=off",
        *pt_hat(180),  # published 150; 180 loses migrations only
        *NO_LONG_DECAYS,
    ),
    samples=(Sample("simulation", A14), Sample("data", OTHER_SHOWER)),
    window=JetWindow(0.4, (10.0, _INFINITE), (-5.0, 5.0)),
    selector="z_jets",
    detector="CMS-like",
    published=(("pt", 225.8, 90.4), ("mass", 18.4, 10.7), ("multiplicity", 18.9, 8.5)),
    reference="1911.09107",
)

HADRONIC_TAUS = Recipe(
    name="hadronic_taus",
    title="Hadronic taus from Z and Higgs bosons against jets, with visible momentum and decay mode",
    settings=(*energy(13), *CMS_CYLINDER),
    samples=(
        Sample("z", (_Z_GLUON, _Z_QUARK, *PURE_Z, *_TAU_PAIRS_FROM_Z, *pt_hat(20)), label="tau"),
        Sample("higgs", ("HiggsSM:gg2H=on", "25:onMode=off", "25:onIfMatch=15 -15"), label="tau"),
        Sample("jet", (_Z_GLUON, _Z_QUARK, *PURE_Z, *Z_INVISIBLE, *pt_hat(20)), fraction=2.0),
    ),
    window=JetWindow(0.4, (20.0, 200.0), (-2.3, 2.3)),
    selector="taus",
    detector="CMS-like",
    impact_parameters=True,
    classes=("jet", "tau"),
    max_constituents=60,
    quick=Profile(NO_MPI, min_pt=0.5),
    production=Profile(min_pt=0.5),
    reference="2503.19165",
)
