"""Kernels and features of points in space by plain quadrature and plain loops, knowing nothing of hamlearn's engine."""

from functools import cache

import numpy as np
import torch
from scipy.integrate import lebedev_rule

from hamlearn.angular.clebsch_gordan import clebsch_gordan
from hamlearn.angular.harmonics import spherical_harmonics


def points(seed, n, n_points=4, q=3):
    """Environments: positions [n, point, 3] and what each point adds to each channel [n, point, q]."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_points, 3)), rng.normal(size=(n, n_points, q)) / n_points


def density(environments, max_l, rotation=None):
    """c_{q l m} = sum of w_q Y_lm over the (rotated) points [n, (max_l + 1)^2, q]."""
    x, w = environments
    x = x if rotation is None else x @ rotation.T
    y = spherical_harmonics(torch.from_numpy(x.reshape(-1, 3)), max_l).numpy().reshape(*x.shape[:2], -1)
    return torch.from_numpy(np.einsum("ikm,ikq->imq", y, w))


@cache
def rotations(degree):
    """Proper rotations and weights that integrate polynomials of a degree: Lebedev points times a circle."""
    order = next(n for n in (3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23) if n >= degree)
    z, weights = lebedev_rule(order)
    z, n = z.T, degree + 1
    helper = np.where(np.abs(z[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    x = np.cross(helper, z)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    frame = np.stack([x, np.cross(z, x), z], axis=2)
    a = 2 * np.pi * np.arange(n) / n
    about_z = np.zeros((n, 3, 3))
    about_z[:, 0, 0], about_z[:, 0, 1], about_z[:, 1, 0], about_z[:, 1, 1] = np.cos(a), -np.sin(a), np.sin(a), np.cos(a)
    about_z[:, 2, 2] = 1
    every = np.einsum("pab,nbc->pnac", frame, about_z).reshape(-1, 3, 3)
    return every, np.repeat(weights / weights.sum() / n, n)


@cache
def wigner_d(degree, l):
    """D^l of all nodes [node, 2l + 1, 2l + 1], from the rotation of harmonics at scattered points."""
    every, _ = rotations(degree)
    x = np.random.default_rng(0).normal(size=(4 * l + 4, 3))

    def harmonics(v):
        return spherical_harmonics(torch.from_numpy(v.reshape(-1, 3)), l).numpy()[:, l * l :].reshape(*v.shape[:-1], -1)

    turned = harmonics(np.einsum("rab,kb->rka", every, x))  # Y(R x) = D Y(x)
    return np.einsum("rkm,nk->rmn", turned, np.linalg.pinv(harmonics(x)))


def overlaps(a, b, max_l, degree):
    """f_ij(R) = <rho_i | R rho_j> at proper nodes and at their products with inversion, [2, node, i, j]."""
    c_i = density(a, max_l).numpy()
    every, _ = rotations(degree)
    x, w = b
    y = []
    for sign in (1, -1):
        turned = sign * np.einsum("rab,jkb->rjka", every, x)
        harmonics = spherical_harmonics(torch.from_numpy(turned.reshape(-1, 3)), max_l).numpy()
        c_j = np.einsum("rjkm,jkq->rjmq", harmonics.reshape(*turned.shape[:3], -1), w)
        y.append(np.einsum("imq,rjmq->rij", c_i, c_j))
    return np.stack(y)


def haar_coefficients(f, L, sigma, degree):
    """(2L + 1) times the mean over O(3) of f(R) D^{L sigma}_{MM'}(R) [i, j, M, M']."""
    _, weights = rotations(degree)
    with_parity = 0.5 * (f[0] + sigma * (-1) ** L * f[1])
    return (2 * L + 1) * np.einsum("r,rij,rmn->ijmn", weights, with_parity, wigner_d(degree, L), optimize=True)


def split(density):
    """{(l, +1): [n, 2l+1, q]} of a density."""
    max_l = int(density.shape[1] ** 0.5) - 1
    return {(l, 1): np.asarray(density[:, l * l : (l + 1) ** 2]) for l in range(max_l + 1)}


def cg_products(a, b, keep_l):
    """All products of two sets of equivariants, truncated to l <= keep_l."""
    out = {}
    for (l1, s1), x in a.items():
        for (l2, s2), y in b.items():
            for L in range(abs(l1 - l2), min(l1 + l2, keep_l) + 1):
                product = np.einsum("iap,ibq,abM->iMpq", x, y, clebsch_gordan(l1, l2, L), optimize=True)
                out.setdefault((L, s1 * s2 * (-1) ** (l1 + l2 + L)), []).append(product.reshape(len(x), 2 * L + 1, -1))
    return {key: np.concatenate(parts, axis=2) for key, parts in out.items()}


def features(density, nu, keep_l):
    """Products of nu densities, truncated to l <= keep_l in every step: {(L, sigma): [n, 2L+1, feature]}.

    Every ordered product is kept, so that there is no sqrt 2.
    """
    if nu == 0:
        return {(0, 1): np.ones((len(density), 1, 1))}
    out = split(density)
    for _ in range(nu - 1):
        out = cg_products(out, split(density), keep_l)
    return out


def scalar_products(a, b, irrep):
    """Kernel of two sets of features [i, j, M, M'], zero where there are none."""
    if irrep not in a or irrep not in b:
        n, m = (len(next(iter(x.values()))) for x in (a, b))
        return np.zeros((n, m, 2 * irrep[0] + 1, 2 * irrep[0] + 1))
    return np.einsum("imf,jnf->ijmn", a[irrep], b[irrep], optimize=True)
