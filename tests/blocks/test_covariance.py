import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks import (
    BlockCovariance,
    Blocks,
    assemble_matrices,
    block_keys,
    element_variances,
    linear_variances,
)
from hamlearn.blocks.keys import families
from hamlearn.observables import Prediction
from hamlearn.testing import TOLERANCE
from hamlearn.units import HARTREE_EV

EXACT = TOLERANCE["float64"]["exact"]
VALENCE = Orbitals({1: ((1, 0),), 8: ((2, 0), (2, 1))}, {1: (0,), 8: (0, 2, 3, 1)})
PEROXIDE = np.array([8, 8, 1, 1])
seeds = st.integers(0, 2**32 - 1)


def random_covariance(rng, numbers=PEROXIDE):
    """Covariances of all blocks, some of them singular."""
    samples = {family: family.samples([numbers]) for family in families(sorted(set(numbers.tolist())))}
    values = {}
    for key in block_keys(VALENCE):
        n = len(samples[key.family]) * (2 * key.L + 1)
        root = rng.normal(size=(n, rng.integers(1, n + 2)))
        values[key] = root @ root.T
    return BlockCovariance(samples, values)


def block_vectors(covariance):
    """Yield every block value of a molecule that is 1 while all others are 0, with its key and place."""
    for key, v in covariance.values.items():
        for place in range(len(v)):
            unit = np.zeros(len(v))
            unit[place] = 1.0
            yield key, place, Blocks(covariance.samples, {key: unit.reshape(-1, 2 * key.L + 1)})


def dense_covariance(covariance, numbers=PEROXIDE):
    """The covariance of all matrix elements [ao ao, ao ao], from matrices put together block value by block value."""
    jacobian = {}
    for key, _, unit in block_vectors(covariance):
        jacobian.setdefault(key, []).append(assemble_matrices(unit, [numbers], VALENCE)[0].ravel())
    return sum(np.array(j).T @ covariance.values[key] @ np.array(j) for key, j in jacobian.items())


@settings(derandomize=True, max_examples=5, deadline=None)
@given(seed=seeds)
def test_variances_against_the_covariance_of_all_matrix_elements(seed):
    rng = np.random.default_rng(seed)
    covariance = random_covariance(rng)
    dense = dense_covariance(covariance)
    weights = [w + w.T for w in rng.normal(size=(3, 10, 10))]
    expected = [w.ravel() @ dense @ w.ravel() for w in weights]
    np.testing.assert_allclose(linear_variances(covariance, weights, PEROXIDE, VALENCE), expected, rtol=1e-10)
    elements = element_variances(covariance, PEROXIDE, VALENCE)
    np.testing.assert_allclose(elements.ravel(), dense.diagonal(), atol=1e-9)


@pytest.mark.parametrize("metric", [True, False])
def test_error_bars_of_levels_and_gap_against_finite_differences(metric):
    """Change every block value a little, watch the levels move, and propagate by hand."""
    rng = np.random.default_rng(3)
    covariance = random_covariance(rng)
    h = rng.normal(size=(10, 10))
    h += h.T
    vectors = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    overlap = (vectors * rng.uniform(0.3, 2, size=10)) @ vectors.T if metric else None

    def levels(change):
        p = Prediction(PEROXIDE, h + change, overlap, 7, VALENCE)
        return np.append(p.eigenvalues_ev, p.gap_ev)

    step, variance = 1e-5, np.zeros(11)
    slopes = {}
    for key, _, unit in block_vectors(covariance):
        change = step * assemble_matrices(unit, [PEROXIDE], VALENCE)[0]
        slopes.setdefault(key, []).append((levels(change) - levels(-change)) / (2 * step))
    for key, slope in slopes.items():
        variance += np.einsum("ak,ab,bk->k", np.array(slope), covariance.values[key], np.array(slope))
    p = Prediction(PEROXIDE, h, overlap, 7, VALENCE, covariance, (2.0, 3.0))
    np.testing.assert_allclose(p.eigenvalues_std_ev, 2 * np.sqrt(variance[:10]), rtol=1e-6)
    np.testing.assert_allclose(p.gap_std_ev, 3 * np.sqrt(variance[10]), rtol=1e-6)
    np.testing.assert_allclose(p.hamiltonian_std**2, element_variances(covariance, PEROXIDE, VALENCE), atol=EXACT)


def test_error_bars_against_sampled_matrices():
    """Small random changes of the blocks spread the gap as its error bar says."""
    rng = np.random.default_rng(5)
    covariance = random_covariance(rng)
    h = np.diag(np.arange(10.0)) + 0.1 * rng.normal(size=(10, 10))
    h, scale, n = h + h.T, 1e-4, 4000
    values = {
        key: scale * rng.multivariate_normal(np.zeros(len(v)), v, size=n, method="eigh").reshape(-1, 2 * key.L + 1)
        for key, v in covariance.values.items()
    }
    samples = {family: family.samples([PEROXIDE] * n) for family in covariance.samples}
    changes = assemble_matrices(Blocks(samples, values), [PEROXIDE] * n, VALENCE)
    gaps = [np.subtract(*np.linalg.eigvalsh(h + change)[[7, 6]]) for change in changes]
    p = Prediction(PEROXIDE, h, None, 7, VALENCE, covariance)
    assert np.std(gaps) * HARTREE_EV / scale == pytest.approx(p.gap_std_ev, rel=0.04)


def test_without_error_bars_or_gap_there_is_nothing_to_say():
    plain = Prediction(PEROXIDE, np.diag(np.arange(10.0)), None, 7, VALENCE)
    assert np.isnan(plain.gap_std_ev) and np.isnan(plain.eigenvalues_std_ev).all()
    assert plain.hamiltonian_std.shape == (10, 10) and np.isnan(plain.hamiltonian_std).all()
    covariance = random_covariance(np.random.default_rng(0))
    full = Prediction(PEROXIDE, np.diag(np.arange(10.0)), None, 10, VALENCE, covariance)
    assert np.isnan(full.gap_std_ev) and np.isfinite(full.eigenvalues_std_ev).all()
