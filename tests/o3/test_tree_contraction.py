"""Weighted sums of monomials: every loop against the features themselves, gradients, and what is empty."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from hamlearn.o3 import monomials, tree_contraction
from hamlearn.o3.horner import COMPLEX_SUM, COMPLEX_VARIABLE, HornerTable
from hamlearn.o3.monomial_levels import Variables
from hamlearn.o3.monomials import MonomialTree
from hamlearn.o3.tree_contraction import TreeContraction, is_compiled
from hamlearn.testing import TOLERANCE

RELATIVE = {torch.float64: TOLERANCE["float64"]["exact"], torch.float32: 1e-6}
SEVERAL = np.array([0] * 7 + [1] * 5 + [2] * 3 + [3])
needs_compiler = pytest.mark.skipif(not is_compiled(), reason="no compiler")


@pytest.fixture(params=["torch", *(pytest.param(w, marks=needs_compiler) for w in (16, 32, 64))])
def back_end(request, monkeypatch):
    """Torch, as on a machine where the loop was not built, and the loop with vectors of at most so many bytes."""
    if request.param == "torch":
        monkeypatch.setattr(tree_contraction, "_loops", lambda: None)
    else:
        monkeypatch.setattr(tree_contraction, "WIDEST", request.param)
        monkeypatch.setattr(TreeContraction, "_by_torch", None)


def small_tree(charges=SEVERAL, wanted=(0, 1, 2, 3), degree=4, threshold=1e-5, most=None):
    variances = 0.3 * np.random.default_rng(len(charges)).random(len(charges)) ** 3
    return MonomialTree(Variables(np.array(charges, dtype=int), variances), wanted, degree, threshold, most)


def random_weights(tree, n_out, seed=0):
    rng = np.random.default_rng(seed)
    return {key: rng.normal(size=(tree.n_features(key), n)) for key, n in zip(tree.keys, n_out, strict=False)}


def random_components(tree, n, seed=1):
    rows = np.random.default_rng(seed).normal(size=(tree.variables.n_components, n))
    return torch.from_numpy(rows)


def assert_are_sums_of_features(tree, weights, components, dtype=torch.float64):
    answers = TreeContraction(tree, weights)(components.to(dtype))
    assert answers.keys() == weights.keys()
    for key, phi in tree.features(components).items():
        if key in weights:
            w = torch.from_numpy(weights[key]).to(phi.dtype)
            expected, size = w.T @ phi, (abs(w.T) @ abs(phi)).abs()
            assert answers[key].shape == expected.shape
            assert answers[key].dtype == (dtype.to_complex() if key[0] else dtype)
            assert ((answers[key] - expected).abs() <= RELATIVE[dtype] * size).all()


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("dtype", RELATIVE)
@pytest.mark.parametrize("n", [1, 2, 12, 16, 17, 36, 64])
def test_sums(n, dtype):
    tree = small_tree()
    assert min(tree.n_features(key) for key in tree.keys) > 100
    assert_are_sums_of_features(tree, random_weights(tree, (1, 2, 3, 4, 9)), random_components(tree, n), dtype)


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("most", [1, 20, 300])
@pytest.mark.parametrize("degree", [1, 2, 3, 6])
def test_degrees(degree, most):
    tree = small_tree(degree=degree, threshold=1e-7, most=most)
    assert_are_sums_of_features(tree, random_weights(tree, (3, 1, 1, 2, 1)), random_components(tree, 5))


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("charges", [[], [0], [0, 0, 0], [1], [2], [0, 1], [1, 3]])
@pytest.mark.parametrize("degree", [1, 4])
def test_few_variables(charges, degree):
    tree = small_tree(charges, degree=degree, threshold=0.0)
    assert_are_sums_of_features(tree, random_weights(tree, (2, 1, 3, 1, 1)), random_components(tree, 3))


@pytest.mark.usefixtures("back_end")
def test_what_is_empty():
    nothing = small_tree(threshold=10.0)
    assert_are_sums_of_features(nothing, random_weights(nothing, (2, 1, 1)), random_components(nothing, 3))
    tree = small_tree()
    assert_are_sums_of_features(tree, random_weights(tree, (2, 1, 1)), random_components(tree, 0))
    assert_are_sums_of_features(tree, random_weights(tree, (0, 1, 0)), random_components(tree, 3))
    assert_are_sums_of_features(tree, {}, random_components(tree, 3))


@pytest.mark.usefixtures("back_end")
def test_rows_in_any_order_and_no_memory_of_earlier_ones():
    tree = small_tree()
    contract, x = TreeContraction(tree, random_weights(tree, (1, 1, 1))), random_components(tree, 20)
    first = contract(x)
    rows_first = contract(x.T.contiguous().T)
    part = contract(x[:, 3:9])
    for key, values in first.items():
        torch.testing.assert_close(rows_first[key], values, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(part[key], values[:, 3:9], rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("back_end")
def test_many_rows_in_threads_and_tiles(monkeypatch):
    monkeypatch.setattr(tree_contraction, "TERMS_PER_THREAD", 1)
    monkeypatch.setattr(monomials, "HELD_IN_CACHE", 10_000)
    tree, before = small_tree(threshold=1e-3), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert_are_sums_of_features(tree, random_weights(tree, (2, 1, 1)), random_components(tree, 203))
    finally:
        torch.set_num_threads(before)


def test_most_sums_are_real():
    """The number of real products for a feature: 2.8 to 3.5 with real factors first, 1.8 with rare ones first."""
    tree = small_tree(charges=np.array([0] * 20 + [1] * 10 + [2] * 5), threshold=1e-6)
    found = []
    for key in tree.keys:
        table = HornerTable.of(tree, key)
        variable, inner = (np.where(table.nodes[:, 4] & flag, 2, 1) for flag in (COMPLEX_VARIABLE, COMPLEX_SUM))
        found.append((len(table.leaves) + variable @ inner) / tree.n_features(key))
    assert max(found) < 1.55


def test_gradients():
    tree = small_tree([0, 0, 1, 2], degree=3, threshold=1e-6)
    contract = TreeContraction(tree, random_weights(tree, (1, 2, 1)))
    x = random_components(tree, 2).requires_grad_()
    assert gradcheck(lambda values: tuple(contract(values).values()), x)
    assert gradgradcheck(lambda values: tuple(contract(values).values()), x)


def test_gradients_are_slopes_of_unrecorded_sums():
    """Torch is taken where derivatives are recorded, whatever is taken elsewhere."""
    tree, step = small_tree(), 1e-4
    contract = TreeContraction(tree, random_weights(tree, (1, 2, 1)))
    x, direction = random_components(tree, 4).requires_grad_(), random_components(tree, 4, 2)

    def total(components):
        return sum((values.abs() ** 2).sum() for values in contract(components).values())

    (slope,) = torch.autograd.grad(total(x), x)
    with torch.no_grad():
        expected = (total(x + step * direction) - total(x - step * direction)) / (2 * step)
    torch.testing.assert_close((slope * direction).sum(), expected, rtol=1e-5, atol=0.0)


def test_what_is_wrong():
    tree = small_tree(wanted=(0, 1))
    with pytest.raises(ValueError, match=r"weights of \(2, 0\), but the tree has features of"):
        TreeContraction(tree, {(2, 0): np.zeros((3, 1))})
    with pytest.raises(ValueError, match=rf"expected \[{tree.n_features((1, 0))} features, output\]"):
        TreeContraction(tree, {(1, 0): np.zeros((3, 1))})
    contract = TreeContraction(tree, random_weights(tree, (1, 1)))
    with pytest.raises(ValueError, match="real parts of all 16 variables"):
        contract(torch.zeros((16, 2), dtype=torch.float64))
