"""Recipes for tagging large-radius jets: JetClass and the top-tagging reference set."""

from __future__ import annotations

from omnilearn_lab.simulation.recipes.blocks import (
    CMS_CYLINDER,
    NO_LONG_DECAYS,
    NO_MPI,
    PURE_Z,
    TOP_PAIRS,
    W_LEPTONS,
    W_QUARKS,
    Z_INVISIBLE,
    Z_QUARKS,
    energy,
    pt_hat,
)
from omnilearn_lab.simulation.recipes.recipe import JetWindow, Profile, Recipe, Sample

__all__ = ["JETCLASS", "JETCLASS_QUICK", "TOP_TAGGING"]

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
