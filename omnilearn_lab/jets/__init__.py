"""The one data structure: a batch of jets, each a point cloud of particles."""

from omnilearn_lab.jets.columns import SPECIES, charge_of, index_from_pid, reduce_pid
from omnilearn_lab.jets.files import jet_condition, original_command, read_jets, write_jets
from omnilearn_lab.jets.jets import InputSpec, Jets, PairedJets

__all__ = [
    "InputSpec", "Jets", "PairedJets", "SPECIES", "charge_of", "index_from_pid", "jet_condition",
    "original_command", "read_jets", "reduce_pid", "write_jets",
]  # fmt: skip
