"""The README is true: its examples run as they stand, its settings load, its commands exist."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from typer.main import get_command

import hamlearn
from hamlearn import cli
from hamlearn.config import learners
from hamlearn.errors import ConfigError
from hamlearn.learning import registry
from hamlearn.structures import read_structures, split

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "workflows/README.md", "benchmarks/README.md")]
README = DOCUMENTS[0].read_text(encoding="utf-8")


def blocks(heading: str, language: str) -> list[str]:
    """The examples of a section."""
    section = re.split(r"^## ", README.partition(f"\n## {heading}\n")[2], flags=re.MULTILINE)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


def forget_learners(patch: pytest.MonkeyPatch) -> None:
    """Know the learners of the package alone."""
    for module, name in ((learners, "_KINDS"), (registry, "_LEARNERS")):
        known = getattr(module, name)
        patch.setattr(module, name, {kind: known[kind] for kind in ("ridge", "kernel")})


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with the data of the project, in which all examples run; learners are forgotten afterwards."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "data").symlink_to(ROOT / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        forget_learners(patch)
        yield folder


def executed(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, "README.md", "exec", dont_inherit=True), names)
    return names


def test_a_learned_hamiltonian(scratch: Path) -> None:
    names = executed(*blocks("A learned Hamiltonian in ten lines", "python"))
    assert hamlearn.metrics(names["predictions"], names["targets"][50:])["eigenvalue_rmse_mev"] < 2.0
    again = hamlearn.load_model("runs/model").predict(names["structures"][50:])
    np.testing.assert_array_equal(again[0].hamiltonian, names["predictions"][0].hamiltonian)


def test_kernels_with_error_bars(scratch: Path) -> None:
    names = executed(*blocks("Kernels that go on learning, and error bars", "python"))
    prediction = names["prediction"]
    assert 0 < prediction.gap_std_ev < 0.1 and prediction.eigenvalues_std_ev.shape == (6,)
    (true,) = (hamlearn.observables.reference_prediction(t) for t in names["targets"][30:31])
    assert abs(prediction.gap_ev - true.gap_ev) < 0.01


def test_energies_with_forces(scratch: Path) -> None:
    names = executed(blocks("Energies, forces, dipoles", "python")[0])
    prediction, atoms = names["prediction"], names["structures"][40]
    alone = names["model"].predict(atoms)[0]  # as the calculator does; among ten its last bits are others
    assert atoms.get_potential_energy() == pytest.approx(alone.value, abs=1e-9)
    assert alone.value == pytest.approx(prediction.value, rel=1e-11)
    np.testing.assert_allclose(atoms.get_forces(), prediction.forces, atol=1e-9)
    assert abs(prediction.value - atoms.info["energy_ev"]) < 0.01 and prediction.std > 0


def test_scikit_learn_takes_models(scratch: Path) -> None:
    pytest.importorskip("sklearn")
    names = executed(blocks("Energies, forces, dipoles", "python")[1])
    assert names["search"].best_score_ > 0.9
    assert names["search"].best_estimator_.predict(names["dipoles"][:1])[0].value.shape == (3,)


# -- a learner of your own


@pytest.fixture(scope="module")
def nearest(scratch: Path) -> dict[str, Any]:
    (code,), (workflow,) = (blocks("A learner of your own", language) for language in ("python", "yaml"))
    (scratch / "nearest.yaml").write_text(workflow)
    return executed(code)


def test_a_learner_of_ones_own_runs_from_a_file_to_the_report(nearest: dict[str, Any], scratch: Path) -> None:
    results = nearest["result"].results
    assert results["eigenvalue_rmse_mev"] < 50
    assert [row["n_train"] for row in results["learning_curve"]] == [20, 40]
    assert "a learner of kind nearest" in (scratch / "runs/nearest/report.html").read_text(encoding="utf-8")
    assert yaml.safe_load((scratch / "runs/nearest/config.yaml").read_text())["model"]["n"] == 20
    assert hamlearn.run("nearest.yaml", "runs/nearest", echo=None).results == results


def test_a_learner_of_ones_own_is_saved_and_loaded(nearest: dict[str, Any], scratch: Path) -> None:
    loaded, structures = nearest["model"], read_structures("data/water.extxyz")
    assert type(loaded.learner_) is nearest["NearestLearner"] and loaded.model == nearest["NearestSettings"](n=20)
    tested = [structures[k] for k in split(len(structures), 40, 10, 0)[1]]
    predicted = loaded.predict(tested)
    with h5py.File("runs/nearest/predictions/hamiltonians.h5") as file:
        for prediction, key in zip(predicted, sorted(file), strict=True):
            np.testing.assert_allclose(prediction.hamiltonian, file[key]["hamiltonian"], atol=1e-10)
    loaded.save("runs/again")
    again = hamlearn.load_model("runs/again").predict(tested[:1])[0]
    np.testing.assert_allclose(again.hamiltonian, predicted[0].hamiltonian, atol=1e-10)
    assert loaded.equivariance_error(tested[:2]) < 1e-9


def test_a_learner_of_ones_own_is_refused_in_words(nearest: dict[str, Any], scratch: Path) -> None:
    for override, words in (
        ("model.n=0", r"model\.n: must be at least 1, got 0"),
        (
            "model.active=3",
            r"model\.active: unknown setting of this kind of model; remove it, or set model\.kind: kern",
        ),
        ("target={kind: property, key: energy}", "model.kind nearest learns matrices; use kernel or ridge"),
    ):
        with pytest.raises(ConfigError, match=words):
            hamlearn.load_config("nearest.yaml", ["qm=", override] if "property" in override else [override])
    with pytest.raises(ConfigError, match="fitted without error bars"):
        nearest["model"].predict("data/water.extxyz", std=True)
    with pytest.raises(ConfigError, match="kind 'nearest' is that of NearestSettings already; choose another name"):
        hamlearn.register_learner("nearest", other_settings(), nearest["NearestLearner"])


def other_settings() -> type[hamlearn.ModelSettings]:
    from typing import Literal

    class Other(hamlearn.ModelSettings):
        """Something else."""

        kind: Literal["nearest"] = "nearest"

    return Other


def test_a_learner_nobody_registered(nearest: dict[str, Any], scratch: Path) -> None:
    registered = r"expected one of 'ridge' or 'kernel', got 'nearest'; one of your own must be registered first"
    with pytest.MonkeyPatch.context() as patch:
        forget_learners(patch)
        for load in (lambda: hamlearn.load_config("nearest.yaml"), lambda: hamlearn.load_model("runs/nearest/model")):
            with pytest.raises(ConfigError, match=registered):
                load()
        assert hamlearn.write_report("runs/nearest").exists()


def test_a_learner_of_an_installed_package_is_found_by_its_name(
    nearest: dict[str, Any], scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Entry:
        def load(self) -> Any:
            return lambda: hamlearn.register_learner("nearest", nearest["NearestSettings"], nearest["NearestLearner"])

    forget_learners(monkeypatch)
    asked = []
    monkeypatch.setattr(learners.metadata, "entry_points", lambda group: asked.append(group) or [Entry()])
    assert hamlearn.load_config("nearest.yaml", ["model.n=7"]).model == nearest["NearestSettings"](n=7)
    assert asked == ["hamlearn.learners"] and f'"{asked[0]}"' in README
    assert type(hamlearn.load_model("runs/nearest/model").learner_) is nearest["NearestLearner"]


# -- settings and commands


def test_settings_in_the_readme_load(tmp_path: Path) -> None:
    for heading, file in (
        ("The command line", "my_molecules.extxyz"),
        ("Energies, forces, dipoles", "molecules.extxyz"),
    ):
        (tmp_path / file).touch()
        (text,) = blocks(heading, "yaml")
        whole = {"structures": {"file": file}, "split": {"train": 8, "test": 2}} | yaml.safe_load(text)
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(whole))
        config = hamlearn.load_config(tmp_path / "run.yaml")
        assert config.model.kind == whole["model"]["kind"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_settings_and_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    verbs = get_command(cli.app).commands  # type: ignore[attr-defined]
    named = re.findall(r"(?:^    |`)hamlearn (\w+)", text, flags=re.MULTILINE)
    assert set(named) <= set(verbs)
    assert path != DOCUMENTS[0] or set(named) == set(verbs)
    named = re.findall(r"\b(?:workflows|benchmarks|data|tests)/[\w/]+\.(?:yaml|py|extxyz|json)\b", text)
    for file in set(named) - {"workflows/NAME.yaml"}:
        assert (ROOT / file).exists(), file
    known = set(hamlearn.config.problems.setting_fields([hamlearn.Config]))
    for name in re.findall(r"--set ([\w.]+)=", text):
        assert name in known, name
    old = ["features", "wigner", "kernel"]
    for section, end in product(old, (": {", ".")):
        assert not re.search(rf"`(--set )?{section}{re.escape(end)}", text), f"{section} is a section of model"


def test_names_of_python_in_the_readme_exist() -> None:
    for name in set(re.findall(r"\bhamlearn\.(\w+)(?=[(.`)])", README)) - {"extxyz"}:
        assert hasattr(hamlearn, name) or (ROOT / "hamlearn" / name).is_dir() or name in ("learners", "errors"), name
