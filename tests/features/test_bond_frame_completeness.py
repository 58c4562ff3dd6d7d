"""Products in the frames of bonds span the coupled features and the Wigner kernels of the same densities, and back.

Functions of a bond's length are a matter of the basis: on as many lengths as there are functions any basis is complete.
With one length a bond function costs no degree, with two it costs one.
"""

import numpy as np
import pytest
import torch
from ase import Atoms

from hamlearn.angular.harmonics import spherical_harmonics
from hamlearn.config import BondFrameFeatures, CoupledFeatures, WignerSettings
from hamlearn.density import DensityExpansion
from hamlearn.features.bond_frame import BondFrame
from hamlearn.features.cg_iteration import products as products_of
from hamlearn.features.cg_iteration import squares
from hamlearn.features.featurizer import Featurizer
from hamlearn.features.n_centre import split_by_l
from hamlearn.features.terms import Terms
from hamlearn.kernels import BlockKernel
from hamlearn.learning.bond_problems import SiteProblem, charges_of, components_of, problems_of
from hamlearn.learning.groups import Group
from hamlearn.structures import random_rotation, rotate
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples

SPANNED, LACKING = 1e-10, 1e-6
IRREPS = [(L, sigma) for L in range(3) for sigma in (1, -1)]
FAMILIES = {"CO": [Family("cross", 6, 8)], "OO": [Family("plus", 8, 8), Family("minus", 8, 8)]}
ONE_LENGTH, TWO_LENGTHS = (1.3,), (1.25, 1.45)
SMALL = {"max_n": 1, "optimal": False, "max_channels": None, "smearing_angstrom": 0.6}


def coupled_settings(max_l=1, max_n=1):
    return CoupledFeatures(**(SMALL | {"max_l": max_l, "max_n": max_n}))


def wigner_settings(order):
    return WignerSettings(
        max_l=1, max_channels=2, smearing_angstrom=0.7, max_nu_centre=order, max_nu_pair=order, rate=2.0
    )


class Whole(BondFrame):
    """Every component and every product, with the densities of other settings."""

    SMALLEST_SHARE = 0.0

    @classmethod
    def of(cls, densities, order, structures, groups):
        names = ["cutoff_angstrom", "smearing_angstrom", "smearing_growth_angstrom", "radial", "max_n", "optimal"]
        given = {name: getattr(densities, name) for name in (*names, "max_l", "max_channels")}
        whole = {"length": 1.0, "threshold": 1e-300, "max_features": 50_000}
        section = BondFrameFeatures(max_nu_pair=order, max_nu_centre=order + 1, **given, **whole)
        elements = sorted({int(z) for atoms in structures for z in atoms.numbers})
        return cls(section).fit([Samples.of(structures)], charges_of(groups, elements))


def molecules(formula, lengths, n=120, seed=0):
    """Two atoms at given distances, a hydrogen near either, turned at random."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(n):
        bond = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, lengths[k % len(lengths)]]])
        away = rng.normal(size=(2, 3)) + np.array([[0, 0, -0.7], [0, 0, 0.7]])
        away *= (rng.uniform(0.9, 1.6, size=2) / np.linalg.norm(away, axis=1))[:, None]
        out.append(rotate(Atoms(f"{formula}HH", np.vstack([bond, bond + away])), random_rotation(rng)))
    return out


def pyramids(lengths, n=100, seed=0):
    """A carbon with two hydrogens and an oxygen at given distances, in random directions."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        x = rng.normal(size=(3, 3))
        x *= (rng.choice(lengths, size=3) / np.linalg.norm(x, axis=1))[:, None]
        out.append(Atoms("CHHO", np.vstack([np.zeros(3), x])))
    return out


def missed(columns, basis):
    """What of the columns lies outside the span of a basis, with more rows than dimensions."""
    if basis.shape[1]:
        vectors, sizes, _ = np.linalg.svd(basis, full_matrices=False)
        vectors = vectors[:, sizes > 1e-13 * max(1.0, sizes[0])]
        assert vectors.shape[1] < 0.9 * len(vectors)
        columns = columns - vectors @ (vectors.T @ columns)
    return np.abs(columns).max(initial=0.0)


def groups_of(families):
    return [Group((family,), *irrep) for family in families for irrep in IRREPS]


def in_frames(problem, tile, blocks):
    """What stands in the laboratory [sample, 2L+1, column] in the frames of a problem [row, column]."""
    rows = tile.rows[problem.kind]
    turned = ((group, rows.rotations[group.L] @ blocks[group][rows.sample]) for group in problem.groups)
    return torch.cat([components_of(x, problem.key[0], group) for group, x in turned], dim=2).flatten(0, 1).numpy()


def both_sides(densities, order, structures, families, blocks):
    """For every |M| and symmetry the products of bonds, and other equivariants in their frames [row, column]."""
    groups = groups_of(families)
    frame = Whole.of(densities, order, structures, groups)
    tile = frame.tile(Samples.of(structures))
    for problem in problems_of(groups):
        own = problem.features(frame, tile).flatten(0, 1).numpy()
        yield own, in_frames(problem, tile, blocks)


def coupled_of(structures, groups, section):
    made = Featurizer(section).fit([Samples.of(structures)]).features(Samples.of(structures))
    return {group: made.terms(group.family, group.irrep).tensor() for group in groups}


def kernels_with(structures, others, groups, section):
    """Kernels of all samples with those of other structures [sample, 2L+1, other and M']."""
    kernel = BlockKernel(section).fit(structures)
    wanted = {group.family: [] for group in groups}
    for group in groups:
        wanted[group.family].append(group.irrep)
    found = kernel.between(kernel.centres(structures), kernel.centres(others), wanted)
    return {group: torch.from_numpy(found[group.family, group.irrep]).flatten(2) for group in groups}


def site_products(densities, order, structures, group):
    """The features of atoms along their bonds [row, feature]."""
    frame = Whole.of(densities, order, structures, [group])
    return SiteProblem(group).features(frame, frame.tile(Samples.of(structures))).flatten(0, 1).numpy()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_couplings_of_any_order(monkeypatch, order):
    """Of both ends with one another and with the bond, by iteration; densities are made up, one channel each."""
    rng = np.random.default_rng(0)
    n = 150
    density = {z: torch.from_numpy(rng.normal(size=(n, 4, 1))) for z in (6, 8)}
    bond = Atoms("CO", [[0, 0, 0], [0, 0, 1.3]])
    structures = [rotate(bond, random_rotation(rng)) for _ in range(n)]
    monkeypatch.setattr(DensityExpansion, "densities", lambda *_: density)
    coupled = {group: coupled_by_iteration(structures, density, order, group) for group in groups_of(FAMILIES["CO"])}
    sizes = []
    for products, others in both_sides(coupled_settings(), order, structures, FAMILIES["CO"], coupled):
        assert missed(others, products) < SPANNED and missed(products, others) < SPANNED
        sizes.append(products.shape[1])
    assert sizes == {1: [5, 0, 2, 0], 2: [18, 1, 10, 3], 3: [50, 5, 36, 15]}[order]


def coupled_by_iteration(structures, density, order, group):
    """1, rho_i, rho_j and their products, coupled to harmonics of the bond up to l = 5 [pair, 2L+1, feature]."""
    one = {(0, 1): torch.ones((len(structures), 1, 1), dtype=torch.float64)}
    first = [one, split_by_l(density[6]), split_by_l(density[8])]
    below = {irrep: torch.cat([e[irrep] for e in first if irrep in e], dim=2) for irrep in ((0, 1), (1, 1))}
    every = below
    for k in range(2, order + 1):
        irreps = [(L, sigma) for L in range(k + 1) for sigma in (1, -1)]
        terms = {irrep: squares(below, irrep) if k == 2 else products_of(every, below, irrep) for irrep in irreps}
        every = {irrep: Terms(own, one[0, 1], irrep[0]).tensor() for irrep, own in terms.items()}
    vectors = torch.from_numpy(np.stack([atoms.positions[1] - atoms.positions[0] for atoms in structures]))
    bond = split_by_l(spherical_harmonics(vectors, 5)[:, :, None])
    return Terms(products_of(every, bond, group.irrep), one[0, 1], group.L).tensor()


@pytest.mark.parametrize("formula", FAMILIES)
def test_coupled_pairs(formula):
    """g_ij and rho_i x g_ij, even and odd under exchange, are the products of degree 1."""
    structures, families, section = molecules(formula, ONE_LENGTH), FAMILIES[formula], coupled_settings()
    coupled = coupled_of(structures, groups_of(families), section)
    for products, others in both_sides(section, 1, structures, families, coupled):
        assert missed(others, products) < SPANNED and missed(products, others) < SPANNED


@pytest.mark.parametrize("formula", FAMILIES)
def test_coupled_pairs_of_two_lengths(formula):
    """They hold products of degree 1, with functions of the length by themselves, and lie among those of degree 2."""
    structures, families, section = molecules(formula, TWO_LENGTHS), FAMILIES[formula], coupled_settings(max_n=2)
    coupled = coupled_of(structures, groups_of(families), section)
    lacking = []
    for products, others in both_sides(section, 1, structures, families, coupled):
        assert missed(products, others) < SPANNED
        lacking.append(missed(others, products))
    assert max(lacking) > LACKING
    for products, others in both_sides(section, 2, structures, families, coupled):
        assert missed(others, products) < SPANNED


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("formula", FAMILIES)
def test_kernels_of_pairs(formula, order):
    """t(R) P(k_i + k_j), for any other pair, is a sum of products of the degree of P, and they are sums of such."""
    structures, families, section = molecules(formula, ONE_LENGTH), FAMILIES[formula], wigner_settings(order)
    kernels = kernels_with(structures, structures[:30], groups_of(families), section)
    for products, others in both_sides(section, order, structures, families, kernels):
        assert missed(others, products) < SPANNED and missed(products, others) < SPANNED


@pytest.mark.parametrize("formula", FAMILIES)
def test_kernels_of_pairs_of_two_lengths(formula):
    """t(R) takes a degree of its own."""
    structures, families, section = molecules(formula, TWO_LENGTHS), FAMILIES[formula], wigner_settings(1)
    kernels = kernels_with(structures, structures[:30], groups_of(families), section)
    lacking = [missed(y, x) for x, y in both_sides(section, 1, structures, families, kernels)]
    assert max(lacking) > LACKING
    for products, others in both_sides(section, 2, structures, families, kernels):
        assert missed(others, products) < SPANNED


@pytest.mark.parametrize("irrep", IRREPS)
def test_coupled_centres(irrep):
    """Sums over bonds of products of degree d hold rho_i^(d + 1), and lie among the couplings of larger l of theirs."""
    group = Group((Family("on_site", 6, 6),), *irrep)
    for lengths, order in ((ONE_LENGTH, 1), (TWO_LENGTHS, 2)):
        structures, section = pyramids(lengths), coupled_settings(max_n=order)
        coupled = coupled_of(structures, [group], section)[group].flatten(0, 1).numpy()
        assert missed(coupled, site_products(section, order, structures, group)) < SPANNED
        wider = coupled_settings(1 + group.L, order)
        more = coupled_of(structures, [group], wider)[group].flatten(0, 1).numpy()
        assert missed(site_products(section, 1, structures, group), more) < SPANNED


@pytest.mark.parametrize("irrep", [irrep for irrep in IRREPS if irrep != (0, -1)])
def test_kernels_of_centres(irrep):
    """P(k_i) of degree 3, for any other atom, is a sum over bonds of products of degree 2 with a function of length."""
    group, section, structures = Group((Family("on_site", 6, 6),), *irrep), wigner_settings(3), pyramids(TWO_LENGTHS)
    kernels = kernels_with(structures, structures[:20], [group], section)[group].flatten(0, 1).numpy()
    assert missed(kernels, site_products(section, 3, structures, group)) < SPANNED
    assert missed(kernels, site_products(section, 1, structures, group)) > LACKING
