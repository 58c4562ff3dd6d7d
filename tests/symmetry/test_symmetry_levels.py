"""Representations, decompositions, group averages and the irreps of levels."""

import numpy as np
import pytest
from random_groups import VALENCE, random_molecule

from hamlearn.angular.ao_rotation import ao_rotation
from hamlearn.config import QMSettings, TargetSettings
from hamlearn.errors import BasisError, DomainError, StructureError
from hamlearn.observables import reference_prediction
from hamlearn.qm import run_scf
from hamlearn.structures import molecule, permute, random_rotation, rotate
from hamlearn.symmetry import (
    decompose,
    group_average,
    irreps_of_orbitals,
    label_levels,
    levels_between,
    point_group,
    projector,
    representation,
    violation,
)
from hamlearn.targets import build_target, target_orbitals
from hamlearn.testing import TOLERANCE
from hamlearn.units import BOHR_ANGSTROM, HARTREE_EV

EXACT = TOLERANCE["float64"]["exact"]


def valence(atoms):
    return target_orbitals(TargetSettings(), "def2-SVP", set(atoms.numbers.tolist()))


def setting(atoms):
    group = point_group(atoms)
    return group, representation(group, valence(atoms), atoms.numbers)


def random_symmetric(n, seed=0):
    matrix = np.random.default_rng(seed).random((n, n))
    return matrix + matrix.T


def as_sum(counts):
    return " + ".join(f"{n if n > 1 else ''}{name}" for name, n in counts.items())


@pytest.mark.parametrize("name", VALENCE)
def test_textbook_decompositions(name):
    atoms = molecule(name)
    assert as_sum(decompose(point_group(atoms), valence(atoms), atoms.numbers)) == VALENCE[name]


@pytest.mark.parametrize("name", [name for name in VALENCE if name != "C60"])
def test_labels_follow_the_molecule(name):
    """Any orientation and order of the atoms: the same irreps, B1 and B2 included."""
    rng = np.random.default_rng(1)
    atoms = molecule(name)
    for improper in (False, True):
        moved = permute(rotate(atoms, random_rotation(rng, improper)), rng.permutation(len(atoms)))
        assert as_sum(decompose(point_group(moved), valence(atoms), moved.numbers)) == VALENCE[name]


@pytest.mark.parametrize("name", ["C4h", "D4d", "S8", "Th", "O", "Dinfh", "C5"])
def test_traces_agree_with_fixed_atoms(name):
    atoms = random_molecule(name, 3)
    group, p = setting(atoms)
    counts = group.characters.multiplicities(np.trace(p, axis1=1, axis2=2))
    assert decompose(group, valence(atoms), atoms.numbers) == counts


@pytest.mark.parametrize("name", ["C4h", "D4d", "Th", "Dinfh"])
def test_projectors_resolve_the_identity(name):
    atoms = random_molecule(name, 5)
    group, p = setting(atoms)
    parts = [projector(group, irrep, p) for irrep in group.characters.irreps]
    np.testing.assert_allclose(sum(parts), np.eye(p.shape[-1]), atol=EXACT)
    for part in parts:
        np.testing.assert_allclose(part @ part, part, atol=EXACT)


def test_random_matrix_on_benzene():
    """10 pairs and 10 single levels of the average, none of the matrix itself (J. Chem. Phys. 156, 014115, eq. 32)."""
    group, p = setting(molecule("benzene"))
    raw = random_symmetric(30)
    average = group_average(raw, p)
    assert violation(raw, p) > 0.1 and violation(average, p) < EXACT
    levels = label_levels(average, None, 15, group, p)
    assert sorted(level.degeneracy for level in levels) == [1] * 10 + [2] * 10
    assert max(level.spread_ev for level in levels) < 1e-9
    assert np.diff(np.linalg.eigvalsh(raw)).min() > 1e-3
    energies = np.sort(np.repeat([m.energy_ev for m in levels], [m.degeneracy for m in levels]))
    np.testing.assert_allclose(energies, HARTREE_EV * np.linalg.eigvalsh(average), atol=1e-9)
    assert sum(level.occupation for level in levels) == 30


def test_infinite_group_is_exact_in_its_subgroup():
    """Averaging over C14v leaves a matrix over s and p invariant under every rotation about the axis."""
    atoms = random_molecule("Cinfv", 2)
    p = setting(atoms)[1]
    average = group_average(random_symmetric(p.shape[-1]), p)
    axis = np.linalg.svd(atoms.positions - atoms.positions.mean(axis=0))[2][0]
    cross = np.cross(np.eye(3), -axis)
    turn = np.eye(3) + np.sin(0.3) * cross + (1 - np.cos(0.3)) * cross @ cross
    t = ao_rotation(valence(atoms), atoms.numbers, turn)
    np.testing.assert_allclose(t @ average @ t.T, average, atol=EXACT)


def test_levels_are_told_apart_by_irrep_not_energy():
    """Two levels of different irreps at one energy, and two multiplets of one irrep, stay what they are."""
    group, p = setting(molecule("benzene"))
    h = sum(value * projector(group, irrep, p) for irrep, value in [("E1g", 1.0), ("A2u", 1.0), ("E2g", -1.0)])
    levels = label_levels(h, None, 0, group, p)
    at_one = [(m.irrep, m.degeneracy) for m in levels if abs(m.energy_ev - HARTREE_EV) < 1e-9]
    assert sorted(at_one) == [("A2u", 1), ("E1g", 2)]
    assert [m.degeneracy for m in levels if m.irrep == "E2g"] == [2] * 4


@pytest.fixture(scope="module")
def computed_benzene():
    atoms = molecule("benzene")
    record = run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, QMSettings(basis="STO-3G"))
    prediction = reference_prediction(build_target(record, TargetSettings(kind="fock")))
    group = point_group(atoms)
    return prediction, group, representation(group, prediction.basis, atoms.numbers)


def test_computed_benzene(computed_benzene):
    prediction, group, p = computed_benzene
    levels = label_levels(prediction.hamiltonian, prediction.metric, prediction.n_occupied, group, p)
    assert violation(prediction.hamiltonian, p) < 1e-8
    assert {m.irrep for m in levels[:4]} == {"A1g", "B1u", "E1u", "E2g"}  # carbon 1s, within 20 meV
    homo = max((m for m in levels if m.occupation), key=lambda m: m.energy_ev)
    lumo = min((m for m in levels if not m.occupation), key=lambda m: m.energy_ev)
    assert (homo.irrep, homo.occupation, lumo.irrep) == ("E1g", 4, "E2u")
    assert homo.indices == (19, 20)
    assert homo.energy_ev == pytest.approx(prediction.homo_ev, abs=1e-8)


def test_window_of_orbitals(computed_benzene):
    prediction, group, p = computed_benzene
    frontier = prediction.orbitals[:, 19:23]
    assert irreps_of_orbitals(frontier, prediction.metric, group, p) == {"E1g": 1, "E2u": 1}
    with pytest.raises(StructureError, match="cuts a degenerate level"):
        irreps_of_orbitals(prediction.orbitals[:, 20:23], prediction.metric, group, p)


def test_window_of_levels(computed_benzene):
    prediction, group, p = computed_benzene
    levels = label_levels(prediction.hamiltonian, prediction.metric, prediction.n_occupied, group, p)
    assert [m.irrep for m in levels_between(levels, 20, 23)] == ["E1g", "E2u"]
    with pytest.raises(StructureError, match=r"20 to 22 cuts the 2-fold level E2u at 7\.\d+ eV, levels 22 to 23"):
        levels_between(levels, 20, 22)
    with pytest.raises(StructureError, match="within 1 to 36"):
        levels_between(levels, 0, 12)


def test_matrices_of_the_wrong_size():
    group, p = setting(molecule("water"))
    for call in (
        lambda: violation(np.eye(5), p),
        lambda: group_average(np.eye(5), p),
        lambda: label_levels(np.eye(5), None, 1, group, p),
        lambda: label_levels(np.eye(6), np.eye(5), 1, group, p),
    ):
        with pytest.raises(BasisError, match=r"shape \(5, 5\), the molecule has 6 orbitals"):
            call()
    with pytest.raises(DomainError, match="no levels"):
        label_levels(np.full((6, 6), np.nan), None, 1, group, p)


def test_group_of_another_molecule():
    benzene = molecule("benzene")
    with pytest.raises(StructureError, match="another molecule"):
        decompose(point_group(molecule("water")), valence(benzene), benzene.numbers)


def test_split_multiplets_that_lie_close_are_told(water):
    """The spread is that within an irrep: neighbours of another irrep must not lend their partners."""
    from hamlearn.symmetry import label_levels, point_group, projector, representation
    from hamlearn.targets import target_orbitals

    benzene = molecule("benzene")
    group = point_group(benzene)
    orbitals = target_orbitals(TargetSettings(), "sto-3g", [1, 6])
    p = representation(group, orbitals, benzene.numbers)
    rng = np.random.default_rng(0)
    matrix = np.zeros((30, 30))
    for irrep, split in (("E1u", 0.2), ("E2g", 0.2)):
        q = np.linalg.eigh(projector(group, irrep, p))[1][:, -2:]
        matrix += q @ np.diag([-5.0, -5.0 + split]) @ q.T
    matrix += np.diag(rng.normal(size=30)) * 1e-6
    worst = max(m.spread_ev for m in label_levels(matrix, None, 15, group, p))
    assert worst > 1.0


def test_other_matrices_are_refused(water):
    from hamlearn.symmetry import irreps_of_orbitals, label_levels, point_group, representation
    from hamlearn.targets import target_orbitals

    benzene = molecule("benzene")
    group = point_group(benzene)
    p = representation(group, target_orbitals(TargetSettings(), "sto-3g", [1, 6]), benzene.numbers)
    with pytest.raises(DomainError, match="not symmetric"):
        label_levels(np.random.default_rng(0).random((30, 30)), None, 15, group, p)
    with pytest.raises(BasisError, match="30 functions"):
        irreps_of_orbitals(np.eye(29)[:, :3], None, group, p)
