"""Networks that give the energy of a molecule and the force on each of its atoms.

Both numbers come out standardised: the energy less that of the elements, in units of the spread per atom; the
forces in units of their root mean square (see `omnilearn_lab.tasks.molecules.study.Scales`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from omnilearn_lab.models import Batch, PETv2, PETv2Config
from omnilearn_lab.models.edges import PAIRS, Space, molecule_features
from omnilearn_lab.models.kernels import plain

N_KINDS = 4  # of elements
Forces = Literal["pairs", "direct", "gradient"]
EnergyAndForces = tuple[Tensor, Tensor]

_SPACE = Space(3)
_N_MESSAGE = 32  # what two atoms say of themselves when they push each other
_N_FEATURES = PAIRS["molecule"].n_features
_REACH = 5.0  # [Angstrom]


class MoleculePET(PETv2):
    """PET v2 on atoms: the energy as a sum over atoms, and forces in one of three ways.

    Parameters
    ----------
    forces
        "pairs": along the lines between atoms, equal and opposite. Momentum is conserved, and as the network
        sees distances only, forces turn with the molecule. "gradient": minus the gradient of the energy, from
        distances only; energy is conserved, too, but where an atom's ``n_neighbors`` nearest change, which
        makes it jump: give as many as there are atoms for dynamics. "direct": three numbers of each atom,
        from a network that sees coordinates; nothing is conserved but what it learns.
    ratio
        Unit of energies per atom over that of forces [Angstrom], for "gradient".
    **network
        Fields of the configuration that differ from the tiny network.

    Examples
    --------
    >>> MoleculePET("pairs").config.use_positions, MoleculePET("direct").config.use_positions
    (False, True)
    """

    def __init__(self, forces: Forces, *, ratio: float = 1.0, **network: Any) -> None:
        n_outputs = {"pairs": 1 + _N_MESSAGE, "direct": 4, "gradient": 1}[forces]
        atoms = {"n_features": 5, "n_coordinates": 3, "pairs": "molecule", "n_species": N_KINDS + 1}
        atoms |= {"use_positions": forces == "direct", "use_directions": forces == "direct"}
        heads = {"mode": "particle_regression", "n_particle_classes": n_outputs}
        super().__init__(PETv2Config.named("tiny", **atoms | heads | network))
        self.forces, self.ratio = forces, ratio
        if forces == "pairs":
            layers = nn.Linear(_N_MESSAGE + _N_FEATURES, 64), nn.GELU(), nn.Linear(64, 1)
            self.push = nn.Sequential(*layers)
            for parameter in self.push[-1].parameters():
                nn.init.zeros_(parameter)
        n_zero = 1 if forces == "pairs" else n_outputs  # the first guess is the reference, and no force
        nn.init.zeros_(self.generator.out.weight[:n_zero].detach())

    def energy_and_forces(self, batch: Batch) -> EnergyAndForces:
        """Return energies (B,) and forces (T, 3)."""
        if self.forces == "gradient":
            with plain():
                return by_gradient(lambda b: self.regress_particles(b)[:, 0], batch, self)
        atoms = self.regress_particles(batch)
        energy = batch.packing.sum_rows(atoms[:, :1])[:, 0]
        return energy, atoms[:, 1:] if self.forces == "direct" else self._along_lines(atoms[:, 1:], batch)

    def _along_lines(self, messages: Tensor, batch: Batch) -> Tensor:
        """F_i = sum_j w(m_i m_j, features of i and j) (x_i - x_j) / r, so that F_ij = -F_ji."""
        first, second = pairs_of(batch)
        one, other = batch.features[first], batch.features[second]
        features = molecule_features(one, other, _SPACE)
        strength = self.push(torch.cat([messages[first] * messages[second], features], -1))
        step, distance = one[:, :3] - other[:, :3], _SPACE.distance(one, other)[0][:, None]
        push = strength * torch.exp(-((distance / _REACH) ** 4)) * step / distance
        return torch.zeros_like(batch.features[:, :3]).index_add(0, first, push).index_add(0, second, -push)


class ContinuousFilters(nn.Module):
    """A SchNet-like network: messages of all atoms, filtered by smooth functions of the distance.

    x_i <- x_i + A sum_j W(features of i and j) B x_j, three times; the energy is a sum over atoms, forces are
    minus its gradient.

    References
    ----------
    Schuett et al. (SchNet), arXiv:1706.08566, sections 3 and 4.2. Here the filter also sees the pair
    features of `omnilearn_lab.models.edges.molecule_features`.
    """

    def __init__(self, *, ratio: float = 1.0, width: int = 64, n_layers: int = 3) -> None:
        super().__init__()
        self.ratio = ratio
        self.species = nn.Embedding(N_KINDS + 1, width)
        self.dense = nn.ModuleList(_two_layers(width, width, width) for _ in range(n_layers))
        self.filters = nn.ModuleList(_two_layers(_N_FEATURES, width, width) for _ in range(n_layers))
        self.send = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(n_layers))
        self.out = _two_layers(width, width, 1)
        nn.init.zeros_(self.out[-1].weight)

    def energy_and_forces(self, batch: Batch) -> EnergyAndForces:
        """Return energies (B,) and forces (T, 3)."""
        return by_gradient(self._atom_energies, batch, self)

    def _atom_energies(self, batch: Batch) -> Tensor:
        first, second = pairs_of(batch)
        one, other = batch.features[first], batch.features[second]
        features = molecule_features(one, other, _SPACE)
        near = torch.exp(-((_SPACE.distance(one, other)[0] / _REACH) ** 4))[:, None]
        atoms = self.species(batch.pid)
        for send, filters, dense in zip(self.send, self.filters, self.dense, strict=True):
            sent, weight = send(atoms), filters(features) * near
            heard = torch.zeros_like(atoms).index_add(0, first, weight * sent[second])
            atoms = atoms + dense(heard.index_add(0, second, weight * sent[first]))
        return self.out(atoms)[:, 0]


def _two_layers(n_in: int, width: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, width), nn.SiLU(), nn.Linear(width, n_out))


def pairs_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the atoms of every pair of the same molecule, each pair once, int64, shapes (P,)."""
    pairs = batch.packing.pairs
    return torch.cat([pair.first for pair in pairs]), torch.cat([pair.second for pair in pairs])


def by_gradient(
    atom_energies: Callable[[Batch], Tensor], batch: Batch, model: MoleculePET | ContinuousFilters
) -> EnergyAndForces:
    """Return the sum of atoms' energies, and as forces minus its gradient by the coordinates."""
    with torch.enable_grad():  # in validation, too
        rows = batch.features.detach().requires_grad_()
        moved = batch.replace(features=rows)
        energy = moved.packing.sum_rows(atom_energies(moved)[:, None])[:, 0]
        slope = torch.autograd.grad(energy.sum(), rows, create_graph=model.training)[0]
    return energy if model.training else energy.detach(), -model.ratio * slope[:, :3]
