"""A run folder taken on with other settings or structures: what stays valid is kept, the rest is put aside."""

import json
import shutil

import ase.io
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import hamlearn
import hamlearn.qm.calculation as scf
from hamlearn.cli import app
from hamlearn.config import Config, build_config, load_config
from hamlearn.errors import ArtifactError, ConfigError, SCFError
from hamlearn.parallel import folder_lock
from hamlearn.qm import pack_campaign, run_scf, task
from hamlearn.workflow import dependencies, run
from hamlearn.workflow.dependencies import FREE, STAGES, stages_of

SECTIONS = {
    "qm": {"basis": "sto-3g"},
    "target": {"kind": "lowdin"},
    "model": {"features": {"kind": "coupled", "max_l": 2, "max_n": 2}, "error_bars": False},
    "split": {"train": 6, "test": 4, "curve": [4, 6]},
}
SERIAL = {"executor": "serial", "echo": None}
MADE = ("targets", "model", "predictions", "evaluation.json", "test_levels.npz", "curve", "results.json", "report.html")


@pytest.fixture(scope="module")
def finished(waters, tmp_path_factory):
    """A folder with structures and a finished run without a store."""
    folder = tmp_path_factory.mktemp("finished")
    ase.io.write(folder / "waters.extxyz", waters[:12])
    run(settings(folder, qm={"basis": "sto-3g", "store": None}), folder / "out", **SERIAL)
    assert sorted(path.name for path in folder.iterdir()) == ["out", "waters.extxyz"]
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of it, with the same store for all: beside its runs."""
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.fixture
def scfs(monkeypatch):
    """The calculations that were made, as a list that grows."""
    made = []
    monkeypatch.setattr(task, "run_scf", lambda *arguments: made.append(arguments) or run_scf(*arguments))
    return made


def settings(folder, **sections):
    return build_config({"structures": {"file": str(folder / "waters.extxyz")}, **SECTIONS, **sections})


def other_features(folder, **sections):
    model = {"features": {"kind": "coupled", "max_l": 3, "max_n": 2}, "error_bars": False}
    return settings(folder, model=model, **sections)


def written(out):
    """Time of every file of a run, but for earlier ones."""
    files = [path for path in out.rglob("*") if path.is_file() and "earlier" not in path.parts]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in files}


def kept(before, out, name):
    """Whether all files of a folder, or a file, are those they were."""
    now = written(out)
    files = [file for file in before if file == name or file.startswith(f"{name}/")]
    assert files
    return all(now.get(file) == before[file] for file in files)


def errors(results):
    return {name: value for name, value in results.items() if name not in ("seconds", "peak_memory_gb")}


# -- what depends on what


def test_every_setting_belongs_to_a_stage_or_is_free():
    for name, field in Config.model_fields.items():
        sections = [name] if name != "split" else [f"split.{each}" for each in field.annotation.model_fields]
        for section in sections:
            assert stages_of([section]), f"{section}: no stage is said to depend on it"
    assert all(name.partition(".")[0] in Config.model_fields for name in FREE)


@pytest.mark.parametrize(
    ("names", "stale"),
    [
        (["qm.basis"], list(STAGES)),
        (["target.delta"], [name for name in STAGES if name != "qm"]),
        (["structures"], [name for name in STAGES if name != "qm"]),
        (["split.seed"], [name for name in STAGES if name != "qm"]),
        (["split.test"], ["targets", "evaluate", "curve", "results"]),
        (["model.features.max_l"], ["fit", "evaluate", "curve", "results"]),
        (["model.kind"], ["fit", "evaluate", "curve", "results"]),
        (["split.curve"], ["results"]),
        (["split.repeats"], ["results"]),
        ([], []),
    ],
)
def test_stages_that_depend_on_settings(names, stale):
    assert stages_of(names) == stale


def test_files_of_the_stages_are_those_that_a_run_writes(finished):
    declared = {name for stage in STAGES.values() for name in stage.files}
    found = {path.name for path in (finished / "out").iterdir() if not path.name.startswith(".")}
    assert found - {"config.yaml", "structures.sha256", "seconds.json"} <= declared
    assert declared - found == {"diagnostics.npz", "test_properties.npz"}  # of SAPHs, of properties


# -- other settings


def test_other_features_compute_nothing_and_put_the_old_model_aside(folder, scfs):
    out, lines = folder / "out", []
    before, old = written(out), json.loads((out / "results.json").read_text())
    config = other_features(folder)
    result = run(config, out, executor="serial", echo=lines.append)
    assert not scfs and load_config(out / "config.yaml") == config
    assert lines[:4] == [
        f"{out} was made with other settings:",
        "  model.features.max_l: 2 (folder) against 3 (now)",
        "kept: calculations, targets; made anew: model, predictions and errors, learning curve, results and report",
        f"what was made before is in {out / 'earlier' / '1'}",
    ]
    records = [name for name in before if name.startswith("qm/") and name.endswith(".npz")]
    assert len(records) == 10 and all(kept(before, out, name) for name in [*records, "targets"])
    aside = out / "earlier" / "1"
    assert json.loads((aside / "results.json").read_text()) == old
    assert load_config(aside / "config.yaml").model == settings(folder).model
    assert sorted(hamlearn.load_model(aside / "model").model.features.model_dump().items()) == sorted(
        settings(folder).model.features.model_dump().items()
    )
    assert {path.name for path in aside.iterdir()} >= {*MADE, "config.yaml", "seconds.json", "figures"} - {"targets"}
    assert result.results["eigenvalue_rmse_mev"] != old["eigenvalue_rmse_mev"]
    fresh = run(config, folder / "fresh", qm_from=out, **SERIAL)
    assert errors(fresh.results) == errors(result.results) and not scfs
    assert set(json.loads((out / "seconds.json").read_text())) >= {"qm", "targets", "fit"}


def test_another_kind_of_model_is_told_in_one_line(folder):
    lines = []
    other = build_config({**settings(folder).model_dump(mode="json"), "model": {"kind": "kernel"}})
    run(other, folder / "out", executor="serial", until="targets", echo=lines.append)
    assert lines[1:3] == [
        "  model.kind: ridge (folder) against kernel (now)",
        "kept: calculations, targets; made anew: model, predictions and errors, learning curve, results and report",
    ]
    assert not (folder / "out" / "model").exists()


def test_a_delta_needs_no_other_scf(folder, scfs):
    result = run(settings(folder, target={"kind": "lowdin", "delta": "core"}), folder / "out", **SERIAL)
    assert not scfs and result.results["n_test"] == 4
    back = run(settings(folder), folder / "out", **SERIAL)
    old = json.loads((folder / "out" / "earlier" / "1" / "results.json").read_text())
    assert not scfs and back.results["eigenvalue_rmse_mev"] == old["eigenvalue_rmse_mev"]
    assert len(dependencies.earlier_folders(folder / "out")) == 2


def test_another_test_set_keeps_the_model_and_other_sizes_keep_the_curve(folder, scfs):
    out = folder / "out"
    before = written(out)
    result = run(settings(folder, split={**SECTIONS["split"], "test": 3}), out, **SERIAL)
    assert result.results["n_test"] == 3 and not scfs
    assert kept(before, out, "model/model.yaml") and not kept(before, out, "evaluation.json")
    before = written(out)
    more = {"train": 6, "test": 3, "curve": [3, 6], "repeats": 2}
    result = run(settings(folder, split=more), out, **SERIAL)
    rows = [(row["order"], row["n_train"]) for row in result.results["learning_curve"]]
    assert rows == [(0, 3), (0, 6), (1, 3), (1, 6)]
    for name in ("model/tensors.safetensors", "evaluation.json", "curve/order-0-train-6.json"):
        assert kept(before, out, name)


def test_another_split_keeps_the_calculations_it_has(folder, scfs):
    before = written(folder / "out")
    result = run(settings(folder, split={"train": 7, "test": 5, "seed": 1}), folder / "out", **SERIAL)
    assert len(scfs) == 2 and kept(before, folder / "out", "qm/campaign.json") is False
    assert (result.results["n_train"], result.results["n_test"]) == (7, 5)
    assert result.results["equivariance_error"] < 1e-10


def test_more_and_other_structures_keep_the_calculations_of_those_that_stay(folder, waters, scfs):
    out, lines = folder / "out", []
    changed = [*waters[:5], waters[20], *waters[6:15]]
    ase.io.write(folder / "waters.extxyz", changed)
    config = settings(folder, split={"train": 10, "test": 5})
    result = run(config, out, executor="serial", echo=lines.append)
    first = split_of(12, 6, 4)
    assert len(scfs) == 15 - len(set(range(15)) & set(first) - {5})
    assert f"  structures: {folder / 'waters.extxyz'} has changed since" in lines
    assert any(line.startswith("kept: calculations; made anew: targets, model") for line in lines)
    assert result.results["n_train"] == 10
    fresh = run(config, folder / "fresh", **SERIAL)
    assert errors(fresh.results) == errors(result.results)


def split_of(n, train, test):
    order = np.random.default_rng(0).permutation(n)
    return [*order[:train].tolist(), *order[n - test :].tolist()]


def test_other_calculations_are_made_and_found_again_in_the_store(folder, scfs):
    out, loose = folder / "out", {"basis": "sto-3g", "conv_tol": 1e-8}
    run(settings(folder), out, until="qm", **SERIAL)  # gives the store what is there
    result = run(settings(folder, qm=loose), out, **SERIAL)
    assert len(scfs) == 10 and result.results["n_test"] == 4
    assert len(list((out / "earlier" / "1" / "qm").glob("*.npz"))) == 10
    run(settings(folder), out, until="qm", **SERIAL)
    run(settings(folder, qm=loose), folder / "beside", until="qm", **SERIAL)
    assert len(scfs) == 10


def test_runs_side_by_side_share_a_store_unless_told_not_to(folder, scfs):
    run(settings(folder), folder / "a", until="qm", **SERIAL)
    run(settings(folder), folder / "b", until="qm", **SERIAL)
    assert len(scfs) == 10 and (folder / ".hamlearn-qm" / "store.json").exists()
    run(settings(folder, qm={"basis": "sto-3g", "store": "none"}), folder / "c", until="qm", **SERIAL)
    assert len(scfs) == 20
    named = {"basis": "sto-3g", "store": str(folder / ".hamlearn-qm")}
    (folder / "deep").mkdir()
    run(settings(folder, qm=named), folder / "deep" / "d", until="targets", **SERIAL)
    assert len(scfs) == 20 and not (folder / "deep" / ".hamlearn-qm").exists()


def test_a_store_is_found_relative_to_the_workflow(folder):
    sections = {"structures": {"file": "waters.extxyz"}, **SECTIONS, "qm": {"basis": "sto-3g", "store": "mine"}}
    (folder / "w.yaml").write_text(yaml.safe_dump(sections))
    config = load_config(folder / "w.yaml")
    assert config.qm.store == str(folder / "mine") == load_config(folder / "w.yaml", ["qm.store=mine"]).qm.store
    assert load_config(folder / "w.yaml", ["qm.store=null"]).qm.store is None
    run(config, folder / "elsewhere", until="qm", **SERIAL)
    assert load_config(folder / "elsewhere" / "config.yaml") == config
    assert len(list((folder / "mine").glob("*.npz"))) == 10


# -- interruptions


@pytest.mark.parametrize("moment", range(12))
def test_killed_while_things_are_put_aside_the_next_call_goes_on(folder, monkeypatch, moment):
    """At every single rename, whichever settings come next."""
    out, names, whole = folder / "out", [], dependencies.os.replace
    contents = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def die(source, target):
        if len(names) == moment:
            raise KeyboardInterrupt
        names.append(target)
        whole(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", die)
        with pytest.raises(KeyboardInterrupt):
            run(other_features(folder), out, until="qm", **SERIAL)
    monkeypatch.setattr(task, "run_scf", None)
    result = run(other_features(folder), out, until="curve", **SERIAL)
    assert load_config(out / "config.yaml") == other_features(folder)
    aside = out / "earlier" / "1"
    assert load_config(aside / "config.yaml").model == settings(folder).model and not (out / "earlier" / "2").exists()
    for name in MADE[1:]:
        for file, content in contents.items():
            if file == name or file.startswith(f"{name}/"):
                assert (aside / file).read_bytes() == content
    assert hamlearn.load_model(out / "model").model.features.max_l == 3
    assert result.results["n_train"] == 6


def test_killed_and_taken_back_a_run_has_its_old_settings(folder, monkeypatch):
    out, whole = folder / "out", dependencies.os.replace
    old = json.loads((out / "results.json").read_text())

    def die(source, target):
        if str(target).endswith("evaluation.json"):
            raise KeyboardInterrupt
        whole(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("os.replace", die)
        run(other_features(folder), out, **SERIAL)
    again = run(settings(folder), out, until="curve", **SERIAL)
    assert again.results["eigenvalue_rmse_mev"] == old["eigenvalue_rmse_mev"]
    run(other_features(folder), out, until="fit", **SERIAL)
    assert [path.name for path in dependencies.earlier_folders(out)] == ["1", "2"]
    for path in dependencies.earlier_folders(out):
        assert (path / "model").exists() and load_config(path / "config.yaml").model == settings(folder).model


def test_a_folder_at_work_is_left_alone(folder):
    before = written(folder / "out")
    with folder_lock(folder / "out"), pytest.raises(ArtifactError, match="another process is working"):
        run(other_features(folder), folder / "out", **SERIAL)
    assert written(folder / "out") == before


def test_what_is_refused_changes_nothing(folder):
    before = written(folder / "out")
    with pytest.raises(ConfigError, match="there are 12 structures"):
        run(settings(folder, split={"train": 10, "test": 4}), folder / "out", **SERIAL)
    assert written(folder / "out") == before


def test_shards_take_a_folder_on_one_after_the_other(folder, monkeypatch, scfs):
    config = settings(folder, split={"train": 8, "test": 4})
    for k in range(2):
        run(config, folder / "out", shard=(k, 2), **SERIAL)
    assert len(scfs) == 2 and (folder / "out" / "earlier" / "1" / "model").exists()
    assert run(config, folder / "out", **SERIAL).results["n_train"] == 8
    monkeypatch.setattr("hamlearn.workflow.running.SECONDS_TO_WAIT", 0.1)
    with folder_lock(folder / "out", (0, 2)), pytest.raises(ArtifactError, match="another process is working"):
        run(other_features(folder), folder / "out", shard=(1, 2), **SERIAL)  # beside one of the old settings
    assert load_config(folder / "out" / "config.yaml") == config


def test_calculations_that_succeed_later_make_the_rest_anew(folder, monkeypatch):
    doomed, whole, lines = split_of(12, 6, 4)[1], scf.converge, []
    position = hamlearn.read_structures(folder / "waters.extxyz")[doomed].positions

    def converge(mole, *arguments):
        if np.allclose(mole.atom_coords(unit="Angstrom"), position):
            raise SCFError("not converged")
        return whole(mole, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(scf, "converge", converge)
        first = run(settings(folder), folder / "a", **SERIAL)
    assert first.results["n_train"] == 5
    run(settings(folder), folder / "a", until="qm", retry_failed=True, **SERIAL)
    second = run(settings(folder), folder / "a", executor="serial", echo=lines.append)
    assert second.results["n_train"] == 6 and second.results["learning_curve"][-1]["n_train"] == 6
    assert any("other calculations than before are finished" in line for line in lines)
    assert json.loads((folder / "a" / "earlier" / "1" / "results.json").read_text())["n_train"] == 5


# -- calculations of others


def test_calculations_of_runs_evaluations_and_models_are_taken(folder, waters, tmp_path, scfs):
    private = {"basis": "sto-3g", "store": None}
    moved = (folder / "out").rename(tmp_path / "moved")
    run(settings(folder, qm=private), folder / "a", until="qm", qm_from=moved, **SERIAL)
    run(settings(folder, qm=private), folder / "b", until="qm", qm_from=[str(moved / "model")], **SERIAL)
    pack_campaign(folder / "a" / "qm")
    run(settings(folder, qm=private), folder / "c", until="qm", qm_from=[folder / "a"], **SERIAL)
    structures = hamlearn.read_structures(folder / "waters.extxyz")
    hamlearn.evaluate(moved / "model", structures[:3], tmp_path / "eval", "serial", None, qm_from=moved)
    assert len(scfs) == len(set(range(3)) - set(split_of(12, 6, 4)))
    n = len(scfs)
    hamlearn.evaluate(moved / "model", structures[:3], tmp_path / "again", "serial", None, qm_from=tmp_path / "eval")
    assert len(scfs) == n and not list(tmp_path.glob(".hamlearn-qm"))


def test_runs_of_other_settings_are_refused_before_anything_is_written(folder, tmp_path):
    loose = {"basis": "sto-3g", "conv_tol": 1e-8}
    with pytest.raises(ArtifactError, match=r"qm.conv_tol 1e-10 there and 1e-08 here; give another folder"):
        run(settings(folder, qm=loose), tmp_path / "new", qm_from=folder / "out", **SERIAL)
    with pytest.raises(ArtifactError, match="holds no calculations"):
        hamlearn.evaluate(folder / "out" / "model", waters_of(folder), tmp_path / "new", qm_from=folder)
    assert not (tmp_path / "new").exists()


def waters_of(folder):
    return hamlearn.read_structures(folder / "waters.extxyz")[:1]


def test_properties_have_no_calculations_to_take(folder, tmp_path):
    energies = {"structures": {"file": str(folder / "waters.extxyz")}, "split": {"train": 6, "test": 3}}
    config = build_config({**energies, "target": {"kind": "property", "key": "energy"}})
    with pytest.raises(ConfigError, match="nothing is computed"):
        run(config, tmp_path / "new", qm_from=folder / "out", **SERIAL)


# -- the command line


def call(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_from_the_command_line(folder, monkeypatch, scfs):
    sections = {"structures": {"file": "waters.extxyz"}, **SECTIONS}
    (folder / "w.yaml").write_text(yaml.safe_dump(sections))
    run_folder, serial = folder / "new", ("--executor", "serial")
    done = call("run", folder / "w.yaml", "-o", run_folder, "--qm-from", folder / "out", *serial)
    assert done.exit_code == 0 and not scfs
    assert f"calculations: 10, 10 from {folder / 'out' / 'qm'}, 0 to compute" in done.stdout
    done = call("run", folder / "w.yaml", "-o", run_folder, "--set", "target.delta=core", *serial)
    assert done.exit_code == 0 and not scfs
    assert "target.delta: none (folder) against core (now)" in done.stdout
    assert "kept: calculations; made anew: targets, model" in done.stdout
    told = call("status", run_folder).stdout
    assert f"{run_folder / 'earlier' / '1'}, put aside when settings or calculations changed" in told
    assert f"10 calculations in {folder / '.hamlearn-qm'}" in told
    assert "10 of 10 done, 0 failed, 0 pending" in told
    for verb in ("qm", "fit"):
        taken = call(verb, folder / "w.yaml", "-o", folder / verb, "--qm-from", folder / "out", *serial)
        assert taken.exit_code == 0 and not scfs
    refused = call("run", folder / "w.yaml", "-o", folder / "x", "--qm-from", folder, *serial)
    assert refused.exit_code == 2 and "holds no calculations; give the folder of a run" in refused.stderr
    pool = ("evaluate", run_folder / "model", folder / "waters.extxyz", "-o", folder / "eval")
    assert call(*pool, "--qm-from", folder / "out", *serial).exit_code == 0
    assert len(scfs) == 2
