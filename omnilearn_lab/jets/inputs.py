"""What a network was trained with, so that it is asked about jets of the same kind only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets.jets import Jets
from omnilearn_lab.settings import settings

_DISPLACEMENT = ("d0", "d0_err", "dz", "dz_err")


@settings
class InputSpec:
    """The inputs of a network, as a saved model remembers them.

    Attributes
    ----------
    species
        Whether particle species are an input.
    displacement
        Whether impact parameters are.
    class_names
        Classes, in the order of the network's outputs.
    label_map
        Which value of the file was called which class, where one was given.
    energy_unit, length_unit
        Of momenta and of impact parameters in `Jets`.

    Examples
    --------
    >>> InputSpec(species=True, class_names=("QCD", "top")).length_unit
    'mm'
    """

    species: bool = False
    displacement: bool = False
    class_names: tuple[str, ...] = ()
    label_map: Mapping[str, str] = field(default_factory=dict)
    energy_unit: Literal["GeV"] = "GeV"
    length_unit: Literal["mm"] = "mm"

    @classmethod
    def of(cls, jets: Jets, *, species: bool | None = None, displacement: bool | None = None) -> InputSpec:
        """Describe jets; what is not said is taken when the jets have it.

        Raises
        ------
        JetsError
            When an input is asked for that the jets do not have.
        """
        spec = cls(
            species=_has_species(jets) if species is None else species,
            displacement=_has_displacement(jets) if displacement is None else displacement,
            class_names=jets.class_names,
            label_map={str(value): name for value, name in jets.provenance.get("label_map", {}).items()},
        )
        spec.check(jets)
        return spec

    def fit(self, jets: Jets) -> Jets:
        """Return jets as the network expects them: with its classes in its order.

        Raises
        ------
        JetsError
            When an input is missing, or a class has another name.
        """
        self.check(jets)
        if not self.class_names or "label" not in jets.jet or jets.class_names == self.class_names:
            return jets
        if not jets.class_names:
            return Jets(jets.particles, jets.offsets, jets.jet, self.class_names, jets.provenance)
        return jets.with_classes(self.class_names)

    def check(self, jets: Jets) -> None:
        """Refuse jets that lack an input.

        Raises
        ------
        JetsError
            Naming the input and what to do.
        """
        if self.species and not _has_species(jets):
            raise JetsError(
                "the network was trained with particle species, and these jets have none; map 'pid' when "
                "reading them, or train with species=False"
            )
        if self.displacement and not _has_displacement(jets):
            missing = [name for name in _DISPLACEMENT if name not in jets.particles]
            raise JetsError(
                f"the network was trained with impact parameters [mm], and these jets have no {missing}; "
                "map them when reading, or train with displacement=False"
            )


def _has_species(jets: Jets) -> bool:
    return "pid" in jets.particles


def _has_displacement(jets: Jets) -> bool:
    return all(name in jets.particles for name in _DISPLACEMENT)
