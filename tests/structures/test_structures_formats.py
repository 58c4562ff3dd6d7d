"""Files of all kinds: every molecule of a file is read, or its loss is an error; what a file says is never misread."""

from __future__ import annotations

import bz2
import gzip
import io
import warnings

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.db import connect
from ase.units import Bohr

from hamlearn.errors import HamlearnWarning, StructureError
from hamlearn.structures import check_structures, molecule, read_structures

O, H1, H2 = (0.0, 0.0, 0.1173), (0.0, 0.7572, -0.4692), (0.0, -0.7572, -0.4692)
ROWS = "O 0.0 0.0 0.1173\nH 0.0 0.7572 -0.4692\nH 0.0 -0.7572 -0.4692\n"
MOL = """water
  hamlearn          3D

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    {z:.4f} O   0  0  0  0  0  0  0  0  0  0  0  0
    0.0000    0.7572   -0.4692 H   0  0  0  0  0  0  0  0  0  0  0  0
    0.0000   -0.7572   -0.4692 H   0  0  0  0  0  0  0  0  0  0  0  0
  1  2  1  0  0  0  0
  1  3  1  0  0  0  0
M  END
"""
V3000 = """water
  hamlearn          3D

  0  0  0     0  0            999 V3000
M  V30 BEGIN CTAB
M  V30 COUNTS 3 2 0 0 0
M  V30 BEGIN ATOM
M  V30 1 O 0.0 0.0 0.1173 0
M  V30 2 D 0.0 0.7572 -
M  V30 -0.4692 0
M  V30 3 H 0.0 -0.7572 -0.4692 0
M  V30 END ATOM
M  V30 END CTAB
M  END
"""
MOL2 = """# made by hand
@<TRIPOS>MOLECULE
water
 3 2 1 0 0
SMALL
USER_CHARGES

@<TRIPOS>ATOM
      1 O1          0.0000    0.0000    0.1173 O.3     1  HOH1      -0.8340
      2 H1          0.0000    0.7572   -0.4692 H       1  HOH1       0.4170
      3 H2          0.0000   -0.7572   -0.4692 H       1  HOH1       0.4170
@<TRIPOS>BOND
     1     1     2    1
     2     1     3    1
"""
PDB = """HETATM    1  O   HOH A   1       0.000   0.000   0.117  1.00  0.00           O
HETATM    2  H1  HOH A   1       0.000   0.757  -0.469  1.00  0.00           H
HETATM    3  H2  HOH A   1       0.000  -0.757  -0.469  1.00  0.00           H
"""
GEN = "3 C\nO H\n1 1 0.0 0.0 0.1173\n2 2 0.0 0.7572 -0.4692\n3 2 0.0 -0.7572 -0.4692\n"
COORD = "$coord{unit}\n" + "".join(f"{x} {y} {z} {name}\n" for name, (x, y, z) in zip("ohh", (O, H1, H2), strict=True))
GAUSSIAN = f"%chk=w.chk\n# hf/sto-3g\n\nwater\n\n0 1\n{ROWS}\n"


def read_text(folder, name, text):
    """What a file of this name and text holds, and what is said of it."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        structures = read_structures(path)
    assert all(issubclass(w.category, HamlearnWarning) for w in caught)
    return structures, " / ".join(str(w.message) for w in caught)


def assert_waters(structures, n, tolerance=1e-3):
    assert [atoms.get_chemical_formula() for atoms in structures] == ["H2O"] * n
    for atoms in structures:
        np.testing.assert_allclose(atoms.positions[:, :2], np.array([O, H1, H2])[:, :2], atol=tolerance)
        np.testing.assert_allclose(atoms.positions[1:, 2], -0.4692, atol=tolerance)
        assert not atoms.pbc.any()


MANY = {
    "records.sdf": "$$$$\n".join([MOL.format(z=0.1), MOL.format(z=0.2), V3000]) + "$$$$\n",
    "no_last_separator.sdf": MOL.format(z=0.1) + "$$$$\n" + MOL.format(z=0.2) + "$$$$\n" + MOL.format(z=0.3),
    "repeated.mol": MOL.format(z=0.1) + MOL.format(z=0.2) + MOL.format(z=0.3),
    "upper.SDF": 3 * (MOL.format(z=0.1) + "$$$$\n"),
    "three.mol2": 3 * MOL2,
    "models.pdb": "".join(f"MODEL     {k:4}\n{PDB}ENDMDL\n" for k in (1, 2, 3)) + "END\n",
    "ends.pdb": 3 * (PDB + "END\n"),
    "no_end.ent": 2 * (PDB + "END\n") + PDB,
    "dummy_cell.pdb": "CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1\n" + 3 * (PDB + "END\n"),
    "frames.gen": 3 * GEN,
    "groups.coord": 3 * COORD.format(unit=" angs") + "$end\n",
    "links.com": "--Link1--\n".join([GAUSSIAN, GAUSSIAN, "# hf geom=check\n\n", GAUSSIAN.replace("O 0", "8 0")]),
    "upper.gjf": "--LINK1--\n".join(3 * [GAUSSIAN]),
    "frames.xyz": 3 * f"3\n\n{ROWS}",
}


@pytest.mark.parametrize("packed", ["plain", "gz", "bz2", "crlf", "cr", "bom"])
@pytest.mark.parametrize("name", MANY)
def test_every_molecule_of_a_file_is_read(tmp_path, name, packed):
    content = MANY[name].encode()
    wrap = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "crlf": lambda text: text.replace(b"\n", b"\r\n"),
        "cr": lambda text: text.replace(b"\n", b"\r"),
        "bom": lambda text: b"\xef\xbb\xbf" + text,
    }
    ending = f".{packed}" if packed in ("gz", "bz2") else ""
    structures, _ = read_text(tmp_path, name + ending, wrap.get(packed, bytes)(content))
    assert_waters(structures, 3)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.sdf", MOL.format(z=0.1) + "$$$$\n" + MOL.format(z=0.1)[:150], "molecule 1 .*3 atoms are announced, [01] f"),
        ("a.sdf", MOL.format(z=0.1).replace("  3  2", "  x  2"), "molecule 0 .*its line 4 is"),
        ("a.sdf", MOL.format(z=0.1).replace(" O ", " R#"), r"molecule 0 .*'R#'; expected a chemical symbol"),
        ("a.mol", MOL.format(z=0).replace("3D", "2D").replace("-0.4692", " 0.0000"), "is a drawing"),
        ("a.mol2", MOL2 + MOL2.replace(" 3 2 1", " 4 2 1"), "molecule 1 .*4 atoms are announced, 3 found"),
        ("a.mol2", MOL2.replace(" O.3 ", " Du "), "'Du'; expected a chemical symbol"),
        ("a.gen", GEN + GEN[:-30], "frame 1 .*has 4 of 5 lines"),
        ("a.gen", GEN + "and more\n", "frame 1 .*begins with 'and more'"),
        ("a.pdb", PDB.replace("  H1  HOH", "  H1 BHOH"), "line 2 is an atom in an alternate place"),
        ("a.pdb", PDB.replace("           O", "").replace("  O  ", "  ?  "), "line 1 names the atom"),
        ("a.coord", COORD.format(unit=" frac"), "fractions of a cell"),
        ("a.coord", COORD.format(unit="") + "$periodic 3\n", "expected a molecule"),
        ("a.coord", COORD.format(unit="").replace("0.7572", "x"), r"\$coord number 0"),
        ("a.com", GAUSSIAN.replace("hf/", "units=au hf/"), "units=au"),
        ("a.xyz", f"3\n\n{ROWS.replace('O', 'CA')}", "'CA', which may be Ca or C of a protein"),
        ("a.xyz", f"3\n\n{ROWS.replace('O', '119')}", "names the element '119'"),
        ("a.npz", b"PK", "holds arrays"),
        (
            "a.gro",
            2 * "t\n 1\n    1SOL     OW    1   0.000   0.000   0.012\n 1 1 1\n",
            "2 frames, of which one would be",
        ),
    ],
)
def test_what_cannot_be_read_whole_is_refused_with_its_number(tmp_path, name, text, message):
    with pytest.raises(StructureError, match=rf"{name}.*{message}"):
        read_text(tmp_path, name, text)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("O1 H1 H2", "read O1 as O, H1, H2 as H"),
        ("o h h", "read o as O, h as H"),
        ("O H1A H1B", "read H1A, H1B as H"),
        ("O_w H_a H_b", "read O_w as O, H_a, H_b as H"),
        ("8 1 1", "read 8 as O, 1 as H"),
        ("O D D1", "read D, D1 as heavy H / isotopes count as their element"),
        ("O T 2H", "read T as heavy H, 2H as H"),
        ("O2- H+ H(2)", "read O2- as O, H+, H(2) as H"),
    ],
)
def test_names_of_elements_are_read_and_said(tmp_path, names, said):
    rows = "".join(f"{name} {row[1:].strip()}\n" for name, row in zip(names.split(), ROWS.split("\n"), strict=False))
    structures, words = read_text(tmp_path, "a.xyz", f"3\n\n{rows}3\n\n{rows}")
    assert_waters(structures, 2, 1e-12)
    assert all(part in words for part in said.split(" / "))


def test_names_in_a_later_column_and_two_letters(tmp_path):
    rows = "0 0 0 CL 17\n0 0 1.2746 h1 1\n"
    (read,), said = read_text(tmp_path, "a.xyz", f"2\nProperties=pos:R:3:species:S:1:n:I:1\n{rows}")
    assert read.get_chemical_symbols() == ["Cl", "H"] and "CL as Cl" in said
    np.testing.assert_array_equal(read.arrays["n"], [17, 1])


def test_exponents_of_fortran(tmp_path):
    text = "3\nenergy=-0.7612D+02\n" + ROWS.replace("0.1173", "1.173D-01").replace(" 0.7572", " 0.07572d1")
    (read,), _ = read_text(tmp_path, "a.xyz", text)
    np.testing.assert_allclose(read.positions, [O, H1, H2], atol=1e-14)
    assert read.info["energy"] == -76.12
    gen, _ = read_text(tmp_path, "a.gen", GEN.replace("0.1173", "1.173D-01"))
    np.testing.assert_allclose(gen[0].positions, [O, H1, H2], atol=1e-14)


def test_columns_nobody_named_are_said(tmp_path):
    structures, said = read_text(tmp_path, "a.xyz", f"3\n\n{ROWS}".replace("73\n", "73 -0.8\n"))
    assert_waters(structures, 1) and "columns after number 4 were not read" in said


@pytest.mark.parametrize(
    "comment", ["no pbc here", "pbc", "Lattice", "Properties of water", "total charge zero", "5' [x"]
)
def test_words_of_a_comment_set_nothing(tmp_path, comment):
    structures, said = read_text(tmp_path, "a.xyz", f"3\n{comment}\n{ROWS}")
    assert_waters(structures, 1)
    check_structures(structures)
    assert structures[0].info == {"comment": comment} and not said


def test_numbers_alone_stay_keys(tmp_path):
    """Two that may be charge and multiplicity are refused elsewhere, but for those of any neutral molecule."""
    for comment in ("0 1", "1 2 3"):
        (read,), _ = read_text(tmp_path, "a.xyz", f"3\n{comment}\n{ROWS}")
        assert read.info == dict.fromkeys(comment.split(), True)


def test_words_beside_values_set_no_cell(tmp_path):
    (read,), said = read_text(tmp_path, "a.xyz", f"3\nlevel=2 pbc converged\n{ROWS}")
    assert read.info == {"level": 2, "converged": True} and not said


@pytest.mark.parametrize(
    ("comment", "info"),
    [
        ('name="" level=2', {"name": "", "level": 2}),
        ("name= level=2", {"name": "", "level": 2}),
        ("level=2 name=", {"name": "", "level": 2}),
        ("level = 2", {"level": 2}),
        ("name='' level=2 other=\"\"", {"name": "", "level": 2, "other": ""}),
        ("smiles=C=C= level=2", {"smiles": "C=C=", "level": 2}),
        ("smiles=C=C level=2", {"smiles": "C=C", "level": 2}),
        ('words="a b=" level=2', {"words": "a b=", "level": 2}),
    ],
)
def test_empty_values_and_signs_of_equality_swallow_no_key(tmp_path, comment, info):
    (read,), _ = read_text(tmp_path, "a.xyz", f"3\n{comment}\n{ROWS}")
    assert read.info == info


@pytest.mark.parametrize(
    "comment",
    [
        *("units=bohr", 'unit="Bohr"', "length_unit=au", "Units=a.u. level=2", "units=nm", "coordinates in Bohr"),
        *(
            "Units: bohr",
            "water (Bohr)",
            'positions_units="atomic units"',
            "bohr",
            "water in a.u.",
            "unit_of_length=bohr",
        ),
        *("units_length=Bohr level=3", "Coordinates in atomic units", "units are bohr"),
    ],
)
def test_other_units_are_refused(tmp_path, comment):
    with pytest.raises(StructureError, match=r"line 2: the comment says that lengths are in '.*expected Å"):
        read_text(tmp_path, "a.xyz", f"3\n{comment}\n{ROWS}")


@pytest.mark.parametrize(
    "comment",
    ["units=angstrom", "unit=Å", "dipole_unit=bohr", "energy_units=au", "Niels Bohr", "energy -76.02 in a.u."],
)
def test_units_of_other_things_are_not(tmp_path, comment):
    assert_waters(read_text(tmp_path, "a.xyz", f"3\n{comment}\n{ROWS}")[0], 1)


@pytest.mark.parametrize(
    "comment",
    [
        'Lattice="20 0 0 0 20 0 0 0 20"',
        'pbc="T T T"',
        'Lattice="9 0 0 0 9 0 0 0 9" pbc="T T F"',
    ],
)
def test_a_molecule_in_a_box_loses_it_with_a_word(tmp_path, comment):
    structures, said = read_text(tmp_path, "a.xyz", f"3\n\n{ROWS}3\n{comment}\n{ROWS}")
    assert_waters(structures, 2, 1e-12)
    assert "boxes around single molecules were dropped (1 of 2)" in said
    check_structures(structures)
    assert not structures[1].cell.any()


def test_a_box_in_a_binary_file_too(tmp_path):
    water = molecule("water")
    water.center(vacuum=5.0)
    water.pbc = True
    ase.io.write(tmp_path / "a.traj", [water])
    with pytest.warns(HamlearnWarning, match="1 of 1"):
        assert not read_structures(tmp_path / "a.traj")[0].pbc.any()


@pytest.mark.parametrize("comment", ['Lattice="2.5 0 0 0 20 0 0 0 20"', 'Lattice="20 0 0 0 2.4 0 0 0 20"'])
def test_solids_and_cut_molecules_stay_periodic(tmp_path, comment):
    rows = ROWS if "2.4" in comment else "C 0 0 0\nC 1.25 0 0\nH 0 0 9\n"
    structures, said = read_text(tmp_path, "a.xyz", f"3\n{comment}\n{rows}")
    assert not said
    with pytest.raises(StructureError, match="periodic, expected a molecule"):
        check_structures(structures)


def test_names_of_pdb_atoms_by_their_columns(tmp_path):
    names = [" CA ", "CA  ", "HA1 ", "HG11", " N  ", "1HB ", "CL1 ", "C1  ", " O5'", "HG  ", " D1 "]
    rows = "".join(f"ATOM  {k:5} {name} MOL A   1    {2 * k:8.3f}   0.000   0.000\n" for k, name in enumerate(names))
    (read,), said = read_text(tmp_path, "a.pdb", rows)
    assert read.get_chemical_symbols() == ["C", "Ca", "H", "H", "N", "H", "Cl", "C", "O", "Hg", "H"]
    assert "told from the names of atoms" in said and "'CA  ' as Ca" in said and "'HG  ' as Hg" in said


def test_turbomole_is_in_bohr(tmp_path):
    for name in ("coord", "a.coord", "anything"):
        (read,), _ = read_text(tmp_path, name, COORD.format(unit="") + "$user-defined bonds\n$end\n")
        np.testing.assert_allclose(read.positions, Bohr * np.array([O, H1, H2]), atol=1e-12)


def test_data_fields_and_charges_of_atoms_are_kept(tmp_path):
    text = MOL.format(z=0.1) + "> <energy>\n-76.5\n\n>  <name>  (1)\nwater\n\n$$$$\n"
    (read,), _ = read_text(tmp_path, "a.sdf", text)
    assert read.info == {"energy": -76.5, "name": "water"}
    (read,), _ = read_text(tmp_path, "a.mol2", MOL2)
    np.testing.assert_allclose(read.get_initial_charges(), [-0.834, 0.417, 0.417])


def test_other_encodings(tmp_path):
    for encoding in ("utf-16", "utf-8-sig", "latin-1"):
        structures, _ = read_text(tmp_path, "a.xyz", f"3\nmolécule\n{ROWS}".encode(encoding))
        assert structures[0].info == {"comment": "molécule"}


def test_a_mark_in_other_formats(tmp_path):
    buffer = io.StringIO()
    ase.io.write(buffer, Atoms("OH2", positions=[O, H1, H2], cell=np.eye(3) * 20, pbc=True), format="xsf")
    structures, _ = read_text(tmp_path, "a.xsf", b"\xef\xbb\xbf" + buffer.getvalue().encode())
    assert_waters(structures, 1)


@pytest.mark.parametrize("name", ["a.db", "a.json"])
def test_matrices_of_a_database_are_said(tmp_path, name):
    water = Atoms("OH2", positions=[O, H1, H2])
    with connect(tmp_path / name) as rows:
        rows.write(
            water, level=2.5, data={"fock": np.eye(7), "weights": np.arange(3.0), "of": {"S": np.eye(7), "text": "b"}}
        )
        rows.write(water, level=3.5)
    with pytest.warns(
        HamlearnWarning, match=r"were not taken \(fock \[7, 7\], of.S \[7, 7\]\): hamlearn computes .*kind: property"
    ):
        structures = read_structures(tmp_path / name, require=("level",))
    assert_waters(structures, 2)
    assert [atoms.info["level"] for atoms in structures] == [2.5, 3.5]
    np.testing.assert_array_equal(structures[0].info["weights"], np.arange(3.0))
    assert structures[0].info["of.text"] == "b"


def test_arrays_beside_or_instead_of_geometries_are_said(tmp_path):
    np.savez(tmp_path / "a.npz", fock=np.eye(7), R=np.zeros((3, 3)))
    with pytest.raises(StructureError, match=r"holds arrays \(fock \[7, 7\], R \[3, 3\]\), no structures.*Matrices"):
        read_structures(tmp_path / "a.npz")
    structures, said = read_text(tmp_path, "a.xyz", f"3\n\n{ROWS}")
    assert_waters(structures, 1) and "a.npz beside it was not read" in said


@pytest.mark.parametrize("name", ["w$1.xyz", "$HOME.xyz", "w@2.xyz", "wässer.xyz", "a b.xyz", "w#1.xyz", "[w].xyz"])
def test_odd_names(tmp_path, name):
    assert_waters(read_text(tmp_path, name, f"3\n\n{ROWS}")[0], 1)


@pytest.mark.parametrize(
    "row",
    [
        "o 0.0 0.0 0.1173",
        "O1 0.0 0.0 0.1173",
        "8 0 0.0 0.0 0.1173",
        "O, 0.0, 0.0, 1.173D-01",
        "O(iso=18) 0.0 0.0 0.1173",
    ],
)
def test_rows_of_gaussian_in_all_their_forms(tmp_path, row):
    structures, _ = read_text(tmp_path, "a.gjf", GAUSSIAN.replace("O 0.0 0.0 0.1173", row))
    assert_waters(structures, 1, 1e-12)


def test_internal_coordinates_of_gaussian_keep_their_names(tmp_path):
    text = "# hf\n\nt\n\n0 1\nO1\nH2 O1 0.96\nH3 O1 0.96 H2 104.5\n\n"
    (read,), _ = read_text(tmp_path, "a.gjf", text)
    assert read.get_chemical_symbols() == ["O", "H", "H"]
    assert read.get_distance(0, 2) == pytest.approx(0.96)
