"""Molecular orbitals on a regular grid, and Gaussian cube files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh

from hamlearn.angular.ao_order import Orbitals
from hamlearn.artifacts import written_atomically
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ConfigError
from hamlearn.observables.prediction import Prediction
from hamlearn.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False, repr=False)
class Cube(ByValue, Shown):
    """A function on a grid along x, y and z.

    Attributes:
        values: [nx, ny, nz]; of an orbital in Bohr^-3/2.
        origin_bohr: position of values[0, 0, 0] [3], Bohr.
        spacing_bohr: between neighbouring points, Bohr.
        numbers: atomic numbers [atom].
        positions_bohr: of the atoms [atom, 3], Bohr.
    """

    values: FloatArray
    origin_bohr: FloatArray
    spacing_bohr: float
    numbers: IntArray
    positions_bohr: FloatArray


def orbital_cubes(
    prediction: Prediction,
    positions_bohr: ArrayLike,
    basis: str,
    levels: Sequence[int],
    spacing_bohr: float = 0.3,
    margin_bohr: float = 5.0,
) -> list[Cube]:
    """Return psi_n(r) = sum_a phi_a(r) C_an of some molecular orbitals.

    If the Hamiltonian has no metric, phi are the functions of the basis made orthonormal, S^-1/2: of all orthonormal
    functions the closest to the original ones.

    Args:
        prediction: a Hamiltonian.
        positions_bohr: of its atoms [atom, 3], Bohr.
        basis: basis set that holds the functions, 'minao' for a Hamiltonian in that basis.
        levels: which orbitals, counted from the lowest level.
        spacing_bohr: of the grid, Bohr.
        margin_bohr: least distance of an atom to the faces of the grid, Bohr.

    Raises:
        ConfigError: for a level that does not exist, a spacing or margin that is not positive.
        BasisError: if the basis set lacks an element or a function.

    The sign of an orbital, and mixtures of degenerate ones, are arbitrary.
    """
    if not (spacing_bohr > 0 and margin_bohr > 0):
        raise ConfigError(f"spacing_bohr {spacing_bohr} and margin_bohr {margin_bohr} must both be positive")
    n_levels = len(prediction.hamiltonian)
    wrong = [level for level in levels if not 0 <= level < n_levels]
    if wrong:
        raise ConfigError(f"levels {wrong} do not exist; the Hamiltonian has levels 0 to {n_levels - 1}")
    positions = np.asarray(positions_bohr, dtype=np.float64)
    origin = positions.min(axis=0) - margin_bohr
    shape = np.ceil((np.ptp(positions, axis=0) + 2 * margin_bohr) / spacing_bohr).astype(int) + 1
    points = origin + spacing_bohr * np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    values = orbitals_at(prediction, positions, basis, points.reshape(-1, 3))[:, list(levels)]
    return [
        Cube(column.reshape(tuple(shape)), origin, spacing_bohr, prediction.numbers, positions) for column in values.T
    ]


def orbitals_at(prediction: Prediction, positions_bohr: FloatArray, basis: str, points_bohr: FloatArray) -> FloatArray:
    """Return all molecular orbitals at some points [point, level], Bohr^-3/2; see :func:`orbital_cubes`."""
    from hamlearn.qm.molecule import build_mole

    mole = build_mole(prediction.numbers, positions_bohr, basis, multiplicity=None)  # electrons play no part
    keep = {int(z): prediction.basis.shells[int(z)] for z in set(prediction.numbers.tolist())}
    index = Orbitals.from_mole(mole).subset_index(keep, prediction.numbers)
    coefficients = prediction.orbitals
    if prediction.metric is None:
        values, vectors = eigh(mole.intor_symmetric("int1e_ovlp")[np.ix_(index, index)])
        coefficients = vectors / np.sqrt(values) @ vectors.T @ coefficients
    return np.asarray(mole.eval_gto("GTOval_sph", points_bohr)[:, index] @ coefficients)


def write_cube(path: str | Path, cube: Cube, comment: str = "") -> None:
    """Write a Gaussian cube file, which molecular viewers draw; lengths in Bohr.

    Args:
        path: of the file.
        cube: what to write.
        comment: its second line.

    Source: Gaussian's cubegen; https://paulbourke.net/dataformats/cube.
    """
    lines = ["hamlearn", " ".join(comment.split()), _row(len(cube.numbers), cube.origin_bohr)]
    lines += [_row(n, cube.spacing_bohr * axis) for n, axis in zip(cube.values.shape, np.eye(3), strict=True)]
    lines += [_row(z, [z, *r]) for z, r in zip(cube.numbers.tolist(), cube.positions_bohr, strict=True)]
    for column in cube.values.reshape(-1, cube.values.shape[2]):
        lines += ["".join(f"{value:13.5e}" for value in column[k : k + 6]) for k in range(0, len(column), 6)]
    with written_atomically(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="ascii", errors="replace")


def _row(integer: int, numbers: ArrayLike) -> str:
    return f"{integer:5d}" + "".join(f"{value:12.6f}" for value in np.asarray(numbers, dtype=np.float64))
