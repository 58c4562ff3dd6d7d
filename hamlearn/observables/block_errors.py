"""Where in the matrix the error sits: mean squared errors of every irreducible block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hamlearn.angular.ao_order import SHELL_LETTERS, Orbitals
from hamlearn.angular.elements import symbol
from hamlearn.blocks import BlockKey, split_matrices
from hamlearn.types import FloatArray, IntArray
from hamlearn.units import HARTREE_MEV

CHANNELS = (" of both spins", " of their difference")


def block_errors(
    predicted: Sequence[FloatArray],
    reference: Sequence[FloatArray],
    numbers: Sequence[IntArray],
    orbitals: Orbitals,
) -> dict[BlockKey, dict[str, Any]]:
    """Return the RMSE of every block; the squares add up to the squared RMSE of the matrices.

    MSE = (1/N) sum_A (1/n_A) f sum |dh|^2, f = 1 for like shells of one species, else 2.

    Args:
        predicted: matrices [ao, ao], Hartree, PySCF's order; [channel, ao, ao] of open shells.
        reference: the same of the reference.
        numbers: atomic numbers of every structure.
        orbitals: shells and order.

    Returns:
        For each block: kind, species, shells, L, sigma, rmse_mev, items. Invariant to rotating a structure.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eq. 40.
    """
    if not len(reference):
        return {}
    differences = [p - r for p, r in zip(predicted, reference, strict=True)]
    blocks = split_matrices(differences, numbers, orbitals)
    n_ao = np.array([matrix.shape[-1] for matrix in reference])
    names = CHANNELS if reference[0].ndim == 3 else ("",)
    rows = {}
    for key, values in blocks.values.items():
        if not len(values):
            continue
        per_item = (values**2).sum(axis=1) / n_ao[blocks.samples[key.family][:, 0]]
        mse = key.multiplicity * per_item.sum() / len(reference)
        rows[key] = {
            "kind": key.kind,
            "species": f"{symbol(key.species_i)}-{symbol(key.species_j)}",
            "shells": f"{_shell(key.shell_a)}-{_shell(key.shell_b)}{names[key.channel]}",
            "L": key.L,
            "sigma": key.sigma,
            "rmse_mev": float(np.sqrt(mse) * HARTREE_MEV),
            "items": len(values),
        }
    return rows


def _shell(shell: tuple[int, int]) -> str:
    return f"{shell[0]}{SHELL_LETTERS[shell[1]]}"
