"""The kernel of Gaussian processes in the frames of bonds keeps the contract of kernels."""

from types import MappingProxyType

import numpy as np
import pytest

from hamlearn.config import BondFrameKernel
from hamlearn.kernels import bond_kernel
from hamlearn.kernels.bond_kernel import BondBasis, BondKernel
from hamlearn.learning.bond_problems import charges_of, problems_of
from hamlearn.learning.bond_process_kernels import back, kernels
from hamlearn.learning.groups import Group
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.testing.kernel_contract import LEFT, RIGHT, KernelContract, Part

SMALL = {"max_l": 2, "max_n": 4, "max_channels": 4, "cutoff_angstrom": 3.0, "rolls": 60}
IRREPS = ((0, 1), (1, 1), (1, -1), (2, 1), (2, -1))
FAMILIES = [Family("on_site", z, z) for z in (1, 8)] + [
    Family(kind, *zs) for kind, zs in (("cross", (1, 8)), ("plus", (1, 1)), ("minus", (1, 1)), ("plus", (8, 8)))
]
GROUPS = [Group((family,), *irrep) for family in FAMILIES for irrep in IRREPS]
GROUPS = [g for g in GROUPS if g.family.kind == "on_site" or g.irrep != (0, -1)]


class OfBonds(KernelContract):
    """In the laboratory, of all symmetries of atoms and pairs."""

    changes = MappingProxyType({})
    tolerance = 1e-10

    def fitted(self, structures):
        samples = Samples.of(structures)
        kernel = BondKernel(BondFrameKernel(**SMALL | dict(self.changes)))
        return kernel.fit([samples], charges_of(GROUPS, np.unique(samples.species).tolist()))

    def evaluate(self, kernel, a, b=None):
        left, right = (kernel.seen([Samples.of(side)]) for side in (a, a if b is None else b))
        numbers = [[atoms.numbers for atoms in side] for side in (a, a if b is None else b)]
        out = {}
        for problem in problems_of(GROUPS):
            (k,) = kernels(kernel, [problem], left, right)
            for group in problem.groups:
                turned = k
                n, m = (len(group.family.samples(z)) for z in numbers)
                for basis, count in ((left, n), (right, m)):
                    turned = (back(problem, group, basis, count) @ turned).T
                part = Part(
                    group.family.kind, group.L, group.sigma, -1 if group.family.kind == "minus" else 1, group.family
                )
                out[part] = out.get(part, 0) + turned.reshape(n, group.width, m, group.width)
        return out

    def samples(self, part, atoms):
        family = part.of
        return [(int(k),) if family.kind == "on_site" else (int(k), int(l)) for k, l in ends_of(family, atoms)]

    def reloaded(self, kernel):
        return BondKernel.from_state(kernel.settings, kernel.state())

    def with_small_tiles(self, kernel, monkeypatch):
        monkeypatch.setattr("hamlearn.learning.bond_process_kernels.ENTRIES", 1)


def ends_of(family, atoms):
    z = atoms.numbers
    if family.kind == "on_site":
        return [(k, k) for k in np.flatnonzero(z == family.species_i)]
    first, second = (np.flatnonzero(z == s) for s in (family.species_i, family.species_j))
    return [(i, j) for i in first for j in second if family.kind == "cross" or i < j]


class TestMatern(OfBonds):
    pass


class TestGaussian(OfBonds):
    changes = MappingProxyType({"form": "gaussian", "length": 1.0})


def test_a_basis_is_the_same_after_it_was_saved():
    """By name, among other tensors."""
    kernel = TestMatern().fitted([*LEFT, *RIGHT])
    basis = kernel.seen([Samples.of(LEFT), Samples.of(RIGHT)])
    again = BondBasis.from_tensors(basis.tensors() | kernel.state())
    assert again.counts == basis.counts and again.sets.keys() == basis.sets.keys()
    for kind, own in basis.sets.items():
        for name, tensor in own.tensors().items():
            np.testing.assert_array_equal(again.sets[kind].tensors()[name], tensor)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_weighted_sums_are_those_of_the_kernels(precision):
    """To the precision that was asked for."""
    kernel = OfBonds().fitted(LEFT)
    kernel.settings = kernel.settings.model_copy(update={"precision": precision})
    kernel.basis_ = kernel.seen([Samples.of(LEFT)])
    kind = next(k for k in kernel.basis_.sets if k.is_like)
    own = kernel.basis_.sets[kind]
    weights = {key: np.random.default_rng(0).normal(size=(kernel.n_products(kind, key), 2)) for key in ((0, 1), (1, 0))}
    found = kernel.sums(kind, weights).rows(own.components).numpy()
    expected = kernel.between(kind, own, own, list(weights))
    bound = 1e-12 if precision == "float64" else 1e-4
    values = [
        np.einsum("ipjq,jqo->poi", k, weights[key].reshape(len(own), -1, 2)).reshape(-1, len(own))
        for key, k in expected.items()
    ]
    np.testing.assert_allclose(found, np.concatenate(values), rtol=0, atol=bound)
    assert bond_kernel.n_samples(Samples.of(LEFT), kind) == kernel.basis_.counts[kind]
