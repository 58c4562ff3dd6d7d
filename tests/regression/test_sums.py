"""The dimer of the paper: atoms A and B, energy e_A + e_B, each e depending on both positions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from hamlearn.errors import ConfigError
from hamlearn.regression.sparse_solvers import solve_sparse
from hamlearn.regression.sums import apply_functional, force_functional, sum_functional, sum_rows, virial_functional
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
WIDTH = 0.8
DIMER = np.array([[0.1, -0.2, 0.3], [0.9, 0.5, -0.4]])
ACTIVE = np.array([1.1, 1.7, 2.2])  # descriptors of the active environments


def descriptors(positions):
    """One number for each atom's environment: different, so that e_A and e_B are different functions."""
    r = np.linalg.norm(positions[1] - positions[0])
    return np.array([r, 0.5 * r**2 + 0.3])


def descriptor_gradients(positions):
    """d descriptor_i / d r_j [i, j, 3]."""
    r = positions[1] - positions[0]
    d = np.linalg.norm(r)
    by_distance = np.array([1.0, d])
    return by_distance[:, None, None] * np.stack([-r, r]) / d


def kernel(q):
    return np.exp(-((q[:, None] - ACTIVE) ** 2) / (2 * WIDTH**2))


def kernel_gradients(positions):
    """d K(i, B) / d r_j for all four pairs (i, j), own atom included [pair, 3, active]."""
    q = descriptors(positions)
    slope = -(q[:, None] - ACTIVE) / WIDTH**2 * kernel(q)  # [i, active]
    return np.einsum("ijc,ia->ijca", descriptor_gradients(positions), slope).reshape(4, 3, 3)


def dimer_rows(positions):
    """L K of energy, six forces and nine virials: rows of values, then of derivatives of the pairs AA AB BA BB."""
    value = sum_functional([0, 0], 1)
    force = force_functional([0, 1, 0, 1], 2)
    vectors = np.stack([positions[j] - positions[i] for i in (0, 1) for j in (0, 1)])
    virial = virial_functional([0] * 4, vectors, 1)
    functional = sparse.block_diag([value, sparse.vstack([force, virial])])
    return apply_functional(functional, [kernel(descriptors(positions)), kernel_gradients(positions).reshape(12, 3)])


def test_dimer_functional_is_that_of_the_paper():
    """Every element of the 7 x 3 matrix written out; both environments depend on both atoms."""
    q, dq = descriptors(DIMER), descriptor_gradients(DIMER)
    expected = np.zeros((7, 3))
    for b, q_b in enumerate(ACTIVE):
        k = [np.exp(-((q_i - q_b) ** 2) / (2 * WIDTH**2)) for q_i in q]
        expected[0, b] = k[0] + k[1]
        for atom in (0, 1):
            for c in range(3):
                slopes = [-(q[i] - q_b) / WIDTH**2 * k[i] * dq[i, atom, c] for i in (0, 1)]
                expected[1 + 3 * atom + c, b] = -(slopes[0] + slopes[1])
    np.testing.assert_allclose(dimer_rows(DIMER)[:7], expected, atol=EXACT)


def test_forces_and_virial_are_derivatives_of_the_energy():
    rows, h = dimer_rows(DIMER), 1e-5

    def energy(positions):
        return kernel(descriptors(positions)).sum(axis=0)

    for atom in (0, 1):
        for c in range(3):
            step = np.zeros((2, 3))
            step[atom, c] = h
            force = -(energy(DIMER + step) - energy(DIMER - step)) / (2 * h)
            np.testing.assert_allclose(rows[1 + 3 * atom + c], force, atol=1e-9)
    for a in range(3):
        for b in range(3):
            strain = np.zeros((3, 3))
            strain[a, b] = h  # r_b grows by h r_a
            stretched, squeezed = DIMER + DIMER @ strain, DIMER - DIMER @ strain
            virial = -(energy(stretched) - energy(squeezed)) / (2 * h)
            np.testing.assert_allclose(rows[7 + 3 * a + b], virial, atol=1e-9)


def test_fit_to_energies_forces_and_virials_finds_the_model():
    """Data of a model in the span of the active set give its weights back, also from one dimer's forces alone."""
    truth = np.array([0.7, -1.3, 0.4])
    k_mm = kernel(ACTIVE)
    rows = np.concatenate([dimer_rows(DIMER * s) for s in (0.8, 1.0, 1.3)])
    x = solve_sparse(k_mm, rows, rows @ truth, 1e-12)
    np.testing.assert_allclose(x, truth, atol=1e-6)
    weighted = rows.T / 0.1
    expected = np.linalg.solve(k_mm + weighted @ rows, weighted @ rows @ truth)
    np.testing.assert_allclose(solve_sparse(k_mm, rows, rows @ truth, 0.1), expected, atol=100 * EXACT)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_tiles_are_the_whole(seed, tile):
    rng = np.random.default_rng(seed)
    functional, k = sparse.random_array((5, 30), density=0.3, rng=rng), rng.normal(size=(30, 4, 2))
    expected = np.einsum("di,iab->dab", functional.toarray(), k)
    tiles = (k[i : i + tile] for i in range(0, 30, tile))
    for found in (apply_functional(functional, k), apply_functional(functional, tiles)):
        np.testing.assert_allclose(found, expected, atol=EXACT)
    np.testing.assert_allclose(apply_functional(functional.toarray(), k), expected, atol=EXACT)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_sum_kernels_against_loops(seed):
    """Structures in any order, some without environments."""
    rng = np.random.default_rng(seed)
    k, s_i = rng.normal(size=(20, 15)), rng.integers(0, 6, 20)
    rows = sum_rows(k, s_i, 6)
    np.testing.assert_allclose(rows, [k[s_i == s].sum(axis=0) for s in range(6)], atol=EXACT)


def test_total_of_two_is_the_sum_of_their_values():
    """E = f(A) + f(B) for the model itself."""
    rng = np.random.default_rng(0)
    k, x = rng.normal(size=(6, 3)), rng.normal(size=3)
    np.testing.assert_allclose(sum_rows(k, [0, 0, 1, 1, 2, 2], 3) @ x, (k @ x).reshape(3, 2).sum(axis=1), atol=EXACT)


def test_refusals():
    k = np.ones((4, 2))
    with pytest.raises(ConfigError, match="the kernel has 4 rows"):
        apply_functional(np.ones((2, 5)), k)
    with pytest.raises(ConfigError, match="the kernel has 8 rows, or more, where the functional has 5"):
        apply_functional(np.ones((2, 5)), [k, k])
    with pytest.raises(ConfigError, match="the kernel has 0 rows"):
        apply_functional(np.ones((2, 5)), [])
    with pytest.raises(ConfigError, match="the functional holds 1 numbers that are NaN"):
        apply_functional(np.array([[np.nan, 1.0, 1.0, 1.0]]), k)
    with pytest.raises(ConfigError, match="structure 0 to 3 of 3; expected indices from 0 to 2"):
        sum_rows(k, [0, 1, 2, 3], 3)
    with pytest.raises(ConfigError, match="expected integers"):
        sum_rows(k, [0.0, 1.0, 2.0, 3.0], 4)
    with pytest.raises(ConfigError, match=r"expected \[4, 3\]"):
        virial_functional([0] * 4, np.ones((3, 3)), 1)
