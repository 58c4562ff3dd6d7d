"""States that are no minimum of the energy: found, left where a lower one can be taken, and told."""

import numpy as np
import pytest
from ase import Atoms
from pyscf import gto, scf
from scipy.spatial.transform import Rotation

from hamlearn.config import QMSettings
from hamlearn.qm import load_record, run_scf, save_record
from hamlearn.qm import scf as module
from hamlearn.qm.method import no_checkpoint_files
from hamlearn.qm.molecule import mole_of
from hamlearn.qm.stability import (
    MINIMUM,
    SADDLE,
    STABILITY,
    UNKNOWN,
    _lowest_root,
    lowest_curvature,
    rotated_orbitals,
    state_flag,
)
from hamlearn.units import BOHR_ANGSTROM

STO3G = QMSettings(basis="sto-3g")
STRETCHED_WATER = Atoms("OHH", [(0, 0, 0), (1.98, 1.53, 0), (-1.98, 1.53, 0)])
SQUARE = 0.72 * np.array([(1, 1, 0), (-1, 1, 0), (-1, -1, 0), (1, -1, 0)])
CYCLOBUTADIENE = Atoms("C4H4", np.concatenate([SQUARE, 1.483 / 0.72 * SQUARE]))
TWISTED_ETHENE = Atoms(
    "C2H4", [(0, 0, 0.667), (0, 0, -0.667), (0, 0.92, 1.24), (0, -0.92, 1.24), (0.92, 0, -1.24), (-0.92, 0, -1.24)]
)


def calculated(atoms, settings=STO3G, seed=None):
    rotation = np.eye(3) if seed is None else Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    return run_scf(atoms.numbers, atoms.positions @ rotation.T / BOHR_ANGSTROM, settings)


def first_state(atoms, settings=STO3G):
    """What the ladder of solvers comes to, before its stability is looked at."""
    mole = mole_of(atoms.numbers, atoms.positions / BOHR_ANGSTROM, settings)
    return module._climb(module._ladder(mole, settings), settings, module.atomic_density)


def lowest_by_pyscf(atoms, basis="sto-3g"):
    """Lowest energy by PySCF alone: several guesses, its own stability analysis followed."""
    geometry = list(zip(atoms.symbols, atoms.positions, strict=True))
    mole, found = gto.M(atom=geometry, basis=basis, verbose=0), []
    for guess in ("minao", "1e"):
        with no_checkpoint_files():
            field = scf.RHF(mole)
        field.init_guess, field.conv_tol = guess, 1e-11
        field.kernel()
        for _ in range(8):
            orbitals, _, stable, _ = field.stability(return_status=True)
            if stable:
                break
            field = field.newton()
            field.conv_tol = 1e-11
            field.kernel(orbitals, field.mo_occ)
        found.append(field.e_tot)
    return min(found)


@pytest.mark.parametrize("atoms", [STRETCHED_WATER, CYCLOBUTADIENE], ids=["stretched water", "cyclobutadiene"])
def test_the_lowest_state_is_found_and_said(atoms):
    record = calculated(atoms)
    assert abs(record.energy - lowest_by_pyscf(atoms)) < 1e-8
    assert record.provenance[STABILITY]["state"] == MINIMUM
    assert state_flag(record.provenance)


@pytest.mark.parametrize(
    "atoms",
    [STRETCHED_WATER, CYCLOBUTADIENE, TWISTED_ETHENE, Atoms("N2", [(0, 0, 0), (0, 0, 2.2)])],
    ids=["stretched water", "cyclobutadiene", "twisted ethene", "stretched nitrogen"],
)
def test_states_do_not_depend_on_the_orientation(atoms):
    records = [calculated(atoms, seed=seed) for seed in (None, 1, 2, 3, 4)]
    assert np.ptp([record.energy for record in records]) < 1e-8
    assert np.ptp([record.orbital_energies for record in records], axis=0).max() < 1e-6
    assert all(state_flag(record.provenance) for record in records)


@pytest.mark.parametrize("atoms", [CYCLOBUTADIENE, TWISTED_ETHENE], ids=["cyclobutadiene", "twisted ethene"])
def test_degenerate_frontier_levels_of_the_guess_are_said(atoms):
    assert "degenerate frontier levels" in calculated(atoms).provenance[STABILITY]["not_unique"]


@pytest.mark.parametrize(
    ("atoms", "settings"),
    [
        (Atoms("N2", [(0, 0, 0), (0, 0, 2.2)]), STO3G),
        (Atoms("O2", [(0, 0, 0), (0, 0, 1.245)]), QMSettings(method="UHF", multiplicity=3, basis="def2-SVP")),
    ],
    ids=["N2", "O2"],
)
def test_symmetry_is_kept_where_the_states_below_break_it(atoms, settings):
    record = calculated(atoms, settings)
    assert record.provenance[STABILITY]["state"] == SADDLE
    assert "break the symmetry" in state_flag(record.provenance)
    mirrored = run_scf(atoms.numbers, -atoms.positions / BOHR_ANGSTROM, settings)
    assert np.abs(mirrored.orbital_energies - record.orbital_energies).max() < 1e-7
    assert np.abs(record.dipole - record.dipole[2] * np.array([0, 0, 1])).max() < 1e-6  # no charge to one side


def test_equal_spins_are_kept_where_others_are_lower():
    hydrogen = Atoms("H2", [(0, 0, 0), (0, 0, 2.0)])
    record = calculated(hydrogen, QMSettings(method="UHF", multiplicity=1, basis="6-31G"))
    assert np.abs(record.fock[0] - record.fock[1]).max() < 1e-8
    assert record.provenance[STABILITY]["state"] == SADDLE
    assert "of one spin than of the other" in state_flag(record.provenance)


@pytest.mark.parametrize(
    ("settings", "symbols"),
    [
        (STO3G, "OHH"),
        (QMSettings(method="UHF", charge=1, multiplicity=2, basis="sto-3g"), "OHH"),
        (QMSettings(method="ROHF", charge=1, multiplicity=2, basis="sto-3g"), "OHH"),
        (QMSettings(method="RKS", xc="pbe0", basis="sto-3g"), "OHH"),
    ],
)
def test_curvature_is_that_of_the_energy(settings, symbols):
    """The lowest curvature found is the second difference of the energy along its rotation of orbitals."""
    atoms = Atoms(symbols, STRETCHED_WATER.positions * (0.5 if settings.has_spins else 1.0))
    state = first_state(atoms, settings)
    field = state.mean_field
    curvature, direction = lowest_curvature(field, state.fock)
    h = 1e-2

    def energy(step):
        return field.energy_tot(field.make_rdm1(rotated_orbitals(field, step * direction), field.mo_occ))

    second = (energy(h) - 2 * energy(0.0) + energy(-h)) / h**2
    closed = not settings.has_spins
    per_rotation = 4.0 if closed else 2.0  # two electrons of either spin move; E = E0 + x H x
    assert second == pytest.approx(per_rotation * curvature, rel=2e-2, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_the_sign_of_the_lowest_eigenvalue_is_right(seed):
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(60, 60)) * 0.03
    matrix = np.diag(rng.uniform(0.2, 20.0, size=60)) + noise + noise.T
    for shift in (0.0, 0.5, 1.0):
        shifted = matrix - shift * np.eye(60)
        value, vector = _lowest_root(lambda x, a=shifted: a @ x, np.diag(shifted).copy())
        exact = np.linalg.eigvalsh(shifted)[0]
        assert value >= exact - 1e-10
        assert np.sign(value) == np.sign(exact)
        assert vector @ shifted @ vector == pytest.approx(value)


def test_what_has_a_large_gap_is_not_analysed_and_says_so(water):
    known = calculated(water).provenance[STABILITY]
    assert known["state"] == UNKNOWN
    assert "gap" in known["why"]


def test_shared_electrons_are_not_analysed_and_say_so():
    hydroxyl = Atoms("OH", [(0, 0, 0), (0, 0, 0.97)])
    known = calculated(hydroxyl, QMSettings(method="UHF", multiplicity=2, basis="sto-3g")).provenance[STABILITY]
    assert known == {"state": UNKNOWN, "why": "degenerate levels share their electrons"}


def test_saddle_points_are_kept_where_settings_say_so():
    kept = QMSettings(basis="sto-3g", pyscf={"leave_saddle_points": False})
    record = calculated(STRETCHED_WATER, kept)
    assert abs(record.energy - first_state(STRETCHED_WATER).energy) < 1e-8
    assert "leave_saddle_points is false" in state_flag(record.provenance)


def test_a_saddle_point_that_leads_nowhere_is_flagged(monkeypatch):
    monkeypatch.setattr(module, "_lower", lambda *_: iter(()))
    record = calculated(STRETCHED_WATER)
    assert record.provenance[STABILITY] == {"state": SADDLE, "why": "no lower state was found"}
    assert "no minimum" in repr(record)


def test_records_of_before_are_read_and_nothing_is_known_of_them(tmp_path, water):
    from dataclasses import replace

    record = calculated(water)
    provenance = {name: value for name, value in record.provenance.items() if name != STABILITY}
    save_record(tmp_path / "old.npz", replace(record, provenance=provenance))
    assert state_flag(load_record(tmp_path / "old.npz").provenance) == ""
