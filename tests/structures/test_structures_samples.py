"""Samples: atoms and pairs of many structures, against brute force and against ASE."""

from itertools import product

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.structures import permute, random_rotation, rotate, translate
from hamlearn.structures import samples as module
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
RNG = np.random.default_rng(5)
MOLECULES = [
    Atoms("OHHC", RNG.normal(scale=1.5, size=(4, 3))),
    Atoms("He"),
    Atoms(),
    Atoms("HCH", RNG.normal(scale=1.5, size=(3, 3)), cell=np.eye(3)),  # a cell without periodic images
]
PERIODIC = [
    bulk("Cu", cubic=True),
    Atoms("CHO", RNG.normal(size=(3, 3)), cell=3 * np.eye(3) + RNG.normal(scale=0.3, size=(3, 3)), pbc=[1, 0, 1]),
    Atoms("H", cell=[0, 0, 1.1], pbc=[0, 0, 1]),  # only images of itself
]


@pytest.fixture(params=["vesin", "ase"])
def search(request, monkeypatch):
    """Either neighbour list."""
    if request.param == "vesin":
        pytest.importorskip("vesin", exc_type=ImportError)
        assert module._neighbour_search() is module._search_with_vesin
    monkeypatch.setattr(module, "_neighbour_search", lambda: getattr(module, f"_search_with_{request.param}"))


def table(samples, pairs):
    """[(structure, i, j, shift)] with atoms counted within their structure."""
    owner = samples.structure[pairs.i]
    assert np.array_equal(owner, samples.structure[pairs.j])
    columns = owner, pairs.i - samples.first[owner], pairs.j - samples.first[owner], map(tuple, pairs.shift.tolist())
    return list(zip(*(c if isinstance(c, map) else c.tolist() for c in columns), strict=True))


def brute_force(structures, cutoff):
    out, vectors = [], []
    for k, atoms in enumerate(structures):
        for i, j in product(range(len(atoms)), repeat=2):
            for shift in product(*(range(-6, 7) if p else (0,) for p in atoms.pbc)):
                vector = atoms.positions[j] - atoms.positions[i] + np.array(shift) @ atoms.cell.array
                if (i != j or any(shift)) and np.linalg.norm(vector) < cutoff:
                    out.append((k, i, j, shift))
                    vectors.append(vector)
    return out, np.array(vectors).reshape(-1, 3)


@pytest.mark.parametrize("cutoff", [0.9, 2.5, 4.0])
def test_pairs_within_a_cutoff_are_those_of_brute_force_in_order(search, cutoff):
    structures = MOLECULES + PERIODIC
    samples = Samples.of(structures)
    expected, vectors = brute_force(structures, cutoff)
    assert table(samples, samples.within(cutoff)) == expected
    np.testing.assert_allclose(samples.vectors(samples.within(cutoff)).numpy(), vectors, atol=EXACT)


def test_periodic_pairs_are_those_of_ase(search):
    atoms = PERIODIC[1]
    i, j, shift, vector = neighbor_list("ijSD", atoms, 4.5)
    order = np.lexsort((*shift.T[::-1], j, i))
    samples = Samples.of([atoms])
    pairs = samples.within(4.5)
    assert pairs.shift.any() and (pairs.i == pairs.j).any()
    for found, expected in ((pairs.i, i), (pairs.j, j), (pairs.shift, shift)):
        np.testing.assert_array_equal(found, expected[order])
    np.testing.assert_allclose(samples.vectors(pairs).numpy(), vector[order], atol=EXACT)


def test_a_pair_at_the_cutoff_is_outside(search):
    samples = Samples.of([Atoms("HHH", [[0, 0, 0], [0, 0, 2.0], [0, 0, 3.0]])])
    assert table(samples, samples.within(2.0)) == [(0, 1, 2, (0, 0, 0)), (0, 2, 1, (0, 0, 0))]


@settings(derandomize=True, max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_pairs_follow_permutations_and_vectors_turn(seed, improper):
    rng = np.random.default_rng(seed)
    atoms = Atoms("OCHHHN", rng.normal(scale=1.5, size=(6, 3)))
    rotation, order = random_rotation(rng, improper), rng.permutation(6)
    moved = permute(translate(rotate(atoms, rotation), rng.normal(size=3)), order)
    before, after = Samples.of([atoms]), Samples.of([moved])
    old, new = before.within(2.6), after.within(2.6)
    vectors = dict(zip(zip(old.i, old.j, strict=True), before.vectors(old).numpy() @ rotation.T, strict=True))
    assert len(vectors) == len(new)
    for i, j, vector in zip(new.i, new.j, after.vectors(new).numpy(), strict=True):
        np.testing.assert_allclose(vector, vectors[order[i], order[j]], atol=TOLERANCE["float64"]["equivariance"])


@pytest.mark.parametrize(
    "family", [Family("on_site", 1, 1), Family("plus", 1, 1), Family("minus", 1, 1), Family("cross", 1, 8)]
)
def test_families_hold_all_pairs_in_order(family):
    numbers = [np.array(z) for z in ([1, 8, 1, 1, 8], [6], [], [8, 6], [1, 1, 8])]
    expected = [
        (k, i, j)
        for k, z in enumerate(numbers)
        for i, j in product(range(len(z)), repeat=2)
        if (z[i], z[j]) == (family.species_i, family.species_j)
        and (i == j if family.kind == "on_site" else i < j or family.kind == "cross")
    ]
    assert family.samples(numbers).tolist() == [list(row) for row in expected]
    samples = Samples.of([Atoms(z, RNG.normal(size=(len(z), 3))) for z in numbers])
    pairs = samples.family(family)
    assert [row[:3] for row in table(samples, pairs)] == expected
    assert not pairs.shift.any()


def test_vectors_are_differentiable_and_keep_dtype():
    samples = Samples.of(PERIODIC)
    pairs = samples.within(3.0)
    single = samples.at(samples.positions.to(torch.float32))
    assert single.vectors(pairs).dtype == torch.float32
    assert torch.autograd.gradcheck(lambda x: samples.at(x).vectors(pairs), samples.positions.clone().requires_grad_())


def test_pairs_are_those_of_the_positions():
    samples = Samples.of([Atoms("HH", [[0, 0, 0], [0, 0, 1.0]])])
    assert len(samples.within(1.5)) == 2
    assert len(samples.at(2 * samples.positions).within(1.5)) == 0


def test_rows_and_species():
    samples = Samples.of([Atoms("OHH", RNG.normal(size=(3, 3))), Atoms("HO", RNG.normal(size=(2, 3)))])
    assert samples.elements == [1, 8] and samples.n_structures == 2
    assert samples.row.tolist() == [0, 0, 1, 2, 1]
    assert samples.neighbours(20.0) == {(1, 1), (1, 8), (8, 1)}
    assert samples.neighbours(0.1) == set()
