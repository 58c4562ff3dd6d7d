"""What the contracts of learners and tasks learn: exactly known matrices and properties of small molecules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
import yaml
from ase import Atoms

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.ao_rotation import ao_permutation
from hamlearn.angular.harmonics import spherical_harmonics
from hamlearn.blocks import assemble_matrices
from hamlearn.config import PropertyTarget, SaphTarget
from hamlearn.learning.data import Data
from hamlearn.learning.groups import Answers
from hamlearn.learning.tasks import MatrixTask, PropertyTask
from hamlearn.qm.molecule import build_mole
from hamlearn.targets.labels import Labels
from hamlearn.types import FloatArray, IntArray
from hamlearn.units import BOHR_ANGSTROM

WATER = ("OHH", [[0, 0, 0], [0.76, 0, 0.59], [-0.76, 0.1, 0.59]])
PEROXIDE = ("OHOH", [[0, 0.72, 0.05], [0.79, 0.9, 0.48], [0.02, -0.73, 0], [-0.81, -0.92, 0.44]])


def small_molecules(n: int, seed: int = 0) -> list[Atoms]:
    """Return waters and hydrogen peroxides in turn, distorted at random: every kind of family, unlike sizes."""
    rng = np.random.default_rng(seed)
    base = [(formula, np.array(positions)) for formula, positions in (WATER, PEROXIDE)]
    chosen = (base[k % 2] for k in range(n))
    return [Atoms(formula, x + rng.normal(scale=0.06, size=x.shape)) for formula, x in chosen]


class MatrixProblem:
    """Kinetic energy and nuclear attraction in a minimal basis: an exact matrix without a self-consistent field."""

    basis = "sto-3g"

    def labels(self, structures: Sequence[Atoms]) -> list[FloatArray]:
        """Return the matrix of every structure [ao, ao], Hartree, PySCF's order."""
        return [mole.intor("int1e_kin") + mole.intor("int1e_nuc") for mole in map(self._mole, structures)]

    def encode(self, structures: Sequence[Atoms]) -> tuple[MatrixTask, Data]:
        """Return the task of some structures, and their matrices as rows of groups."""
        task = MatrixTask(Orbitals.merge(Orbitals.from_mole(self._mole(atoms)) for atoms in structures))
        return task, task.encode(self.labels(structures), [atoms.numbers for atoms in structures])

    def decode(self, task: MatrixTask, answers: Answers, structures: Sequence[Atoms]) -> list[FloatArray]:
        """Return the matrices of answers."""
        numbers = [atoms.numbers for atoms in structures]
        return assemble_matrices(task.decode(answers, numbers), numbers, task.orbitals)

    def permuted(self, label: FloatArray, atoms: Atoms, order: IntArray) -> FloatArray:
        """Return the label of the structure whose atom k is atom ``order[k]``."""
        index = ao_permutation(Orbitals.from_mole(self._mole(atoms)), atoms.numbers, order)
        return label[np.ix_(index, index)]

    def saved(self, task: MatrixTask) -> MatrixTask:
        """Return the task that the state of this one describes, as read from YAML."""
        return MatrixTask.from_state(SaphTarget(), through_yaml(task.state()))

    def _mole(self, atoms: Atoms) -> Any:
        return build_mole(atoms.numbers, atoms.positions / BOHR_ANGSTROM, self.basis)


class PropertyProblem:
    """y_m = sum_{ij} sqrt(z_i) exp(-r_ij) Y_lm(r_ij): a scalar with its forces, a vector or a tensor.

    Args:
        l: angular momentum; sigma is 1.
        forces: also learn the gradient of a scalar.
    """

    def __init__(self, l: Literal[0, 1, 2] = 0, forces: bool = False) -> None:
        self.target = PropertyTarget(key="made_up", l=l, forces_key="made_up_forces" if forces else None)

    def labels(self, structures: Sequence[Atoms]) -> list[FloatArray]:
        """Return the components of every structure [2l+1]."""
        return [self._value(atoms)[0] for atoms in structures]

    def encode(self, structures: Sequence[Atoms]) -> tuple[PropertyTask, Data]:
        """Return the task of some structures, and their components as rows of the one group."""
        both = [self._value(atoms) for atoms in structures]
        forces = None if self.target.forces_key is None else -np.concatenate([gradient for _, gradient in both])
        task = PropertyTask(self.target)
        return task, task.encode(structures, Labels(np.array([value for value, _ in both]), forces))

    def decode(self, task: PropertyTask, answers: Answers, structures: Sequence[Atoms]) -> list[FloatArray]:
        """Return the components of answers."""
        return list(task.decode(answers, structures))

    def permuted(self, label: FloatArray, atoms: Atoms, order: IntArray) -> FloatArray:
        """Return the label of the structure whose atom k is atom ``order[k]``: the same."""
        return label

    def saved(self, task: PropertyTask) -> PropertyTask:
        """Return the task that the state of this one describes, as read from YAML."""
        return PropertyTask.from_state(self.target, through_yaml(task.state()))

    def _value(self, atoms: Atoms) -> tuple[FloatArray, FloatArray]:
        """Return the components [2l+1], and the gradient of their sum [atom, 3], unit/Å."""
        l, n = self.target.l, len(atoms)
        x = torch.tensor(atoms.positions, dtype=torch.float64, requires_grad=True)
        i, j = np.nonzero(~np.eye(n, dtype=bool))
        vectors = x[j] - x[i]
        charge = torch.from_numpy(np.sqrt(atoms.numbers[i]))
        weight = charge * torch.exp(-torch.linalg.norm(vectors, dim=1))
        value = (weight[:, None] * spherical_harmonics(vectors, l)[:, l * l :]).sum(dim=0)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach().numpy(), gradient.numpy()


class Problem(Protocol):
    """What the contracts learn; tasks are passed through."""

    def labels(self, structures: Sequence[Atoms]) -> list[FloatArray]:
        """Return what is learned of every structure."""

    def encode(self, structures: Sequence[Atoms]) -> tuple[Any, Data]:
        """Return the task of some structures, and their labels as rows of groups."""

    def decode(self, task: Any, answers: Answers, structures: Sequence[Atoms]) -> list[FloatArray]:
        """Return the labels of answers."""

    def permuted(self, label: FloatArray, atoms: Atoms, order: IntArray) -> FloatArray:
        """Return the label of the structure whose atom k is atom ``order[k]``."""

    def saved(self, task: Any) -> Any:
        """Return the task that the state of this one describes, as read from YAML."""


def through_yaml(state: Any) -> Any:
    """Return plain values as they are after they were written to a file and read."""
    return yaml.safe_load(yaml.safe_dump(state))
