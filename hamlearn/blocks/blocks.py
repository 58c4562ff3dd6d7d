"""Matrices to irreducible blocks and back, exactly and for all structures at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.angular.ao_order import Orbitals, Shell
from hamlearn.angular.clebsch_gordan import clebsch_gordan
from hamlearn.angular.elements import symbol
from hamlearn.blocks.keys import BlockKey, couplings, families, shell_pairs
from hamlearn.display import Shown, Words
from hamlearn.equality import ByValue
from hamlearn.errors import BasisError
from hamlearn.structures.families import Family, laid_out
from hamlearn.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False, repr=False)
class Blocks(ByValue, Shown):
    """Irreducible blocks of many matrices.

    Attributes:
        samples: for each family the table (structure, i, j) of its rows [sample, 3].
        values: for each block its values [sample, 2L+1], Hartree.
    """

    samples: Mapping[Family, IntArray]
    values: Mapping[BlockKey, FloatArray]

    def shown(self) -> dict[str, object]:
        """Return numbers of samples and of blocks."""
        return {"samples": samples_in_words(self.samples), **count_values(self.values)}


def samples_in_words(samples: Mapping[Family, IntArray]) -> dict[Words, int]:
    """Return how many rows every family has, by names such as ``O`` and ``H-O cross``."""
    return {Words(_name(family)): len(rows) for family, rows in samples.items()}


def _name(family: Family) -> str:
    i, j = symbol(family.species_i), symbol(family.species_j)
    return i if family.kind == "on_site" else f"{i}-{j} {family.kind}"


def count_values(values: Mapping[BlockKey, FloatArray]) -> dict[str, object]:
    """Return how many blocks there are, and how many numbers in all of them."""
    return {"n_blocks": len(values), "n_values": sum(int(array.size) for array in values.values())}


class MatrixLayout:
    """Where the elements of each block lie in the concatenation of all matrices (PySCF's orbital order)."""

    def __init__(self, numbers: Sequence[IntArray], orbitals: Orbitals) -> None:
        self.numbers = [np.asarray(z, dtype=np.int64) for z in numbers]
        self.orbitals = orbitals
        self._check_species()
        n_per_species = np.zeros(max(orbitals.shells, default=0) + 1, dtype=np.int64)
        for z in orbitals.shells:
            n_per_species[z] = len(orbitals.ao_index[z])
        n_per_atom = [n_per_species[z] for z in self.numbers]
        self.n_ao = np.array([n.sum() for n in n_per_atom], dtype=np.int64)  # [structure]
        self.offset = np.concatenate([[0], np.cumsum(self.n_ao**2)])  # [structure + 1]
        starts = [np.cumsum(n) - n for n in n_per_atom]
        self.ao_start = np.concatenate(starts) if starts else np.zeros(0, np.int64)  # [atom]
        self.first_atom = laid_out(self.numbers)[2]

    def _check_species(self) -> None:
        unknown = sorted({int(z) for numbers in self.numbers for z in numbers} - set(self.orbitals.shells))
        if unknown:
            raise BasisError(
                f"elements {unknown} have no orbitals; expected elements {sorted(self.orbitals.shells)}: "
                "give orbitals of all species"
            )

    def flatten(self, matrices: Sequence[FloatArray]) -> FloatArray:
        """Return the symmetrised matrices end to end [channel, element]."""
        channels = matrices[0].shape[:-2] if len(matrices) else ()
        for index, (matrix, n) in enumerate(zip(matrices, self.n_ao, strict=True)):
            if matrix.shape[-2:] != (n, n):
                raise BasisError(
                    f"matrix {index} has shape {matrix.shape}; its molecule has {n} orbitals in this basis"
                )
            if matrix.shape[:-2] != channels or len(channels) > 1:
                raise BasisError(
                    f"matrix {index} has shape {matrix.shape}; expected [ao, ao] or [channel, ao, ao] with as many "
                    "channels in every matrix"
                )
        n_channels = channels[0] if channels else 1
        parts = [(0.5 * (m + m.swapaxes(-1, -2))).reshape(n_channels, -1) for m in matrices]
        return np.concatenate([np.zeros((n_channels, 0)), *parts], axis=1)

    def unflatten(self, flat: FloatArray) -> list[FloatArray]:
        """Return the matrices of what :meth:`flatten` returned, [ao, ao] where there is one channel."""
        shape = () if len(flat) == 1 else (len(flat),)
        return [
            flat[:, start:stop].reshape(*shape, n, n)
            for start, stop, n in zip(self.offset[:-1], self.offset[1:], self.n_ao, strict=True)
        ]

    def index(self, samples: IntArray, a: tuple[int, Shell], b: tuple[int, Shell]) -> tuple[IntArray, IntArray]:
        """Return the places of H_{ia,jb} and of its transpose, both [sample, 2 la + 1, 2 lb + 1].

        Args:
            samples: rows (structure, i, j) [sample, 3].
            a: species and shell of the first atom.
            b: species and shell of the second atom.
        """
        structure, i, j = samples.T
        row = self._orbitals(structure, i, *a)[:, :, None]
        column = self._orbitals(structure, j, *b)[:, None, :]
        start, n = self.offset[structure][:, None, None], self.n_ao[structure][:, None, None]
        return start + row * n + column, start + column * n + row

    def _orbitals(self, structure: IntArray, atom: IntArray, species: int, shell: Shell) -> IntArray:
        """Return the PySCF positions of a shell, m = -l..l [sample, 2l+1]."""
        start = self.orbitals.shell_offset(species, shell)
        within = np.array(self.orbitals.ao_index[species][start : start + 2 * shell[1] + 1])
        return self.ao_start[self.first_atom[structure] + atom][:, None] + within


def split_matrices(matrices: Sequence[FloatArray], numbers: Sequence[IntArray], orbitals: Orbitals) -> Blocks:
    """Split symmetric matrices into irreducible blocks, h^L_M = sum C^{la lb L}[ma, mb, M] B[ma, mb].

    Args:
        matrices: one per structure, PySCF's orbital order; symmetrised first. [ao, ao], or [channel, ao, ao] for
            several matrices of one molecule, such as those of two spins, that are told apart by ``BlockKey.channel``.
        numbers: atomic numbers of every structure.
        orbitals: shells and order of all species.

    Returns:
        The blocks; the map is orthogonal, so that sum |h|^2 with multiplicities is the Frobenius norm squared.

    Raises:
        BasisError: if a matrix does not fit its molecule.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 19-21.
    """
    layout = MatrixLayout(numbers, orbitals)
    flat = layout.flatten(matrices)
    samples: dict[Family, IntArray] = {}
    values: dict[BlockKey, FloatArray] = {}
    for family in families(list(orbitals.shells)):
        rows = samples[family] = family.samples(layout.numbers)
        for shell_a, shell_b in shell_pairs(family, orbitals):
            block = _gather(flat, layout, family, rows, shell_a, shell_b)
            for L in couplings(family, shell_a, shell_b):
                coupled = np.einsum("csab,abM->csM", block, clebsch_gordan(shell_a[1], shell_b[1], L))
                values |= {BlockKey.of(family, shell_a, shell_b, L, c): own for c, own in enumerate(coupled)}
    return Blocks(samples, values)


def assemble_matrices(blocks: Blocks, numbers: Sequence[IntArray], orbitals: Orbitals) -> list[FloatArray]:
    """Put blocks back together, B[ma, mb] = sum C^{la lb L}[ma, mb, M] h^L_M: the inverse of :func:`split_matrices`.

    Args:
        blocks: values, Hartree; absent blocks are zero.
        numbers: atomic numbers of every structure.
        orbitals: shells and order of all species.

    Returns:
        One symmetric matrix per structure [ao, ao], Hartree, PySCF's orbital order; [channel, ao, ao] where blocks
        are of several channels. If the blocks transform as irreps do, the matrix transforms as T H T^T.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eq. 22.
    """
    layout = MatrixLayout(numbers, orbitals)
    n_channels = 1 + max((key.channel for key in blocks.values), default=0)
    flat = np.zeros((n_channels, layout.offset[-1]))
    for family, rows in blocks.samples.items():
        if family.kind == "minus":
            continue  # written together with plus
        odd = Family("minus", family.species_i, family.species_j)
        for shell_a, shell_b in shell_pairs(family, orbitals):
            block = _uncouple(blocks, family, shell_a, shell_b, n_channels)
            places = layout.index(rows, (family.species_i, shell_a), (family.species_j, shell_b))
            if family.kind != "plus":
                flat[:, places[0]] = flat[:, places[1]] = block
                continue
            minus = _uncouple(blocks, odd, shell_a, shell_b, n_channels)
            swapped = layout.index(rows[:, [0, 2, 1]], (family.species_i, shell_a), (family.species_j, shell_b))
            flat[:, places[0]] = flat[:, places[1]] = (block + minus) / np.sqrt(2)
            flat[:, swapped[0]] = flat[:, swapped[1]] = (block - minus) / np.sqrt(2)
    return layout.unflatten(flat)


def _gather(
    flat: FloatArray, layout: MatrixLayout, family: Family, rows: IntArray, shell_a: Shell, shell_b: Shell
) -> FloatArray:
    """Return the uncoupled block of two shells [channel, sample, 2 la + 1, 2 lb + 1]."""
    a, b = (family.species_i, shell_a), (family.species_j, shell_b)
    block = flat[:, layout.index(rows, a, b)[0]]
    if family.kind in ("on_site", "cross"):
        return block
    swapped = flat[:, layout.index(rows[:, [0, 2, 1]], a, b)[0]]
    return (block + swapped if family.kind == "plus" else block - swapped) / np.sqrt(2)


def _uncouple(blocks: Blocks, family: Family, shell_a: Shell, shell_b: Shell, n_channels: int) -> FloatArray:
    """Return B[ma, mb] = sum over L of C h^L [channel, sample, 2 la + 1, 2 lb + 1]."""
    la, lb = shell_a[1], shell_b[1]
    block = np.zeros((n_channels, len(blocks.samples[family]), 2 * la + 1, 2 * lb + 1))
    for L in couplings(family, shell_a, shell_b):
        for channel in range(n_channels):
            key = BlockKey.of(family, shell_a, shell_b, L, channel)
            if key in blocks.values:
                block[channel] += np.einsum("sM,abM->sab", blocks.values[key], clebsch_gordan(la, lb, L))
    return block
