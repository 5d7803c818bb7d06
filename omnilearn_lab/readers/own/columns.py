"""How columns of a file of the user's own map to particles and jets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.settings import from_mapping, load_yaml, settings

_MOMENTUM_SETS = (
    {"pt", "eta", "phi"},
    {"px", "py", "pz", "energy"},
    {"pt", "deta", "dphi"},
    {"q_over_p", "theta", "phi"},
)


@settings
class ColumnMap:
    """Which column of a file holds what.

    A row of the file is a jet (particle columns are jagged, or rectangular with zeros), or an
    event (jet columns are jagged, too). In events, particles belong to jets by nesting (lists of lists),
    by index columns, by ranges of an index column, or to the nearest jet within ``radius``. A column whose
    name ends in ``?`` is used if the file has it. Capitals matter only where two names differ in nothing
    else.

    Attributes
    ----------
    particles
        Our name to the file's. Needed: ``pt, eta, phi``, or ``px, py, pz, energy``, or
        ``pt, deta, dphi``, or ``q_over_p, theta, phi`` of tracks; optional: ``energy`` or ``mass`` (else
        massless), ``pid``, ``charge``, ``d0``, ``d0_err``, ``dz``, ``dz_err``, ``mask`` (which slots are
        real), ``puppi_weight``, and any other. A value such as ``"=22"`` is a constant.
    jet
        Likewise ``pt, eta, phi, mass`` or ``px, py, pz, energy``, ``label``, ``weight``, ``raw_factor`` (1
        minus uncorrected over corrected pt) and others; without momentum the jet is the sum of its particles.
    more
        Further collections of particles, with the columns of ``particles`` (missing ones are 0).
    jet_index
        Column with the number of the jet, for each candidate of ``candidate_index``.
    candidate_index
        Column with the row of the candidate in ``particles``; none if ``jet_index`` runs along them.
    begin, end
        Columns of jets: which entries of ``candidate_index`` (or of the particles) are theirs.
    radius
        Cone for particles without index columns.
    tree
        ROOT tree, with its folder if it lies in one; the only one when empty.
    unit
        Of energies; ``auto`` guesses MeV when the median jet pt is above 7000.
    length_unit
        Of impact parameters and their errors.
    codes
        Convention of ``pid``: PDG codes; ``cms``, where 1 and 2 are deposits in the forward calorimeter; or
        ``energyflow``, where ``remap_pids`` put 0.0, 0.1, ... 1.3.
    puppi
        Multiply four-momenta by ``puppi_weight`` and drop particles of weight 0 (``apply``), or not
        (``ignore``); ``auto`` does what brings the sum of the particles closer to the uncorrected jet pt.
    labels
        Class name by value of the label column: ``{0: light, 4: c, 5: b}``; other values are bad jets.
    flags
        Column by class name, where every class has a column of its own that is 1 for its jets.
    label
        Label of all jets, for files with one class.
    class_names
        Names of the classes, in the order of the labels.

    Examples
    --------
    >>> ColumnMap(particles={"pt": "trk_pt", "eta": "trk_eta", "phi": "trk_phi"}, unit="MeV").unit
    'MeV'
    """

    particles: Mapping[str, str]
    jet: Mapping[str, str] = field(default_factory=dict)
    more: tuple[Mapping[str, str], ...] = ()
    jet_index: str = ""
    candidate_index: str = ""
    begin: str = ""
    end: str = ""
    radius: Annotated[float, Field(ge=0)] = 0.0
    tree: str = ""
    unit: Literal["auto", "GeV", "MeV"] = "auto"
    length_unit: Literal["mm", "cm", "um", "m"] = "mm"
    codes: Literal["pdg", "cms", "energyflow"] = "pdg"
    puppi: Literal["auto", "apply", "ignore"] = "auto"
    labels: Mapping[Any, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    label: int | None = None
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not any(needed <= set(self.particles) for needed in _MOMENTUM_SETS):
            raise ConfigError(
                f"particles has {sorted(self.particles)}; pt, eta, phi, or px, py, pz, energy, "
                "or pt, deta, dphi, or q_over_p, theta, phi are needed"
            )
        if "pt" in self.jet and not {"eta", "phi"} <= set(self.jet) and "deta" not in self.particles:
            raise ConfigError("jet has 'pt' without 'eta' and 'phi'; give all three, or none of them")
        if bool(self.begin) != bool(self.end):
            raise ConfigError("begin and end belong together; give both, or none of them")
        ways = [bool(self.flags), "label" in self.jet, self.label is not None]
        if sum(ways) > 1:
            raise ConfigError("jet={'label': ...}, flags and label exclude each other; give one of them")
        if self.labels and "label" not in self.jet:
            raise ConfigError("labels says what values mean; say which column has them, jet={'label': ...}")

    def used(self) -> list[str]:
        """Return the names of all columns that this map takes from a file, without ``?``."""
        return [name.removesuffix("?") for name in self._columns()]

    def of_jets(self) -> str:
        """Return a column with one entry for each jet of an event, for `add_columns` to align with."""
        names = [self.jet.get(name, "") for name in ("pt", "px")] + [self.begin, *self.jet.values()]
        names += list(self.particles.values())
        return next(name for name in names if name and not name.endswith("?"))

    def needed(self) -> list[str]:
        """Return the names of the columns that a file must have."""
        return [name for name in self._columns() if not name.endswith("?")]

    def _columns(self) -> list[str]:
        names = [*self.particles.values(), *self.jet.values(), *self.flags.values()]
        names += [name for further in self.more for name in further.values()]
        names += [self.jet_index, self.candidate_index, self.begin, self.end]
        return [name for name in names if name and not name.startswith("=")]


@cache
def presets() -> Mapping[str, ColumnMap]:
    """Return column maps by name: NanoAOD, Delphes, PHYSLITE, EDM4hep, flavour-tagging dumps."""
    shipped = load_yaml(Path(__file__).with_name("presets.yaml"))
    return {name: from_mapping(ColumnMap, fields) for name, fields in shipped.items()}


def column_map(mapping: ColumnMap | Mapping[str, Any] | str) -> ColumnMap:
    """Return a `ColumnMap` from one, from a mapping of its fields, or from a preset's name.

    Raises
    ------
    ConfigError
        For an unknown preset or field; the message names the nearest.

    Examples
    --------
    >>> column_map("delphes").tree
    'Delphes'
    """
    if isinstance(mapping, ColumnMap):
        return mapping
    if isinstance(mapping, str):
        if mapping not in presets():
            raise ConfigError(f"there is no preset '{mapping}'; {nearest(mapping, presets())}")
        return presets()[mapping]
    return from_mapping(ColumnMap, mapping)
