"""Derivatives of summed kernels: finite differences, symmetries, sums that vanish, predictions."""

import numpy as np
import pytest
import torch
from ase import Atoms

from hamlearn.config import KernelSettings
from hamlearn.errors import ConfigError
from hamlearn.kernels import EnvironmentKernel, density_kernel, gradients
from hamlearn.kernels.derivatives import mixture_of, slope_derivative
from hamlearn.kernels.gradients import derivative_between, directions_of, energies_and_gradients, gradient_rows
from hamlearn.o3.group_function import GroupFunction
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SYMMETRIC = TOLERANCE["float64"]["equivariance"]
STEP = 1e-4  # Å; errors of central differences are then about 1e-8
WEIGHTS = [0.3, 0.5, 0.7, 0.2, 0.9, 0.4, 0.3]
KINDS = [("wigner", 4, 1), ("wigner", 6, 1), ("wigner", 1, 1), ("order", 3, 1), ("order", 2, 3)]


def molecules(n, seed=0):
    rng = np.random.default_rng(seed)
    base = np.array([[0, 0, 0.0], [0.76, 0, 0.59], [-0.76, 0, 0.59], [0, 1.3, -0.4]])
    few = [Atoms("OHHC", base + rng.normal(scale=0.08, size=base.shape)) for _ in range(n)]
    return [*few[:-1], few[-1][[0, 1, 3]]]  # not all of one size


def fitted(kind, max_nu, zeta):
    chosen = KernelSettings(
        kind=kind, max_nu=max_nu, zeta=zeta, max_l=2, smearing_angstrom=0.3, smearing_growth_angstrom=3.0
    )
    kernel = EnvironmentKernel(chosen).fit(molecules(4))
    return kernel, WEIGHTS[: kernel.n_parts]


def moved(structures, structure, atom, axis, step):
    out = [atoms.copy() for atoms in structures]
    out[structure].positions[atom, axis] += step
    return out


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize(("kind", "max_nu", "zeta"), KINDS)
def test_gradient_rows_against_finite_differences(kind, max_nu, zeta):
    kernel, weights = fitted(kind, max_nu, zeta)
    few = molecules(3, 1)
    active = kernel.environments(molecules(3, 2)).select({1: np.array([0, 3]), 6: np.array([1]), 8: np.array([2])})
    energies, slopes = gradient_rows(kernel.settings, kernel.environments(few, True), active, weights)
    np.testing.assert_allclose(
        energies, np.tensordot(weights, kernel.rows(kernel.environments(few), active), 1), atol=EXACT
    )
    for structure, atom, axis, flat in ((0, 0, 0, 0), (1, 3, 2, 7), (2, 1, 1, 9)):
        up, down = (
            np.tensordot(weights, kernel.rows(kernel.environments(moved(few, structure, atom, axis, s)), active), 1)
            for s in (STEP, -STEP)
        )
        np.testing.assert_allclose(slopes[3 * flat + axis], (up - down).sum(0) / (2 * STEP), atol=1e-6)


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize(("kind", "max_nu", "zeta"), KINDS)
def test_double_derivatives(kind, max_nu, zeta):
    kernel, weights = fitted(kind, max_nu, zeta)
    few, others = molecules(2, 1), molecules(2, 2)
    a, b = kernel.environments(few, True), kernel.environments(others, True)
    gram = derivative_between(kernel.settings, a, b, weights)
    np.testing.assert_allclose(gram[:2, :2], np.tensordot(weights, kernel.between(a, b), 1), atol=EXACT)
    up, down = (
        derivative_between(kernel.settings, kernel.environments(moved(few, 0, 2, 1, s), True), b, weights)[0]
        for s in (STEP, -STEP)
    )
    np.testing.assert_allclose(gram[2 + 3 * 2 + 1], (up - down) / (2 * STEP), atol=1e-6)
    own = derivative_between(kernel.settings, a, a, weights)
    again = derivative_between(kernel.settings, a, kernel.environments(few, True), weights)
    np.testing.assert_allclose(own, again, atol=SYMMETRIC)
    np.testing.assert_allclose(own, own.T, atol=SYMMETRIC)
    values = np.linalg.eigvalsh(own)
    assert values[0] > -SYMMETRIC * values[-1]


@pytest.mark.usefixtures("back_end")
def test_predictions_are_products_with_the_matrix():
    kernel, weights = fitted("wigner", 4, 1)
    a, b = kernel.environments(molecules(3, 1), True), kernel.environments(molecules(2, 2), True)
    gram = derivative_between(kernel.settings, a, b, weights)
    x = np.random.default_rng(0).normal(size=gram.shape[1])
    coefficients = {z: torch.from_numpy(x[:2][b.structure[z]]) for z in b.species}
    energies, slopes = energies_and_gradients(kernel.settings, a, b, coefficients, directions_of(b, x[2:]), weights)
    np.testing.assert_allclose(energies, (gram @ x)[:3], atol=1e-11)
    np.testing.assert_allclose(slopes.ravel(), (gram @ x)[3:], atol=1e-10)


def test_small_tiles_change_nothing(monkeypatch):
    """One pair of environments at a time, if memory_gb asks for it."""
    kernel, weights = fitted("wigner", 3, 1)
    a, b = kernel.environments(molecules(3, 1), True), kernel.environments(molecules(2, 2), True)
    x = {z: torch.ones(b.count(z), dtype=torch.float64) for z in b.species}
    sizes = []

    def counted(k1, *arguments):
        sizes.append(k1.samples.numel())
        return mixture_of(k1, *arguments)

    monkeypatch.setattr(gradients, "mixture_of", counted)
    found = []
    for memory_gb in (4.0, 1e-6):
        sizes.clear()
        found.append(
            [
                *gradient_rows(kernel.settings, a, b, weights, memory_gb),
                derivative_between(kernel.settings, a, a, weights, memory_gb),
                *energies_and_gradients(kernel.settings, a, b, x, None, weights, memory_gb),
            ]
        )
        assert (max(sizes) == 1) == (memory_gb < 1)
    for large, small in zip(*found, strict=True):
        np.testing.assert_allclose(small, large, atol=EXACT * np.abs(large).max())


def test_total_force_and_torque_vanish():
    kernel, weights = fitted("wigner", 4, 1)
    atoms = molecules(2, 1)[0]
    a = kernel.environments([atoms], True)
    _, slopes = gradient_rows(kernel.settings, a, kernel.environments(molecules(2, 2)), weights)
    force = slopes.reshape(len(atoms), 3, -1)
    np.testing.assert_allclose(force.sum(0), 0, atol=SYMMETRIC)
    torque = np.cross(atoms.positions[:, None], force.transpose(0, 2, 1)).sum(0)
    np.testing.assert_allclose(torque, 0, atol=SYMMETRIC)


@pytest.mark.usefixtures("back_end")
def test_slope_is_the_derivative_autograd_finds():
    """An independent route: the torch grid and automatic differentiation of the invariants."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn((1, 35, 3), dtype=torch.float64, generator=generator) / 6
    change = torch.randn((35, 3, 1), dtype=torch.float64, generator=generator)
    chosen = KernelSettings(max_nu=4, max_l=2)
    leaf = values.clone().requires_grad_()
    on_grid = GroupFunction(leaf, 2, "grid")
    total = sum(w * on_grid.power(nu).mean().sum() for nu, w in enumerate(WEIGHTS[:5]))
    (slope,) = torch.autograd.grad(total, leaf, create_graph=True)
    (second,) = torch.autograd.grad((slope[0] * change[..., 0]).sum(), leaf)
    mixture = mixture_of(GroupFunction(values, 2), chosen, WEIGHTS[:5])
    torch.testing.assert_close(mixture.slope, slope[0].detach(), atol=EXACT, rtol=0)
    torch.testing.assert_close(slope_derivative(mixture, change)[..., 0], second[0], atol=EXACT, rtol=0)


def test_environments_without_gradients_are_refused():
    kernel, weights = fitted("wigner", 2, 1)
    a = kernel.environments(molecules(2))
    with pytest.raises(ConfigError, match="gradients=True"):
        gradient_rows(kernel.settings, a, a, weights)


@pytest.mark.usefixtures("back_end")
def test_kernel_of_no_samples():
    empty = density_kernel(torch.zeros((0, 9, 4), dtype=torch.float64), torch.zeros((2, 9, 4), dtype=torch.float64), 2)
    assert (empty * empty).values.shape == (2, 35, 0, 2)
