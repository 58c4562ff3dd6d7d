"""Effective core potentials: every target holds the molecule's own levels, shells keep their names."""

import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import FockTarget, LowdinTarget, QMSettings, SaphTarget
from hamlearn.errors import BasisError
from hamlearn.observables import reference_prediction
from hamlearn.qm import run_campaign, run_scf
from hamlearn.targets import build_target, n_occupied, predict_side, target_orbitals
from hamlearn.targets.virtual_levels import WEAK_OCCUPIED
from hamlearn.units import BOHR_ANGSTROM, HARTREE_EV

HYDROGEN_IODIDE = Atoms("IH", [[0, 0, 0], [0, 0.3, 1.6]])
SVP, LANL = QMSettings(basis="def2-SVP"), QMSettings(basis="lanl2dz")
TARGETS = [
    FockTarget(),
    LowdinTarget(),
    LowdinTarget(delta="atom"),
    SaphTarget(delta="minao"),
    SaphTarget(minimal_basis="minao"),
    SaphTarget(minimal_basis="minao", form="nonorthogonal", delta="core"),
]


@pytest.fixture(scope="module", params=[SVP, LANL], ids=["def2-SVP", "lanl2dz"])
def record(request):
    atoms = HYDROGEN_IODIDE
    found = run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, request.param, ("minao", "atom", "core"))
    return request.param, found


def test_the_energy_is_that_of_pyscf(record):
    from pyscf import gto, scf

    settings, found = record
    atoms = [*zip(HYDROGEN_IODIDE.symbols, HYDROGEN_IODIDE.positions, strict=True)]
    mole = gto.M(atom=atoms, basis=settings.basis, ecp={"I": settings.basis}, verbose=0, parse_arg=False)
    field = scf.RHF(mole)
    field.conv_tol = 1e-10
    assert found.energy == pytest.approx(field.kernel(), abs=1e-7)
    assert found.occupations.sum() == mole.nelectron


@pytest.mark.parametrize("settings_", TARGETS, ids=str)
def test_levels_are_exact_and_predictions_know_their_side(settings_, record):
    qm, found = record
    target = build_target(found, settings_)
    n = int(found.occupations.sum()) // 2
    reference = reference_prediction(target)
    assert reference.homo_ev == pytest.approx(HARTREE_EV * found.orbital_energies[n - 1], abs=1e-6)
    assert reference.gap_ev == pytest.approx(HARTREE_EV * np.diff(found.orbital_energies)[n - 1], abs=1e-6)
    assert target.n_occupied == n_occupied(found.numbers, settings_, basis=qm.basis)
    if isinstance(settings_, SaphTarget):
        assert target.n_occupied == 4  # 5s and 5p of iodine, bonded to hydrogen
    for ours, theirs in zip(predict_side(found.numbers, found.positions, qm, settings_), target.side, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or np.abs(ours - theirs).max() < 1e-8


def test_shells_are_named_as_with_all_electrons():
    iodine = target_orbitals(FockTarget(), "def2-SVP", [53])
    assert {shell for shell in iodine.shells[53] if shell[0] <= 5} == {(4, 0), (4, 1), (4, 2), (5, 0), (5, 1), (5, 2)}
    assert target_orbitals(SaphTarget(), "def2-SVP", [53]).shells[53] == ((5, 0), (5, 1))
    assert target_orbitals(SaphTarget(minimal_basis="minao"), "def2-SVP", [53]).shells[53] == ((5, 0), (5, 1))


def test_what_the_subset_of_such_a_basis_lacks_is_flagged(record):
    qm, found = record
    flagged = WEAK_OCCUPIED in build_target(found, SaphTarget()).diagnostics.flags
    assert flagged == (qm.basis == "def2-SVP")


def test_sto_3g_has_all_electrons(tmp_path):
    with pytest.raises(BasisError, match="guess sto-3g has all electrons of I, of which basis 'def2-SVP' replaces"):
        run_campaign([HYDROGEN_IODIDE], SVP, tmp_path / "qm", guess_focks="sto-3g")
    assert not (tmp_path / "qm").exists()
    helium = Atoms("He")
    assert not run_campaign([helium], SVP, tmp_path / "qm", guess_focks="sto-3g").failures
