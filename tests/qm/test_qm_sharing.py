"""Calculations that runs share: taken where they are, computed once, whole whatever happens to others."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io import write

import hamlearn
import hamlearn.qm.calculation as scf
import hamlearn.qm.campaign as module
from hamlearn.config import QMSettings
from hamlearn.errors import ArtifactError, SCFError
from hamlearn.parallel import folder_lock
from hamlearn.qm import pack_campaign, run_campaign, run_scf, sharing, task
from hamlearn.qm.calculation import with_guesses
from hamlearn.qm.record import guesses_in, load_record, record_key, save_record
from hamlearn.units import BOHR_ANGSTROM

STO3G = QMSettings(basis="STO-3G")
OLD = Path(__file__).parents[1] / "resources" / "artifacts" / "0.1.0"
METHYL = ([6, 1, 1, 1], np.array([[0, 0, 0.1], [2.0, 0, 0], [-1.0, 1.8, 0], [-1.0, -1.8, 0]]))
CAMPAIGN = """
import os, signal, sys
from ase.io import read
from hamlearn.config import QMSettings
from hamlearn.progress import Progress
from hamlearn.qm import run_campaign

file, folder, store, last = sys.argv[1:]
done = []

def die(self, **advanced):
    done.append(1)
    if len(done) == int(last):
        os.kill(os.getpid(), signal.SIGKILL)

Progress.advance = die
run_campaign(read(file, ":"), QMSettings(basis="STO-3G"), folder, store=store)
"""


@pytest.fixture
def scfs(monkeypatch):
    """The calculations that were made, as a list that grows."""
    made, whole = [], run_scf

    def counted(*arguments):
        made.append(arguments)
        return whole(*arguments)

    monkeypatch.setattr(task, "run_scf", counted)
    return made


def records(folder):
    return sorted(path.name for path in folder.glob("*.npz"))


# -- a store


def test_what_is_in_the_store_is_computed_nowhere_else(waters, tmp_path, scfs):
    store, lines = tmp_path / "store", []
    first = run_campaign(waters[:3], STO3G, tmp_path / "a", store=store)
    second = run_campaign(waters[1:5], STO3G, tmp_path / "b", store=store, echo=lines.append)
    assert len(scfs) == 5 and len(records(store)) == 5
    assert f"calculations: 4, 2 from {store}, 2 to compute" in lines
    assert np.array_equal(first.load(1).fock, second.load(0).fock)
    for name in records(tmp_path / "b"):
        assert (tmp_path / "b" / name).samefile(store / name)


def test_runs_stay_whole_without_the_store_and_in_another_place(waters, tmp_path, scfs):
    run_campaign(waters[:3], STO3G, tmp_path / "a", store=tmp_path / "store")
    run_campaign(waters[:3], STO3G, tmp_path / "b", store=tmp_path / "store")
    shutil.rmtree(tmp_path / "store")
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "b").rename(tmp_path / "elsewhere" / "b")
    again = run_campaign(waters[:3], STO3G, moved, store=tmp_path / "elsewhere" / "store")
    assert len(scfs) == 3 and again.load(2).fock.shape == (7, 7)
    assert records(tmp_path / "elsewhere" / "store") == records(moved)  # which was given all there is


def test_settings_lie_side_by_side_and_are_not_mixed_up(waters, tmp_path, scfs):
    store, loose = tmp_path / "store", QMSettings(basis="STO-3G", conv_tol=1e-8)
    for k in range(2):
        campaigns = [run_campaign(waters[:2], s, tmp_path / f"{k}{s.conv_tol}", store=store) for s in (STO3G, loose)]
    assert len(scfs) == 4 and len(records(store)) == 4
    assert [c.load(0).provenance["conv_tol"] for c in campaigns] == [1e-10, 1e-8]


def test_settings_may_name_the_store(waters, tmp_path, scfs):
    named = QMSettings(basis="STO-3G", store=str(tmp_path / "store"))
    keys = run_campaign(waters[:1], named, tmp_path / "a").keys
    assert records(tmp_path / "store") == [f"{keys[0]}.npz"]
    assert keys == run_campaign(waters[:1], STO3G, tmp_path / "b").keys and len(scfs) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "store"]


@pytest.mark.parametrize("damage", ["truncated", "one byte", "of another molecule"])
def test_damaged_records_are_computed_again_and_healed(waters, tmp_path, scfs, damage):
    store = tmp_path / "store"
    first = run_campaign(waters[:2], STO3G, tmp_path / "a", store=store)
    path = store / f"{first.keys[0]}.npz"
    content = path.read_bytes()
    place = content.index(first.load(0).fock.tobytes())
    shutil.rmtree(tmp_path / "a")
    if damage == "truncated":
        path.write_bytes(content[:3000])
    elif damage == "one byte":
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
    else:
        save_record(path, replace(load_record(path), positions=waters[5].positions))
    again = run_campaign(waters[:2], STO3G, tmp_path / "b", store=store)
    assert len(scfs) == 3
    np.testing.assert_allclose(again.load(0).positions, waters[0].positions / BOHR_ANGSTROM)
    assert np.array_equal(load_record(path).fock, again.load(0).fock)


def test_where_no_links_can_be_made_files_are_copied(waters, tmp_path, scfs, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    for name in "ab":
        campaign = run_campaign(waters[:2], STO3G, tmp_path / name, store=tmp_path / "store")
    assert len(scfs) == 2 and campaign.load(1).fock.shape == (7, 7)
    name = f"{campaign.keys[0]}.npz"
    assert not (tmp_path / "b" / name).samefile(tmp_path / "store" / name)


def test_a_store_that_cannot_be_written_is_no_obstacle(waters, tmp_path):
    (tmp_path / "file").write_text("")
    lines = []
    run_campaign(waters[:1], STO3G, tmp_path / "a", store=tmp_path / "file" / "store", echo=lines.append)
    assert any("cannot be written (Not a directory)" in line for line in lines)
    assert len(records(tmp_path / "a")) == 1


@pytest.mark.parametrize("fails", [False, True])
def test_a_store_may_be_deleted_while_a_run_works(waters, tmp_path, monkeypatch, fails):
    def delete(*arguments):
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        if fails:
            raise SCFError("not converged, for the test")
        return run_scf(*arguments)

    monkeypatch.setattr(task, "run_scf", delete)
    campaign = run_campaign(waters[:2], STO3G, tmp_path / "a", store=tmp_path / "store")
    assert len(campaign.failures) == 2 * fails and not (tmp_path / "store").exists()


def test_a_store_that_may_only_be_read_is_read(waters, tmp_path, monkeypatch, scfs):
    store, whole, lines = tmp_path / "store", os.replace, []
    run_campaign(waters[:1], STO3G, tmp_path / "a", store=store)
    before = {path.name: path.stat().st_mtime_ns for path in store.iterdir()}

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sharing, "_make", refuse)
    monkeypatch.setattr(os, "replace", lambda a, b: refuse() if store in Path(b).parents else whole(a, b))
    assert not run_campaign(waters[:2], STO3G, tmp_path / "b", store=store, echo=lines.append).failures
    assert len(scfs) == 2 and any("cannot be written (Permission denied)" in line for line in lines)
    assert {path.name: path.stat().st_mtime_ns for path in store.iterdir()} == before


def test_what_goes_while_it_is_looked_at_is_not_taken(waters, tmp_path, monkeypatch, scfs):
    """A failure that another run has just mended, and a record that has just been packed."""
    store = tmp_path / "store"
    with monkeypatch.context() as patch:
        patch.setattr(task, "run_scf", None)
        run_campaign(waters[:1], STO3G, tmp_path / "a", store=store)
    whole = sharing.read_failure

    def read_and_mend(folder, key, wanted):
        found = whole(folder, key, wanted)
        if folder == store:
            sharing.failure_path(store, key).unlink(missing_ok=True)
        return found

    monkeypatch.setattr(sharing, "read_failure", read_and_mend)
    assert not run_campaign(waters[:1], STO3G, tmp_path / "b", store=store).failures and len(scfs) == 1
    assert not sharing.place(tmp_path / "lost.npz", tmp_path / "new.npz") and not (tmp_path / "new.npz").exists()


def test_links_that_killed_processes_left_are_not_written_through(waters, tmp_path):
    """Their names have the number of a process, which may return."""
    campaign = run_campaign(waters[:1], STO3G, tmp_path / "a")
    name = f"{campaign.keys[0]}.npz"
    content, record = (tmp_path / "a" / name).read_bytes(), campaign.load(0)
    (tmp_path / "store").mkdir()
    os.link(tmp_path / "a" / name, tmp_path / "store" / f".{name}.{os.getpid()}.tmp")
    save_record(tmp_path / "store" / name, replace(record, energy=0.0))
    assert load_record(tmp_path / "store" / name).energy == 0.0
    assert (tmp_path / "a" / name).read_bytes() == content


def test_folders_of_something_else_are_no_stores(waters, tmp_path):
    run_campaign(waters[:1], STO3G, tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match=r"qm.store .*/a holds something else .*--qm-from"):
        run_campaign(waters[:1], STO3G, tmp_path / "b", store=tmp_path / "a")
    with pytest.raises(ArtifactError, match=r"is a file; name a folder"):
        run_campaign(waters[:1], STO3G, tmp_path / "b", store=tmp_path / "file")


def test_packed_stores_and_campaigns_are_read(waters, tmp_path, scfs):
    store = tmp_path / "store"
    run_campaign(waters[:2], STO3G, tmp_path / "a", store=store)
    pack_campaign(tmp_path / "a")
    pack_campaign(store)
    assert records(store) == records(tmp_path / "a") == []
    for name, given in (("b", {"store": store}), ("c", {"qm_from": tmp_path / "a"})):
        campaign = run_campaign(waters[:2], STO3G, tmp_path / name, **given)
        assert len(scfs) == 2 and len(records(tmp_path / name)) == 2
        assert campaign.load(0).fock.shape == (7, 7)
    run_campaign(waters[:3], STO3G, tmp_path / "b", store=store, guess_focks="core")  # files beside the pack
    assert len(scfs) == 3 and len(records(store)) == 3
    assert not sharing.listed(store) - {name.removesuffix(".npz") for name in records(store)}


def test_packing_waits_for_nobody(waters, tmp_path):
    run_campaign(waters[:1], STO3G, tmp_path / "a", store=tmp_path / "store")
    with folder_lock(tmp_path / "store", shared=True), pytest.raises(ArtifactError, match="another process is working"):
        pack_campaign(tmp_path / "store")


# -- several processes


def start(tmp_path, name, last=0):
    arguments = [sys.executable, "-c", CAMPAIGN, tmp_path / "waters.xyz", tmp_path / name, tmp_path / "store", last]
    return subprocess.Popen(list(map(str, arguments)))


def test_two_processes_share_a_store_and_one_may_be_killed(waters, tmp_path, scfs):
    write(tmp_path / "waters.xyz", waters[:12])
    processes = [start(tmp_path, "a"), start(tmp_path, "b", last=4)]
    assert [process.wait() for process in processes] == [0, -signal.SIGKILL]
    store = tmp_path / "store"
    (store / ".half.npz.1.tmp").write_bytes(b"half")
    structures = hamlearn.read_structures(tmp_path / "waters.xyz")
    campaigns = [run_campaign(structures, STO3G, tmp_path / name, store=store) for name in "abc"]
    assert not scfs and len(records(store)) == 12 and not list(store.glob(".*.tmp"))
    assert all(np.array_equal(c.load(k).numbers, [8, 1, 1]) for c in campaigns for k in range(12))


def test_what_another_process_finished_meanwhile_is_taken(waters, tmp_path, scfs, monkeypatch):
    """Between the look at the store and the calculation."""
    take = module._take

    def and_another_computes(*arguments):
        todo = take(*arguments)
        monkeypatch.setattr(module, "_take", take)
        run_campaign(waters[:2], STO3G, tmp_path / "other", store=tmp_path / "store")
        return todo

    monkeypatch.setattr(module, "_take", and_another_computes)
    run_campaign(waters[:3], STO3G, tmp_path / "a", store=tmp_path / "store")
    assert len(scfs) == 3


def test_runs_that_start_together_begin_with_different_molecules(waters, tmp_path, scfs):
    """So that each finds in the store what the other computed."""
    for name in "ab":
        run_campaign(waters[:12], STO3G, tmp_path / name, store=tmp_path / f"store-{name}")
    first, second = ([positions[0, 0] for _, positions, *_ in part] for part in (scfs[:12], scfs[12:]))
    assert sorted(first) == sorted(second) and first != second


# -- matrices of guesses


@pytest.mark.parametrize(
    ("settings", "molecule"),
    [
        (STO3G, None),
        (QMSettings(basis="6-31G", method="RKS", xc="pbe"), None),
        (QMSettings(basis="6-31G", method="UHF", multiplicity=2, charge=0), METHYL),
        (QMSettings(basis="6-31G", method="ROHF", multiplicity=2, charge=0), METHYL),
    ],
)
def test_guesses_added_later_are_those_of_a_calculation_that_kept_them(waters, settings, molecule):
    molecule = molecule or (waters[0].numbers, waters[0].positions / BOHR_ANGSTROM)
    guesses = ("sto-3g", "core", "atom")
    at_once = run_scf(*molecule, settings, guesses)
    later = with_guesses(run_scf(*molecule, settings), settings, guesses)
    assert later.guess_focks.keys() == at_once.guess_focks.keys() == {"minao", *guesses}
    for name, fock in at_once.guess_focks.items():
        np.testing.assert_allclose(later.guess_focks[name], fock, rtol=0, atol=1e-10)


def test_a_guess_is_added_without_another_scf(waters, tmp_path, scfs):
    store, lines = tmp_path / "store", []
    direct = run_campaign(waters[:2], STO3G, tmp_path / "a", store=store)
    delta = run_campaign(waters[:2], STO3G, tmp_path / "b", store=store, guess_focks="core", echo=lines.append)
    assert len(scfs) == 2 and delta.keys == direct.keys
    assert any("2 lack only the guess Fock matrix core" in line for line in lines)
    expected = run_scf(waters[0].numbers, waters[0].positions / BOHR_ANGSTROM, STO3G, ("core",))
    np.testing.assert_allclose(delta.load(0).guess_focks["core"], expected.guess_focks["core"], rtol=0, atol=1e-10)
    assert direct.load(0).guess_focks.keys() == {"minao"}  # the file of another run is its own
    assert hamlearn.campaign_status(tmp_path / "b").done == 2
    same_folder = run_campaign(waters[:2], STO3G, tmp_path / "a", store=store, guess_focks=["core", "atom"])
    assert len(scfs) == 2 and same_folder.load(1).guess_focks.keys() == {"minao", "core", "atom"}
    assert run_campaign(waters[:2], STO3G, tmp_path / "c", store=store).load(0).guess_focks.keys() >= {"core", "atom"}


def test_the_store_gathers_the_guesses_of_all(waters, tmp_path, scfs):
    """Of campaigns that had no part in each other's."""
    for name, guess in (("a", "core"), ("b", "atom")):
        run_campaign(waters[:1], STO3G, tmp_path / name, guess_focks=guess)
    for name, guess in (("a", "core"), ("b", "atom")):
        key = run_campaign(waters[:1], STO3G, tmp_path / name, guess_focks=guess, store=tmp_path / "store").keys[0]
        sharing.share(tmp_path / name, key, tmp_path / "store", key)
    assert guesses_in(tmp_path / "store" / f"{key}.npz") == {"minao", "core", "atom"} and len(scfs) == 2


def test_a_killed_addition_goes_on(waters, tmp_path, scfs, monkeypatch):
    run_campaign(waters[:4], STO3G, tmp_path)
    added, once = [], task.with_guesses

    def interrupt(*arguments):
        added.append(1)
        if len(added) == 3:
            raise KeyboardInterrupt
        return once(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(task, "with_guesses", interrupt)
        run_campaign(waters[:4], STO3G, tmp_path, guess_focks="core")
    status = hamlearn.campaign_status(tmp_path)
    assert (status.done, status.pending) == (2, 2)
    campaign = run_campaign(waters[:4], STO3G, tmp_path, guess_focks="core")
    assert len(scfs) == 4 and all("core" in campaign.load(k).guess_focks for k in range(4))


def test_records_named_by_their_guesses_are_used_as_they_are(waters, tmp_path, scfs):
    """As older versions named them; one that was packed, too."""
    old = tmp_path / "old"
    atoms = (waters[0].numbers, waters[0].positions / BOHR_ANGSTROM)
    first = run_campaign(waters[:1], STO3G, old, guess_focks=["atom", "sto-3g"])
    name = record_key(*atoms, STO3G, ("sto-3g", "atom"))
    (old / f"{first.keys[0]}.npz").rename(old / f"{name}.npz")
    for guesses in ("sto-3g", (), ("atom", "sto-3g"), "core"):
        campaign = run_campaign(waters[:1], STO3G, old, guess_focks=guesses)
        assert campaign.keys == (name,) and set(np.ravel(guesses)) <= campaign.load(0).guess_focks.keys()
        assert hamlearn.campaign_status(old).done == 1
    new = run_campaign(waters[:1], STO3G, tmp_path / "new", guess_focks="core", qm_from=old, store=tmp_path / "store")
    assert new.keys == first.keys and len(scfs) == 1
    assert records(tmp_path / "store") == records(tmp_path / "new")


@pytest.mark.parametrize("kind", ["campaign", "packed"])
def test_folders_of_older_versions_are_taken_from(kind, tmp_path, scfs):
    """With their failure, and whatever guess is asked for."""
    config = hamlearn.load_config(OLD / "workflows" / "ridge_valence.yaml")
    structures = hamlearn.read_structures(OLD / "structures" / "waters.extxyz")[:3]
    campaign = run_campaign(structures, config.qm, tmp_path, guess_focks="core", qm_from=[OLD / kind])
    assert not scfs and campaign.failures.keys() == {2}
    assert campaign.load(1).guess_focks.keys() >= {"core"}


# -- failures


def test_failures_are_shared_and_tried_again_on_request(waters, tmp_path, monkeypatch):
    store, tries = tmp_path / "store", []

    def fail(*_):
        tries.append(1)
        raise SCFError("not converged, for the test")

    with monkeypatch.context() as patch:
        patch.setattr(scf, "converge", fail)
        run_campaign(waters[:2], STO3G, tmp_path / "a", store=store)
        known = run_campaign(waters[:2], STO3G, tmp_path / "b", store=store, guess_focks="core")
        assert len(tries) == 2 and set(known.failures.values()) == {"SCFError: not converged, for the test"}
        run_campaign(waters[:2], STO3G, tmp_path / "b", store=store, retry_failed=True)
        assert len(tries) == 4
    assert not run_campaign(waters[:2], STO3G, tmp_path / "b", store=store, retry_failed=True).failures
    assert not run_campaign(waters[:2], STO3G, tmp_path / "a", store=store, retry_failed=True).failures
    assert not list(tmp_path.rglob("*.failed.json"))


def test_a_guess_that_fails_leaves_the_calculation(waters, tmp_path, scfs, monkeypatch):
    def fail(*_):
        raise SCFError("guess sto-3g did not converge")

    run_campaign(waters[:1], STO3G, tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(task, "with_guesses", fail)
        failed = run_campaign(waters[:1], STO3G, tmp_path / "a", guess_focks="sto-3g", store=tmp_path / "store")
    assert "guess sto-3g" in failed.failures[0] and hamlearn.campaign_status(tmp_path / "a").failed == 1
    for folder in ("a", "b"):  # for a target without a guess nothing has failed
        assert not run_campaign(waters[:1], STO3G, tmp_path / folder, store=tmp_path / "store").failures
    assert len(scfs) == 1
    assert run_campaign(waters[:1], STO3G, tmp_path / "b", guess_focks="sto-3g", store=tmp_path / "store").failures


@pytest.mark.parametrize("error", [MemoryError("3 TB"), OSError(28, "No space left on device")])
def test_what_a_machine_lacks_is_told_to_no_other_run(waters, tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(scf, "converge", fail)
        assert run_campaign(waters[:1], STO3G, tmp_path / "a", store=tmp_path / "store").failures
    assert not run_campaign(waters[:1], STO3G, tmp_path / "b", store=tmp_path / "store").failures


def test_workers_that_died_are_told_to_no_other_run(waters, tmp_path, scfs, monkeypatch):
    from hamlearn.parallel import WorkerDied

    with monkeypatch.context() as patch:
        patch.setattr(module, "run_tasks", lambda _, f, tasks: [(k, WorkerDied()) for k in range(len(tasks))])
        assert run_campaign(waters[:1], STO3G, tmp_path / "a", store=tmp_path / "store").failures == {0: module.DEATH}
    assert not run_campaign(waters[:1], STO3G, tmp_path / "b", store=tmp_path / "store").failures


# -- folders of others


def test_what_other_folders_have_is_taken(waters, tmp_path, scfs):
    lines = []
    run_campaign(waters[:2], STO3G, tmp_path / "a" / "qm")  # as a run has it
    run_campaign(waters[1:4], STO3G, tmp_path / "b")
    given = [tmp_path / "a", tmp_path / "b"]
    campaign = run_campaign(waters[:5], STO3G, tmp_path / "c", qm_from=given, echo=lines.append)
    assert len(scfs) == 6 and campaign.missing == ()
    places = f"2 from {tmp_path / 'a' / 'qm'}, 2 from {tmp_path / 'b'}"
    assert lines[0] == f"calculations: 5, {places}, 1 to compute"
    run_campaign(waters[:5], STO3G, tmp_path / "c", qm_from=str(tmp_path / "b"), echo=lines.append)
    assert lines[-1] == "calculations: 5, 5 there already, 0 to compute"
    run_campaign(waters[6:7], STO3G, tmp_path / "d", qm_from=tmp_path / "b", echo=lines.append)
    assert f"calculations: 1, 0 from {tmp_path / 'b'}, 1 to compute" in lines and len(scfs) == 7


def test_folders_without_what_is_wanted_are_refused_in_words(waters, tmp_path):
    other, empty = tmp_path / "other", tmp_path / "empty"
    run_campaign(waters[:1], QMSettings(basis="6-31G", conv_tol=1e-9), other)
    run_campaign(waters[:1], STO3G, empty)
    for path in empty.glob("*.npz"):
        path.unlink()
    words = r"other settings: qm.basis '6-31G' there and 'STO-3G' here; qm.conv_tol 1e-09 there and 1e-10 here; give"
    for folder, expected in (
        (other, words),
        (empty, "holds no finished calculation; leave it out"),
        (tmp_path, "holds no calculations; give the folder of a run"),
        (tmp_path / "absent", "holds no calculations; give the folder of a run"),
    ):
        with pytest.raises(ArtifactError, match=expected):
            run_campaign(waters[:1], STO3G, tmp_path / "new", qm_from=folder)
    assert not (tmp_path / "new").exists()


def test_folders_of_versions_with_fewer_settings_are_taken_from(waters, tmp_path, scfs):
    run_campaign(waters[:1], STO3G, tmp_path / "a")
    manifest = json.loads((tmp_path / "a" / "campaign.json").read_text())
    for name in ("charge", "multiplicity", "guess"):
        del manifest["settings"][name]
    (tmp_path / "a" / "campaign.json").write_text(json.dumps(manifest))
    run_campaign(waters[:1], STO3G, tmp_path / "b", qm_from=tmp_path / "a")
    assert len(scfs) == 1
