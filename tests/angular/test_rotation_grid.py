import numpy as np
import pytest
from scipy.integrate import lebedev_rule

from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.angular.rotation_grid import rotation_grid
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def about(axis, angle):
    c, s = np.cos(angle), np.sin(angle)
    i, j = {1: (2, 0), 2: (0, 1)}[axis]
    out = np.eye(3)
    out[i, i], out[i, j], out[j, i], out[j, j] = c, -s, s, c
    return out


@pytest.mark.parametrize("degree", [0, 1, 4, 9])
def test_nodes_and_weights(degree):
    grid = rotation_grid(degree)
    assert len(grid.weights) == (degree + 1) ** 2 * -(-(degree + 1) // 2)
    assert abs(grid.weights.sum() - 1) < EXACT
    assert grid.weights.min() > 0


def test_functions_are_those_of_the_euler_rotations():
    grid, rng = rotation_grid(5), np.random.default_rng(0)
    values = grid.wigner_functions(2).reshape(len(grid.alpha), len(grid.beta), len(grid.alpha), -1)
    for _ in range(10):
        a, b, c = rng.integers(len(grid.alpha)), rng.integers(len(grid.beta)), rng.integers(len(grid.alpha))
        rotation = about(2, grid.alpha[a]) @ about(1, grid.beta[b]) @ about(2, grid.alpha[c])
        expected = np.concatenate([d.ravel() for d in real_wigner_d(rotation, 2)])
        np.testing.assert_allclose(values[a, b, c], expected, atol=EXACT)


def test_functions_are_orthogonal():
    """The mean of D^l_{mm'} D^k_{pp'} is 1 / (2l + 1) for equal ones and else zero, if l + k is within the degree."""
    grid, max_l = rotation_grid(6), 3
    d = grid.wigner_functions(max_l)
    norms = np.concatenate([np.full((2 * l + 1) ** 2, 1 / (2 * l + 1)) for l in range(max_l + 1)])
    np.testing.assert_allclose(d.T @ (grid.weights[:, None] * d), np.diag(norms), atol=EXACT)


@pytest.mark.parametrize("degree", [4, 7])
def test_degree_is_what_it_says(degree):
    """All single functions up to the degree are integrated, some of the next one are not."""
    grid = rotation_grid(degree)
    means = grid.weights @ grid.wigner_functions(degree + 1)
    inside = (degree + 1) * (2 * degree + 1) * (2 * degree + 3) // 3
    np.testing.assert_allclose(means[:inside], np.eye(1, inside)[0], atol=EXACT)
    assert np.abs(means[inside:]).max() > 0.1


def test_against_lebedev_points_times_a_circle():
    """The same mean of a polynomial in the elements of R as an unrelated quadrature finds."""
    rng, degree = np.random.default_rng(1), 6
    a, b, c = rng.normal(size=(3, 3, 3))

    def polynomial(r):
        return np.tensordot(r, a, 2) ** 2 * np.tensordot(r, b, 2) ** 3 * np.tensordot(r, c, 2)

    grid = rotation_grid(degree)
    euler = [about(2, x) @ about(1, y) @ about(2, z) for x in grid.alpha for y in grid.beta for z in grid.alpha]
    points, weights = lebedev_rule(7)
    z = points.T
    helper = np.where(np.abs(z[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    x = np.cross(helper, z)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    frames = np.stack([x, np.cross(z, x), z], axis=2)
    other = [f @ about(2, 2 * np.pi * k / 8) for f in frames for k in range(8)]
    expected = np.repeat(weights / weights.sum() / 8, 8) @ polynomial(np.array(other))
    assert (
        abs(grid.weights @ polynomial(np.array(euler)) - expected) < EXACT * np.abs(polynomial(np.array(other))).max()
    )
