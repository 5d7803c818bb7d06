"""Pythia strings that several recipes share."""

from __future__ import annotations

__all__ = [
    "CMS_CYLINDER",
    "NO_LONG_DECAYS",
    "NO_MPI",
    "PURE_Z",
    "TOP_PAIRS",
    "W_LEPTONS",
    "W_QUARKS",
    "Z_INVISIBLE",
    "Z_QUARKS",
    "energy",
    "pt_hat",
]

NO_MPI = ("PartonLevel:MPI=off",)
PURE_Z = ("WeakZ0:gmZmode=2",)
TOP_PAIRS = ("Top:gg2ttbar=on", "Top:qqbar2ttbar=on")
W_QUARKS = ("24:onMode=off", "24:onIfAny=1 2 3 4 5")
W_LEPTONS = ("24:onMode=off", "24:onIfAny=11 13")
Z_QUARKS = ("23:onMode=off", "23:onIfAny=1 2 3 4 5")
Z_INVISIBLE = ("23:onMode=off", "23:onIfAny=12 14 16")

# K0S, Lambda and the like decay metres away; born outside the tracker, their daughters would be lost
# (jet response 0.96 with a long tail). Either decays end at the calorimeter, where displaced tracks are wanted:
CMS_CYLINDER = (
    "ParticleDecays:limitCylinder=on",
    "ParticleDecays:xyMax=1290.",
    "ParticleDecays:zMax=3000.",
)
# or these particles stay stable, where no vertices are needed:
NO_LONG_DECAYS = ("ParticleDecays:limitTau0=on", "ParticleDecays:tau0Max=10.")


def energy(tev: float) -> tuple[str, ...]:
    """Proton-proton collisions at a centre-of-mass energy [TeV]."""
    return (f"Beams:eCM={1000 * tev:.0f}.",)


def pt_hat(low: float, high: float | None = None) -> tuple[str, ...]:
    """Range of transverse momentum in the hard process [GeV]."""
    upper = (f"PhaseSpace:pTHatMax={high:g}",) if high is not None else ()
    return (f"PhaseSpace:pTHatMin={low:g}", *upper)
