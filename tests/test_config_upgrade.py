"""Files in the layout of format 1: sections features, wigner and kernel beside model, all settings side by side."""

from __future__ import annotations

from pathlib import Path

import ase.io
import pytest
import yaml
from old_settings import RESOLVED, SPLIT, WORKFLOWS, whole_file

from hamlearn.config import (
    FORMAT_VERSION,
    FeatureSettings,
    FockTarget,
    KernelRidgeSettings,
    KernelSettings,
    PropertyTarget,
    RidgeSettings,
    SaphTarget,
    WignerSettings,
    build_config,
    dump_config,
    installed_versions,
    load_config,
    upgraded,
)
from hamlearn.errors import ConfigError
from hamlearn.workflow import run

pytestmark = pytest.mark.usefixtures("own_learners")

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path, waters) -> Path:
    for number, atoms in enumerate(waters[:8]):
        atoms.info["energy"] = 0.1 * number
    ase.io.write(tmp_path / "waters.extxyz", waters[:8])
    return tmp_path


def write(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(f"structures: {{file: waters.extxyz}}\n{text}", encoding="utf-8")
    return path


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


# -- files that mean what they did


NEWER = {"ethanol_bond_frame"}
"""Workflows that the old layout could not say."""


def test_there_is_a_text_of_every_workflow_file() -> None:
    found = (ROOT / "workflows").rglob("*.yaml")
    names = {str(path.relative_to(ROOT / "workflows").with_suffix("")) for path in found}
    assert names == set(WORKFLOWS) | NEWER


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_files_of_both_layouts_are_equal(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAMLEARN_BENCHMARK_DATA", str(folder))
    now = ROOT / "workflows" / f"{name}.yaml"
    written = yaml.safe_load(now.read_text(encoding="utf-8"))
    assert upgraded(written) == written and "model" in written
    (folder / Path(written["structures"]["file"]).name).touch()
    new, old = load_config(now), load_config(write(folder, WORKFLOWS[name]))
    assert {**old.model_dump(), "structures": None} == {**new.model_dump(), "structures": None}


@pytest.mark.parametrize("name", RESOLVED)
def test_settings_a_run_wrote_are_those_of_its_workflow_file(name: str, folder: Path) -> None:
    resolved, short = RESOLVED[name]
    head = "kind: config\nformat_version: 1\n"
    versions = "versions: {hamlearn: 0.1.0}\n"
    assert load_config(write(folder, head + resolved + SPLIT + versions)) == load_config(write(folder, short + SPLIT))
    whole = upgraded(yaml.safe_load(head + resolved + SPLIT))
    part = whole["model"]["features" if whole["model"]["kind"] == "ridge" else "kernel"]
    assert len(part) >= 11 and set(whole["model"]) >= {"kind", "folds", "memory_gb"}  # a report shows all of them


@pytest.mark.parametrize(
    ("model", "target", "expected"),
    [
        ("ridge", "saph", (SaphTarget(), RidgeSettings())),
        ("ridge", "fock", (FockTarget(), RidgeSettings())),
        ("wigner", "saph", (SaphTarget(), KernelRidgeSettings())),
        ("kernel", "property", (PropertyTarget(key="energy"), KernelRidgeSettings(kernel=KernelSettings()))),
    ],
)
def test_settings_and_sections_of_other_kinds_at_their_defaults_are_left_out(
    model: str, target: str, expected: tuple, folder: Path
) -> None:
    config = load_config(write(folder, whole_file(model, target)))
    assert (config.target, config.model) == expected


@pytest.mark.parametrize(
    ("text", "target", "model"),
    [
        (
            "target: {kind: property, key: energy, forces_key: forces}\n"
            "model: {energy_weight: 2, force_weight: 3, solver: qr}\n",
            PropertyTarget(key="energy", forces_key="forces", energy_weight=2, force_weight=3),
            KernelRidgeSettings(kernel=KernelSettings(), solver="qr"),
        ),
        (
            "target: {kind: property, key: energy}\n"
            "kernel: {kind: soap, structure: rematch, gamma: 1.0, additive: [pair], additive_width_angstrom: 0.5}\n",
            PropertyTarget(key="energy"),
            KernelRidgeSettings(
                kernel=KernelSettings(
                    kind="soap", structure="rematch", additive=("pair",), additive_width_angstrom=0.5
                )
            ),
        ),
        (
            "target: {kind: lowdin, virtuals: valence}\nmodel: {kind: ridge, folds: 4}\nfeatures: {max_l: 2}\n",
            {"kind": "lowdin", "delta": "none"},
            RidgeSettings(folds=4, features=FeatureSettings(max_l=2)),
        ),
        (
            "wigner: {rate: 0.5, grid: {max_l: [2, 3]}}\nmodel: {kind: wigner, active: {O: 5, O-H: 7}}\n",
            SaphTarget(),
            KernelRidgeSettings(
                kernel=WignerSettings(rate=0.5, grid={"max_l": (2, 3)}), active={"O": 5, "O-H": 7}
            ),
        ),
    ],
)  # fmt: skip
def test_settings_that_moved(text: str, target: object, model: object, folder: Path) -> None:
    config = load_config(write(folder, text + SPLIT))
    assert config.model == model
    assert config.target.model_dump() == (target if isinstance(target, dict) else target.model_dump())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("kernel: {a: 1.0, b: 1.0, c0: 1.0}\nmodel: {solver: normal, optimise: annealing, loss: mae}\n", {}),
        ("kernel: {kind: order, b: 2.0}\nmodel: {loss: mae}\n", {"loss": "mae"}),
        ("kernel: {max_nu: 2}\nmodel: {active: 5, solver: normal, loss: mae}\n", {"solver": "normal", "loss": "mae"}),
    ],
)
def test_settings_that_did_nothing_are_left_out(text: str, left: dict, folder: Path) -> None:
    """Format 1 accepted them."""
    model = load_config(write(folder, "target: {kind: property, key: energy}\n" + text + SPLIT)).model
    found = {name: getattr(model, name) for name in ("solver", "optimise", "loss")}
    assert found == {"solver": None, "optimise": None, "loss": None} | left
    assert model.kernel.b is None or model.kernel.kind == "wigner"


# -- replaced settings


LAYOUTS = {
    "ridge, old": "features: {max_n: 3}\n",
    "ridge, new": "model: {features: {max_n: 3}}\n",
    "ridge, short": "",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["features.max_l", "model.features.max_l"])
def test_features_are_set_by_old_and_new_names(layout: str, name: str, folder: Path) -> None:
    config = load_config(write(folder, LAYOUTS[layout] + SPLIT), [f"{name}=4"])
    assert config.model == RidgeSettings(
        features=FeatureSettings(max_l=4, max_n=3 if "max_n" in LAYOUTS[layout] else 6)
    )


@pytest.mark.parametrize(
    "layout",
    [
        "wigner: {max_l: 2}\nmodel: {kind: wigner}\n",
        "model: {kind: kernel, kernel: {max_l: 2}}\n",
        "wigner: {max_l: 2}\n",
    ],
)
@pytest.mark.parametrize("name", ["wigner.rate", "model.kernel.rate"])
@pytest.mark.parametrize("kind", ["model.kind=wigner", "model.kind=kernel"])
def test_kernels_of_pairs_are_set_by_old_and_new_names(layout: str, name: str, kind: str, folder: Path) -> None:
    config = load_config(write(folder, layout + SPLIT), [f"{name}=0.5", kind])
    assert config.model == KernelRidgeSettings(kernel=WignerSettings(max_l=2, rate=0.5))


@pytest.mark.parametrize("name", ["kernel.max_nu", "model.kernel.max_nu"])
@pytest.mark.parametrize("weight", ["model.force_weight", "target.force_weight"])
def test_properties_are_set_by_old_and_new_names(name: str, weight: str, folder: Path) -> None:
    text = "target: {kind: property, key: energy, forces_key: forces}\n" + SPLIT
    config = load_config(write(folder, text), [f"{name}=3", f"{weight}=5"])
    assert config.model.kernel == KernelSettings(max_nu=3)
    assert config.target == PropertyTarget(key="energy", forces_key="forces", force_weight=5)


def test_a_whole_section_is_replaced_by_either_name(folder: Path) -> None:
    path = write(folder, "features: {max_n: 3}\n" + SPLIT)
    for name in ("features", "model.features"):
        assert load_config(path, [f"{name}={{max_l: 2}}"]).model.features == FeatureSettings(max_l=2)
    for kind in ("wigner", "kernel"):
        model = load_config(path, [f"model={{kind: {kind}, error_bars: true}}"]).model
        assert model == KernelRidgeSettings(error_bars=True)


# -- files that contradict themselves


CONTRADICTORY = [
    (
        "features: {max_l: 2}\nmodel: {kind: wigner}\n",
        "model.features: unknown setting of this kind of model; remove it, or set model.kind: ridge",
        "model: {kind: ridge}\nfeatures: {max_l: 2}\n",
    ),
    (
        "wigner: {max_l: 2}\n",
        "model.kernel: unknown setting of this kind of model; remove it, or set model.kind: kernel",
        "wigner: {max_l: 2}\nmodel: {kind: kernel}\n",
    ),
    (
        "kernel: {max_l: 2}\nmodel: {kind: wigner}\n",
        "model.kernel.kind wigner cannot learn target.kind saph: properties are learned by kernels of environments, "
        "matrices by those of pairs; use pairs",
        "model: {kind: kernel, kernel: {kind: pairs, max_l: 2}}\n",
    ),
    (
        "target: {kind: property, key: energy}\nwigner: {max_l: 2}\n",
        "model.kernel.kind pairs cannot learn target.kind property: properties are learned by kernels of environments, "
        "matrices by those of pairs; use wigner, order or soap",
        "target: {kind: property, key: energy}\nmodel: {kernel: {kind: wigner, max_l: 2}}\n",
    ),
    (
        "wigner: {max_l: 2}\nkernel: {max_l: 2}\nmodel: {kind: wigner}\n",
        "wigner and kernel were both given; keep the one that learns the target",
        "wigner: {max_l: 2}\nmodel: {kind: wigner}\n",
    ),
    (
        "features: {max_l: 2}\nmodel: {features: {max_l: 3}}\n",
        "model.features and features were both given; keep the one that learns the target",
        "model: {features: {max_l: 3}}\n",
    ),
    (
        "wigner: {max_l: 3}\nmodel: {kind: kernel, kernel: {max_l: 2}}\n",
        "model.kernel and wigner were both given; keep the one that learns the target",
        "wigner: {max_l: 3}\nmodel: {kind: kernel}\n",
    ),
    (
        "features: {max_l: 2}\nmodel: {active: 5}\n",
        "model.active: unknown setting of this kind of model; remove it, or set model.kind: kernel",
        "model: {kind: kernel, active: 5}\n",
    ),
    (
        "features: {max_l: 2}\ntarget: {key: energy}\n",
        "target.key: unknown setting of this kind of target; remove it, or set target.kind: property",
        "model: {kind: ridge}\nfeatures: {max_l: 2}\ntarget: {kind: property, key: energy}\n",
    ),
    (
        "target: {kind: property, key: energy}\nqm: {basis: sto-3g}\nkernel: {max_l: 2}\n",
        "qm was given, but a property (target.kind) is learned from the file; remove it",
        "target: {kind: property, key: energy}\nkernel: {max_l: 2}\n",
    ),
    ("features:\n", "model.features: expected a section of settings (name: value), got nothing", "features: {}\n"),
    ("wigner: 3\nmodel: {kind: wigner}\n", "model.kernel: expected a section of settings (name: value), got 3", ""),
    ("features: {max_l: 2}\nmodel: 3\n", "model: expected a section of settings (name: value), got 3", ""),
    (
        "features: {max_l: 2}\nmodel: {kind: forest}\n",
        "model.kind: expected one of 'ridge' or 'kernel', got 'forest'; one of your own must be registered first",
        "",
    ),
]


@pytest.mark.parametrize(("text", "words", "mended"), CONTRADICTORY)
def test_contradictions_are_refused_with_advice_that_works(text: str, words: str, mended: str, folder: Path) -> None:
    assert words in refusal(write(folder, text + SPLIT))
    load_config(write(folder, mended + SPLIT))


def test_old_names_of_another_kind_are_refused(folder: Path) -> None:
    path = write(folder, SPLIT)
    assert "remove it, or set model.kind: kernel" in refusal(path, "wigner.rate=0.5")
    assert "remove it, or set model.kind: ridge" in refusal(path, "model.kind=wigner", "features.max_l=2")
    assert "remove it, or set model.kernel.kind: wigner" in refusal(path, "model.kind=wigner", "kernel.max_nu=2")
    assert "remove it, or set target.kind: property" in refusal(path, "model.force_weight=2")


def test_settings_given_in_python_have_the_new_layout_alone() -> None:
    whole = {"structures": {"file": "x"}, "split": {"train": 1, "test": 0}}
    with pytest.raises(ConfigError, match=r"features: unknown setting; did you mean 'model\.features'"):
        build_config({**whole, "features": {"max_l": 2}})
    with pytest.raises(ConfigError, match=r"model\.kind: expected one of 'ridge' or 'kernel', got 'wigner'"):
        build_config({**whole, "model": {"kind": "wigner"}})


# -- run folders


TINY = "qm: {basis: sto-3g}\nfeatures: {max_n: 2, max_l: 2}\n" + SPLIT


def in_old_layout(config_file: Path) -> None:
    """Write the settings of a run of ridge regression as format 1 did."""
    written = yaml.safe_load(config_file.read_text())
    model, target = written["model"], written["target"]
    new = {"smearing_growth_angstrom", "decay_angstrom", "element_likeness", "max_channels", "l_weight"}
    features = {name: value for name, value in model.pop("features").items() if name not in new}
    model = {"kind": "ridge", "folds": model["folds"], "memory_gb": model["memory_gb"], "error_bars": False}
    versions = written["versions"]
    sections = {name: written[name] for name in ("structures", "qm")} | {"target": target, "features": features}
    old = {"kind": "config", "format_version": 1, **sections, "model": model, "split": written["split"]}
    config_file.write_text(yaml.safe_dump({**old, "versions": versions}, sort_keys=False))


def test_a_run_of_the_old_layout_goes_on_with_either(folder: Path) -> None:
    out = folder / "run"
    path = write(folder, TINY)
    run(path, out, executor="serial", until="targets", echo=None)
    in_old_layout(out / "config.yaml")
    before = (out / "config.yaml").read_bytes()
    records = {path: path.stat().st_mtime_ns for path in out.glob("qm/*.npz")}
    result = run(path, out, executor="serial", echo=None)
    assert result.results is not None and result.report is not None
    assert "pair_cutoff_angstrom" in result.report.read_text(encoding="utf-8")
    assert {path: path.stat().st_mtime_ns for path in out.glob("qm/*.npz")} == records and len(records) == 8
    assert (out / "config.yaml").read_bytes() == before
    new = write(folder, "qm: {basis: sto-3g}\nmodel: {features: {max_n: 2, max_l: 2}}\n" + SPLIT, "new.yaml")
    for again in (new, load_config(out / "config.yaml")):
        assert run(again, out, executor="serial", until="curve", echo=None).results == result.results
    lines: list[str] = []
    run(load_config(path, ["features.max_l=3"]), out, executor="serial", echo=lines.append)
    assert "  model.features.max_l: 2 (folder) against 3 (now)" in lines
    assert load_config(out / "config.yaml") == load_config(path, ["features.max_l=3"])
    assert (out / "earlier" / "1" / "config.yaml").read_bytes() == before


def test_what_a_run_writes_now_is_of_the_present_format(folder: Path) -> None:
    config = load_config(write(folder, TINY))
    written = yaml.safe_load(dump_config(config, installed_versions()))
    assert written["format_version"] == FORMAT_VERSION == 2
    assert upgraded(written) == written and "features" in written["model"]
