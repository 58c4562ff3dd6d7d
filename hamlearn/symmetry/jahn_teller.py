"""How levels respond to a displacement: split, shift, or only to second order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ConfigError
from hamlearn.symmetry.levels import Multiplet
from hamlearn.ties import first_of_best


@dataclass(frozen=True, eq=False, repr=False)
class Response(ByValue, Shown):
    """Taylor coefficients of a multiplet along a displacement q, in eV and Å.

    Attributes:
        irrep: of the undistorted molecule.
        degeneracy: of its level.
        energy_ev: of its level.
        mean_slope: d mean / dq at q = 0, eV/Å.
        mean_curvature: second derivative of the mean at q = 0, eV/Å^2.
        splitting_slope: (largest - smallest level) / |q| as q -> 0, eV/Å.
        splitting_ev: at the largest |q|, eV.
    """

    irrep: str
    degeneracy: int
    energy_ev: float
    mean_slope: float
    mean_curvature: float
    splitting_slope: float
    splitting_ev: float


def level_responses(
    multiplets: Sequence[Multiplet], coordinate_angstrom: ArrayLike, levels_ev: ArrayLike
) -> list[Response]:
    """Fit mean = e + a q + b q^2 / 2 + c q^3 and splitting = s |q| + t q^2 of every multiplet.

    To first order a multiplet of irrep G responds along a mode of irrep V only if V is in the symmetric square
    [G x G]: the mean if V is totally symmetric, the splitting if it is not (H. A. Jahn, E. Teller, Proc. R. Soc. A
    161, 220 (1937)).

    Args:
        multiplets: of the undistorted molecule.
        coordinate_angstrom: displacements q [step], small enough that multiplets do not cross, Å.
        levels_ev: levels at each q [step, level], ascending, eV.

    Raises:
        ConfigError: for fewer than four different displacements, or another number of levels.
    """
    q, levels = np.asarray(coordinate_angstrom, dtype=np.float64), np.asarray(levels_ev, dtype=np.float64)
    n_levels = sum(multiplet.degeneracy for multiplet in multiplets)
    if len(np.unique(q[q != 0])) < 4 or levels.shape != (len(q), n_levels):
        raise ConfigError(
            f"{len(np.unique(q[q != 0]))} displacements other than 0 and levels of shape {levels.shape} were given; "
            f"expected at least 4 and shape [{len(q)}, {n_levels}]"
        )
    scale = np.abs(q).max()
    u = q / scale
    out = []
    for multiplet in multiplets:
        mine = levels[:, list(multiplet.indices)]
        shift = mine.mean(axis=1) - multiplet.energy_ev
        (linear, square, _), *_ = np.linalg.lstsq(np.stack([u, u**2, u**3], axis=1), shift, rcond=None)
        splitting = np.ptp(mine, axis=1)
        (split, _), *_ = np.linalg.lstsq(np.stack([np.abs(u), u**2], axis=1), splitting, rcond=None)
        out.append(
            Response(
                multiplet.irrep,
                multiplet.degeneracy,
                multiplet.energy_ev,
                float(linear / scale),
                float(2 * square / scale**2),
                float(split / scale),
                float(splitting[first_of_best(np.abs(u))]),
            )
        )
    return out
