"""Flags of a fitted model: they reach predictions, widen error bars, turn with molecules, and are saved."""

import warnings

import numpy as np
import pytest
import yaml
from water_models import RIDGE, raw_spec, targets_of, trained, with_bars

from hamlearn.errors import OutsideWarning
from hamlearn.job import SILENT
from hamlearn.model.folder import DUMPER, SPEC
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.loading import load_model
from hamlearn.observables import reference_prediction
from hamlearn.qm import run_scf
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.targets import build_target
from hamlearn.units import BOHR_ANGSTROM
from hamlearn.workflow.errors_of_run import predicted

pytestmark = pytest.mark.filterwarnings("error::hamlearn.errors.OutsideWarning")
N = 24


@pytest.fixture(scope="module")
def model(waters, records):
    return trained("saph", waters, records, N, with_bars(RIDGE))


@pytest.fixture(scope="module")
def stretched(waters):
    """A water with one O-H of 2.0 Å."""
    atoms = waters[-1].copy()
    atoms.set_distance(0, 1, 2.0, fix=0)
    return atoms


def told(model, structures, **more):
    with pytest.warns(OutsideWarning):
        return model.predict(structures, **more)


@pytest.mark.parametrize("length", [2.0, 3.0, 5.0])
def test_a_stretched_bond_is_flagged_and_its_error_inside_its_bar(model, stretched, length):
    """Far apart the gap is small and its levels nearly change places: first order alone says that it is certain."""
    stretched = stretched.copy()
    stretched.set_distance(0, 1, length, fix=0)
    (prediction,) = told(model, [stretched], std=True)
    assert any(f"{length:.2f} Å; training 0." in flag for flag in prediction.flags), prediction.flags
    record = run_scf(stretched.numbers, stretched.positions / BOHR_ANGSTROM, model.qm)
    reference = reference_prediction(build_target(record, model.target))
    errors = np.abs(prediction.eigenvalues_ev - reference.eigenvalues_ev)
    assert errors.max() > 1  # eV: so far outside nothing else is to be expected
    assert np.all(errors < 3 * prediction.eigenvalues_std_ev)
    assert abs(prediction.gap_ev - reference.gap_ev) < 3 * prediction.gap_std_ev


def test_the_warning_names_structures_and_reasons(model, stretched, waters):
    with pytest.warns(
        OutsideWarning, match=r"1 of 2 structures are outside.*bars are widened:\n  structure 1 \(H2O\): "
    ):
        predictions = model.predict([waters[0], stretched], std="levels")
    assert predictions[0].flags == () and predictions[0].widening_ev == (0.0, 0.0)
    assert "flags=" in repr(predictions[1]) and "flags" not in repr(predictions[0])
    assert predictions[1].flags and min(predictions[1].widening_ev) > 0


def test_error_bars_are_wider_by_squares(model, stretched):
    (wide,), (bare,) = told(model, [stretched], std=True), model.predict([stretched], std=True, flags=False)
    levels, gap = wide.widening_ev
    np.testing.assert_allclose(wide.eigenvalues_std_ev**2, bare.eigenvalues_std_ev**2 + levels**2, rtol=1e-10)
    assert wide.gap_std_ev**2 == pytest.approx(bare.gap_std_ev**2 + gap**2, rel=1e-10)
    (stored,) = told(model, [stretched], std="levels")
    np.testing.assert_allclose(stored.eigenvalues_std_ev, wide.eigenvalues_std_ev, rtol=1e-10)
    assert stored.gap_std_ev == pytest.approx(wide.gap_std_ev, rel=1e-10)


def test_flags_and_bars_do_not_turn_or_shuffle(model, stretched):
    rng = np.random.default_rng(0)
    moved = rotate(permute(stretched, [1, 2, 0]), random_rotation(rng, improper=True))
    (before,), (after,) = told(model, [stretched], std=True), told(model, [moved], std=True)
    assert after.flags == before.flags
    np.testing.assert_allclose(after.widening_ev, before.widening_ev, rtol=1e-8)
    np.testing.assert_allclose(after.gap_std_ev, before.gap_std_ev, rtol=1e-6)


def test_flags_are_saved_and_older_folders_say_that_they_are_not_known(model, stretched, tmp_path):
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    (before,), (after,) = told(model, [stretched], std=True), told(again, [stretched], std=True)
    assert after.flags == before.flags and after.widening_ev == before.widening_ev
    spec = raw_spec(tmp_path / "model")
    del spec["outside"]
    (tmp_path / "model" / SPEC).write_text(yaml.dump(spec, Dumper=DUMPER, allow_unicode=True))
    old = load_model(tmp_path / "model")
    with pytest.warns(OutsideWarning, match="does not know which molecules lie outside its training set; fit it again"):
        (unknown,) = old.predict([stretched])
    assert unknown.flags == ()
    np.testing.assert_array_equal(unknown.hamiltonian, after.hamiltonian)


def test_flags_can_be_left_out(waters, records, stretched):
    some = HamiltonianModel(*(getattr(trained("saph", waters, records, 4), name) for name in ("qm", "target", "model")))
    some.fit(waters[:4], targets_of("saph", records[:4]), flags=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", OutsideWarning)
        assert some.predict([stretched], flags=False)[0].flags == ()
    assert some.outside_ is None


def test_a_run_calls_structures_by_their_indices_in_the_file(model, stretched, waters):
    words = r"1 of 2 structures are outside.*bars are widened:\n  structure 17 \(H2O\)"
    with pytest.warns(OutsideWarning, match=words):
        predictions = predicted(model, [waters[0], stretched], SILENT, [4, 17])
    assert predictions[1].flags and predictions[1].has_error_bars
