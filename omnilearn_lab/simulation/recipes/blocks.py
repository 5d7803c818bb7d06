"""Pythia strings that several recipes share."""

from __future__ import annotations

__all__ = [
    "A14",
    "CMS_CYLINDER",
    "NO_LONG_DECAYS",
    "NO_MPI",
    "OTHER_SHOWER",
    "PURE_Z",
    "TOP_PAIRS",
    "W_LEPTONS",
    "W_QUARKS",
    "Z_INVISIBLE",
    "Z_QUARKS",
    "energy",
    "pt_hat",
    "resonance",
]

NO_MPI = ("PartonLevel:MPI=off",)
PURE_Z = ("WeakZ0:gmZmode=2",)
TOP_PAIRS = ("Top:gg2ttbar=on", "Top:qqbar2ttbar=on")
W_QUARKS = ("24:onMode=off", "24:onIfAny=1 2 3 4 5")
W_LEPTONS = ("24:onMode=off", "24:onIfAny=11 13")
Z_QUARKS = ("23:onMode=off", "23:onIfAny=1 2 3 4 5")
Z_INVISIBLE = ("23:onMode=off", "23:onIfAny=12 14 16")

# K0S, Lambda and the like decay metres away; born outside the tracker, their daughters would be lost
# (jet response 0.96 with a long tail). Either no decay is allowed behind the calorimeter face:
CMS_CYLINDER = (
    "ParticleDecays:limitCylinder=on",
    "ParticleDecays:xyMax=1290.",
    "ParticleDecays:zMax=3000.",
)
# or these particles stay stable, where no displaced tracks are needed:
NO_LONG_DECAYS = ("ParticleDecays:limitTau0=on", "ParticleDecays:tau0Max=10.")


# Another tune, fragmentation and coupling: moves multiplicity and mass as Herwig does relative to Pythia.
A14 = ("Tune:pp=21",)
OTHER_SHOWER = (
    *A14,
    "StringZ:aLund=1.0",
    "StringZ:bLund=0.70",
    "StringPT:sigma=0.38",
    "TimeShower:alphaSvalue=0.142",
)


def energy(tev: float) -> tuple[str, ...]:
    """Proton-proton collisions at a centre-of-mass energy [TeV]."""
    return (f"Beams:eCM={1000 * tev:.0f}.",)


def pt_hat(low: float, high: float | None = None) -> tuple[str, ...]:
    """Range of transverse momentum in the hard process [GeV]."""
    upper = (f"PhaseSpace:pTHatMax={high:g}",) if high is not None else ()
    return (f"PhaseSpace:pTHatMin={low:g}", *upper)


def resonance(code: int, name: str, *, mass: float, window: float, charge_type: int = 0) -> tuple[str, ...]:
    """A user-defined narrow resonance of a given mass and mass window [GeV], without decay channels."""
    anti = f"{name}bar" if charge_type else "void"
    low, high = mass - window, mass + window
    return (
        f"{code}:all = {name} {anti} 1 {charge_type} 0 {mass:g}. 0.1 {low:g}. {high:g}. 0.",
        f"{code}:isResonance=on",
        f"{code}:doForceWidth=on",
    )
