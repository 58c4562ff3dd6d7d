"""The command line where its reader has gone, and in poor locales."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest

from hamlearn.structures import distort, molecule

MAIN = "import sys; sys.argv[0] = 'hamlearn'; from hamlearn.cli import main; main()"
WORKFLOW = """structures: {file: wässer.xyz}
qm: {basis: sto-3g}
target: {kind: fock}
model: {kind: ridge, features: {max_l: 1}}
split: {train: 4, test: 2}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a name and a file that ASCII does not have."""
    made = tmp_path / "ordnér"
    made.mkdir()
    ase.io.write(made / "wässer.xyz", [distort(molecule("water"), 0.05, seed) for seed in range(6)], format="extxyz")
    (made / "w.yaml").write_text(WORKFLOW, encoding="utf-8")
    return made


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.Popen(command, cwd=folder, env=os.environ | environment, **pipes)  # type: ignore[call-overload]


def test_a_run_goes_on_when_its_reader_has_gone(folder: Path) -> None:
    with start(folder, "run", "w.yaml", "-o", "out", "--executor", "serial") as process:
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 0 and b"BrokenPipe" not in said
    assert (folder / "out" / "report.html").exists()


def test_long_output_to_nobody_is_no_error(folder: Path) -> None:
    with start(folder, "config", "--schema") as process:
        process.stdout.close()
        said = process.stderr.read()
    assert said == b"" and process.returncode == 0


@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}],
    ids=lambda e: "".join(e.values()),
)
def test_poor_locales_change_nothing(folder: Path, environment: dict[str, str]) -> None:
    process = start(folder, "qm", "w.yaml", "-o", "aus", "--executor", "serial", **environment)
    _, said = process.communicate()
    assert process.returncode == 0, said
    process = start(folder, "status", "aus", **environment)
    out, said = process.communicate()
    assert process.returncode == 0 and b"6 of 6 done" in out, said


def test_a_locale_that_cannot_name_the_file_is_refused_in_words(folder: Path) -> None:
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = start(folder, "run", "w.yaml", "-o", "out", "--executor", "serial", **environment)
    _, said = process.communicate()
    assert process.returncode == 2 and b"Traceback" not in said
    assert b"set PYTHONUTF8=1" in said
