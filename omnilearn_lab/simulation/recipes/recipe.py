"""What a recipe is: settings of a simulated dataset, and nothing else. Pythia strings that several share."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from omnilearn_lab.errors import SimulationError, nearest
from omnilearn_lab.simulation.cards import CARDS

_LAYOUT_VERSION = 2  # of the code that turns settings into jets; raise it when the jets change
_NOT_PHYSICS = ("title", "reference", "published")


@dataclass(frozen=True)
class Sample:
    """One process: Pythia strings, and how its jets are chosen and labelled.

    Parameters
    ----------
    name : str
    settings : tuple of str
        Pythia strings, read after those of the recipe and of the profile.
    label : str
        Class name; the sample's name when empty.
    fraction : float
        Relative number of jets.
    variants : tuple of tuple of str
        Further strings; jets of the variants alternate (both signs of a leptonic W, say).
    matched : bool
        Keep only jets that hold all visible decay products of one resonance.
    max_jets : int
        How many of the hardest jets of an event are looked at.
    drop_outgoing : tuple of int
        Events whose hard process emits one of these quarks (absolute PDG codes) are left out.
    """

    name: str
    settings: tuple[str, ...]
    label: str = ""
    fraction: float = 1.0
    variants: tuple[tuple[str, ...], ...] = ((),)
    matched: bool = False
    max_jets: int = 2
    drop_outgoing: tuple[int, ...] = ()

    @property
    def class_name(self) -> str:
        """The class these jets belong to."""
        return self.label or self.name


@dataclass(frozen=True)
class JetWindow:
    """Jet definition and acceptance: algorithm, radius, pt [GeV] and pseudorapidity (or rapidity) range."""

    radius: float
    pt: tuple[float, float]
    eta: tuple[float, float]
    algorithm: str = "antikt"
    use_rapidity: bool = False


@dataclass(frozen=True)
class Profile:
    """A trade between speed and realism.

    Parameters
    ----------
    settings : tuple of str
        Pythia strings such as ``PartonLevel:MPI=off``.
    min_pt : float
        Smallest pt of a constituent before clustering [GeV].
    """

    settings: tuple[str, ...] = ()
    min_pt: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """Everything that fixes the jets of a simulated dataset, but their number and the seed.

    Parameters
    ----------
    name, title : str
    samples : tuple of Sample
    window : JetWindow
    settings : tuple of str
        Pythia strings shared by all samples.
    selector : str
        The way from events to jets, see `omnilearn_lab.simulation.selection`.
    detector : str
        Name of a detector card; empty for particle level.
    match_radius : float
        Decay products must lie this close to the jet axis.
    resonances : tuple of int
        Absolute PDG codes of the decaying particles that matching knows.
    classes : tuple of str
        Class names; those of the samples, in order, when empty.
    max_constituents : int
        The hardest ones are kept.
    impact_parameters : bool
        Keep d0, dz and their resolutions.
    count_kept : bool
        ``multiplicity`` counts the constituents that are kept, instead of all.
    weighting : "", "bias" or "equal_pt"
        Jets carry ``weight``: that of a biased phase space, or one that makes the pt spectra of the
        classes equal (to a flat spectrum in ln pt).
    quick, production : Profile
    profile : "quick" or "production"
        The one in use.
    version : str
        Raised when a setting changes the physics on purpose.
    published : tuple of (name, mean, spread)
        Moments of the published dataset, for comparison.
    reference : str
        arXiv number of the dataset this recipe stands for.

    Examples
    --------
    >>> from omnilearn_lab.simulation import recipe
    >>> recipe("top_tagging").class_names
    ('qcd', 'top')
    >>> recipe("jetclass").digest() == recipe("jetclass", profile="production").digest()
    False
    """

    name: str
    title: str
    samples: tuple[Sample, ...]
    window: JetWindow
    settings: tuple[str, ...] = ()
    selector: str = "jets"
    detector: str = ""
    match_radius: float = 0.8
    resonances: tuple[int, ...] = (6, 23, 24, 25)
    classes: tuple[str, ...] = ()
    max_constituents: int = 1000
    impact_parameters: bool = False
    count_kept: bool = False
    weighting: str = ""
    quick: Profile = Profile(("PartonLevel:MPI=off",))
    production: Profile = Profile()
    profile: str = "quick"
    version: str = "1"
    published: tuple[tuple[str, float, float], ...] = ()
    reference: str = ""

    def __post_init__(self) -> None:
        if self.profile not in ("quick", "production"):
            raise SimulationError(
                f"no profile '{self.profile}'; {nearest(self.profile, ('quick', 'production'))}"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; labels are positions in this tuple."""
        return self.classes or tuple(dict.fromkeys(s.class_name for s in self.samples))

    @property
    def active(self) -> Profile:
        """The profile in use."""
        return self.production if self.profile == "production" else self.quick

    @property
    def jets_per_unit(self) -> int:
        """2 where jets come in pairs of one event, else 1."""
        return 2 if self.selector == "dijets" else 1

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the batches of jets one simulation yields."""
        return ("detector", "truth") if self.selector == "z_jets" else ("jets",)

    def digest(self) -> str:
        """Return twelve hexadecimal digits that change with any setting that changes the jets."""
        values = {k: v for k, v in dataclasses.asdict(self).items() if k not in _NOT_PHYSICS}
        for unused in ("quick", "production"):
            del values[unused]
        values |= {"active": dataclasses.asdict(self.active), "layout": _LAYOUT_VERSION}
        if self.detector in CARDS:
            values["card"] = dataclasses.asdict(CARDS[self.detector])
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


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
