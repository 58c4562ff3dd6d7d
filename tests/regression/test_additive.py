import numpy as np
import pytest
from ase import Atoms

from hamlearn.errors import ConfigError
from hamlearn.kernels import PairKernel, TriangleKernel
from hamlearn.regression.additive import AdditiveKernelRidge, joint_data, joint_rows
from hamlearn.regression.kernel_ridge import KernelRidge
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
PARTS = (PairKernel(5.0, 0.4), TriangleKernel(5.0, 0.6))


def clusters(sizes, seed):
    """Clusters of n atoms, no two of them closer than 0.9 Å or further than 2.2 Å."""
    rng, out = np.random.default_rng(seed), []
    for n in sizes:
        while True:
            atoms = Atoms(f"H{n}", rng.uniform(-1.2, 1.2, size=(n, 3)))
            d = atoms.get_all_distances()[np.triu_indices(n, 1)]
            if d.min() > 0.9 and d.max() < 2.2:
                break
        out.append(atoms)
    return out


def pair_energy(atoms):
    """Morse potential."""
    d = atoms.get_all_distances()[np.triu_indices(len(atoms), 1)]
    return ((1 - np.exp(-1.5 * (d - 1.2))) ** 2 - 1).sum()


def triangle_energy(atoms):
    """Axilrod-Teller: (1 + 3 cos cos cos) / (r r r)^3 of every triangle."""
    total, x = 0.0, atoms.positions
    for i in range(len(x)):
        for j in range(i):
            for k in range(j):
                a, b, c = x[j] - x[i], x[k] - x[j], x[i] - x[k]
                r = np.linalg.norm([a, b, c], axis=1)
                total += (1 - 3 * (a @ b) * (b @ c) * (c @ a) / r.prod() ** 2) / r.prod() ** 3
    return total


def forces(energy, atoms, h=1e-4):
    out = np.zeros((len(atoms), 3))
    for i in range(len(atoms)):
        for c in range(3):
            moved = [atoms.copy(), atoms.copy()]
            for sign, copy in zip((h, -h), moved, strict=True):
                copy.positions[i, c] += sign
            out[i, c] = (energy(moved[1]) - energy(moved[0])) / (2 * h)
    return out


def rows(structures, references):
    return [joint_rows(k.values(structures, references), k.gradients(structures, references)) for k in PARTS]


def fit(structures, references, parts):
    """Fit to the sum of given parts, each a function of Atoms: totals and forces alone."""
    energies = [sum(part(atoms) for part in parts) for atoms in structures]
    all_forces = np.concatenate([sum(forces(part, atoms) for part in parts) for atoms in structures])
    y, variance = joint_data(energies, all_forces, 1e-8, 1e-8)
    active = [k.values(references, references) for k in PARTS]
    return AdditiveKernelRidge([1.0, 0.5]).fit(rows(structures, references), y, variance, active)


def values(structures, references):
    return [k.values(structures, references) for k in PARTS]


def test_two_and_three_body_parts_are_told_apart():
    """From total energies and forces of clusters of 2, 3 and 4 atoms; two atoms have no three-body energy, which
    leaves no freedom to shift pair energies into triangles."""
    train = clusters([2] * 12 + [3] * 60 + [4] * 40, 0)
    model = fit(train, train, [pair_energy, triangle_energy])
    new = clusters([3] * 15 + [4] * 15, 1)
    pairs, triangles = model.parts(values(new, train))
    for found, part in ((pairs, pair_energy), (triangles, triangle_energy)):
        truth = np.array([part(atoms) for atoms in new])
        assert np.sqrt(np.mean((found - truth) ** 2)) < 0.02 * truth.std()
    predicted = -np.concatenate([sum(forces(part, atoms) for part in (pair_energy, triangle_energy)) for atoms in new])
    kernels = [k.gradients(new, train) for k in PARTS]
    error = model.predict(kernels).reshape(-1, 3) - predicted
    assert np.sqrt(np.mean(error**2)) < 0.05 * predicted.std()


def test_what_both_parts_can_express_is_shared():
    """Without the two-atom clusters only the sum is determined: the parts err by opposite amounts."""
    train = clusters([3] * 50, 2)
    model = fit(train, train, [pair_energy, triangle_energy])
    new = clusters([3] * 20, 3)
    truth = np.array([[part(atoms) for atoms in new] for part in (pair_energy, triangle_energy)])
    error = model.parts(values(new, train)) - truth
    assert np.abs(error[0]).mean() > 10 * np.abs(error.sum(axis=0)).mean()
    assert np.abs(error.sum(axis=0)).mean() < 0.02 * truth.sum(axis=0).std()


def test_a_model_of_both_parts_is_found_exactly():
    """Data in the span of the basis give weights and parts back."""
    references = clusters([2, 2, 3, 3, 4], 4)
    train, new = clusters([2] * 4 + [3] * 8 + [4] * 8, 5), clusters([4] * 5, 6)
    truth = np.array([0.7, -0.4, 1.1, 0.3, -0.8])
    weights = (1.0, 0.5)
    y = sum(w * k @ truth for w, k in zip(weights, rows(train, references), strict=True))
    active = [k.values(references, references) for k in PARTS]
    model = AdditiveKernelRidge(weights).fit(rows(train, references), y, 0.0, active)
    np.testing.assert_allclose(model.weights_, truth, atol=1e-7)
    expected = [w * k @ truth for w, k in zip(weights, values(new, references), strict=True)]
    np.testing.assert_allclose(model.parts(values(new, references)), expected, atol=1e-7)


@pytest.fixture(scope="module")
def linear():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(30, q)) for q in (4, 7)], [rng.normal(size=(9, q)) for q in (4, 7)], rng.normal(size=30)


def test_a_weighted_sum_of_kernels_is_one_model_of_all_features(linear):
    """Ridge regression of the features side by side, those of each part scaled by the root of its weight."""
    d, new, y = linear
    w = np.array([2.0, 0.3])
    model = AdditiveKernelRidge(w).fit([x @ x.T for x in d], y, 0.7)
    joined = np.hstack([np.sqrt(a) * x for a, x in zip(w, d, strict=True)])
    beta = np.linalg.solve(joined.T @ joined + 0.7 * np.eye(11), joined.T @ y)
    kernels = [a @ b.T for a, b in zip(new, d, strict=True)]
    expected = [np.sqrt(w[0]) * new[0] @ beta[:4], np.sqrt(w[1]) * new[1] @ beta[4:]]
    np.testing.assert_allclose(model.parts(kernels), expected, atol=100 * EXACT)
    np.testing.assert_allclose(model.predict(kernels), sum(expected), atol=100 * EXACT)


def test_a_part_of_weight_zero_takes_no_part(linear):
    d, new, y = linear
    kernels = [a @ b.T for a, b in zip(new, d, strict=True)]
    model = AdditiveKernelRidge([1.5, 0.0]).fit([x @ x.T for x in d], y, 0.7)
    assert not model.parts(kernels)[1].any()
    alone = KernelRidge().fit(1.5 * d[0] @ d[0].T, y, 0.7)
    np.testing.assert_allclose(model.predict(kernels), alone.predict(1.5 * kernels[0]), atol=10 * EXACT)


def test_joint_rows_are_energies_and_forces():
    values, gradients = np.arange(4.0).reshape(2, 2), np.arange(12.0).reshape(6, 2)
    np.testing.assert_array_equal(joint_rows(values, gradients), np.vstack([values, -gradients]))
    y, variance = joint_data([1.0, 2.0], np.arange(6.0).reshape(2, 3), 0.1, 0.5)
    np.testing.assert_array_equal(y, [1, 2, 0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(variance, [0.1] * 2 + [0.5] * 6)


def test_refusals(linear):
    d, _, y = linear
    kernels = [x @ x.T for x in d]
    for weights in ([1.0, -0.1], [], [[1.0]]):
        with pytest.raises(ConfigError, match="the weights of the parts are"):
            AdditiveKernelRidge(weights)
    model = AdditiveKernelRidge([1.0, 1.0])
    with pytest.raises(ConfigError, match="was not fitted"):
        model.predict(kernels)
    with pytest.raises(ConfigError, match="1 kernels for 2 weights"):
        model.fit(kernels[:1], y, 1.0)
    with pytest.raises(ConfigError, match="expected one shape"):
        model.fit([kernels[0], kernels[1][:5, :5]], y, 1.0)
    with pytest.raises(ConfigError, match="part 1 holds 900 numbers that are NaN"):
        model.fit([kernels[0], kernels[1] * np.nan], y, 1.0)
    model.fit(kernels, y, 1.0)
    with pytest.raises(ConfigError, match=r"part 0 has shape \[30, 4\]; expected a matrix \[any, 30\]"):
        model.parts([d[0], kernels[1]])
