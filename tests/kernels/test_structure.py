from itertools import permutations

import numpy as np
import pytest
import torch
from brute_force import density, points

from hamlearn.errors import ConfigError
from hamlearn.kernels import best_match_kernel, density_kernel, rematch_kernel, structure_density
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
I, J = torch.tensor([0, 2, 1, 0, 1, 0]), torch.tensor([1, 0, 0, 1])  # members of a structure need not be neighbours


def close(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=EXACT, rtol=EXACT)


def environment_kernel(seed=0, n=6, m=4, q=4):
    """A normalised kernel with values between 0 and 1."""
    x = np.random.default_rng(seed).normal(size=(n + m, q))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return torch.from_numpy((x[:n] @ x[n:].T) ** 2)


def members(structure, a):
    return np.flatnonzero(structure == a)


def over_pairs(reduce, k, structure_i=I, structure_j=J):
    """Sums or means over all pairs of environments of two structures, by loops [A, B]."""
    sizes = [int(structure.max()) + 1 for structure in (structure_i, structure_j)]
    return torch.tensor(
        [
            [reduce(k[members(structure_i, a)][:, members(structure_j, b)]) for b in range(sizes[1])]
            for a in range(sizes[0])
        ]
    )


def test_averaged_coefficients():
    """The density of a structure is that of all its environments on top of each other."""
    c_i, c_j = density(points(0, 6), 2), density(points(1, 4), 2)
    for average, reduce in ((True, torch.mean), (False, torch.sum)):
        k1 = density_kernel(structure_density(c_i, I, average), structure_density(c_j, J, average), 2)
        close(k1.values[0, 7], over_pairs(reduce, density_kernel(c_i, c_j, 2).values[0, 7]))
    x, w = points(0, 6)
    chosen = members(I, 1)
    merged = np.concatenate(x[chosen])[None], np.concatenate(w[chosen])[None]
    close(structure_density(c_i, I, average=False)[1], density(merged, 2)[0])


def best_of_all(block):
    """The best match of a square kernel by trying all."""
    n = len(block)
    return max(sum(block[i, p[i]] for i in range(n)) for p in permutations(range(n))) / n


def test_best_match_against_all_permutations():
    k = environment_kernel(n=8, m=8)
    two = torch.tensor([0] * 4 + [1] * 4)
    found = best_match_kernel(k, two, two)
    close(found, [[best_of_all(k[4 * a : 4 * a + 4, 4 * b : 4 * b + 4].numpy()) for b in range(2)] for a in range(2)])


def test_best_match_of_unequal_sizes():
    k = environment_kernel(n=3, m=2)
    all_i, all_j = torch.zeros(3, dtype=int), torch.zeros(2, dtype=int)
    replicated = np.repeat(np.repeat(k.numpy(), 2, 0), 3, 1)
    close(best_match_kernel(k, all_i, all_j)[0, 0], best_of_all(replicated))
    close(best_match_kernel(k.T, all_j, all_i)[0, 0], best_of_all(replicated))
    joined = np.concatenate([k.numpy(), np.zeros((3, 1))], 1)
    close(best_match_kernel(k, all_i, all_j, "isolated")[0, 0], best_of_all(joined))
    close(best_match_kernel(k.T, all_j, all_i, "isolated")[0, 0], best_of_all(joined))
    alone = torch.tensor([0.0, 0.9, 0.0], dtype=torch.float64)
    joined[:, 2] = alone
    close(best_match_kernel(k, all_i, all_j, "isolated", isolated_i=alone)[0, 0], best_of_all(joined))
    close(best_match_kernel(k.T, all_j, all_i, "isolated", isolated_j=alone)[0, 0], best_of_all(joined))


def test_best_match_is_not_positive_in_general():
    """Five structures of two environments, unit vectors in a plane, whose Gram matrix has a negative eigenvalue."""
    angles = np.array([5, 2, 5, 0, 7, 4, 6, 3, 5, 7]) * np.pi / 4
    x = np.stack([np.cos(angles), np.sin(angles)], 1)
    k, pairs = torch.from_numpy((1 + x @ x.T) / 2), torch.arange(5).repeat_interleave(2)
    best, total = best_match_kernel(k, pairs, pairs), over_pairs(torch.sum, k, pairs, pairs)
    assert float(torch.linalg.eigvalsh(best)[0]) < -0.1
    assert float(torch.linalg.eigvalsh(total)[0]) > -EXACT


@pytest.mark.parametrize("gamma", [0.02, 0.3, 5.0])
def test_rematch_of_two_pairs_in_closed_form(gamma):
    """W = [[w, 1/2 - w], [1/2 - w, w]] with 2 gamma ln(w / (1/2 - w)) = -(d_00 + d_11 - d_01 - d_10)."""
    k = torch.tensor([[0.9, 0.6], [0.4, 0.5]], dtype=torch.float64)
    d2 = 2 - 2 * k
    w = 0.5 / (1 + torch.exp((d2[0, 0] + d2[1, 1] - d2[0, 1] - d2[1, 0]) / (2 * gamma)))
    expected = w * (k[0, 0] + k[1, 1]) + (0.5 - w) * (k[0, 1] + k[1, 0])
    both = torch.zeros(2, dtype=int)
    close(rematch_kernel(k, both, both, gamma)[0, 0], expected)


def test_rematch_of_unequal_sizes_against_plain_sinkhorn():
    k, gamma = environment_kernel(), 0.3
    found = rematch_kernel(k, I, J, gamma)
    for a in range(3):
        for b in range(2):
            block = k[members(I, a)][:, members(J, b)].numpy()
            e, v = np.exp((2 * block - 2) / gamma), np.ones(block.shape[1])
            for _ in range(2000):
                u = 1 / len(block) / (e @ v)
                v = 1 / block.shape[1] / (e.T @ u)
            close(found[a, b], (u[:, None] * e * v * block).sum())
    swapped = rematch_kernel(k.T, J, I, gamma)
    close(swapped.T, found)


def test_rematch_becomes_the_average():
    k = environment_kernel()
    close(rematch_kernel(k, I, J, float("inf")), over_pairs(torch.mean, k))
    np.testing.assert_allclose(rematch_kernel(k, I, J, 1e6), over_pairs(torch.mean, k), atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_rematch_becomes_the_best_match(seed):
    """Also for unequal sizes, whose best match replicates both: never above it, and below by the entropy at most."""
    k = environment_kernel(seed)
    best, slack = best_match_kernel(k, I, J), TOLERANCE["float64"]["equivariance"]
    for gamma in (0.1, 1e-2, 1e-5):
        loss = best - rematch_kernel(k, I, J, gamma, max_iterations=100)
        assert float(loss.min()) > -slack
        assert float(loss.max()) < gamma * np.log(len(I) * len(J)) / 2
    if seed > 0:  # 0 has two matches that are nearly as good
        assert float(loss.max()) < slack


def test_no_order_of_environments_matters():
    k, new = environment_kernel(), torch.tensor([3, 5, 0, 2, 1, 4])
    for kernel in (best_match_kernel, lambda *x: rematch_kernel(*x, 0.05)):
        close(kernel(k[new], I[new], J), kernel(k, I, J))


def test_gradients():
    k = environment_kernel().requires_grad_()
    for gamma in (0.05, float("inf")):
        assert torch.autograd.gradcheck(lambda x, gamma=gamma: rematch_kernel(x, I, J, gamma), (k,), fast_mode=True)
    assert torch.autograd.gradcheck(lambda x: best_match_kernel(x, I, J), (k,), fast_mode=True)


def test_what_is_refused():
    k = environment_kernel()
    for call, message in (
        (lambda: best_match_kernel(k, I[:4], J), "4 environments have a structure, 6 have a kernel"),
        (lambda: rematch_kernel(k, I * 2, J, 0.1), r"structures \[1, 3\] have no environment"),
        (lambda: structure_density(torch.zeros(0, 9, 2), I[:0]), "expected equally many"),
        (lambda: best_match_kernel(k, I, J, "mirror"), "unknown padding 'mirror'"),
        (lambda: rematch_kernel(k, I, J, 0.0), "gamma is 0"),
        (lambda: rematch_kernel(k, I, J, float("nan")), "gamma is nan"),
        (lambda: rematch_kernel(2 * k, I, J, 0.1), "normalise"),
        (lambda: rematch_kernel(k, I, J, 0.1, max_iterations=1), "did not converge"),
    ):
        with pytest.raises(ConfigError, match=message):
            call()
