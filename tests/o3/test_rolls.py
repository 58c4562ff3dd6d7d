"""Averages over rolls and mirrors of functions of a distance."""

import numpy as np
import pytest
import torch

from hamlearn.o3 import rolls
from hamlearn.o3.monomials import MonomialTree, Variables
from hamlearn.o3.rolls import Points, RollAverage

CHARGES = np.array([0, 0, 0, 1, 1, 2])
KEYS = ((0, 1), (0, -1), (1, 0), (2, 0), (3, 0))
FORMS = {
    "gaussian": lambda d: np.exp(-(d**2) / 2),
    "matern": lambda d: (1 + 5**0.5 * d + 5 * d**2 / 3) * np.exp(-(5**0.5) * d),
}


def variables(n, size=0.3, seed=0):
    """Complex values of random points [variable, row]."""
    z = size * np.random.default_rng(seed).normal(size=(2, len(CHARGES), n))
    return z[0] + 1j * np.where(CHARGES > 0, 1, 0)[:, None] * z[1]


def points(z, dtype=torch.float64):
    return Points.of(components(z), CHARGES, dtype)


def components(z):
    return torch.from_numpy(np.concatenate([z.real, z.imag[CHARGES > 0]]))


def rolled(z, phi):
    return z * np.exp(1j * phi * CHARGES)[:, None]


def matrix(M, phi, mirror):
    """D_M of a roll after a mirror, or not."""
    if M == 0:
        return np.eye(1)
    c, s = np.cos(M * phi), np.sin(M * phi)
    return np.array([[c, -s], [s, c]]) @ np.diag([1, -1 if mirror else 1])


def by_hand(form, a, b, key, n):
    """The mean over all rolls and mirrors of b, one pair of points after another."""
    weight = np.where(CHARGES > 0, 2, 1)[:, None]  # they and their conjugates
    total = 0.0
    for mirror in (False, True):
        for phi in 2 * np.pi * np.arange(n) / n:
            other = rolled(b.conj() if mirror else b, phi)
            d = np.sqrt((weight[:, :, None] * np.abs(a[:, :, None] - other[:, None]) ** 2).sum(axis=0))
            sign = key[1] if mirror and key[0] == 0 else 1
            total = total + sign * FORMS[form](d)[:, None, :, None] * matrix(key[0], phi, mirror)[None, :, None]
    return total / (2 * n)


@pytest.fixture(params=[16, 32, 64, "torch"])
def backend(request, monkeypatch):
    """Of the compiled loop vectors of 16 bytes, and of more where the processor has them."""
    if request.param == "torch":
        monkeypatch.setattr(rolls, "_loops", lambda: None)
    elif not rolls.is_compiled():
        pytest.skip("not compiled")
    else:
        monkeypatch.setattr(rolls, "WIDEST", request.param)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("n_rolls", [4, 24])
def test_it_is_the_mean_over_all_rolls_and_mirrors(form, n_rolls):
    """Whatever tiles it is made in, of more rows than a vector and of none."""
    a, b = variables(5), variables(19, seed=1)
    found = RollAverage(form, n_rolls, KEYS).between(points(a), points(b))
    for key in KEYS:
        np.testing.assert_allclose(found[key], by_hand(form, a, b, key, n_rolls), rtol=0, atol=1e-14)
    assert RollAverage(form, n_rolls, KEYS).between(points(a[:, :0]), points(b))[1, 0].shape == (0, 2, 19, 2)


@pytest.mark.usefixtures("backend")
def test_tiles_do_not_matter(monkeypatch):
    """Nor does float32, to its precision; the weighted sums are those of the whole matrix."""
    a, b = variables(40), variables(45, seed=1)
    average = RollAverage("matern", 24, KEYS)
    whole = average.between(points(a), points(b))
    weights = {(M, s): torch.randn(3, 2 if M else 1, 45, dtype=torch.float64) for M, s in KEYS}
    monkeypatch.setattr(rolls, "CELLS", 800)
    monkeypatch.setattr(rolls, "HEIGHT", 15)
    tiled, sums = average.between(points(a), points(b)), average.weighted(points(a), points(b), weights)
    single = average.between(points(a, torch.float32), points(b, torch.float32))
    for key, k in whole.items():
        torch.testing.assert_close(tiled[key], k, rtol=0, atol=1e-14)
        torch.testing.assert_close(single[key].double(), k, rtol=0, atol=2e-6)
        expected = torch.einsum("ipjq,oqj->oip", k, weights[key])
        found = torch.view_as_real(sums[key]) if key[0] else sums[key][..., None]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_gaussians_are_scalar_products_of_all_monomials():
    """Of a degree so high that nothing is missing, of small variables."""
    a, b = variables(4, 0.12), variables(6, 0.12, seed=1)
    tree = MonomialTree(Variables(CHARGES, np.ones(len(CHARGES))), (0, 1, 2, 3), 8, 1e-12)
    left, right = (tree.features(components(z)) for z in (a, b))
    norms = [np.exp(-points(z).norms.numpy()) for z in (a, b)]
    found = RollAverage("gaussian", 24, KEYS).between(points(a), points(b))
    for key in KEYS:
        x, y = (torch.view_as_real(f[key]) if key[0] else f[key][..., None] for f in (left, right))
        products = np.einsum("fip,fjq->ipjq", x.numpy(), y.numpy())
        products[:, 0, :, 0] += key == (0, 1)  # the constant
        expected = products * norms[0][:, None, None, None] * norms[1][:, None]
        np.testing.assert_allclose(found[key], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("form", list(FORMS))
def test_kernels_turn_with_rolls_and_mirrors(form):
    """With enough rolls by any angle; they are symmetric, and positive for any number of rolls."""
    a, b = variables(5), variables(7, seed=1)
    before = RollAverage(form, 120, KEYS).between(points(a), points(b))
    for mirror in (False, True):
        moved = points(rolled(b.conj() if mirror else b, 0.37))
        after = RollAverage(form, 120, KEYS).between(points(a), moved)
        for key in KEYS:
            sign = key[1] if mirror and key[0] == 0 else 1
            expected = sign * before[key].numpy() @ matrix(key[0], 0.37, mirror).T
            np.testing.assert_allclose(after[key], expected, rtol=0, atol=1e-12)
    c = points(np.hstack([a, b]))
    for key, k in RollAverage(form, 8, KEYS).between(c, c).items():
        k = k.flatten(2, 3).flatten(0, 1).numpy()
        np.testing.assert_allclose(k, k.T, rtol=0, atol=1e-15)
        values = np.linalg.eigvalsh(k)
        assert values[0] > -1e-14 and values[-1] > 1e-4, key


def test_steps_of_the_average_roll_exactly():
    """Even with few rolls."""
    a, b = variables(3), variables(3, seed=1)
    average = RollAverage("matern", 8, ((1, 0),))
    before, after = (average.between(points(a), points(z))[1, 0] for z in (b, rolled(b, np.pi / 4)))
    np.testing.assert_allclose(after, before.numpy() @ matrix(1, np.pi / 4, False).T, rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [0, 2, 6])
def test_rolls_come_in_fours(n):
    """Which share their cosines."""
    with pytest.raises(ValueError, match=rf"got {n} rolls, expected a multiple of 4"):
        RollAverage("matern", n, KEYS)


@pytest.mark.parametrize("form", list(FORMS))
def test_sums_have_derivatives(form):
    """By the variables of the rows, also where a row is one of the basis."""
    z = variables(4)
    basis, weights = points(z), {(M, s): torch.randn(2, 2 if M else 1, 4, dtype=torch.float64) for M, s in KEYS}
    average = RollAverage(form, 8, KEYS)

    def total(x):
        found = average.weighted(Points.of(x, CHARGES), basis, weights).values()
        return torch.cat([torch.view_as_real(y).flatten() if y.is_complex() else y.flatten() for y in found])

    x = components(z)
    torch.testing.assert_close(total(x.clone().requires_grad_()).detach(), total(x), rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(total, (x.requires_grad_(),), eps=1e-5, atol=1e-6)
