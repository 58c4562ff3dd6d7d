"""How uncertain predicted blocks are, and what follows for numbers that depend linearly on the matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks.blocks import Blocks, assemble_matrices, count_values, samples_in_words, split_matrices
from hamlearn.blocks.keys import BlockKey
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.structures.families import Family, Kind
from hamlearn.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False, repr=False)
class BlockCovariance(ByValue, Shown):
    """Covariance of the predicted blocks of one molecule; blocks of different keys are independent.

    Attributes:
        samples: for each family the table (structure = 0, i, j) of its rows [sample, 3].
        values: for each block the covariance of its values, Hartree^2 [n, n], n = samples (2L+1), the components M of
            a sample next to each other; absent blocks are certain.

    Rotating the molecule turns the covariance of a block into D V D^T, D = D^L(R) for every sample.
    """

    samples: Mapping[Family, IntArray]
    values: Mapping[BlockKey, FloatArray]

    def shown(self) -> dict[str, object]:
        """Return numbers of samples and of blocks."""
        return {"samples": samples_in_words(self.samples), **count_values(self.values)}


def linear_variances(
    covariance: BlockCovariance, weights: Sequence[FloatArray], numbers: IntArray, orbitals: Orbitals
) -> FloatArray:
    """Return the variances g^T V g of x = sum_pq A_pq H_pq for some A [A], Hartree^2.

    The gradient g of x with respect to the blocks is their multiplicity times the blocks of A, because the map
    between matrix and blocks is orthogonal up to multiplicities.

    Args:
        covariance: of the blocks of H.
        weights: symmetric matrices A [ao, ao], PySCF's order; c c^T for the level of the orbital c.
        numbers: atomic numbers [atom].
        orbitals: shells and order.

    Invariant under rotation, inversion and permutation of the molecule together with A.
    """
    gradients = split_matrices(weights, [numbers] * len(weights), orbitals)
    out = np.zeros(len(weights))
    for key, v in covariance.values.items():
        g = key.multiplicity * gradients.values[key].reshape(len(weights), -1)
        out += ((g @ v) * g).sum(axis=1)
    return out.clip(min=0.0)


def linear_covariances(
    covariance: BlockCovariance, weights: Sequence[FloatArray], numbers: IntArray, orbitals: Orbitals
) -> FloatArray:
    """Return the covariances of all such x with each other [A, A], Hartree^2; see :func:`linear_variances`."""
    gradients = split_matrices(weights, [numbers] * len(weights), orbitals)
    out = np.zeros((len(weights), len(weights)))
    for key, v in covariance.values.items():
        g = key.multiplicity * gradients.values[key].reshape(len(weights), -1)
        out += g @ v @ g.T
    return (out + out.T) / 2


def element_variances(covariance: BlockCovariance, numbers: IntArray, orbitals: Orbitals) -> FloatArray:
    """Return the variance of every matrix element in the frame of the molecule [ao, ao], Hartree^2.

    With V = sum_r u_r u_r^T for every sample of a block, it is the sum over r of the squared matrices put together
    from the blocks u_r: different samples and shells share no elements, different L add up.

    Args:
        covariance: of the blocks.
        numbers: atomic numbers [atom].
        orbitals: shells and order.

    Follows permutations; under rotation it does not transform by itself, since elements mix within shells.
    """
    n_ao = orbitals.n_ao(numbers)
    out = np.zeros((n_ao, n_ao))
    for key, v in covariance.values.items():
        rows, width = covariance.samples[key.family], 2 * key.L + 1
        n = len(rows)
        own = v.reshape(n, width, n, width)[np.arange(n), :, np.arange(n)]  # [sample, M, M']
        squares, vectors = np.linalg.eigh(own)
        roots = vectors * np.sqrt(squares.clip(min=0.0))[:, None]
        columns = Blocks(
            _with_partner(key.family, _copies(rows, width)), {key: np.concatenate(np.moveaxis(roots, 2, 0))}
        )
        out += sum(matrix**2 for matrix in assemble_matrices(columns, [numbers] * width, orbitals))
    return out


def _copies(rows: IntArray, n: int) -> IntArray:
    """Return the rows of n copies of one molecule, (structure, i, j) [n sample, 3]."""
    out = np.tile(rows, (n, 1))
    out[:, 0] = np.repeat(np.arange(n), len(rows))
    return out


def _with_partner(family: Family, rows: IntArray) -> dict[Family, IntArray]:
    """Return the samples of a family; plus and minus are put together from both."""
    partners: tuple[Kind, ...] = ("plus", "minus") if family.kind in ("plus", "minus") else (family.kind,)
    return {Family(kind, family.species_i, family.species_j): rows for kind in partners}
