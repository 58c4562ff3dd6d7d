"""Model folders: whole or refused in words, readable by people and other programs."""

import hashlib
import shutil

import numpy as np
import pytest
from properties import labelled, model, molecules
from safetensors.numpy import load_file
from water_models import LEARNERS, TARGETS, change_spec, raw_spec, trained, with_bars, write_spec

import hamlearn
from hamlearn.angular import fingerprint
from hamlearn.errors import ArtifactError, ConfigError
from hamlearn.model import folder as folders
from hamlearn.model.folder import CARD, SPEC, TENSORS, describe_training
from hamlearn.model.loading import load_model

TRAIN, NEW = labelled(molecules(10)), labelled(molecules(4, seed=90))


@pytest.fixture(scope="module")
def saved(saph, tmp_path_factory):
    """One folder of each kind; to be copied."""
    parent = tmp_path_factory.mktemp("saved")
    saph["ridge"].save(parent / "matrix")
    saph["sparse"].save(parent / "kernels")
    model(forces=True, active=5).fit(TRAIN).save(parent / "property")
    return parent


# -- round trips


@pytest.mark.parametrize(("target", "learner"), [("saph", "full"), ("fock_delta", "ridge"), ("lowdin", "sparse")])
def test_loading_gives_bitwise_the_same_matrices(target, learner, waters, records, tmp_path):
    fitted = trained(target, waters, records, 8, LEARNERS[learner])
    fitted.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.get_params() == fitted.get_params() and loaded.target == TARGETS[target]
    assert (loaded.training_, loaded.elements_) == (fitted.training_, [1, 8])
    assert loaded.predict(waters[20:24]) == fitted.predict(waters[20:24])
    assert loaded.alpha_of_block() == fitted.alpha_of_block()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"forces": True, "active": 5},
        {"forces": True, "basis": "derivatives"},
        {"key": "dipole", "l": 1, "basis": "sparse", "active": 6},
        {"key": "alpha", "l": 2},
    ],
)
def test_loading_gives_the_same_properties(arguments, tmp_path):
    fitted = model(**arguments).fit(TRAIN)
    fitted.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    forces = arguments.get("l", 0) == 0
    for a, b in zip(*(m.predict(NEW, forces=forces, std=True) for m in (fitted, loaded)), strict=True):
        np.testing.assert_array_equal(a.value, b.value)
        assert a.std == b.std
        np.testing.assert_array_equal(a.forces, b.forces)
    for name in ("hyperparameters_", "training_", "task_", "elements_"):
        assert getattr(loaded, name) == getattr(fitted, name)
    assert loaded.get_params() == fitted.get_params()


def test_a_loaded_model_can_be_saved_and_loaded_again(saved, tmp_path):
    for name in ("matrix", "kernels", "property"):
        load_model(saved / name).save(tmp_path / name)
        for file in (SPEC, TENSORS, CARD):
            assert (tmp_path / name / file).read_bytes() == (saved / name / file).read_bytes()


# -- what lies in a folder


def test_folders_are_readable_by_people_and_other_programs(saved):
    for name, kind, elements in (("matrix", "hamiltonian_model", [1, 8]), ("property", "property_model", [1, 6, 8])):
        folder = saved / name
        assert sorted(path.name for path in folder.iterdir()) == sorted([SPEC, TENSORS, CARD])
        spec = raw_spec(folder)
        assert (spec["kind"], spec["format_version"], spec["elements"]) == (kind, 2, elements)
        assert {"pyscf", "torch"} <= set(spec["versions"])
        assert spec["tensors_sha256"] == hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest()
        tensors = load_file(folder / TENSORS)
        assert all(np.isfinite(t).all() for n, t in tensors.items() if not n.endswith(("cv_mse", "posterior.squares")))
    assert (spec["learner"]["basis"], len(tensors["fit.weights"])) == ("sparse", 15)


def test_nothing_is_overwritten(saved, saph, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("mine")
    for fitted in (saph["ridge"], load_model(saved / "property")):
        for name in ("model", "file"):
            with pytest.raises(ArtifactError, match="not empty"):
                fitted.save(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model"]
    assert (tmp_path / "model" / "thesis.tex").read_text() == "years of work"


def test_a_save_that_fails_leaves_no_folder(saph, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "_write", lambda path, content: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        saph["ridge"].save(tmp_path / "model")
    assert not (tmp_path / "model").exists()
    monkeypatch.undo()
    saph["ridge"].save(tmp_path / "model")  # what was left behind stands in nobody's way
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


def test_a_training_set_is_described_by_its_content(waters):
    labels = [atoms.positions.sum(axis=0) for atoms in waters]
    found = describe_training(waters[:3], labels[:3])
    assert (found["n_structures"], found["formulas"], found["atoms_per_structure"]) == (3, {"H2O": 3}, [3, 3])
    other = describe_training(waters[:3], [labels[0], labels[1], labels[2] + 1e-12])
    assert len(found["sha256"]) == 64 and other["sha256"] != found["sha256"]
    assert describe_training(waters[:3], labels[:3]) == found


# -- refusals


def test_damaged_models_are_refused_in_words(saved, tmp_path):
    for kind in ("matrix", "kernels", "property"):
        good = saved / kind
        raw, spec = (good / TENSORS).read_bytes(), raw_spec(good)

        def copy(name, good=good, kind=kind):
            return shutil.copytree(good, tmp_path / f"{kind}_{name}")

        (copy("truncated") / TENSORS).write_bytes(raw[:-10])
        (copy("no_tensors") / TENSORS).unlink()
        (copy("half_spec") / SPEC).write_text((good / SPEC).read_text()[:200])
        (copy("empty_spec") / SPEC).write_text("")
        (copy("no_text") / SPEC).write_bytes(b"\xff\xfe\x00")
        (copy("list") / SPEC).write_text("[1, 2]")
        change_spec(copy("newer"), format_version=99)
        change_spec(copy("other"), kind="something")
        change_spec(copy("no_version"), format_version="two")
        change_spec(copy("wrong_hash"), tensors_sha256="0" * 64)
        change_spec(copy("unknown_setting"), target=spec["target"] | {"colour": "blue"})
        change_spec(copy("no_domain"), learner={n: x for n, x in spec["learner"].items() if n != "domain"})
        change_spec(copy("wrong_task"), task=[1, 2])
        change_spec(copy("wrong_training"), training=3)
        half = copy("half")
        (half / TENSORS).write_bytes(raw[: len(raw) // 2])
        change_spec(half, tensors_sha256=hashlib.sha256(raw[: len(raw) // 2]).hexdigest())
        (tmp_path / f"{kind}_empty").mkdir()
        expected = {
            "truncated": "truncated or changed",
            "no_tensors": "cannot be read",
            "half_spec": "damaged|truncated|kind",
            "empty_spec": "empty or damaged",
            "no_text": "damaged",
            "list": "empty or damaged",
            "newer": "format 99.*upgrade hamlearn",
            "other": "is of kind 'something', expected 'hamiltonian_model'",
            "no_version": "give the right file",
            "wrong_hash": "truncated or changed",
            "unknown_setting": "not a whole model.*colour",
            "no_domain": "not a whole model",
            "wrong_task": "not a whole model",
            "wrong_training": "not a whole model",
            "half": "not a whole model",
            "empty": "holds no model.yaml",
            "missing": "holds no model.yaml",
        }
        for name, words in expected.items():
            with pytest.raises(ArtifactError, match=words) as refused:
                load_model(tmp_path / f"{kind}_{name}")
            assert f"{kind}_{name}" in str(refused.value)


@pytest.mark.parametrize("kind", ["matrix", "kernels", "property"])
def test_every_part_of_a_folder_is_needed(kind, saved, tmp_path):
    """Without a section of model.yaml, or with a part of the tensors of which the hash is right."""
    from safetensors.numpy import save_file

    folder = shutil.copytree(saved / kind, tmp_path / "model")
    spec, tensors = raw_spec(folder), load_file(folder / TENSORS)
    for name in ("target", "model", "training", "task", "learner"):
        write_spec(folder, {n: x for n, x in spec.items() if n != name})
        with pytest.raises(ArtifactError, match="not a whole model"):
            load_model(folder)
    missing = {"matrix": "group.0.weights", "kernels": "group.0.offsets", "property": "fit.weights"}[kind]
    for name in (missing, "conventions"):
        save_file({n: x for n, x in tensors.items() if n != name}, folder / TENSORS)
        sha256 = hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest()
        write_spec(folder, spec | {"tensors_sha256": sha256})
        with pytest.raises(ArtifactError, match=f"not a whole model .*{missing.rpartition('.')[2]}|conventions"):
            load_model(folder)


def test_settings_and_groups_that_do_not_fit_the_kind_are_refused(saved, tmp_path):
    matrix, of_property = (shutil.copytree(saved / name, tmp_path / name) for name in ("matrix", "property"))
    spec = raw_spec(matrix)
    groups = spec["task"]["groups"]
    change_spec(matrix, task=spec["task"] | {"groups": [*groups, groups[0] | {"L": 9}]})
    change_spec(of_property, target={"kind": "saph"})
    for folder in (matrix, of_property):
        with pytest.raises(ArtifactError, match="not a whole model"):
            load_model(folder)
    change_spec(matrix, target={"kind": "property", "key": "energy"}, task=spec["task"])
    with pytest.raises((ArtifactError, ConfigError), match=r"expected .*fock.*property"):
        load_model(matrix)


def test_other_conventions_are_refused(saved, monkeypatch):
    right = fingerprint.convention_fingerprint
    monkeypatch.setattr(fingerprint, "convention_fingerprint", lambda max_l: -right(max_l))
    for kind in ("matrix", "kernels", "property"):
        with pytest.raises(ArtifactError, match="another order, sign or norm"):
            load_model(saved / kind)


def test_folders_hold_no_more_than_predictions_need(saph, waters, records, tmp_path):
    """Error bars double them, and are not kept unless asked for."""
    bars = trained("saph", waters, records, 18, with_bars(LEARNERS["ridge"]))
    for name, fitted in (("plain", saph["ridge"]), ("bars", bars)):
        fitted.save(tmp_path / name)
    names = {name: set(load_file(tmp_path / name / TENSORS)) for name in ("plain", "bars")}
    assert names["plain"] < names["bars"]
    assert {n.split(".")[2] for n in names["bars"] - names["plain"]} == {"posterior"}
    assert hamlearn.load_model(tmp_path / "plain").model.error_bars is None
