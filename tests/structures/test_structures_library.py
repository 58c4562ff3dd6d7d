"""Every molecule against all operations of its point group, made from generators as matrices about the origin."""

import itertools

import numpy as np
import pytest
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from hamlearn.errors import StructureError
from hamlearn.structures import MOLECULES, check_structures, molecule
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
Matrix = NDArray[np.float64]


def turn(order: int, axis: tuple[float, float, float] = (0, 0, 1)) -> Matrix:
    unit = np.array(axis) / np.linalg.norm(axis)
    return Rotation.from_rotvec(2 * np.pi / order * unit).as_matrix()


def mirror(*normal: float) -> Matrix:
    unit = np.array(normal) / np.linalg.norm(normal)
    return np.eye(3) - 2 * np.outer(unit, unit)


X, Y, Z, DIAGONAL = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)
INVERSION = -np.eye(3)
GOLDEN = (1 + np.sqrt(5)) / 2
S4 = mirror(*Z) @ turn(4)
GENERATORS = {
    "water": ([turn(2), mirror(*X)], 4),
    "ammonia": ([turn(3), mirror(*Y)], 6),
    "methane": ([turn(3, (1, 1, 1)), turn(2), mirror(*DIAGONAL)], 24),
    "ethene": ([turn(2), turn(2, X), INVERSION], 8),
    "ethane": ([turn(3), turn(2, Y), INVERSION], 12),
    "allene": ([S4, mirror(*X)], 8),
    "benzene": ([turn(6), turn(2, X), INVERSION], 24),
    "acetylene": ([turn(7), turn(2, X), INVERSION], 28),
    "carbon_dioxide": ([turn(7), turn(2, X), INVERSION], 28),
    "C60": ([turn(5, (0, 1, GOLDEN)), turn(3, (1, 1, 1)), INVERSION], 120),
}


def generate_group(generators: list[Matrix], limit: int = 200) -> list[Matrix]:
    group = [np.eye(3)]
    for element in group:  # grows while it is walked through
        for generator in generators:
            product = generator @ element
            if min(np.abs(product - other).max() for other in group) > 1e-8:
                u, _, vt = np.linalg.svd(product)  # so that rounding does not add up
                group.append(u @ vt)
        assert len(group) <= limit
    return group


def symmetry_error(atoms: Atoms, operation: Matrix) -> float:
    """Return how far the operation moves any atom from the nearest like atom's place, every place taken once."""
    distances = cdist(atoms.positions @ operation.T, atoms.positions)
    distances[atoms.numbers[:, None] != atoms.numbers] = np.inf
    partner = distances.argmin(axis=1)
    assert len(set(partner)) == len(atoms)
    return float(distances.min(axis=1).max())


def test_every_molecule_is_tested() -> None:
    assert set(GENERATORS) == set(MOLECULES)


@pytest.mark.parametrize("name", GENERATORS)
def test_all_operations_of_the_point_group_permute_like_atoms(name: str) -> None:
    generators, order = GENERATORS[name]
    group = generate_group(generators)
    assert len(group) == order
    assert max(symmetry_error(molecule(name), operation) for operation in group) <= EXACT


def test_the_symmetry_is_not_higher_than_said() -> None:
    for name, foreign in (("ammonia", turn(6)), ("ethane", turn(6)), ("allene", turn(4)), ("water", INVERSION)):
        moved = molecule(name).positions @ foreign.T
        assert cdist(moved, molecule(name).positions).min(axis=1).max() > 0.1


@pytest.mark.parametrize("name", MOLECULES)
def test_molecules_can_be_computed(name: str) -> None:
    check_structures([molecule(name)])


def test_distances_and_angles() -> None:
    water, ammonia, ethene, ethane = map(molecule, ("water", "ammonia", "ethene", "ethane"))
    np.testing.assert_allclose(water.get_distances(0, [1, 2]), 0.9572, atol=EXACT)
    assert water.get_angle(1, 0, 2) == pytest.approx(104.52)
    assert list(water.numbers) == [8, 1, 1]
    np.testing.assert_allclose(ammonia.get_distances(0, [1, 2, 3]), 1.012, atol=EXACT)
    assert ammonia.get_angle(1, 0, 2) == pytest.approx(106.7)
    assert ethene.get_angle(2, 0, 3) == pytest.approx(117.4)
    assert ethane.get_angle(1, 0, 2) == pytest.approx(110.9)
    assert sorted(abs(ethane.get_dihedral(2, 0, 1, k) - 180) for k in (5, 6, 7)) == pytest.approx([0, 120, 120])


def test_c60_has_60_pentagon_and_30_hexagon_bonds() -> None:
    distances = molecule("C60").get_all_distances()
    upper = np.sort(distances[np.triu_indices(60, k=1)])
    np.testing.assert_allclose(upper[:30], 1.397, atol=EXACT)
    np.testing.assert_allclose(upper[30:90], 1.453, atol=EXACT)
    assert upper[90] > 2.2
    bonded = np.isclose(distances, 1.453)
    triples = itertools.combinations(range(60), 3)
    assert not any(bonded[i, j] and bonded[j, k] and bonded[i, k] for i, j, k in triples)
    assert np.trace(np.linalg.matrix_power(bonded.astype(int), 5)) == 12 * 5 * 2  # pentagons, starts, senses


def test_every_call_gives_a_new_molecule() -> None:
    molecule("water").positions += 1.0
    assert np.array_equal(molecule("water").positions[0], [0, 0, 0])


def test_unknown_name() -> None:
    with pytest.raises(StructureError, match="no molecule 'benzen'; did you mean 'benzene'"):
        molecule("benzen")
