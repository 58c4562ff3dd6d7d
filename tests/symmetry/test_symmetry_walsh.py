"""Levels along a path: followed through crossings, invariant, and refused where there is no common group."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from hamlearn import Prediction, QMSettings, TargetSettings, build_target, molecule
from hamlearn.angular.ao_order import Orbitals
from hamlearn.errors import StructureError
from hamlearn.observables import reference_prediction
from hamlearn.qm import run_scf
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.symmetry.adapted import adapted_levels
from hamlearn.symmetry.walsh import common_group, walsh_diagram
from hamlearn.units import BOHR_ANGSTROM, HARTREE_EV

ANGLES = (80.0, 105.0, 130.0, 155.0, 180.0)


def bent(degrees: float) -> Atoms:
    y, z = 0.96 * np.sin(np.radians(degrees / 2)), 0.96 * np.cos(np.radians(degrees / 2))
    return Atoms("OH2", [(0, 0, 0), (0, y, z), (0, -y, z)])


def hamiltonian(atoms: Atoms) -> Prediction:
    record = run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, QMSettings(basis="STO-3G"))
    return reference_prediction(build_target(record, TargetSettings(kind="fock")))


def test_water_is_the_textbook_diagram() -> None:
    path = [bent(angle) for angle in ANGLES]
    assert common_group(path).name == "C2v"
    predictions = [hamiltonian(atoms) for atoms in path]
    tracks = walsh_diagram(path, predictions)
    for step, prediction in enumerate(predictions):  # every level once, also where two coincide
        found = sorted(track.energies_ev[step] for track in tracks)
        assert np.allclose(found, prediction.eigenvalues_ev, atol=1e-8)
    assert [t.irrep for t in tracks] == ["A1", "A1", "B2", "A1", "B1", "A1", "B2"]
    a1, b = tracks[3], tracks[4]
    assert a1.energies_ev[-1] == pytest.approx(b.energies_ev[-1], abs=1e-6)  # pi_u of linear water
    assert a1.energies_ev[0] < b.energies_ev[0] - 2  # the bent molecule is held together by this level
    assert [t.occupied.tolist() for t in tracks] == 5 * [[True] * 5] + 2 * [[False] * 5]


def test_tracks_do_not_depend_on_orientation_or_order() -> None:
    path = [bent(angle) for angle in (80.0, 130.0, 155.0)]
    turn = random_rotation(np.random.default_rng(3), improper=True)
    moved = [permute(rotate(atoms, turn), [2, 0, 1]) for atoms in path]
    plain, turned = (walsh_diagram(p, [hamiltonian(atoms) for atoms in p]) for p in (path, moved))
    for before, after in zip(plain, turned, strict=True):
        assert np.allclose(before.energies_ev, after.energies_ev, atol=1e-6)
        assert before.irrep == after.irrep


def diatomic(*energies: float, coupling: float) -> Prediction:
    """Four s levels on two unlike atoms, the first two coupled."""
    matrix = np.diag(energies)
    matrix[0, 1] = matrix[1, 0] = coupling
    shells = {1: ((1, 0), (2, 0)), 3: ((1, 0), (2, 0))}
    return Prediction(np.array([1, 3]), matrix, None, 1, Orbitals(shells, {1: (0, 1), 3: (0, 1)}))


@pytest.mark.parametrize(("coupling", "crosses"), [(0.0, True), (0.3, False)])
def test_continuity_tells_crossings_from_avoided_ones(coupling: float, crosses: bool) -> None:
    steps = np.linspace(-1, 1, 12)
    path = [Atoms("HLi", [(0, 0, 0), (0, 0, 1.6)])] * len(steps)
    tracks = walsh_diagram(path, [diatomic(x, -x, 5.0, 6.0, coupling=coupling) for x in steps])
    assert {track.irrep for track in tracks} == {"Sigma+"}
    size = np.sqrt(steps**2 + coupling**2)
    lower = steps if crosses else -size
    assert np.allclose(tracks[0].energies_ev, HARTREE_EV * lower)
    assert np.allclose(tracks[1].energies_ev, -HARTREE_EV * lower)


def test_paths_without_a_common_group_are_refused() -> None:
    with pytest.raises(StructureError, match=r"structure 1 deviates from it by .* Å, more than 0\.02 Å; orient"):
        common_group([bent(100), rotate(bent(100), random_rotation(np.random.default_rng(0)))])
    with pytest.raises(StructureError, match="structure 1 of the path has other atoms"):
        common_group([bent(100), molecule("carbon_dioxide")])
    with pytest.raises(StructureError, match="empty"):
        common_group([])
    with pytest.raises(StructureError, match="2 structures and 1 Hamiltonians"):
        walsh_diagram([bent(100), bent(120)], [hamiltonian(bent(100))])


def test_adapted_levels_of_an_absent_irrep_are_none() -> None:
    levels = adapted_levels(np.eye(4), np.zeros((4, 4)), 2)
    assert levels.energies.shape == (0,) and levels.vectors.shape == (0, 2, 4)
