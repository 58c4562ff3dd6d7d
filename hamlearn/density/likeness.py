"""How alike two elements are: factors of their overlap, and one made from electronegativity and size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hamlearn.angular.elements import symbol
from hamlearn.errors import ConfigError
from hamlearn.types import FloatArray

# Pauling's scale
ELECTRONEGATIVITY = {
    1: 2.20, 3: 0.98, 4: 1.57, 5: 2.04, 6: 2.55, 7: 3.04, 8: 3.44, 9: 3.98, 11: 0.93, 12: 1.31, 13: 1.61, 14: 1.90,
    15: 2.19, 16: 2.58, 17: 3.16, 19: 0.82, 20: 1.00, 21: 1.36, 22: 1.54, 23: 1.63, 24: 1.66, 25: 1.55, 26: 1.83,
    27: 1.88, 28: 1.91, 29: 1.90, 30: 1.65, 31: 1.81, 32: 2.01, 33: 2.18, 34: 2.55, 35: 2.96, 36: 3.00, 37: 0.82,
    38: 0.95, 39: 1.22, 40: 1.33, 41: 1.60, 42: 2.16, 43: 1.90, 44: 2.20, 45: 2.28, 46: 2.20, 47: 1.93, 48: 1.69,
    49: 1.78, 50: 1.96, 51: 2.05, 52: 2.10, 53: 2.66, 54: 2.60,
}  # fmt: skip
ELECTRONEGATIVITY_UNIT, RADIUS_UNIT = 0.5, 0.2  # what counts as a distance of 1; radii in Å
ROUNDING = 1e-12  # relative to the largest eigenvalue


def factorised(kappa: FloatArray) -> FloatArray:
    """Return u with u^T u = kappa [archetype, element], the archetype of the largest eigenvalue first.

    Args:
        kappa: symmetric [element, element].

    Raises:
        ConfigError: for a negative eigenvalue.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 48-52.
    """
    values, vectors = np.linalg.eigh(kappa)
    if values[0] < -ROUNDING * abs(values[-1]):
        raise ConfigError(
            f"kappa has the negative eigenvalue {values[0]:.4g}, so that it is no overlap of elements; give a "
            "positive semi-definite matrix, e.g. with the negative eigenvalues set to zero"
        )
    kept = np.flatnonzero(values > ROUNDING * values[-1])[::-1]
    return (vectors[:, kept] * np.sqrt(values[kept])).T.copy()


def coupling_factor(species: Sequence[int], width: float | None) -> FloatArray:
    """Return u with u^T u = kappa, kappa_ab = exp(-d_ab^2 / 2 width^2) [archetype, element].

    d_ab^2 = ((chi_a - chi_b) / 0.5)^2 + ((r_a - r_b) / 0.2 Å)^2 of electronegativities and covalent radii. Densities of
    element channels multiplied by u have kernels in which alike elements share what they learn.

    Args:
        species: atomic numbers.
        width: of the Gaussian; None or 0: elements have nothing in common, u = 1.

    Raises:
        ConfigError: for an element without an electronegativity.

    Source: Willatt, Musil, Ceriotti, Phys. Chem. Chem. Phys. 20, 29661 (2018), with coordinates of our choice.
    """
    if not width:
        return np.eye(len(species))
    from ase.data import covalent_radii

    unknown = [symbol(z) for z in species if z not in ELECTRONEGATIVITY]
    if unknown:
        raise ConfigError(
            f"element_likeness needs electronegativities, and has none of {', '.join(unknown)}; set it to null"
        )
    points = np.array(
        [[ELECTRONEGATIVITY[z] / ELECTRONEGATIVITY_UNIT, covalent_radii[z] / RADIUS_UNIT] for z in species]
    )
    distance2 = ((points[:, None] - points) ** 2).sum(-1)
    return factorised(np.exp(-0.5 * distance2 / width**2))
