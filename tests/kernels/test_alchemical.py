import numpy as np
import pytest
import torch
from brute_force import density, points

from hamlearn.errors import ConfigError, DomainError
from hamlearn.kernels import SpeciesCoupling, density_kernel, soap_kernel
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SPECIES, N_RADIAL, MAX_L = (1, 6, 8), 2, 2
KAPPA = np.array([[1.0, 0.3, 0.2], [0.3, 1.0, 0.6], [0.2, 0.6, 1.0]])


def close(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=EXACT, rtol=EXACT)


def densities():
    return tuple(density(points(seed, 4, q=len(SPECIES) * N_RADIAL), MAX_L) for seed in (0, 1))


def test_no_coupling_is_the_plain_kernel_exactly():
    c_i, c_j = densities()
    for coupling in (SpeciesCoupling.identity(SPECIES), SpeciesCoupling.from_matrix(SPECIES, np.eye(3))):
        for c in (c_i, c_j):
            mixed = coupling.couple_neighbours(c, SPECIES)
            assert sorted(mixed.flatten().tolist()) == sorted(c.flatten().tolist())
        plain, coupled = (
            density_kernel(a, b, MAX_L).values
            for a, b in ((c_i, c_j), tuple(coupling.couple_neighbours(c, SPECIES) for c in (c_i, c_j)))
        )
        close(coupled, plain)
    assert torch.equal(SpeciesCoupling.identity(SPECIES).couple_neighbours(c_i, SPECIES), c_i)


def test_kappa_takes_the_place_of_delta():
    c_i, c_j = densities()
    coupling = SpeciesCoupling.from_matrix(SPECIES, KAPPA)
    k1 = density_kernel(*(coupling.couple_neighbours(c, SPECIES) for c in (c_i, c_j)), MAX_L)
    for l in range(MAX_L + 1):
        a, b = (c[:, l * l : (l + 1) ** 2].numpy().reshape(4, 2 * l + 1, 3, N_RADIAL) for c in (c_i, c_j))
        close(k1.coefficients(l), np.einsum("imsn,jpzn,sz->ijmp", a, b, KAPPA))


def test_channels_in_any_order_and_fewer_than_listed():
    c, _ = densities()
    coupling = SpeciesCoupling.from_matrix(SPECIES, KAPPA)
    full = coupling.couple_neighbours(c, SPECIES)
    blocks = c.unflatten(2, (3, N_RADIAL))
    close(coupling.couple_neighbours(blocks[:, :, [2, 0, 1]].flatten(2), (8, 1, 6)), full)
    without = blocks.clone()
    without[:, :, 1] = 0
    kept = coupling.couple_neighbours(blocks[:, :, [0, 2]].flatten(2), (1, 8))
    close(kept, coupling.couple_neighbours(without.flatten(2), SPECIES))


def test_archetypes():
    """All of them give kappa back, few the closest kappa of that rank; equal elements need only one."""
    close(SpeciesCoupling.from_matrix(SPECIES, KAPPA).matrix, KAPPA)
    few = SpeciesCoupling.from_matrix(SPECIES, KAPPA, n_archetypes=2)
    values, vectors = np.linalg.eigh(KAPPA)
    close(few.matrix, (vectors[:, 1:] * values[1:]) @ vectors[:, 1:].T)
    c, _ = densities()
    assert few.couple_neighbours(c, SPECIES).shape == (4, 9, 2 * N_RADIAL)
    alike = SpeciesCoupling.from_matrix(SPECIES, np.ones((3, 3)))
    assert len(alike.u) == 1
    total = alike.couple_neighbours(c, SPECIES)
    close(total * torch.sign(alike.u[0, 0]), c.unflatten(2, (3, N_RADIAL)).sum(2))


def test_centres():
    coupling = SpeciesCoupling.from_matrix(SPECIES, KAPPA)
    close(coupling.between([8, 1], [1, 6, 8]), KAPPA[[2, 0]])
    assert torch.equal(
        SpeciesCoupling.identity(SPECIES).between([8, 1], [1, 8]), torch.tensor([[0.0, 1], [1, 0]]).double()
    )


def test_weights_can_be_learned():
    c_i, c_j = densities()
    u = torch.rand(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def kernel(u):
        coupling = SpeciesCoupling(SPECIES, u)
        a, b = (coupling.couple_neighbours(c[:1], SPECIES) for c in (c_i, c_j))
        return soap_kernel(density_kernel(a, b, MAX_L), 2) * coupling.between([8], [6])

    assert torch.autograd.gradcheck(kernel, (u,), fast_mode=True)


def test_what_is_refused():
    c, _ = densities()
    lopsided = KAPPA + np.triu(np.full((3, 3), 0.1), 1)
    indefinite = np.array([[1.0, 2], [2, 1]])
    for call, error, message in (
        (lambda: SpeciesCoupling.from_matrix((1, 8), indefinite), ConfigError, "negative eigenvalue -1"),
        (lambda: SpeciesCoupling.from_matrix(SPECIES, lopsided), ConfigError, "symmetric"),
        (lambda: SpeciesCoupling.from_matrix((1, 8), KAPPA), ConfigError, r"\[2, 2\]"),
        (lambda: SpeciesCoupling.from_matrix((1,), [[np.nan]]), ConfigError, "finite"),
        (lambda: SpeciesCoupling((1, 1), torch.eye(2)), ConfigError, "different species"),
        (lambda: SpeciesCoupling.identity(SPECIES).couple_neighbours(c, (1, 6, 7)), DomainError, r"\[7\]"),
        (lambda: SpeciesCoupling.identity(SPECIES).couple_neighbours(c, (1, 6, 8, 1)), ConfigError, "6 channels"),
        (lambda: SpeciesCoupling.identity(SPECIES).between([2], [1]), DomainError, r"\[2\]"),
    ):
        with pytest.raises(error, match=message):
            call()
