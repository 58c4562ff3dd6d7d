import numpy as np
import pytest
import torch
from brute_force import density, haar_coefficients, overlaps, points, rotations
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.kernels import GroupFunction, density_kernel, invariant_orders
from hamlearn.o3.compiled import is_compiled
from hamlearn.o3.layout import component_slice, n_components
from hamlearn.structures import random_rotation
from hamlearn.testing import TOLERANCE

EXACT, EQUIVARIANCE = TOLERANCE["float64"]["exact"], TOLERANCE["float64"]["equivariance"]
BACKENDS = ["grid", pytest.param("compiled", marks=pytest.mark.skipif(not is_compiled(), reason="no compiler"))]
needs_compiler = pytest.mark.skipif(not is_compiled(), reason="no compiler")


def random_function(seed, max_l=2, samples=(5,), n_sigma=2, backend="auto"):
    values = np.random.default_rng(seed).normal(size=(n_sigma, n_components(max_l), *samples))
    return GroupFunction(torch.from_numpy(values), max_l, backend)


def close(a, b, scale=1.0):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=EXACT * scale, rtol=EXACT)


@pytest.mark.parametrize("backend", BACKENDS)
def test_products_against_the_integral_over_proper_and_improper_rotations(backend):
    a, b, max_l = points(0, 3), points(1, 2), 2
    k1 = density_kernel(density(a, max_l), density(b, max_l), max_l, backend)
    two = k1.product(k1, max_l=2 * max_l)
    three = two.product(k1, max_l=3 * max_l)
    degree = 6 * max_l
    f = overlaps(a, b, max_l, degree)
    for nu, k in ((1, k1), (2, two), (3, three)):
        scale = np.abs(f**nu).max()
        for L in range(nu * max_l + 1):
            for sigma in (1, -1):
                close(k.coefficients(L, sigma), haar_coefficients(f**nu, L, sigma, degree), (2 * L + 1) * scale)
        both = rotations(degree)[1] @ (f**nu).mean(0).reshape(f.shape[1], -1)
        close(k.mean().reshape(-1), both, scale)


@pytest.mark.parametrize("truncation", [1, 3])
def test_truncation_cuts_and_changes_nothing_else(truncation):
    f, g = random_function(0), random_function(1, max_l=1)
    full, cut = f.product(g, max_l=3), f.product(g, max_l=truncation)
    close(cut.values, full.values[:, : n_components(truncation)])


@needs_compiler
@pytest.mark.parametrize(
    ("l_a", "l_b", "l_out", "sigma_a", "sigma_b"), [(3, 3, 3, 2, 1), (2, 3, 4, 1, 2), (1, 2, 0, 2, 2)]
)
def test_both_back_ends_agree(l_a, l_b, l_out, sigma_a, sigma_b):
    samples = (3, 7)  # not a multiple of the width of the compiled loop
    made = []
    for backend in ("compiled", "grid"):
        f = random_function(0, l_a, samples, sigma_a, backend)
        g = random_function(1, l_b, samples, sigma_b, backend)
        square = f.product(f, l_out).values
        made.append((f.product(g, l_out).values, square, f.product(g, l_out, plus_only=True).values, f.inner(g)))
    for compiled, grid in zip(*made, strict=True):
        assert compiled.shape == grid.shape
        close(compiled, grid, 100)


@pytest.mark.parametrize("backend", BACKENDS)
def test_product_is_commutative_and_has_an_identity(backend):
    f, g = random_function(0, backend=backend), random_function(1, backend=backend)
    close((f * g).values, (g * f).values, 10)
    close((f * f.identity()).values, f.values, 10)
    close((f + g).product(f).values, (f * f + g * f).values, 100)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_irrep_of_a_product_alone(backend):
    f, g = random_function(0, backend=backend), random_function(1, max_l=1, n_sigma=1, backend=backend)
    for a, b in ((f, g), (f, f)):
        full = a.product(b, max_l=a.max_l + b.max_l)
        for L in range(a.max_l + b.max_l + 1):
            for sigma in (1, -1):
                close(a.product_irrep(b, L, sigma).movedim((0, 1), (-2, -1)), full.coefficients(L, sigma), 100)
    assert float(f.product_irrep(g, 4, 1).abs().max()) == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("max_l", [1, 3])
def test_invariants_from_half_the_orders(backend, max_l):
    """Truncated multiplication is self-adjoint: k^{a + b} has the mean that k^a and k^b give, up to nu = 6."""
    k1 = density_kernel(density(points(0, 4), max_l), density(points(1, 3), max_l), max_l, backend)
    full = torch.stack([torch.ones_like(k1.mean()), *(k.mean() for k in k1.powers(6))])
    close(invariant_orders(k1, 6), full, float(full.abs().max()))


@settings(derandomize=True, max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.sampled_from(["grid", "auto"]))
def test_equivariance(seed, improper_i, improper_j, backend):
    """k(R i, S j) = s D(R) k(i, j) D(S)^T for independent rotations of both environments."""
    rng, max_l = np.random.default_rng(seed), 3
    a, b = points(seed, 3), points(seed + 1, 2)
    r, s = random_rotation(rng, improper_i), random_rotation(rng, improper_j)
    before = density_kernel(density(a, max_l), density(b, max_l), max_l, backend).power(3)
    after = density_kernel(density(a, max_l, r), density(b, max_l, s), max_l, backend).power(3)
    d_r, d_s = real_wigner_d(r, max_l), real_wigner_d(s, max_l)
    for L in range(max_l + 1):
        for sigma in (1, -1):
            sign = sigma if improper_i != improper_j else 1
            expected = sign * np.einsum("ab,ijbc,dc->ijad", d_r[L], before.coefficients(L, sigma), d_s[L])
            np.testing.assert_allclose(after.coefficients(L, sigma), expected, atol=EQUIVARIANCE)


def test_gram_matrices_are_positive():
    c = density(points(0, 6), 3)
    k3 = density_kernel(c, c, 3).power(3)
    for L in range(4):
        for sigma in (1, -1):
            gram = k3.coefficients(L, sigma).permute(0, 2, 1, 3).reshape(6 * (2 * L + 1), -1).numpy()
            close(gram, gram.T)
            values = np.linalg.eigvalsh(gram)
            assert values[-1] > 1e-6, (L, sigma)
            assert values[0] > -EXACT * values[-1], (L, sigma)


def test_polynomial_and_power():
    f = random_function(0)
    expected = f.identity().scaled(0.5) + f.scaled(-1.0) + f.power(2).scaled(2.0) + f.power(3).scaled(0.25)
    found = f.polynomial([0.5, -1.0, 2.0, 0.25])
    close(found.values, expected.values, float(expected.values.abs().max()))
    close(f.power(0).values, f.identity().values)


def test_scaling_and_squaring_against_the_pointwise_exponential():
    """Equal up to truncation, which a large max_l removes."""
    small = random_function(0, max_l=1, n_sigma=1).scaled(0.1)
    values = torch.zeros((1, n_components(6), 5), dtype=torch.float64)
    values[:, : n_components(1)] = small.values
    f = GroupFunction(values, 6, "grid")
    found = f.exponential(order=8, squarings=3)
    expected = small.pointwise(torch.exp, degree=16, max_l=6)
    np.testing.assert_allclose(found.values, expected.values, atol=EQUIVARIANCE)
    assert float(expected.values[1].abs().max()) > 1e-3  # the exponential has pseudotensors, the density kernel none


def test_pointwise_polynomial_is_the_untruncated_power():
    f = random_function(0, max_l=1)
    two = f.product(f, max_l=2)
    close(f.pointwise(lambda x: x**3, degree=4).values, two.product(f, max_l=1).values, 100)


@pytest.mark.parametrize("max_l", [1, 3])
def test_single_precision_on_the_grid(max_l):
    f = random_function(0, max_l)
    single = GroupFunction(f.values.to(torch.float32), max_l)
    found = (single * single * single).values
    assert found.dtype == torch.float32
    expected = (f * f * f).values
    error = (found - expected).abs().max() / expected.abs().max()
    assert float(error) < TOLERANCE["float32"]["exact"]


def test_gradient_through_the_grid():
    """Derivatives of invariants and equivariants with respect to densities, against finite differences."""
    c_i, c_j = density(points(0, 2, q=1), 1), density(points(1, 1, q=1), 1)

    def kernel(x):
        k1 = density_kernel(x, c_j, 1)
        return invariant_orders(k1, 4)[1:], k1.power(3).values, k1.product_irrep(k1, 1, 1), k1.exponential(3, 2).values

    assert torch.autograd.gradcheck(kernel, (c_i.requires_grad_(),))


def test_values_of_a_density_kernel():
    """Components lie where the layout says: row m of the first, column m' of the second environment."""
    c_i, c_j = density(points(0, 3), 2), density(points(1, 4), 2)
    k1 = density_kernel(c_i, c_j, 2)
    assert k1.samples == (3, 4)
    for l in range(3):
        expected = torch.einsum("imq,jnq->ijmn", c_i[:, l * l : (l + 1) ** 2], c_j[:, l * l : (l + 1) ** 2])
        close(k1.coefficients(l), expected)
        close(k1.values[0, component_slice(l)].unflatten(0, (2 * l + 1, 2 * l + 1)), expected.permute(2, 3, 0, 1))
    assert float(k1.coefficients(1, -1).abs().max()) == 0


def test_what_is_refused():
    with pytest.raises(ValueError, match="max_l 2 and 1"):
        random_function(0) + random_function(0, max_l=1)
    wants_gradient = GroupFunction(random_function(0).values.requires_grad_(), 2, "compiled")
    with pytest.raises(ValueError, match="no grad"):
        wants_gradient * wants_gradient


def test_views_of_one_array_are_not_taken_for_a_square():
    generator = torch.Generator().manual_seed(0)
    full = torch.randn((2, 35, 40), dtype=torch.float64, generator=generator)
    for left, right in ((full[:1], full), (full[..., ::2], full[..., :20])):
        a, b = (GroupFunction(x, 2, "compiled" if is_compiled() else "grid") for x in (left, right))
        copy = GroupFunction(right.clone(), 2, "grid")
        torch.testing.assert_close((a * b).values, (GroupFunction(left.clone(), 2, "grid") * copy).values)


def test_other_samples_are_refused():
    a, b = (GroupFunction(torch.ones((1, 35, n), dtype=torch.float64), 2) for n in (40, 7))
    for product in (lambda: a * b, lambda: a.inner(b), lambda: a.product_irrep(b, 1, 1)):
        with pytest.raises(ValueError, match="samples"):
            product()
