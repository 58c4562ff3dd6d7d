import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.errors import DomainError
from hamlearn.observables import Prediction, reference_prediction
from hamlearn.structures import random_rotation
from hamlearn.targets import Target
from hamlearn.testing import TOLERANCE
from hamlearn.units import HARTREE_EV

EXACT = TOLERANCE["float64"]["exact"]
VALENCE = Orbitals({1: ((1, 0),), 8: ((2, 0), (2, 1))}, {1: (0,), 8: (0, 2, 3, 1)})
WATER = np.array([8, 1, 1])
seeds = st.integers(0, 2**32 - 1)


def random_prediction(rng, metric=True, n_occupied=4):
    h = rng.normal(size=(6, 6))
    vectors = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    overlap = (vectors * rng.uniform(0.2, 2, size=6)) @ vectors.T
    return Prediction(WATER, h + h.T, overlap if metric else None, n_occupied, VALENCE)


@pytest.mark.parametrize("metric", [True, False])
@settings(derandomize=True, max_examples=25, deadline=None)
@given(seed=seeds)
def test_orbitals_solve_the_eigenvalue_problem(metric, seed):
    p = random_prediction(np.random.default_rng(seed), metric)
    overlap = np.eye(6) if p.metric is None else p.metric
    c, levels = p.orbitals, p.eigenvalues_ev / HARTREE_EV
    np.testing.assert_allclose(p.hamiltonian @ c, overlap @ c * levels, atol=1e-10)
    np.testing.assert_allclose(c.T @ overlap @ c, np.eye(6), atol=EXACT)
    assert np.all(np.diff(levels) >= 0)


def test_frontier_of_a_known_matrix():
    p = Prediction(WATER, np.diag([0.1, -0.5, 0.3, -0.2, -1, -0.4]), None, 4, VALENCE)
    np.testing.assert_allclose(p.eigenvalues_ev, 27.211386245988 * np.array([-1, -0.5, -0.4, -0.2, 0.1, 0.3]))
    assert p.homo_ev == pytest.approx(-0.2 * HARTREE_EV)
    assert p.lumo_ev == pytest.approx(0.1 * HARTREE_EV)
    assert p.gap_ev == pytest.approx(0.3 * HARTREE_EV)
    assert p.occupied.tolist() == [True] * 4 + [False] * 2


def test_missing_levels_are_nan():
    full, empty = (random_prediction(np.random.default_rng(0), n_occupied=n) for n in (6, 0))
    assert math.isfinite(full.homo_ev) and math.isnan(full.lumo_ev) and math.isnan(full.gap_ev)
    assert math.isnan(empty.homo_ev) and math.isfinite(empty.lumo_ev) and math.isnan(empty.gap_ev)


def test_computed_once():
    p = random_prediction(np.random.default_rng(1))
    assert p.eigenvalues_ev is p.eigenvalues_ev and p.orbitals is p.orbitals


def test_labels_follow_pyscf():
    assert random_prediction(np.random.default_rng(1)).ao_labels == [
        "0 O 2s", "0 O 2p+1", "0 O 2p-1", "0 O 2p+0", "1 H 1s", "2 H 1s",
    ]  # fmt: skip


@pytest.mark.parametrize("metric", [True, False])
@settings(derandomize=True, max_examples=25, deadline=None)
@given(seed=seeds)
def test_transformation_laws(metric, seed):
    """Rotation and permutation: levels stay, orbitals follow up to signs."""
    rng = np.random.default_rng(seed)
    p = random_prediction(rng, metric)
    rotation, order = random_rotation(rng) * rng.choice([1, -1]), rng.permutation(3)
    t = ao_rotation(VALENCE, WATER, rotation)[ao_permutation(VALENCE, WATER, order)]
    turned = Prediction(
        WATER[order], t @ p.hamiltonian @ t.T, None if p.metric is None else t @ p.metric @ t.T, 4, VALENCE
    )
    np.testing.assert_allclose(turned.eigenvalues_ev, p.eigenvalues_ev, atol=1e-10)
    overlap = np.eye(6) if turned.metric is None else turned.metric
    same = np.abs(turned.orbitals.T @ overlap @ (t @ p.orbitals))
    np.testing.assert_allclose(same, np.eye(6), atol=1e-8)


def test_reference_adds_the_baseline():
    p = random_prediction(np.random.default_rng(2))
    baseline = np.diag(np.arange(6.0))
    target = Target(WATER, p.hamiltonian - baseline, p.metric, VALENCE, 4, baseline)
    reference = reference_prediction(target)
    np.testing.assert_allclose(reference.hamiltonian, p.hamiltonian, atol=EXACT)
    np.testing.assert_allclose(reference.eigenvalues_ev, p.eigenvalues_ev, atol=1e-10)
    assert reference.n_occupied == 4 and reference.basis == VALENCE


def test_orbitals_of_more_elements_than_the_molecule_has():
    p = Prediction(np.array([1, 1]), np.array([[-1, 0.2], [0.2, -1]]), None, 1, VALENCE)
    np.testing.assert_allclose(p.eigenvalues_ev, np.array([-1.2, -0.8]) * HARTREE_EV)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"hamiltonian has shape \(5, 5\); the molecule has 6 orbitals"):
        Prediction(WATER, np.eye(5), None, 4, VALENCE)
    with pytest.raises(ValueError, match=r"metric has shape \(6,\)"):
        Prediction(WATER, np.eye(6), np.ones(6), 4, VALENCE)
    for n_occupied in (-1, 7):
        with pytest.raises(ValueError, match="expected 0 to 6"):
            Prediction(WATER, np.eye(6), None, n_occupied, VALENCE)


@pytest.mark.parametrize(
    ("hamiltonian", "metric"), [(np.full((6, 6), np.nan), None), (np.eye(6), np.diag([1, 1, 1, 1, 1, -1.0]))]
)
def test_matrices_without_levels_are_refused_in_words(hamiltonian, metric):
    with pytest.raises(DomainError, match=r"molecule of 3 atoms has no levels.*must be finite"):
        _ = Prediction(WATER, hamiltonian, metric, 4, VALENCE).gap_ev
