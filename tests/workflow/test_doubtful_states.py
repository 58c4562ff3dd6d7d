"""Calculations that came to a doubtful state are counted in results, on the terminal and in the report."""

import warnings

import pytest
from typer.testing import CliRunner

from hamlearn.cli import app
from hamlearn.cli.printing import list_doubtful

WORKFLOW = """
structures: {file: waters.xyz}
qm: {basis: sto-3g}
target: {kind: lowdin}
model: {kind: ridge, features: {kind: coupled, max_l: 1, max_n: 2, max_nu_pair: 1, max_nu_centre: 1}}
split: {train: 6, test: 2, seed: 1}
"""


@pytest.fixture(scope="module")
def run_of_stretched(tmp_path_factory):
    import numpy as np
    from ase import Atoms
    from ase.io import write

    folder = tmp_path_factory.mktemp("doubtful")
    rng = np.random.default_rng(0)
    stretched = np.array([(0, 0, 0), (1.98, 1.53, 0), (-1.98, 1.53, 0)])
    near = np.array([(0, 0, 0), (0.76, 0.59, 0), (-0.76, 0.59, 0)])
    usual = [Atoms("OHH", near + d) for d in rng.normal(0, 0.03, (7, 3, 3))]
    write(folder / "waters.xyz", [Atoms("OHH", stretched), *usual])
    (folder / "waters.yaml").write_text(WORKFLOW)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # features are few here
        result = CliRunner().invoke(
            app, ["run", "--executor", "serial", str(folder / "waters.yaml"), "-o", str(folder / "out")]
        )
    assert result.exit_code == 0, result.output
    return folder / "out", result.output


def test_they_are_counted_in_results_on_the_terminal_and_in_the_report(run_of_stretched):
    from hamlearn.report.run_texts import read_results

    out, said = run_of_stretched
    assert list(read_results(out)["doubtful_states"]) == ["0"]
    assert "1 calculation came to a doubtful state" in said
    assert "structure 0: the SCF came to a saddle point first" in said
    assert "1 calculation came to a state that is doubtful" in (out / "report.html").read_text()


def test_alike_ones_are_listed_together(capsys):
    list_doubtful(dict.fromkeys(range(12), "odd") | {20: "odder"})
    lines = capsys.readouterr().out.split("\n")
    assert lines[2] == "structures 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more: odd"
    assert lines[3] == "structure 20: odder"


def test_nothing_is_said_of_none(capsys):
    list_doubtful({})
    assert capsys.readouterr().out == ""
