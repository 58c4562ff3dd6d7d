"""Monomials of variables with charges of O(2) against brute force: scalar products, symmetry, which are kept."""

from itertools import combinations_with_replacement
from math import factorial, prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.o3 import monomials
from hamlearn.o3.monomial_levels import Variables
from hamlearn.o3.monomials import MonomialTree
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
CHARGES = np.array([0, 0, 1, 1, 2])
N_ROLLS = 64  # more than twice the largest charge of any monomial here


def variables(charges=CHARGES, seed=0, scale=0.5):
    return Variables(charges, scale * np.random.default_rng(seed).random(len(charges)))


def random_parts(charges, n, seed=0):
    """Real numbers and complex ones [variable, row]."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(len(charges), n)) + 1j * rng.normal(size=(len(charges), n))
    return np.where(charges[:, None] == 0, z.real, z)


def components(charges, z):
    return torch.from_numpy(np.concatenate([z.real, z.imag[charges > 0]]))


def features(tree, z):
    return {key: phi.numpy() for key, phi in tree.features(components(tree.variables.charges, z)).items()}


def multisets(tree, key):
    """The factors of every feature in order, and its coefficient."""
    factors, coefficients = tree.factors(key)
    return [tuple(sorted(f[f >= 0].tolist())) for f in factors], coefficients


def conjugate(v, monomial):
    return tuple(sorted(v.conjugate[list(monomial)].tolist()))


def importance(v, monomial):
    repeats = [monomial.count(i) for i in set(monomial)]
    return prod(v.all_variances[i] for i in monomial) / prod(map(factorial, repeats))


def brute_force(v, charge, degree, threshold):
    """All monomials of a charge that reach a threshold, of a monomial and its conjugate at charge 0 one."""
    found = set()
    for d in range(1, degree + 1):
        for monomial in combinations_with_replacement(range(len(v.all_charges)), d):
            own = sum(v.all_charges[i] for i in monomial) == charge and importance(v, monomial) >= threshold
            other = conjugate(v, monomial)
            if own and (charge or monomial <= other):
                found.add(monomial)
    return found


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_scalar_products_are_averages_of_truncated_exponentials(degree):
    ell, charges = 1.7, CHARGES
    scale = np.where(charges == 0, ell, 2**0.5 * ell)[:, None]
    tree = MonomialTree(variables(), range(5), degree, 0.0)
    a, b = random_parts(charges, 3), random_parts(charges, 4, 1)
    phi_a, phi_b = features(tree, a / scale), features(tree, b / scale)
    products = {key: phi_a[key].T @ phi_b[key].conj() for key in tree.keys}

    average = dict.fromkeys(tree.keys, 0.0)
    for angle in 2 * np.pi * np.arange(N_ROLLS) / N_ROLLS:
        for is_mirrored, image in enumerate((b, b.conj())):
            rolled = image * np.exp(1j * charges * angle)[:, None]
            inner = (a.T @ rolled.conj()).real / ell**2
            kernel = sum(inner**k / factorial(k) for k in range(1, degree + 1)) / N_ROLLS
            average[0, 1] += kernel / 2
            average[0, -1] += (-1) ** is_mirrored * kernel / 2
            for M in range(1, 5):
                average[M, 0] += 0 if is_mirrored else kernel * np.exp(1j * M * angle)
    for key in tree.keys:
        assert products[key].shape == (3, 4)
        np.testing.assert_allclose(products[key], average[key], atol=EXACT * 10, rtol=EXACT)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(angle=st.floats(-4, 4), seed=st.integers(0, 1000), degree=st.integers(1, 4))
def test_rolls_and_mirror(angle, seed, degree):
    tree = MonomialTree(variables(seed=seed), range(4), degree, 1e-3)
    z = random_parts(CHARGES, 3, seed)
    phi, rolled = features(tree, z), features(tree, z * np.exp(1j * CHARGES * angle)[:, None])
    mirrored = features(tree, z.conj())
    for (M, parity), values in phi.items():
        np.testing.assert_allclose(rolled[M, parity], values * (np.exp(1j * M * angle) if M else 1), atol=EXACT * 100)
        np.testing.assert_allclose(mirrored[M, parity], values.conj() * (parity or 1), atol=EXACT)


@pytest.mark.parametrize("degree, threshold", [(1, 0.0), (3, 0.0), (4, 1e-3), (4, 0.05)])
@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_which_are_kept(degree, threshold, scale):
    """Also where variances above one make a monomial more important than its parents."""
    v = variables(scale=scale)
    tree = MonomialTree(v, range(4), degree, threshold)
    for M in range(4):
        key = (M, 0) if M else (0, 1)
        found, coefficients = multisets(tree, key)
        assert len(found) == len(set(found)) == tree.n_features(key)
        smaller = {min(f, conjugate(v, f)) for f in found} if M == 0 else set(found)
        assert smaller == brute_force(v, M, degree, threshold)
        itself = tree.self_conjugate if M == 0 else np.ones(len(found), dtype=bool)
        expected = [prod(factorial(f.count(i)) for i in set(f)) ** -0.5 for f in found] * np.where(itself, 1, 2**0.5)
        np.testing.assert_allclose(coefficients, expected, rtol=EXACT)


def test_kept_although_its_parent_is_not():
    v = Variables(np.array([0, 0]), np.array([1.2, 1.2]))
    xxx, xxxy = (0, 0, 0), (0, 0, 0, 1)
    assert importance(v, xxx) < 0.3 < importance(v, xxxy)
    found = multisets(MonomialTree(v, (0,), 4, 0.3), (0, 1))[0]
    assert xxx not in found and xxxy in found and set(found) == brute_force(v, 0, 4, 0.3)


def test_odd_features_are_those_of_the_even_ones_that_are_not_their_own_conjugates():
    tree = MonomialTree(variables(), (0,), 3, 1e-4)
    even, odd = multisets(tree, (0, 1))[0], multisets(tree, (0, -1))[0]
    assert tree.self_conjugate.any() and not tree.self_conjugate.all()
    assert [f for f, itself in zip(even, tree.self_conjugate, strict=True) if not itself] == odd
    phi = features(tree, random_parts(CHARGES, 5))
    assert phi[0, 1].dtype == phi[0, -1].dtype == np.float64
    assert (abs(phi[0, -1]).max(axis=1) > EXACT).all()


@pytest.mark.parametrize("most", [0, 1, 7, 40, 10**6])
def test_the_most_important_are_kept(most):
    v = variables()
    tree = MonomialTree(v, (0, 2), 3, 1e-4, most)
    for M, key in ((0, (0, 1)), (2, (2, 0))):
        every = brute_force(v, M, 3, 1e-4)
        kept = multisets(tree, key)[0]
        assert len(kept) == min(most, len(every))
        largest = sorted((importance(v, f) for f in every), reverse=True)[:most]
        np.testing.assert_allclose(sorted((importance(v, f) for f in kept), reverse=True), largest, rtol=EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_last_bits_of_variances_choose_nothing(seed):
    variances = np.array([0.3, 0.3, 0.2, 0.2, 0.1])
    noise = 1 + 1e-15 * np.random.default_rng(seed).integers(-3, 4, size=5)
    trees = [MonomialTree(Variables(CHARGES, x), (0, 1, 2), 4, 0.3 * 0.2, 9) for x in (variances, variances * noise)]
    assert trees[0].n_features((1, 0)) > 1
    for key in trees[0].keys:
        np.testing.assert_array_equal(trees[0].factors(key)[0], trees[1].factors(key)[0])


@pytest.mark.parametrize("charges", [[], [0], [0, 0, 0], [2], [1, 1]])
def test_few_variables(charges):
    v = variables(np.array(charges, dtype=int))
    tree = MonomialTree(v, range(3), 2, 0.0)
    phi = features(tree, random_parts(v.charges, 4))
    for M in range(3):
        n = len(brute_force(v, M, 2, 0.0))
        assert phi[(M, 0) if M else (0, 1)].shape == (n, 4)
    n_neutral = phi[0, 1].shape[0]
    assert phi[0, -1].shape == (n_neutral - tree.self_conjugate.sum(), 4)


def test_nothing_reaches_the_threshold():
    tree = MonomialTree(variables(), (0, 1), 3, 10.0)
    assert [tree.n_features(key) for key in tree.keys] == [0, 0, 0]
    assert {phi.shape for phi in features(tree, random_parts(CHARGES, 4)).values()} == {(0, 4)}


def test_many_rows_are_taken_in_parts(monkeypatch):
    """As where derivatives are recorded, which is in one part."""
    monkeypatch.setattr(monomials, "HELD_IN_CACHE", 1)
    tree = MonomialTree(variables(), (0, 1), 3, 1e-3)
    x = components(CHARGES, random_parts(CHARGES, 21))
    assert tree.rows_at_once(x) < 21
    whole = tree.features(x.clone().requires_grad_())
    for key, phi in tree.features(x).items():
        torch.testing.assert_close(phi, whole[key].detach(), rtol=EXACT, atol=EXACT)


def test_no_rows():
    tree = MonomialTree(variables(), (1,), 3, 1e-3)
    assert features(tree, random_parts(CHARGES, 0))[1, 0].shape == (tree.n_features((1, 0)), 0)


def test_what_is_wrong():
    with pytest.raises(ValueError, match="degree of 1 or more"):
        MonomialTree(variables(), (0,), 0, 1e-3)
    with pytest.raises(ValueError, match="ascend"):
        Variables(np.array([1, 0]), np.ones(2))
    with pytest.raises(ValueError, match="one variance each"):
        Variables(np.array([0, 1]), np.ones(3))
    tree = MonomialTree(variables(), (0,), 2, 1e-3)
    with pytest.raises(ValueError, match=r"expected \[8, row\], real parts of all 5"):
        tree.features(torch.zeros((5, 3), dtype=torch.float64))


def test_candidates_are_bounded(monkeypatch):
    """By a higher threshold, which keeps the most important ones."""
    variables = Variables(np.zeros(30, dtype=np.int64), 0.9 ** np.arange(30.0))
    wide = MonomialTree(variables, (0,), 4, 1e-12, most=50)
    monkeypatch.setattr("hamlearn.o3.monomial_levels.MOST_CANDIDATES", 3000)
    few = MonomialTree(variables, (0,), 4, 1e-12, most=50)
    assert few.n_features((0, 1)) == wide.n_features((0, 1)) == 50
    np.testing.assert_array_equal(few.factors((0, 1))[0], wide.factors((0, 1))[0])
