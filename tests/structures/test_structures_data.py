"""The geometries shipped in data/ are what data/README.md says."""

from collections import Counter
from pathlib import Path

import numpy as np
from pyscf import scf

from hamlearn.qm.molecule import build_mole
from hamlearn.structures import check_structures, read_structures
from hamlearn.units import BOHR_ANGSTROM

DATA = Path(__file__).parents[2] / "data"


def test_water() -> None:
    waters = read_structures(DATA / "water.extxyz", require=("name",))
    check_structures(waters)
    assert {tuple(atoms.symbols) for atoms in waters} == {("O", "H", "H")}
    assert len({atoms.positions.tobytes() for atoms in waters}) == 500
    assert not any(atoms.positions[:, 0].any() for atoms in waters)


def test_chno() -> None:
    structures = read_structures(DATA / "chno.extxyz", require=("name",))
    check_structures(structures)
    assert set(Counter(atoms.info["name"] for atoms in structures).values()) == {38}
    assert len({atoms.get_chemical_formula() for atoms in structures}) == 15
    assert {symbol for atoms in structures for symbol in atoms.symbols} == set("CHNO")


def test_waters_with_properties_are_turned_waters() -> None:
    waters = read_structures(DATA / "water.extxyz")[:200]
    sets = [read_structures(DATA / f"water_{name}.extxyz") for name in ("properties", "polarizability")]
    for plain, *turned in zip(waters, *sets, strict=True):
        np.testing.assert_array_equal(turned[0].positions, turned[1].positions)
        np.testing.assert_allclose(turned[0].get_all_distances(), plain.get_all_distances(), atol=1e-7)


def test_polarizability_is_the_response_of_the_dipole_to_a_field() -> None:
    """Dipoles of calculations in finite fields along x and z; the error is of the order of the field squared."""
    atoms = read_structures(DATA / "water_polarizability.extxyz")[7]
    mole = build_mole(atoms.numbers, atoms.positions / BOHR_ANGSTROM, "def2-SVP")
    core, r, strength = scf.hf.get_hcore(mole), mole.intor("int1e_r"), 1e-3
    alpha = np.reshape(atoms.info["polarizability_au"], (3, 3))
    density = None
    for axis in (0, 2):
        dipoles = []
        for field in (strength, -strength, 0.0):
            calculation = scf.RHF(mole).set(conv_tol=1e-11, conv_tol_grad=1e-7, verbose=0)
            calculation.get_hcore = lambda *_, field=field, axis=axis: core + field * r[axis]
            calculation.kernel(density)
            density = calculation.make_rdm1()
            dipoles.append(calculation.dip_moment(unit="AU", verbose=0))
        np.testing.assert_allclose((dipoles[0] - dipoles[1]) / (2 * strength), alpha[axis], atol=1e-4)
        np.testing.assert_allclose(dipoles[2], atoms.info["dipole_au"], atol=1e-6)
