import ase.build
import numpy as np
import pytest
from ase import Atoms

from hamlearn.errors import StructureError
from hamlearn.structures import check_structures, distort, invert, molecule, random_rotation, rotate, translate


def bad(**changes: object) -> Atoms:
    atoms = molecule("water")
    for name, value in changes.items():
        setattr(atoms, name, value)
    return atoms


def with_position(value: float) -> Atoms:
    atoms = molecule("water")
    atoms.positions[1, 2] = value
    return atoms


def charged(charge: object) -> Atoms:
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 0.96]])
    atoms.info["charge"] = charge
    return atoms


def said(**info: object) -> Atoms:
    atoms = molecule("methane")
    atoms.info.update(info)
    return atoms


def with_initial(name: str, values: list[float]) -> Atoms:
    atoms = molecule("water")
    atoms.set_array(f"initial_{name}", np.array(values))
    return atoms


BAD = {
    "triplet": (said(multiplicity=3), "multiplicity 3: 2 unpaired electrons; method RHF takes only closed shells"),
    "text": (said(multiplicity="singlet"), "multiplicity singlet: expected a whole number"),
    "two spins": (said(spin=2), r"spin 2 may be the multiplicity, 2S or S \(multiplicity 3 or 5\)"),
    "spin or multiplicity": (said(spin=1), r"spin 1 may be .* \(multiplicity 1 or 3\); call it multiplicity"),
    "contradictory": (said(spin=2, multiplicity=1), "multiplicity 1 contradicts spin 2"),
    "a charge of half": (said(charge=0.5), "charge 0.5: expected a whole number of elementary charges"),
    "moments": (with_initial("magmoms", [1, -1, 0]), "has moments that cancel"),
    "nan": (with_position(np.nan), "coordinates of atom 1 are NaN or infinite"),
    "infinite": (with_position(-np.inf), "coordinates of atom 1 are NaN or infinite"),
    "overlap": (Atoms("OHH", [[0, 0, 0], [0, 0, 0.96], [0, 0.1, 1.1]]), r"atoms 1 and 2 overlap: 0\.172 Å"),
    "same place": (Atoms("He2"), r"atoms 0 and 1 overlap: 0\.000 Å"),
    "odd": (Atoms("OH", [[0, 0, 0], [0, 0, 0.96]]), "9 electrons, an odd number"),
    "charged": (charged(-2), r"11 electrons with charge -2, an odd number"),
    "odd charge": (charged("none"), "charge none: expected a whole number"),
    "ghost": (Atoms("OXH", [[0, 0, 0], [0, 0, 1], [0, 1, 0]]), "atom 1 is no element .*atomic number 0"),
    "too heavy": (Atoms([92], [[0, 0, 0]]), "atomic number 92, expected 1 to 86"),
    "empty": (Atoms(), "no atoms"),
    "periodic": (bad(cell=[5, 5, 5], pbc=[True, False, False]), "periodic, expected a molecule: set pbc"),
}


BAD_SHELLS = [*BAD.values()][:7]


@pytest.mark.parametrize("kind", BAD)
def test_each_bad_structure_is_refused(kind: str) -> None:
    atoms, reason = BAD[kind]
    with pytest.raises(StructureError, match=reason) as caught:
        check_structures([molecule("water"), atoms, molecule("methane")], source="set.xyz")
    assert str(caught.value).startswith("set.xyz: 1 of 3 structures cannot be used (counted from 0): 1\n")


def test_all_bad_indices_and_reasons_are_in_one_error() -> None:
    structures = [molecule("water"), *(atoms for atoms, _ in BAD.values()), molecule("water")]
    with pytest.raises(StructureError, match=f": 1-{len(BAD)}\n") as caught:
        check_structures(structures)
    assert len(str(caught.value).splitlines()) == len(BAD) + 2


def test_several_reasons_of_one_structure_are_all_named() -> None:
    atoms = Atoms("OH", pbc=True)
    with pytest.raises(StructureError, match=r"9 electrons.*; periodic.*; atoms 0 and 1 overlap"):
        check_structures([atoms])


def test_many_bad_structures_give_all_indices_and_a_short_text() -> None:
    odd, good = Atoms("H", [[0, 0, 0]]), molecule("water")
    structures = [good, *[odd] * 500, good, odd, good]
    with pytest.raises(StructureError, match=r"501 of 504 .*: 1-500, 502\n") as caught:
        check_structures(structures)
    assert len(str(caught.value).splitlines()) <= 21
    assert "... and 483 more" in str(caught.value)


def test_good_structures_pass() -> None:
    shortest = Atoms("H2", [[0, 0, 0], [0, 0, 0.31]])
    neutral = molecule("water")
    neutral.info["charge"] = np.float64(0)
    singlets = [said(multiplicity=1), said(spin=0), said(spin=1, multiplicity=1), said(spin=0.0, multiplicity=1)]
    partial = with_initial("charges", [-0.8, 0.41, 0.4])
    check_structures([*singlets, partial, with_initial("magmoms", [0, 0, 0])])
    for atoms, _ in BAD_SHELLS:
        check_structures([atoms], closed_shell=False)
    check_structures([*map(molecule, ("water", "methane", "C60")), shortest, neutral, ase.build.molecule("CH3OH")])


def test_no_structures_are_refused() -> None:
    with pytest.raises(StructureError, match="no structures were given"):
        check_structures([])


def test_the_verdict_is_invariant() -> None:
    rng = np.random.default_rng(3)
    overlap = BAD["overlap"][0]
    for atoms in (rotate(overlap, random_rotation(rng)), invert(overlap), translate(overlap, [5, -3, 1e4])):
        with pytest.raises(StructureError, match="atoms 1 and 2 overlap"):
            check_structures([atoms])
    check_structures([distort(molecule("benzene"), 0.05, rng) for _ in range(20)])
