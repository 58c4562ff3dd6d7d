"""The geometries shipped in data/ are what data/README.md says."""

from collections import Counter
from pathlib import Path

from hamlearn.structures import check_structures, read_structures

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
