import gzip
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from hamlearn.errors import HamlearnWarning, StructureError
from hamlearn.structures import molecule, read_structures


@pytest.fixture
def structures() -> list[Atoms]:
    frames = [molecule(name) for name in ("water", "methane", "acetylene")]
    for i, atoms in enumerate(frames):
        atoms.info["level"] = i / 2
    return frames


@pytest.fixture
def xyz(tmp_path: Path, structures: list[Atoms]) -> Path:
    path = tmp_path / "set.xyz"
    ase.io.write(path, structures, format="extxyz")
    return path


@pytest.mark.parametrize("name", ["set.extxyz", "set.xyz", "set.traj", "set.json", "set.xyz.gz", "set@2.xyz"])
def test_every_format_gives_the_structures_in_order(tmp_path: Path, structures: list[Atoms], name: str) -> None:
    path = tmp_path / name
    ase.io.write(str(path), structures, format={"extxyz": "extxyz", "traj": "traj", "json": "json"}.get(name[4:]))
    read = read_structures(path)
    assert [a.get_chemical_formula() for a in read] == ["H2O", "CH4", "C2H2"]
    for got, expected in zip(read, structures, strict=True):
        np.testing.assert_allclose(got.positions, expected.positions, atol=1e-7)


def test_single_structure_formats(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "water.gen", molecule("water"))
    (water,) = read_structures(tmp_path / "water.gen")
    assert list(water.numbers) == [8, 1, 1]


def test_required_keys_are_found_wherever_ase_puts_them(tmp_path: Path) -> None:
    water = molecule("water")
    water.info["level"] = 1.5
    water.arrays["weights"] = np.arange(3.0)
    dipole = np.array([0.0, 0.0, 1.0])
    water.calc = SinglePointCalculator(water, energy=-76.0, forces=np.eye(3), dipole=dipole)
    water.set_constraint(FixAtoms([0]))
    for name in ("set.extxyz", "set.traj"):
        ase.io.write(tmp_path / name, [water, water])
        for read in read_structures(tmp_path / name, require=("energy", "forces", "dipole", "positions")):
            assert read.info["energy"] == -76.0
            np.testing.assert_array_equal(read.info["dipole"], dipole)
            np.testing.assert_array_equal(read.arrays["forces"], np.eye(3))
            assert read.calc is None
            assert not read.constraints


def test_missing_key_names_the_structures_and_the_nearest_key(tmp_path: Path, structures: list[Atoms]) -> None:
    structures[0].info["dipole_au"] = 1.0
    path = tmp_path / "set.xyz"
    ase.io.write(path, structures, format="extxyz")
    with pytest.raises(StructureError, match=r"'dipole_au' is missing in 2 of 3 structures .*: 1-2; structure 1 has"):
        read_structures(path, require=("dipole_au",))
    with pytest.raises(StructureError, match="did you mean 'level'"):
        read_structures(path, require=("levels",))


def test_missing_file_folder_and_empty_file(tmp_path: Path, xyz: Path) -> None:
    with pytest.raises(StructureError, match=r"no such file; did you mean 'set\.xyz'"):
        read_structures(tmp_path / "sett.xyz")
    with pytest.raises(StructureError, match="no such file"):
        read_structures(tmp_path / "nowhere" / "set.xyz")
    with pytest.raises(StructureError, match="is a folder"):
        read_structures(tmp_path)
    xyz.write_text("")
    with pytest.raises(StructureError, match="is empty"):
        read_structures(xyz)
    xyz.write_text("\n \n")
    with pytest.raises(StructureError, match="no structures"):
        read_structures(xyz)


@pytest.mark.parametrize(
    "name", ["notes.txt", "set.nonsense", "set.xyz", "set.traj", "set.json", "set.cif", "set.xyz.gz"]
)
def test_unreadable_content_is_refused_in_words(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x00\xffthis is no structure\n")
    with pytest.raises(StructureError, match=name):
        read_structures(path)


def test_no_truncation_of_an_extxyz_passes_unless_it_ends_with_a_frame(xyz: Path) -> None:
    """Cut anywhere but at the end of a frame or of the last number, the file is refused; nothing is lost in silence."""
    text = xyz.read_text()
    ends = [text.index("\n5\n") + 1, text.index("\n4\n") + 1, len(text)]
    for cut in set(range(1, len(text))) - {end - newline for end in ends for newline in (0, 1)}:
        xyz.write_text(text[:cut])
        with pytest.raises(StructureError, match=r"set\.xyz"):
            read_structures(xyz)
    for n, cut in enumerate(ends, start=1):
        xyz.write_text(text[:cut])
        assert len(read_structures(xyz)) == n


@pytest.mark.parametrize("name", ["set.traj", "set.json", "set.xyz.gz"])
def test_truncated_binary_and_compressed_files(tmp_path: Path, structures: list[Atoms], name: str) -> None:
    path = tmp_path / name
    ase.io.write(str(path), structures)
    data = path.read_bytes()
    for part in (0.3, 0.6, 0.95):
        path.write_bytes(data[: int(part * len(data))])
        with pytest.raises(StructureError, match=name):
            read_structures(path)


WATER_ROWS = "O 0.0 0.0 0.1\nH 0.0 0.8 0.7\nH 0.0 -0.8 0.7\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"3\n\n{WATER_ROWS}\n3\n\n{WATER_ROWS}", "line 6 is blank, and more follows on line 7"),
        (f"2\n\n{WATER_ROWS}", "line 5 is 'H 0.0 -0.8 0.7'; expected the number of atoms"),
        (f"4\n\n{WATER_ROWS}3\n\n{WATER_ROWS}", "line 6 (is|names the element) '3'"),
        (f"99999999999\n\n{WATER_ROWS}", "has 3 of 99999999999 atoms"),
        (f"-3\n\n{WATER_ROWS}", "expected a positive number"),
        ("3\n", "truncated"),
        (f"3\nProperties=species:S:1:position:R:3\n{WATER_ROWS}", "expected 'pos' .*did you mean 'position'"),
        (f"3\nProperties=specie:S:1:pos:R:3\n{WATER_ROWS}", "expected 'species'"),
        (f"3\n\n{WATER_ROWS.replace('0.7', 'high')}", "cannot be read as extxyz"),
        (f"3\n\n{WATER_ROWS.replace('O', 'Qq')}", "line 3 names the element 'Qq'"),
        (f"3\n\n{WATER_ROWS[:-3]}7", "accepted"),
    ],
)
def test_what_ase_would_drop_or_guess_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "water.xyz"
    path.write_text(text)
    if message == "accepted":
        assert len(read_structures(path)) == 1
        return
    with pytest.raises(StructureError, match=message):
        read_structures(path)


def test_trailing_blank_lines_and_cell_vectors_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "water.xyz"
    path.write_text(f"3\n\n{WATER_ROWS}VEC1 1 0 0\nVEC2 0 1 0\nVEC3 0 0 1\n3\n\n{WATER_ROWS}\n \n")
    assert len(read_structures(path)) == 2


def test_gzip_content_is_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "water.xyz.gz"
    path.write_bytes(gzip.compress(f"3\n\n{WATER_ROWS}3\n\nO 0 0 0\n".encode()))
    with pytest.raises(StructureError, match="has 1 of 3 atoms"):
        read_structures(path)


def test_warnings_of_a_reader_are_passed_on_as_ours(xyz: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    from hamlearn.structures import read as module

    def talkative(*args: object, **kwargs: object) -> list[Atoms]:
        warnings.warn("no unit given", UserWarning, stacklevel=1)
        warnings.warn("old call", DeprecationWarning, stacklevel=1)
        return [molecule("water")]

    monkeypatch.setattr(module, "read", talkative)
    with pytest.warns(HamlearnWarning, match="no unit given") as caught:
        read_structures(xyz)
    assert len(caught) == 1


def test_unknown_element_is_named_with_its_line(tmp_path):
    (tmp_path / "a.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0.7\n2\n\nH 0 0 0\nQq 0 0 0.7\n")
    with pytest.raises(StructureError, match="line 8 names the element 'Qq'; expected a chemical symbol"):
        read_structures(tmp_path / "a.xyz")
