import numpy as np
import pytest
import torch
from brute_force import density, features, points, scalar_products

from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.errors import ConfigError
from hamlearn.kernels import wigner_kernels
from hamlearn.structures import random_rotation
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def by_l(c, to=lambda x: x.numpy()):
    return {l: to(c[:, l * l : (l + 1) ** 2]) for l in range(int(c.shape[1] ** 0.5))}


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("nu", [2, 3])
@pytest.mark.parametrize("max_l", [1, 2])
def test_kernels_are_scalar_products_of_features(nu, max_l):
    c_i, c_j = density(points(0, 3, q=2), max_l), density(points(1, 2, q=2), max_l)
    kernels = wigner_kernels(by_l(c_i), by_l(c_j), nu, max_l)
    left, right = features(c_i, nu, max_l), features(c_j, nu, max_l)
    for L in range(max_l + 1):
        for sigma in (1, -1):
            expected = scalar_products(left, right, (L, sigma))
            np.testing.assert_allclose(kernels[nu, L, sigma], expected, atol=EXACT, rtol=EXACT)


@pytest.mark.parametrize("improper", [False, True])
@pytest.mark.parametrize("nu", [1, 2, 3])
def test_untruncated_kernels_are_the_power_of_the_function(nu, improper):
    """f^nu(R), summed up from its coefficients at random R; densities are padded so that no l is left out."""
    max_l, rng = 2, np.random.default_rng(nu)
    a, b = points(0, 3), points(1, 2)
    rotation = random_rotation(rng, improper)
    padded = [
        torch.nn.functional.pad(density(x, max_l), (0, 0, 0, (nu * max_l + 1) ** 2 - (max_l + 1) ** 2)) for x in (a, b)
    ]
    kernels = wigner_kernels(by_l(padded[0]), by_l(padded[1]), nu, nu * max_l, truncate=False)
    d = real_wigner_d(rotation, nu * max_l)
    total = sum(
        (sigma if improper else 1) * np.einsum("ijmn,mn->ij", kernels[nu, L, sigma], d[L])
        for L in range(nu * max_l + 1)
        for sigma in (1, -1)
    )
    f = np.einsum("imq,jmq->ij", density(a, max_l), density(b, max_l, rotation))
    np.testing.assert_allclose(total, f**nu, atol=EXACT, rtol=EXACT)


@pytest.mark.usefixtures("back_end")
def test_truncation_leaves_order_two_and_the_invariant_of_order_three_alone():
    c = by_l(density(points(0, 3), 2))
    cut, full = (wigner_kernels(c, c, 4, 2, truncate=t) for t in (True, False))
    for (nu, L, sigma), k in full.items():
        if nu <= 2 or (nu, L, sigma) == (3, 0, 1):
            np.testing.assert_allclose(cut[nu, L, sigma], k, atol=EXACT, rtol=EXACT)
    assert np.abs(cut[3, 1, 1] - full[3, 1, 1]).max() > 1e-6


@pytest.mark.usefixtures("back_end")
def test_numpy_in_numpy_out_torch_in_torch_out():
    c_i, c_j = density(points(0, 3), 2), density(points(1, 4), 2)
    arrays = wigner_kernels(by_l(c_i), by_l(c_j), 3, 2)
    tensors = wigner_kernels(by_l(c_i, lambda x: x), by_l(c_j, lambda x: x), 3, 2)
    assert set(arrays) == {(nu, L, s) for nu in (1, 2, 3) for L in range(3) for s in (1, -1)}
    for (nu, L, sigma), k in arrays.items():
        assert isinstance(k, np.ndarray)
        assert isinstance(tensors[nu, L, sigma], torch.Tensor)
        assert k.shape == tensors[nu, L, sigma].shape == (3, 4, 2 * L + 1, 2 * L + 1)
        assert np.array_equal(k, tensors[nu, L, sigma].numpy())
    assert np.abs(arrays[1, 1, -1]).max() == 0


@pytest.mark.usefixtures("back_end")
def test_channels_may_differ_with_l():
    c_i, c_j = (by_l(density(points(seed, 3, q=4), 2)) for seed in (0, 1))
    fewer = [{0: c[0], 1: c[1][:, :, :2], 2: c[2][:, :, :3]} for c in (c_i, c_j)]
    zeroed = [
        {l: np.concatenate([x, np.zeros((3, 2 * l + 1, 4 - x.shape[2]))], 2) for l, x in c.items()} for c in fewer
    ]
    found, expected = wigner_kernels(*fewer, 3, 2), wigner_kernels(*zeroed, 3, 2)
    for key, k in expected.items():
        np.testing.assert_allclose(found[key], k, atol=EXACT)


def test_what_is_refused():
    c = by_l(density(points(0, 3, q=4), 2))
    broken = c[1].copy()
    broken[0, 0, 0] = np.nan
    for bad, max_nu, max_l, message in (
        ({0: c[0], 2: c[2]}, 2, 2, r"c_i: densities of l = \[1\] are missing"),
        (c, 2, 3, r"l = \[3\] are missing"),
        (c | {1: c[1].transpose(0, 2, 1)}, 2, 2, "shape"),
        (c | {1: c[1][:2]}, 2, 2, "shape"),
        (c | {0: 1.0}, 2, 2, "shape"),
        (c | {1: broken}, 2, 2, "c_i, l = 1: the density has NaN"),
        (c | {1: torch.from_numpy(broken) / 0}, 2, 2, "NaN or infinite"),
        (c | {1: c[1] + 0j}, 2, 2, "c_i, l = 1: .* no array of real numbers"),
        (c | {1: torch.from_numpy(c[1]) + 0j}, 2, 2, "real numbers"),
        (c | {1: "abc"}, 2, 2, "real numbers"),
        (c | {1: [[1.0], [1.0, 2.0]]}, 2, 2, "real numbers"),
        (c | {1: None}, 2, 2, "real numbers"),
        (list(c.values()), 2, 2, "c_i is a list; expected a dict"),
        (c[0], 2, 2, "c_i is a ndarray"),
        ({l: x[:, :, :2] for l, x in c.items()}, 2, 2, "channels"),
    ):
        with pytest.raises(ConfigError, match=message):
            wigner_kernels(bad, c, max_nu, max_l)
    with pytest.raises(ConfigError, match="c_j is a list"):
        wigner_kernels(c, list(c.values()), 2, 2)


@pytest.mark.parametrize("name", ["max_nu", "max_l"])
@pytest.mark.parametrize("value", [-1, 1.5, 2.0, True, "2", None, float("nan")])
def test_sizes_that_are_no_whole_numbers_are_refused(name, value):
    c = by_l(density(points(0, 3), 2))
    with pytest.raises(ConfigError, match=f"{name} = {value!r}; expected a whole number"):
        wigner_kernels(c, c, **{"max_nu": 2, "max_l": 2, name: value})


def test_numpy_sizes_and_mixed_sides():
    """Whole numbers of numpy are whole numbers; one tensor among the densities makes all kernels tensors."""
    c = by_l(density(points(0, 3), 2))
    expected = wigner_kernels(c, c, 2, 2)
    found = wigner_kernels(c, {l: torch.from_numpy(x).requires_grad_() for l, x in c.items()}, np.int64(2), np.int32(2))
    assert found[2, 1, -1].requires_grad
    for key, k in expected.items():
        np.testing.assert_allclose(found[key].detach().numpy(), k, atol=EXACT, rtol=EXACT)


def test_numbers_of_other_kinds():
    """Whole numbers, lists and read-only arrays are arrays of numbers; mixed precision is refused."""
    rng = np.random.default_rng(0)
    whole = {l: rng.integers(-3, 4, size=(2, 2 * l + 1, 3)) for l in range(3)}
    real = {l: c.astype(np.float64) for l, c in whole.items()}
    expected = wigner_kernels(real, real, 3, 2)
    fixed = {l: c[::-1].copy()[::-1] for l, c in real.items()}
    for c in fixed.values():
        c.flags.writeable = False
    for other in (whole, fixed, {l: c.tolist() for l, c in whole.items()}):
        found = wigner_kernels(other, other, 3, 2)
        for key, k in expected.items():
            np.testing.assert_allclose(found[key], k, atol=1e-9)
    with pytest.raises(ConfigError, match="dtype"):
        wigner_kernels(real, {l: c.astype(np.float32) for l, c in real.items()}, 2, 2)
    with pytest.raises(ConfigError, match=r"l = \[0\] are missing"):
        wigner_kernels({1: real[1], 2: real[2]}, real, 2, 2)


@pytest.mark.usefixtures("back_end")
@pytest.mark.parametrize("truncate", [True, False])
def test_no_environments(truncate):
    none = {l: np.zeros((0, 2 * l + 1, 3)) for l in range(3)}
    some = {l: np.ones((2, 2 * l + 1, 3)) for l in range(3)}
    assert wigner_kernels(none, some, 3, 2, truncate)[3, 1, -1].shape == (0, 2, 3, 3)
