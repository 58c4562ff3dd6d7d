"""The workflow file: what is read, what is refused, and in which words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from hamlearn.config import (
    Config,
    QMSettings,
    build_config,
    compare_configs,
    defaults_text,
    dump_config,
    installed_versions,
    json_schema,
    load_config,
)
from hamlearn.errors import ArtifactError, ConfigError

SMALL = {"structures": {"file": "water.xyz"}, "split": {"train": 8, "test": 2}}


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


# -- what is read


def test_defaults_are_the_documented_ones(folder: Path) -> None:
    config = load_config(folder / "run.yaml")
    assert config.qm == QMSettings(method="RHF", xc=None, basis="def2-SVP", guess="minao", conv_tol=1e-10)
    assert config.target.model_dump() == {
        "kind": "saph",
        "delta": "none",
        "virtuals": "lowest",
        "minimal_basis": "subset",
        "form": "orthogonal",
    }
    assert config.features.model_dump() == {
        "cutoff_angstrom": 3.5,
        "cutoff_width_angstrom": 0.5,
        "pair_cutoff_angstrom": 6.0,
        "smearing_angstrom": 0.3,
        "radial": "gto",
        "max_n": 6,
        "optimal": True,
        "max_l": 6,
        "max_nu_centre": 2,
        "max_nu_pair": 1,
        "scaling": None,
    }
    assert config.model.model_dump() == {"kind": "ridge", "folds": 3, "memory_gb": 4.0, "error_bars": False}
    assert config.split.model_dump() == {"train": 8, "test": 2, "seed": 0, "curve": (), "repeats": 1}


def test_overrides_replace_and_create_settings(folder: Path) -> None:
    config = load_config(
        folder / "run.yaml",
        ["features.max_l=8", "qm.conv_tol=1e-8", "split.curve=[8, 2, 4]", "features.scaling.rate=2", "qm.basis=sto-3g"],
    )
    assert config.features.max_l == 8
    assert config.qm.conv_tol == 1e-8
    assert config.split.curve == (2, 4, 8)
    assert config.features.scaling is not None and config.features.scaling.rate == 2.0
    assert config.qm.basis == "sto-3g"


def test_structures_are_found_beside_the_workflow_then_in_the_current_folder(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    assert load_config(folder / "run.yaml").structures.file == str(folder / "water.xyz")
    (elsewhere / "other.xyz").write_text("0\n\n")
    config = load_config(folder / "run.yaml", ["structures.file=other.xyz"])
    assert config.structures.file == str(elsewhere / "other.xyz")
    assert "'none.xyz' was not found in" in refusal(folder / "run.yaml", "structures.file=none.xyz")


def test_variables_in_the_path_are_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DATA", str(folder))
    for form in ("$MY_DATA/water.xyz", "${MY_DATA}/water.xyz"):
        assert load_config(folder / "run.yaml", [f"structures.file={form}"]).structures.file == str(
            folder / "water.xyz"
        )
    monkeypatch.delenv("MY_DATA")
    message = refusal(folder / "run.yaml", "structures.file=$MY_DATA/water.xyz")
    assert "MY_DATA" in message and "not set" in message


def test_resolved_config_reads_back_equal_without_its_data(folder: Path) -> None:
    config = load_config(folder / "run.yaml", ["split.curve=[4, 8]", "features.scaling={rate: 3}"])
    (folder / "water.xyz").unlink()
    for text in (dump_config(config), dump_config(config, installed_versions())):
        assert load_config(write(folder, text)) == config


def test_config_of_a_newer_format_is_refused(folder: Path) -> None:
    config = load_config(folder / "run.yaml")
    text = dump_config(config, installed_versions()).replace("format_version: 1", "format_version: 2")
    with pytest.raises(ArtifactError, match="upgrade hamlearn"):
        load_config(write(folder, text))


PROPERTY = "target={kind: property, key: energy, forces_key: forces}"


def test_a_property_is_learned_by_kernels_and_carries_no_settings_of_matrices(folder: Path) -> None:
    config = load_config(folder / "run.yaml", [PROPERTY, "model.active={O: 5, H: 10}", "kernel.max_nu=3"])
    assert (config.model.kind, config.model.active, config.kernel.max_nu) == ("kernel", {"O": 5, "H": 10}, 3)
    written = yaml.safe_load(dump_config(config))
    assert set(written) == {"structures", "target", "kernel", "model", "split"}
    assert written["target"] == {
        "kind": "property",
        "key": "energy",
        "l": 0,
        "sigma": 1,
        "forces_key": "forces",
        "baseline": None,
        "unit": None,
    }
    assert load_config(write(folder, dump_config(config, installed_versions()))) == config


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.kind=ridge", "model.kind ridge cannot learn target.kind property: properties are learned by kernel"),
        ("qm.basis=sto-3g", "qm was given, but a property (target.kind) is learned from the file by a kernel"),
        ("features.max_l=2", "features was given, but a property"),
        ("kernel.a=0", "kernel.a: must be larger than 0, got 0"),
        ("kernel.zeta=2", "zeta belongs to the kinds order and soap"),
        ("kernel.cutoff_angstrom=0.2", "cutoff_angstrom 0.2 must exceed cutoff_width_angstrom"),
        ("model.active=0", "model.active: expected a whole number of at least 1, or one for each element"),
        ("model.active={O: 0}", "such as {O: 50, H: 80}, got {'O': 0}"),
        ("model={basis: full, active: 3}", "active belongs to the basis sparse, got basis full"),
        ("model.basis=dense", "model.basis: expected one of 'full', 'sparse' or 'derivatives', got 'dense'"),
        ("model.active_by=structures", "active_by was given, but model.kind is kernel, whose active environments"),
        ("model.active=many", "such as {O: 50, H: 80}, got many"),
    ],
)
def test_refused_settings_of_properties(folder: Path, override: str, expected: str) -> None:
    assert expected in refusal(folder / "run.yaml", PROPERTY, override)


def test_settings_of_the_other_kind_are_accepted_at_their_defaults(folder: Path) -> None:
    config = load_config(folder / "run.yaml", [PROPERTY, "qm.basis=def2-SVP", "target.delta=none"])
    assert config == load_config(folder / "run.yaml", [PROPERTY])


def test_differences_between_kinds_of_targets_are_named(folder: Path) -> None:
    old, new = load_config(folder / "run.yaml"), load_config(folder / "run.yaml", [PROPERTY])
    lines = compare_configs(old, new)
    assert "target.kind: saph (folder) against property (now)" in lines
    assert "target.key: null (folder) against energy (now)" in lines


# -- what is refused


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("features.max_k=3", "features.max_k: unknown setting; did you mean 'max_"),
        ("features.max_nu_center=1", "did you mean 'max_nu_centre'?"),
        ("feature.max_l=3", "feature: unknown setting; did you mean 'features'?"),
        ("basis=sto-3g", "basis: unknown setting; did you mean 'qm.basis or model.basis'?"),
        ("qm.train=3", "qm.train: unknown setting; did you mean 'split.train'?"),
        ("qm.zzz=3", "qm.zzz: unknown setting; known here: method, xc, basis, guess, conv_tol"),
        ("features.max_l=many", "features.max_l: expected a whole number, got 'many'"),
        ("features.max_l=2.5", "features.max_l: expected a whole number, got 2.5"),
        ("features.max_l=9", "features.max_l: must be at most 8, got 9"),
        ("features.max_l=-1", "features.max_l: must be at least 0, got -1"),
        ("features.max_l=true", "features.max_l: true and false are not accepted"),
        ("features.optimal=perhaps", "features.optimal: expected true or false, got 'perhaps'"),
        ("features.cutoff_angstrom=.nan", "features.cutoff_angstrom: "),
        ("features.cutoff_angstrom=.inf", "features.cutoff_angstrom: expected a finite number, got inf"),
        ("features.cutoff_angstrom=0.4", "cutoff_angstrom 0.4 must exceed cutoff_width_angstrom"),
        ("features.scaling.rat=1", "features.scaling.rat: unknown setting; did you mean 'rate'?"),
        ("qm=RHF", "qm: expected a section of settings"),
        ("qm=", "qm: expected a section of settings (name: value), got nothing"),
        ("qm.method=UHF", "qm.method: expected one of 'RHF' or 'RKS', got 'UHF'"),
        ("qm.basis=", "qm.basis: expected text, got nothing"),
        ("qm.conv_tol=0", "qm.conv_tol: must be larger than 0, got 0"),
        ("qm.xc=pbe", "xc 'pbe' was given with method RHF"),
        ("qm={method: RKS}", "method RKS needs xc"),
        ("qm={method: RKS, xc: B3LYP}", "b3lypg (VWN3, as Gaussian) or b3lyp5"),
        ("split.test=-1", "split.test: must be at least 0, got -1"),
        ("split.train=", "split.train is required: number of training structures"),
        ("split.curve=4", "split.curve: expected a list"),
        ("split.curve=[4, x]", "split.curve[1]: expected a whole number, got 'x'"),
        ("split.curve=[9]", "curve asks for 9 structures, more than train = 8"),
        ("structures.file=", "structures.file is required"),
        ("features.max_l", "expected section.name=value"),
        ("features..max_l=3", "expected section.name=value"),
        ("split.train.n=3", "'train' is a value, not a section"),
        ("split.curve=[1, 2", "is not valid YAML"),
        ("target.kind=energy", "expected one of 'fock', 'lowdin', 'saph' or 'property', got 'energy'"),
        ("target.kind=property", "kind property needs key"),
        ("target.key=energy", "target: key was given, but target.kind is saph, not property; remove it"),
        ("target={kind: property, key: e, delta: minao}", "delta was given, but target.kind is property; remove it"),
        ("target={kind: property, key: e, l: 3}", "target.l: expected one of 0, 1 or 2, got 3"),
        ("target={kind: property, key: d, l: 1, forces_key: f}", "forces_key belongs to an energy"),
        ("target={kind: property, key: d, l: 1, baseline: mean}", "baseline mean is not equivariant for l 1"),
        ("target={kind: property, ky: e}", "target.ky: unknown setting; did you mean 'key'?"),
        ("model.active=5", "model: active was given, but model.kind is ridge; remove it"),
        ("model.active_by=structures", "model: active_by was given, but model.kind is ridge; remove it"),
        ("model={kind: wigner, active_by: random}", "model.active_by: expected one of 'farthest' or 'structures'"),
        (
            "model={kind: wigner, basis: full, active_by: structures}",
            "active_by structures belongs to the basis sparse, got basis full",
        ),
        ("model={kind: kernel}", "model.kind kernel cannot learn target.kind saph"),
        ("kernel.max_l=2", "is learned by the section wigner or from features; remove it"),
    ],
)
def test_refused_settings(folder: Path, override: str, expected: str) -> None:
    assert expected in refusal(folder / "run.yaml", override)


def test_a_guess_that_leaves_nothing_to_learn(folder: Path) -> None:
    delta = "target.delta=sto-3g"
    assert "nothing would be left to learn" in refusal(folder / "run.yaml", "qm.basis=STO-3G", delta)
    assert (
        load_config(folder / "run.yaml", ("qm={method: RKS, xc: pbe, basis: sto-3g}", delta)).target.delta == "sto-3g"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("just words", "holds a str where sections"),
        ("- a\n- b\n", "holds a list where sections"),
        ("structures: {file: water.xyz}\nsplit: {train: 8, te", "is not valid YAML, line 2"),
        ("split:\n  train: 8\n test: 2\n", "is not valid YAML, line 3"),
        ("split: {train: 8, train: 9}", "'train' is given twice"),
        ("split: {train: 2024-13-45}", "is not valid YAML"),
        ("structures: {file: water.xyz}\n", "split is required"),
        ("? [a]\n: b\n", "is not valid YAML"),
        ("!!python/object/apply:os.getcwd []", "is not valid YAML"),
        ("[" * 5000, "is not valid YAML"),
    ],
)
def test_refused_files(folder: Path, text: str, expected: str) -> None:
    assert expected in refusal(write(folder, text))


def test_unreadable_files_are_refused(folder: Path) -> None:
    assert "does not exist" in refusal(folder / "none.yaml")
    assert "cannot be read" in refusal(folder)
    (folder / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    assert "not a text file" in refusal(folder / "binary.yaml")


def test_all_problems_are_listed_at_once(folder: Path) -> None:
    message = refusal(folder / "run.yaml", "features.max_k=3", "qm.conv_tol=-1", "split.train=x")
    assert "has 3 problems" in message
    assert all(name in message for name in ("features.max_k", "qm.conv_tol", "split.train"))


def test_sections_are_frozen(folder: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_config(folder / "run.yaml").qm.basis = "sto-3g"


# -- what is told


def test_defaults_text_is_a_workflow_once_the_required_settings_are_filled_in(folder: Path) -> None:
    text = defaults_text()
    message = refusal(write(folder, text))
    assert all(f"{name} is required" in message for name in ("structures.file", "split.train", "split.test"))
    assert load_config(
        write(folder, text), [f"structures.file={folder}/water.xyz", "split.train=8", "split.test=2"]
    ) == (build_config({**SMALL, "structures": {"file": str(folder / "water.xyz")}}))
    lines = {line.split(":")[0].strip(): line for line in text.splitlines() if line.startswith("  ")}
    leaves = {name for section in Config.model_fields.values() for name in section.annotation.model_fields}
    assert set(lines) == leaves
    assert all(len(line.split("#")[1]) > 8 for line in lines.values())


def test_schema_refuses_unknown_settings_and_describes_the_known() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"structures", "split"}
    features = schema["$defs"]["FeatureSettings"]["properties"]
    assert features["max_l"]["maximum"] == 8
    assert "Å" in features["cutoff_angstrom"]["description"]


def test_differences_are_named(folder: Path) -> None:
    old = load_config(folder / "run.yaml")
    new = load_config(folder / "run.yaml", ["features.max_l=8", "features.scaling={rate: 1}", "split.curve=[4]"])
    assert compare_configs(old, old) == []
    assert compare_configs(old, new) == [
        "features.max_l: 6 (folder) against 8 (now)",
        "features.scaling: null (folder) against {'rate': 1.0, 'scale_angstrom': 2.0, 'exponent': 2.0} (now)",
        "split.curve: [] (folder) against [4] (now)",
    ]


def test_versions_are_told_without_importing_the_packages() -> None:
    code = "import sys, hamlearn.config as c; v = c.installed_versions(); print(v['pyscf'], v['torch'], v['python']);"
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'pyscf', 'ase', 'numpy')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 3 and "not" not in done.stdout
