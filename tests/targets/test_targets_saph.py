import numpy as np
import pytest
import scipy.linalg
from calculations import calculation, mole_of, nearest_level

from hamlearn.errors import BasisError
from hamlearn.targets import virtual_levels as flags
from hamlearn.targets.lowdin import inverse_root
from hamlearn.targets.minimal_basis import MinimalBasis, build_minimal_basis, n_core
from hamlearn.targets.saph import project_saph, to_nonorthogonal
from hamlearn.targets.virtual_levels import lowest_levels
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
MOLECULES = ["bent water", "carbon_dioxide", "hydrogen cyanide", "acetylene", "methane"]


def counts(record):
    core = sum(n_core(int(z)) for z in record.numbers)
    return {"n_core": core, "n_occupied": int(record.numbers.sum()) // 2 - core}


def saph_of(name, virtuals="lowest", kind="subset", basis="def2-SVP"):
    record = calculation(name, basis)
    minimal = build_minimal_basis(mole_of(record), record.overlap, kind)
    saph = project_saph(record.fock, record.overlap, minimal, virtuals=virtuals, **counts(record))
    return record, minimal, saph.matrix, saph.diagnostics


def cosines_of(name):
    """A = S_min^(-1/2) <minimal|level> of all levels but the core's, by scipy."""
    record = calculation(name, "def2-SVP")
    minimal = build_minimal_basis(mole_of(record), record.overlap, "subset")
    orbitals = scipy.linalg.eigh(record.fock, record.overlap)[1][:, counts(record)["n_core"] :]
    return np.linalg.inv(scipy.linalg.sqrtm(minimal.metric).real) @ minimal.overlap @ orbitals


@pytest.mark.parametrize("virtuals", ["lowest", "valence"])
@pytest.mark.parametrize("name", MOLECULES)
def test_matrix_is_the_fock_matrix_among_its_functions(name, virtuals):
    record = calculation(name, "def2-SVP")
    minimal = build_minimal_basis(mole_of(record), record.overlap, "subset")
    saph = project_saph(record.fock, record.overlap, minimal, virtuals=virtuals, **counts(record))
    functions = saph.functions
    np.testing.assert_allclose(functions.T @ record.overlap @ functions, np.eye(len(saph.matrix)), atol=EXACT * 100)
    np.testing.assert_allclose(functions.T @ record.fock @ functions, saph.matrix, atol=EXACT * 1000)
    likeness = minimal.overlap @ functions  # a polar factor makes it symmetric and positive
    np.testing.assert_allclose(likeness, likeness.T, atol=EXACT * 100)
    assert np.linalg.eigvalsh(likeness).min() > 0


@pytest.mark.parametrize("kind", ["subset", "minao"])
@pytest.mark.parametrize("name", [*MOLECULES, "ammonia"])
def test_eigenvalues_are_exact_levels_all_occupied_ones_among_them(name, kind):
    record, _, matrix, diagnostics = saph_of(name, kind=kind)
    levels, n = np.linalg.eigvalsh(matrix), counts(record)
    valence = record.orbital_energies[n["n_core"] :]
    np.testing.assert_allclose(levels[: n["n_occupied"]], valence[: n["n_occupied"]], atol=EXACT)
    assert nearest_level(levels, valence) < EXACT
    assert levels[n["n_occupied"]] == pytest.approx(valence[n["n_occupied"]], abs=EXACT)  # the true LUMO
    np.testing.assert_array_equal(matrix, matrix.T)
    assert len(diagnostics.projections) == len(diagnostics.singular_values) == len(matrix)
    assert np.all(np.diff(diagnostics.singular_values) <= 0)


@pytest.mark.parametrize(
    ("name", "plain", "repaired"),
    [
        ("water", 0.53, 0.53),
        ("ammonia", 0.50, 0.50),
        ("methane", 0.45, 0.45),
        ("ethene", 0.42, 0.42),
        ("acetylene", 0.20, 0.49),
        ("hydrogen cyanide", 0.19, 0.52),
        ("carbon_dioxide", 0.05, 0.43),
    ],
)
def test_levels_that_do_not_project_are_replaced(name, plain, repaired):
    """Smallest singular values of A with the lowest levels, and with those kept."""
    cosines = cosines_of(name)
    n_minimal = len(cosines)
    record, _, matrix, diagnostics = saph_of(name)
    lowest = record.orbital_energies[counts(record)["n_core"] :]
    kept = lowest_levels(lowest, cosines, counts(record)["n_occupied"])
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), kept.energies, atol=EXACT)
    if plain == repaired:
        assert np.linalg.eigvalsh(matrix) == pytest.approx(lowest[:n_minimal], abs=EXACT)
        assert diagnostics.flags == ()
        assert diagnostics.rejected_gap == pytest.approx(lowest[n_minimal] - lowest[n_minimal - 1], abs=EXACT)
    else:
        assert np.linalg.svd(cosines @ kept.mixing)[1][-1] == pytest.approx(repaired, abs=0.02)
        assert flags.SKIPPED in diagnostics.flags and flags.NO_LUMO not in diagnostics.flags
    assert np.linalg.svd(cosines[:, :n_minimal])[1][-1] == pytest.approx(plain, abs=0.02)


def test_benzene_whose_lowest_levels_have_the_wrong_symmetry():
    cosines = cosines_of("benzene")
    assert np.linalg.svd(cosines[:, :30])[1][-1] < 1e-4
    record, _, matrix, diagnostics = saph_of("benzene")
    levels = np.linalg.eigvalsh(matrix)
    assert nearest_level(levels, record.orbital_energies) < EXACT
    np.testing.assert_allclose(levels[:18], record.orbital_energies[6:24], atol=EXACT)
    assert diagnostics.singular_values[-1] > 0.1
    assert diagnostics.flags == (flags.SKIPPED,)


@pytest.mark.parametrize("name", [*MOLECULES, "benzene"])
def test_valence_virtuals(name):
    """Occupied levels are exact, and the space is close to the minimal basis: cosines of at least 0.87."""
    record, _, matrix, diagnostics = saph_of(name, virtuals="valence")
    n = counts(record)
    levels, valence = np.linalg.eigvalsh(matrix), record.orbital_energies[n["n_core"] :]
    np.testing.assert_allclose(levels[: n["n_occupied"]], valence[: n["n_occupied"]], atol=EXACT)
    assert np.all(levels[n["n_occupied"] :] > valence[n["n_occupied"]] - EXACT)  # interlacing: never below the LUMO
    assert levels[n["n_occupied"]] > valence[n["n_occupied"]] + 1e-3
    assert diagnostics.projections.min() > 0.87
    assert diagnostics.rejected_gap == np.inf and diagnostics.flags == ()


@pytest.mark.parametrize("virtuals", ["lowest", "valence"])
def test_nonorthogonal_form_has_the_same_levels(virtuals):
    _, minimal, matrix, _ = saph_of("bent water", virtuals)
    nonorthogonal = to_nonorthogonal(matrix, minimal.metric)
    levels = scipy.linalg.eigh(nonorthogonal, minimal.metric, eigvals_only=True)
    np.testing.assert_allclose(levels, np.linalg.eigvalsh(matrix), atol=EXACT)
    assert np.abs(nonorthogonal - matrix).max() > 0.01


def test_a_basis_that_is_minimal_already_keeps_every_level_but_the_core():
    record, _, matrix, diagnostics = saph_of("bent water", basis="sto-3g")
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), record.orbital_energies[1:], atol=EXACT)
    assert diagnostics.rejected_gap == np.inf


@pytest.mark.parametrize("virtuals", ["lowest", "valence"])
def test_an_atom_without_virtual_levels(virtuals):
    record, _, matrix, diagnostics = saph_of("neon", virtuals)
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), record.orbital_energies[1:5], atol=EXACT)
    assert diagnostics.flags == ()


def test_the_polar_factor_is_the_orthonormal_basis_closest_to_the_projections():
    """Levels are mapped on orthonormal vectors W; |W - V| is smallest for the polar factor of V."""
    record, minimal, matrix, _ = saph_of("bent water")
    orbitals = scipy.linalg.eigh(record.fock, record.overlap)[1][:, 1:7]
    projected = minimal.overlap @ orbitals
    vectors = np.linalg.eigh(matrix)[1]
    polar = vectors * np.sign(np.einsum("ij,ij->j", vectors, projected))
    np.testing.assert_allclose(polar, scipy.linalg.polar(projected)[0], atol=1e-10)


def test_functions_that_are_no_valence_functions_are_said():
    """The second s contraction of oxygen in def2-TZVP is a core function still; minao is not misled."""
    _, _, _, diagnostics = saph_of("bent water", basis="def2-TZVP")
    assert flags.WEAK_OCCUPIED in diagnostics.flags
    _, _, _, diagnostics = saph_of("bent water", kind="minao", basis="def2-TZVP")
    assert diagnostics.flags == ()


def test_no_room_for_the_occupied_levels():
    record = calculation("bent water")
    minimal = MinimalBasis(record.overlap[:3], record.overlap[:3, :3])
    with pytest.raises(BasisError, match="minimal basis of 3 functions was to hold 4 occupied valence levels out of 6"):
        project_saph(record.fock, record.overlap, minimal, **counts(record))


def test_more_functions_than_levels():
    record = calculation("bent water")
    minimal = MinimalBasis(record.overlap, record.overlap)
    with pytest.raises(BasisError, match=r"minimal basis of 7 functions.*out of 6 levels"):
        project_saph(record.fock, record.overlap, minimal, **counts(record))


@pytest.mark.parametrize("virtuals", ["lowest", "valence"])
def test_occupied_levels_outside_the_minimal_basis_are_refused(virtuals):
    """Six functions that hold the core level but not the 1b1 lone pair."""
    record = calculation("water", "sto-3g")
    orbitals = scipy.linalg.eigh(record.fock, record.overlap)[1]
    space = orbitals[:, [0, 1, 2, 3, 5, 6]].T @ record.overlap
    with pytest.raises(BasisError, match="do not span"):
        project_saph(record.fock, record.overlap, MinimalBasis(space, np.eye(6)), virtuals=virtuals, **counts(record))


def test_a_linearly_dependent_minimal_basis_is_refused():
    record = calculation("bent water")
    index = [1, 2, 3, 4, 5, 5]
    minimal = MinimalBasis(record.overlap[index], record.overlap[np.ix_(index, index)])
    with pytest.raises(BasisError, match="linearly dependent"):
        project_saph(record.fock, record.overlap, minimal, **counts(record))
    with pytest.raises(BasisError):
        inverse_root(minimal.metric)
