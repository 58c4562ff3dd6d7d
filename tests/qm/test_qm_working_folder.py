"""Nothing in the folder a calculation is called from is executed, and results do not depend on it."""

import os
import subprocess
import sys

import pytest

CONFIGURATION = "import sys\nprint('EXECUTED', file=sys.stderr)\ndft_rks_RKS_small_rho_cutoff = 0.1\n"
SCRIPT = """
import sys
from hamlearn.config import QMSettings
from hamlearn.qm import run_campaign
from hamlearn.structures import molecule
if __name__ == "__main__":
    settings = QMSettings(method="RKS", xc="pbe", basis="sto-3g")
    campaign = run_campaign(molecule("water"), settings, sys.argv[1], executor=sys.argv[2])
    print(campaign.keys[0], repr(campaign.load(0).energy))
"""
LATE = """
import pyscf
from hamlearn.config import QMSettings
from hamlearn.errors import ConfigError
from hamlearn.qm import run_campaign
from hamlearn.structures import molecule
try:
    run_campaign(molecule("water"), QMSettings(basis="sto-3g"), "out")
except ConfigError as error:
    print(error)
"""


@pytest.fixture
def folder(tmp_path):
    """A working folder with PySCF's configuration and modules named as Python's own."""
    made = tmp_path / "work"
    made.mkdir()
    (made / ".pyscf_conf.py").write_text(CONFIGURATION)
    for name in ("struct", "select", "socket", "queue", "pickle"):
        (made / f"{name}.py").write_text("import os\nos.write(2, b'EXECUTED')\nraise SystemExit(9)\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "late.py").write_text(LATE)
    return made


def output_of(folder, script, *arguments, **environment):
    command = [sys.executable, str(folder.parent / script), *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert "EXECUTED" not in done.stderr + done.stdout
    return done.stdout


def test_working_folder_home_and_environment_change_nothing(folder, tmp_path):
    clean = tmp_path / "clean"
    clean.mkdir()
    expected = output_of(clean, "script.py", str(tmp_path / "expected"), "serial")
    file = str(folder / ".pyscf_conf.py")
    places = [(folder, {}), (clean, {"HOME": str(folder)}), (clean, {"PYSCF_CONFIG_FILE": file})]
    for index, (place, environment) in enumerate(places):
        assert output_of(place, "script.py", str(tmp_path / f"out{index}"), "serial", **environment) == expected
    assert output_of(folder, "script.py", str(tmp_path / "local"), "local:1", PYSCF_CONFIG_FILE=file) == expected


def test_pyscf_loaded_before_with_other_settings_is_refused(folder, tmp_path):
    (folder / ".pyscf_conf.py").write_text("NORMALIZE_GTO = False\n")
    message = output_of(folder, "late.py")
    assert "PySCF has read" in message and "expected PySCF's defaults: import hamlearn.qm first" in message
    assert not (folder / "out").exists()


def test_workers_of_an_interactive_session_look_in_the_working_folder_last(monkeypatch):
    from hamlearn.parallel.executors import _working_folder_last

    monkeypatch.setattr(sys, "path", ["", *sys.path])
    before = list(sys.path)
    with _working_folder_last():
        assert sys.path == [*before[1:], ""]
    assert sys.path == before
