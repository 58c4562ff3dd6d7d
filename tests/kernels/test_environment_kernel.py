"""Kernels summed over atoms: against the analytic kernel and plain sums, rows, kinds, bad input."""

import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import KernelSettings
from hamlearn.errors import ConfigError, DomainError
from hamlearn.kernels import EnvironmentKernel, invariant_orders
from hamlearn.testing import TOLERANCE
from hamlearn.testing.analytic_kernel import analytic_density_kernel

EXACT = TOLERANCE["float64"]["exact"]
EXPANSION = 1e-5  # channels with less than 1e-10 of the variance are left out
FAST = {"cutoff_angstrom": 4.0, "smearing_angstrom": 0.3, "smearing_growth_angstrom": 3.0, "max_l": 2}


def molecules(n=5, seed=0, formula="OHHC"):
    rng = np.random.default_rng(seed)
    base = np.array([[0, 0, 0.0], [0.76, 0, 0.59], [-0.76, 0, 0.59], [0, 1.3, -0.4]])
    return [Atoms(formula, base + rng.normal(scale=0.08, size=base.shape)) for _ in range(n)]


def fitted(**changes):
    return EnvironmentKernel(KernelSettings(**{**FAST, **changes})).fit(molecules())


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("likeness", [None, 1.5])
def test_densities_give_the_analytic_kernel(likeness):
    """Up to the one factor that scales all densities, and the precision of the expansion."""
    kernel, few = (
        fitted(max_channels=256, max_l=3, decay_angstrom=2.0, l_weight="haar", element_likeness=likeness),
        molecules(3),
    )
    analytic = analytic_density_kernel(few, few, kernel.settings)
    env = kernel.environments(few)
    ours = kernel.environment_matrix(env, env, (1, 1))
    factor = None
    for z, k1 in analytic.items():
        expected = k1.coefficients(1).permute(2, 3, 0, 1).numpy()
        factor = (ours[z][1] * expected).sum() / (expected**2).sum() if factor is None else factor
        np.testing.assert_allclose(ours[z][1], factor * expected, rtol=0, atol=EXPANSION)
        orders = invariant_orders(k1.scaled(factor), 4)
        np.testing.assert_allclose(kernel.environment_matrix(env, env)[z], orders.numpy(), rtol=0, atol=EXPANSION)


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("kind", ["wigner", "order", "soap"])
def test_structure_kernels_are_sums_over_atoms(kind):
    kernel = fitted(kind=kind)
    a, b = kernel.environments(molecules(3, 1)), kernel.environments(molecules(4, 2))
    between, single = kernel.between(a, b), kernel.environment_matrix(a, b)
    expected = np.zeros_like(between)
    for z, parts in single.items():
        for i, s in enumerate(a.structure[z]):
            for j, t in enumerate(b.structure[z]):
                expected[:, s, t] += parts[:, i, j]
    np.testing.assert_allclose(between, expected, atol=EXACT)
    rows = kernel.rows(a, b)
    for z, where in b.slices().items():
        for t in range(4):
            expected[:, :, t] -= rows[:, :, where][:, :, b.structure[z] == t].sum(-1)
    np.testing.assert_allclose(expected, 0, atol=EXACT)


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("irrep", [(1, 1), (2, -1)])
def test_tensor_kernels_of_structures_are_sums_over_atoms(irrep):
    kernel = fitted()
    a, b = kernel.environments(molecules(3, 1)), kernel.environments(molecules(4, 2))
    between, rows = kernel.between_equivariant(a, b, *irrep), kernel.rows_equivariant(a, b, *irrep)
    expected = np.zeros_like(between)
    for z, parts in kernel.environment_matrix(a, b, irrep).items():
        for i, s in enumerate(a.structure[z]):
            for j, t in enumerate(b.structure[z]):
                expected[:, s, :, t] += parts[..., i, j]
                rows[:, s, :, b.slices()[z].start + j] -= parts[..., i, j]
    np.testing.assert_allclose(between, expected, atol=EXACT)
    np.testing.assert_allclose(rows, 0, atol=EXACT)


def test_small_tiles_change_no_rows(monkeypatch):
    kernel = fitted()
    a, b = kernel.environments(molecules(4, 1)), kernel.environments(molecules(3, 2))

    def every():
        return kernel.rows_equivariant(a, b, 2), kernel.rows(a, a)

    whole = every()
    monkeypatch.setattr(kernel, "largest_tile", lambda: 6)
    for expected, tiled in zip(whole, every(), strict=True):
        np.testing.assert_allclose(tiled, expected, atol=EXACT)


@pytest.mark.usefixtures("back_end")
def test_diagonal_is_that_of_the_matrix():
    for kind in ("wigner", "order", "soap"):
        kernel = fitted(kind=kind)
        env = kernel.environments(molecules(3, 1))
        matrix, diagonal = kernel.environment_matrix(env, env), kernel.environment_diagonal(env)
        for z in env.species:
            np.testing.assert_allclose(diagonal[z], np.einsum("pii->pi", matrix[z]), atol=EXACT)


def test_scalars_are_the_same_by_either_door():
    kernel = fitted()
    env = kernel.environments(molecules(3, 1))
    tensor = kernel.between_equivariant(env, env, 0, 1)[:, :, 0, :, 0]
    np.testing.assert_allclose(tensor, kernel.between(env, env), atol=EXACT)


@pytest.mark.usefixtures("back_end")
def test_isolated_atoms():
    """Order 0 alone remains; the normalised kernel of two lone atoms is 1, of a lone and a bound one 0."""
    lone = [Atoms("C", [[0, 0, 0.0]]), Atoms("C", [[5.0, 0, 0]])]
    for kind in ("wigner", "soap"):
        kernel = fitted(kind=kind)
        a, b = kernel.environments(lone), kernel.environments(molecules(1))
        own, mixed = kernel.between(a, a), kernel.between(a, b)
        np.testing.assert_allclose(own[0], 1)
        np.testing.assert_allclose(own[1:], 1.0 if kind == "soap" else 0.0, atol=EXACT)
        np.testing.assert_allclose(mixed[1:], 0, atol=EXACT)


def test_bad_input():
    kernel = fitted(kind="soap")
    env = kernel.environments(molecules(3, 1), gradients=True)
    with pytest.raises(ConfigError, match="no derivatives"):
        kernel.gradient_rows(env, env, [0.0, 1.0])
    small = EnvironmentKernel(KernelSettings(**FAST), memory_gb=1e-7).fit(molecules())
    few = small.environments(molecules(5, 1))
    with pytest.raises(ConfigError, match="more than memory_gb"):
        small.between(few, few)
    with pytest.raises(DomainError, match="not in the training set"):
        kernel.environments([Atoms("NH", [[0, 0, 0], [0, 0, 1.0]])])


def test_what_training_never_showed_counts_in_a_self_kernel():
    """A long bond leaves nothing in the channels; the kernel on all that densities hold sees it."""
    kernel, long = fitted(), molecules(1)
    long[0].positions[1] += [1.5, 0, 0]
    analytic = analytic_density_kernel(long, long, kernel.settings)
    env, full = kernel.environments(long), kernel.uncontracted().environments(long)
    scale2 = kernel.expansion_.scale_**2
    for z, exact in kernel.uncontracted().environment_diagonal(full).items():
        expected = scale2 * np.diagonal(analytic[z].mean().numpy())
        np.testing.assert_allclose(exact[1], expected, rtol=1e-6)
        assert (kernel.environment_diagonal(env)[z] <= exact + EXACT).all()
    assert (
        kernel.environment_diagonal(env)[1][1].min()
        < 0.9 * kernel.uncontracted().environment_diagonal(full)[1][1].min()
    )


def test_channels_and_all_of_a_density_agree_on_what_training_showed():
    kernel, few = fitted(max_channels=256), molecules(3)
    env = kernel.environments(few)
    whole = kernel.uncontracted()
    full = whole.environments(few)
    np.testing.assert_allclose(kernel.between(env, env), whole.between(full, full), atol=1e-4)


def test_pairs_of_elements_never_seen_are_refused():
    """Also where the first structures alone would not show them; alike elements may stand in."""
    apart = [Atoms("OH", [[0, 0, 0], [0, 0, 1.0]]), Atoms("CH", [[0, 0, 0], [0, 0, 1.1]])]
    together = [Atoms("CO", [[0, 0, 0], [0, 0, 1.2]])]
    for likeness in (None, 2.0):
        kernel = EnvironmentKernel(KernelSettings(**FAST, element_likeness=likeness)).fit(apart)
        if likeness is None:
            with pytest.raises(DomainError, match="O near C"):
                kernel.environments(together)
        else:
            assert kernel.environments(together).densities[6].abs().sum() > 0
    many = [*[apart[0]] * 300, *[apart[1]] * 2, *[apart[0]] * 300]
    EnvironmentKernel(KernelSettings(**FAST)).fit(many).environments(apart)


def test_environments_of_other_settings_are_refused():
    one, other = fitted(), fitted(l_weight="haar")
    few, foreign = (kernel.environments(molecules(1), gradients=True) for kernel in (one, other))
    for mixed in (
        lambda: one.between(few, foreign),
        lambda: one.gradient_rows(few, foreign, [0.0, 1.0, 1.0, 1.0, 1.0]),
        lambda: one.derivative_between(few, foreign, [0.0, 1.0, 1.0, 1.0, 1.0]),
    ):
        with pytest.raises(ConfigError, match="l_weight: haar and none"):
            mixed()
