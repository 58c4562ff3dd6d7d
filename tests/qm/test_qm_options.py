"""Options that pass to PySCF by name: what they do, what is refused, and that keys without them stay."""

import numpy as np
import pytest
from pyscf import gto, scf, solvent
from scipy.spatial.transform import Rotation

from hamlearn import HamiltonianModel
from hamlearn.config import LowdinTarget, QMSettings, SaphTarget, build_config
from hamlearn.config.pyscf import PySCFSettings
from hamlearn.errors import ConfigError, SettingError
from hamlearn.qm import guess_fock, record_key, run_campaign, run_scf
from hamlearn.qm.method import no_checkpoint_files
from hamlearn.qm.molecule import build_mole
from hamlearn.qm.options import ATOMIC_UNIT_V_PER_ANGSTROM, check_options
from hamlearn.targets import build_target
from hamlearn.targets.build import predict_side
from hamlearn.units import BOHR_ANGSTROM


def settings(method="RHF", xc=None, **options):
    return QMSettings(method=method, xc=xc, basis="sto-3g", pyscf=PySCFSettings(**options))


def calculated(atoms, chosen):
    return run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, chosen)


def bare(atoms):
    geometry = list(zip(atoms.symbols, atoms.positions, strict=True))
    with no_checkpoint_files():
        return scf.RHF(gto.M(atom=geometry, basis="sto-3g", verbose=0))


@pytest.mark.parametrize("model", ["IEF-PCM", "C-PCM", "ddCOSMO"])
def test_solvents_are_those_of_pyscf(water, model):
    record = calculated(water, settings(solvent="water", solvent_model=model))
    field = solvent.ddCOSMO(bare(water)) if model == "ddCOSMO" else solvent.PCM(bare(water))
    if model != "ddCOSMO":
        field.with_solvent.method = model
    field.with_solvent.eps = 78.355
    field.conv_tol = 1e-10
    field.kernel()
    assert record.energy == pytest.approx(field.e_tot, abs=1e-8)
    assert np.abs(record.fock - field.get_fock()).max() < 1e-6
    assert record.energy < calculated(water, settings()).energy - 1e-3
    assert record.provenance["options"]["solvent"] == "water"


def test_smd_takes_a_solvent_by_name(water):
    record = calculated(water, settings(solvent="Acetonitrile", solvent_model="SMD"))
    field = solvent.SMD(bare(water))
    field.with_solvent.solvent = "acetonitrile"
    field.kernel()
    assert record.energy == pytest.approx(field.e_tot, abs=1e-8)


@pytest.mark.parametrize("method", ["UHF", "ROHF"])
def test_open_shells_are_solvated(water, method):
    chosen = settings(method, solvent="water").model_copy(update={"charge": 1, "multiplicity": 2})
    in_vacuum = QMSettings(method=method, basis="sto-3g", charge=1, multiplicity=2)
    assert calculated(water, chosen).energy < calculated(water, in_vacuum).energy - 0.05


def test_a_dielectric_constant_stands_for_a_solvent(water):
    by_name, by_number = settings(solvent="toluene"), settings(dielectric_constant=2.3741)
    assert calculated(water, by_name).energy == pytest.approx(calculated(water, by_number).energy, abs=1e-9)


@pytest.mark.parametrize(("given", "near"), [("watr", "water"), ("acetonitril", "acetonitrile"), ("hexan", "n-hexane")])
def test_solvents_pyscf_lacks_are_refused_with_near_ones(given, near):
    with pytest.raises(ConfigError, match=f"no solvent '{given}'; near ones: .*{near}"):
        check_options(settings(solvent=given))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cart": True}, "Cartesian.*leave cart out"),
        ({"solvent": "water", "dielectric_constant": 80.0}, "drop one"),
        ({"dielectric_constant": 80.0, "solvent_model": "SMD"}, "by name"),
        ({"solvent_model": "C-PCM"}, "needs a solvent"),
        ({"auxbasis": "weigend"}, "density_fit: true"),
        ({"dielectric_constant": 0.5}, "larger than 1"),
        ({"solvnt": "water"}, "did you mean"),
        ({"field_v_per_angstrom": (0.1, 0.2)}, "field_v_per_angstrom"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, says):
    with pytest.raises(SettingError, match=says):
        PySCFSettings(**options)


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        (settings(grid_level=5), "drop grid_level"),
        (settings(density_fit=True, auxbasis="no-such-fit"), "no basis 'no-such-fit'"),
    ],
)
def test_options_without_use_are_refused_before_anything_is_computed(water, tmp_path, chosen, says):
    with pytest.raises(ConfigError, match=says):
        run_campaign([water], chosen, tmp_path / "qm")
    assert not (tmp_path / "qm").exists()


@pytest.mark.parametrize("axis", [0, 2])
def test_a_field_does_the_work_of_the_dipole(water, axis):
    h = 0.01
    energies = []
    for strength in (h, -h):
        vector = [0.0, 0.0, 0.0]
        vector[axis] = strength * ATOMIC_UNIT_V_PER_ANGSTROM
        energies.append(calculated(water, settings(field_v_per_angstrom=vector)).energy)
    dipole = calculated(water, settings()).dipole
    assert (energies[1] - energies[0]) / (2 * h) == pytest.approx(dipole[axis], abs=2e-4)


def test_a_field_does_not_depend_on_where_the_molecule_is(water):
    moved = water.copy()
    moved.translate([1.0, -2.0, 3.0])
    chosen = settings(field_v_per_angstrom=(0.2, 0.0, 0.1))
    ours, theirs = calculated(water, chosen), calculated(moved, chosen)
    assert np.abs(ours.fock - theirs.fock).max() < 1e-7


def test_no_model_has_a_field(tmp_path, water):
    with pytest.raises(ConfigError, match=r"do not turn with the molecule.*hamlearn qm"):
        HamiltonianModel(settings(field_v_per_angstrom=(0.0, 0.0, 0.5)))
    from ase.io import write

    from hamlearn.workflow import run

    stretched = water.copy()
    stretched.positions[1] *= 1.05
    write(tmp_path / "waters.xyz", [water, stretched])
    config = build_config(
        {
            "structures": {"file": str(tmp_path / "waters.xyz")},
            "qm": {"basis": "sto-3g", "pyscf": {"field_v_per_angstrom": [0.0, 0.0, 0.5]}},
            "split": {"train": 1, "test": 1},
        }
    )
    with pytest.raises(ConfigError, match="do not turn"):
        run(config, tmp_path / "out", executor="serial", echo=None)
    assert not (tmp_path / "out").exists()
    run(config, tmp_path / "out", executor="serial", echo=None, until="qm")  # as the message says
    assert len(list((tmp_path / "out" / "qm").glob("*.npz"))) == 2


def test_densities_are_fitted_and_grids_refined(water):
    exact, fitted = (calculated(water, settings(density_fit=fit)).energy for fit in (False, True))
    assert 1e-8 < abs(fitted - exact) < 1e-3
    coarse, fine = (calculated(water, settings("RKS", "pbe", grid_level=level)) for level in (0, 4))
    assert coarse.provenance["grid_level"] == 0
    assert 1e-7 < abs(coarse.energy - fine.energy) < 5e-2


@pytest.mark.parametrize("options", [{"max_cycle": 200}, {"level_shift": 0.2}, {"damp": 0.3}, {"diis_space": 5}])
def test_ways_to_the_state_do_not_change_it(water, options):
    assert np.abs(calculated(water, settings(**options)).fock - calculated(water, settings()).fock).max() < 1e-5


def test_cycles_are_limited(water, monkeypatch):
    from hamlearn.qm import scf as module

    seen = []
    original = module.mean_field
    monkeypatch.setattr(module, "mean_field", lambda *a: seen.append(original(*a)) or seen[-1])
    calculated(water, settings(max_cycle=77))
    assert seen[0].max_cycle == 77


def test_keys_are_those_of_before_without_options_and_others_with_them(water):
    geometry = water.numbers, water.positions / BOHR_ANGSTROM
    plain = record_key(*geometry, QMSettings(basis="sto-3g"))
    assert plain == "ee560e2c3587ff19d7d1faafe5aebc32cfdd47cc17b9337b588ffb0d651b2a9c"
    options = ({"solvent": "water"}, {"solvent": "toluene"}, {"density_fit": True}, {"field_v_per_angstrom": (0, 0, 1)})
    keys = {record_key(*geometry, settings(**given)) for given in options}
    assert len(keys | {plain}) == 5


@pytest.mark.parametrize("target", [LowdinTarget(delta="minao"), SaphTarget(delta="sto-3g")])
@pytest.mark.parametrize("options", [{"solvent": "water"}, {"density_fit": True}])
def test_predictions_have_the_guess_of_the_calculation(water, target, options):
    chosen = settings(**options)
    geometry = water.numbers, water.positions / BOHR_ANGSTROM
    record = run_scf(*geometry, chosen, guess_focks=(target.delta,))
    _, baseline = predict_side(*geometry, chosen, target)
    assert np.abs(baseline - build_target(record, target).baseline).max() < 1e-7
    mole = build_mole(*geometry, "sto-3g")
    assert np.abs(guess_fock(mole, chosen, "minao") - record.guess_focks["minao"]).max() < 1e-8


def test_targets_of_another_solvent_are_refused(water):
    target = build_target(calculated(water, settings(solvent="water")), SaphTarget())
    model = HamiltonianModel(settings(solvent="toluene"))
    with pytest.raises(ConfigError, match=r"qm.options.*water"):
        model.fit([water], [target])


def test_a_solvent_turns_with_the_molecule(water):
    """To the accuracy of the points on its cavity, which do not turn."""
    turned = water.copy()
    turned.positions = turned.positions @ Rotation.from_rotvec([0.3, 0.8, -0.5]).as_matrix().T
    ours, theirs = (calculated(atoms, settings(solvent="water")) for atoms in (water, turned))
    assert np.abs(ours.orbital_energies - theirs.orbital_energies).max() < 1e-4
