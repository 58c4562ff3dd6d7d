"""Molecules, settings and short cuts for kernels of atoms and pairs."""

import numpy as np
from ase import Atoms

from hamlearn.config import WignerSettings
from hamlearn.structures.families import Family

IRREPS = [(L, sigma) for L in range(3) for sigma in (1, -1)]
SMALL = WignerSettings(
    max_l=2,
    max_nu_centre=2,
    max_nu_pair=2,
    rate=1.5,
    max_channels=6,
    cutoff_angstrom=3.0,
    smearing_angstrom=0.2,
    smearing_growth_angstrom=3.0,
)
FORMS = {
    "sum": SMALL,
    "one_sided": SMALL.model_copy(update={"form": "one_sided"}),
    "product": SMALL.model_copy(update={"form": "product", "max_nu_pair": 1}),
    "mixture": SMALL.model_copy(update={"mixture_i": (0.5, 2.0)}),
    "messages": SMALL.model_copy(update={"message_passing": True, "max_nu_pair": 1}),
    "one_sided messages": SMALL.model_copy(update={"message_passing": True, "form": "one_sided", "max_nu_pair": 1}),
}


def peroxide(seed):
    """A chiral molecule with two atoms of each element."""
    base = np.array([[0, 0.72, 0.05], [0.02, -0.73, 0], [0.79, 0.9, 0.48], [-0.81, -0.92, 0.44]])
    return Atoms("OOHH", base + np.random.default_rng(seed).normal(scale=0.1, size=(4, 3)))


def molecules(seed, n):
    """Hydrogen peroxides and waters in turn, distorted."""
    rng = np.random.default_rng(100 + seed)
    water = np.array([[0.76, 0, 0.59], [0, 0, 0.0], [-0.76, 0, 0.59]])
    waters = [Atoms("HOH", water + rng.normal(scale=0.1, size=(3, 3))) for _ in range(n)]
    return [waters[k] if k % 2 else peroxide(1000 * seed + k) for k in range(n)]


def families_of(centres):
    """All families that have samples."""
    every = [Family("on_site", z, z) for z in centres.sites]
    for a, b in centres.bonds:
        every += [Family(kind, a, b) for kind in (("plus", "minus") if a == b else ("cross",))]
    return [family for family in every if centres.count(family)]


def all_kernels(kernel, a, b=None, irreps=IRREPS):
    """Kernels of every family and (L, sigma) between two sets of structures, or of one with itself."""
    left = kernel.centres(a)
    right = left if b is None else kernel.centres(b)
    return kernel.between(left, right, {family: irreps for family in families_of(left) if right.count(family)})


def matrix(k):
    """A kernel [A, M, B, M'] as a matrix."""
    return k.reshape(k.shape[0] * k.shape[1], k.shape[2] * k.shape[3])
