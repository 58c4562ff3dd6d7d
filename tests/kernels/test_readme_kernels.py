"""What the README does with kernels as functions runs, and gives what it says."""

from math import factorial
from pathlib import Path

import numpy as np
import pytest
import torch

from hamlearn.kernels import density_kernel, message_kernel
from hamlearn.testing import TOLERANCE

ROOT = Path(__file__).parents[2]
EXACT = TOLERANCE["float64"]["exact"]


@pytest.fixture(scope="module")
def names():
    """All names of the example after it has run in the root of the repository."""
    section = (ROOT / "README.md").read_text().split("## Kernels as functions")[1]
    code = section.split("```python\n")[1].split("```")[0].replace('"data/', f'"{ROOT}/data/')
    out: dict = {}
    exec(compile(code, "README.md", "exec"), out)
    return out


def close(a, b, atol=EXACT):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=atol, rtol=EXACT)


def test_two_cut_offs_and_functions_of_them(names):
    k1, both = names["k1"], names["both"]
    stacked = torch.cat([names["c"], np.sqrt(0.5) * names["w"]], 2)
    close(both.values, density_kernel(stacked, stacked, 3).values)
    close(names["orders"][2], both.inner(both))
    series = 1 + sum(k.mean() / factorial(nu) for nu, k in enumerate(k1.exact_powers(8), 1))
    close(names["exponential"].mean(), series, atol=1e-4)


def test_soap(names):
    k1 = names["k1"]
    close(names["soap"], (k1 * k1).inner(k1))
    close(names["cosine"].diagonal(), np.ones(12))
    close(torch.linalg.matrix_norm(names["sa_gpr"])[range(12), range(12)], np.ones(12))
    assert names["vector"].shape == names["sa_gpr"].shape == (12, 12, 3, 3)


def test_averaged_densities(names):
    of_molecules = density_kernel(names["averaged"], names["averaged"], 3).mean()
    close(of_molecules, names["k1"].mean().reshape(6, 2, 6, 2).mean(dim=(1, 3)))


def test_alchemical_coupling(names):
    c = names["near"].uncontracted().environments(names["waters"]).densities[1].unflatten(2, (2, -1))
    expected = torch.einsum("iman,jpbn,ab->ijmp", c, c, torch.tensor([[1.0, 0.3], [0.3, 1.0]], dtype=torch.float64))
    found = density_kernel(names["coupled"], names["coupled"], 3)
    close(found.coefficients(2), expected[:, :, 4:9, 4:9])


def test_messages(names):
    """[1 <- 1]; neighbours that tell nothing make the density kernel, here of oxygens, on all radial functions."""
    atoms, pairs = names["atoms"], names["pairs"]
    close(names["heard"].values, (atoms * message_kernel(pairs, pairs, atoms)).values)
    oxygens = pairs.atoms(8)
    c = names["near"].uncontracted().environments(names["waters"]).densities[8]
    plain = message_kernel(pairs, pairs, atoms.identity()).coefficients(1)
    close(plain[oxygens][:, oxygens], density_kernel(c, c, 3).coefficients(1))


def test_clusters_of_three(names):
    for (L, _), k in names["three"].items():
        gram = k.reshape(6 * (2 * L + 1), -1)
        close(gram, gram.T)
        values = np.linalg.eigvalsh(gram)
        assert values[0] > -1e-10 * values[-1] and values[-1] > 1e-3


def test_densities_against_the_analytic_kernel(names):
    scale = names["near"].expansion_.scale_
    for l in range(4):
        exact = scale**2 * names["exact"].coefficients(l)
        close(names["k1"].coefficients(l), exact, atol=1e-4)
