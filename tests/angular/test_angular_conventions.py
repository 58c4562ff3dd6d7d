"""Conventions are pinned here; correctness is tested against scipy and by rotating."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import sph_harm_y

from hamlearn.angular.clebsch_gordan import clebsch_gordan, complex_to_real, real_wigner_d
from hamlearn.angular.harmonics import spherical_harmonics
from hamlearn.structures import random_rotation
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def harmonics(vectors, max_l):
    return spherical_harmonics(torch.tensor(np.asarray(vectors), dtype=torch.float64), max_l).numpy()


def test_order_and_signs_of_l1_and_l2():
    x, y, z = v = np.array([0.2, -0.5, 0.7]) / np.linalg.norm([0.2, -0.5, 0.7])
    found = harmonics([v], 2)[0]
    np.testing.assert_allclose(found[1:4], np.sqrt(3 / (4 * np.pi)) * np.array([y, z, x]), atol=EXACT)
    l2 = [x * y, y * z, (3 * z * z - 1) / np.sqrt(12), x * z, (x * x - y * y) / 2]
    np.testing.assert_allclose(found[4:9], np.sqrt(15 / (4 * np.pi)) * np.array(l2), atol=EXACT)


def test_harmonics_against_scipy():
    vectors = np.random.default_rng(0).normal(size=(30, 3))
    r = np.linalg.norm(vectors, axis=1)
    theta, phi = np.arccos(vectors[:, 2] / r), np.arctan2(vectors[:, 1], vectors[:, 0])
    found = harmonics(vectors, 8)
    for l in range(9):
        complex_y = np.stack([sph_harm_y(l, m, theta, phi) for m in range(-l, l + 1)], axis=1)
        expected = complex_y @ complex_to_real(l).T
        np.testing.assert_allclose(expected.imag, 0, atol=EXACT)
        np.testing.assert_allclose(found[:, l * l : (l + 1) ** 2], expected.real, atol=EXACT)


def test_harmonics_of_no_vectors():
    assert harmonics(np.zeros((0, 3)), 3).shape == (0, 16)


@settings(derandomize=True, max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), improper=st.booleans())
def test_wigner_d_turns_harmonics(seed, improper):
    rng = np.random.default_rng(seed)
    rotation, vectors = random_rotation(rng, improper), rng.normal(size=(5, 3))
    before, after = harmonics(vectors, 6), harmonics(vectors @ rotation.T, 6)
    for l, d in enumerate(real_wigner_d(rotation, 6)):
        part = slice(l * l, (l + 1) ** 2)
        np.testing.assert_allclose(after[:, part], before[:, part] @ d.T, atol=EXACT)
        np.testing.assert_allclose(d @ d.T, np.eye(2 * l + 1), atol=EXACT)


def test_wigner_d_of_the_inversion():
    for l, d in enumerate(real_wigner_d(-np.eye(3), 5)):
        np.testing.assert_allclose(d, (-1) ** l * np.eye(2 * l + 1), atol=EXACT)


def test_wigner_d_refuses_what_is_no_rotation():
    with pytest.raises(ValueError, match="orthogonal"):
        real_wigner_d(np.diag([1.0, 1.0, 2.0]), 2)


@pytest.mark.parametrize("l1", range(5))
@pytest.mark.parametrize("l2", range(5))
def test_clebsch_gordan_is_orthonormal_and_exchanges(l1, l2):
    tensors = [clebsch_gordan(l1, l2, l) for l in range(abs(l1 - l2), l1 + l2 + 1)]
    square = np.concatenate([c.reshape(-1, c.shape[2]) for c in tensors], axis=1)
    np.testing.assert_allclose(square.T @ square, np.eye(len(square)), atol=EXACT)
    for l, c in zip(range(abs(l1 - l2), l1 + l2 + 1), tensors, strict=True):
        swapped = clebsch_gordan(l2, l1, l).transpose(1, 0, 2)
        np.testing.assert_allclose(swapped, (-1) ** (l1 + l2 - l) * c, atol=EXACT)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 4), st.integers(0, 4), st.data(), st.booleans(), st.integers(0, 2**32 - 1))
def test_clebsch_gordan_couples_equivariants(l1, l2, data, improper, seed):
    l = data.draw(st.integers(abs(l1 - l2), l1 + l2))
    rng = np.random.default_rng(seed)
    a, b, rotation = rng.normal(size=2 * l1 + 1), rng.normal(size=2 * l2 + 1), random_rotation(rng, improper)
    d = real_wigner_d(rotation, max(l1, l2, l))
    coupled = np.einsum("a,b,abc->c", a, b, clebsch_gordan(l1, l2, l))
    turned = np.einsum("a,b,abc->c", d[l1] @ a, d[l2] @ b, clebsch_gordan(l1, l2, l))
    sign = (-1) ** (l1 + l2 + l) if improper else 1
    np.testing.assert_allclose(turned, sign * d[l] @ coupled, atol=EXACT)


def test_clebsch_gordan_signs():
    """1 x 1 gives -a.b / sqrt 3 and + a x b / sqrt 2, vectors in the order (y, z, x)."""
    a, b, yzx = np.array([0.3, -1.0, 0.4]), np.array([2.0, 0.1, -0.7]), [1, 2, 0]
    scalar, cross = (np.einsum("a,b,abc->c", a[yzx], b[yzx], clebsch_gordan(1, 1, l)) for l in (0, 1))
    np.testing.assert_allclose(scalar, [-a @ b / np.sqrt(3)], atol=EXACT)
    np.testing.assert_allclose(cross, np.cross(a, b)[yzx] / np.sqrt(2), atol=EXACT)


def test_clebsch_gordan_refuses_outside_the_triangle():
    with pytest.raises(ValueError, match="expected 1 to 3"):
        clebsch_gordan(1, 2, 4)
