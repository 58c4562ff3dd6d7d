from itertools import combinations, permutations

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.errors import ConfigError, StructureError
from hamlearn.kernels import PairKernel, TriangleKernel, body_order
from hamlearn.structures import random_rotation, rotate
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
EQUIVARIANCE = TOLERANCE["float64"]["equivariance"]
PAIRS, TRIANGLES = PairKernel(2.5, 0.4), TriangleKernel(3.5, 0.5, 0.7)
KERNELS = pytest.mark.parametrize("kernel", (PAIRS, TRIANGLES), ids=("pairs", "triangles"))


def clusters_of(symbols, seed, n=3):
    """Molecules in which every kind of triangle occurs, and smaller ones that lack some or all."""
    rng = np.random.default_rng(seed)
    return [
        *(Atoms(symbols, rng.normal(size=(len(symbols), 3))) for _ in range(n)),
        Atoms("HHH", rng.normal(size=(3, 3))),
        Atoms("HO", [[0, 0, 0], [0, 0, 1.1]]),
        Atoms("H", [[0, 0, 0]]),
    ]


@pytest.fixture(scope="module")
def ours():
    return clusters_of(["O", "H", "H", "H", "C", "C"], 0)


@pytest.fixture(scope="module")
def references():
    return clusters_of(["C", "H", "O", "H", "C", "H"], 1)


def switch(r, kernel):
    x = np.clip((r - kernel.cutoff_angstrom + kernel.cutoff_width_angstrom) / kernel.cutoff_width_angstrom, 0, 1)
    return 0.5 * (1 + np.cos(np.pi * x))


def distance(atoms, i, j):
    return np.linalg.norm(atoms.positions[i] - atoms.positions[j])


def described(atoms, members, kernel):
    """Species, descriptors and weight of one cluster, by hand; every order of like atoms must give the same."""
    z = atoms.numbers[list(members)]
    if len(members) == 2:
        r = distance(atoms, *members)
        return tuple(sorted(z)), np.array([r]), switch(r, kernel)
    count = {a: (z == a).sum() for a in z}
    a, b, c = sorted(members, key=lambda m: (count[atoms.numbers[m]], atoms.numbers[m]))
    d = np.array([distance(atoms, a, b), distance(atoms, a, c), distance(atoms, b, c)])
    q = d
    if len(count) == 2:
        q = np.array([d[0] + d[1], (d[0] - d[1]) ** 2, d[2]])
    elif len(count) == 1:
        q = np.array([d.sum(), ((d - d.mean()) ** 2).sum(), ((d - d.mean()) ** 3).sum()])
    return tuple(sorted(z)), q, switch(d, kernel).prod()


def brute_force(kernel, a, b):
    total = 0.0
    for mine in combinations(range(len(a)), kernel.size):
        species, q, w = described(a, mine, kernel)
        for theirs in combinations(range(len(b)), kernel.size):
            other, q_b, w_b = described(b, theirs, kernel)
            if species == other:
                total += w * w_b * np.exp(-((q - q_b) ** 2).sum() / (2 * kernel.width**2))
    return total


@KERNELS
def test_values_against_loops_over_clusters(kernel, ours, references):
    expected = [[brute_force(kernel, a, b) for b in references] for a in ours]
    np.testing.assert_allclose(kernel.values(ours, references), expected, atol=EXACT)
    assert np.count_nonzero(np.array(expected) > 0.01) > 8


@KERNELS
def test_gradients_against_finite_differences(kernel, ours, references):
    gradients, h, row = kernel.gradients(ours, references), 1e-5, 0
    assert np.abs(gradients).max() > 0.1
    for atoms in ours:
        steps = []
        for step in np.eye(3 * len(atoms)).reshape(-1, len(atoms), 3) * h:
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions += sign * step
                steps.append(moved)
        values = kernel.values(steps, references)
        n = 3 * len(atoms)
        np.testing.assert_allclose(gradients[row : row + n], (values[::2] - values[1::2]) / (2 * h), atol=1e-7)
        row += n
    assert row == len(gradients)


@settings(derandomize=True, max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_gradients_turn(seed, improper):
    rng = np.random.default_rng(seed)
    rotation = random_rotation(rng) * (-1 if improper else 1)
    ours, references = clusters_of("OHHHCC", seed, n=1)[:2], clusters_of("OHHHCC", seed + 1, n=1)[:2]
    order = [rng.permutation(len(atoms)) for atoms in ours]
    moved = [rotate(atoms, rotation)[p] for atoms, p in zip(ours, order, strict=True)]
    for atoms in moved:
        atoms.positions += rng.normal(size=3)
    rows = np.concatenate([order[0], len(ours[0]) + order[1]])
    for kernel in (PAIRS, TRIANGLES):
        before = kernel.gradients(ours, references).reshape(-1, 3, 2)
        after = kernel.gradients(moved, references).reshape(-1, 3, 2)
        turned = np.einsum("ab,nbr->nar", rotation, before)[rows]
        np.testing.assert_allclose(after, turned, atol=EQUIVARIANCE)


@KERNELS
def test_no_total_force_and_no_torque(kernel, ours, references):
    gradients = kernel.gradients(ours[:1], references).reshape(6, 3, -1)
    np.testing.assert_allclose(gradients.sum(axis=0), 0, atol=EQUIVARIANCE)
    torque = np.cross(ours[0].positions[:, :, None], gradients, axis=1).sum(axis=0)
    np.testing.assert_allclose(torque, 0, atol=EQUIVARIANCE)


@KERNELS
def test_tiles_do_not_show_in_gradients(kernel, ours, references, monkeypatch):
    gradients = kernel.gradients(ours, references)
    monkeypatch.setattr(body_order, "TILE", 5)
    np.testing.assert_allclose(kernel.gradients(ours, references), gradients, atol=EXACT)


def test_triangles_of_like_atoms_differ_unless_they_are_congruent():
    """Descriptors hold all of a triangle: only its distances in another order give the same."""

    def triangle(d):
        x = (d[0] ** 2 + d[1] ** 2 - d[2] ** 2) / (2 * d[0])
        return Atoms("HHH", [[0, 0, 0], [d[0], 0, 0], [x, np.sqrt(d[1] ** 2 - x**2), 0]])

    sharp = TriangleKernel(2.5, 0.001)
    same = [triangle(d) for d in permutations((1.0, 1.2, 1.5))]
    np.testing.assert_allclose(sharp.values(same, same), 1.0, atol=1e-9)
    assert sharp.values(same[:1], [triangle((1.0, 1.25, 1.45))]) < 1e-6  # of the same sum


def test_smooth_at_the_cut_off():
    bonds = [Atoms("HH", [[0, 0, 0], [0, 0, r]]) for r in (2.4999, 2.5, 2.6)]
    reference = [Atoms("HH", [[0, 0, 0], [0, 0, 1.9]])]
    assert 0 < PAIRS.values(bonds, reference)[0, 0] < 1e-7
    assert not PAIRS.values(bonds[1:], reference).any()
    assert np.abs(PAIRS.gradients(bonds, reference)).max() < 1e-3


def test_nothing_to_compare():
    water, lone = Atoms("HHO", np.eye(3)), Atoms("He")
    for kernel in (PAIRS, TRIANGLES):
        assert kernel.values([], [water]).shape == (0, 1)
        assert kernel.values([water], []).shape == (1, 0)
        assert kernel.gradients([], [water]).shape == (0, 1)
        np.testing.assert_array_equal(kernel.gradients([lone], [lone, water]), np.zeros((3, 2)))


def test_refusals():
    with pytest.raises(StructureError, match="structure 1 holds atoms at the same place"):
        PAIRS.values([Atoms("HH", [[0, 0, 0], [0, 0, 1]]), Atoms("HH", np.zeros((2, 3)))], [])
    for lengths in ((0.0, 0.1), (2.0, -0.1), (2.0, 0.1, 3.0), (np.nan, 0.1)):
        with pytest.raises(ConfigError, match="expected positive numbers"):
            TriangleKernel(*lengths)
