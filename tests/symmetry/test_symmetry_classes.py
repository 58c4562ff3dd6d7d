"""Classes of operations are named as in the tables of textbooks, and agree with the characters."""

import numpy as np
import pytest

from hamlearn.symmetry.characters import standard_group
from hamlearn.symmetry.classes import operation_classes

TABLES = {
    "C1": "E",
    "Cs": "E, sigma_h",
    "Ci": "E, i",
    "C3": "E, C3, C3^2",
    "C2v": "E, C2, sigma_v, sigma_v'",
    "C3v": "E, 2 C3, 3 sigma_v",
    "C4v": "E, 2 C4, C2, 2 sigma_v, 2 sigma_d",
    "C5v": "E, 2 C5, 2 C5^2, 5 sigma_v",
    "C2h": "E, C2, i, sigma_h",
    "C3h": "E, C3, C3^2, S3, S3^5, sigma_h",
    "D2": "E, C2(z), C2(y), C2(x)",
    "D3": "E, 2 C3, 3 C2",
    "D4": "E, 2 C4, C2, 2 C2', 2 C2''",
    "D2h": "E, C2(z), C2(y), C2(x), i, sigma(xy), sigma(xz), sigma(yz)",
    "D3h": "E, 2 C3, 3 C2, 2 S3, sigma_h, 3 sigma_v",
    "D4h": "E, 2 C4, C2, 2 C2', 2 C2'', i, 2 S4, sigma_h, 2 sigma_v, 2 sigma_d",
    "D5h": "E, 2 C5, 2 C5^2, 5 C2, 2 S5, 2 S5^3, sigma_h, 5 sigma_v",
    "D6h": "E, 2 C6, 2 C3, C2, 3 C2', 3 C2'', i, 2 S6, 2 S3, sigma_h, 3 sigma_v, 3 sigma_d",
    "D2d": "E, C2, 2 C2', 2 S4, 2 sigma_d",
    "D3d": "E, 2 C3, 3 C2, i, 2 S6, 3 sigma_d",
    "D4d": "E, 2 C4, C2, 4 C2', 2 S8, 2 S8^3, 4 sigma_d",
    "S4": "E, C2, S4, S4^3",
    "T": "E, 4 C3, 4 C3^2, 3 C2",
    "Td": "E, 8 C3, 3 C2, 6 S4, 6 sigma_d",
    "Th": "E, 4 C3, 4 C3^2, 3 C2, i, 4 S6, 4 S6^5, 3 sigma_h",
    "O": "E, 6 C4, 8 C3, 3 C2, 6 C2'",
    "Oh": "E, 6 C4, 8 C3, 3 C2, 6 C2', i, 8 S6, 6 S4, 3 sigma_h, 6 sigma_d",
    "Ih": "E, 12 C5, 12 C5^2, 20 C3, 15 C2, i, 12 S10, 12 S10^3, 20 S6, 15 sigma",
}


@pytest.mark.parametrize("name", TABLES)
def test_names_are_those_of_the_textbooks(name):
    group = standard_group(name)
    found = operation_classes(group.rotations, group.table)
    listed = (f"{len(c.members)} {c.name}" if len(c.members) > 1 else c.name for c in found)
    assert ", ".join(listed) == TABLES[name]


@pytest.mark.parametrize("name", TABLES)
def test_characters_are_the_same_inside_a_class(name):
    group = standard_group(name)
    found = operation_classes(group.rotations, group.table)
    assert sorted(g for c in found for g in c.members) == list(range(len(group.rotations)))
    for one in found:
        values = group.table.characters[:, list(one.members)]
        np.testing.assert_allclose(values, np.broadcast_to(values[:, :1], values.shape), atol=1e-10)


@pytest.mark.parametrize(
    ("name", "irrep"), [("D4h", "B1g"), ("D6h", "B1g"), ("C4v", "B1"), ("C6v", "B1"), ("D4", "B1")]
)
def test_b1_tells_the_two_kinds_of_axes_and_mirrors_apart(name, irrep):
    group = standard_group(name)
    row = group.table.characters[group.table.index(irrep)]
    character = {c.name: row[c.members[0]] for c in operation_classes(group.rotations, group.table)}
    kept, lost = ("sigma_v", "sigma_d") if name.endswith("v") else ("C2'", "C2''")
    assert (character[kept], character[lost]) == pytest.approx((1, -1))
