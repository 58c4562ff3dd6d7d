"""Kernels of three and more centres: samples, definition by brute force, and limits."""

from itertools import permutations

import numpy as np
import pytest
from block_kernels import IRREPS, SMALL, all_kernels, molecules, peroxide
from brute_force import haar_coefficients
from test_block_kernel_oracle import DEGREE, Definition, all_rotations

from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel, Clusters, n_centre, n_centre_kernel
from hamlearn.structures.families import Family
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SETTINGS = SMALL.model_copy(update={"max_nu_pair": 1, "max_channels": 256})
TRAINING = molecules(0, 3)
SPECIES = [(8, 1, 1), (1, 1, 8), (8, 8, 1), (1, 1, 8, 8)]


@pytest.fixture(scope="module")
def kernel():
    return BlockKernel(SETTINGS).fit(TRAINING)


def n_centre_of(kernel, a, b, species, irreps=IRREPS):
    return n_centre_kernel(kernel, *(Clusters.of(kernel.centres(x), species) for x in (a, b)), irreps)


def test_clusters_are_all_there_are(kernel):
    """Centre and pairs or triples around it, of each element in one order; bonds point away from the centre."""
    atoms = [peroxide(0), molecules(1, 2)[1]]  # OOHH, HOH
    centres = kernel.centres(atoms)
    counts = {species: len(Clusters.of(centres, species)) for species in [*SPECIES, (8,), (1, 8), (8, 8, 8)]}
    assert list(counts.values()) == [3, 6, 4, 2, 3, 6, 0]
    clusters = Clusters.of(centres, (8, 1, 1))
    assert clusters.structure.tolist() == [0, 0, 1]
    x = atoms[0].positions[[2, 3]] - atoms[0].positions[1]
    expected = (x / np.linalg.norm(x, axis=1, keepdims=True))[:, [1, 2, 0]]
    np.testing.assert_allclose([b.direction[1] for b in clusters.bonds], expected, atol=EXACT)
    assert Clusters.of(centres, (8, 1, 8)).species == (8, 1, 8) and Clusters.of(centres, (1, 8, 1)).species == (1, 1, 8)


def rows_of(atoms, *indices):
    """Rows of atoms among those of their species."""
    return [int((atoms.numbers[:k] == atoms.numbers[k]).sum()) for k in indices]


def by_definition(definition, a, b):
    """t(ij; i'j') t(ik; i'k') ... P(k_i + k_j + ...) of (molecule, i, others), summed over orders of j', ..."""
    every, total = all_rotations(), 0.0
    for others in permutations(b[2]):
        pairs = list(zip(a[2], others, strict=True))
        if any(a[0].numbers[j] != b[0].numbers[m] for j, m in pairs):
            continue
        f = definition.site(a[0], a[1], b[0], b[1], every)
        f = f + sum(definition.site(a[0], j, b[0], m, every) for j, m in pairs)
        t = np.prod([definition.bond(a[0], a[1], j, b[0], b[1], m, every) for j, m in pairs], axis=0)
        total = total + t * np.polynomial.polynomial.polyval(f, definition.orders(SETTINGS.max_nu_pair))
    return total


@pytest.mark.parametrize(
    ("species", "left", "right", "irreps"),
    [
        ((8, 1, 1), (1, (2, 3)), (0, (2, 3)), IRREPS),
        ((1, 1, 8), (3, (2, 0)), (2, (3, 1)), IRREPS),
        ((1, 1, 8, 8), (3, (2, 0, 1)), (2, (3, 0, 1)), IRREPS[:2]),
    ],
)
def test_definition(kernel, species, left, right, irreps):
    """One cluster with another, integrated by an independent quadrature."""
    a, b = peroxide(1), peroxide(2)
    f = by_definition(Definition(SETTINGS, TRAINING), (a, *left), (b, *right))[..., None, None]
    found = n_centre_of(kernel, [a], [b], species, irreps)
    where = []
    for atoms, (i, others) in ((a, left), (b, right)):
        clusters = Clusters.of(kernel.centres([atoms]), species).atoms.tolist()
        where.append(clusters.index(rows_of(atoms, i, *sorted(others, key=lambda j, z=atoms.numbers: (z[j], j)))))
    for irrep in irreps:
        expected = haar_coefficients(f, *irrep, DEGREE)[0, 0]
        np.testing.assert_allclose(found[irrep][where[0], :, where[1]], expected, atol=1e-6)


def test_two_centres_are_pairs(kernel):
    """Of two elements; samples in the order of the tables."""
    a, b = [peroxide(1)], [peroxide(2)]
    pairs = all_kernels(kernel, a, b)
    found = n_centre_of(kernel, a, b, (1, 8))
    for irrep in IRREPS:
        np.testing.assert_allclose(found[irrep], pairs[Family("cross", 1, 8), irrep], atol=EXACT)


def test_each_pair_of_environments_is_evaluated_once(kernel, monkeypatch):
    a, b, counts = molecules(3, 3), molecules(4, 2), []

    def counted(*arguments):
        nodes = n_centre_environments(*arguments)
        counts.append(nodes.zero)
        return nodes

    n_centre_environments = n_centre.environments_at_nodes
    monkeypatch.setattr(n_centre, "environments_at_nodes", counted)
    n_centre_of(kernel, a, b, (8, 1, 1), [(0, 1)])
    numbers = [np.concatenate([atoms.numbers for atoms in structures]) for structures in (a, b)]
    assert counts == [sum((numbers[0] == z).sum() * (numbers[1] == z).sum() for z in (1, 8))]


def test_what_does_not_fit_is_refused(kernel):
    centres = kernel.centres([peroxide(0)])
    with pytest.raises(ConfigError, match=r"\(8, 1, 1\) and \(8, 1, 8\)"):
        n_centre_kernel(kernel, Clusters.of(centres, (8, 1, 1)), Clusters.of(centres, (8, 1, 8)), IRREPS)
    one_sided = BlockKernel(SMALL.model_copy(update={"form": "one_sided"})).fit(TRAINING)
    with pytest.raises(ConfigError, match="form is one_sided"):
        n_centre_of(one_sided, TRAINING, TRAINING, (8, 1, 1))
