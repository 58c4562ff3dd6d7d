import numpy as np
import pytest
import torch
from brute_force import cg_products, features, scalar_products
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.angular.harmonics import spherical_harmonics
from hamlearn.errors import ConfigError
from hamlearn.kernels import TaggedPairs, density_kernel, message_kernel, message_passing_kernel
from hamlearn.structures import random_rotation
from hamlearn.testing import TOLERANCE

EXACT, EQUIVARIANCE = TOLERANCE["float64"]["exact"], TOLERANCE["float64"]["equivariance"]
MAX_L, ELEMENTS = 2, (1, 8)
IRREPS = [(L, sigma) for L in range(MAX_L + 1) for sigma in (1, -1)]


def molecule(seed, species, rotation=None, order=None):
    """Tagged pairs of a random molecule, every atom a neighbour of every other, and the densities they add up to."""
    positions = np.random.default_rng(seed).normal(size=(len(species), 3))
    order = np.arange(len(species)) if order is None else order
    positions, species = positions[order], np.array(species)[order]
    positions = positions if rotation is None else positions @ rotation.T
    i, j = (~np.eye(len(species), dtype=bool)).nonzero()
    vectors = torch.from_numpy(positions[j] - positions[i])
    r = torch.linalg.norm(vectors, dim=1)
    radial = torch.stack([torch.exp(-r), torch.exp(-(r**2))], 1)
    g = spherical_harmonics(vectors, MAX_L)[:, :, None] * radial[:, None]
    pairs = TaggedPairs(torch.from_numpy(species), torch.from_numpy(i), torch.from_numpy(j), g)
    return pairs, torch.cat([neighbour_sum(pairs, g, z) for z in ELEMENTS], 2)


def neighbour_sum(pairs, terms, z):
    """Sum of pair terms over the neighbours of one element [atom, ...]."""
    chosen = pairs.species[pairs.neighbour] == z
    out = torch.zeros((len(pairs.species), *terms.shape[1:]), dtype=torch.float64)
    return out.index_add_(0, pairs.centre[chosen], torch.as_tensor(terms)[chosen])


def message_features(pairs, of_neighbours):
    """sum_j g_ij x (features of j), a channel for each element of j."""
    g = {(l, 1): pairs.functions[:, l * l : (l + 1) ** 2].numpy() for l in range(MAX_L + 1)}
    at_j = {key: x[pairs.neighbour] for key, x in of_neighbours.items()}
    return {
        key: np.concatenate([neighbour_sum(pairs, x, z) for z in ELEMENTS], 2)
        for key, x in cg_products(g, at_j, MAX_L).items()
    }


def order(nu):
    return [0.0] * nu + [1.0]


LEFT, RIGHT = molecule(0, (8, 1, 1, 8)), molecule(1, (1, 8, 1))


def kernel_of_atoms(backend="auto"):
    return density_kernel(LEFT[1], RIGHT[1], MAX_L, backend)


def assert_kernel_of(found, left, right):
    for irrep in IRREPS:
        expected = scalar_products(left, right, irrep)
        np.testing.assert_allclose(found.coefficients(*irrep), expected, atol=EXACT, rtol=1e-11)


@pytest.mark.parametrize("backend", ["auto", "grid"])
@pytest.mark.parametrize("nu", [0, 1, 2])
def test_without_environments_of_neighbours_it_is_the_next_order(nu, backend):
    """[nu <- 0] = rho^(nu + 1)."""
    k1 = kernel_of_atoms(backend)
    found = message_passing_kernel(k1, LEFT[0], RIGHT[0], order(nu), [[1.0]])
    expected = k1.power(nu + 1)
    for irrep in IRREPS:
        np.testing.assert_allclose(found.coefficients(*irrep), expected.coefficients(*irrep), atol=EXACT, rtol=1e-11)


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize(("nu", "nu_1"), [(0, 1), (1, 1), (2, 1), (1, 2)])
def test_kernels_are_scalar_products_of_features(nu, nu_1):
    """[nu <- nu_1], one-sided for nu = 0."""
    found = message_passing_kernel(kernel_of_atoms(), LEFT[0], RIGHT[0], order(nu), [order(nu_1)])
    sides = []
    for pairs, c in (LEFT, RIGHT):
        message = message_features(pairs, features(c, nu_1, MAX_L))
        sides.append(cg_products(features(c, nu, MAX_L), message, MAX_L))
    assert_kernel_of(found, *sides)


@pytest.mark.usefixtures("back_end")
def test_two_messages():
    """[1 <- (1, 0)]."""
    found = message_passing_kernel(kernel_of_atoms(), LEFT[0], RIGHT[0], order(1), [order(1), order(0)])
    sides = []
    for pairs, c in (LEFT, RIGHT):
        first, second = (message_features(pairs, features(c, nu, MAX_L)) for nu in (1, 0))
        sides.append(cg_products(cg_products(features(c, 1, MAX_L), first, MAX_L), second, MAX_L))
    assert_kernel_of(found, *sides)


@pytest.mark.usefixtures("back_end")
def test_nested_messages():
    """[1 <- [0 <- 1]]: neighbours tell what their neighbours told them."""
    k1 = kernel_of_atoms()
    inner = message_passing_kernel(k1, LEFT[0], RIGHT[0], order(0), [order(1)])
    found = k1 * message_kernel(LEFT[0], RIGHT[0], inner)
    sides = []
    for pairs, c in (LEFT, RIGHT):
        told = message_features(pairs, features(c, 1, MAX_L))
        sides.append(cg_products(features(c, 1, MAX_L), message_features(pairs, told), MAX_L))
    assert_kernel_of(found, *sides)


def test_mixtures_are_sums_of_orders():
    k1 = kernel_of_atoms()
    found = message_passing_kernel(k1, LEFT[0], RIGHT[0], [0.5, 2.0], [[3.0, 0.25]])
    total = 0.0
    for nu, a in enumerate((0.5, 2.0)):
        for nu_1, b in enumerate((3.0, 0.25)):
            term = message_passing_kernel(k1, LEFT[0], RIGHT[0], order(nu), [order(nu_1)])
            total = total + a * b * term.values
    torch.testing.assert_close(found.values, total, atol=EXACT, rtol=1e-11)


def test_tiles_change_nothing():
    k1 = kernel_of_atoms()
    whole = message_kernel(LEFT[0], RIGHT[0], k1)
    tiled = message_kernel(LEFT[0], RIGHT[0], k1, memory_gb=2e-5)
    torch.testing.assert_close(tiled.values, whole.values, atol=EXACT, rtol=EXACT)


@settings(derandomize=True, max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_symmetry(seed, improper_i, improper_j):
    """Rotations of either molecule and the order of its atoms."""
    rng = np.random.default_rng(seed)
    r, s = random_rotation(rng, improper_i), random_rotation(rng, improper_j)
    new = rng.permutation(4)
    moved_left, moved_right = molecule(0, (8, 1, 1, 8), r, new), molecule(1, (1, 8, 1), s)
    before, after = (
        message_passing_kernel(density_kernel(a[1], b[1], MAX_L), a[0], b[0], [0.5, 1.0], [[1.0, 1.0]])
        for a, b in ((LEFT, RIGHT), (moved_left, moved_right))
    )
    d_r, d_s = real_wigner_d(r, MAX_L), real_wigner_d(s, MAX_L)
    for L, sigma in IRREPS:
        sign = sigma if improper_i != improper_j else 1
        expected = sign * np.einsum("ab,ijbc,dc->ijad", d_r[L], before.coefficients(L, sigma)[new], d_s[L])
        np.testing.assert_allclose(after.coefficients(L, sigma), expected, atol=EQUIVARIANCE)


@pytest.mark.parametrize("irrep", [(0, 1), (1, 1), (2, -1)])
def test_gram_matrices_are_positive(irrep):
    pairs, c = LEFT
    k = message_passing_kernel(density_kernel(c, c, MAX_L), pairs, pairs, [1.0, 1.0], [[0.0, 1.0]])
    gram = k.coefficients(*irrep).permute(0, 2, 1, 3).reshape(4 * (2 * irrep[0] + 1), -1)
    values = torch.linalg.eigvalsh(gram)
    assert float(values[-1]) > 1e-6
    assert float(values[0]) > -EXACT * float(values[-1])


def test_gradients_reach_pairs_and_atoms():
    (left, c_i), (right, c_j) = LEFT, RIGHT

    def kernel(scale):
        pairs = TaggedPairs(left.species, left.centre, left.neighbour, scale[0] * left.functions)
        k1 = density_kernel(scale[1] * c_i, c_j, MAX_L)
        return message_passing_kernel(k1, pairs, right, [0.0, 1.0], [[1.0, 1.0]]).mean()

    assert torch.autograd.gradcheck(kernel, (torch.tensor([1.1, 0.9], dtype=torch.float64, requires_grad=True),))


def test_what_is_refused():
    k1 = kernel_of_atoms()
    left, right = LEFT[0], RIGHT[0]
    short = TaggedPairs(left.species, left.centre, left.neighbour, left.functions[:, :4])
    for call, message in (
        (lambda: message_passing_kernel(k1, left, right, [1.0, -1.0], [[1.0]]), "nu = 1 is -1"),
        (lambda: message_passing_kernel(k1, left, right, [1.0], [[float("nan")]]), "nu = 0 is nan"),
        (lambda: message_kernel(short, right, k1), r"\[4, 9\] components"),
        (lambda: message_kernel(left, short, k1), "max_l 2"),
        (lambda: message_kernel(left, right, k1, memory_gb=1e-9), "memory_gb is 1e-09"),
    ):
        with pytest.raises(ConfigError, match=message):
            call()
