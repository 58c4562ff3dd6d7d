import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.angular.ao_order import Orbitals
from hamlearn.observables import Prediction, hamiltonian_rmse_mev, level_errors, metrics, reference_prediction
from hamlearn.observables.metrics import level_name
from hamlearn.targets import Target
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
S_ONLY = Orbitals({1: ((1, 0),), 2: ((1, 0),), 3: ((1, 0), (2, 0))}, {1: (0,), 2: (0,), 3: (0, 1)})
seeds = st.integers(0, 2**32 - 1)
HARTREE = 27211.386245988  # meV


def symmetric(rng, n):
    matrix = rng.normal(size=(n, n))
    return matrix + matrix.T


def random_set(seed, metric=False):
    """Molecules of 2 to 7 orbitals with predictions that are somewhat wrong."""
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for numbers in (np.array([1, 1]), np.array([3, 1, 3, 1, 1]), np.array([1, 3])):
        n = S_ONLY.n_ao(numbers)
        overlap = np.eye(n) + 0.05 * symmetric(rng, n) / n if metric else None
        full, baseline = symmetric(rng, n), symmetric(rng, n)
        targets.append(Target(numbers, full - baseline, overlap, S_ONLY, n // 2, baseline))
        predictions.append(Prediction(numbers, full + 0.1 * symmetric(rng, n), overlap, n // 2, S_ONLY))
    return predictions, targets


@pytest.mark.parametrize("metric", [False, True])
@settings(derandomize=True, max_examples=20, deadline=None)
@given(seed=seeds)
def test_against_brute_force(metric, seed):
    """Element by element and level by level, every molecule divided by its number of orbitals."""
    predictions, targets = random_set(seed, metric)
    h = levels_2 = levels_1 = gaps_2 = gaps_1 = 0.0
    for p, t in zip(predictions, targets, strict=True):
        n, reference = len(t.matrix), t.matrix + t.baseline
        for i in range(n):
            for j in range(n):
                h += (p.hamiltonian[i, j] - reference[i, j]) ** 2 / n / 3
        solve = [scipy.linalg.eigh(matrix, t.metric, eigvals_only=True) for matrix in (p.hamiltonian, reference)]
        for e, e0 in zip(*solve, strict=True):
            levels_2 += (e - e0) ** 2 / n / 3
            levels_1 += abs(e - e0) / n / 3
        gap, gap0 = (e[t.n_occupied] - e[t.n_occupied - 1] for e in solve)
        gaps_2 += (gap - gap0) ** 2 / 3
        gaps_1 += abs(gap - gap0) / 3
    expected = {
        "hamiltonian_rmse_mev": HARTREE * h**0.5,
        "eigenvalue_rmse_mev": HARTREE * levels_2**0.5,
        "eigenvalue_mae_mev": HARTREE * levels_1,
        "gap_rmse_mev": HARTREE * gaps_2**0.5,
        "gap_mae_mev": HARTREE * gaps_1,
    }
    found = metrics(predictions, targets)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9)
    assert all(type(value) is float for value in found.values())


def test_matrix_error_is_divided_by_orbitals_not_elements():
    target = Target(np.array([1, 1]), np.zeros((2, 2)), None, S_ONLY, 1)
    prediction = Prediction(np.array([1, 1]), np.full((2, 2), 1e-3), None, 1, S_ONLY)
    assert hamiltonian_rmse_mev([prediction], [target]) == pytest.approx(HARTREE * 1e-3 * math.sqrt(2))


@settings(derandomize=True, max_examples=25, deadline=None)
@given(seed=seeds)
def test_eigenvalue_error_never_exceeds_matrix_error(seed):
    """Hoffman and Wielandt, for every molecule with an orthonormal basis."""
    for p, t in zip(*random_set(seed), strict=True):
        errors = metrics([p], [t])
        assert errors["eigenvalue_mae_mev"] <= errors["eigenvalue_rmse_mev"] * (1 + EXACT)
        assert errors["eigenvalue_rmse_mev"] <= errors["hamiltonian_rmse_mev"] * (1 + EXACT)


def test_perfect_predictions():
    _, targets = random_set(0)
    assert set(metrics([reference_prediction(t) for t in targets], targets).values()) == {0.0}


def test_targets_and_reference_predictions_are_the_same_reference():
    predictions, targets = random_set(3)
    references = [reference_prediction(t) for t in targets]
    assert metrics(predictions, targets) == metrics(predictions, references)
    assert level_errors(predictions, targets) == level_errors(predictions, references)


def test_molecules_without_a_gap_do_not_count_for_gaps():
    predictions, targets = random_set(4)
    noble = Target(np.array([2]), np.array([[-1.0]]), None, S_ONLY, 1)
    wrong = Prediction(np.array([2]), np.array([[-0.9]]), None, 1, S_ONLY)
    before, after = metrics(predictions, targets), metrics([*predictions, wrong], [*targets, noble])
    assert after["gap_rmse_mev"] == before["gap_rmse_mev"] and after["gap_mae_mev"] == before["gap_mae_mev"]
    alone = metrics([wrong], [noble])
    assert math.isnan(alone["gap_rmse_mev"]) and math.isnan(alone["gap_mae_mev"])
    assert alone["eigenvalue_mae_mev"] == pytest.approx(0.1 * HARTREE)


def test_levels_are_counted_from_the_frontier():
    def pair(numbers, reference, predicted, n_occupied):
        target = Target(np.array(numbers), np.diag(reference), None, S_ONLY, n_occupied)
        return Prediction(target.numbers, np.diag(predicted), None, n_occupied, S_ONLY), target

    pairs = [pair([1, 1], [-1.0, 0.5], [-1.01, 0.5], 1), pair([3, 3], [-3.0, -2, 1, 2], [-3, -1.97, 1, 2.02], 2)]
    rows = level_errors(*zip(*pairs, strict=True))
    assert [(row["level"], row["occupied"], row["count"]) for row in rows] == [
        ("HOMO-1", True, 1), ("HOMO", True, 2), ("LUMO", False, 2), ("LUMO+1", False, 1),
    ]  # fmt: skip
    homo = rows[1]
    assert homo["mae_mev"] == pytest.approx(HARTREE * 0.02)
    assert homo["rmse_mev"] == pytest.approx(HARTREE * math.sqrt((0.01**2 + 0.03**2) / 2))
    assert rows[2]["rmse_mev"] == rows[2]["mae_mev"] == 0.0
    assert rows[3]["mae_mev"] == pytest.approx(HARTREE * 0.02)


@settings(derandomize=True, max_examples=20, deadline=None)
@given(seed=seeds)
def test_level_errors_of_one_molecule_add_up_to_the_eigenvalue_error(seed):
    predictions, targets = random_set(seed)
    rows = level_errors(predictions[1:2], targets[1:2])
    found = metrics(predictions[1:2], targets[1:2])
    assert np.mean([row["rmse_mev"] ** 2 for row in rows]) == pytest.approx(found["eigenvalue_rmse_mev"] ** 2)
    assert np.mean([row["mae_mev"] for row in rows]) == pytest.approx(found["eigenvalue_mae_mev"])


def test_level_names():
    assert [level_name(k) for k in (-3, -2, -1, 0, 1, 12)] == ["HOMO-2", "HOMO-1", "HOMO", "LUMO", "LUMO+1", "LUMO+12"]


def test_mismatched_sets_are_refused():
    predictions, targets = random_set(5)
    with pytest.raises(ValueError, match="3 predictions and 2 references"):
        metrics(predictions, targets[:2])
    with pytest.raises(ValueError, match="0 predictions and 0 references"):
        metrics([], [])
    with pytest.raises(ValueError, match="prediction 0 is of another molecule"):
        metrics(predictions, targets[::-1])
    swapped = replace(targets[2], numbers=np.array([3, 1]))
    with pytest.raises(ValueError, match="prediction 2 is of another molecule"):
        level_errors(predictions, [*targets[:2], swapped])
