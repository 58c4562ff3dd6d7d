"""Error bars from a workflow file to predictions.extxyz, by the command line."""

import json
from pathlib import Path

import ase.io
import h5py
import pytest
from typer.testing import CliRunner

from hamlearn import cli

WATERS = Path(__file__).parents[2] / "data" / "water.extxyz"
WORKFLOW = f"""
structures: {{file: {WATERS}}}
qm: {{basis: sto-3g}}
features: {{max_l: 4, max_n: 4}}
model: {{error_bars: true}}
split: {{train: 50, test: 40, curve: [10]}}
"""


def call(*arguments):
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("error_bars")
    (folder / "run.yaml").write_text(WORKFLOW)
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


def test_predictions_on_disk_carry_error_bars(finished):
    folder, _ = finished
    ase.io.write(folder / "new.extxyz", ase.io.read(WATERS, "100:103"))
    call("predict", folder / "out" / "model", folder / "new.extxyz", "--out", folder / "predicted")
    written = ase.io.read(folder / "predicted" / "predictions.extxyz", ":")
    assert all(0 < atoms.info["hamlearn_gap_std_ev"] < 0.1 for atoms in written)
    with h5py.File(folder / "predicted" / "hamiltonians.h5") as file:
        assert (file["000000/eigenvalues_std_ev"][:] > 0).all()
