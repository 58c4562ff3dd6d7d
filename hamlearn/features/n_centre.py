"""One-centre and pair features of chosen symmetry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from hamlearn.features.cg_iteration import Equivariants, couples, products, squares
from hamlearn.features.terms import Coupled, Plain, Term, Terms
from hamlearn.structures.families import Kind
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
    return Terms(parts, density, irrep[0])


@dataclass(frozen=True)
class PairFactors:
    """What features of pairs are made of, for all of their symmetries.

    Attributes:
        density_i: density of the first atom [pair, (max_l + 1)^2, channel].
        density_j: of the second.
        functions: g_ij [pair, (max_l + 1)^2, n].
    """

    density_i: Tensor
    density_j: Tensor
    functions: Tensor

    @cached_property
    def even(self) -> Equivariants:
        """(rho_i + rho_j) / sqrt 2, even under exchange."""
        return split_by_l((self.density_i + self.density_j) * 2**-0.5)

    @cached_property
    def odd(self) -> Equivariants:
        """(rho_i - rho_j) / sqrt 2, odd under exchange."""
        return split_by_l((self.density_i - self.density_j) * 2**-0.5)


def pair_features(factors: PairFactors, kind: Kind, irrep: Irrep, max_nu: int) -> Terms:
    """Return g_ij and rho_i x g_ij of one symmetry and exchange character [pair, 2L+1, feature].

    With rho_ij = rho_i x g_ij and rho_ji = rho_j x g_ji: plus and minus give (rho_ij +- rho_ji) / sqrt 2, cross gives
    both side by side. g_ji^l = (-1)^l g_ij^l, so that bare g_ij are even under exchange for even l, odd for odd l, and
    rho_ij +- rho_ji = (rho_i +- (-1)^l rho_j) x g_ij^l.

    Args:
        factors: densities and g_ij.
        kind: plus, minus or cross.
        irrep: (L, sigma).
        max_nu: 0 (bare pair functions) or 1 (with one neighbour).

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 10-15.
    """
    g = split_by_l(factors.functions)
    sign = {"plus": 1, "minus": -1}.get(kind)
    parts: list[Term] = []
    if irrep in g and (sign is None or (-1) ** irrep[0] == sign):
        parts.append(Plain(g[irrep] if sign is None else 2**0.5 * g[irrep]))
    if max_nu >= 1 and sign is None:
        backward = {key: (-1) ** key[0] * x for key, x in g.items()}
        parts += products(split_by_l(factors.density_i), g, irrep)
        parts += products(split_by_l(factors.density_j), backward, irrep)
    elif max_nu >= 1:
        of_even_l, of_odd_l = (factors.even, factors.odd) if kind == "plus" else (factors.odd, factors.even)
        parts += [
            Coupled((of_odd_l if second[0] % 2 else of_even_l)[first], x, irrep[0])
            for first in of_even_l
            for second, x in g.items()
            if couples(first, second, irrep)
        ]
    return Terms(parts, factors.functions, irrep[0])
