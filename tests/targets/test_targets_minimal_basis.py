import numpy as np
import pytest
from calculations import calculation, mole_of

from hamlearn.angular.ao_order import Orbitals
from hamlearn.errors import BasisError
from hamlearn.targets.full_basis import basis_orbitals
from hamlearn.targets.minimal_basis import build_minimal_basis, minimal_orbitals, n_core, valence_shells
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


@pytest.mark.parametrize(
    ("number", "shells", "core"),
    [
        (1, ((1, 0),), 0),
        (2, ((1, 0),), 0),
        (3, ((2, 0), (2, 1)), 1),
        (6, ((2, 0), (2, 1)), 1),
        (7, ((2, 0), (2, 1)), 1),
        (8, ((2, 0), (2, 1)), 1),
        (9, ((2, 0), (2, 1)), 1),
        (11, ((3, 0), (3, 1)), 5),
        (15, ((3, 0), (3, 1)), 5),
        (16, ((3, 0), (3, 1)), 5),
        (17, ((3, 0), (3, 1)), 5),
        (35, ((4, 0), (4, 1)), 14),
        (36, ((4, 0), (4, 1)), 14),
        (53, ((5, 0), (5, 1)), 23),
        (82, ((6, 0), (6, 1)), 39),
    ],
)
def test_valence_and_core_follow_from_the_period(number, shells, core):
    assert valence_shells(number) == shells
    assert n_core(number) == core


@pytest.mark.parametrize("number", [21, 26, 30, 39, 48, 58, 79])
def test_d_and_f_elements_are_refused_in_words(number):
    with pytest.raises(BasisError, match=r"d or f element.*target kind fock or lowdin"):
        valence_shells(number)
    with pytest.raises(BasisError, match="d or f element"):
        n_core(number)


def test_subset_of_def2_svp_is_the_first_valence_contraction():
    """Positions within an atom: H 0; O 1, 3, 4, 5 (second s, first p)."""
    record = calculation("bent water", "def2-SVP")
    minimal = build_minimal_basis(mole_of(record), record.overlap, "subset")
    index = [1, 3, 4, 5, 14, 19]
    np.testing.assert_array_equal(minimal.overlap, record.overlap[index])
    np.testing.assert_array_equal(minimal.metric, record.overlap[np.ix_(index, index)])


def test_third_row_takes_3s_3p():
    orbitals = minimal_orbitals("subset", "def2-SVP", [17, 16, 1, 6])
    assert orbitals.shells[16] == orbitals.shells[17] == ((3, 0), (3, 1))
    mole = mole_of(calculation("chloromethane", "def2-SVP"))
    labels = mole.ao_labels(fmt=None)
    full = Orbitals.from_mole(mole)
    index = full.subset_index(orbitals.shells, [6, 17, 1, 1, 1])
    assert [labels[i][2] for i in index] == ["2s", *["2p"] * 3, "3s", *["3p"] * 3, "1s", "1s", "1s"]


def test_minao_is_normalised_and_close_to_the_occupied_levels():
    record = calculation("bent water", "def2-SVP")
    minimal = build_minimal_basis(mole_of(record), record.overlap, "minao")
    assert minimal_orbitals("minao", "def2-SVP", [1, 8]).shells == {1: ((1, 0),), 8: ((2, 0), (2, 1))}
    np.testing.assert_allclose(np.diag(minimal.metric), 1, atol=1e-6)
    # squared length of each minimal function inside the full basis
    inside = np.einsum("ij,ij->i", minimal.overlap @ np.linalg.inv(record.overlap), minimal.overlap)
    assert np.all((inside > 0.98) & (inside < 1 + 1e-6))


def test_minao_as_basis_of_the_calculation_is_its_own_subset():
    record = calculation("bent water", "minao")
    subset, minao = (build_minimal_basis(mole_of(record), record.overlap, kind) for kind in ("subset", "minao"))
    np.testing.assert_allclose(subset.overlap, minao.overlap, atol=EXACT)
    np.testing.assert_allclose(subset.metric, minao.metric, atol=EXACT)


def test_minao_has_no_empty_p_shells_and_the_subset_needs_them():
    assert minimal_orbitals("minao", "def2-SVP", [3]).shells == {3: ((2, 0),)}
    with pytest.raises(BasisError, match=r"basis 'minao' has no 2p function on Li.*choose a larger basis"):
        minimal_orbitals("subset", "minao", [3])


def test_orbitals_of_a_basis_do_not_depend_on_other_elements():
    both, alone = basis_orbitals("def2-SVP", [8, 1, 1]), basis_orbitals("def2-SVP", [8])
    assert list(both.shells) == [1, 8]
    assert both.shells[8] == alone.shells[8] and both.ao_index[8] == alone.ao_index[8]


def test_cartesian_functions_are_refused_in_words():
    from pyscf import gto

    mole = gto.M(atom="Ne", basis="def2-svp", cart=True, verbose=0, parse_arg=False)
    with pytest.raises(BasisError, match=r"Cartesian.*cart=False"):
        build_minimal_basis(mole, mole.intor("int1e_ovlp"), "subset")


def test_element_without_minao():
    with pytest.raises(BasisError, match="no basis 'minao' for K"):
        minimal_orbitals("minao", "def2-SVP", [19])
