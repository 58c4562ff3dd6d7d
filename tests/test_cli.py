"""The command line: what each verb calls, prints and returns. The stages themselves are replaced here."""

from __future__ import annotations

import errno
import importlib.util
import inspect
import json
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import hamlearn
from hamlearn import cli
from hamlearn.angular.ao_order import Orbitals
from hamlearn.cli import verbs
from hamlearn.cli.shell import COMPILED
from hamlearn.config import json_schema, load_config
from hamlearn.errors import DomainError, HamlearnWarning, SCFError
from hamlearn.observables import Prediction
from hamlearn.observables.properties import PropertyPrediction

pytestmark = pytest.mark.usefixtures("own_learners")

VERBS = ("plan", "run", "qm", "fit", "predict", "select", "evaluate", "report", "symmetry", "status", "config")
METRICS = {
    "n_test": 2,
    "hamiltonian_rmse_mev": 1.5,
    "eigenvalue_rmse_mev": 0.25,
    "eigenvalue_mae_mev": 0.125,
    "gap_rmse_mev": 0.5,
    "gap_mae_mev": 0.375,
}


@dataclass
class Outcome:
    """What the replaced ``workflow.run`` gives."""

    results: dict[str, Any] | None = None
    failures: dict[int, str] = field(default_factory=dict)
    report: Path | None = None


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replaces the workflow: ``calls['outcome']`` is returned or raised, arguments are kept under the verb's name."""
    calls: dict[str, Any] = {"outcome": Outcome()}

    def stand_in(name: str) -> Callable[..., Any]:
        def function(*arguments: Any, **options: Any) -> Any:
            calls[name] = (arguments, options)
            if isinstance(calls["outcome"], BaseException):
                raise calls["outcome"]
            return calls["outcome"]

        return function

    workflow = types.ModuleType("hamlearn.workflow")
    for name in ("run", "predict", "evaluate"):
        setattr(workflow, name, stand_in(name))
    monkeypatch.setitem(sys.modules, "hamlearn.workflow", workflow)
    monkeypatch.setattr(hamlearn, "workflow", workflow, raising=False)
    return calls


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "water.xyz").write_text("0\n\n")
    path = tmp_path / "run.yaml"
    path.write_text("structures: {file: water.xyz}\nsplit: {train: 8, test: 2}\n")
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def helium(**options: Any) -> Prediction:
    """Levels of -1 and 0.5 Hartree."""
    orbitals = Orbitals({2: ((1, 0), (2, 0))}, {2: (0, 1)})
    return Prediction(np.array([2]), np.diag([-1.0, 0.5]), None, 1, orbitals, **options)


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


# -- doors


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_shows_an_example(verb: str) -> None:
    result = call(verb, "--help")
    assert result.exit_code == 0
    assert f"hamlearn {verb} " in " ".join(result.stdout.split("Example")[1].split())


def test_version_names_what_results_depend_on() -> None:
    result = call("--version")
    assert result.exit_code == 0
    assert {"hamlearn", "python", "pyscf", "torch"} <= {line[0] for line in words(result.stdout)}
    sources = (Path(hamlearn.__file__).parent / "o3").glob("_*.c")
    assert sorted(path.stem for path in sources) == sorted(COMPILED)
    n = sum(importlib.util.find_spec(f"hamlearn.o3.{name}") is not None for name in COMPILED)
    assert f"compiled loops: {n} of {len(COMPILED)}" in result.stdout


def test_the_module_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "hamlearn", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == call("--version").stdout


def test_command_line_starts_light() -> None:
    heavy = ("torch", "pyscf", "ase", "numpy", "scipy", "matplotlib", "pydantic")
    code = f"import sys, hamlearn.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- verbs


def test_run_hands_over_settings_and_prints_errors_and_report(calls: dict[str, Any], file: Path) -> None:
    calls["outcome"] = Outcome(results=METRICS, report=Path("OUT/report.html"))
    result = call(
        "run", file, "-o", "OUT", "--set", "model.features.max_l=2", "--set", "qm.basis=sto-3g", "--executor", "serial"
    )
    assert result.exit_code == 0
    (config, out), options = calls["run"]
    assert config == load_config(file, ["model.features.max_l=2", "qm.basis=sto-3g"])
    assert out == Path("OUT")
    assert (options["executor"], options["until"], options["shard"]) == ("serial", None, None)
    assert ["orbital", "energies", "0.250", "0.125"] in words(result.stdout)
    assert "report: OUT/report.html" in result.stdout


def test_stages_stop_where_they_should(calls: dict[str, Any], file: Path) -> None:
    assert call("qm", file, "-o", "OUT", "--shard", "1/4").exit_code == 0
    assert (calls["run"][1]["until"], calls["run"][1]["shard"]) == ("qm", (1, 4))
    assert "model: OUT/model" in call("fit", file, "-o", "OUT").stdout
    assert (calls["run"][1]["until"], calls["run"][1]["shard"]) == ("fit", None)


def test_predict_says_where_the_predictions_are(calls: dict[str, Any]) -> None:
    calls["outcome"] = [helium() for _ in range(3)]
    result = call("predict", "OUT/model", "new.xyz", "-o", "PRED")
    assert calls["predict"][0][:3] == (Path("OUT/model"), Path("new.xyz"), Path("PRED"))
    assert "3 predictions: PRED/predictions.extxyz, PRED/hamiltonians.h5" in result.stdout
    assert words(result.stdout)[:2] == [
        ["index", "formula", "HOMO", "/", "eV", "LUMO", "/", "eV", "gap", "/", "eV"],
        ["0", "He", "-27.211", "13.606", "40.817"],
    ]


@pytest.mark.parametrize("verb", ["run", "predict", "select", "evaluate"])
def test_verbs_and_functions_run_where_the_other_does(verb: str) -> None:
    """The default of --executor is that of the function."""
    of_function = inspect.signature(getattr(import_module("hamlearn.workflow"), verb)).parameters["executor"].default
    assert inspect.signature(getattr(verbs, verb)).parameters["executor"].default == of_function


def test_properties_are_shown_to_their_error_bars(calls: dict[str, Any], tmp_path: Path) -> None:
    calls["outcome"] = [PropertyPrediction(-2038.876543, 1.2e-4), PropertyPrediction(np.array([1.0, 2, 3]), None)]
    np.savez(tmp_path / "properties.npz", key="energy", unit="eV")
    result = call("predict", "OUT/model", "new.xyz", "-o", tmp_path)
    assert words(result.stdout)[:3] == [
        ["index", "energy", "/", "eV", "std"],
        ["0", "-2038.87654", "0.00012"],
        ["1", "1,", "2,", "3", "-"],
    ]


def test_predictions_of_many_molecules_are_cut_short_and_flags_are_shown(calls: dict[str, Any]) -> None:
    stds = (np.array([0.125, 0.25]), 0.375)
    calls["outcome"] = [
        helium(stds_ev=stds, flags=("stretched", "unlike any", "larger", "far") * (k in (1, 23))) for k in range(25)
    ]
    rows = call("predict", "OUT/model", "new.xyz", "-o", "PRED").stdout.splitlines()
    assert rows[1].split() == ["0", "He", "-27.211", "+-", "0.125", "13.606", "+-", "0.250", "40.817", "+-", "0.375"]
    assert rows[2].endswith("0.375   stretched; unlike any; ... 2 more")
    assert rows[2].index("stretched") == rows[0].index("flags") and rows[1] == rows[1].rstrip()
    assert rows[20].split()[0] == "19"
    assert rows[21] == "... 5 more, 1 of them flagged: see PRED/predictions.extxyz"


def test_evaluate_a_run_reads_what_it_holds(calls: dict[str, Any], file: Path) -> None:
    """Nothing is computed, also if the run is not finished."""
    folder = file.parent
    file.rename(folder / "config.yaml")
    unfinished = call("evaluate", folder)
    assert unfinished.exit_code == 2
    assert f"{folder} is not finished; hamlearn run FILE -o {folder}" in unfinished.stderr
    (folder / "results.json").write_text(json.dumps({"n_train": 4, "failures": {}, **METRICS, "n_test": 1}))
    result = call("evaluate", folder)
    assert result.exit_code == 0
    assert "Errors on 1 test structure\n" in result.stdout
    assert ["HOMO–LUMO", "gap", "0.500", "0.375"] in words(result.stdout)
    (folder / "results.json").write_text(json.dumps({"n_train": 4, "failures": {"17": "SCF not converged"}}))
    failed = call("evaluate", folder)
    assert failed.exit_code == SCFError.exit_code and "1 calculation failed" in failed.stderr
    assert "run" not in calls


def test_evaluate_a_model_on_other_molecules(calls: dict[str, Any]) -> None:
    calls["outcome"] = METRICS
    result = call("evaluate", "OUT/model", "new.xyz", "-o", "DIR", "--executor", "local:2")
    assert calls["evaluate"][0] == (Path("OUT/model"), Path("new.xyz"), Path("DIR"), "local:2")
    assert "Errors on 2 test structures" in result.stdout


def test_config_prints_what_it_is_asked_for(file: Path) -> None:
    result = call("config", file, "--set", "model.features.max_l=2")
    (file.parent / "printed.yaml").write_text(result.stdout)
    assert load_config(file.parent / "printed.yaml") == load_config(file, ["model.features.max_l=2"])
    assert "conv_tol: 1.0e-10" in call("config", "--defaults").stdout
    assert json.loads(call("config", "--schema").stdout) == json_schema()


def test_schema_beside_the_workflows_is_up_to_date() -> None:
    committed = Path(__file__).parents[1] / "workflows" / "schema.json"
    assert json.loads(committed.read_text(encoding="utf-8")) == json_schema(), (
        "run `hamlearn config --schema > workflows/schema.json`"
    )


# -- exit codes


def test_failed_calculations_are_listed_and_exit_with_3(calls: dict[str, Any], file: Path) -> None:
    calls["outcome"] = Outcome(results=METRICS, failures={17: "SCF [not] converged"})
    result = call("run", file, "-o", "OUT")
    assert result.exit_code == SCFError.exit_code == 3
    assert ["17", "SCF", "[not]", "converged"] in words(result.stderr)
    assert "Errors on 2 test structures" in result.stdout


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DomainError("element S was given; expected H, O"), 2, "error: element S was given; expected H, O"),
        (SCFError("too many calculations failed"), 3, "error: too many calculations failed"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to continue"),
        (PermissionError(errno.EACCES, "Permission denied", "OUT"), 2, "error: OUT: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device", "OUT/x"), 2, "error: OUT/x: No space left on device"),
    ],
)
def test_errors_are_one_message(
    calls: dict[str, Any], file: Path, error: BaseException, code: int, message: str
) -> None:
    calls["outcome"] = error
    result = call("run", file, "-o", "OUT")
    assert result.exit_code == code
    assert result.stderr.strip() == message
    assert not isinstance(result.exception, type(error))


def test_a_defect_of_hamlearn_is_not_hidden(calls: dict[str, Any], file: Path) -> None:
    calls["outcome"] = FileNotFoundError(errno.ENOENT, "No such file", "inner")
    assert isinstance(call("run", file, "-o", "OUT").exception, FileNotFoundError)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "Usage"),
        (("rum",), "No such command"),
        (("run",), "Missing argument"),
        (("run", "FILE"), "Missing option"),
        (("run", "FILE", "-o", "OUT", "--sett", "a=b"), "No such option"),
        (("run", "none.yaml", "-o", "OUT"), "none.yaml does not exist"),
        (("run", "FILE", "-o", "OUT", "--set", "model.features.max_k=3"), "did you mean"),
        (("qm", "FILE", "-o", "OUT", "--shard", "4/4"), "expected i/n"),
        (("evaluate", "."), "holds no run"),
        (("evaluate", "OUT/model", "new.xyz"), "needs -o DIR"),
        (("report", "nowhere"), "results.json does not exist"),
        (("status", "nowhere"), "nowhere holds no run; give the folder of hamlearn run -o"),
        (("config",), "one of FILE.yaml, --defaults and --schema"),
        (("config", "FILE", "--schema"), "one of FILE.yaml, --defaults and --schema"),
    ],
)
def test_refused_commands_exit_with_2(
    calls: dict[str, Any], file: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], expected: str
) -> None:
    monkeypatch.chdir(file.parent)
    result = call(*(file if argument == "FILE" else argument for argument in arguments))
    assert result.exit_code == 2
    assert expected in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert "run" not in calls and sorted(path.name for path in file.parent.iterdir()) == ["run.yaml", "water.xyz"]


def test_warnings_are_one_line(
    calls: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hamlearn", "--version"])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.raises(SystemExit) as done:
            cli.main()
        warnings.warn("a mode is imaginary", HamlearnWarning, stacklevel=1)
    assert done.value.code == 0
    assert capsys.readouterr().err == "warning: a mode is imaginary\n"
