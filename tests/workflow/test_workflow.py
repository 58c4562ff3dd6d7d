import json
import os
import subprocess
import sys
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import build_config
from hamlearn.errors import ArtifactError, ConfigError, DomainError, HamlearnWarning, SCFError
from hamlearn.model.loading import load_model
from hamlearn.structures.splits import split
from hamlearn.workflow import evaluate, predict, run

ROOT = Path(__file__).parents[2]
FIXED = {
    "n_train", "n_test", "hamiltonian_rmse_mev", "eigenvalue_rmse_mev", "eigenvalue_mae_mev", "gap_rmse_mev",
    "gap_mae_mev", "equivariance_error", "seconds", "peak_memory_gb", "learning_curve",
}  # fmt: skip


def settings(file, model=None, **sections):
    base = {
        "structures": {"file": str(file)},
        "qm": {"basis": "sto-3g"},
        "model": {"features": {"max_l": 3, "max_n": 3}, **(model or {})},
        "split": {"train": 16, "test": 11, "curve": [4, 16], "repeats": 2},
    }
    return build_config({**base, **sections})


@pytest.fixture(scope="module")
def file(waters, tmp_path_factory):
    path = tmp_path_factory.mktemp("input") / "waters.extxyz"
    ase.io.write(path, waters[:30])
    return path


@pytest.fixture(scope="module")
def finished(file, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    lines = []
    return out, run(settings(file), out, executor="serial", echo=lines.append), lines


def test_results_have_the_promised_names(finished):
    out, result, _ = finished
    stored = json.loads((out / "results.json").read_text())
    assert stored == {"kind": "results", "format_version": 1, **result.results}
    assert set(stored) >= FIXED
    assert set(stored["seconds"]) == {"qm", "targets", "features", "fit", "predict", "curve"}
    assert all(s > 0 for s in stored["seconds"].values())
    assert [(row["n_train"], row["order"]) for row in stored["learning_curve"]] == [(4, 0), (16, 0), (4, 1), (16, 1)]
    assert stored["learning_curve"][1]["gap_mae_mev"] == stored["gap_mae_mev"]
    assert stored["learning_curve"][0]["eigenvalue_rmse_mev"] > stored["eigenvalue_rmse_mev"]
    assert (stored["n_train"], stored["n_test"]) == (16, 11)
    assert 0 < stored["peak_memory_gb"] < 8
    assert stored["equivariance_error"] < 1e-10
    assert result.failures == {} and result.report == out / "report.html"
    squares = sum(row["rmse_mev"] ** 2 for row in stored["block_errors"])
    assert squares == pytest.approx(stored["hamiltonian_rmse_mev"] ** 2)


def test_split_is_the_first_and_last_of_a_seeded_permutation(finished, waters):
    out, _, _ = finished
    order = np.random.default_rng(0).permutation(30)
    tested = ase.io.read(out / "predictions" / "predictions.extxyz", ":")
    for atoms, index in zip(tested, order[-11:], strict=True):
        assert atoms.info["hamlearn_index"] == index
        np.testing.assert_allclose(atoms.positions, waters[index].positions, atol=1e-7)


def test_a_second_run_does_nothing_again(finished, file):
    out, result, _ = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again = run(settings(file), out, executor="serial", echo=None)
    assert again.results == result.results
    changed = {path.name for path, t in before.items() if path.stat().st_mtime_ns != t}
    made_again = {"campaign.json", ".lock", "report.html"} | {path.name for path in (out / "figures").iterdir()}
    assert changed <= made_again


def test_same_input_gives_equal_results(finished, file, tmp_path):
    _, result, _ = finished
    other = run(settings(file), tmp_path / "again", executor="serial", until="curve", echo=None).results
    clock = ("seconds", "peak_memory_gb")
    assert {k: v for k, v in other.items() if k not in clock} == {
        k: v for k, v in result.results.items() if k not in clock
    }


@pytest.mark.parametrize("missing", ["targets", "model", "evaluation.json", "results.json", "curve", "qm"])
def test_any_stage_can_be_made_again(finished, file, tmp_path, missing):
    import shutil

    out = shutil.copytree(finished[0], tmp_path / "copy")
    shutil.rmtree(out / missing, ignore_errors=True)
    (out / missing).unlink(missing_ok=True)
    again = run(settings(file), out, executor="serial", until="curve", echo=None).results
    assert again["eigenvalue_rmse_mev"] == finished[1].results["eigenvalue_rmse_mev"]
    assert (out / missing).exists()


def test_stages_stop_where_asked(file, tmp_path):
    result = run(settings(file), tmp_path / "out", executor="serial", until="qm", echo=None)
    assert (result.results, result.report) == (None, None)
    assert not (tmp_path / "out" / "targets").exists()
    run(settings(file), tmp_path / "out", executor="serial", until="fit", echo=None)
    assert (tmp_path / "out" / "model").exists() and not (tmp_path / "out" / "predictions").exists()


def test_shards_share_the_work(file, tmp_path):
    config = settings(file)
    for k in range(3):
        run(config, tmp_path / "out", executor="serial", shard=(k, 3), echo=None)
        assert len(list((tmp_path / "out" / "qm").glob("*.npz"))) == 9 * (k + 1)
    lines = []
    run(config, tmp_path / "out", executor="serial", until="qm", echo=lines.append)
    assert len(list((tmp_path / "out" / "qm").glob("*.npz"))) == 27


def test_memory_and_place_of_the_file_may_change(finished, file, tmp_path):
    moved = tmp_path / "elsewhere.extxyz"
    moved.write_bytes(file.read_bytes())
    moved_run = settings(moved, model={"memory_gb": 2})
    result = run(moved_run, finished[0], executor="serial", until="curve", echo=None)
    assert result.results == finished[1].results


def test_a_bad_executor_or_stage_leaves_nothing_behind(file, tmp_path):
    for words in ({"executor": "nonsense"}, {"until": "lunch"}, {"shard": (5, 2)}):
        with pytest.raises(ConfigError, match="expected"):
            run(settings(file), tmp_path / "out", **{"executor": "serial", "echo": None, **words})
    assert not (tmp_path / "out").exists()


def mixed(path, formulas):
    """Small closed-shell molecules and atoms in a file, each distorted in its own way."""
    rng = np.random.default_rng(0)
    shapes = {"N2": 1.1, "CO": 1.13, "CO2": None, "He": None, "H2": 0.74}
    structures = []
    for formula in formulas:
        if formula == "He":
            atoms = Atoms("He")
        elif formula == "CO2":
            atoms = Atoms("OCO", [[0, 0, -1.16], [0, 0, 0], [0, 0, 1.16]])
        else:
            length = shapes[formula]
            atoms = Atoms(formula if formula != "H2" else "HH", [[0, 0, 0], [0, 0, length]])
        atoms.positions *= 1 + 0.03 * rng.normal()
        structures.append(atoms)
    ase.io.write(path, structures)
    return path


@pytest.mark.parametrize(
    "features",
    [{"max_l": 2, "max_n": 2}, {"max_l": 0, "max_n": 1, "max_nu_centre": 0, "max_nu_pair": 0, "optimal": False}],
)
@pytest.mark.filterwarnings("ignore:no feature reaches")
@pytest.mark.filterwarnings("ignore:.*equal to a training structure")
def test_linear_molecules_and_lone_atoms(tmp_path, features):
    """Blocks without features, symmetries that vanish, molecules of different sizes in one batch."""
    file = mixed(tmp_path / "mixed.extxyz", ["CO2", "He", "CO", "CO2", "CO"] * 3)
    config = settings(
        file,
        split={"train": 10, "test": 5},
        target={"kind": "lowdin"},
        model={"features": features, "folds": 20},
    )
    result = run(config, tmp_path / "out", executor="serial", echo=None)
    assert result.results["equivariance_error"] < 1e-10
    assert load_model(tmp_path / "out" / "model").learner_.fits_


def test_test_set_outside_the_training_set_is_refused_before_any_calculation(tmp_path):
    order = np.random.default_rng(0).permutation(12)
    formulas = np.full(12, "H2", dtype=object)
    formulas[order[-1]] = "N2"
    file = mixed(tmp_path / "mixed.extxyz", formulas)
    with pytest.raises(DomainError, match=rf"structure {order[-1]} \(N2\): element N not in the training set"):
        run(settings(file, split={"train": 8, "test": 4}), tmp_path / "out", executor="serial", echo=None)
    assert not (tmp_path / "out").exists()


def test_curve_points_without_the_elements_of_the_test_set_are_left_out(tmp_path):
    order = np.random.default_rng(0).permutation(12)
    formulas = np.full(12, "H2", dtype=object)
    formulas[[order[5], order[-1]]] = "N2"
    file, lines = mixed(tmp_path / "mixed.extxyz", formulas), []
    config = settings(file, split={"train": 8, "test": 4, "curve": [3, 8]}, target={"kind": "lowdin"})
    result = run(config, tmp_path / "out", executor="serial", until="curve", echo=lines.append)
    assert [row["n_train"] for row in result.results["learning_curve"]] == [8]
    assert any("3 structures are left out (element N not in the training set" in line for line in lines)


def test_damaged_parts_are_refused_in_words(finished, file, tmp_path):
    import shutil

    for name in ("results.json", "evaluation.json", "seconds.json", "curve/order-0-train-4.json"):
        out = shutil.copytree(finished[0], tmp_path / name.replace("/", "-"))
        (out / name).write_text((out / name).read_text()[:20])
        if name in ("evaluation.json", "seconds.json"):
            (out / "results.json").unlink()
        with pytest.raises(ArtifactError, match="truncated or damaged"):
            run(settings(file), out, executor="serial", echo=None)


def test_a_killed_prediction_can_be_made_again(finished, file, tmp_path):
    predict(finished[0] / "model", file, tmp_path / "pred")
    (tmp_path / "pred" / "predictions.extxyz").unlink()
    predict(finished[0] / "model", file, tmp_path / "pred")
    assert (tmp_path / "pred" / "predictions.extxyz").exists()


RUN_AND_DIE = """
import multiprocessing, sys, time
from pathlib import Path
from test_workflow import run, settings

file, out, *stages = map(Path, sys.argv[1:])
for after in stages:
    assert not list((out / after).glob("*"))
    options = {"executor": "serial", "echo": None}
    process = multiprocessing.get_context("fork").Process(target=run, args=(settings(file), out), kwargs=options)
    process.start()
    while process.is_alive() and not any((out / after).glob("*")):
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -9 and not (out / "results.json").exists()
"""


def test_kill_and_resume_of_a_whole_run(file, tmp_path, finished):
    """kill -9 as soon as a stage has written something, in every stage of one run; it ends with the same figures."""
    out, stages = tmp_path / "out", ("qm", "targets", "model", "predictions", "curve")
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN_AND_DIE, file, out, *stages]
    subprocess.run(command, env=environment, check=True)
    again = run(settings(file), out, executor="serial", echo=None).results
    for key in ("eigenvalue_rmse_mev", "gap_rmse_mev"):
        assert again[key] == pytest.approx(finished[1].results[key], rel=1e-6)
    assert [row["n_train"] for row in again["learning_curve"]] == [4, 16, 4, 16]
    assert not list((out / "qm").rglob("*.tmp"))


def test_a_folder_of_something_else_is_left_alone(file, tmp_path):
    (tmp_path / "photos.zip").write_text("holiday")
    with pytest.raises(ArtifactError, match=r"not empty \(photos.zip\)"):
        run(settings(file), tmp_path, executor="serial", echo=None)
    assert [p.name for p in tmp_path.iterdir()] == ["photos.zip"]


def test_predictions_on_disk(finished, file, waters, tmp_path):
    out, _, _ = finished
    predictions = predict(out / "model", file, tmp_path / "pred")
    direct = load_model(out / "model").predict(ase.io.read(file, ":"))
    labelled = ase.io.read(tmp_path / "pred" / "predictions.extxyz", ":")
    with h5py.File(tmp_path / "pred" / "hamiltonians.h5") as stored:
        assert sorted(stored) == [f"{k:06d}" for k in range(30)]
        for k, (a, b, atoms) in enumerate(zip(predictions, direct, labelled, strict=True)):
            group = stored[f"{k:06d}"]
            np.testing.assert_array_equal(group["hamiltonian"][:], b.hamiltonian)
            np.testing.assert_array_equal(group["eigenvalues_ev"][:], a.eigenvalues_ev)
            assert list(group["hamiltonian"].attrs["ao_labels"])[:2] == ["0 O 2s", "0 O 2p+1"]
            assert atoms.info["hamlearn_gap_ev"] == pytest.approx(a.gap_ev, abs=1e-6)
            assert atoms.info["hamlearn_lumo_ev"] - atoms.info["hamlearn_homo_ev"] == pytest.approx(a.gap_ev, abs=1e-6)
    with pytest.raises(ArtifactError, match="is not empty"):
        predict(out / "model", file, tmp_path / "pred")


def test_evaluate_agrees_with_the_run(finished, file, waters, tmp_path):
    out, result, _ = finished
    order = np.random.default_rng(0).permutation(30)
    ase.io.write(tmp_path / "test.extxyz", [ase.io.read(file, ":")[k] for k in order[-11:]])
    errors = evaluate(out / "model", tmp_path / "test.extxyz", tmp_path / "eval", executor="serial", echo=None)
    assert errors["n_test"] == 11
    for key in ("eigenvalue_rmse_mev", "gap_mae_mev", "hamiltonian_rmse_mev"):
        assert errors[key] == pytest.approx(result.results[key], rel=1e-4)
    with pytest.raises(ArtifactError, match="is not empty"):
        evaluate(out / "model", tmp_path / "test.extxyz", tmp_path / "eval", executor="serial", echo=None)


def test_a_killed_evaluation_goes_on_and_a_killed_prediction_is_done_again(finished, file, tmp_path, monkeypatch):
    """What was written last is missing; the calculations are not done again."""
    from hamlearn.qm import task

    model, new = finished[0] / "model", tmp_path / "new.extxyz"
    ase.io.write(new, ase.io.read(file, ":3"))
    errors = evaluate(model, new, tmp_path / "eval", executor="serial", echo=None)
    predictions = predict(model, new, tmp_path / "pred")
    (tmp_path / "eval" / "errors.json").unlink()
    (tmp_path / "pred" / "predictions.extxyz").unlink()
    monkeypatch.setattr(task, "run_scf", None)
    assert evaluate(model, new, tmp_path / "eval", executor="serial", echo=None) == errors
    assert predict(model, new, tmp_path / "pred") == predictions


def test_evaluate_leaves_other_folders_alone(finished, file, tmp_path):
    out = finished[0]
    predict(out / "model", file, tmp_path / "pred")
    before = (tmp_path / "pred" / "predictions.extxyz").read_bytes()
    for folder in (tmp_path / "pred", out, out / "model"):
        with pytest.raises(ArtifactError, match="is not empty"):
            evaluate(out / "model", file, folder, executor="serial", echo=None)
    assert (tmp_path / "pred" / "predictions.extxyz").read_bytes() == before


def test_without_test_structures(file, tmp_path):
    config = settings(file, split={"train": 6, "test": 0})
    result = run(config, tmp_path / "out", executor="serial", echo=None)
    assert result.results["n_test"] == 0 and result.report.exists()
    assert "eigenvalue_rmse_mev" not in result.results


def test_unknown_functional_leaves_nothing_behind(file, tmp_path):
    config = settings(file, qm={"method": "RKS", "xc": "wonderful", "basis": "sto-3g"})
    with pytest.raises(ConfigError, match="wonderful"):
        run(config, tmp_path / "out", executor="serial", echo=None)
    assert not (tmp_path / "out").exists()


def test_failed_calculations_are_left_out_and_listed(file, tmp_path, monkeypatch):
    """Two molecules that do not converge: the run goes on without them and says which."""
    from hamlearn.qm import task

    whole, order = task.run_scf, np.random.default_rng(0).permutation(30)
    doomed = [np.asarray(ase.io.read(file, ":")[k].positions) for k in (order[2], order[-1])]

    def run_scf(numbers, positions, *args, **kwargs):
        from hamlearn.units import BOHR_ANGSTROM

        if any(np.allclose(positions * BOHR_ANGSTROM, d) for d in doomed):
            raise SCFError("not converged")
        return whole(numbers, positions, *args, **kwargs)

    monkeypatch.setattr(task, "run_scf", run_scf)
    result = run(settings(file), tmp_path / "out", executor="serial", until="curve", echo=None)
    assert set(result.failures) == {order[2], order[-1]}
    assert (result.results["n_train"], result.results["n_test"]) == (15, 10)
    assert set(result.results["failures"]) == {str(order[2]), str(order[-1])}


def test_structures_to_test_on_that_were_learned_are_said(waters, tmp_path):
    """In every pose, on the terminal and in the report."""
    turned = [Atoms(a.numbers[[0, 2, 1]], a.positions[[0, 2, 1]] @ np.diag([-1, 1, 1])) for a in waters[:6]]
    ase.io.write(tmp_path / "twice.xyz", [*waters[:6], *turned])
    sizes = {"train": 6, "test": 6}
    with pytest.warns(HamlearnWarning, match=r"(\d) of 6 test structures are equal .*\(12 structures, 6 dist") as said:
        result = run(settings(tmp_path / "twice.xyz", split=sizes), tmp_path / "out", executor="serial", echo=None)
    words = next(str(w.message) for w in said if "test structures are equal" in str(w.message))
    train, test = split(12, 6, 6, 0)
    assert words.startswith(f"{np.isin(test % 6, train % 6).sum()} of 6")
    assert result.results["repeated"] == words
    assert words in result.report.read_text(encoding="utf-8")


def test_nothing_is_said_of_distinct_structures(finished):
    assert "repeated" not in finished[1].results


def test_a_store_of_something_else_is_refused_before_anything(finished, file, tmp_path):
    with pytest.raises(ArtifactError, match="holds something else"):
        run(settings(file, qm={"basis": "sto-3g", "store": str(finished[0])}), tmp_path / "out", echo=None)
    assert not (tmp_path / "out").exists()
