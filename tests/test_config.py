"""The workflow file: what is read, what is refused, and in which words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hamlearn.config import (
    DensitySettings,
    FeatureSettings,
    KernelSettings,
    QMSettings,
    WignerSettings,
    build_config,
    compare_configs,
    defaults_text,
    dump_config,
    installed_versions,
    load_config,
)
from hamlearn.errors import ArtifactError, ConfigError

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
    assert config.model.model_dump(exclude={"features"}) == {
        "kind": "ridge",
        "folds": 3,
        "memory_gb": 4.0,
        "time_minutes": None,
        "error_bars": None,
        "max_features": None,
        "features_by": None,
    }
    assert config.model.features.model_dump() == {
        "kind": "coupled",
        "cutoff_angstrom": 3.5,
        "cutoff_width_angstrom": 0.5,
        "pair_cutoff_angstrom": 6.0,
        "smearing_angstrom": 0.3,
        "smearing_growth_angstrom": None,
        "decay_angstrom": None,
        "element_likeness": None,
        "radial": "gto",
        "max_channels": None,
        "l_weight": "none",
        "max_n": 6,
        "optimal": True,
        "max_l": 6,
        "max_nu_centre": 2,
        "max_nu_pair": 1,
        "scaling": None,
    }
    assert config.split.model_dump() == {"train": 8, "test": 2, "seed": 0, "curve": (), "repeats": 1}


def test_overrides_replace_and_create_settings(folder: Path) -> None:
    config = load_config(
        folder / "run.yaml",
        [
            "model.features.max_l=8",
            "qm.conv_tol=1e-8",
            "split.curve=[8, 2, 4]",
            "model.features.scaling.rate=2",
            "qm.basis=sto-3g",
        ],
    )
    assert config.model.features.max_l == 8
    assert config.qm.conv_tol == 1e-8
    assert config.split.curve == (2, 4, 8)
    assert config.model.features.scaling is not None and config.model.features.scaling.rate == 2.0
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


def test_signs_of_the_shell_in_names_of_files_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the very name goes before variables, and a resolved configuration names its file as it is."""
    monkeypatch.setenv("HOME", "/nowhere")
    text = (folder / "run.yaml").read_text()
    for name in ("w$1.xyz", "w$HOME.xyz", "$HOME", "w$.xyz"):
        (folder / name).write_bytes((folder / "water.xyz").read_bytes())
        config = load_config(folder / "run.yaml", [f"structures.file='{name}'"])
        assert config.structures.file == str(folder / name)
        (folder / name).unlink()
        assert load_config(write(folder, dump_config(config, installed_versions()))) == config
        (folder / "run.yaml").write_text(text)


def test_resolved_config_reads_back_equal_without_its_data(folder: Path) -> None:
    config = load_config(folder / "run.yaml", ["split.curve=[4, 8]", "model.features.scaling={rate: 3}"])
    (folder / "water.xyz").unlink()
    for text in (dump_config(config), dump_config(config, installed_versions())):
        assert load_config(write(folder, text)) == config


def test_config_of_a_newer_format_is_refused(folder: Path) -> None:
    config = load_config(folder / "run.yaml")
    text = dump_config(config, installed_versions()).replace("format_version: 2", "format_version: 3")
    with pytest.raises(ArtifactError, match="upgrade hamlearn"):
        load_config(write(folder, text))


def test_null_stands_for_a_section_only_where_there_may_be_none(folder: Path) -> None:
    assert load_config(folder / "run.yaml", [PROPERTY, "qm="]) == load_config(folder / "run.yaml", [PROPERTY])
    for section in ("qm", "target", "model", "model.features", "split", "structures"):
        message = refusal(folder / "run.yaml", f"{section}=")
        assert f"{section}: expected a section of settings (name: value), got nothing" in message or (
            f"{section} is required" in message
        )
    assert load_config(folder / "run.yaml", ["model.features.scaling="]).model.features.scaling is None


# -- what is refused


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model.features.max_k=3", "model.features.max_k: unknown setting; did you mean 'max_"),
        ("model.features.max_nu_center=1", "did you mean 'max_nu_centre'?"),
        ("feature.max_l=3", "feature: unknown setting; did you mean 'model.features'?"),
        ("basis=sto-3g", "basis: unknown setting; did you mean 'qm.basis or model.basis'?"),
        ("qm.train=3", "qm.train: unknown setting; did you mean 'split.train'?"),
        ("qm.zzz=3", "qm.zzz: unknown setting; known here: method, xc, basis, guess, conv_tol"),
        ("model.features.max_l=many", "model.features.max_l: expected a whole number, got 'many'"),
        ("model.features.max_l=2.5", "model.features.max_l: expected a whole number, got 2.5"),
        ("model.features.max_l=9", "model.features.max_l: must be at most 8, got 9"),
        ("model.features.max_l=-1", "model.features.max_l: must be at least 0, got -1"),
        ("model.features.max_l=true", "model.features.max_l: true and false are not accepted"),
        ("model.features.optimal=perhaps", "model.features.optimal: expected true or false, got 'perhaps'"),
        ("model.features.cutoff_angstrom=.nan", "model.features.cutoff_angstrom: "),
        ("model.features.cutoff_angstrom=.inf", "model.features.cutoff_angstrom: expected a finite number, got inf"),
        ("model.features.cutoff_angstrom=0.4", "model.features: cutoff_angstrom 0.4 must exceed cutoff_width_angstrom"),
        ("model.features.scaling.rat=1", "model.features.scaling.rat: unknown setting; did you mean 'rate'?"),
        ("qm=RHF", "qm: expected a section of settings"),
        ("qm=", "qm: expected a section of settings (name: value), got nothing"),
        ("qm.method=GHF", "qm.method: expected one of 'RHF', 'RKS', 'UHF', 'UKS', 'ROHF' or 'ROKS', got 'GHF'"),
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
        ("model.features.max_l", "expected section.name=value"),
        ("model..max_l=3", "expected section.name=value"),
        ("=3", "expected section.name=value"),
        ("split.train.n=3", "'train' is a value, not a section"),
        ("split.curve=[1, 2", "is not valid YAML"),
        ("split.curve=[+010]", "--set split.curve=[+010], line 1, column 2: +010 is a number of base 8"),
        ("target.kind=energy", "target.kind: expected one of 'saph', 'fock', 'lowdin' or 'property', got 'energy'"),
        ("target.kind=", "target.kind: expected one of 'saph', 'fock', 'lowdin' or 'property', got nothing"),
        ("target.kind=[saph]", "target.kind: expected one of 'saph', 'fock', 'lowdin' or 'property', got ['saph']"),
        ("target=fock", "target: expected a section of settings (name: value), got 'fock'"),
        ("target.kind=property", "target.key is required: its name in the structures file"),
        (
            "target.key=energy",
            "target.key: unknown setting of this kind of target; remove it, or set target.kind: prop",
        ),
        ("target={kind: fock, form: nonorthogonal}", "target.form: unknown setting of this kind of target; remove it"),
        ("target={kind: property, key: e, delta: minao}", "remove it, or set target.kind: saph or fock or lowdin"),
        ("target={kind: property, key: e, l: 3}", "target.l: expected one of 0, 1 or 2, got 3"),
        ("target={kind: property, key: d, l: 1, forces_key: f}", "forces_key belongs to an energy"),
        ("target={kind: property, key: d, l: 1, baseline: mean}", "baseline mean is not equivariant for l 1"),
        ("target={kind: property, ky: e}", "target.ky: unknown setting; did you mean 'key'?"),
        ("model.active=5", "model.active: unknown setting of this kind of model; remove it, or set model.kind: kernel"),
        ("model.active_by=structures", "model.active_by: unknown setting of this kind of model; remove it, or set"),
        ("model={kind: kernel, active_by: random}", "model.active_by: expected one of 'farthest' or 'structures'"),
        (
            "model={kind: kernel, basis: full, active_by: structures}",
            "active_by structures belongs to the basis sparse, got basis full",
        ),
        ("model={kind: kernel, basis: derivatives}", "basis derivatives belongs to properties with forces"),
        (
            "model={kind: kernel, loss: rmse}",
            "model: loss was given, but these kernels leave nothing to choose; remove it",
        ),
        ("model={kind: kernel, optimise: annealing}", "optimise belongs to the mixtures of properties"),
        ("model={kind: kernel, kernel: {kind: wigner}}", "model.kernel.kind wigner cannot learn target.kind saph"),
        (
            "model={kind: kernel, kernel: {kind: sum}}",
            "model.kernel.kind: expected one of 'pairs', 'bond_frame', 'wigner'",
        ),
        (
            "model={kind: kernel, kernel: {max_nu: 3}}",
            "model.kernel.max_nu: unknown setting of this kind of model.kernel",
        ),
        (
            "model={kind: kernel, kernel: pairs}",
            "model.kernel: expected a section of settings (name: value), got 'pairs'",
        ),
        (
            "model={kind: kernel, kernel: null}",
            "model.kernel: expected a section of settings (name: value), got nothing",
        ),
        ("model={kind: kernel, features: {max_l: 2}}", "remove it, or set model.kind: ridge"),
        ("model.features_by=fps", "features_by was given, but max_features is null: all features are kept; remove it"),
        (
            "model.kind=ridg",
            "model.kind: expected one of 'ridge' or 'kernel', got 'ridg'; did you mean 'ridge'?; one of",
        ),
        (
            "model.kernel.max_l=2",
            "model.kernel: unknown setting of this kind of model; remove it, or set model.kind: ker",
        ),
    ],
)
def test_refused_settings(folder: Path, override: str, expected: str) -> None:
    assert expected in refusal(folder / "run.yaml", override)


@pytest.mark.parametrize(
    ("section", "given", "expected"),
    [
        ("features", "{element_likeness: 1}", "element_likeness was given, but max_channels is null, which keeps"),
        ("features", "{radial: overlap, optimal: false}", "optimal was given, but radial is overlap, whose functions"),
        ("features", "{max_channels: 9, optimal: false}", "optimal was given, but max_channels is given, which"),
        ("features", "{radial: overlap, max_channels: 9, max_n: 3}", "max_n was given, but radial is overlap with max"),
        ("kernel", "{max_n: 3}", "max_n was given, but radial is overlap with max_channels, which takes as many"),
        ("kernel", "{radial: gto, optimal: false}", "optimal was given, but max_channels is given, which contracts"),
        ("kernel", "{cutoff_angstrom: 0.4}", "cutoff_angstrom 0.4 must exceed cutoff_width_angstrom"),
        ("pairs", "{pair_cutoff_angstrom: 0.4}", "pair_cutoff_angstrom 0.4 must exceed cutoff_width_angstrom"),
        ("pairs", "{max_l: 7}", "model.kernel.max_l: must be at most 6, got 7"),
        (
            "pairs",
            "{smearing_growth_angstrom: 0}",
            "model.kernel.smearing_growth_angstrom: must be larger than 0, got 0",
        ),
    ],
)
def test_settings_that_do_nothing_for_a_density_are_refused(
    folder: Path, section: str, given: str, expected: str
) -> None:
    of_section = {
        "features": ("model.features",),
        "kernel": ("model.kernel", PROPERTY),
        "pairs": ("model.kernel", "model.kind=kernel"),
    }
    name, *others = of_section[section]
    assert expected in refusal(folder / "run.yaml", *others, f"{name}={given}")


def test_sections_share_the_settings_of_their_densities() -> None:
    features = FeatureSettings(max_l=2, smearing_growth_angstrom=3.0, max_channels=5)
    assert features.density() == DensitySettings(
        max_l=2,
        cutoff_angstrom=3.5,
        smearing_angstrom=0.3,
        smearing_growth_angstrom=3.0,
        radial="gto",
        max_n=6,
        max_channels=5,
    )
    assert FeatureSettings(radial="overlap", max_channels=5).density().n_radial == 6
    assert KernelSettings().density() == DensitySettings()
    bond = WignerSettings(pair_cutoff_angstrom=7.0, pair_decay_angstrom=2.0).bond()
    assert bond == DensitySettings(
        cutoff_angstrom=7.0, smearing_angstrom=0.5, smearing_growth_angstrom=None, decay_angstrom=2.0
    )
    shared = set(DensitySettings.model_fields)
    for section in (FeatureSettings, KernelSettings, WignerSettings):
        for name in shared - {"max_l"}:  # its bound and meaning differ for kernels of blocks
            own, base = section.model_fields[name], DensitySettings.model_fields[name]
            assert (own.description, own.metadata) == (base.description, base.metadata)


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
        ("split: {train: 8, train: 9}", "run.yaml, line 1, column 19: 'train' is given twice; keep one of them"),
        ("model:\n  folds: 3\nqm: {}\nmodel: {}\n", "run.yaml, line 4, column 1: 'model' is given twice; keep one"),
        ("split: {train: 2024-13-45}", "is not valid YAML"),
        ("split: {train: 010}", "line 1, column 16: 010 is a number of base 8 in YAML 1.1; expected a decimal number"),
        ("split: {train: 1:10}", "1:10 is a number of base 60"),
        ("qm: {conv_tol: 1:10.5}", "1:10.5 is a number of base 60"),
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
    assert "cannot be read: Is a directory; give the path of a YAML file" in refusal(folder)
    (folder / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    assert "not a text file" in refusal(folder / "binary.yaml")


def test_all_problems_are_listed_at_once(folder: Path) -> None:
    message = refusal(folder / "run.yaml", "model.features.max_k=3", "qm.conv_tol=-1", "split.train=x")
    assert "has 3 problems" in message
    assert all(name in message for name in ("model.features.max_k", "qm.conv_tol", "split.train"))


def test_sections_are_frozen(folder: Path) -> None:
    with pytest.raises(ConfigError, match="basis cannot be set: settings are frozen"):
        load_config(folder / "run.yaml").qm.basis = "sto-3g"


# -- what is told


def test_defaults_text_is_a_workflow_once_the_required_settings_are_filled_in(folder: Path) -> None:
    text = defaults_text()
    message = refusal(write(folder, text))
    assert all(f"{name} is required" in message for name in ("structures.file", "split.train", "split.test"))
    assert load_config(
        write(folder, text), [f"structures.file={folder}/water.xyz", "split.train=8", "split.test=2"]
    ) == (build_config({**SMALL, "structures": {"file": str(folder / "water.xyz")}}))


def test_differences_are_named(folder: Path) -> None:
    old = load_config(folder / "run.yaml")
    changes = ["model.features.max_l=8", "model.features.scaling={rate: 1}", "split.curve=[4]"]
    new = load_config(folder / "run.yaml", changes)
    assert compare_configs(old, old) == []
    assert compare_configs(old, new) == [
        "model.features.max_l: 6 (folder) against 8 (now)",
        "model.features.scaling: null (folder) against {'rate': 1.0, 'scale_angstrom': 2.0, 'exponent': 2.0} (now)",
        "split.curve: [] (folder) against [4] (now)",
    ]


def test_versions_are_told_without_importing_the_packages() -> None:
    code = "import sys, hamlearn.config as c; v = c.installed_versions(); print(v['pyscf'], v['torch'], v['python']);"
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'pyscf', 'ase', 'numpy')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 3 and "not" not in done.stdout
