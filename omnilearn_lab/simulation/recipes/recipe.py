"""What a recipe is: settings of a simulated dataset, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass

from omnilearn_lab.errors import SimulationError, nearest
from omnilearn_lab.simulation.cards import CARDS

__all__ = ["JetWindow", "Profile", "Recipe", "Sample"]

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
