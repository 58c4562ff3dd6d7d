"""Kernels of atoms and pairs by their definition: overlaps of rotated densities, integrated by another quadrature."""

from functools import cache
from math import factorial

import numpy as np
import pytest
from ase import Atoms
from block_kernels import FORMS, IRREPS, all_kernels, molecules, peroxide
from brute_force import haar_coefficients, rotations
from scipy.special import eval_legendre, spherical_in

from hamlearn.kernels import BlockKernel
from hamlearn.structures.families import Family

LEFT, RIGHT = peroxide(1), Atoms("HOHO", peroxide(2).positions[[2, 0, 3, 1]])
DEGREE = 8
SPLINES = 1e-6  # radial functions are splines


def cut(r, cutoff, width):
    x = np.clip((r - cutoff + width) / width, 0, 1)
    return 0.5 * (1 + np.cos(np.pi * x))


def overlap(v, w, width, growth, cutoff, max_l):
    """Overlap of two Gaussians at v and w [..., 3] cut to l <= max_l, each damped towards the cut-off."""
    r, s = np.linalg.norm(v, axis=-1), np.linalg.norm(w, axis=-1)
    a = 1 / (width**2 * (np.exp(2 * r / growth) + np.exp(2 * s / growth)))
    cosine = (v * w).sum(axis=-1) / (r * s)
    amplitude = 4 * np.pi * (a / (2 * np.pi)) ** 1.5 * np.exp(-0.5 * a * (r**2 + s**2))
    total = sum(
        spherical_in(l, a * r * s) * (2 * l + 1) / (4 * np.pi) * eval_legendre(l, cosine) for l in range(max_l + 1)
    )
    return amplitude * total * cut(r, cutoff, 0.5) * cut(s, cutoff, 0.5)


@cache
def all_rotations():
    """Proper ones, then their products with the inversion [2, node, 3, 3]."""
    proper = rotations(DEGREE)[0]
    return np.stack([proper, -proper])


class Definition:
    """Kernels at given rotations, by loops over atoms."""

    def __init__(self, settings, training):
        self.s = settings
        self.site_norm, self.bond_norm = {}, {}
        one = np.eye(3)[None, None]
        for z in (1, 8):
            own = [self.site(a, i, a, i, one) for a in training for i in range(len(a)) if a.numbers[i] == z]
            self.site_norm[z] = 1 / np.mean(own)
        for pair in ((1, 1), (1, 8), (8, 8)):
            own = []
            for a in training:
                rows = Family("cross" if pair[0] != pair[1] else "plus", *pair).samples([a.numbers])
                own += [self.bond(a, i, j, a, i, j, one) for _, i, j in rows]
            self.bond_norm[pair] = 1 / np.mean(own)

    def site(self, a, i, b, k, every):
        """<rho_i | R rho_k>, neighbours of one element with each other."""
        out = np.zeros(every.shape[:2])
        for j in range(len(a)):
            for m in range(len(b)):
                if j != i and m != k and a.numbers[j] == b.numbers[m]:
                    v, w = a.positions[j] - a.positions[i], every @ (b.positions[m] - b.positions[k])
                    widths = self.s.smearing_angstrom, self.s.smearing_growth_angstrom
                    out += overlap(v, w, *widths, self.s.cutoff_angstrom, self.s.max_l)
        return out * self.site_norm.get(a.numbers[i], 1.0)

    def bond(self, a, i, j, b, k, m, every):
        v, w = a.positions[j] - a.positions[i], every @ (b.positions[m] - b.positions[k])
        t = overlap(v, w, self.s.pair_smearing_angstrom, np.inf, self.s.pair_cutoff_angstrom, self.s.max_l)
        return t * self.bond_norm.get(tuple(sorted((a.numbers[i], a.numbers[j]))), 1.0)

    def orders(self, n, given=None):
        return given or [self.s.rate**nu / factorial(nu) for nu in range(n + 1)]

    def pair(self, a, i, j, b, k, m):
        every, p = all_rotations(), np.polynomial.polynomial.polyval
        f_i, f_j = self.site(a, i, b, k, every), self.site(a, j, b, m, every)
        c = self.orders(self.s.max_nu_pair, self.s.mixture_i)
        mixed = {
            "sum": lambda: p(f_i + f_j, c),
            "one_sided": lambda: 0.5 * (p(f_i, c) + p(f_j, c)),
            "product": lambda: p(f_i, c) * p(f_j, c),
        }[self.s.form]()
        return self.bond(a, i, j, b, k, m, every) * mixed

    def atom(self, a, i, b, k):
        own = np.polynomial.polynomial.polyval(
            self.site(a, i, b, k, all_rotations()), self.orders(self.s.max_nu_centre)
        )
        if self.s.message_passing:
            for j in range(len(a)):
                for m in range(len(b)):
                    if j != i and m != k and a.numbers[j] == b.numbers[m]:
                        own += self.pair(a, i, j, b, k, m)
        return own

    def sample(self, family, a, i, j, b, k, m):
        if family.kind == "on_site":
            return self.atom(a, i, b, k)
        straight = self.pair(a, i, j, b, k, m)
        if family.kind == "cross":
            return straight
        return straight + (1 if family.kind == "plus" else -1) * self.pair(a, i, j, b, m, k)


@pytest.mark.parametrize("form", FORMS)
def test_definition(form):
    """One sample of every family, all (L, sigma)."""
    training = molecules(0, 3)
    kernel = BlockKernel(FORMS[form].model_copy(update={"max_channels": 256})).fit(training)
    definition = Definition(kernel.settings, training)
    kernels = all_kernels(kernel, [LEFT], [RIGHT])
    families = {family for family, _ in kernels}
    assert len(families) == 7
    for family in families:
        (_, i, j), (_, m, n) = family.samples([LEFT.numbers])[-1], family.samples([RIGHT.numbers])[0]
        f = definition.sample(family, LEFT, i, j, RIGHT, m, n)[..., None, None]
        for irrep in IRREPS:
            expected = haar_coefficients(f, *irrep, DEGREE)[0, 0]
            np.testing.assert_allclose(kernels[family, irrep][-1, :, 0], expected, atol=SPLINES)
