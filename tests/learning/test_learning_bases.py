"""Bases of properties against loops over environments."""

import numpy as np
import pytest
import torch

from hamlearn.config import KernelSettings
from hamlearn.kernels.structure_kernel import make_kernel
from hamlearn.learning.bases import Basis, self_kernels_of
from hamlearn.structures import random_rotation, rotate
from hamlearn.testing.exact_problems import small_molecules
from hamlearn.testing.moved_samples import rotation_of

STRUCTURES, NEW = small_molecules(5), small_molecules(3, seed=4)
MIXTURE = np.array([0.5, 2.0, 1.0])
ROWS = {1: np.array([0, 3, 9]), 8: np.array([1, 2])}
STEP = 1e-4


@pytest.fixture(scope="module")
def kernel():
    settings = KernelSettings(
        max_nu=2, max_l=2, cutoff_angstrom=4.0, smearing_angstrom=0.4, smearing_growth_angstrom=None, max_channels=8
    )
    return make_kernel(settings, 4.0).fit(STRUCTURES)


@pytest.fixture(scope="module")
def env(kernel):
    return kernel.environments(NEW)


def pair_kernels(kernel, env, other, irrep):
    """k(i, j) of all environments of one element [i, j, m, m], mixed."""
    matrices = kernel.environment_matrix(env, other, irrep)
    return {z: np.tensordot(MIXTURE, parts, 1).transpose(2, 3, 0, 1) for z, parts in matrices.items()}


@pytest.mark.parametrize("irrep", [(0, 1), (1, 1), (2, 1)])
def test_kernels_of_structures_are_sums_over_both(kernel, env, irrep):
    basis = Basis("full", kernel, STRUCTURES, irrep)
    known, m = basis.environments, 2 * irrep[0] + 1
    expected = np.zeros((len(NEW), m, len(STRUCTURES), m))
    for z, k in pair_kernels(kernel, env, known, irrep).items():
        for i, a in enumerate(env.structure[z]):
            for j, b in enumerate(known.structure[z]):
                expected[a, :, b] += k[i, j]
    found = basis.values(env, MIXTURE)
    np.testing.assert_allclose(found, expected.reshape(len(NEW) * m, -1), atol=1e-10)
    parts = basis.parts(env)
    assert len(parts) == kernel.n_parts
    np.testing.assert_allclose(np.tensordot(MIXTURE, parts, 1), found, atol=1e-12)
    np.testing.assert_allclose(basis.gram(MIXTURE), basis.gram(MIXTURE).T, atol=1e-10)


@pytest.mark.parametrize("irrep", [(0, 1), (1, 1)])
def test_kernels_of_active_environments_are_sums_over_one(kernel, env, irrep):
    basis = Basis("sparse", kernel, STRUCTURES, irrep, ROWS)
    active, m = basis.environments, 2 * irrep[0] + 1
    expected = np.zeros((len(NEW), m, len(active), m))
    for z, k in pair_kernels(kernel, env, active, irrep).items():
        for i, a in enumerate(env.structure[z]):
            expected[a, :, active.slices()[z]] += k[i].transpose(1, 0, 2)
    np.testing.assert_allclose(basis.values(env, MIXTURE), expected.reshape(len(NEW) * m, -1), atol=1e-10)
    gram = basis.gram(MIXTURE)
    assert gram.shape == (5 * m, 5 * m) and not gram[: 3 * m, 3 * m :].any()  # H and O do not see each other
    assert np.linalg.eigvalsh(gram).min() > -1e-9


@pytest.mark.parametrize("kind", ["full", "sparse", "derivatives"])
def test_energies_are_those_of_weights(kernel, kind):
    """What forces are computed from gives the same values, and gradients of them."""
    basis = Basis(kind, kernel, STRUCTURES, (0, 1), ROWS if kind == "sparse" else None)
    weights = np.random.default_rng(0).normal(size=len(basis.gram(MIXTURE)))
    energies_of = basis.energies(weights, MIXTURE)

    def energies(structures):
        return energies_of(kernel.environments(structures, gradients=True))

    found, gradients = energies(NEW)
    expected = basis.values(kernel.environments(NEW, gradients=True), MIXTURE) @ weights
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())
    moved = [NEW[0].copy(), NEW[0].copy()]
    for sign, atoms in zip((1, -1), moved, strict=True):
        atoms.positions[1, 0] += sign * STEP
    up, down = energies(moved)[0]
    assert (up - down) / (2 * STEP) == pytest.approx(gradients[1, 0], rel=1e-5, abs=1e-5 * np.abs(gradients).max())


@pytest.mark.parametrize("irrep", [(0, 1), (2, 1)])
@pytest.mark.parametrize("improper", [False, True])
def test_kernels_turn_with_the_structures(kernel, irrep, improper):
    """K(R A, B) = s D K(A, B)."""
    basis = Basis("full", kernel, STRUCTURES, irrep)
    r = random_rotation(np.random.default_rng(0), improper)
    before, after = (
        basis.values(kernel.environments(each), MIXTURE) for each in (NEW, [rotate(atoms, r) for atoms in NEW])
    )
    d = rotation_of(irrep, r)
    np.testing.assert_allclose(after, np.kron(np.eye(len(NEW)), d) @ before, atol=1e-9)


@pytest.mark.parametrize("irrep", [(0, 1), (1, 1)])
def test_self_kernels_are_those_of_single_structures(kernel, irrep):
    """In any tiles."""
    many = small_molecules(6, seed=2)
    found = self_kernels_of(kernel, many, irrep, MIXTURE)
    assert len(found) == 6
    for atoms, matrix in zip(many, found, strict=True):
        alone = Basis("full", kernel.uncontracted(), [atoms], irrep).gram(MIXTURE)
        np.testing.assert_allclose(matrix, alone, atol=1e-10)


def test_weights_of_active_environments_stay_where_they_are(kernel):
    basis = Basis("sparse", kernel, STRUCTURES, (0, 1), ROWS)
    given = basis.energies(np.arange(5.0), MIXTURE).keywords
    assert torch.cat([given["coefficients"][z] for z in (1, 8)]).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert given["directions"] is None
