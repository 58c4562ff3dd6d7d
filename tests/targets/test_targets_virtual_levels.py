import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.errors import BasisError
from hamlearn.targets import virtual_levels as levels
from hamlearn.targets.virtual_levels import degenerate_sets, lowest_levels, valence_levels
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
seeds = st.integers(0, 2**32 - 1)


def random_rotation(rng, n):
    return np.linalg.qr(rng.normal(size=(n, n)))[0]


def cosines_of(rng, n_minimal, n_levels):
    """A of a minimal basis inside the space of all levels: orthonormal rows."""
    return random_rotation(rng, n_levels)[:n_minimal]


def kept_positions(kept):
    return np.flatnonzero(kept.mixing.any(axis=1)).tolist()


def matrix_of(kept, cosines):
    left, _, right = np.linalg.svd(cosines @ kept.mixing)
    return (left @ right * kept.energies) @ (left @ right).T


def test_degenerate_levels_form_sets_and_the_gap_separates():
    energies = np.array([-1, -0.5, -0.5 + 5e-7, -0.5 + 9e-7, 0.2, 0.3, 0.3 + 2e-6])
    assert degenerate_sets(energies, 4) == [[0], [1, 2, 3], [4], [5], [6]]
    assert degenerate_sets(energies, 2) == [[0], [1], [2, 3], [4], [5], [6]]
    assert degenerate_sets(energies, 0) == degenerate_sets(energies, 7) == degenerate_sets(energies, 4)


def test_plain_energy_order_when_every_level_projects():
    energies = np.arange(6.0)
    cosines = np.hstack([0.9 * np.eye(4), np.sqrt(1 - 0.81) * np.eye(4)[:, :2]])
    kept = lowest_levels(energies, cosines, 2)
    assert kept_positions(kept) == [0, 1, 2, 3]
    np.testing.assert_array_equal(kept.energies, [0, 1, 2, 3])
    assert kept.rejected_gap == 1.0
    assert kept.flags == ()


def test_a_level_that_does_not_project_is_replaced_by_a_higher_one():
    energies = np.arange(5.0)
    cosines = np.zeros((3, 5))
    cosines[[0, 1, 2], [0, 1, 4]] = 1.0
    cosines[0, 2] = cosines[1, 3] = 0.1
    cosines /= np.linalg.norm(cosines, axis=1, keepdims=True)
    kept = lowest_levels(energies, cosines, 1)
    assert kept_positions(kept) == [0, 1, 4]
    assert kept.flags == (levels.SKIPPED,)
    assert kept.rejected_gap == np.inf


def test_a_lumo_that_does_not_project_is_said():
    cosines = np.eye(2)[:, [0, 0, 1]] * [[1, 1e-3, 1]]
    kept = lowest_levels(np.arange(3.0), cosines, 1)
    assert kept_positions(kept) == [0, 2]
    assert levels.NO_LUMO in kept.flags and levels.SKIPPED in kept.flags


def test_the_norm_counts_not_its_square():
    """A residual norm of 0.5 is kept although its square is below 0.4."""
    cosines = np.array([[1, 0, 0], [0, 0.5, np.sqrt(0.75)]])
    kept = lowest_levels(np.arange(3.0), cosines, 1)
    assert kept_positions(kept) == [0, 1]
    np.testing.assert_allclose(kept.projections, [1, 0.5], atol=EXACT)


def test_the_threshold_is_lowered_when_too_few_levels_project():
    row = np.full(10, 1 / np.sqrt(10))  # ten levels share the free direction, 0.32 each
    cosines = np.vstack([np.eye(1, 11), np.concatenate([[0], row])])
    kept = lowest_levels(np.arange(11.0), cosines, 1)
    assert kept_positions(kept) == [0, 1]
    assert levels.LOWERED in kept.flags


def test_a_narrow_decision_is_said():
    share = np.sqrt((1 - 0.41**2) / 4)
    cosines = np.array([[1, 0, 0, 0, 0, 0], [0, 0.41, share, share, share, share]])
    kept = lowest_levels(np.arange(6.0), cosines, 1)
    assert kept_positions(kept) == [0, 1]
    assert levels.CLOSE_DECISION in kept.flags


def test_a_near_crossing_at_the_upper_end_is_said():
    energies = np.array([-1.0, 0.5, 0.5004, 2])
    cosines = np.array([[1, 0, 0, 0], [0, 0.8, 0.6, 0]])
    kept = lowest_levels(energies, cosines, 1)
    assert kept_positions(kept) == [0, 1]
    assert kept.rejected_gap == pytest.approx(4e-4)
    assert kept.flags == (levels.CLOSE_LEVELS,)


def test_degenerate_levels_stand_or_fall_together():
    """Two degenerate levels, one of which hardly projects, are both left out."""
    energies = np.array([-1, 0.5, 0.5, 0.8, 0.9])
    cosines = np.array([[1, 0, 0, 0, 0], [0, 0.9, 0, 0.43, 0], [0, 0, 0.2, 0, 0.97]])
    kept = lowest_levels(energies, cosines, 1)
    assert kept_positions(kept) == [0, 3, 4]


def test_a_degenerate_pair_without_room_is_passed_over():
    energies = np.array([-1, 0.5, 0.5, 0.8])
    cosines = np.array([[1, 0, 0, 0], [0, 0.6, 0.6, 0.52]])
    kept = lowest_levels(energies, cosines, 1)
    assert kept_positions(kept) == [0, 3]
    assert levels.CUT not in kept.flags


def test_a_degenerate_set_is_cut_only_as_a_last_resort_and_said():
    energies = np.array([-1, 0.5, 0.5])
    cosines = np.array([[1, 0, 0], [0, 0.8, 0.6]])
    kept = lowest_levels(energies, cosines, 1)
    assert kept_positions(kept) == [0, 1]
    assert kept.rejected_gap == 0
    assert levels.CUT in kept.flags


def test_candidates_are_added_until_they_cover_the_minimal_basis():
    """The only level of the second symmetry comes after more than the first eight spare candidates."""
    n_levels = 30
    cosines = np.zeros((2, n_levels))
    cosines[0, 0] = cosines[1, 25] = 1.0
    cosines[0, 1:25] = 1e-9
    kept = lowest_levels(np.arange(float(n_levels)), cosines, 1)
    assert kept_positions(kept) == [0, 25]


def test_occupied_levels_are_kept_whatever_they_project():
    cosines = np.array([[1, 0, 0], [0, 0.1, np.sqrt(0.99)]])
    kept = lowest_levels(np.arange(3.0), cosines, 2)
    assert kept_positions(kept) == [0, 1]
    assert kept.flags == (levels.WEAK_OCCUPIED,)


def test_occupied_levels_without_any_projection_are_refused():
    cosines = np.array([[1, 0, 0], [0, 0, 1]])
    with pytest.raises(BasisError, match="do not span the 2 functions"):
        lowest_levels(np.arange(3.0), cosines, 2)


def test_levels_of_too_low_rank_are_refused():
    cosines = np.array([[1, 0.5, 0.2], [1, 0.5, 0.2]])
    with pytest.raises(BasisError, match="do not span"):
        lowest_levels(np.arange(3.0), cosines, 1)


@pytest.mark.parametrize("choose", [lowest_levels, valence_levels])
def test_a_closed_gap_is_said(choose):
    kept = choose(np.array([-1.0, -1.0, 2.0]), np.eye(2, 3), 1)
    assert levels.CLOSED_GAP in kept.flags


@pytest.mark.parametrize("choose", [lowest_levels, valence_levels])
@settings(derandomize=True, max_examples=25, deadline=None)
@given(seed=seeds)
def test_signs_and_rotations_of_degenerate_orbitals_change_nothing(choose, seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, size=8)
    n_occupied = int(sizes[:3].sum())
    energies = np.repeat(np.sort(rng.normal(size=8)), sizes)
    cosines = cosines_of(rng, n_occupied + int(sizes[3:5].sum()), int(sizes.sum()))
    gauge = np.zeros((len(energies),) * 2)
    for members in degenerate_sets(energies, n_occupied):
        gauge[np.ix_(members, members)] = random_rotation(rng, len(members))
    kept, turned = choose(energies, cosines, n_occupied), choose(energies, cosines @ gauge, n_occupied)
    assert kept.flags == turned.flags
    np.testing.assert_allclose(kept.energies, turned.energies, atol=EXACT)
    if levels.CUT not in kept.flags:
        tolerance = 1e-10 / np.linalg.svd(cosines @ kept.mixing, compute_uv=False)[-1]
        np.testing.assert_allclose(matrix_of(kept, cosines), matrix_of(turned, cosines @ gauge), atol=tolerance)
        np.testing.assert_allclose(kept.projections, turned.projections, atol=1e-10)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(seed=seeds, n_minimal=st.integers(1, 6), n_more=st.integers(0, 12), data=st.data())
def test_valence_levels_span_the_space_closest_to_the_minimal_basis(seed, n_minimal, n_more, data):
    """Occupied levels are exact; no other virtual space of this size lies closer to the minimal basis."""
    rng = np.random.default_rng(seed)
    n_levels, n_occupied = n_minimal + n_more, data.draw(st.integers(0, n_minimal))
    energies, cosines = np.sort(rng.normal(size=n_levels)), cosines_of(rng, n_minimal, n_levels)
    kept = valence_levels(energies, cosines, n_occupied)
    np.testing.assert_allclose(kept.energies[:n_occupied], energies[:n_occupied], atol=0)
    np.testing.assert_allclose(kept.mixing.T @ kept.mixing, np.eye(n_minimal), atol=EXACT)
    np.testing.assert_allclose((kept.mixing.T * energies) @ kept.mixing, np.diag(kept.energies), atol=EXACT)
    other = random_rotation(rng, n_levels - n_occupied)[:, : n_minimal - n_occupied]
    virtual = kept.mixing[n_occupied:, n_occupied:]
    closeness = [np.linalg.norm(cosines[:, n_occupied:] @ space) for space in (virtual, other)]
    assert closeness[0] >= closeness[1] - EXACT


def test_valence_levels_cut_through_equal_cosines_is_said():
    kept = valence_levels(np.arange(3.0), np.array([[1, 0, 0], [0, 0.7, 0.0]]), 1)
    assert levels.CUT not in kept.flags
    kept = valence_levels(np.arange(4.0), np.array([[1, 0, 0, 0], [0, 0.9, 0.4, 0], [0, 0, 0, 0.4]]), 2)
    assert levels.CUT in kept.flags
