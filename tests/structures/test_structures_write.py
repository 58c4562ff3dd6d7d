"""What is written as extended XYZ comes back from ASE as it was."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from hamlearn.structures import molecule, read_structures
from hamlearn.structures.write import write_extxyz

TEXTS = ["C=C=", "=", "a=b", r"F/C=C\F", 'say "x"', "it's", "{curly}", "[1 2", "two words", "plain", "ends in \\", "ü"]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_back_and_swallow_no_key(tmp_path, text):
    atoms = molecule("water")
    atoms.info = {"first": 1, "name": text, "hamlearn_homo_ev": -12.5, "weights": np.arange(3.0)}
    write_extxyz(tmp_path / "a.xyz", [atoms, atoms])
    for read in (ase.io.read(tmp_path / "a.xyz", ":"), read_structures(tmp_path / "a.xyz")):
        assert len(read) == 2
        for back in read:
            assert list(back.info) == list(atoms.info)
            assert back.info["name"] == text and back.info["hamlearn_homo_ev"] == -12.5
            np.testing.assert_array_equal(back.info["weights"], np.arange(3.0))


def test_what_the_format_has_no_words_for_is_left_out(tmp_path):
    atoms = molecule("water")
    atoms.info = {"name": "", "nothing": None, "lines": "one\ntwo", "gap": 2.5, "flag": True, "odd = key": 7}
    write_extxyz(tmp_path / "a.xyz", [atoms])
    (back,) = ase.io.read(tmp_path / "a.xyz", ":")
    assert back.info == {"lines": "one two", "gap": 2.5, "flag": True, "odd = key": 7}


def test_everything_else_is_as_ase_writes_it(tmp_path):
    atoms = Atoms("OH2", positions=np.arange(9.0).reshape(3, 3), info={"level": 2, "words": "two words", "b": False})
    atoms.arrays["weights"] = np.arange(3.0)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.ones((3, 3)))
    write_extxyz(tmp_path / "a.xyz", [atoms])
    ase.io.write(tmp_path / "b.xyz", [atoms], format="extxyz")
    assert (tmp_path / "a.xyz").read_bytes() == (tmp_path / "b.xyz").read_bytes()
