"""Workflow files that learn a property: what is read, what is refused, and in which words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from hamlearn.config import (
    KernelRidgeSettings,
    KernelSettings,
    WignerSettings,
    compare_configs,
    dump_config,
    installed_versions,
    load_config,
)
from hamlearn.errors import ConfigError

pytestmark = pytest.mark.usefixtures("own_learners")

SMALL = {"structures": {"file": "water.xyz"}, "split": {"train": 8, "test": 2}}
PROPERTY = "target={kind: property, key: energy, forces_key: forces}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "water.xyz").write_text("0\n\n")
    write(tmp_path, yaml.safe_dump(SMALL))
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, *overrides: str) -> str:
    """The message with which a workflow file is refused."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_a_property_is_learned_by_kernels_and_carries_no_settings_of_matrices(folder: Path) -> None:
    config = load_config(folder / "run.yaml", [PROPERTY, "model.active={O: 5, H: 10}", "model.kernel.max_nu=3"])
    assert (config.model.kind, config.model.active) == ("kernel", {"O": 5, "H": 10})
    assert config.model.kernel == KernelSettings(max_nu=3)
    written = yaml.safe_load(dump_config(config))
    assert written["qm"] is None and set(written) == {"structures", "qm", "target", "model", "split"}
    assert written["target"] == {
        "kind": "property",
        "key": "energy",
        "l": 0,
        "sigma": 1,
        "forces_key": "forces",
        "energy_weight": 1.0,
        "force_weight": 1.0,
        "baseline": None,
        "unit": None,
    }
    assert load_config(write(folder, dump_config(config, installed_versions()))) == config


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.kind=ridge", "target.forces_key: ridge regression of features learns no forces; use model.kind kernel"),
        ("qm.basis=sto-3g", "qm was given, but a property (target.kind) is learned from the file; remove it"),
        (
            "model.features.max_l=2",
            "model.features: unknown setting of this kind of model; remove it, or set model.kind",
        ),
        (
            "target.delta=none",
            "target.delta: unknown setting of this kind of target; remove it, or set target.kind: saph",
        ),
        ("target.energy_weight=0", "target.energy_weight: must be larger than 0, got 0"),
        ("model.kernel.a=0", "model.kernel.a: must be larger than 0, got 0"),
        ("model.kernel.zeta=2", "zeta belongs to the kinds order and soap"),
        ("model.kernel.cutoff_angstrom=0.2", "cutoff_angstrom 0.2 must exceed cutoff_width_angstrom"),
        (
            "model.kernel.kind=pairs",
            "model.kernel.kind pairs cannot learn target.kind property: properties are learned",
        ),
        ("model.kernel.kind=soap", "forces (target.forces_key) need a kernel with derivatives, which"),
        ("model.kernel.max_nu_pair=2", "max_nu_pair: unknown setting of this kind of model.kernel; remove it, or set"),
        ("model.kernel={kind: wigner, max_l: 9}", "model.kernel.max_l: must be at most 8, got 9"),
        ("model.active=0", "model.active: expected a whole number of at least 1, or one for each element"),
        ("model.active={O: 0}", "such as {O: 50, H: 80}, got {'O': 0}"),
        ("model.active={X: 5}", "model.active names the element 'X'"),
        ("model={basis: full, active: 3}", "active 3 belongs to the basis sparse, got basis full; drop one"),
        ("model={basis: derivatives, solver: qr}", "solver qr belongs to the basis sparse, got basis derivatives"),
        ("model.active_by=structures", "active_by structures belongs to kernels of pairs, got wigner; remove it"),
        ("model.basis=dense", "model.basis: expected one of 'full', 'sparse' or 'derivatives', got 'dense'"),
        ("model.basis=full", "model.basis full learns no forces; use sparse, or derivatives for few structures"),
        ("model={kernel: {a: 1, b: 1, c0: 1}, loss: mae}", "loss was given, but these kernels leave nothing to choose"),
        ("model={kernel: {a: 1, b: 1, c0: 1}, optimise: grid}", "optimise was given, but the kernel gives the whole"),
        ("model={kernel: {kind: order, a: 1, c0: 1}, optimise: annealing}", "optimise was given, but the kernel gives"),
        ("model.kernel={kind: soap, b: 1}", "b is the rate of a mixture of orders, kind wigner, got kind soap; remove"),
        ("model.active=many", "such as {O: 50, H: 80}, got many"),
    ],
)
def test_refused_settings_of_properties(folder: Path, override: str, expected: str) -> None:
    assert expected in refusal(folder / "run.yaml", PROPERTY, override)


@pytest.mark.parametrize(
    ("kernel", "names"),
    [
        ({"kind": "wigner", "a": 1.0, "b": 1.0}, ("loss", "optimise")),
        ({"kind": "order", "c0": 1.0}, ("loss", "optimise")),
        ({"kind": "wigner", "a": 1.0, "b": 1.0, "c0": 1.0, "additive": ["pair"]}, ("loss",)),
        ({"kind": "wigner", "a": 1.0, "b": 1.0, "c0": 1.0, "grid": {"max_nu": [2, 3]}}, ("loss",)),
        ({"kind": "pairs", "rate": None}, ("loss",)),
        ({"kind": "pairs", "grid": {"rate": [0.5, 1.0]}}, ("loss",)),
    ],
)
def test_choices_are_set_where_kernels_leave_one(kernel: dict, names: tuple) -> None:
    given = {"loss": "mae", "optimise": "annealing"}
    settings = KernelRidgeSettings(kernel=kernel, **{name: given[name] for name in names})
    assert settings.loss == settings.measure == "mae"
    of_pairs = kernel.get("kind") == "pairs"
    whole = settings.with_kernel(WignerSettings() if of_pairs else KernelSettings(a=1.0, b=1.0, c0=1.0))
    assert (whole.loss, whole.optimise, whole.measure) == (None, None, "rmse")
    assert KernelRidgeSettings(**whole.model_dump()) == whole  # as a run writes it


def test_a_solver_needs_a_basis_that_has_one(folder: Path) -> None:
    scalar = "target={kind: property, key: energy}"
    words = refusal(folder / "run.yaml", scalar, "model.solver=qr")
    assert "model.solver qr belongs to the basis sparse, but this fit has the basis full; remove it, or set" in words
    for more in (["model.active=3"], ["model.basis=sparse"]):
        assert load_config(folder / "run.yaml", [scalar, "model.solver=qr", *more]).model.solver == "qr"
    assert load_config(folder / "run.yaml", [PROPERTY, "model.solver=qr"]).model.solver == "qr"  # sparse with forces


def test_a_property_without_forces_has_no_weights_and_no_derivatives(folder: Path) -> None:
    scalar = "target={kind: property, key: energy}"
    weighted = refusal(folder / "run.yaml", scalar, "target.force_weight=2")
    assert "force_weight was given, but no forces are learned (forces_key); remove it" in weighted
    assert "model.basis derivatives needs forces" in refusal(folder / "run.yaml", scalar, "model.basis=derivatives")


def test_differences_between_kinds_of_targets_are_named(folder: Path) -> None:
    old, new = load_config(folder / "run.yaml"), load_config(folder / "run.yaml", [PROPERTY])
    calculation, *kinds = compare_configs(old, new)
    assert calculation.startswith("qm: {'method': 'RHF', ") and calculation.endswith(" (folder) against null (now)")
    assert kinds == [  # and nothing of what only one kind has
        "target.kind: saph (folder) against property (now)",
        "model.kind: ridge (folder) against kernel (now)",
    ]
    other = load_config(folder / "run.yaml", [PROPERTY, "target.key=dipole", "target.forces_key="])
    assert compare_configs(new, other) == [
        "target.key: energy (folder) against dipole (now)",
        "target.forces_key: forces (folder) against null (now)",
    ]


def test_a_file_of_each_kind_of_model_for_properties(tmp_path: Path) -> None:
    (tmp_path / "water.xyz").touch()
    path = tmp_path / "run.yaml"
    head = "structures: {file: water.xyz}\nsplit: {train: 8, test: 2}\ntarget: {kind: property, key: energy}\n"
    path.write_text(head + "model: {kind: ridge, features: {max_l: 2}}\n")
    assert load_config(path).model.features.max_l == 2
    for wrong, words in (
        ("features: {pair_cutoff_angstrom: 4}", "model.features.pair_cutoff_angstrom was given, but a property has"),
        ("features: {max_nu_pair: 0}", "model.features.max_nu_pair was given, but a property has features of atoms"),
    ):
        path.write_text(head + f"model: {{kind: ridge, {wrong}}}\n")
        with pytest.raises(ConfigError, match=re.escape(words)):
            load_config(path)
    path.write_text(head.replace("energy}", "dipole, l: 1}") + "model: {kind: ridge, features: {max_l: 0}}\n")
    with pytest.raises(ConfigError, match=r"target\.l 1 needs model\.features\.max_l of at least 1"):
        load_config(path)
