from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from ase import Atoms
from calculations import BENT_WATER, PEROXIDE, calculate, calculation, mole_of, nearest_level
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.config import PropertyTarget, QMSettings, TargetSettings
from hamlearn.errors import ArtifactError, BasisError, ConfigError
from hamlearn.qm import GUESSES
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.targets import build_target, n_occupied, predict_side, project_matrix, target_orbitals
from hamlearn.targets.minimal_basis import build_minimal_basis
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
EQUIVARIANCE = TOLERANCE["float64"]["equivariance"]
SCF = TOLERANCE["float64"]["scf"]
KINDS = {
    "fock": TargetSettings(kind="fock"),
    "lowdin": TargetSettings(kind="lowdin"),
    "saph": TargetSettings(),
    "valence": TargetSettings(virtuals="valence"),
    "minao": TargetSettings(minimal_basis="minao"),
    "nonorthogonal": TargetSettings(form="nonorthogonal"),
}
every_kind = pytest.mark.parametrize("settings_", KINDS.values(), ids=KINDS.keys())


def with_delta(target_settings, delta):
    return target_settings.model_copy(update={"delta": delta})


def levels_of(target):
    return scipy.linalg.eigh(target.full, target.metric, eigvals_only=True)


@every_kind
@pytest.mark.parametrize("delta", ["none", *GUESSES])
def test_full_matrix_has_the_levels_of_the_molecule(settings_, delta):
    record = calculation("bent water", "6-31g*", GUESSES)
    target = build_target(record, with_delta(settings_, delta))
    levels = levels_of(target)
    if settings_.kind != "saph":
        np.testing.assert_allclose(levels, record.orbital_energies, atol=1e-10)
    elif settings_.virtuals == "lowest":
        assert nearest_level(levels, record.orbital_energies) < 1e-10
    core = 1 if settings_.kind == "saph" else 0
    assert target.n_occupied == 5 - core
    np.testing.assert_allclose(levels[: target.n_occupied], record.orbital_energies[core:5], atol=1e-10)
    assert (target.diagnostics is not None) == (settings_.kind == "saph")


@every_kind
@pytest.mark.parametrize("delta", GUESSES)
def test_delta_is_the_difference_to_the_same_target_of_the_guess(settings_, delta):
    record = calculation("bent water", "6-31g*", GUESSES)
    plain, learned = build_target(record, settings_), build_target(record, with_delta(settings_, delta))
    of_guess = build_target(replace(record, fock=record.guess_focks[delta]), settings_)
    assert plain.baseline is None
    np.testing.assert_array_equal(learned.baseline, of_guess.matrix)
    np.testing.assert_array_equal(plain.full, plain.matrix)
    np.testing.assert_allclose(levels_of(learned), levels_of(plain), atol=EXACT)
    if settings_.kind != "saph" or settings_.virtuals == "valence":
        np.testing.assert_array_equal(learned.matrix, plain.matrix - of_guess.matrix)


def test_lowest_levels_follow_those_of_the_guess():
    """By scipy alone: guess -> its functions -> the converged levels that project on them, in order of energy."""
    record = calculation("bent water", "6-31g*", GUESSES)
    minimal = build_minimal_basis(mole_of(record), record.overlap, "subset")
    _, orbitals = scipy.linalg.eigh(record.guess_focks["sto-3g"], record.overlap)
    kept = orbitals[:, 1:7]  # behind the core of oxygen, as many as the minimal basis has functions
    polar = scipy.linalg.polar(minimal.overlap @ kept)[0]
    functions = kept @ polar.T
    energies, orbitals = scipy.linalg.eigh(record.fock, record.overlap)
    polar = scipy.linalg.polar(functions.T @ record.overlap @ orbitals[:, 1:7])[0]
    expected = (polar * energies[1:7]) @ polar.T
    np.testing.assert_allclose(build_target(record, TargetSettings(delta="sto-3g")).full, expected, atol=1e-10)


def test_a_level_that_guess_and_molecule_both_lose_is_no_jump():
    """Stretching acetylene by 0.04 Å swaps a level of the SAPH; the difference to a SAPH of its own jumps with it."""
    full, baseline, learned = [], [], []
    for bond in (1.325, 1.3625):
        acetylene = Atoms("HCCH", [[0, 0, -1.06], [0, 0, 0], [0, 0, bond], [0, 0, bond + 1.06]])
        record = calculate(acetylene, "def2-SVP", ("sto-3g",))
        target = build_target(record, TargetSettings(delta="sto-3g"))
        full.append(build_target(record, TargetSettings()).matrix)
        baseline.append(target.baseline)
        learned.append(target.matrix)
    steps = [np.abs(b - a).max() for a, b in (full, baseline, learned, np.subtract(full, baseline))]
    assert steps[2] < 0.01 < 0.2 < steps[3]  # Hartree


def test_delta_of_lowdin_is_the_orthogonalised_difference():
    record = calculation("bent water", "6-31g*", GUESSES)
    half = np.linalg.inv(scipy.linalg.sqrtm(record.overlap).real)
    target = build_target(record, TargetSettings(kind="lowdin", delta="minao"))
    np.testing.assert_allclose(
        target.matrix, half @ (record.fock - record.guess_focks["minao"]) @ half, atol=EQUIVARIANCE
    )


def test_a_guess_is_closer_than_nothing():
    record = calculation("bent water", "6-31g*", GUESSES)
    sizes = {d: np.linalg.norm(build_target(record, TargetSettings(delta=d)).matrix) for d in ("none", "minao", "atom")}
    assert max(sizes["minao"], sizes["atom"]) < 0.4 * sizes["none"]


@every_kind
@pytest.mark.parametrize("delta", ["none", *GUESSES])
def test_prediction_builds_the_same_side(settings_, delta):
    """Metric and baseline from the geometry alone equal those of the calculation."""
    record = calculation("bent water", "6-31g*", GUESSES)
    settings_ = with_delta(settings_, delta)
    target = build_target(record, settings_)
    qm = QMSettings(basis="6-31g*")
    metric, baseline = predict_side(record.numbers, record.positions, qm, settings_)
    for found, expected in ((metric, target.metric), (baseline, target.baseline)):
        assert (found is None) == (expected is None)
        if expected is not None:
            np.testing.assert_allclose(found, expected, atol=EQUIVARIANCE)


@every_kind
@pytest.mark.parametrize("proper", [True, False])
@pytest.mark.parametrize("atoms", [BENT_WATER, PEROXIDE], ids=["water", "peroxide"])
def test_equivariant_when_the_rotated_molecule_is_computed_anew(settings_, proper, atoms):
    rng = np.random.default_rng(5)
    rotation = random_rotation(rng) * (1 if proper else -1)
    record = calculation("bent water" if atoms is BENT_WATER else "peroxide", "6-31g*", GUESSES)
    turned = calculate(rotate(atoms, rotation), "6-31g*", GUESSES)
    t = ao_rotation(build_target(record, settings_).orbitals, record.numbers, rotation)
    for delta in ("minao", "sto-3g"):
        before, after = (build_target(each, with_delta(settings_, delta)) for each in (record, turned))
        for name in ("matrix", "baseline", "metric"):
            if getattr(before, name) is not None:
                np.testing.assert_allclose(getattr(after, name), t @ getattr(before, name) @ t.T, atol=10 * SCF)


@every_kind
@pytest.mark.parametrize("delta", ["none", "sto-3g"])
@pytest.mark.parametrize("name", ["carbon_dioxide", "methane"])
@settings(derandomize=True, max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_equivariant_with_degenerate_levels(settings_, delta, name, seed):
    """F and S of symmetric molecules, rotated exactly: the target does not see how degenerate orbitals are mixed."""
    record, settings_ = calculation(name, "def2-SVP", GUESSES), with_delta(settings_, delta)
    rng = np.random.default_rng(seed)
    rotation = random_rotation(rng) * rng.choice([1, -1])
    t_full = ao_rotation(Orbitals.from_mole(mole_of(record)), record.numbers, rotation)
    turned = replace(
        record,
        positions=record.positions @ rotation.T,
        fock=t_full @ record.fock @ t_full.T,
        overlap=t_full @ record.overlap @ t_full.T,
        guess_focks={guess: t_full @ fock @ t_full.T for guess, fock in record.guess_focks.items()},
    )
    before, after = build_target(record, settings_), build_target(turned, settings_)
    t = ao_rotation(before.orbitals, before.numbers, rotation)
    np.testing.assert_allclose(after.matrix, t @ before.matrix @ t.T, atol=EQUIVARIANCE)
    if before.diagnostics is not None:
        np.testing.assert_allclose(
            after.diagnostics.singular_values, before.diagnostics.singular_values, atol=EQUIVARIANCE
        )
        np.testing.assert_allclose(after.diagnostics.projections, before.diagnostics.projections, atol=EQUIVARIANCE)
        assert after.diagnostics.flags == before.diagnostics.flags


@every_kind
def test_permuted_atoms_permute_the_matrix(settings_):
    order = [3, 1, 0, 2]
    before = build_target(calculation("peroxide", "6-31g*", ("minao",)), settings_)
    after = build_target(calculate(permute(PEROXIDE, order), "6-31g*", ("minao",)), settings_)
    index = ao_permutation(before.orbitals, before.numbers, order)
    np.testing.assert_array_equal(after.numbers, before.numbers[order])
    np.testing.assert_allclose(after.matrix, before.matrix[np.ix_(index, index)], atol=SCF)


def test_metrics():
    record = calculation("bent water", "6-31g*", GUESSES)
    assert build_target(record, KINDS["saph"]).metric is None
    assert build_target(record, KINDS["lowdin"]).metric is None
    np.testing.assert_array_equal(build_target(record, KINDS["fock"]).metric, record.overlap)
    index = [1, 3, 4, 5, 14, 16]
    np.testing.assert_array_equal(
        build_target(record, KINDS["nonorthogonal"]).metric, record.overlap[np.ix_(index, index)]
    )


@every_kind
def test_orbitals_are_known_before_any_calculation(settings_):
    record = calculation("chloromethane", "def2-SVP")
    target = build_target(record, settings_)
    assert target.orbitals == target_orbitals(settings_, "def2-SVP", [1, 17, 6])
    assert target.orbitals.n_ao(target.numbers) == len(target.matrix)
    assert target.n_occupied == n_occupied(record.numbers, settings_) == (7 if settings_.kind == "saph" else 13)


def test_orbitals_refuse_what_has_no_minimal_basis():
    with pytest.raises(BasisError, match="Fe is a d or f element"):
        target_orbitals(KINDS["saph"], "def2-SVP", [1, 26])
    assert 26 in target_orbitals(KINDS["lowdin"], "def2-SVP", [1, 26]).shells
    with pytest.raises(BasisError, match="no basis 'nonsense'"):
        target_orbitals(KINDS["fock"], "nonsense", [1])


@every_kind
def test_cartesian_functions_are_refused_by_every_kind(settings_):
    from pyscf import gto

    mole = gto.M(atom="Ne", basis="def2-svp", cart=True, verbose=0, parse_arg=False)
    overlap = mole.intor("int1e_ovlp")
    with pytest.raises(BasisError, match="Cartesian"):
        project_matrix(overlap, overlap, mole, settings_)


def test_a_nearly_singular_overlap_is_refused():
    record = calculation("bent water")
    values, vectors = np.linalg.eigh(record.overlap)
    values[0] = 5e-9
    singular = replace(record, overlap=(vectors * values) @ vectors.T)
    with pytest.raises(BasisError, match="linearly dependent"):
        build_target(singular, KINDS["lowdin"])


def test_a_missing_guess_is_named():
    record = calculation("bent water")
    with pytest.raises(ArtifactError, match="needs the Fock matrix of guess 'atom', the calculation kept: minao;"):
        build_target(record, TargetSettings(delta="atom"))


def test_flags_of_the_guess_are_passed_on():
    record = calculation("carbon_dioxide", "def2-SVP", GUESSES)
    of_guess = build_target(replace(record, fock=record.guess_focks["minao"]), TargetSettings()).diagnostics
    delta = build_target(record, TargetSettings(delta="minao")).diagnostics
    assert of_guess.flags and delta.flags[-len(of_guess.flags) :] == tuple(f"guess minao: {f}" for f in of_guess.flags)
    assert not any(flag.startswith("guess") for flag in delta.flags[: -len(of_guess.flags)])
    np.testing.assert_array_equal(delta.singular_values, of_guess.singular_values)  # what the minimal basis holds
    np.testing.assert_array_equal(delta.projections, of_guess.projections)
    valence = TargetSettings(virtuals="valence")
    plain, delta = (build_target(record, with_delta(valence, d)).diagnostics for d in ("none", "minao"))
    np.testing.assert_array_equal(plain.singular_values, delta.singular_values)


def test_levels_of_a_guess_without_screening_are_not_followed():
    """Those of hydrogen fluoride's core Hamiltonian are others: following them loses the LUMO and 17 eV of the gap."""
    record = calculate(Atoms("FH", [[0, 0, 0], [0, 0, 0.92]]), "def2-SVP", GUESSES)
    plain = build_target(record, TargetSettings())
    for delta in GUESSES:
        target = build_target(record, TargetSettings(delta=delta))
        np.testing.assert_allclose(levels_of(target), levels_of(plain), atol=1e-10)


def test_nonorthogonal_delta_is_that_of_the_orthogonal_one():
    record = calculation("bent water", "6-31g*", GUESSES)
    orthogonal, other = (
        build_target(record, TargetSettings(delta="sto-3g", form=f)) for f in ("orthogonal", "nonorthogonal")
    )
    half = scipy.linalg.sqrtm(other.metric).real
    np.testing.assert_allclose(other.matrix, half @ orthogonal.matrix @ half, atol=EQUIVARIANCE)


@pytest.mark.parametrize(
    ("record", "target", "words"),
    [
        (None, "saph", "settings is a str, expected SaphTarget"),
        (None, PropertyTarget(key="energy"), "settings is a PropertyTarget, .*PropertyModel"),
        ("water", TargetSettings(), "record is a str, expected a QMRecord"),
    ],
)
def test_what_is_no_record_and_no_matrix_is_refused(record, target, words):
    with pytest.raises(ConfigError, match=words):
        build_target(record or calculation("bent water"), target)
