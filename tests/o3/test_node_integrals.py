"""Integrals of t(R) P(f_a(R) + f_b(R)) against quadratures that know nothing of the grid, and both loops."""

import numpy as np
import pytest
import torch
from brute_force import density, haar_coefficients, overlaps, points, rotations
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.kernels import density_kernel
from hamlearn.o3 import node_integrals, nodes
from hamlearn.o3.layout import n_components
from hamlearn.o3.node_integrals import Terms, integrate, polynomial
from hamlearn.o3.nodes import NodeGrid
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
MAX_L = 2
IRREPS = tuple((L, sigma) for L in range(MAX_L + 1) for sigma in (-1, 1))
NOWHERE = np.zeros((1, 3))


@pytest.fixture(params=["compiled", "torch"])
def loop(request, monkeypatch):
    """Either the compiled loops, or torch, as on a machine where they were not built."""
    if request.param == "torch":
        use_torch(monkeypatch)
    elif node_integrals._loop() is None:
        pytest.skip("the compiled loop was not built")


def use_torch(monkeypatch):
    monkeypatch.setattr(node_integrals, "_loop", lambda: None)
    monkeypatch.setattr(nodes, "_unfold", lambda: None)


def unit_vectors(seed, n):
    x = np.random.default_rng(seed).normal(size=(n, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def yzx(x):
    return np.ascontiguousarray(x[:, [1, 2, 0]])


def random_terms(seed, n_functions, n_left, n_right, n=20, n_bond=3):
    rng = np.random.default_rng(seed)
    index = np.stack([rng.integers(0, k, n) for k in (n_functions, n_functions, n_left, n_right)], axis=1)
    return Terms(index, rng.normal(size=(n, n_bond)))


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("nu", [0, 1, 3])
def test_powers(nu):
    """Without bonds and with one function: f^nu, as the other engine makes it without truncation."""
    k1 = density_kernel(density(points(0, 2), MAX_L), density(points(1, 3), MAX_L), MAX_L)
    grid = NodeGrid(MAX_L, nu * MAX_L + MAX_L)
    functions = grid.evaluate(k1.flat)
    index = np.stack([np.arange(6), np.full(6, 6), np.zeros(6, int), np.zeros(6, int)], axis=1)
    right = np.zeros((1, 3, grid.n_nodes))
    mixtures = [0.0] * nu + [1.0], None
    found = integrate(grid, Terms(index, np.ones((6, 1))), functions, NOWHERE, right, mixtures, IRREPS)
    expected = k1.exact_powers(nu)[-1] if nu else k1.identity()
    for (L, sigma), k in zip(IRREPS, found, strict=True):
        m = 2 * L + 1
        np.testing.assert_allclose(k, expected.coefficients(L, sigma).reshape(6, m, m), atol=EXACT, rtol=1e-11)


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("mixtures", [([0.5, 2.0, 0.3], None), ([0.5, 2.0], [1.0, 0.7])])
def test_products_with_bonds_are_haar_integrals(mixtures):
    """Both mixtures, by brute force over another quadrature, proper and improper rotations."""
    left, right = points(2, 2), points(3, 2)
    u, v = unit_vectors(4, 2), unit_vectors(5, 3)
    degree = 2 * MAX_L + 2 + MAX_L
    grid = NodeGrid(MAX_L, degree)
    k1 = density_kernel(density(left, MAX_L), density(right, MAX_L), MAX_L)
    terms = random_terms(6, 4, 2, 3)
    functions, rotated = grid.evaluate(k1.flat), grid.rotated(yzx(v))
    found = integrate(grid, terms, functions, yzx(u), rotated, mixtures, IRREPS)

    f = overlaps(left, right, MAX_L, degree).reshape(2, -1, 4)
    every, _ = rotations(degree)
    x = np.einsum("ua,rab,vb->ruv", u, every, v)
    cosine = np.stack([x, -x])
    a, b, i, j = terms.index.T
    first, second = mixtures
    p = np.polynomial.polynomial.polyval
    mixed = p(f[..., a] + f[..., b], first) if second is None else p(f[..., a], first) * p(f[..., b], second)
    total = mixed * p(cosine[..., i, j], terms.bonds.T[:, None, None], tensor=False)
    for (L, sigma), k in zip(IRREPS, found, strict=True):
        expected = haar_coefficients(total[..., None], L, sigma, degree)[:, 0]
        np.testing.assert_allclose(k, expected, atol=EXACT, rtol=1e-10)


@settings(derandomize=True, max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(1, 7), st.integers(1, 5), st.integers(1, 6))
def test_both_loops_agree(seed, max_l, degree, n_bond, n_orders):
    """To the last digits, for any sizes, also where the grid is too small to be exact."""
    if node_integrals._loop() is None:
        pytest.skip("the compiled loop was not built")
    rng = np.random.default_rng(seed)
    grid = NodeGrid(max_l, degree)
    k = torch.from_numpy(rng.normal(size=(n_components(max_l), 5)) / n_components(max_l))
    mixtures = rng.normal(size=n_orders).tolist(), None
    terms = random_terms(seed, 6, 2, 3, n=140, n_bond=n_bond)
    irreps = ((0, 1), (max_l, -1), (1, 1))
    results = []
    with pytest.MonkeyPatch.context() as patch:
        for _ in range(2):
            functions, rotated = grid.evaluate(k), grid.rotated(unit_vectors(seed, 3))
            results.append(integrate(grid, terms, functions, unit_vectors(seed + 1, 2), rotated, mixtures, irreps))
            use_torch(patch)
    for compiled, by_torch in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, by_torch, atol=1e-13 * max(1.0, abs(by_torch).max()))


@pytest.mark.usefixtures("loop")
def test_the_last_function_is_zero():
    grid = NodeGrid(1, 3)
    functions = grid.evaluate(torch.ones((n_components(1), 2), dtype=torch.float64))
    assert functions.shape == (3, 2, grid.n_nodes) and not functions[2].any() and functions[:2].all(dim=1).any()


def test_rotated_vectors_keep_their_angles():
    grid = NodeGrid(1, 5)
    v = unit_vectors(0, 4)
    rotated = grid.rotated(v)
    np.testing.assert_allclose(np.einsum("van,wan->vwn", rotated, rotated), (v @ v.T)[..., None].repeat(
        grid.n_nodes, 2), atol=EXACT)  # fmt: skip


def test_polynomial():
    x = torch.tensor([0.5, -2.0], dtype=torch.float64)
    assert polynomial(x, [1.0, 0.0, 3.0]).tolist() == [1.75, 13.0]
    each = torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)  # [power, value]
    assert polynomial(x, each).tolist() == [1.0, 0.0]
