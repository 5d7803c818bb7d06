"""Species."""

import numpy as np
import pytest
from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import reduce_pid
from omnilearn_lab.jets.columns import pdg_charge

CHARGES = {3112: -1, 3312: -1, 3334: -1, 3222: 1, 411: 1, 421: 0, 431: 1, 521: 1, 4122: 1, 24: 1}
CHARGES |= {
    11: -1,
    13: -1,
    15: -1,
    12: 0,
    14: 0,
    16: 0,
    22: 0,
    111: 0,
    130: 0,
    310: 0,
    311: 0,
    2112: 0,
    3122: 0,
}
CHARGES |= {21: 0, 3322: 0, 3212: 0, 1000010020: 1, 1000020040: 2}


@pytest.mark.parametrize(("code", "charge"), CHARGES.items())
def test_charges_are_those_of_the_particle(code, charge):
    assert pdg_charge(np.array([code]))[0] == charge
    if code not in (21, 22, 111, 130, 310):  # their own antiparticles
        assert pdg_charge(np.array([-code]))[0] == -charge


@pytest.mark.parametrize(
    ("code", "species"),
    [(3112, -211), (3312, -211), (-3312, 211), (12, 130), (-14, 130), (15, -211), (421, 130)],
)
def test_species_follow_the_charge_and_not_the_sign_of_the_code(code, species):
    assert reduce_pid(np.array([code]))[0] == species


@pytest.mark.parametrize("code", [1, -2, 5, 2101, 99, 9999])
def test_codes_of_no_particle_are_refused(code):
    with pytest.raises(JetsError, match=f"particle code {code} "):
        reduce_pid(np.array([211, code]))
    assert reduce_pid(np.array([code]), np.array([1.0]))[0] == 211


def test_codes_that_are_not_whole_are_refused():
    with pytest.raises(JetsError, match="whole PDG codes"):
        pdg_charge(np.array([0.1, 0.2]))
