"""The atoms of many structures as environments: densities by species, and which structure each belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import KernelSettings
from hamlearn.density import Gradients
from hamlearn.types import IntArray


@dataclass(frozen=True)
class Environments:
    """Densities of the atoms of many structures.

    Attributes:
        densities: by species of the centre [environment, (max_l + 1)^2, q].
        structure: structure of each environment [environment].
        atom: flat index of each environment's centre in the list of all atoms [environment].
        n_structures: number of structures, also those without an atom of some species.
        n_atoms: number of atoms in all.
        gradients: derivatives of the densities with respect to positions, where they were asked for.
        settings: of the densities; environments of different ones have no kernel in common.
    """

    densities: dict[int, Tensor]
    structure: dict[int, IntArray]
    atom: dict[int, IntArray]
    n_structures: int
    n_atoms: int
    gradients: dict[int, Gradients] | None = None
    settings: KernelSettings | None = None

    def __len__(self) -> int:
        """Return the number of environments."""
        return sum(map(len, self.densities.values()))

    @property
    def species(self) -> list[int]:
        """Species of the centres, ascending."""
        return sorted(self.densities)

    def count(self, z: int) -> int:
        """Return the number of environments of one species."""
        return len(self.densities[z]) if z in self.densities else 0

    def select(self, rows: Mapping[int, IntArray]) -> Environments:
        """Return some environments of each species, such as an active set; gradients are left behind."""
        return Environments(
            {z: self.densities[z][index] for z, index in rows.items()},
            {z: self.structure[z][index] for z, index in rows.items()},
            {z: self.atom[z][index] for z, index in rows.items()},
            self.n_structures,
            self.n_atoms,
            settings=self.settings,
        )

    def slices(self) -> dict[int, slice]:
        """Return where the environments of each species lie when all are laid end to end by species."""
        ends = np.cumsum([0, *(self.count(z) for z in self.species)])
        return {z: slice(int(a), int(b)) for z, a, b in zip(self.species, ends[:-1], ends[1:], strict=True)}


def joined(parts: Sequence[Environments]) -> Environments:
    """Return the environments of several batches of structures as one set."""
    if len(parts) == 1:
        return parts[0]
    first_structure = np.cumsum([0, *(part.n_structures for part in parts)])
    first_atom = np.cumsum([0, *(part.n_atoms for part in parts)])
    species = sorted({z for part in parts for z in part.species})
    has_gradients = all(part.gradients is not None for part in parts)
    densities, structure, atom, gradients = {}, {}, {}, {}
    for z in species:
        own = [k for k, part in enumerate(parts) if z in part.densities]
        densities[z] = torch.cat([parts[k].densities[z] for k in own])
        structure[z] = np.concatenate([parts[k].structure[z] + first_structure[k] for k in own])
        atom[z] = np.concatenate([parts[k].atom[z] + first_atom[k] for k in own])
        if has_gradients:
            first_row = np.cumsum([0, *(parts[k].count(z) for k in own)])
            of_z = [(parts[k].gradients[z], row, first_atom[k]) for k, row in zip(own, first_row, strict=False)]  # type: ignore[index]
            gradients[z] = Gradients(
                np.concatenate([g.row + row for g, row, _ in of_z]),
                np.concatenate([g.centre + shift for g, _, shift in of_z]),
                np.concatenate([g.neighbour + shift for g, _, shift in of_z]),
                torch.cat([g.values for g, _, _ in of_z]),
            )
    n_structures, n_atoms = int(first_structure[-1]), int(first_atom[-1])
    slopes = gradients if has_gradients else None
    return Environments(densities, structure, atom, n_structures, n_atoms, slopes, parts[0].settings)
