"""Every kernel keeps the contract of kernels: of environments, structures, blocks and groups of atoms."""

from itertools import chain, combinations, product
from math import lcm
from types import MappingProxyType

import numpy as np
import pytest
import torch
from block_kernels import FORMS, IRREPS, SMALL, all_kernels
from scipy.optimize import linear_sum_assignment
from test_body_order import PAIRS, TRIANGLES, brute_force

from hamlearn.config import KernelSettings
from hamlearn.kernels import BlockKernel, Clusters, EnvironmentKernel, body_order, invariant_orders, n_centre
from hamlearn.kernels import n_centre_kernel as kernel_of_clusters
from hamlearn.kernels.structure_kernel import kernel_class, make_kernel
from hamlearn.o3 import compiled
from hamlearn.testing.analytic_kernel import analytic_density_kernel
from hamlearn.testing.kernel_contract import KNOWN, LEFT, RIGHT, KernelContract, Part

FAST = {"cutoff_angstrom": 4.0, "smearing_angstrom": 0.3, "smearing_growth_angstrom": 3.0, "max_l": 2, "max_nu": 3}
TENSORS = ((1, 1), (1, -1), (2, 1), (2, -1))
OTHER = {"other": torch.zeros(1)}
"""A tensor of another room, to be passed over."""


class OfEnvironments(KernelContract):
    """Of atoms and summed over them, invariant and of some (L, sigma)."""

    irreps = ()
    oracle_tolerance = 2e-5  # channels with less than 1e-10 of the variance are left out

    def fitted(self, structures):
        settings = KernelSettings(**FAST, max_channels=256, **self.changes)
        return make_kernel(settings, 4.0).fit([*structures, *LEFT, *RIGHT])  # channels for all that is compared

    def evaluate(self, kernel, a, b=None):
        a = kernel.environments(a)
        b = a if b is None else kernel.environments(b)
        out = self.parts("structures", None, 0, 1, kernel.between(a, b)[:, :, None, :, None])
        for z, k in kernel.environment_matrix(a, b).items():
            out |= self.parts("atoms", z, 0, 1, k[:, :, None, :, None])
        for irrep in self.irreps:
            out |= self.parts("structures", None, *irrep, kernel.between_equivariant(a, b, *irrep))
            for z, k in kernel.environment_matrix(a, b, irrep).items():
                out |= self.parts("atoms", z, *irrep, k.transpose(0, 3, 1, 4, 2))
        return out

    @staticmethod
    def parts(name, z, L, sigma, values):
        return {Part(f"{name}, part {p}", L, sigma, of=z): k for p, k in enumerate(values)}

    def samples(self, part, atoms):
        return [()] if part.of is None else [(int(k),) for k in np.flatnonzero(atoms.numbers == part.of)]

    def reloaded(self, kernel):
        return EnvironmentKernel.from_tensors(kernel.settings, 1.0, kernel.tensors() | OTHER)

    def with_small_tiles(self, kernel, monkeypatch):
        monkeypatch.setattr(kernel, "largest_tile", lambda: 6)


def on_the_grid():
    """The torch grid, as on a machine where the compiled loop was not built."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "_loop", lambda: None)
        yield


class TestWigner(OfEnvironments):
    changes = MappingProxyType({"kind": "wigner", "element_likeness": 1.5})
    irreps = TENSORS

    def oracle(self, kernel, a, b):
        """Sums over pairs of neighbours of overlaps of Gaussians, integrated analytically."""
        out = {}
        for z, k1 in analytic_density_kernel(a, b, kernel.settings).items():
            k1 = k1.scaled(kernel.expansion_.scale_**2)
            orders = invariant_orders(k1, kernel.settings.max_nu).numpy()
            out |= self.parts("atoms", z, 0, 1, orders[:, :, None, :, None])
            for irrep in self.irreps:
                powers = [k1.power(nu).coefficients(*irrep).permute(0, 2, 1, 3).numpy() for nu in range(1, 4)]
                out |= self.parts("atoms", z, *irrep, [np.zeros_like(powers[0]), *powers])
        return out


class TestWignerOnTheGrid(TestWigner):
    engine = pytest.fixture(scope="class", autouse=True)(staticmethod(on_the_grid))


class TestOrder(OfEnvironments):
    changes = MappingProxyType({"kind": "order", "zeta": 2})
    irreps = TENSORS[1:3]


class TestSoap(OfEnvironments):
    changes = MappingProxyType({"kind": "soap", "zeta": 2})
    irreps = TENSORS

    def oracle(self, kernel, a, b):
        """The cosine of power spectra of analytic densities, to a power."""
        out = {}
        both, own_a, own_b = (analytic_density_kernel(x, y, kernel.settings) for x, y in ((a, b), (a, a), (b, b)))
        for z, k1 in both.items():
            norms = [np.sqrt(np.diagonal(invariant_orders(own[z], 2)[2].numpy())) for own in (own_a, own_b)]
            cosine = invariant_orders(k1, 2)[2].numpy() / np.multiply.outer(*norms)
            out[Part("atoms, part 1", of=z)] = (cosine**kernel.settings.zeta)[:, None, :, None]
        return out


class OfStructures(KernelContract):
    """Kernels of whole molecules, made of those of their atoms."""

    def fitted(self, structures):
        return make_kernel(KernelSettings(**FAST, **self.changes), 4.0).fit(structures)

    def evaluate(self, kernel, a, b=None):
        a = kernel.environments(a)
        k = kernel.between(a, a if b is None else kernel.environments(b))
        return {Part(f"part {p}"): own[:, None, :, None] for p, own in enumerate(k)}

    def oracle(self, kernel, a, b):
        """Kernels of atoms put together pair by pair."""
        atoms = EnvironmentKernel.from_tensors(kernel.settings, 1.0, kernel.tensors())
        out = {Part(f"part {p}"): np.zeros((len(a), 1, len(b), 1)) for p in range(kernel.n_parts)}
        for i, j in product(range(len(a)), range(len(b))):
            one, other = atoms.environments(a[i : i + 1]), atoms.environments(b[j : j + 1])
            pairs = np.zeros((kernel.n_parts, len(one), len(other)))
            for z, k in atoms.environment_matrix(one, other).items():
                pairs[:, one.slices()[z], other.slices()[z]] = k
            for p, k in enumerate(pairs):
                out[Part(f"part {p}")][i, 0, j, 0] = self.put_together(k)
        return out

    def reloaded(self, kernel):
        return kernel_class(kernel.settings).from_tensors(kernel.settings, 1.0, kernel.tensors() | OTHER)

    def with_small_tiles(self, kernel, monkeypatch):
        monkeypatch.setattr(kernel, "largest_tile", lambda: 6)
        monkeypatch.setattr(body_order, "TILE", 5)


class TestSum(OfStructures):
    changes = MappingProxyType({"structure": "sum"})

    def put_together(self, k):
        return k.sum()


class TestAverage(OfStructures):
    changes = MappingProxyType({"structure": "average"})

    def put_together(self, k):
        return k.mean()


class TestBestMatch(OfStructures):
    changes = MappingProxyType({"structure": "best_match", "kind": "soap"})
    positive = False

    def put_together(self, k):
        """Of as many copies of either that both have as many atoms."""
        n = lcm(*k.shape)
        copies = np.kron(k, np.ones((n // k.shape[0], n // k.shape[1])))
        return copies[linear_sum_assignment(copies, maximize=True)].mean()


class TestREMatch(OfStructures):
    changes = MappingProxyType({"structure": "rematch", "kind": "soap", "gamma": 5.0})

    def put_together(self, k):
        """By plain Sinkhorn iterations."""
        e, v = np.exp((2 * k - 2) / 5.0), np.ones(k.shape[1])
        for _ in range(100):
            u = 1 / len(k) / (e @ v)
            v = 1 / k.shape[1] / (e.T @ u)
        return (u[:, None] * e * v * k).sum()


class TestAdditive(TestSum):
    changes = MappingProxyType({"additive": ["pair", "triangle"], "additive_width_angstrom": 0.5})

    def oracle(self, kernel, a, b):
        """And every pair and triangle with every other."""
        out = super().oracle(kernel, a, b)
        for p, own in enumerate(kernel.additive, kernel.n_parts):
            out[Part(f"part {p}")] = np.array([[brute_force(own, x, y) for y in b] for x in a])[:, None, :, None]
        return out


class TestMessages(OfStructures):
    changes = MappingProxyType({"message_nu": 1})

    def oracle(self, kernel, a, b):
        return None

    def with_small_tiles(self, kernel, monkeypatch):
        monkeypatch.setattr(kernel, "memory_gb", 5e-4)
        assert len(kernel._listeners(kernel.environments(KNOWN))) > 2


class TestPairs(KernelContract):
    """Of whole molecules, from their pairs of atoms; there is nothing to fit."""

    clusters = PAIRS
    refuses_elements = False

    def fitted(self, structures):
        return self.clusters

    def evaluate(self, kernel, a, b=None):
        return {Part("molecules"): kernel.values(a, a if b is None else b)[:, None, :, None]}

    def oracle(self, kernel, a, b):
        return {Part("molecules"): np.array([[brute_force(kernel, x, y) for y in b] for x in a])[:, None, :, None]}

    def with_small_tiles(self, kernel, monkeypatch):
        monkeypatch.setattr(body_order, "TILE", 5)


class TestTriangles(TestPairs):
    clusters = TRIANGLES


class OfBlocks(KernelContract):
    """Kernels of atoms and pairs, of every family and (L, sigma)."""

    def fitted(self, structures):
        return BlockKernel(self.settings).fit(structures)

    def evaluate(self, kernel, a, b=None):
        return {
            Part(f"{family}", *irrep, -1 if family.kind == "minus" else 1, family): k
            for (family, irrep), k in all_kernels(kernel, a, b).items()
        }

    def samples(self, part, atoms):
        rows = part.of.samples([atoms.numbers])[:, 1 : 2 if part.of.kind == "on_site" else 3]
        return [tuple(row) for row in rows.tolist()]

    def reloaded(self, kernel):
        return BlockKernel.from_tensors(kernel.settings, kernel.tensors() | OTHER)

    def with_small_tiles(self, kernel, monkeypatch):
        monkeypatch.setattr("hamlearn.kernels.block_kernel.ATOMS_OF_ROWS", 3)
        monkeypatch.setattr("hamlearn.kernels.block_kernel.ATOMS_OF_COLUMNS", 5)


class TestBlocksOfSums(OfBlocks):
    settings = FORMS["sum"]


class TestOneSidedBlocks(OfBlocks):
    settings = FORMS["one_sided"]


class TestBlocksOfProducts(OfBlocks):
    settings = FORMS["product"]


class TestBlocksOfMixtures(OfBlocks):
    settings = FORMS["mixture"]


class TestBlocksWithMessages(OfBlocks):
    settings = FORMS["messages"]


class TestOneSidedBlocksWithMessages(OfBlocks):
    settings = FORMS["one_sided messages"]


class TestClusters(OfBlocks):
    """Of three and four centres."""

    settings = SMALL.model_copy(update={"max_nu_pair": 1})
    wanted = MappingProxyType({(8, 1, 1): IRREPS, (1, 1, 8): IRREPS, (8, 1, 8): IRREPS, (1, 1, 8, 8): IRREPS[:2]})

    def evaluate(self, kernel, a, b=None):
        a = kernel.centres(a)
        b = a if b is None else kernel.centres(b)
        out = {}
        for species, irreps in self.wanted.items():
            kernels = kernel_of_clusters(kernel, *(Clusters.of(x, species) for x in (a, b)), irreps)
            out |= {Part(f"{species}", *irrep, of=species): k for irrep, k in kernels.items()}
        return out

    def samples(self, part, atoms):
        """A centre with all groups of others, ordered by element."""
        first, *others = part.of
        out = []
        for i in np.flatnonzero(atoms.numbers == first).tolist():
            own = {z: [j for j in np.flatnonzero(atoms.numbers == z).tolist() if j != i] for z in sorted(set(others))}
            groups = product(*(combinations(rows, others.count(z)) for z, rows in own.items()))
            out += [(i, *chain(*group)) for group in groups]
        return out

    def with_small_tiles(self, kernel, monkeypatch):
        monkeypatch.setattr(n_centre, "VALUES_PER_TILE", 1)
