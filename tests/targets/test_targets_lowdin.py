import numpy as np
import pytest
import scipy.linalg
from calculations import calculation
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.errors import BasisError
from hamlearn.targets.lowdin import inverse_root, lowdin_orthogonalise, root
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
seeds = st.integers(0, 2**32 - 1)


def fock_and_overlap(rng, n):
    fock, vectors = rng.normal(size=(n, n)), np.linalg.qr(rng.normal(size=(n, n)))[0]
    return fock + fock.T, (vectors * rng.uniform(0.05, 2, size=n)) @ vectors.T


@settings(derandomize=True, max_examples=25, deadline=None)
@given(seed=seeds, n=st.integers(1, 12))
def test_roots_and_levels(seed, n):
    fock, overlap = fock_and_overlap(np.random.default_rng(seed), n)
    np.testing.assert_allclose(root(overlap), scipy.linalg.sqrtm(overlap).real, atol=EXACT)
    np.testing.assert_allclose(root(overlap) @ inverse_root(overlap), np.eye(n), atol=EXACT)
    levels = np.linalg.eigvalsh(lowdin_orthogonalise(fock, overlap))
    np.testing.assert_allclose(levels, scipy.linalg.eigh(fock, overlap, eigvals_only=True), atol=1e-10)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(seed=seeds, n=st.integers(1, 12))
def test_equivariant_under_orthogonal_transformations(seed, n):
    rng = np.random.default_rng(seed)
    fock, overlap = fock_and_overlap(rng, n)
    t = np.linalg.qr(rng.normal(size=(n, n)))[0]
    turned = lowdin_orthogonalise(t @ fock @ t.T, t @ overlap @ t.T)
    np.testing.assert_allclose(turned, t @ lowdin_orthogonalise(fock, overlap) @ t.T, atol=1e-10)


def test_levels_of_water():
    record = calculation("bent water", "def2-SVP")
    levels = np.linalg.eigvalsh(lowdin_orthogonalise(record.fock, record.overlap))
    np.testing.assert_allclose(levels, record.orbital_energies, atol=EXACT)


@pytest.mark.parametrize("function", [root, inverse_root, lambda s: lowdin_orthogonalise(s, s)])
@pytest.mark.parametrize("smallest", [9e-9, 0.0, -0.1])
def test_linearly_dependent_bases_are_refused(function, smallest):
    with pytest.raises(BasisError, match=r"eigenvalue of .*at least 1e-08.*fewer diffuse"):
        function(np.diag([1.0, smallest]))
    function(np.diag([1.0, 2e-8]))
