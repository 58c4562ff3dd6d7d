"""Character tables: of the right group, with the right names."""

import numpy as np
import pytest
from random_groups import FINITE, LINEAR

from hamlearn.errors import StructureError
from hamlearn.symmetry.characters import standard_group
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def products(rotations):
    """Where the product of any two operations stands [operation, operation]."""
    all_ = (rotations[:, None] @ rotations).reshape(-1, 1, 9)
    distance = np.linalg.norm(all_ - rotations.reshape(1, -1, 9), axis=2)
    assert distance.min(axis=1).max() < EXACT
    return distance.argmin(axis=1).reshape(len(rotations), -1)


@pytest.mark.parametrize("name", [*FINITE, *LINEAR])
def test_characters_are_those_of_irreps(name):
    """chi(g) chi(h) = (d / |G|) sum_k chi(g k h k^-1) holds for irreducible characters only."""
    group = standard_group(name)
    table = products(group.rotations)
    order = len(table)
    inverse = np.argmax(table == 0, axis=1)
    rng = np.random.default_rng(0)
    rows = zip(group.table.characters, group.table.dimensions, group.table.norms, strict=True)
    for chi, dimension, norm in rows:
        if norm > 1.5:
            continue  # a complex pair
        for g, h in rng.integers(order, size=(12, 2)):
            conjugated = table[table[np.arange(order), h], inverse]
            assert chi[g] * chi[h] == pytest.approx(dimension / order * chi[table[g, conjugated]].sum(), abs=1e-10)


@pytest.mark.parametrize("name", [*FINITE, *LINEAR])
def test_rows_are_orthogonal(name):
    table = standard_group(name).table
    gram = table.characters @ table.characters.T / table.characters.shape[1]
    np.testing.assert_allclose(gram, np.diag(table.norms), atol=1e-10)
    assert set(np.rint(table.norms)) <= {1, 2}


@pytest.mark.parametrize(
    ("name", "vector", "axial"),
    [
        ("C2v", {"A1", "B1", "B2"}, {"A2", "B1", "B2"}),
        ("C3v", {"A1", "E"}, {"A2", "E"}),
        ("D2h", {"B1u", "B2u", "B3u"}, {"B1g", "B2g", "B3g"}),
        ("D6h", {"A2u", "E1u"}, {"A2g", "E1g"}),
        ("D3h", {"A2''", "E'"}, {"A2'", "E''"}),
        ("D2d", {"B2", "E"}, {"A2", "E"}),
        ("S4", {"B", "E"}, {"A", "E"}),
        ("C6", {"A", "E1"}, {"A", "E1"}),
        ("Th", {"Tu"}, {"Tg"}),
        ("Td", {"T2"}, {"T1"}),
        ("Oh", {"T1u"}, {"T1g"}),
        ("Ih", {"T1u"}, {"T1g"}),
        ("Cinfv", {"Sigma+", "Pi"}, {"Sigma-", "Pi"}),
        ("Dinfh", {"Sigma_u+", "Pi_u"}, {"Sigma_g-", "Pi_g"}),
    ],
)
def test_vectors_and_rotations_carry_the_textbook_irreps(name, vector, axial):
    group = standard_group(name)
    trace = np.trace(group.rotations, axis1=1, axis2=2)
    assert set(group.table.multiplicities(trace)) == vector
    assert set(group.table.multiplicities(trace * np.linalg.det(group.rotations))) == axial


def test_d6h_has_its_twelve_irreps():
    names = ["A1g", "A2g", "B1g", "B2g", "E1g", "E2g", "A1u", "A2u", "B1u", "B2u", "E1u", "E2u"]
    assert list(standard_group("D6h").table.irreps) == names


@pytest.mark.parametrize("name", ["D6x", "", "banana"])
def test_unknown_group_is_refused(name):
    with pytest.raises(StructureError, match="no point group"):
        standard_group(name)


def test_what_is_no_character_is_refused():
    with pytest.raises(StructureError, match="no representation"):
        standard_group("C2v").table.multiplicities(np.array([1.0, 1.0, 0.0, 0.0]))
    with pytest.raises(StructureError, match="no irrep 'E1g'; it has A1, A2"):
        standard_group("C2v").table.index("E1g")
