"""One-centre and pair features of chosen symmetry."""

from __future__ import annotations

from torch import Tensor

from hamlearn.features.cg_iteration import Equivariants, products, squares
from hamlearn.features.terms import Combined, Plain, Term, Terms
from hamlearn.structures.samples import Kind
from hamlearn.types import Irrep


def split_by_l(coefficients: Tensor) -> Equivariants:
    """Return the polar irreps (l, +1), as views, of coefficients [sample, (max_l + 1)^2, feature]."""
    max_l = int(coefficients.shape[1] ** 0.5) - 1
    return {(l, 1): coefficients[:, l * l : (l + 1) ** 2] for l in range(max_l + 1)}


def centre_features(density: Tensor, irrep: Irrep, max_nu: int) -> Terms:
    """Return rho_i^0, rho_i^1, ..., rho_i^max_nu of one symmetry, side by side [atom, 2L+1, feature].

    rho_i^0 is the constant 1 (L = 0, sigma = +1 only): the intercept.

    Args:
        density: [atom, (max_l + 1)^2, channel].
        irrep: (L, sigma).
        max_nu: body order, 0 to 2.
    """
    one = split_by_l(density)
    parts: list[Term] = [Plain(density.new_ones((len(density), 1, 1)))] if irrep == (0, 1) else []
    if max_nu >= 1 and irrep in one:
        parts.append(Plain(one[irrep]))
    if max_nu >= 2:
        parts += squares(one, irrep)
    return Terms(parts, len(density), irrep[0])


def pair_features(density_i: Tensor, density_j: Tensor, pair: Tensor, kind: Kind, irrep: Irrep, max_nu: int) -> Terms:
    """Return g_ij and rho_i x g_ij of one symmetry and exchange character [pair, 2L+1, feature].

    With rho_ij = rho_i x g_ij and rho_ji = rho_j x g_ji: plus and minus give (rho_ij +- rho_ji) / sqrt 2, cross gives
    both side by side. g_ji^l = (-1)^l g_ij^l, so that bare g_ij are even under exchange for even l, odd for odd l.

    Args:
        density_i: density of the first atom [pair, (max_l + 1)^2, channel].
        density_j: of the second.
        pair: g_ij [pair, (max_l + 1)^2, n].
        kind: plus, minus or cross.
        irrep: (L, sigma).
        max_nu: 0 (bare pair functions) or 1 (with one neighbour).

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 10-15.
    """
    forward = split_by_l(pair)
    sign = {"plus": 1.0, "minus": -1.0}.get(kind)
    parts: list[Term] = []
    if irrep in forward and (sign is None or (-1) ** irrep[0] == sign):
        parts.append(Plain(forward[irrep] if sign is None else 2**0.5 * forward[irrep]))
    if max_nu >= 1:
        backward = {key: (-1) ** key[0] * g for key, g in forward.items()}
        rho_ij = products(split_by_l(density_i), forward, irrep)
        rho_ji = products(split_by_l(density_j), backward, irrep)
        if sign is None:
            parts += rho_ij + rho_ji
        else:
            half = 2**-0.5
            parts += [Combined((half, sign * half), two) for two in zip(rho_ij, rho_ji, strict=True)]
    return Terms(parts, len(pair), irrep[0])
