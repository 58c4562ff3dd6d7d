"""A path, one molecule or many: all are accepted where structures are."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from ase import Atoms

import hamlearn
from hamlearn.config import QMSettings
from hamlearn.errors import StructureError
from hamlearn.qm import compute_hessian
from hamlearn.qm.campaign import check_campaign
from hamlearn.structures import as_structure, as_structures, molecule
from hamlearn.symmetry import point_group, require_group, symmetrise
from hamlearn.symmetry.walsh import common_group

WATER, AMMONIA = molecule("water"), molecule("ammonia")


@pytest.fixture
def file(tmp_path):
    ase.io.write(tmp_path / "two.xyz", [WATER, AMMONIA])
    return tmp_path / "two.xyz"


@pytest.fixture
def water_file(tmp_path):
    ase.io.write(tmp_path / "water.xyz", WATER)
    return tmp_path / "water.xyz"


def test_all_ways_to_give_structures(file):
    for given in (file, str(file)):
        assert [atoms.get_chemical_formula() for atoms in as_structures(given)] == ["H2O", "H3N"]
    assert as_structures(WATER)[0] is WATER
    for given in ([WATER, AMMONIA], (WATER, AMMONIA), iter([WATER, AMMONIA])):
        found = as_structures(given)
        assert found[0] is WATER and found[1] is AMMONIA
    assert as_structures([]) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "the set: got a int (3); expected the path of a file, an ase.Atoms, or a list of ase.Atoms"),
        (None, "the set: got a NoneType"),
        ([WATER, "water.xyz"], "the set: number 1 is a str ('water.xyz'); expected"),
        (WATER[0], "the set: "),
        (np.zeros((2, 3)), "the set: number 0 is a ndarray"),
        ({"water": WATER}, "the set: number 0 is a str ('water')"),
    ],
)
def test_anything_else_is_refused_in_words(given, words):
    with pytest.raises(StructureError) as caught:
        as_structures(given, "the set")
    assert words in str(caught.value) and "expected the path of a file, an ase.Atoms" in str(caught.value)


def test_one_structure(file, water_file):
    assert as_structure(WATER) is WATER and as_structure([WATER]) is WATER
    assert as_structure(water_file).get_chemical_formula() == "H2O"
    assert as_structure(file, 1).get_chemical_formula() == "H3N"
    with pytest.raises(StructureError, match=r"two.xyz holds 2 structures; choose one with --index"):
        as_structure(file)
    with pytest.raises(StructureError, match="the list holds 0 structures"):
        as_structure([])
    with pytest.raises(StructureError, match="has no structure 2; it holds 2"):
        as_structure(file, 2)


def test_calculations(water_file, tmp_path):
    settings = QMSettings(basis="sto-3g")
    records = [
        hamlearn.run_campaign(given, settings, tmp_path / str(k)).load(0)
        for k, given in enumerate((water_file, as_structure(water_file), [as_structure(water_file)]))
    ]
    assert records[0] == records[1] == records[2]
    with pytest.raises(StructureError, match="odd number"):
        check_campaign(Atoms("OH", [[0, 0, 0], [0, 0, 1.0]]), settings)
    assert np.array_equal(compute_hessian(water_file, settings), compute_hessian(as_structure(water_file), settings))


def test_symmetry(water_file):
    group = point_group(water_file)
    assert group.name == "C2v" and point_group([as_structure(water_file)]) == group
    assert require_group(str(water_file), "C2v") == group
    assert np.allclose(symmetrise(water_file, group).positions, WATER.positions, atol=1e-7)
    assert common_group(water_file).name == "C2v"
    assert hamlearn.symmetry_report([WATER]).group.name == "C2v"
    assert hamlearn.symmetry_report("water").group.name == "C2v"
