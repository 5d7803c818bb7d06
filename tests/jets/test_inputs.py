import numpy as np
import pytest
from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import InputSpec, Jets
from omnilearn_lab.settings import from_mapping, to_mapping


def without(jets, *names):
    kept = {name: values for name, values in jets.particles.items() if name not in names}
    return Jets(kept, jets.offsets, jets.jet, jets.class_names, jets.provenance)


def test_what_jets_have_is_described_and_comes_back(jets):
    spec = InputSpec.of(jets)
    assert spec.species and spec.displacement and spec.class_names == jets.class_names
    assert from_mapping(InputSpec, to_mapping(spec)) == spec
    assert not InputSpec.of(jets, species=False).species
    assert not InputSpec.of(without(jets, "d0_err")).displacement


@pytest.mark.parametrize(
    ("name", "message"), [("pid", "particle species"), ("dz", "impact parameters.*'dz'")]
)
def test_jets_without_an_input_are_refused(jets, name, message):
    with pytest.raises(JetsError, match=message):
        InputSpec.of(jets).fit(without(jets, name))
    with pytest.raises(JetsError, match=message):
        InputSpec.of(without(jets, name), species=True, displacement=True)


def test_classes_in_another_order_are_brought_into_that_of_the_network(jets):
    spec = InputSpec.of(jets)
    turned = jets.with_classes(jets.class_names[::-1])
    assert not np.array_equal(turned.label, jets.label)
    assert spec.fit(turned).label.tolist() == jets.label.tolist()


def test_other_classes_are_refused(jets):
    spec = InputSpec.of(jets)
    other = Jets(jets.particles, jets.offsets, jets.jet, ("W", "Z", "top")[: len(jets.class_names)])
    with pytest.raises(JetsError, match="cannot be taken for"):
        spec.fit(other)
