"""Stages of a run by name, and runs, predictions and selections from files or objects alike."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
import yaml

import hamlearn
from hamlearn.config import build_config
from hamlearn.equality import same
from hamlearn.errors import ConfigError, SCFError, StructureError
from hamlearn.job import Job
from hamlearn.workflow import evaluate, predict, run, select
from hamlearn.workflow.property_stages import PropertyRun
from hamlearn.workflow.stages import Run

SETTINGS = {
    "structures": {"file": "waters.extxyz"},
    "qm": {"basis": "sto-3g"},
    "model": {"features": {"max_l": 2, "max_n": 2}, "error_bars": True},
    "split": {"train": 6, "test": 3},
}
PROPERTY = {
    "structures": {"file": "waters.extxyz"},
    "target": {"kind": "property", "key": "energy"},
    "split": {"train": 6, "test": 3},
}


@pytest.fixture(scope="module")
def folder(waters, tmp_path_factory):
    """A workflow file, its run, and molecules to predict."""
    folder = tmp_path_factory.mktemp("given")
    ase.io.write(folder / "waters.extxyz", waters[:9])
    ase.io.write(folder / "others.extxyz", waters[9:13])
    ase.io.write(folder / "one.extxyz", waters[9])
    (folder / "water.yaml").write_text(yaml.safe_dump(SETTINGS))
    hamlearn.run(folder / "water.yaml", folder / "out", executor="serial", echo=None)
    return folder


def test_stages_are_the_methods_in_their_order(tmp_path):
    matrix = Run(build_config(SETTINGS), tmp_path, Job())
    assert list(matrix.stages) == ["qm", "targets", "fit", "evaluate", "curve"]
    energies = PropertyRun(build_config(PROPERTY), tmp_path, Job())
    assert list(energies.stages) == ["fit", "evaluate", "curve"] and energies.failures == {}
    for work in (matrix, energies):
        assert all(stage == getattr(work, name) for name, stage in work.stages.items())
        assert set(work.TIMED) & set(work.stages)


@pytest.mark.parametrize(
    ("sections", "options", "words"),
    [
        (SETTINGS, {"until": "lunch"}, "expected one of ('qm', 'targets', 'fit', 'evaluate', 'curve') and (i, n)"),
        (SETTINGS, {"shard": (3, 2)}, "expected one of ('qm', 'targets', 'fit', 'evaluate', 'curve') and (i, n)"),
        (PROPERTY, {"until": "lunch"}, "expected one of ('fit', 'evaluate', 'curve') and (i, n)"),
        (PROPERTY, {"until": "qm"}, "a property is read from the file, nothing is computed; use hamlearn run"),
        (PROPERTY, {"shard": (0, 2)}, "a property is read from the file, nothing is computed; use hamlearn run"),
    ],
)
def test_other_stages_are_refused_with_the_names_of_all(folder, tmp_path, sections, options, words):
    config = build_config({**sections, "structures": {"file": str(folder / "waters.extxyz")}})
    with pytest.raises(ConfigError) as caught:
        run(config, tmp_path / "out", echo=None, **options)
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_run_stops_before_targets_where_too_many_calculations_failed(folder, tmp_path, monkeypatch):
    from hamlearn.qm import task

    def fail(*_):
        raise SCFError("no step converged")

    monkeypatch.setattr(task, "run_scf", fail)
    options = {"executor": "serial", "echo": None}
    config = build_config({**SETTINGS, "structures": {"file": str(folder / "waters.extxyz")}})
    computed = run(config, tmp_path / "out", until="qm", **options)
    assert computed.results is None and set(computed.failures) == set(range(9))
    with pytest.raises(SCFError, match="too many calculations failed to go on"):
        run(config, tmp_path / "out", until="targets", **options)
    assert not (tmp_path / "out" / "targets").exists()


def test_a_run_takes_the_path_of_a_workflow(folder):
    again = run(str(folder / "water.yaml"), folder / "out", executor="serial", echo=None)
    assert again.results["n_train"] == 6 and again.report == folder / "out" / "report.html"
    assert repr(again).startswith("RunResult(") and len(repr(again).splitlines()) <= 10
    with pytest.raises(ConfigError, match=r"none.yaml does not exist"):
        run(folder / "none.yaml", folder / "other", echo=None)


def test_predictions_of_files_and_objects_are_the_same(folder, tmp_path):
    model, others = folder / "out" / "model", ase.io.read(folder / "others.extxyz", ":")
    first = predict(model, folder / "others.extxyz", tmp_path / "file")
    assert len(first) == 4
    for k, given in enumerate((others, iter(others))):
        found = predict(model, given, tmp_path / f"many{k}")
        assert (tmp_path / f"many{k}" / "hamiltonians.h5").exists()
        for one, other in zip(first, found, strict=True):
            assert np.allclose(one.hamiltonian, other.hamiltonian, atol=1e-10)
    for k, given in enumerate((str(folder / "one.extxyz"), others[0])):
        (prediction,) = predict(model, given, tmp_path / f"one{k}")
        assert np.allclose(prediction.hamiltonian, first[0].hamiltonian, atol=1e-10)
        assert " +- " in repr(prediction)
    with pytest.raises(StructureError, match="number 0 is a str"):
        predict(model, ["others.extxyz"], tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def test_evaluations_of_files_and_objects_are_the_same(folder, tmp_path):
    model, one = folder / "out" / "model", ase.io.read(folder / "one.extxyz")
    errors = [
        evaluate(model, given, tmp_path / f"{k}", "serial", echo=None)
        for k, given in enumerate((folder / "one.extxyz", one, [one]))
    ]
    assert errors[0]["n_test"] == 1 and same(errors[0], errors[1]) and same(errors[1], errors[2])


def test_selections_of_files_and_objects_are_the_same(folder):
    model, others = folder / "out" / "model", ase.io.read(folder / "others.extxyz", ":")
    known = ase.io.read(folder / "waters.extxyz", ":")
    reports = [
        select(model, folder / "others.extxyz", 2, by="farthest", known=folder / "waters.extxyz"),
        select(model, others, 2, by="farthest", known=known),
    ]
    assert reports[0].selection.indices.tolist() == reports[1].selection.indices.tolist()
    assert np.allclose(reports[0].selection.distances, reports[1].selection.distances)
    text = repr(reports[0])
    assert text.startswith("SelectionReport(") and "chosen=2, candidates=4, outside=0" in text
    assert "hamiltonian" not in text and len(text) < 400
