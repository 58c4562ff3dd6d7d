import numpy as np
import pytest
import torch
from brute_force import density, features, overlaps, points, rotations, scalar_products
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.errors import ConfigError
from hamlearn.kernels import (
    density_kernel,
    invariant_orders,
    lambda_soap_kernel,
    normalised_soap,
    sa_gpr_kernel,
    soap_kernel,
)
from hamlearn.structures import random_rotation
from hamlearn.testing import TOLERANCE

EXACT, EQUIVARIANCE = TOLERANCE["float64"]["exact"], TOLERANCE["float64"]["equivariance"]
MAX_L = 2
IRREPS = [(L, sigma) for L in range(2 * MAX_L + 2) for sigma in (1, -1)]


def close(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=EXACT, rtol=EXACT)


def two_sets(q=2, n_points=4):
    return density(points(0, 3, n_points, q), MAX_L), density(points(1, 4, n_points, q), MAX_L)


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("nu", [1, 2, 3])
def test_soap_is_the_scalar_product_of_radial_power_and_bispectrum(nu):
    c_i, c_j = two_sets()
    expected = scalar_products(*(features(c, nu, 2 * MAX_L) for c in (c_i, c_j)), (0, 1))
    close(soap_kernel(density_kernel(c_i, c_j, MAX_L), nu), expected[:, :, 0, 0])


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("nu", [1, 2, 3])
def test_soap_is_the_mean_over_proper_and_improper_rotations(nu):
    a, b = points(0, 3), points(1, 2)
    f = overlaps(a, b, MAX_L, 3 * MAX_L)
    expected = np.einsum("r,srij->ij", rotations(3 * MAX_L)[1], f**nu) / 2
    k1 = density_kernel(density(a, MAX_L), density(b, MAX_L), MAX_L)
    close(soap_kernel(k1, nu), expected)
    close(soap_kernel(k1, nu), invariant_orders(k1, 3)[nu])


@pytest.mark.usefixtures("back_end")
def test_mirror_images_look_alike_to_soap_of_order_three():
    c = density(points(0, 3), MAX_L)
    mirrored = density(points(0, 3), MAX_L, np.diag([1.0, 1, -1]))
    for nu in (1, 2, 3):
        close(*(soap_kernel(density_kernel(x, c, MAX_L), nu) for x in (c, mirrored)))


@pytest.mark.parametrize("backend", ["auto", "grid"])
@pytest.mark.parametrize(("L", "sigma"), IRREPS)
def test_lambda_soap_is_the_scalar_product_of_its_features(L, sigma, backend):
    c_i, c_j = two_sets()
    left, right = (features(c, 2, 2 * MAX_L) for c in (c_i, c_j))
    found = lambda_soap_kernel(density_kernel(c_i, c_j, MAX_L, backend), L, sigma)
    close(found, scalar_products(left, right, (L, sigma)))
    assert bool((found.abs().max() > 1e-6) == ((L, sigma) in left))


@settings(derandomize=True, max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_equivariance(seed, improper_i, improper_j):
    rng = np.random.default_rng(seed)
    a, b = points(seed, 2), points(seed + 1, 3)
    r, s = random_rotation(rng, improper_i), random_rotation(rng, improper_j)
    before, after = ((density(a, MAX_L, x), density(b, MAX_L, y)) for x, y in ((None, None), (r, s)))
    np.testing.assert_allclose(
        normalised_soap(*after, MAX_L, 3, 2), normalised_soap(*before, MAX_L, 3, 2), atol=EQUIVARIANCE
    )
    d_r, d_s = real_wigner_d(r, 4), real_wigner_d(s, 4)
    for L, sigma in ((1, 1), (2, -1), (3, 1)):
        sign = sigma if improper_i != improper_j else 1
        expected = sign * np.einsum("ab,ijbc,dc->ijad", d_r[L], sa_gpr_kernel(*before, MAX_L, L, sigma, 3), d_s[L])
        np.testing.assert_allclose(sa_gpr_kernel(*after, MAX_L, L, sigma, 3), expected, atol=EQUIVARIANCE)


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("zeta", [1, 2, 3.5])
def test_normalised_soap(zeta):
    c, _ = two_sets()
    p = features(c, 2, MAX_L)[0, 1][:, 0]
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    close(normalised_soap(c, c, MAX_L, 2, zeta), (p @ p.T) ** zeta)


@pytest.mark.usefixtures("back_end")
def test_isolated_atoms():
    """Kernel 0 with everything else, 1 with each other, and derivatives stay finite."""
    c, _ = two_sets()
    c = torch.cat([c[:2], torch.zeros_like(c[:2])]).requires_grad_()
    for nu in (1, 2, 3):
        k = normalised_soap(c, c, MAX_L, nu, 2)
        close(k[2:, 2:].detach(), np.ones((2, 2)))
        close(k[:2, 2:].detach(), np.zeros((2, 2)))
        close(k.diagonal().detach(), np.ones(4))
        (gradient,) = torch.autograd.grad(k.sum(), c)
        assert bool(gradient.isfinite().all())
    assert float(sa_gpr_kernel(c, c, MAX_L, 1)[2:].detach().abs().max()) == 0


def test_sa_gpr_is_normalised_and_reduces_to_soap():
    c, other = two_sets()
    close(sa_gpr_kernel(c, other, MAX_L, 0, 1, 3)[:, :, 0, 0], normalised_soap(c, other, MAX_L, 2, 3))
    for L, sigma in ((1, 1), (2, 1), (2, -1)):
        k = sa_gpr_kernel(c, c, MAX_L, L, sigma, 2)
        close(torch.linalg.matrix_norm(k)[range(3), range(3)], np.ones(3))


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("sqrt", [True, False])
def test_sa_gpr_term_by_term(sqrt):
    c_i, c_j = two_sets()
    left, right = (features(c, 2, 2 * MAX_L)[1, 1] for c in (c_i, c_j))
    norms = [[np.linalg.norm(p @ p.T) ** (0.5 if sqrt else 1.0) for p in x] for x in (left, right)]
    linear = np.einsum("imf,jnf->ijmn", left, right) / np.multiply.outer(*norms)[:, :, None, None]
    expected = linear * normalised_soap(c_i, c_j, MAX_L, 2, 1.5).numpy()[:, :, None, None]
    close(sa_gpr_kernel(c_i, c_j, MAX_L, 1, 1, 2.5, sqrt), expected)
    close(sa_gpr_kernel(c_i, c_j, MAX_L, 1, 1, 1, sqrt), linear)


@pytest.mark.usefixtures("back_end")
def test_sa_gpr_of_a_symmetric_site_is_zero():
    """No vector at an inversion centre, no pseudovector in a plane: rounding must not be normalised to 1."""
    x, w = points(0, 3, 2)
    centric = density((np.concatenate([x, -x], 1), np.concatenate([w, w], 1)), MAX_L)
    turned = random_rotation(np.random.default_rng(0), improper=False)
    planar = density((x * [1, 1, 0] @ turned.T, w[:, :, :1]), MAX_L)
    generic, _ = two_sets(q=3)
    assert float(sa_gpr_kernel(centric, generic, MAX_L, 1, 1).abs().max()) == 0
    assert float(sa_gpr_kernel(planar, generic[:, :, :1], MAX_L, 0, -1).abs().max()) == 0
    assert float(sa_gpr_kernel(centric, generic, MAX_L, 2, 1).abs().max()) > 1e-3


@pytest.mark.parametrize(("L", "sigma"), [(1, 1), (2, -1)])
def test_sa_gpr_is_positive(L, sigma):
    c = density(points(0, 8), MAX_L)
    gram = sa_gpr_kernel(c, c, MAX_L, L, sigma, 2).permute(0, 2, 1, 3).reshape(8 * (2 * L + 1), -1)
    values = torch.linalg.eigvalsh(gram)
    assert float(values[0]) > -EXACT * float(values[-1])


def test_gradients():
    c_i, c_j = density(points(0, 2, q=1), 1).requires_grad_(), density(points(1, 1, q=1), 1)
    assert torch.autograd.gradcheck(lambda c: normalised_soap(c, c_j, 1, 3, 2), (c_i,), fast_mode=True)
    assert torch.autograd.gradcheck(lambda c: sa_gpr_kernel(c, c_j, 1, 1), (c_i,), fast_mode=True)


def test_what_is_refused():
    c, other = two_sets()
    k1 = density_kernel(c, other, MAX_L)
    for call, message in (
        (lambda: soap_kernel(k1, 4), "invariant_orders"),
        (lambda: lambda_soap_kernel(k1, 1, 0), "sigma = 0"),
        (lambda: lambda_soap_kernel(k1, -1, 1), "L = -1"),
        (lambda: normalised_soap(c, other, MAX_L, zeta=0), "zeta is 0"),
        (lambda: normalised_soap(c, other, MAX_L, zeta=float("nan")), "zeta is nan"),
        (lambda: normalised_soap(c, -c, MAX_L, 1, zeta=1.5), "take an integer"),
        (lambda: sa_gpr_kernel(c, other, MAX_L, 1, zeta=0.5), "zeta is 0.5"),
    ):
        with pytest.raises(ConfigError, match=message):
            call()
    close(normalised_soap(c, -c, MAX_L, 1, zeta=3.0).diagonal(), -np.ones(3))
