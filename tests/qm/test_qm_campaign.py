"""Campaigns: everything once, everything kept whatever is killed, failures told, bad input refused first."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write

import hamlearn.qm.calculation as scf
import hamlearn.qm.campaign as module
from hamlearn.config import QMSettings
from hamlearn.errors import ArtifactError, BasisError, ConfigError, StructureError
from hamlearn.parallel import folder_lock
from hamlearn.qm import CampaignStatus
from hamlearn.qm.calculation import run_scf
from hamlearn.qm.campaign import campaign_status, pack_campaign, run_campaign
from hamlearn.qm.record import load_record
from hamlearn.qm.task import calculate
from hamlearn.units import BOHR_ANGSTROM

STO3G = QMSettings(basis="STO-3G")
FLUORINE = 9
RUN_AND_DIE = """
import os, signal, sys
from ase.io import read
from hamlearn.config import QMSettings
from hamlearn.qm import run_campaign
from hamlearn.progress import Progress

calls = []

def die_at_the_fifth_call(*_, **__):
    calls.append(1)
    if len(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[3] == "in a write":
    os.fsync = die_at_the_fifth_call  # the manifest and four records, the last one half done
else:
    Progress.advance = die_at_the_fifth_call
executor = "local:2" if sys.argv[3] == "with busy workers" else "serial"
run_campaign(read(sys.argv[1], ":"), QMSettings(basis="STO-3G"), sys.argv[2], executor=executor)
"""
LIGHT = """
import sys
import hamlearn.parallel, hamlearn.qm
heavy = {"torch", "pyscf", "ase", "numba", "matplotlib", "sphericart", "dask"} & set(sys.modules)
assert not heavy, heavy
"""


def calculate_or_die(folder, key, numbers, *rest):
    """Kill the worker at every hydrogen fluoride."""
    if FLUORINE in numbers:
        os.kill(os.getpid(), signal.SIGKILL)
    return calculate(folder, key, numbers, *rest)


def state_of(folder):
    """Name, time and content length of every finished record."""
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.glob("*.npz")}


def test_records_are_those_of_single_runs(waters, tmp_path):
    campaign = run_campaign(waters[:3], STO3G, tmp_path, guess_focks=["core"])
    assert (dict(campaign.failures), campaign.missing) == ({}, ())
    assert campaign.seconds > 0
    for i, atoms in enumerate(waters[:3]):
        record = campaign.load(i)
        expected = run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, STO3G, ("core",))
        assert np.array_equal(record.fock, expected.fock)
        assert sorted(record.guess_focks) == ["core", "minao"]
    assert campaign_status(tmp_path) == CampaignStatus(total=3, done=3, failed=0, pending=0)


def test_equal_structures_are_computed_once_and_nothing_twice(waters, tmp_path):
    structures = [waters[0], waters[1], waters[0].copy()]
    campaign = run_campaign(structures, STO3G, tmp_path)
    assert campaign.keys[0] == campaign.keys[2] != campaign.keys[1]
    before = state_of(tmp_path)
    assert len(before) == 2
    again = run_campaign([*structures, waters[2]], STO3G, tmp_path)
    assert {name: state_of(tmp_path)[name] for name in before} == before
    assert again.keys[:3] == campaign.keys
    assert len(state_of(tmp_path)) == 3


def test_processes_give_what_one_process_gives(waters, tmp_path):
    serial = run_campaign(waters[:4], STO3G, tmp_path / "serial")
    local = run_campaign(waters[:4], STO3G, tmp_path / "local", executor="local:2")
    assert serial.keys == local.keys
    for i in range(4):
        assert np.abs(serial.load(i).fock - local.load(i).fock).max() < 1e-12


def test_dask_cluster_runs_a_campaign(waters, tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "cluster.yaml").write_text("kind: local\nworkers: 1\ndashboard_address: :0\n")
    campaign = run_campaign(waters[:3], STO3G, tmp_path / "qm", executor=str(tmp_path / "cluster.yaml"))
    assert [campaign.load(i).fock.shape for i in range(3)] == [(7, 7)] * 3


@pytest.mark.parametrize("moment", ["between two", "in a write", "with busy workers"])
def test_kill_and_resume(waters, tmp_path, moment):
    write(tmp_path / "waters.xyz", waters)
    folder = tmp_path / "qm"
    killed = subprocess.run([sys.executable, "-c", RUN_AND_DIE, tmp_path / "waters.xyz", folder, moment])
    assert killed.returncode == -signal.SIGKILL
    if moment == "with busy workers":
        time.sleep(1.0)  # they see that they are orphans
    before = state_of(folder)
    assert (3 if moment == "in a write" else 5) <= len(before) < len(waters)
    assert bool(list(folder.glob(".*.tmp"))) or moment != "in a write"
    for name in before:
        load_record(folder / name)  # raises for half a record
    assert campaign_status(folder).done == len(before)
    campaign = run_campaign(read(tmp_path / "waters.xyz", ":"), STO3G, folder)
    assert {name: state_of(folder)[name] for name in before} == before
    assert (dict(campaign.failures), campaign.missing) == ({}, ())
    assert campaign_status(folder).done == len(waters)
    assert not list(folder.glob(".*.tmp"))


def test_half_written_and_damaged_records_are_computed_again(waters, tmp_path):
    campaign = run_campaign(waters[:3], STO3G, tmp_path)
    first, second, _ = (tmp_path / f"{key}.npz" for key in campaign.keys)
    expected = campaign.load(0).fock
    first.write_bytes(first.read_bytes()[:5000])
    (tmp_path / f".{second.name}.12345.tmp").write_bytes(second.read_bytes()[:100])
    kept = second.stat().st_mtime_ns
    again = run_campaign(waters[:3], STO3G, tmp_path)
    assert np.array_equal(again.load(0).fock, expected)
    assert second.stat().st_mtime_ns == kept
    assert not list(tmp_path.glob(".*.tmp"))


def test_interrupt_keeps_what_is_finished(waters, tmp_path, monkeypatch):
    def interrupt(self, failed=False, items=()):
        self.done += 1
        if self.done == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.Progress, "advance", interrupt)
        run_campaign(waters, STO3G, tmp_path, executor="local:1")
    before = state_of(tmp_path)
    assert 3 <= len(before) < len(waters)
    run_campaign(waters, STO3G, tmp_path)
    assert {name: state_of(tmp_path)[name] for name in before} == before
    assert len(state_of(tmp_path)) == len(waters)


def test_failures_are_recorded_and_only_tried_again_on_request(waters, tmp_path, monkeypatch):
    structures = [waters[0], Atoms("HF", [[0, 0, 0], [0, 0, 0.92]]), waters[1]]
    original = scf.converge

    def fail_fluoride(mole, settings, *start):
        if "F" in mole.elements:
            raise scf.SCFError("not converged, for the test")
        return original(mole, settings, *start)

    with monkeypatch.context() as patch:
        patch.setattr(scf, "converge", fail_fluoride)
        campaign = run_campaign(structures, STO3G, tmp_path)
    assert dict(campaign.failures) == {1: "SCFError: not converged, for the test"}
    assert campaign_status(tmp_path) == CampaignStatus(total=3, done=2, failed=1, pending=0)
    assert json.loads((tmp_path / f"{campaign.keys[1]}.failed.json").read_text())["kind"] == "qm_failure"
    with pytest.raises(ArtifactError, match="structure 1 has no record: SCFError"):
        campaign.load(1)
    assert list(run_campaign(structures, STO3G, tmp_path).failures) == [1]
    assert dict(run_campaign(structures, STO3G, tmp_path, retry_failed=True).failures) == {}
    assert campaign_status(tmp_path).failed == 0
    assert not list(tmp_path.glob("*.failed.json"))


def test_unexpected_errors_of_one_molecule_do_not_stop_the_others(waters, tmp_path, monkeypatch):
    monkeypatch.setattr(scf, "converge", lambda *_: 1 / 0)
    campaign = run_campaign(waters[:2], STO3G, tmp_path)
    assert dict(campaign.failures) == dict.fromkeys((0, 1), "ZeroDivisionError: division by zero")


def test_molecule_that_kills_its_worker_is_a_failure(waters, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "calculate", calculate_or_die)
    structures = [*waters[:3], Atoms("HF", [[0, 0, 0], [0, 0, 0.92]]), *waters[3:5]]
    campaign = run_campaign(structures, STO3G, tmp_path, executor="local:2")
    assert dict(campaign.failures) == {3: module.DEATH}
    assert all(campaign.load(i).fock.shape == (7, 7) for i in (0, 1, 2, 4, 5))


def test_shards_do_their_share_and_no_more(waters, tmp_path):
    structures = waters[:5]
    first = run_campaign(structures, STO3G, tmp_path, shard=(0, 2))
    assert first.missing == (1, 3)
    assert dict(first.failures) == {}
    assert campaign_status(tmp_path) == CampaignStatus(total=5, done=3, failed=0, pending=2)
    with pytest.raises(ArtifactError, match="no record"):
        first.load(1)
    assert run_campaign(structures, STO3G, tmp_path, shard=(1, 2)).missing == ()


def test_packed_campaign_continues(waters, tmp_path):
    campaign = run_campaign(waters[:3], STO3G, tmp_path)
    expected = [campaign.load(i).fock for i in range(3)]
    pack_campaign(tmp_path)
    assert not list(tmp_path.glob("*.npz"))
    assert campaign_status(tmp_path).done == 3
    again = run_campaign(waters[:4], STO3G, tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 1
    assert all(np.array_equal(again.load(i).fock, expected[i]) for i in range(3))
    assert again.load(3).fock.shape == (7, 7)


def test_busy_folder_is_refused(waters, tmp_path):
    with folder_lock(tmp_path):
        for act in (lambda: run_campaign(waters[:1], STO3G, tmp_path), lambda: pack_campaign_of(waters, tmp_path)):
            with pytest.raises(ArtifactError, match="another process is working"):
                act()


def pack_campaign_of(waters, folder):
    (folder / "campaign.json").write_text(
        json.dumps({"kind": "qm_campaign", "format_version": 1, "settings": {}, "keys": []})
    )
    return pack_campaign(folder)


def test_folder_of_other_settings_is_refused_with_the_difference(waters, tmp_path):
    run_campaign(waters[:1], STO3G, tmp_path)
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir())
    with pytest.raises(ArtifactError, match="basis was 'STO-3G' and is now '6-31G'"):
        run_campaign(waters[:1], QMSettings(basis="6-31G"), tmp_path)
    run_campaign(waters[:1], STO3G, tmp_path, guess_focks=["minao"])  # the SCF's own guess is there anyway
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("content", ["{", "[]", '{"kind": "qm_campaign", "format_version": 1}'])
def test_damaged_manifest_is_refused(waters, tmp_path, content):
    (tmp_path / "campaign.json").write_text(content)
    for act in (lambda: campaign_status(tmp_path), lambda: run_campaign(waters[:1], STO3G, tmp_path)):
        with pytest.raises(ArtifactError, match="damaged"):
            act()


def test_newer_manifest_is_refused(tmp_path):
    (tmp_path / "campaign.json").write_text('{"kind": "qm_campaign", "format_version": 2}')
    with pytest.raises(ArtifactError, match="upgrade hamlearn"):
        campaign_status(tmp_path)


def test_status_of_no_campaign_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ArtifactError, match="holds no campaign"):
            campaign_status(folder)


@pytest.mark.parametrize(
    ("change", "settings", "options", "error", "says"),
    [
        (lambda atoms: atoms.positions.__setitem__((0, 0), np.nan), STO3G, {}, StructureError, "1"),
        (lambda atoms: atoms.numbers.__setitem__(0, 7), STO3G, {}, StructureError, "odd"),
        (lambda atoms: atoms.positions.__setitem__(1, atoms.positions[0] + 0.1), STO3G, {}, StructureError, "overlap"),
        (lambda atoms: atoms.numbers.__setitem__(0, 54), STO3G, {}, BasisError, "Xe"),
        (None, QMSettings(basis="STO-3X"), {}, BasisError, "not one PySCF has"),
        (None, QMSettings(method="RKS", xc="pbex", basis="STO-3G"), {}, ConfigError, "no functional"),
        (None, STO3G, {"guess_focks": ["huckel"]}, ConfigError, "minao, atom, core"),
        (None, STO3G, {"executor": "loacl"}, ConfigError, "not known"),
        (None, STO3G, {"executor": "missing.yaml"}, ConfigError, "cannot read"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(waters, tmp_path, change, settings, options, error, says):
    structures = [atoms.copy() for atoms in waters[:3]]
    if change:
        change(structures[1])
    with pytest.raises(error, match=says):
        run_campaign(structures, settings, tmp_path / "qm", **options)
    assert not (tmp_path / "qm").exists()


def test_progress_is_told(waters, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    lines = []
    run_campaign(waters[:2], STO3G, tmp_path, echo=lines.append)
    assert lines[-1].startswith("quantum chemistry: 2 of 2 done")
    lines.clear()
    run_campaign(waters[:2], STO3G, tmp_path, echo=lines.append)
    assert lines == []


def test_importing_qm_loads_nothing_heavy():
    subprocess.run([sys.executable, "-c", LIGHT], check=True)
