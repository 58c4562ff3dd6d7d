"""One calculation against PySCF run on its own; guesses; the ladder; symmetry."""

import warnings

import numpy as np
import pytest
import scipy.linalg
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from pyscf import dft, gto, scf
from pyscf.scf import hf
from scipy.spatial.transform import Rotation

import hamlearn.qm.scf as module
from hamlearn.config import QMSettings
from hamlearn.errors import BasisError, ConfigError, SCFError, StructureError
from hamlearn.qm.calculation import run_scf
from hamlearn.qm.campaign import check_campaign
from hamlearn.qm.guess import GUESSES, SMALL_BASIS_TOLERANCE, guess_fock, start_density
from hamlearn.qm.method import mean_field, no_checkpoint_files
from hamlearn.qm.molecule import build_mole
from hamlearn.qm.scf import converge
from hamlearn.testing import TOLERANCE
from hamlearn.units import BOHR_ANGSTROM

EXACT, EQUIVARIANCE, SCF = (TOLERANCE["float64"][kind] for kind in ("exact", "equivariance", "scf"))
STO3G = QMSettings(basis="STO-3G")
PBE = QMSettings(method="RKS", xc="pbe", basis="STO-3G")
GUESS_KEYS = {"minao": "minao", "atom": "atom", "core": "hcore"}


def bohr(atoms):
    return atoms.numbers, atoms.positions / BOHR_ANGSTROM


def bare_mole(numbers, positions, basis):
    return gto.M(atom=list(zip(numbers.tolist(), positions.tolist(), strict=True)), unit="Bohr", basis=basis, verbose=0)


def bare_field(mole, chosen):
    field = scf.RHF(mole) if chosen.method == "RHF" else dft.RKS(mole, xc=chosen.xc)
    field.conv_tol = chosen.conv_tol
    return field


def pyscf_guess(field, name):
    with warnings.catch_warnings(), no_checkpoint_files():
        warnings.simplefilter("ignore", DeprecationWarning)  # PySCF's atoms call a function it is about to drop
        return field.get_init_guess(key=GUESS_KEYS[name])


def levels(fock, overlap):
    return scipy.linalg.eigh(fock, overlap, eigvals_only=True)


@pytest.mark.parametrize("chosen", [STO3G, QMSettings(), PBE, QMSettings(basis="STO-3G", guess="atom")])
def test_record_is_what_pyscf_gives(water, chosen):
    numbers, positions = bohr(water)
    record = run_scf(numbers, positions, chosen)
    field = bare_field(bare_mole(numbers, positions, chosen.basis), chosen)
    field.kernel(dm0=pyscf_guess(field, chosen.guess))
    assert np.abs(record.fock - field.get_fock()).max() < EXACT * 10
    assert np.abs(record.overlap - field.get_ovlp()).max() < EXACT
    assert abs(record.energy - field.e_tot) < EXACT * 100
    assert np.abs(record.dipole - field.dip_moment(unit="AU", verbose=0)).max() < SCF
    assert record.occupations.tolist() == field.mo_occ.tolist()
    assert np.array_equal(record.numbers, numbers)
    assert np.array_equal(record.positions, positions)
    assert record.provenance["cycles"] == field.cycles
    assert record.provenance["attempt"] == "diis"


def test_levels_belong_to_the_stored_fock_matrix(water):
    record = run_scf(*bohr(water), QMSettings(basis="6-31G", conv_tol=1e-7))
    assert np.abs(record.orbital_energies - levels(record.fock, record.overlap)).max() < EXACT
    field = bare_field(bare_mole(*bohr(water), "6-31G"), QMSettings(basis="6-31G", conv_tol=1e-7))
    field.kernel()
    assert np.abs(record.orbital_energies - levels(field.get_fock(), field.get_ovlp())).max() < EXACT * 100
    assert np.abs(record.orbital_energies - field.mo_energy).max() > 1e-9  # those of the cycle before


def test_no_fock_matrix_is_built_beyond_those_of_the_scf(water, monkeypatch):
    built = []
    original = hf.SCF.get_veff
    monkeypatch.setattr(hf.SCF, "get_veff", lambda self, *a, **k: built.append(1) or original(self, *a, **k))
    record = run_scf(*bohr(water), STO3G)
    assert len(built) == record.provenance["cycles"] + 2  # the guess and PySCF's own last check


@pytest.mark.parametrize("chosen", [STO3G, PBE])
def test_guess_focks_are_those_of_pyscf(water, chosen):
    numbers, positions = bohr(water)
    record = run_scf(numbers, positions, chosen, guess_focks=("core", "atom", "atom"))
    field = bare_field(bare_mole(numbers, positions, chosen.basis), chosen)
    assert sorted(record.guess_focks) == ["atom", "core", "minao"]
    for name in ("minao", "atom"):
        expected = field.get_fock(dm=pyscf_guess(field, name))
        assert np.abs(record.guess_focks[name] - expected).max() < EXACT * 10
    assert np.abs(record.guess_focks["core"] - field.get_hcore()).max() < EXACT


@pytest.mark.parametrize("chosen", [STO3G, PBE])
@pytest.mark.parametrize("name", GUESSES)
def test_prediction_rebuilds_the_stored_guess(water, chosen, name):
    chosen = chosen.model_copy(update={"guess": name})
    record = run_scf(*bohr(water), chosen)
    rebuilt = guess_fock(build_mole(*bohr(water), chosen.basis), chosen, name)
    assert np.abs(rebuilt - record.guess_focks[name]).max() < EXACT * (1000 if name == "sto-3g" else 10)
    assert list(record.guess_focks) == [name]


@pytest.mark.parametrize("symbols", ["OHH", "PHHH", "BrH", "CaO", "ZnO"])
def test_start_densities_are_those_of_pyscf(symbols):
    atoms = Atoms(symbols, np.array([[0, 0, 0.1], [0, 0.9, 1.4], [0.8, 0, -1.3], [-1, -1, 0.2]])[: len(Atoms(symbols))])
    field = mean_field(build_mole(*bohr(atoms), "def2-SVP"), QMSettings())
    for name in ("minao", "atom"):
        difference = start_density(field, "def2-SVP", name) - pyscf_guess(field, name)
        assert np.abs(difference).max() < SCF


@pytest.mark.parametrize("chosen", [QMSettings(), PBE.model_copy(update={"basis": "def2-SVP"})])
def test_small_basis_guess_is_its_converged_density_in_the_basis(water, chosen):
    numbers, positions = bohr(water)
    mole, small = (build_mole(numbers, positions, basis) for basis in (chosen.basis, "sto-3g"))
    overlap, cross = mole.intor("int1e_ovlp"), gto.intor_cross("int1e_ovlp", mole, small)
    field = scf.RHF(small).set(conv_tol=1e-12)
    field.kernel()
    occupied = np.linalg.solve(overlap, cross @ field.mo_coeff[:, :5])
    polar = scipy.linalg.sqrtm(np.linalg.inv(occupied.T @ overlap @ occupied)).real
    expected = 2 * (occupied @ polar) @ (occupied @ polar).T
    density = np.asarray(start_density(mean_field(mole, chosen), chosen.basis, "sto-3g"))
    assert np.abs(density - expected).max() < SCF
    assert np.abs(density @ overlap @ density - 2 * density).max() < EXACT * 100
    fock = bare_field(bare_mole(numbers, positions, chosen.basis), chosen).get_fock(dm=expected)
    assert np.abs(guess_fock(mole, chosen, "sto-3g") - fock).max() < SCF


def test_small_basis_guess_knows_more_than_atoms(hydrogen_peroxide):
    record = run_scf(*bohr(hydrogen_peroxide), QMSettings(), ("sto-3g",))
    spread = {
        name: np.std((levels(fock, record.overlap) - record.orbital_energies)[2:9])  # valence
        for name, fock in record.guess_focks.items()
    }
    assert spread["sto-3g"] < 0.5 * spread["minao"]


def test_a_small_basis_guess_that_fails(water, monkeypatch):
    """The reason names it, and not the calculation it was made for."""

    def no_small_basis(mole, chosen):
        assert chosen.conv_tol == SMALL_BASIS_TOLERANCE
        raise SCFError("not converged")

    monkeypatch.setattr("hamlearn.qm.guess.converge", no_small_basis)
    for start, further in (("sto-3g", ()), ("minao", ("sto-3g",))):
        with pytest.raises(SCFError, match=r"guess sto-3g of H2O: not converged; leave it out, or choose another"):
            run_scf(*bohr(water), QMSettings(basis="6-31G", guess=start), further)


def test_elements_the_small_basis_lacks():
    xenon = build_mole([54], np.zeros((1, 3)), "ano")
    with pytest.raises(BasisError, match="'sto-3g' has no functions for Xe"):
        start_density(mean_field(xenon, QMSettings(basis="ano")), "ano", "sto-3g")
    for guess, further in (("sto-3g", ()), ("minao", ("sto-3g",))):  # before any calculation
        with pytest.raises(BasisError, match=r"guess sto-3g: .* for Xe;.*or choose another guess or delta"):
            check_campaign([Atoms("Xe")], QMSettings(basis="ano", guess=guess), further)


@settings(derandomize=True, max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**16), improper=st.booleans())
def test_guess_and_converged_spectra_are_invariant(hydrogen_peroxide, seed, improper):
    tight = QMSettings(basis="STO-3G", conv_tol=1e-13)
    numbers, positions = bohr(hydrogen_peroxide)
    matrix = Rotation.random(random_state=np.random.RandomState(seed)).as_matrix() * (-1 if improper else 1)
    first, second = (run_scf(numbers, x, tight, GUESSES) for x in (positions, positions @ matrix.T))
    for name in GUESSES:
        before, after = (levels(record.guess_focks[name], record.overlap) for record in (first, second))
        assert np.abs(before - after).max() < EQUIVARIANCE
    assert np.abs(first.orbital_energies - second.orbital_energies).max() < SCF
    assert np.abs(matrix @ first.dipole - second.dipole).max() < SCF
    assert abs(first.energy - second.energy) < EQUIVARIANCE


def test_core_guess_of_a_symmetric_molecule_is_equivariant():
    """Acetylene's core Hamiltonian has degenerate levels, which leave a density of its orbitals undefined."""
    acetylene = np.array([[0, 0, 0.6], [0, 0, -0.6], [0, 0, 1.66], [0, 0, -1.66]]) / BOHR_ANGSTROM
    numbers = np.array([6, 6, 1, 1])
    turned = acetylene @ Rotation.from_euler("xyz", [0.3, 1.1, -0.4]).as_matrix().T
    spectra = [
        levels(guess_fock(mole, STO3G, "core"), mole.intor("int1e_ovlp"))
        for mole in (build_mole(numbers, x, "STO-3G") for x in (acetylene, turned))
    ]
    assert np.abs(spectra[0] - spectra[1]).max() < EQUIVARIANCE


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("chosen", [QMSettings(basis="STO-3G", conv_tol=1e-12), PBE])
def test_every_step_of_the_ladder_reaches_the_same_solution(water, monkeypatch, step, chosen):
    mole = build_mole(*bohr(water), chosen.basis)
    expected = converge(mole, chosen)
    attempt = list(module._ladder(mole, chosen))[step]
    monkeypatch.setattr(module, "_ladder", lambda *_: iter([attempt]))
    found = converge(mole, chosen)
    assert found.attempt == attempt[0] == ["diis", "guess atom", "level shift", "second order"][step]
    assert np.abs(found.fock - expected.fock).max() < 1e-5
    assert np.abs(found.fock - found.mean_field.get_fock(dm=found.density)).max() < EXACT * 10
    assert abs(found.mean_field.e_tot - expected.mean_field.e_tot) < SCF


def test_a_failed_attempt_is_followed_by_the_next(water, monkeypatch):
    expected = run_scf(*bohr(water), STO3G)

    def ladder(mole, chosen, original=module._ladder):
        attempts = original(mole, chosen)
        first = next(attempts)
        first[1].max_cycle = 2
        yield first
        broken = next(attempts)
        broken[1].eig = lambda *_, **__: (_ for _ in ()).throw(np.linalg.LinAlgError("no eigenvalues"))
        yield broken
        yield from attempts

    monkeypatch.setattr(module, "_ladder", ladder)
    record = run_scf(*bohr(water), STO3G)
    assert record.provenance["attempt"] == "level shift"
    assert np.abs(record.guess_focks["minao"] - expected.guess_focks["minao"]).max() < EXACT
    assert abs(record.energy - expected.energy) < SCF


def test_failure_is_an_error_that_tells_every_attempt(water, monkeypatch):
    monkeypatch.setattr(module, "MAX_CYCLES", 1)
    with pytest.raises(SCFError, match=r"not converged to 1e-14.*diis.*guess atom.*level shift.*second order"):
        run_scf(*bohr(water), QMSettings(conv_tol=1e-14))


def test_linearly_dependent_basis_is_a_failure():
    with pytest.raises(SCFError, match="linearly dependent on H8"):
        run_scf([1] * 8, [[0, 0, 1.1 * i] for i in range(8)], QMSettings(basis="6-311++G**"))


def test_bad_input_is_refused():
    pair = [[0, 0, 0], [0, 0, 1.8]]
    with pytest.raises(StructureError, match="even number"):
        run_scf([1, 8], pair, STO3G)
    with pytest.raises(BasisError, match="no-such-basis"):
        run_scf([1, 1], pair, QMSettings(basis="no-such-basis"))
    with pytest.raises(ConfigError, match="did you mean 'minao'"):
        run_scf([1, 1], pair, STO3G, guess_focks=("minoa",))
    with pytest.raises(ConfigError, match="no functional"):
        run_scf([1, 1], pair, QMSettings(method="RKS", xc="nonsense"))


def test_nothing_is_printed(water, capfd):
    run_scf(*bohr(water), PBE, guess_focks=("atom",))
    assert capfd.readouterr() == ("", "")


def test_provenance_is_plain_and_complete(water):
    provenance = run_scf(*bohr(water), PBE).provenance
    needed = {"method", "xc", "basis", "basis_hash", "guess", "conv_tol", "cycles", "pyscf", "attempt"}
    assert needed <= set(provenance)
    assert (provenance["method"], provenance["xc"], provenance["basis"]) == ("RKS", "pbe", "STO-3G")
