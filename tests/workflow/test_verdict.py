"""What a run says of its model: grades, worst formulas, sources of error, and what would help."""

import numpy as np
import pytest

from hamlearn.angular.ao_order import Orbitals
from hamlearn.observables import Prediction
from hamlearn.observables.judgement import judged
from hamlearn.observables.spreads import spread_inside, spread_of_each
from hamlearn.units import HARTREE_EV
from hamlearn.workflow.verdict import verdict

ORBITALS = Orbitals({1: ((1, 0),), 8: ((2, 0), (2, 1))}, {1: (0,), 8: (0, 2, 3, 1)})
WATER, HYDROGEN = np.array([8, 1, 1]), np.array([1, 1])
SETTINGS = {
    "target": {"kind": "saph", "delta": "none", "virtuals": "lowest"},
    "model": {"kind": "ridge", "features": {"kind": "bond_frame"}},
}


def molecule(numbers, levels_ev):
    n_occupied = {3: 4, 2: 1}[len(numbers)]
    return Prediction(numbers, np.diag(np.asarray(levels_ev) / HARTREE_EV), None, n_occupied, ORBITALS)


@pytest.fixture
def references():
    """Four waters whose gaps spread by 1 eV (ddof 1) and two H2, far from them, by 2 eV."""
    shifts = np.array([-1, -1, 1, 1]) * np.sqrt(3) / 2
    waters = [molecule(WATER, [-30, -20, -15, -12, 5 + shift, 8]) for shift in shifts]
    return waters + [molecule(HYDROGEN, [-10, 60 + shift]) for shift in (-(2**0.5), 2**0.5)]


@pytest.fixture
def predictions(references):
    """LUMO of every water wrong by 0.1 eV, of every H2 by 1 eV."""
    out = []
    for r in references:
        levels = r.eigenvalues_ev.copy()
        levels[r.n_occupied] += 0.1 if len(r.numbers) == 3 else 1.0
        out.append(molecule(r.numbers, levels))
    return out


def test_spreads_are_those_inside_formulas(references):
    each = spread_of_each(references)
    assert each["H2O"].gap == pytest.approx(1.0) and each["H2"].gap == pytest.approx(2.0)
    assert each["H2O"].levels == pytest.approx(np.sqrt(1 / 6)) and each["H2O"].count == 4
    assert spread_inside(references).gap == pytest.approx(np.sqrt((3 * 1 + 1 * 4) / 4))
    assert np.std([p.gap_ev for p in references]) > 20  # what it would be over formulas


def test_what_a_baseline_knows_is_no_spread(references):
    """Baselines that follow the waters exactly, none for H2."""
    baselines = [molecule(r.numbers, r.eigenvalues_ev - 1) if len(r.numbers) == 3 else None for r in references]
    each = spread_of_each(references, baselines)
    assert each["H2O"].gap == pytest.approx(0, abs=1e-9) and each["H2"].gap == pytest.approx(2.0)
    assert spread_inside(references, baselines).gap == pytest.approx(1.0)


def test_of_formulas_that_occur_once_the_spread_is_over_all(references):
    some = [references[0], references[4]]
    assert not spread_of_each(some)
    assert spread_inside(some).gap == pytest.approx(np.std([p.gap_ev for p in some], ddof=1))


def test_judged_against_sums_by_hand(predictions, references):
    found = judged(predictions, references)
    assert found["count"] == 6 and found["inside"]
    assert found["gap_rmse_mev"] == pytest.approx(1e3 * np.sqrt((4 * 0.01 + 2) / 6))
    rows = {row["formula"]: row for row in found["formulas"]}
    assert list(rows) == ["H2O", "H2"]
    assert rows["H2"]["gap_rmse_mev"] == pytest.approx(1000) and rows["H2"]["gap_spread_mev"] == pytest.approx(2000)
    assert found["virtual_share"] == pytest.approx(1.0)
    assert found["levels"][0]["level"] == "LUMO" and found["levels"][0]["share"] == pytest.approx(1.0)


def test_a_poor_model_is_called_so_and_told_what_helps(predictions, references):
    blocks = [
        {"kind": "cross", "species": "H-O", "shells": "1s-2p", "L": 1, "rmse_mev": 3.0},
        {"kind": "on_site", "species": "O-O", "shells": "2p-2p", "L": 2, "rmse_mev": 4.0},
    ]
    sizes = [{"n_train": n, "order": 0, "eigenvalue_rmse_mev": e} for n, e in ((50, 200.0), (100, 100.0))]
    found = verdict(judged(predictions, references), blocks, sizes, SETTINGS)
    lines = found["lines"]
    assert len(lines) == 5
    assert lines[0].startswith("Verdict, 6 test structures: poor: gaps are wrong by 583 meV, 44 % of the spread inside")
    assert (
        lines[1]
        == "Gap error and spread by formula, worst first: H2 1.00 eV of 2.00 eV (50 %), H2O 100 meV of 1.00 eV (10 %)."
    )
    assert "100 % is that of virtual ones; most have LUMO 100 %" in lines[2]
    assert lines[2].endswith("of that of the matrix 64 % is of blocks O 2p-2p, L = 2.")
    assert lines[3].startswith(
        "The error of levels falls as n^-1.00 (50 to 100 training structures): twice as many give 0.50"
    )
    assert lines[4].startswith("What would help most, in this order: target.delta: sto-3g")
    assert "more molecules (" in lines[4] and "target.kind: lowdin" in lines[4]
    assert found["exponent"] == pytest.approx(-1.0)


@pytest.mark.parametrize("kind", ["saph", "lowdin", "fock"])
@pytest.mark.parametrize("guess", ["sto-3g", "minao", None])
def test_a_guess_is_advised_for_every_matrix_where_there_is_one(predictions, references, kind, guess):
    """A delta that is there, or that the calculations do not allow, is not advised."""
    for delta in ("none", "core"):
        settings = {"target": {"kind": kind, "delta": delta}, "model": {"kind": "kernel"}}
        text = " ".join(verdict(judged(predictions, references), [], [], settings, guess=guess)["lines"])
        assert (f"target.delta: {guess} " in text) == (delta == "none" and guess is not None)
        assert "target.delta: " not in text or guess is not None
        assert "target.kind" not in text


def test_features_are_advised_where_those_there_hold_too_few_neighbours(predictions, references):
    """Of three atoms coupled features are complete, as the plan says."""
    settings = {**SETTINGS, "model": {"kind": "ridge", "features": {"kind": "coupled"}}}
    found = judged(predictions, references)
    larger = {**found, "formulas": [{**row, "formula": "C2H6O"} for row in found["formulas"]]}
    few, many = (verdict(judgement, [], [], settings)["lines"][-1] for judgement in (found, larger))
    assert "features: {kind: bond_frame}" in many and "bond_frame" not in few


def test_curves_that_rise_or_lie_flat_are_said_to_do_so(predictions, references):
    for errors, words in (((100.0, 120.0), "does not fall"), ((100.0, 95.0), "falls as n^-0.07 only")):
        sizes = [{"n_train": n, "order": 0, "eigenvalue_rmse_mev": e} for n, e in zip((50, 100), errors, strict=True)]
        lines = verdict(judged(predictions, references), [], sizes, SETTINGS)["lines"]
        assert f"From 50 to 100 training structures the error of levels {words}: more of them help little." in lines
        assert "more molecules" not in lines[-1]


def test_where_no_smaller_set_was_fitted_more_molecules_are_advised_without_a_number(predictions, references):
    lines = verdict(judged(predictions, references), [], [], SETTINGS)["lines"]
    words = "more molecules (by how much is not known: no smaller training set was fitted); model: {kind: kernel"
    assert len(lines) == 4 and words in lines[-1]


def test_a_good_model_is_left_in_peace(references):
    found = verdict(judged(references, references), [], [], SETTINGS, held_out=True)
    assert found["lines"][0].startswith("Verdict, 6 training structures left out: excellent: gaps are wrong by 0 meV")
    assert not any("help" in line for line in found["lines"])


def test_molecules_outside_are_counted(references):
    found = verdict({**judged(references, references), "flagged": 2}, [], [], SETTINGS)
    assert found["lines"][0].endswith("; 2 of them lie outside the training set (flags in the report).")


def test_without_errors_there_is_no_verdict():
    assert verdict(None, [], [], SETTINGS)["lines"][0].startswith("No verdict: nothing was set aside")
