"""Error bars from a workflow file to predictions.extxyz, by the command line."""

import html
import json
import re
from pathlib import Path

import ase.io
import h5py
import pytest
from typer.testing import CliRunner

from hamlearn import cli
from hamlearn.errors import OutsideWarning

WATERS = Path(__file__).parents[2] / "data" / "water.extxyz"
WORKFLOW = f"""
structures: {{file: {WATERS}}}
qm: {{basis: sto-3g}}
split: {{train: 50, test: 40, curve: [10]}}
"""
MODELS = {
    "ridge": "model: {error_bars: true, features: {max_l: 4, max_n: 4}}\n",
    "kernel": "model:\n  kind: kernel\n  error_bars: true\n  active: {H-O: 60, H-H: 40}\n  kernel: {max_l: 2, "
    "max_nu_centre: 3, max_nu_pair: 2, smearing_angstrom: 0.4, smearing_growth_angstrom: null, "
    "grid: {rate: [0.0, 0.5]}}\n",
}


def call(*arguments):
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module", params=MODELS)
def finished(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"error_bars_{request.param}")
    (folder / "run.yaml").write_text(WORKFLOW + MODELS[request.param])
    return folder, call("run", folder / "run.yaml", "--out", folder / "out", "--executor", "serial")


def test_a_run_measures_and_reports_its_error_bars(finished):
    folder, output = finished
    assert "error bars: scaled by" in output
    found = json.loads((folder / "out" / "results.json").read_text())["error_bars"]
    assert found["gap"]["count"] == 40 and found["levels"]["count"] == 240
    for row in found.values():
        assert 0.45 < row["coverage_68"] < 0.9 and row["coverage_95"] > 0.75
        assert row["rank_correlation"] > 0.3 and 0.3 < row["rms_z"] < 3
    page = (folder / "out" / "report.html").read_text()
    assert "<h2>Error bars</h2>" in page and "rank correlation" in page
    names = {path.name for path in (folder / "out" / "figures").iterdir()}
    assert {"error_bars_gap.png", "error_bars_levels.csv", "reliability.png"} <= names
    assert "Error bars of the gap" in (folder / "out" / "model" / "MODEL_CARD.md").read_text()


def test_a_run_ends_with_a_verdict(finished):
    folder, output = finished
    lines = json.loads((folder / "out" / "results.json").read_text())["verdict"]["lines"]
    assert lines[0].startswith("Verdict, 40 test structures: ") and len(lines) <= 5
    page = html.unescape((folder / "out" / "report.html").read_text())
    assert all(line in output and line in page for line in lines)
    assert page.index(lines[0]) < page.index("What was computed")
    assert any("error of levels falls as n^-" in line and "(10 to 50 training structures)" in line for line in lines)


def test_bars_and_verdict_without_being_asked_for_and_without_a_test_set(tmp_path):
    text = WORKFLOW.replace("train: 50, test: 40, curve: [10]", "train: 24, test: 0")
    (tmp_path / "run.yaml").write_text(text + "model: {features: {max_l: 2, max_n: 2}}\n")
    output = call("run", tmp_path / "run.yaml", "--out", tmp_path / "out", "--executor", "serial")
    assert "set model.error_bars: false for fits several times faster" in output
    assert "Verdict, 24 training structures left out: " in output
    assert "error_bars: true" in (tmp_path / "out" / "config.yaml").read_text()
    off = ("--set", "model.error_bars=false", "--executor", "serial")
    output = call("run", tmp_path / "run.yaml", "--out", tmp_path / "off", *off)
    assert "error bars: scaled" not in output and "No verdict: nothing was set aside" in output


def test_a_stretched_molecule_is_told_of(finished):
    folder, _ = finished
    atoms = ase.io.read(WATERS, "100")
    atoms.set_distance(0, 1, 2.0, fix=0)
    ase.io.write(folder / "far.extxyz", atoms)
    with pytest.warns(
        OutsideWarning, match=r"1 of 1 structures are outside[^\0]*bars are widened[^\0]*2\.00 Å; training 0"
    ):
        call("predict", folder / "out" / "model", folder / "far.extxyz", "--out", folder / "predicted_far")
    assert ase.io.read(folder / "predicted_far" / "predictions.extxyz").info["hamlearn_gap_std_ev"] > 1


def test_report_and_card_name_the_kernels_that_were_fitted(finished):
    folder, output = finished
    page = (folder / "out" / "report.html").read_text()
    card = (folder / "out" / "model" / "MODEL_CARD.md").read_text()
    kernels = "Wigner kernels of atoms (P(k_i), up to order 3) and of pairs (t(R) P(k_i + k_j), up to order 2)"
    if "ridge" in folder.name:
        assert "ridge regression on symmetry-adapted features" in page and "Wigner kernels" not in page + card
        return
    assert "regression on kernels of the same symmetry" in page and kernels in page and kernels in card
    samples = "H 100, O 50, H-H 40, H-O 60"
    assert f"active set: {samples}" in output
    assert f"Atoms and pairs in the basis: {samples}" in page and f"Atoms and pairs in the basis: {samples}" in card
    assert "Chosen among the settings of model.kernel.grid by cross-validation: rate 0.5." in page
    assert re.findall(r"\brate\W+([\d.]+\d)", page) == ["0.5", "0.5"]  # in the sentence, and among all settings


def test_predictions_on_disk_carry_error_bars(finished):
    folder, _ = finished
    ase.io.write(folder / "new.extxyz", ase.io.read(WATERS, "100:103"))
    call("predict", folder / "out" / "model", folder / "new.extxyz", "--out", folder / "predicted")
    written = ase.io.read(folder / "predicted" / "predictions.extxyz", ":")
    assert all(0 < atoms.info["hamlearn_gap_std_ev"] < 0.1 for atoms in written)
    with h5py.File(folder / "predicted" / "hamiltonians.h5") as file:
        assert (file["000000/eigenvalues_std_ev"][:] > 0).all()
