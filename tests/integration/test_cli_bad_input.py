"""Every input the command line refuses: exit code 2, one message that says what to do, nothing written over."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml
from ase import Atoms
from typer.testing import CliRunner, Result

from hamlearn.cli import app
from hamlearn.errors import FarPairsWarning
from hamlearn.parallel import folder_lock

FEATURES = {"max_n": 2, "max_l": 2}
TINY = {
    "qm": {"basis": "sto-3g"},
    "model": {"features": {**FEATURES, "pair_cutoff_angstrom": 4.0}},
    "split": {"train": 6, "test": 2},
}
WATER = Atoms("OHH", [[0, 0, 0.0], [0.76, 0, 0.59], [-0.76, 0, 0.59]])


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, *expected: str) -> None:
    """One message on stderr with the expected words, exit code 2, no traceback."""
    assert result.exit_code == 2, result.output + repr(result.exception)
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    for word in expected:
        assert word in result.stderr


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but the empty ones that locks belong to."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".lock")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def waters(n: int = 8) -> list[Atoms]:
    rng = np.random.default_rng(3)
    return [Atoms("OHH", WATER.positions + rng.normal(scale=0.05, size=(3, 3))) for _ in range(n)]


def write_workflow(folder: Path, structures: list[Atoms], **sections: object) -> Path:
    ase.io.write(folder / "structures.extxyz", structures, format="extxyz")
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({"structures": {"file": "structures.extxyz"}, **TINY, **sections}))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with run.yaml, structures.extxyz and the run made of them, to be read only."""
    folder = tmp_path_factory.mktemp("finished")
    result = call("run", write_workflow(folder, waters()), "-o", folder / "run", "--executor", "serial")
    assert result.exit_code == 0, result.output + repr(result.exception)
    return folder


# -- the workflow file


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: {features: {max_k: 3}}\n", "model.features.max_k"),
        ("features: {max_k: 3}\n", "model.features.max_k"),
        ("features: {max_l: 3}\nmodel: {features: {max_l: 3}}\n", "were both given; keep"),
        ("", "is empty"),
        ("structures: {file: a.xyz}\nsplit: {train: 8", "not valid YAML"),
        ("- a\n- b\n", "holds a list"),
    ],
)
def test_workflow_files(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    refused(call("run", tmp_path / "run.yaml", "-o", tmp_path / "run"), "run.yaml", expected)
    assert not (tmp_path / "run").exists()


def test_missing_files(tmp_path: Path) -> None:
    refused(call("run", tmp_path / "none.yaml", "-o", tmp_path / "run"), "none.yaml", "does not exist")
    workflow = write_workflow(tmp_path, waters())
    (tmp_path / "structures.extxyz").unlink()
    refused(call("run", workflow, "-o", tmp_path / "run"), "structures.extxyz", "was not found")
    absolute = f"structures.file={tmp_path}/structures.extxyz"
    refused(call("run", workflow, "-o", tmp_path / "run", "--set", absolute), "structures.extxyz")
    assert not (tmp_path / "run").exists()


# -- structures


def bent(position: float) -> Atoms:
    atoms = WATER.copy()
    atoms.positions[1, 0] = position
    return atoms


BAD_STRUCTURES = {
    "nan": (bent(np.nan), "3"),
    "infinite": (bent(np.inf), "3"),
    "overlapping": (Atoms("OHH", [[0, 0, 0.0], [0, 0, 0.2], [0, 0.9, 0]]), "0.3"),
    "odd electrons": (Atoms("OH", [[0, 0, 0.0], [0, 0, 1.0]]), "odd"),
    "unknown element": (Atoms("XHH", WATER.positions), "no element"),
    "basis without the element": (Atoms("CdHH", 2.0 * WATER.positions), "Cd"),
}


@pytest.mark.parametrize("name", BAD_STRUCTURES)
def test_one_bad_structure_refuses_the_run_and_is_named(tmp_path: Path, name: str) -> None:
    bad, expected = BAD_STRUCTURES[name]
    basis = {"basis": "6-31g"} if name == "basis without the element" else TINY["qm"]
    structures = [*waters(3), bad, *waters(4)]
    refused(call("run", write_workflow(tmp_path, structures, qm=basis), "-o", tmp_path / "run"), expected)
    assert not (tmp_path / "run").exists()


def test_all_bad_structures_are_listed(tmp_path: Path) -> None:
    structures = [*waters(2), bent(np.nan), *waters(4), BAD_STRUCTURES["odd electrons"][0]]
    result = call("run", write_workflow(tmp_path, structures), "-o", tmp_path / "run")
    refused(result, "2", "7", "odd")


@pytest.mark.parametrize("cut", [0, 40, -30])
def test_empty_and_truncated_structure_files(tmp_path: Path, cut: int) -> None:
    workflow = write_workflow(tmp_path, waters())
    path = tmp_path / "structures.extxyz"
    path.write_bytes(path.read_bytes()[:cut])
    refused(call("run", workflow, "-o", tmp_path / "run"), "structures.extxyz")
    assert not (tmp_path / "run").exists()


# -- settings that do not fit the structures


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("qm.basis=no-such-basis", "no-such-basis"),
        ("split.train=7", "8"),
        ("split.train=-1", "split.train"),
        ("split.test=-2", "split.test"),
        ("qm={method: RKS, xc: b3lyp}", "b3lypg"),
        ("qm={method: RKS, xc: no-such-functional}", "no-such-functional"),
    ],
)
def test_settings(tmp_path: Path, override: str, expected: str) -> None:
    result = call("run", write_workflow(tmp_path, waters()), "-o", tmp_path / "run", "--set", override)
    refused(result, expected)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("executor", ["local:0", "remote", "none.yaml"])
def test_executors(tmp_path: Path, executor: str) -> None:
    workflow = write_workflow(tmp_path, waters())
    refused(call("run", workflow, "-o", tmp_path / "run", "--executor", executor), executor)


# -- run folders


def test_folder_in_use(finished: Path) -> None:
    with folder_lock(finished / "run"):
        refused(call("run", finished / "run.yaml", "-o", finished / "run"), "another process")


def test_folder_that_holds_something_else(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    refused(call("run", finished / "run.yaml", "-o", tmp_path), "notes.txt")
    refused(call("run", finished / "run.yaml", "-o", tmp_path / "notes.txt"), "is a file")
    assert snapshot(tmp_path) == {"notes.txt": b"mine"}


def test_folders_without_a_run(tmp_path: Path) -> None:
    for verb in ("evaluate", "report", "status"):
        refused(call(verb, tmp_path), str(tmp_path))
    assert snapshot(tmp_path) == {}


def test_a_run_is_read_wherever_its_structures_are(finished: Path, tmp_path: Path) -> None:
    """Of a run that has not begun to compute, all stages are pending."""
    for name in ("run", "begun"):
        config = (finished / "run" / "config.yaml").read_text().replace(str(finished), "/nowhere")
        if name == "run":
            shutil.copytree(finished / "run", tmp_path / "run")
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "config.yaml").write_text(config)
    before = snapshot(tmp_path)
    assert "/nowhere/structures.extxyz" in config
    done, errors = call("status", tmp_path / "run"), call("evaluate", tmp_path / "run")
    assert done.exit_code == errors.exit_code == 0, done.output + errors.output
    assert "8 of 8 done" in done.stdout and "pending\n" not in done.stdout.partition("0 pending")[2]
    assert "Errors on 2 test structures" in errors.stdout
    begun = call("status", tmp_path / "begun")
    assert begun.exit_code == 0 and begun.stdout.split()[:4] == ["qm", "pending", "targets", "pending"]
    refused(call("evaluate", tmp_path / "begun"), "is not finished; hamlearn run FILE -o")
    assert snapshot(tmp_path) == before


def test_far_pairs_are_told_once_of_the_whole_file(tmp_path: Path) -> None:
    """Training set and test set together, in a run with a learning curve."""
    structures = [WATER.copy() for _ in range(6)]
    for k, atoms in enumerate(structures):
        atoms.positions[1, 0] = (0.7 if k in (1, 2) else 1.9) + 0.01 * k
    sections = {"model": {"features": {**FEATURES, "pair_cutoff_angstrom": 2.0}}}
    workflow = write_workflow(tmp_path, structures, **sections, split={"train": 4, "test": 2, "curve": [2, 4]})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert call("run", workflow, "-o", tmp_path / "run", "--executor", "serial").exit_code == 0
    (words,) = [str(w.message) for w in told if issubclass(w.category, FarPairsWarning)]
    assert "in 4 structures (first in the file: [0, 3, 4, 5])" in words


# -- models


def test_predictions_are_never_written_over(finished: Path, tmp_path: Path) -> None:
    arguments = ("predict", finished / "run" / "model", finished / "structures.extxyz", "-o", tmp_path)
    assert call(*arguments).exit_code == 0
    before = snapshot(tmp_path)
    refused(call(*arguments), "is not empty")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("verb", [("predict",), ("evaluate",), ("select", "-n", 1, "--by", "farthest")])
def test_used_folders_are_refused_by_every_verb(finished: Path, tmp_path: Path, verb: tuple[object, ...]) -> None:
    """Notes, also those named like a file of ours, a finished run, and a model."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "hamiltonians.h5").write_text("hi")
    before = snapshot(finished)
    for folder in (tmp_path / "notes", finished / "run", finished / "run" / "model"):
        result = call(verb[0], finished / "run" / "model", finished / "structures.extxyz", *verb[1:], "-o", folder)
        refused(result, f"{folder} is not empty", "give a new folder")
    assert snapshot(tmp_path) == {"notes/hamiltonians.h5": b"hi"}
    assert snapshot(finished) == before


def test_symmetry_writes_over_no_file(tmp_path: Path) -> None:
    """Neither the JSON nor the diagram beside it."""
    assert call("symmetry", "water", "-o", tmp_path / "a.json").exit_code == 0
    (tmp_path / "b.png").write_text("mine")
    before = snapshot(tmp_path)
    for name, used in (("a.json", "a.json"), ("b.json", "b.png")):
        refused(call("symmetry", "water", "-o", tmp_path / name), f"{used} exists already")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("molecule", "expected"),
    [
        (Atoms("NHHH", [[0, 0, 0.0], [0.94, 0, 0.38], [-0.47, 0.81, 0.38], [-0.47, -0.81, 0.38]]), "N"),
        (Atoms("OOHH", [[0, 0.72, 0], [0, -0.72, 0], [0.8, 0.9, 0.4], [-0.8, -0.9, 0.4]]), "O-O"),
    ],
)
def test_molecules_outside_the_domain(finished: Path, tmp_path: Path, molecule: Atoms, expected: str) -> None:
    ase.io.write(tmp_path / "new.xyz", [WATER, molecule])
    result = call("predict", finished / "run" / "model", tmp_path / "new.xyz", "-o", tmp_path / "pred")
    refused(result, expected)
    assert not (tmp_path / "pred").exists()


def test_damaged_and_newer_models(finished: Path, tmp_path: Path) -> None:
    def predict_with(model: Path) -> Result:
        return call("predict", model, finished / "structures.extxyz", "-o", tmp_path / "pred")

    refused(predict_with(tmp_path / "nowhere"), "nowhere")
    for file in ("model.yaml", "tensors.safetensors"):
        for size in (0, 0.5):
            shutil.copytree(finished / "run" / "model", tmp_path / "cut")
            path = tmp_path / "cut" / file
            path.write_bytes(path.read_bytes()[: int(size * path.stat().st_size)])
            refused(predict_with(tmp_path / "cut"), "cut")
            shutil.rmtree(tmp_path / "cut")
    shutil.copytree(finished / "run" / "model", tmp_path / "newer")
    spec = (tmp_path / "newer" / "model.yaml").read_text()
    (tmp_path / "newer" / "model.yaml").write_text(spec.replace("format_version: 2", "format_version: 99"))
    refused(predict_with(tmp_path / "newer"), "99", "upgrade hamlearn")
    assert not (tmp_path / "pred").exists()


# -- calculations


def test_calculations_that_do_not_converge_exit_with_3(tmp_path: Path) -> None:
    molecules = [Atoms("HH", [[0, 0, 0.0], [0, 0, 0.7 + 0.05 * k]]) for k in range(2)]
    workflow = write_workflow(tmp_path, molecules, split={"train": 1, "test": 1})
    unreachable = "qm.conv_tol=1e-300"
    result = call("run", workflow, "-o", tmp_path / "run", "--executor", "serial", "--set", unreachable)
    assert result.exit_code == 3, result.output + repr(result.exception)
    assert "failed" in result.stderr
