"""Every kind of target, model and kernel in what is printed for people and editors: defaults, help, JSON schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from old_settings import WORKFLOWS

from hamlearn.config import (
    Config,
    FockTarget,
    KernelRidgeSettings,
    KernelSettings,
    LowdinTarget,
    PropertyTarget,
    RidgeSettings,
    SaphTarget,
    WignerSettings,
    build_config,
    defaults_text,
    json_schema,
)
from hamlearn.config.problems import sections_of, setting_fields
from hamlearn.errors import ConfigError

pytestmark = pytest.mark.usefixtures("own_learners")

ROOT = Path(__file__).parents[1]
FILLED = {"file": "water.xyz", "train": "8", "test": "2", "key": "energy"}
"""What is filled in where a setting is REQUIRED."""

PROPERTY = PropertyTarget(key="energy")
TARGETS = {"fock": FockTarget(), "lowdin": LowdinTarget(), "saph": SaphTarget(), "property": PROPERTY}
KERNELS = {"pairs": WignerSettings(), "wigner | order | soap": KernelSettings()}
MODELS = {"ridge": RidgeSettings(), "kernel": KernelRidgeSettings()}


def filled(text: str) -> str:
    """Fill in what is required."""
    for name, value in FILLED.items():
        text = re.sub(rf"^([ #]*){name}: +#", rf"\1{name}: {value}  #", text, flags=re.MULTILINE)
    return text


def chosen(text: str, section: str, kind: str) -> str:
    """Uncomment the settings of a kind of a section, and remove those of the kind that is there."""
    lines = text.splitlines()
    start = next(k for k, line in enumerate(lines) if re.match(rf" *{section}:$", line))
    indent = lines[start].partition(section)[0] + "  "
    stop = next((k for k in range(start + 1, len(lines)) if not lines[k].startswith(indent)), len(lines))
    own = lines[start + 1 : stop]
    heads = [k for k, line in enumerate(own) if line.startswith(f"{indent}# or kind ")] + [len(own)]
    parts = {own[a].partition(" or kind ")[2].partition(":")[0]: own[a + 1 : b] for a, b in pairwise(heads)}
    if kind in parts:
        own = [line.replace("# ", "", 1) for line in parts[kind]]
    return "\n".join([*lines[: start + 1], *own, *lines[stop:]]) + "\n"


def without(text: str, section: str) -> str:
    return re.sub(rf"^{section}:\n(  .*\n)+", "", text, flags=re.MULTILINE)


# -- defaults


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", TARGETS)
def test_every_kind_of_target_and_model_loads_when_it_is_uncommented(kind: str, model: str) -> None:
    text = chosen(chosen(filled(defaults_text()), "target", kind), "model", model)
    expected: Any = MODELS[model]
    if kind == "property":
        text = without(text, "qm")
        if model == "kernel":
            text, expected = (
                chosen(text, "kernel", "wigner | order | soap"),
                KernelRidgeSettings(kernel=KernelSettings()),
            )
    config = build_config(yaml.safe_load(text))
    assert (config.target, config.model) == (TARGETS[kind], expected)
    assert yaml.safe_load(text)["target"] == config.target.model_dump(mode="json")
    assert yaml.safe_load(text)["model"] == config.model.model_dump(mode="json")


def test_every_setting_is_printed_with_its_meaning() -> None:
    text = defaults_text()
    printed: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, meaning = line.lstrip(" #").partition(":")
        printed.setdefault(name, []).append(meaning.partition("# ")[2])
    for name, field in setting_fields([Config]).items():
        if ".scaling." in name or ".pyscf." in name:  # in the line of their section, which is null
            section, leaf = name.split(".")[-2:]
            assert any(f"{leaf}: " in meaning for meaning in printed[section]), name
            continue
        meanings = printed[name.rpartition(".")[2]]
        assert sections_of(field) or any(field.description in meaning for meaning in meanings), name
    assert "scale_angstrom: 2.0" in text


# -- JSON schema


KNOWN = {"title", "description", "default", "$defs", "$schema", "format"}
CHECKS: dict[str, Any] = {
    "enum": lambda value, wanted: value in wanted,
    "const": lambda value, wanted: value == wanted,
    "minimum": lambda value, wanted: not is_number(value) or value >= wanted,
    "maximum": lambda value, wanted: not is_number(value) or value <= wanted,
    "exclusiveMinimum": lambda value, wanted: not is_number(value) or value > wanted,
    "minLength": lambda value, wanted: not isinstance(value, str) or len(value) >= wanted,
    "required": lambda value, wanted: not isinstance(value, dict) or set(wanted) <= set(value),
}
TYPES: dict[str, Any] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: is_number(value),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def faults(value: Any, schema: Any, root: Any, place: str = "") -> Iterator[str]:
    """Yield where a value breaks a schema, by the keywords the schema of workflows has."""
    for word, wanted in schema.items():
        if word == "$ref":
            yield from faults(value, root["$defs"][wanted.rpartition("/")[2]], root, place)
        elif word == "anyOf":
            if all(any(faults(value, option, root)) for option in wanted):
                yield f"{place}: fits no kind"
        elif word == "type":
            if not TYPES[wanted](value):
                yield f"{place}: no {wanted}"
        elif word == "items":
            for number, item in enumerate(value if isinstance(value, list) else []):
                yield from faults(item, wanted, root, f"{place}[{number}]")
        elif word in ("properties", "additionalProperties"):
            for name, item in value.items() if isinstance(value, dict) else []:
                known = schema.get("properties", {})
                if word == "properties" and name in known:
                    yield from faults(item, known[name], root, f"{place}.{name}")
                elif word == "additionalProperties" and name not in known:
                    yield from [f"{place}.{name}: unknown"] if wanted is False else faults(item, wanted, root, place)
        elif word not in KNOWN and not CHECKS[word](value, wanted):
            yield f"{place}: {word} {wanted}"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_schema_accepts_every_workflow_file(name: str, schema: dict[str, Any]) -> None:
    written = yaml.safe_load((ROOT / "workflows" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert list(faults(written, schema, schema)) == []
    older = yaml.safe_load("structures: {file: x}" + WORKFLOWS[name])
    assert list(faults(older, schema, schema)) != []  # files of format 1 load, but the schema is of today's


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", TARGETS)
def test_schema_accepts_whole_files_of_every_kind(kind: str, model: str, schema: dict[str, Any]) -> None:
    text = chosen(chosen(filled(defaults_text()), "target", kind), "model", model)
    assert list(faults(yaml.safe_load(text), schema, schema)) == []


WRONG = [
    ("model: {max_ll: 3}", "model.max_ll"),
    ("model: {kind: forest}", "model.kind"),
    ("model: {kind: ridge, active: 3}", "model.active"),
    ("model: {kind: kernel, features: {max_l: 3}}", "model.features"),
    ("model: {kind: kernel, kernel: {kind: pairs, max_nu: 3}}", "model.kernel.max_nu"),
    ("model: {features: {max_l: 9}}", "model.features.max_l"),
    ("model: {features: {scaling: {rate: -1}}}", "model.features.scaling.rate"),
    ("model: {folds: true}", "model.folds"),
    ("model: null", "model"),
    ("target: {kind: fock, form: orthogonal}", "target.form"),
    ("target: {kind: property}", "target.key"),
    ("target: {kind: property, key: e, l: 3}", "target.l"),
    ("qm: {method: GHF}", "qm.method"),
    ("qm: {conv_tol: 0}", "qm.conv_tol"),
    ("split: {train: 0, test: 1}", "split.train"),
    ("structures: {file: ''}", "structures.file"),
    ("features: {max_l: 3}", "features"),
]


@pytest.mark.parametrize(("text", "place"), WRONG)
def test_schema_and_words_refuse_the_same(text: str, place: str, schema: dict[str, Any]) -> None:
    settings = {"structures": {"file": "x"}, "split": {"train": 1, "test": 0}} | yaml.safe_load(text)
    assert list(faults(settings, schema, schema)) != []
    with pytest.raises(ConfigError, match=rf"^the configuration: {re.escape(place)}[: ]"):
        build_config(settings)


def test_schema_refuses_unknown_settings_and_describes_the_known(schema: dict[str, Any]) -> None:
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"structures", "split"}
    (ridge,) = (one for one in schema["properties"]["model"]["anyOf"] if "features_by" in one["properties"])
    coupled, bond_frame = (one["properties"] for one in ridge["properties"]["features"]["anyOf"])
    assert (coupled["kind"]["const"], bond_frame["kind"]["const"]) == ("coupled", "bond_frame")
    assert "threshold" in bond_frame and "threshold" not in coupled
    features = coupled
    assert features["max_l"]["maximum"] == 8
    assert "Å" in features["cutoff_angstrom"]["description"]
    kinds = [sorted(one["properties"]["kind"].get("enum", [one["properties"]["kind"].get("const")]))
             for one in schema["properties"]["target"]["anyOf"]]  # fmt: skip
    assert sorted(kinds) == [["fock"], ["lowdin"], ["property"], ["saph"]]
    assert {one["description"] for one in schema["properties"]["model"]["anyOf"]} >= {
        "Ridge regression of equivariant features.",
        "Kernel regression: of atoms and pairs for the blocks of a matrix, of environments for properties.",
    }
